/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as a bundle. Byte 0: bit 0 records are decoded, bit 1 the checks are made to fit first (else the fuzzer
 * would have to know SHA-256), bit 2 every other record is skipped, bit 3 the bases of method elf are of AArch64, bit 4 the
 * manifest that it starts from is at hand. The rest is the bundle. Bases are of whatever size the
 * record says, up to 64 KiB; what comes out must stay within the sizes that were said before.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "diff/elf.h"
#include "diff/elf_columns.h"
#include "diff/section.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define BASE_MAX 65536
#define UNPACKED_MAX                                                                                         \
	(1u << 20) /* a few bytes may stand for as many zeros as the header says: time, not memory */

#define OLD_FILES 100

struct seen {
	uint64_t delta, sizes, record;
	struct ay_bundle_header h;
	bool skip_odd, old;
	double packed, cost;
};

static uint8_t base_data[BASE_MAX], base_elf[BASE_MAX];

static int fd_of(const void *data, size_t len)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	AY_ASSERT(fd >= 0 && write(fd, data, len) == (ssize_t)len);
	return fd;
}

static int on_header(void *ctx, const struct ay_bundle_header *h, struct ay_err *err)
{
	struct seen *s = ctx;

	(void)err;
	s->h = *h;
	AY_ASSERT(h->part_limit < 131072 && h->n_records <= AY_BUNDLE_RECORDS_MAX);
	return 0;
}

static int on_delta(void *ctx, const void *data, size_t len, struct ay_err *err)
{
	struct seen *s = ctx;

	(void)err;
	(void)data;
	s->delta += len;
	AY_ASSERT(len > 0 && s->delta <= s->h.delta_size);
	return 0;
}

static int on_begin(void *ctx, const struct ay_bundle_record *r, bool *skip, struct ay_err *err)
{
	struct seen *s = ctx;

	(void)err;
	*skip = s->skip_odd && r->index % 2;
	s->sizes += r->size;
	s->record = 0;
	AY_ASSERT(s->sizes <= s->h.unpacked_size);
	AY_ASSERT((r->method != AY_METHOD_LITERAL) == (r->n_bases == 1));
	if (r->n_bases && r->base_numbers[0]) {
		AY_ASSERT(r->base_numbers[0] <= (s->old ? OLD_FILES : AY_BUNDLE_OLD_MAX));
		AY_ASSERT(r->bases[0].b[0] == (s->old ? 0x11 : 0));
	}
	return 0;
}

static int on_base(void *ctx, const struct ay_bundle_record *r, unsigned base, int *fd, struct ay_err *err)
{
	const struct seen *s = ctx;

	AY_ASSERT(s->old || r->base_numbers[base] == 0);
	if (r->base_sizes[base] > BASE_MAX)
		return ay_err_set(err, AY_EBASE, "too large for us");
	*fd = fd_of(r->method == AY_METHOD_ELF ? base_elf : base_data,
		    (size_t)r->base_sizes[base] - (r->target.b[0] == 1 && r->base_sizes[base] > 0));
	return 0;
}

static int on_data(void *ctx, const struct ay_bundle_record *r, const void *data, size_t len,
		   struct ay_err *err)
{
	struct seen *s = ctx;
	static volatile uint8_t sum;

	(void)err;
	for (size_t i = 0; i < len; i += 4096)
		sum = (uint8_t)(sum + ((const uint8_t *)data)[i]);
	s->record += len;
	AY_ASSERT(len > 0 && s->record <= r->size);
	return 0;
}

static int on_end(void *ctx, const struct ay_bundle_record *r, struct ay_err *err)
{
	struct seen *s = ctx;

	(void)err;
	AY_ASSERT(s->record == r->size);
	return 0;
}

static int on_stream(void *ctx, uint32_t part, unsigned stream, unsigned codec, uint32_t packed,
		     uint32_t unpacked, struct ay_err *err)
{
	struct seen *s = ctx;

	(void)part;
	(void)codec;
	(void)err;
	AY_ASSERT(packed > 0 && unpacked > 0);
	s->packed += stream == AY_STREAM_DELTA ? 0 : packed;
	return 0;
}

static int on_cost(void *ctx, const struct ay_bundle_record *r, double cost, struct ay_err *err)
{
	struct seen *s = ctx;

	(void)r;
	(void)err;
	AY_ASSERT(cost >= 0);
	s->cost += cost;
	return 0;
}

static void put_section(unsigned i, uint32_t type, uint32_t flags, uint32_t at, uint32_t size, uint32_t link)
{
	const uint32_t h[16] = {1,  type, flags, 0, type == 1 ? at : 0, 0, at, 0, size, 0, link, 1,
				16, 0,    24,    0};

	for (unsigned k = 0; k < 64; k++)
		base_elf[64 + 64 * i + k] = (uint8_t)(h[k / 4] >> k % 4 * 8);
}

/* For method elf: the same bytes behind headers that say what there is of code, data, relocations and symbols. */
static void base_elf_make(uint8_t machine)
{
	memcpy(base_elf, base_data, BASE_MAX);
	memset(base_elf, 0, 64 * 8);
	memcpy(base_elf, "\177ELF\2\1\1", 7);
	base_elf[16] = AY__ELF_DYN;
	base_elf[18] = machine;
	base_elf[40] = base_elf[52] = base_elf[58] = 64;
	base_elf[60] = 7;
	put_section(1, 1, 6, 1024, 4096, 0);
	put_section(2, 1, 2, 5120, 1024, 0);
	put_section(3, 1, 3, 6144, 1024, 0);
	put_section(4, 4, 0, 7168, 480, 5);
	put_section(5, 2, 0, 7680, 480, 6);
	put_section(6, 3, 0, 8192, 256, 0);
}

/* Lines as a manifest has them, of files that all have one digest, and of others. */
static void old_make(struct ay_old_files *old)
{
	static struct ay_buf text;
	const bool made = text.len > 0;

	for (unsigned i = 0; i < OLD_FILES && !made; i++)
		ay_put_str(&text, i % 9 ? "f 0644 0 0 1.000000000 7 "
					  "1111111111111111111111111111111111111111111111111111111111111111"
					  " /f\n"
					: "d 0755 0 0 1.000000000 /d\nf 0644 0 0 1.000000000 7 "
					  "1111111111111111111111111111111111111111111111111111111111111111"
					  " /d/f\n");
	AY_ASSERT(ay_old_files_open_mem(old, text.data, text.len, NULL) == 0 && old->n == OLD_FILES);
}

static void fix_checks(uint8_t *data, size_t len)
{
	size_t at = AY_BUNDLE_HEADER_SIZE;

	if (len > 8 && data[7] == 1)
		at = AY_BUNDLE_HEADER_V1;
	if (len < at)
		return;
	ay__check(data, at - 8, data + at - 8);
	while (len - at >= AY_SECTION_HEAD_SIZE) {
		size_t n = data[at + 1], head = AY_SECTION_HEAD_SIZE + n * AY_SECTION_STREAM_SIZE;
		uint64_t packed = 0;

		if (head > len - at)
			return;
		for (size_t i = 0; i < n; i++)
			packed += ay_get_le32(data + at + AY_SECTION_HEAD_SIZE + i * AY_SECTION_STREAM_SIZE +
					      4);
		if (packed > len - at - head || len - at - head - packed < 8)
			return;
		ay__check(data + at, head + packed, data + at + head + packed);
		at += head + packed + 8;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (len < 1)
		return 0;
	struct seen s = {.skip_odd = data[0] & 4, .old = data[0] & 16};
	struct ay_old_files old = {0};
	const struct ay_bundle_sink sink = {.ctx = &s,
					    .header = on_header,
					    .delta = on_delta,
					    .old = s.old ? &old : NULL,
					    .begin = on_begin,
					    .base = on_base,
					    .data = on_data,
					    .end = on_end,
					    .stream = on_stream,
					    .cost = on_cost};
	struct ay_bundle_limits limits = {.memory = ay_bundle_memory(65536) + ay__elf_extra_memory(BASE_MAX),
					  .delta_size = 1u << 20};
	struct ay_err err = {0};
	uint8_t *bundle = malloc(len);

	AY_ASSERT(bundle);
	for (size_t i = 0; i < BASE_MAX && base_data[1] == 0; i++)
		base_data[i] = (uint8_t)(i * 7 >> i % 5);
	base_elf_make(data[0] & 8 ? AY__ELF_AARCH64 : AY__ELF_X86_64);
	memcpy(bundle, data + 1, len - 1);
	if (len > AY_BUNDLE_HEADER_V1) {
		/* the size's upper bytes */
		bundle[82] &= UNPACKED_MAX / 65536 - 1;
		memset(bundle + 83, 0, 5);
		bundle[98] &= 1; /* the part limit's, which memory for method elf would let be large */
		bundle[99] = 0;
	}
	if (data[0] & 2)
		fix_checks(bundle, len - 1);
	if (s.old)
		old_make(&old);
	int fd = fd_of(bundle, len - 1);
	int rc = ay_bundle_read(fd, &limits, &sink, data[0] & 1, &err);
	AY_ASSERT(rc == 0 || (err.code == rc && err.msg[0]));
	AY_ASSERT(rc != 0 || (s.sizes == s.h.unpacked_size && s.delta == s.h.delta_size));
	/* Shares of columns that are used up are the columns. */
	AY_ASSERT(rc != 0 || !(data[0] & 1) || (s.cost > s.packed - 1 && s.cost < s.packed + 1));
	close(fd);
	free(bundle);
	ay_old_files_release(&old);
	return 0;
}
