/* SPDX-License-Identifier: MIT */
/*
 * A sorted array, as a whole in memory and as a whole on the disk: it is written once per scan and read once.
 * The checksum is against accidents (a torn write, a bad disk), not against people: whoever can write here
 * can write into the publisher's store, too.
 */
#include "store/scan_cache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char magic[16] = "ayni-scan-cache\n";

void ay_scan_cache_release(struct ay_scan_cache *c)
{
	free(c->rows);
	memset(c, 0, sizeof(*c));
}

void ay_scan_cache_begin(struct ay_scan_cache *c)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME_COARSE, &now); /* the clock that ctime is taken from */
	c->began_s = now.tv_sec;
	c->began_ns = (uint32_t)now.tv_nsec;
}

static bool racy(const struct ay_scan_cache *c, int64_t s, uint32_t ns)
{
	return s > c->began_s || (s == c->began_s && ns >= c->began_ns);
}

static int cmp_key(uint64_t dev_a, uint64_t ino_a, uint64_t dev_b, uint64_t ino_b)
{
	if (dev_a != dev_b)
		return dev_a < dev_b ? -1 : 1;
	return ino_a < ino_b ? -1 : ino_a > ino_b;
}

static int cmp_rows(const void *a, const void *b)
{
	const struct ay_scan_row *x = a, *y = b;

	return cmp_key(x->dev, x->ino, y->dev, y->ino);
}

int ay_scan_cache_add(struct ay_scan_cache *c, const struct stat *st, const struct ay_digest *d)
{
	if (racy(c, st->st_ctim.tv_sec, (uint32_t)st->st_ctim.tv_nsec))
		return 0;
	if (c->n == AY_SCAN_CACHE_ROWS_MAX)
		return AY_ELIMIT;
	if (c->n == c->cap) {
		size_t cap = c->cap ? c->cap + c->cap / 2 : 1024;
		struct ay_scan_row *grown = reallocarray(c->rows, cap, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		c->rows = grown;
		c->cap = cap;
	}
	c->rows[c->n++] = (struct ay_scan_row){.dev = st->st_dev,
					       .ino = st->st_ino,
					       .size = (uint64_t)st->st_size,
					       .mtime_s = st->st_mtim.tv_sec,
					       .mtime_ns = (uint32_t)st->st_mtim.tv_nsec,
					       .ctime_s = st->st_ctim.tv_sec,
					       .ctime_ns = (uint32_t)st->st_ctim.tv_nsec,
					       .digest = *d};
	return 0;
}

int ay_scan_cache_encode(struct ay_scan_cache *c, struct ay_buf *out)
{
	size_t kept = 0, sum_at, rows_at;
	uint8_t sum[32] = {0};

	if (c->n > 1)
		qsort(c->rows, c->n, sizeof(*c->rows), cmp_rows);
	/* A file with several names comes once for each. */
	for (size_t i = 0; i < c->n; i++) {
		if (kept == 0 || cmp_rows(&c->rows[kept - 1], &c->rows[i]) != 0)
			c->rows[kept++] = c->rows[i];
	}
	c->n = kept;
	ay_put_bytes(out, magic, sizeof(magic));
	ay_put_u32(out, 1);
	ay_put_u32(out, 0);
	ay_put_u64(out, c->n);
	ay_put_u64(out, (uint64_t)c->began_s);
	ay_put_u32(out, c->began_ns);
	ay_put_u32(out, 0);
	sum_at = out->len;
	ay_put_bytes(out, sum, sizeof(sum));
	rows_at = out->len;
	for (size_t i = 0; i < c->n; i++) {
		const struct ay_scan_row *r = &c->rows[i];
		ay_put_u64(out, r->dev);
		ay_put_u64(out, r->ino);
		ay_put_u64(out, r->size);
		ay_put_u64(out, (uint64_t)r->mtime_s);
		ay_put_u64(out, (uint64_t)r->ctime_s);
		ay_put_u32(out, r->mtime_ns);
		ay_put_u32(out, r->ctime_ns);
		ay_put_bytes(out, r->digest.b, AY_DIGEST_LEN);
	}
	if (ay_buf_status(out) < 0)
		return ay_buf_status(out);
	ay_sha256(out->data + rows_at, out->len - rows_at, sum);
	memcpy(out->data + sum_at, sum, sizeof(sum));
	return 0;
}

static int decode_row(struct ay_cursor *in, const struct ay_scan_cache *c, size_t i, struct ay_err *err)
{
	struct ay_scan_row *r = &c->rows[i];

	r->dev = ay_get_u64(in);
	r->ino = ay_get_u64(in);
	r->size = ay_get_u64(in);
	r->mtime_s = (int64_t)ay_get_u64(in);
	r->ctime_s = (int64_t)ay_get_u64(in);
	r->mtime_ns = ay_get_u32(in);
	r->ctime_ns = ay_get_u32(in);
	ay_get_copy(in, r->digest.b, AY_DIGEST_LEN);
	if (r->mtime_ns >= 1000000000 || r->ctime_ns >= 1000000000 || r->size > INT64_MAX)
		return ay_err_set(err, AY_EFORMAT, "scan cache: row %zu: no such time or size", i);
	if (racy(c, r->ctime_s, r->ctime_ns))
		return ay_err_set(err, AY_EFORMAT,
				  "scan cache: row %zu: changed after the scan had begun, not to be trusted",
				  i);
	if (i > 0 && cmp_rows(r - 1, r) >= 0)
		return ay_err_set(err, AY_EFORMAT, "scan cache: row %zu: out of order", i);
	return 0;
}

static int decode_head(struct ay_cursor *in, const uint8_t *data, size_t len, struct ay_scan_cache *c,
		       struct ay_err *err)
{
	uint8_t found[32];
	const uint8_t *first, *sum;

	if (len < AY_SCAN_CACHE_HEAD || memcmp(data, magic, sizeof(magic)) != 0)
		return ay_err_set(err, AY_EFORMAT, "not a scan cache");
	ay_get_bytes(in, sizeof(magic));
	uint32_t version = ay_get_u32(in);
	if (version != 1)
		return ay_err_set(err, AY_EVERSION, "scan cache: version %u is not known", version);
	uint32_t zero = ay_get_u32(in);
	uint64_t n = ay_get_u64(in);
	c->began_s = (int64_t)ay_get_u64(in);
	c->began_ns = ay_get_u32(in);
	zero |= ay_get_u32(in);
	sum = ay_get_bytes(in, 32);
	first = data + AY_SCAN_CACHE_HEAD;
	if (n > AY_SCAN_CACHE_ROWS_MAX)
		return ay_err_set(err, AY_ELIMIT, "scan cache: more than %u rows", AY_SCAN_CACHE_ROWS_MAX);
	if (zero || c->began_ns >= 1000000000 || len - AY_SCAN_CACHE_HEAD != n * AY_SCAN_CACHE_ROW)
		return ay_err_set(err, AY_EFORMAT, "scan cache: the header does not fit its %zu bytes", len);
	ay_sha256(first, len - AY_SCAN_CACHE_HEAD, found);
	if (memcmp(found, sum, sizeof(found)) != 0)
		return ay_err_set(err, AY_EFORMAT, "scan cache: the checksum is wrong: it is damaged");
	c->n = (size_t)n;
	return 0;
}

int ay_scan_cache_decode(const void *data, size_t len, struct ay_scan_cache *c, struct ay_err *err)
{
	struct ay_cursor in;

	memset(c, 0, sizeof(*c));
	ay_cursor_init(&in, data, len);
	int r = decode_head(&in, data, len, c, err);
	if (r == 0 && c->n > 0) {
		c->cap = c->n;
		c->rows = malloc(c->n * sizeof(*c->rows));
		if (!c->rows)
			r = ay_err_errno(err, ENOMEM, "scan cache");
	}
	for (size_t i = 0; r == 0 && i < c->n; i++)
		r = decode_row(&in, c, i, err);
	if (r < 0)
		ay_scan_cache_release(c);
	return r;
}

const struct ay_digest *ay_scan_cache_find(const struct ay_scan_cache *c, const struct stat *st)
{
	size_t low = 0, high = c->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		const struct ay_scan_row *r = &c->rows[mid];
		int cmp = cmp_key(r->dev, r->ino, st->st_dev, st->st_ino);
		if (cmp == 0)
			return r->size == (uint64_t)st->st_size && r->mtime_s == st->st_mtim.tv_sec &&
					       r->mtime_ns == (uint32_t)st->st_mtim.tv_nsec &&
					       r->ctime_s == st->st_ctim.tv_sec &&
					       r->ctime_ns == (uint32_t)st->st_ctim.tv_nsec
				       ? &r->digest
				       : NULL;
		if (cmp < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}
