/* SPDX-License-Identifier: MIT */
/*
 * diff/make_window.c - the work of one thread on one file.
 *
 * Whole files when they fit; a file too large for the memory is cut into windows, each diffed against
 * the old file's bytes around the same relative place. Whatever was read is compared with the manifest's digest (a
 * window by its Merkle leaves), so that a file that changes under us is found out here and not on a laptop.
 */
#include "diff/make_window.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/sparse.h"
#include "diff/codec.h"
#include "diff/section.h"

#define NEW_MAX      (512ull << 20)
#define OLD_MAX      (768ull << 20)
#define LITERAL_MAX  (8ull << 20)
#define NEW_MIN      (1ull << 20) /* windows are not made smaller, however little memory is allowed */
#define LITERAL_TINY 64           /* files so small cost less than a base's digest does */
#define BASE_COST    36           /* packed bytes that naming a base costs */
#define GOOD_SHARE   4            /* a diff below this share of the file needs no second look */

struct bytes {
	uint8_t *data;
	size_t len;
};

static void bytes_free(struct bytes *b)
{
	free(b->data);
}

static uint64_t need(uint64_t old_len, uint64_t new_len)
{
	/* Both files, the search, and the columns, which may be as large as the file and twice while they grow. */
	return old_len + new_len + ay_bsdiff_memory(old_len, new_len) + 3 * new_len;
}

struct ay__window_sizes ay__window_sizes_for(uint64_t memory)
{
	struct ay__window_sizes s = {.new_max = NEW_MAX, .old_max = OLD_MAX, .literal_max = LITERAL_MAX};

	while (s.new_max > NEW_MIN && need(s.old_max, s.new_max) > memory) {
		s.new_max /= 2;
		s.old_max /= 2;
	}
	return s;
}

bool ay__window_whole(const struct ay__window_sizes *sizes, const struct ay__plan *plan,
		      const struct ay__plan_record *record)
{
	uint64_t size = plan->new_.files[record->file].size;

	if (record->match.n == 0)
		return size <= sizes->literal_max;
	for (unsigned i = 0; i < record->match.n; i++) {
		if (plan->old.files[record->match.base[i]].size > sizes->old_max)
			return false;
	}
	return size <= sizes->new_max;
}

uint64_t ay__window_memory(const struct ay__window *w)
{
	uint64_t old_len = 0;

	for (unsigned i = 0; i < w->record->match.n; i++) {
		uint64_t size = w->plan->old.files[w->record->match.base[i]].size;

		old_len = size > old_len ? size : old_len;
	}
	if (old_len > w->sizes.old_max)
		old_len = w->sizes.old_max;
	return need(old_len, w->len);
}

/* As ay__pread_all() into zeros, but holes are not read: the kernel would fill its cache with them. */
static int pread_data(int fd, const struct stat *st, uint8_t *zeros, size_t len, uint64_t at,
		      struct ay_err *err)
{
	uint64_t stop = at + len, end = stop;
	bool sparse = st->st_blocks * 512 < st->st_size;

	for (int rc = 0; at < stop; at = end) {
		end = stop;
		if (!sparse || !ay_sparse_next(fd, at, stop, &end))
			rc = ay__pread_all(fd, zeros, (size_t)(end - at), at, AY_EDIGEST, err);
		if (rc)
			return rc;
		zeros += end - at;
	}
	return 0;
}

/* Bytes [@at, @at + @len) of file @e of @tree, proved. */
static int read_proved(const struct ay_make_tree *tree, const struct ay_entry *e,
		       const struct ay_merkle *merkle, uint64_t at, size_t len, struct bytes *out,
		       struct ay_err *err)
{
	AY_CLOSE int fd = -1;
	struct ay_digest digest;
	struct stat st;
	int rc = tree->open(tree->ctx, e, &fd, err);

	if (rc)
		return rc;
	if (fstat(fd, &st))
		return ay_err_errno(err, errno, "%s", e->path);
	if ((uint64_t)st.st_size != e->size)
		return ay_err_set(err, AY_EDIGEST,
				  "%s: has %lld bytes, but the manifest says %llu: it changed", e->path,
				  (long long)st.st_size, (unsigned long long)e->size);
	free(out->data);
	*out = (struct bytes){.data = calloc(1, len + 1), .len = len};
	if (!out->data)
		return ay_err_errno(err, ENOMEM, "%s: %zu bytes", e->path, len);
	rc = pread_data(fd, &st, out->data, len, at, err);
	if (rc)
		return ay_err_wrap(err, rc, "%s", e->path);
	if (merkle) {
		rc = len ? ay_merkle_check(merkle, at, out->data, len) : 0;
	} else {
		ay_digest_mem(out->data, len, &digest);
		rc = ay_digest_eq(&digest, &e->digest) ? 0 : AY_EDIGEST;
	}
	return rc ? ay_err_set(err, rc, "%s: is not what the manifest says: it changed", e->path) : 0;
}

int ay__window_merkle(const struct ay_make_tree *tree, const struct ay_entry *e, struct ay_merkle **out,
		      struct ay_err *err)
{
	AY_CLOSE int fd = -1;
	int rc = tree->open(tree->ctx, e, &fd, err);

	if (rc)
		return rc;
	rc = ay_merkle_build_fd(fd, out);
	if (rc)
		return ay_err_set(err, rc, "%s: %s", e->path, ay_strerror(rc));
	if (ay_digest_eq(ay_merkle_digest(*out), &e->digest))
		return 0;
	ay_merkle_free(*out);
	*out = NULL;
	return ay_err_set(err, AY_EDIGEST, "%s: is not what the manifest says: it changed", e->path);
}

static int code_literal(struct ay__window *w, const struct bytes *new_, struct ay_columns *c)
{
	struct ay_bsdiff_op all = {.extra_len = new_->len};
	struct ay_bsdiff_ops ops = {.ops = &all, .n = new_->len > 0};
	struct ay_slice bytes = {.data = new_->data, .len = new_->len};

	return ay_columns_encode(c, (struct ay_slice){0}, 0, bytes, &ops, false, w->piece_max);
}

static int code_diff(struct ay__window *w, const struct bytes *old, uint64_t old_at, const struct bytes *new_,
		     struct ay_columns *c)
{
	struct ay_bsdiff_params params = {.threshold = AY_BSDIFF_THRESHOLD, .shortcut = AY_BSDIFF_SHORTCUT};
	struct ay_slice o = {.data = old->data, .len = old->len}, n = {.data = new_->data, .len = new_->len};
	struct ay_bsdiff_ops ops = {0};
	int rc = ay_bsdiff(o, n, &params, &ops);

	if (rc == 0)
		rc = ay_columns_encode(c, o, old_at, n, &ops, true, w->piece_max);
	ay_bsdiff_ops_release(&ops);
	return rc;
}

/* About what the columns will cost when packed. */
static int cost(const struct ay_columns *c, uint64_t *bytes)
{
	struct ay_buf all = {0};
	size_t packed = 0;

	for (unsigned i = 0; i < AY_STREAMS; i++)
		ay_put_bytes(&all, c->col[i].data, c->col[i].len);
	int rc = ay_buf_status(&all);
	if (rc == 0)
		rc = ay_codec_estimate(all.data, all.len, &packed);
	ay_buf_release(&all);
	*bytes = packed;
	return rc;
}

static void take(struct ay__window *w, struct ay_columns *c, enum ay_bundle_method method, uint32_t base)
{
	ay_columns_release(&w->columns);
	w->columns = *c;
	*c = (struct ay_columns){0};
	w->method = method;
	w->base = base;
}

/* The whole file: try bases until one is good, then see whether the bytes themselves cost less. */
static int run_whole(struct ay__window *w, const struct bytes *new_, struct ay_err *err)
{
	AY_CLEANUP(bytes_free) struct bytes old = {0};
	AY_CLEANUP(ay_columns_release) struct ay_columns c = {0};
	const struct ay_match *match = &w->record->match;
	uint64_t best = UINT64_MAX, this = 0;
	int rc = 0;

	w->method = AY_METHOD_LITERAL;
	for (unsigned i = 0; i < match->n && new_->len > LITERAL_TINY; i++) {
		const struct ay_entry *e = &w->plan->old.entries[match->base[i]];

		rc = read_proved(w->old_tree, e, NULL, 0, (size_t)e->size, &old, err);
		if (rc == 0)
			rc = code_diff(w, &old, 0, new_, &c);
		if (rc)
			return rc;
		this = ay_columns_size(&c);
		if (this < best) {
			best = this;
			take(w, &c, AY_METHOD_BSDIFF, match->base[i]);
		}
		ay_columns_release(&c);
		if (best <= new_->len / GOOD_SHARE)
			return 0;
	}
	rc = code_literal(w, new_, &c);
	if (rc == 0 && w->method == AY_METHOD_BSDIFF) {
		rc = cost(&w->columns, &best);
		if (rc == 0)
			rc = cost(&c, &this);
		if (rc == 0 && this <= best + BASE_COST)
			w->method = AY_METHOD_LITERAL;
	}
	if (rc == 0 && w->method == AY_METHOD_LITERAL)
		take(w, &c, AY_METHOD_LITERAL, 0);
	return rc;
}

/* One of several windows: method and base were chosen for the whole file. */
static int run_window(struct ay__window *w, const struct bytes *new_, struct ay_err *err)
{
	AY_CLEANUP(bytes_free) struct bytes old = {0};

	if (w->method == AY_METHOD_LITERAL)
		return code_literal(w, new_, &w->columns);
	const struct ay_entry *e = &w->plan->old.entries[w->base];
	uint64_t new_size = w->plan->new_.files[w->record->file].size, old_len = e->size, old_at = 0;
	if (old_len > w->sizes.old_max) {
		/* The middle of the window, at the same share of the old file's length. */
		uint64_t half = w->at + w->len / 2;
		uint64_t middle = (uint64_t)((double)half / (double)new_size * (double)e->size);

		old_len = w->sizes.old_max;
		old_at = middle > old_len / 2 ? (middle - old_len / 2) / AY_LEAF_SIZE * AY_LEAF_SIZE : 0;
		if (old_at + old_len > e->size)
			old_len = e->size - old_at;
	}
	int rc = read_proved(w->old_tree, e, w->old_merkle, old_at, (size_t)old_len, &old, err);
	return rc ? rc : code_diff(w, &old, old_at, new_, &w->columns);
}

/* Windows begin at multiples of a block. */
static uint64_t count_zeros(const struct bytes *b)
{
	uint64_t n = 0;

	for (size_t i = 0; i < b->len; i += AY_HOLE_SIZE) {
		size_t len = b->len - i < AY_HOLE_SIZE ? b->len - i : AY_HOLE_SIZE;
		n += ay_is_zero(b->data + i, len) ? len : 0;
	}
	return n;
}

int ay__window_run(struct ay__window *w, struct ay_err *err)
{
	AY_CLEANUP(bytes_free) struct bytes new_ = {0};
	const struct ay_entry *e = &w->plan->new_.entries[w->record->file];
	int rc = read_proved(w->new_tree, e, w->new_merkle, w->at, (size_t)w->len, &new_, err);

	if (rc)
		return rc;
	w->zero_bytes = count_zeros(&new_);
	rc = w->whole ? run_whole(w, &new_, err) : run_window(w, &new_, err);
	return rc == -ENOMEM ? ay_err_errno(err, ENOMEM, "%s", e->path) : rc;
}

void ay__window_release(struct ay__window *w)
{
	ay_columns_release(&w->columns);
}
