/* SPDX-License-Identifier: MIT */
/*
 * diff/bsdiff40_apply.c - reading the classic patch format, whoever wrote it (diff/bsdiff40.h).
 *
 * The three blocks are unpacked side by side, a piece at a time, and the old file is read where a triple points: so a patch
 * of any size needs the same memory. bzip2 checks each block against its own CRC at its end, which is why a block must
 * end where the new file does.
 */
#include <bzlib.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "diff/bsdiff40.h"
#include "diff/section.h"

#define CHUNK      65536
#define SIZE_LIMIT (1ull << 62) /* so that no sum of two numbers wraps */

struct unpacker {
	const char *name;
	bz_stream bz;
	bool ready, ended;
	int fd;
	uint64_t at, end; /* of the packed bytes not read yet */
	char in[CHUNK];
};

struct patch {
	struct unpacker control, diff, extra;
	int old_fd;
	uint64_t old_size, new_size;
	uint64_t done, triples;
	int64_t old_at;
	ay_write_fn write;
	void *ctx;
	struct ay_err *err;
	uint8_t buf[CHUNK], old[CHUNK];
};

static int64_t get_number(const uint8_t *p)
{
	uint64_t u = ay_get_le64(p) & ~(1ull << 63);

	return p[7] & 0x80 ? -(int64_t)u : (int64_t)u;
}

struct header {
	uint64_t control, diff, new_size;
};

static int header_read(int fd, uint64_t size, struct header *h, struct ay_err *err)
{
	uint8_t raw[AY_BSDIFF40_HEADER_SIZE];

	if (size < sizeof(raw))
		return ay_err_set(err, AY_EFORMAT, "%llu bytes are too few for a bsdiff40 patch",
				  (unsigned long long)size);
	int r = ay__pread_all(fd, raw, sizeof(raw), 0, AY_EFORMAT, err);
	if (r < 0)
		return r;
	if (memcmp(raw, AY_BSDIFF40_MAGIC, 8) != 0)
		return ay_err_set(err, AY_EFORMAT, "no bsdiff40 patch: it does not begin with BSDIFF40");
	int64_t control = get_number(raw + 8), diff = get_number(raw + 16), new_size = get_number(raw + 24);
	uint64_t left = size - sizeof(raw);
	if (control < 0 || (uint64_t)control > left)
		return ay_err_set(
			err, AY_EFORMAT,
			"offset 8: a control block of %lld bytes does not fit a patch of %llu bytes",
			(long long)control, (unsigned long long)size);
	left -= (uint64_t)control;
	if (diff < 0 || (uint64_t)diff > left)
		return ay_err_set(
			err, AY_EFORMAT,
			"offset 16: a difference block of %lld bytes does not fit a patch of %llu bytes",
			(long long)diff, (unsigned long long)size);
	if (new_size < 0 || (uint64_t)new_size > SIZE_LIMIT)
		return ay_err_set(err, AY_EFORMAT, "offset 24: a new file of %lld bytes makes no sense",
				  (long long)new_size);
	*h = (struct header){(uint64_t)control, (uint64_t)diff, (uint64_t)new_size};
	return 0;
}

static int patch_size(int fd, uint64_t *size, struct ay_err *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return ay_err_errno(err, errno, "patch");
	*size = (uint64_t)st.st_size;
	return 0;
}

int ay_bsdiff40_new_size(int fd, uint64_t *size, struct ay_err *err)
{
	struct header h;
	uint64_t patch = 0;
	int r = patch_size(fd, &patch, err);

	if (r == 0)
		r = header_read(fd, patch, &h, err);
	if (r == 0)
		*size = h.new_size;
	return r;
}

static int unpacker_init(struct unpacker *u, const char *name, int fd, uint64_t at, uint64_t end)
{
	u->name = name;
	u->fd = fd;
	u->at = at;
	u->end = end;
	u->ready = BZ2_bzDecompressInit(&u->bz, 0, 0) == BZ_OK;
	return u->ready ? 0 : -ENOMEM;
}

/* More packed bytes, if there are any. */
static int refill(struct patch *p, struct unpacker *u)
{
	size_t n = u->end - u->at < CHUNK ? (size_t)(u->end - u->at) : CHUNK;

	if (u->bz.avail_in > 0 || n == 0)
		return 0;
	int r = ay__pread_all(u->fd, u->in, n, u->at, AY_EFORMAT, p->err);
	u->at += n;
	u->bz.next_in = u->in;
	u->bz.avail_in = (unsigned)n;
	return r;
}

/* Up to @len bytes; *@got fewer only when the block has ended. */
static int unpack_some(struct patch *p, struct unpacker *u, uint8_t *dst, size_t len, size_t *got)
{
	u->bz.next_out = (char *)dst;
	u->bz.avail_out = (unsigned)len;
	while (!u->ended && u->bz.avail_out > 0) {
		int r = refill(p, u);
		if (r < 0)
			return r;
		unsigned in = u->bz.avail_in, out = u->bz.avail_out;
		int bz = BZ2_bzDecompress(&u->bz);
		u->ended = bz == BZ_STREAM_END;
		if (bz == BZ_MEM_ERROR)
			return ay_err_errno(p->err, ENOMEM, "%s block", u->name);
		if (bz != BZ_OK && bz != BZ_STREAM_END)
			return ay_err_set(p->err, AY_EFORMAT,
					  "%s block, before byte %llu of the patch: not what bzip2 writes",
					  u->name, (unsigned long long)(u->at - u->bz.avail_in));
		if (!u->ended && in == 0 && u->bz.avail_out == out)
			return ay_err_set(p->err, AY_EFORMAT, "the %s block ends in the middle", u->name);
	}
	*got = len - u->bz.avail_out;
	return 0;
}

static int unpack(struct patch *p, struct unpacker *u, uint8_t *dst, size_t len)
{
	size_t got = 0;
	int r = unpack_some(p, u, dst, len, &got);

	if (r == 0 && got < len)
		return ay_err_set(p->err, AY_EFORMAT, "the %s block has too few bytes", u->name);
	return r;
}

/* All was taken out of it: it must end here, so that its CRC is checked, and nothing may stand behind. */
static int unpacker_end(struct patch *p, struct unpacker *u)
{
	uint8_t more;
	size_t got = 0;
	int r = unpack_some(p, u, &more, 1, &got);

	if (r < 0)
		return r;
	if (got > 0)
		return ay_err_set(p->err, AY_EFORMAT, "the %s block goes on when the new file is complete",
				  u->name);
	if (u->bz.avail_in > 0 || u->at < u->end)
		return ay_err_set(p->err, AY_EFORMAT, "bytes stand behind the %s block", u->name);
	return 0;
}

static int put(struct patch *p, size_t len)
{
	int r = p->write(p->ctx, p->buf, len);

	p->done += len;
	return r;
}

static int copy(struct patch *p, uint64_t len)
{
	while (len > 0) {
		size_t n = len < CHUNK ? (size_t)len : CHUNK;
		int r = unpack(p, &p->diff, p->buf, n);

		if (r == 0)
			r = ay__pread_all(p->old_fd, p->old, n, (uint64_t)p->old_at, AY_EBASE, p->err);
		if (r < 0)
			return r;
		for (size_t i = 0; i < n; i++)
			p->buf[i] = (uint8_t)(p->buf[i] + p->old[i]);
		if ((r = put(p, n)) < 0)
			return r;
		p->old_at += (int64_t)n;
		len -= n;
	}
	return 0;
}

static int extra(struct patch *p, uint64_t len)
{
	while (len > 0) {
		size_t n = len < CHUNK ? (size_t)len : CHUNK;
		int r = unpack(p, &p->extra, p->buf, n);

		if (r == 0)
			r = put(p, n);
		if (r < 0)
			return r;
		len -= n;
	}
	return 0;
}

static int triple(struct patch *p)
{
	uint8_t raw[24];
	int r = unpack(p, &p->control, raw, sizeof(raw));

	if (r < 0)
		return r;
	int64_t x = get_number(raw), y = get_number(raw + 8), z = get_number(raw + 16);
	uint64_t left = p->new_size - p->done;
	if (x < 0 || y < 0 || (uint64_t)x > left || (uint64_t)y > left - (uint64_t)x)
		return ay_err_set(p->err, AY_EFORMAT,
				  "%lld bytes copied and %lld new where the new file still lacks %llu",
				  (long long)x, (long long)y, (unsigned long long)left);
	if (x > 0 && (p->old_at < 0 || (uint64_t)p->old_at > p->old_size ||
		      (uint64_t)x > p->old_size - (uint64_t)p->old_at))
		return ay_err_set(p->err, AY_EFORMAT,
				  "a copy of %lld bytes from %lld, outside the old file's %llu", (long long)x,
				  (long long)p->old_at, (unsigned long long)p->old_size);
	if ((r = copy(p, (uint64_t)x)) < 0 || (r = extra(p, (uint64_t)y)) < 0)
		return r;
	if (__builtin_add_overflow(p->old_at, z, &p->old_at))
		return ay_err_set(p->err, AY_EFORMAT, "a move by %lld is out of all bounds", (long long)z);
	return 0;
}

static int run(struct patch *p)
{
	while (p->done < p->new_size) {
		uint64_t n = p->triples++;
		/* One a byte would be absurd; this bounds the work that triples which do nothing can make. */
		int r = n > p->new_size + 16 ? ay_err_set(p->err, AY_EFORMAT, "too many that do nothing")
					     : triple(p);
		if (r < 0)
			return ay_err_wrap(p->err, r, "control triple %llu, at byte %llu of the new file",
					   (unsigned long long)n, (unsigned long long)p->done);
	}
	int r = unpacker_end(p, &p->control);
	if (r == 0)
		r = unpacker_end(p, &p->diff);
	return r == 0 ? unpacker_end(p, &p->extra) : r;
}

static int begin(struct patch *p, int fd, uint64_t max)
{
	struct header h;
	struct stat st;
	uint64_t size = 0;
	int r = patch_size(fd, &size, p->err);

	if (r == 0)
		r = header_read(fd, size, &h, p->err);
	if (r < 0)
		return r;
	if (h.new_size > max)
		return ay_err_set(p->err, AY_ELIMIT, "it gives %llu bytes, at most %llu are allowed",
				  (unsigned long long)h.new_size, (unsigned long long)max);
	if (fstat(p->old_fd, &st) < 0)
		return ay_err_errno(p->err, errno, "old file");
	p->old_size = (uint64_t)st.st_size;
	p->new_size = h.new_size;
	uint64_t diff_at = AY_BSDIFF40_HEADER_SIZE + h.control, extra_at = diff_at + h.diff;
	r = unpacker_init(&p->control, "control", fd, AY_BSDIFF40_HEADER_SIZE, diff_at);
	if (r == 0)
		r = unpacker_init(&p->diff, "difference", fd, diff_at, extra_at);
	if (r == 0)
		r = unpacker_init(&p->extra, "extra", fd, extra_at, size);
	return r < 0 ? ay_err_errno(p->err, -r, "read the patch") : 0;
}

int ay_bsdiff40_apply(int fd, int old_fd, uint64_t max, ay_write_fn write, void *ctx, struct ay_err *err)
{
	AY_FREE struct patch *p = calloc(1, sizeof(*p));

	if (!p)
		return ay_err_errno(err, ENOMEM, "read the patch");
	p->old_fd = old_fd;
	p->write = write;
	p->ctx = ctx;
	p->err = err;
	int r = begin(p, fd, max);
	if (r == 0)
		r = run(p);
	struct unpacker *const all[] = {&p->control, &p->diff, &p->extra};
	for (size_t i = 0; i < 3; i++) {
		if (all[i]->ready)
			BZ2_bzDecompressEnd(&all[i]->bz);
	}
	return r;
}
