/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as a bundle, read once, and once more in two readings of which the second goes on where the first was stopped:
 * both ways must come to the same.
 *
 * Byte 0, flags: 1 records are decoded; 2 all sums are made to fit, the records' digests too (else the fuzzer would have to know SHA-256);
 * 4 every other record is skipped; 8 the made-up base of method elf is of AArch64; 16 threads; 32 the header declares all that is
 * allowed; 64 the place to go on from is another than was told; 128 the manifest that it starts from is at hand. Byte 1: at which place the first of two readings is stopped, 0: there
 * is only one. Bytes 2-3: bytes of the bases of its own (bundle_bases.h) that the input ends with. Between lies the bundle. What comes out must stay within the sizes that were said before.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "diff/elf_columns.h"
#include "diff/section.h"
#include "tests/fuzz/diff/bundle_bases.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum {
	DECODE = 1,
	SUMS_FIT = 2,
	SKIP_ODD = 4,
	AARCH64 = 8,
	THREADS = 16,
	DECLARE_ALL = 32,
	OTHER_PLACE = 64,
	OLD_HERE = 128
};

/* A few bytes may stand for as many zeros as the header says, or have much packed again: time, not memory. */
#define UNPACKED_MAX (1u << 20)
#define FILTERED_MAX 4
#define EXTRA_MAX    (48u << 20)
#define SCRATCH_MAX  (8u << 20)
#define OLD_FILES    100 /* that the manifest has */
#define SEEN_RECORDS 256 /* bases of later ones begin at 0 */

struct seen {
	unsigned flags, filtered;
	struct ay_bundle_header h;
	uint64_t delta, sizes, base_at[SEEN_RECORDS + 1];
	double packed, cost;
	/* of the thread that is given the bytes */
	struct ay_hasher *hasher;
	struct ay_buf file; /* the record in hand */
	uint64_t sum;       /* of what all records gave */
	unsigned stop_at, places;
	struct ay_bundle_place place;
	const struct ay_bundle_place *from;
	const struct ay_buf *from_file;
	/* the temporary file */
	int scratch;
	uint64_t scratch_size, scratch_len;
};

static int on_header(void *ctx, const struct ay_bundle_header *h, struct ay_err *err)
{
	struct seen *s = ctx;

	(void)err;
	s->h = *h;
	AY_ASSERT(h->part_limit < 131072 && h->n_records <= AY_BUNDLE_RECORDS_MAX);
	AY_ASSERT(h->scratch_size <= SCRATCH_MAX);
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

	*skip = s->flags & SKIP_ODD && r->index % 2;
	if (r->index < SEEN_RECORDS)
		s->base_at[r->index + 1] =
			s->base_at[r->index] + (r->base_sizes[0] < BASE_MAX ? r->base_sizes[0] : 0);
	if (r->filters && s->filtered++ == FILTERED_MAX)
		return ay_err_set(err, AY_ELIMIT, "too much for us");
	s->sizes += r->size;
	AY_ASSERT(s->from || s->sizes <= s->h.unpacked_size);
	AY_ASSERT((r->method != AY_METHOD_LITERAL) == (r->n_bases == 1));
	if (r->n_bases && r->base_numbers[0]) {
		AY_ASSERT(r->base_numbers[0] <= (s->flags & OLD_HERE ? OLD_FILES : AY_BUNDLE_OLD_MAX));
		AY_ASSERT(r->bases[0].b[0] == (s->flags & OLD_HERE ? 0x11 : 0));
	}
	return 0;
}

static int on_base(void *ctx, const struct ay_bundle_record *r, unsigned base, int *fd, struct ay_err *err)
{
	const struct seen *s = ctx;
	uint64_t size = r->base_sizes[base];

	AY_ASSERT(s->flags & OLD_HERE || r->base_numbers[base] == 0);
	if (size > BASE_MAX)
		return ay_err_set(err, AY_EBASE, "too large for us");
	*fd = base_fd(r->index < SEEN_RECORDS ? s->base_at[r->index] : 0,
		      size - (r->bases[base].b[0] == 1 && size > 0), r->method == AY_METHOD_ELF);
	return 0;
}

/* Its digest is what it should be. */
static void digest_fits(struct seen *s, const struct ay_bundle_record *r)
{
	struct ay_digest d;

	ay_hasher_final(s->hasher, &d);
	if (s->flags & SUMS_FIT)
		((struct ay_bundle_record *)(uintptr_t)r)->target = d;
}

static int on_open(void *ctx, const struct ay_bundle_record *r, struct ay_err *err)
{
	struct seen *s = ctx;

	(void)err;
	ay_hasher_reset(s->hasher);
	ay_buf_reset(&s->file);
	if (s->from && s->from->inside && s->from->record == r->index) {
		ay_put_bytes(&s->file, s->from_file->data, s->from_file->len);
		ay_hasher_update(s->hasher, s->file.data, s->file.len);
	}
	if (s->file.len == r->size)
		digest_fits(s, r);
	return 0;
}

static int on_data(void *ctx, const struct ay_bundle_record *r, const void *data, size_t len,
		   struct ay_err *err)
{
	struct seen *s = ctx;

	(void)err;
	ay_put_bytes(&s->file, data, len);
	ay_hasher_update(s->hasher, data, len);
	AY_ASSERT(len > 0 && (s->file.len <= r->size || s->flags & OTHER_PLACE));
	if (s->file.len == r->size)
		digest_fits(s, r);
	return 0;
}

static int on_end(void *ctx, const struct ay_bundle_record *r, struct ay_err *err)
{
	struct seen *s = ctx;

	(void)err;
	AY_ASSERT(s->file.len == r->size || s->flags & OTHER_PLACE);
	for (unsigned i = 0; i < 8; i++)
		s->sum += (uint64_t)r->target.b[i] << 8 * i;
	return 0;
}

static int on_place(void *ctx, const struct ay_bundle_place *p, struct ay_err *err)
{
	struct seen *s = ctx;

	AY_ASSERT(p->part <= s->h.n_parts && p->record <= s->h.n_records);
	AY_ASSERT(!p->inside || p->record == p->r.index);
	if (++s->places != s->stop_at)
		return 0;
	s->place = *p;
	return ay_err_set(err, -ECANCELED, "stopped");
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

static int scratch_begin(void *ctx, uint64_t size, struct ay_err *err)
{
	struct seen *s = ctx;

	(void)err;
	AY_ASSERT(size > 0 && size <= s->h.scratch_size);
	if (s->scratch >= 0)
		close(s->scratch);
	s->scratch = fd_of("", 0);
	s->scratch_size = size;
	s->scratch_len = 0;
	return 0;
}

static int scratch_data(void *ctx, const void *data, size_t len, struct ay_err *err)
{
	struct seen *s = ctx;

	(void)err;
	s->scratch_len += len;
	AY_ASSERT(s->scratch_len <= s->scratch_size && write(s->scratch, data, len) == (ssize_t)len);
	return 0;
}

static int scratch_end(void *ctx, int *fd, struct ay_err *err)
{
	struct seen *s = ctx;

	(void)err;
	*fd = s->scratch;
	s->scratch = -1;
	return 0;
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

static void put_le64(uint8_t *p, uint64_t v)
{
	for (unsigned i = 0; i < 8; i++)
		p[i] = (uint8_t)(v >> 8 * i);
}

static void header_change(uint8_t *bundle, size_t len, unsigned flags)
{
	if (len >= AY_BUNDLE_HEADER_V1) {
		/* the size's upper bytes */
		bundle[82] &= UNPACKED_MAX / 65536 - 1;
		memset(bundle + 83, 0, 5);
		bundle[98] &= 1; /* the part limit's, which memory for method elf would let be large */
		bundle[99] = 0;
	}
	if (flags & DECLARE_ALL && len >= AY_BUNDLE_HEADER_SIZE && bundle[7] != 1) {
		put_le64(bundle + 104, EXTRA_MAX);
		put_le64(bundle + 112, SCRATCH_MAX);
	}
}

static int read_it(int fd, struct seen *s, int from_fd, struct ay_err *err)
{
	struct ay_old_files old;
	const struct ay_bundle_scratch scratch = {s, scratch_begin, scratch_data, scratch_end};
	const struct ay_bundle_sink sink = {.ctx = s,
					    .header = on_header,
					    .delta = on_delta,
					    .old = s->flags & OLD_HERE ? &old : NULL,
					    .begin = on_begin,
					    .base = on_base,
					    .scratch = &scratch,
					    .open = on_open,
					    .data = on_data,
					    .end = on_end,
					    .stream = on_stream,
					    .cost = on_cost,
					    .place = on_place};
	const struct ay_bundle_limits limits = {.memory = ay_bundle_memory(131072) + EXTRA_MAX,
						.delta_size = 1u << 20,
						.scratch_size = SCRATCH_MAX,
						.threads = s->flags & THREADS,
						.from = s->from,
						.from_fd = from_fd};

	old_make(&old);
	s->scratch = -1;
	s->hasher = ay_hasher_new();
	AY_ASSERT(s->hasher);
	int rc = ay_bundle_read(fd, &limits, &sink, s->flags & DECODE, err);
	AY_ASSERT(rc == 0 || (err->code == rc && err->msg[0]));
	ay_hasher_free(s->hasher);
	ay_old_files_release(&old);
	if (s->scratch >= 0)
		close(s->scratch);
	return rc;
}

/* One field of what was told. */
static void place_change(struct ay_bundle_place *p, const uint8_t *by, size_t len)
{
	uint64_t v = 0;

	for (size_t i = 1; i < len && i < 9; i++)
		v |= (uint64_t)by[i] << 8 * (i - 1);
	switch (len ? by[0] % 15 : 0) {
	case 0:
		p->part = (uint32_t)v;
		break;
	case 1:
		p->at = v;
		break;
	case 2:
		p->record = (uint32_t)v;
		break;
	case 3:
		p->sizes = v;
		break;
	case 4:
		p->done = v;
		break;
	case 5:
		p->last_old = v;
		break;
	case 6:
		p->inside = v & 1;
		break;
	case 7:
		p->r.size = v;
		break;
	case 8:
		p->r.method = (enum ay_bundle_method)(v % 4);
		break;
	case 9:
		p->r.n_bases = (unsigned)v;
		break;
	case 10:
		p->r.base_sizes[0] = v;
		break;
	case 11:
		p->r.index = p->record = (uint32_t)v;
		break;
	case 12:
		p->r.filters = (uint32_t)v;
		break;
	case 13:
		p->work = v;
		break;
	default:
		p->at += v;
		p->part++;
	}
}

/* Stop at a place, go on from there; @whole, and its @rc: what one reading gave. */
static void in_two(int fd, const struct seen *whole, int rc, unsigned stop_at, const uint8_t *own, size_t n)
{
	struct seen first = {.flags = whole->flags, .stop_at = stop_at}, second = {.flags = whole->flags};
	struct ay_err err = {0};
	int got = read_it(fd, &first, -1, &err);

	if (first.places < stop_at) {
		AY_ASSERT(got == rc && first.sum == whole->sum);
	} else {
		AY_ASSERT(got == -ECANCELED);
		if (first.flags & OTHER_PLACE)
			place_change(&first.place, own, n);
		second.from = &first.place;
		second.from_file = &first.file;
		second.filtered = first.filtered;
		memcpy(second.base_at, first.base_at, sizeof(second.base_at));
		int from_fd = fd_of(first.file.data, first.file.len);
		err = (struct ay_err){0};
		got = read_it(fd, &second, from_fd, &err);
		close(from_fd);
		AY_ASSERT(first.flags & OTHER_PLACE ||
			  (got == rc && (rc || first.sum + second.sum == whole->sum)));
	}
	ay_buf_release(&first.file);
	ay_buf_release(&second.file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (len < 4)
		return 0;
	struct seen s = {.flags = data[0]};
	struct ay_err err = {0};
	size_t own = (size_t)(data[2] | data[3] << 8);
	unsigned stop_at = data[1];

	data += 4, len -= 4;
	own = own < len ? own : len;
	len -= own;
	uint8_t *bundle = malloc(len + 1);
	AY_ASSERT(bundle);
	memcpy(bundle, data, len);
	bases_make(data + len, own, s.flags & AARCH64);
	header_change(bundle, len, s.flags);
	if (s.flags & SUMS_FIT)
		fix_checks(bundle, len);
	int fd = fd_of(bundle, len);
	int rc = read_it(fd, &s, -1, &err);
	AY_ASSERT(rc != 0 || (s.sizes == s.h.unpacked_size && s.delta == s.h.delta_size));
	/* Shares of columns that are used up are the columns. */
	AY_ASSERT(rc != 0 || !(s.flags & DECODE) || (s.cost > s.packed - 1 && s.cost < s.packed + 1));
	if (stop_at && s.flags & DECODE)
		in_two(fd, &s, rc, stop_at, data + len, own);
	close(fd);
	free(bundle);
	ay_buf_release(&s.file);
	return 0;
}
