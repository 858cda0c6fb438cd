/* SPDX-License-Identifier: MIT */
/*
 * diff/make_window_run.c - the work of one thread on one file.
 *
 * Whole files when they fit; a file too large for the memory is cut into windows, each diffed against
 * the old file's bytes around the same relative place.
 */
#include "diff/make_window_run.h"

#include <errno.h>

#include "base/cleanup.h"
#include "base/sparse.h"
#include "diff/make_inside.h"
#include "diff/make_window_internal.h"

#define LITERAL_TINY 64 /* of files so small too little can be saved for a base to be read */
#define BASE_COST    4  /* packed bytes of naming a base: its place in the old manifest, its size */
#define METHODS_FAST AY__METHOD_BIT(AY_METHOD_BSDIFF)
#define FAST_ELF     (16ull << 20) /* from here on masking an ELF file takes less time than it saves the search */

static struct ay__span span_of(const struct ay__bytes *b, uint64_t at, uint64_t size)
{
	return (struct ay__span){.bytes = {.data = b->data, .len = b->len}, .at = at, .size = size};
}

/* The whole file: try bases until one is good, then see whether the bytes themselves cost less. @best: the cost, if known. */
static int run_plain(struct ay__window *w, const struct ay__bytes *new_, uint64_t *cost, struct ay_err *err)
{
	AY_CLEANUP(ay__bytes_free) struct ay__bytes old = {0};
	const struct ay_match *match = &w->record->match;
	struct ay__span target = span_of(new_, 0, new_->len), base;
	uint64_t best = UINT64_MAX, this = 0;
	int rc = 0;

	for (unsigned i = 0; i < match->n && new_->len > LITERAL_TINY; i++) {
		AY_CLEANUP(ay__encoded_release) struct ay__encoded e = {0};
		struct ay_entry entry = ay__plan_entry(&w->plan->old.files[match->base[i]]);

		rc = ay__window_read(w->old_tree, &entry, NULL, 0, (size_t)entry.size, &old, err);
		if (rc == 0) {
			base = span_of(&old, 0, old.len);
			bool plain = w->fast && new_->len < FAST_ELF;
			rc = ay__window_encode(w, &base, &target, plain ? METHODS_FAST : AY__METHODS_DIFF,
					       &e);
		}
		if (rc == 0)
			rc = ay__encoded_cost(&e, &this);
		if (rc)
			return rc;
		if (this < best) {
			best = this;
			ay__window_take(w, &e, match->base[i]);
		}
		*cost = best;
		if (best <= new_->len / AY__GOOD_SHARE)
			return 0;
		if (w->fast)
			break;
	}
	AY_CLEANUP(ay__encoded_release) struct ay__encoded e = {0};
	rc = ay__window_encode(w, NULL, &target, AY__METHOD_BIT(AY_METHOD_LITERAL), &e);
	if (rc == 0 && (best != UINT64_MAX || w->inside))
		rc = ay__encoded_cost(&e, &this);
	if (rc == 0 && (best == UINT64_MAX || this <= best + BASE_COST)) {
		*cost = this;
		ay__window_take(w, &e, 0);
	}
	return rc;
}

static int run_whole(struct ay__window *w, const struct ay__bytes *new_, struct ay_err *err)
{
	uint64_t best = UINT64_MAX;
	int rc = run_plain(w, new_, &best, err);

	if (rc == 0 && w->inside)
		rc = ay__window_inside(w, new_, best, err);
	if (rc != 1)
		return rc;
	ay__window_reset(w);
	w->aside = NULL;
	return run_whole(w, new_, err);
}

/* One of several windows: method and base were chosen for the whole file. */
static int run_window(struct ay__window *w, const struct ay__bytes *new_, struct ay_err *err)
{
	AY_CLEANUP(ay__bytes_free) struct ay__bytes old = {0};
	AY_CLEANUP(ay__encoded_release) struct ay__encoded coded = {0};
	uint64_t new_size = w->plan->new_.files[w->record->file].size;
	struct ay__span target = span_of(new_, w->at, new_size), base;
	unsigned method = AY__METHOD_BIT(w->method);

	if (w->method == AY_METHOD_LITERAL) {
		int rc = ay__window_encode(w, NULL, &target, method, &coded);
		if (rc == 0)
			ay__window_take(w, &coded, 0);
		return rc;
	}
	struct ay_entry e = ay__plan_entry(&w->plan->old.files[w->base]);
	uint64_t old_len = e.size, old_at = 0;
	if (old_len > w->sizes.old_max) {
		/* The middle of the window, at the same share of the old file's length. */
		uint64_t half = w->at + w->len / 2;
		uint64_t middle = (uint64_t)((double)half / (double)new_size * (double)e.size);

		old_len = w->sizes.old_max;
		old_at = middle > old_len / 2 ? (middle - old_len / 2) / AY_LEAF_SIZE * AY_LEAF_SIZE : 0;
		if (old_at + old_len > e.size)
			old_len = e.size - old_at;
	}
	int rc = ay__window_read(w->old_tree, &e, w->old_merkle, old_at, (size_t)old_len, &old, err);
	if (rc == 0) {
		base = span_of(&old, old_at, e.size);
		rc = ay__window_encode(w, &base, &target, method, &coded);
	}
	if (rc == 0)
		ay__window_take(w, &coded, w->base);
	return rc;
}

/* Windows begin at multiples of a block. */
static uint64_t count_zeros(const struct ay__bytes *b)
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
	AY_CLEANUP(ay__bytes_free) struct ay__bytes new_ = {0};
	struct ay_entry e = ay__plan_entry(&w->plan->new_.files[w->record->file]);
	int rc = ay__window_read(w->new_tree, &e, w->new_merkle, w->at, (size_t)w->len, &new_, err);

	if (rc)
		return rc;
	rc = w->whole ? run_whole(w, &new_, err) : run_window(w, &new_, err);
	w->zero_bytes = count_zeros(&new_);
	return rc == -ENOMEM ? ay_err_errno(err, ENOMEM, "%s", e.path) : rc;
}
