/* SPDX-License-Identifier: MIT */
/* See bundle_bases.h. */
#include "tests/fuzz/diff/bundle_bases.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "diff/elf.h"

static uint8_t data[2 * BASE_MAX], program[BASE_MAX];
static size_t own_len;

int fd_of(const void *bytes, size_t len)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	AY_ASSERT(fd >= 0 && write(fd, bytes, len) == (ssize_t)len);
	return fd;
}

static void put_section(unsigned i, uint32_t type, uint32_t flags, uint32_t at, uint32_t size, uint32_t link)
{
	const uint32_t h[16] = {1,  type, flags, 0, type == 1 ? at : 0, 0, at, 0, size, 0, link, 1,
				16, 0,    24,    0};

	for (unsigned k = 0; k < 64; k++)
		program[64 + 64 * i + k] = (uint8_t)(h[k / 4] >> k % 4 * 8);
}

/* Headers that say what there is of code, data, relocations and symbols in bytes that have some of each. */
static void program_make(bool aarch64)
{
	for (size_t i = 0; i < BASE_MAX && program[BASE_MAX - 1] == 0; i++)
		program[i] = (uint8_t)(i * 7 >> i % 5);
	memset(program, 0, 64 * 8);
	memcpy(program, "\177ELF\2\1\1", 7);
	program[16] = AY__ELF_DYN;
	program[18] = aarch64 ? AY__ELF_AARCH64 : AY__ELF_X86_64;
	program[40] = program[52] = program[58] = 64;
	program[60] = 7;
	put_section(1, 1, 6, 1024, 4096, 0);
	put_section(2, 1, 2, 5120, 1024, 0);
	put_section(3, 1, 3, 6144, 1024, 0);
	put_section(4, 4, 0, 7168, 480, 5);
	put_section(5, 2, 0, 7680, 480, 6);
	put_section(6, 3, 0, 8192, 256, 0);
}

void bases_make(const uint8_t *own, size_t len, bool aarch64)
{
	for (size_t i = len; i < sizeof(data) && (i < own_len || data[sizeof(data) - 1] == 0); i++)
		data[i] = (uint8_t)(i * 7 >> i % 5);
	if (len)
		memcpy(data, own, len);
	own_len = len;
	program_make(aarch64);
}

int base_fd(uint64_t at, uint64_t size, bool elf)
{
	if (elf && own_len == 0)
		return fd_of(program, (size_t)size);
	if (at > sizeof(data) - size)
		at = 0;
	return fd_of(data + at, (size_t)size);
}
