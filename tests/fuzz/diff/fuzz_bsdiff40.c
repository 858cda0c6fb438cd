/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as a bsdiff40 patch for a file of 4096 bytes. Byte 0: bit 0: the rest is the patch itself; else bytes 1-2 are the
 * new file's size and bytes 3-4 the control block's, and the rest is packed here, because no fuzzer finds bzip2's CRC.
 * What comes out must stay within what was allowed and, when it is accepted, have the header's size.
 */
#include <bzlib.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "diff/bsdiff40.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define MAX (1u << 20)

static int count(void *ctx, const void *data, size_t len)
{
	uint64_t *sum = ctx;

	(void)data;
	*sum += len;
	AY_ASSERT(*sum <= MAX);
	return 0;
}

static int fd_of(const void *data, size_t len)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	AY_ASSERT(fd >= 0 && write(fd, data, len) == (ssize_t)len);
	return fd;
}

static void put_block(struct ay_buf *out, const uint8_t *data, size_t len)
{
	unsigned packed = (unsigned)(len + len / 50 + 700);
	uint8_t *room = ay_buf_reserve(out, packed);
	char *copy = malloc(len + 1);

	AY_ASSERT(room && copy);
	memcpy(copy, data, len);
	AY_ASSERT(BZ2_bzBuffToBuffCompress((char *)room, &packed, copy, (unsigned)len, 1, 0, 0) == BZ_OK);
	out->len += packed;
	free(copy);
}

static void build(struct ay_buf *patch, const uint8_t *data, size_t len)
{
	struct ay_buf blocks[3] = {{0}, {0}, {0}};
	size_t control = (size_t)(data[2] | data[3] << 8) % (len - 4 + 1), rest = len - 4 - control;

	put_block(&blocks[0], data + 4, control);
	put_block(&blocks[1], data + 4 + control, rest / 2);
	put_block(&blocks[2], data + 4 + control + rest / 2, rest - rest / 2);
	ay_put_str(patch, AY_BSDIFF40_MAGIC);
	ay_put_u64(patch, blocks[0].len);
	ay_put_u64(patch, blocks[1].len);
	ay_put_u64(patch, (uint64_t)(data[0] | data[1] << 8));
	for (int i = 0; i < 3; i++) {
		ay_put_bytes(patch, blocks[i].data, blocks[i].len);
		ay_buf_release(&blocks[i]);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static uint8_t old[4096];
	struct ay_buf patch = {0};
	struct ay_err err = {0};
	uint64_t sum = 0, size = 0;

	if (len < 5)
		return 0;
	if (data[0] & 1)
		ay_put_bytes(&patch, data + 1, len - 1);
	else
		build(&patch, data + 1, len - 1);
	for (size_t i = 0; i < sizeof(old); i++)
		old[i] = (uint8_t)(i ^ i >> 8);
	int fd = fd_of(patch.data, patch.len), old_fd = fd_of(old, sizeof(old));
	int r = ay_bsdiff40_apply(fd, old_fd, MAX, count, &sum, &err);
	if (r == 0)
		AY_ASSERT(ay_bsdiff40_new_size(fd, &size, NULL) == 0 && size == sum);
	else
		AY_ASSERT(err.msg[0]);
	close(fd);
	close(old_fd);
	ay_buf_release(&patch);
	return 0;
}
