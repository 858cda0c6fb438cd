/* SPDX-License-Identifier: MIT */
/*
 * diff/make_inside.c - a whole file seen through what is packed inside of it, when that costs less.
 *
 * The file's recipe must be one that was proved to give its bytes back; its base's only has to unpack. Both views
 * are coded like any other bytes.
 */
#include "diff/make_inside.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "diff/codec.h"
#include "diff/encoders.h"
#include "diff/make_window_internal.h"
#include "diff/proof_aside.h"

#define INSIDE_MIN 200         /* a diff of fewer bytes is not worth a look inside */
#define LOOK       (64u << 10) /* bytes of a file in which something packed must begin */
#define ASIDE_MIN  (64u << 10)
#define VIEW_SHARE 16 /* what is inside has at most so many bytes for each of the file's */

/* The filters that may be used. */
static uint32_t encoders_of(const struct ay__window *w)
{
	uint32_t all = AY_ENCODERS_ALL;

	all &= w->without & AY_TECHNIQUE_DEFLATE ? ~(1u << AY__FILTER_DEFLATE) : ~0u;
	all &= w->without & AY_TECHNIQUE_XZ ? ~(1u << AY__FILTER_LZMA2) : ~0u;
	all &= w->without & AY_TECHNIQUE_ZSTD ? ~(1u << AY__FILTER_ZSTD) : ~0u;
	return all;
}

/* One base, seen through what is inside of both. Kept when it costs less than @best. */
static int try_inside(struct ay__window *w, struct ay__inside *target, uint32_t base_index,
		      const struct ay__bytes *old, uint64_t *best)
{
	AY_CLEANUP(ay__inside_release) struct ay__inside in = {0};
	AY_CLEANUP(ay__encoded_release) struct ay__encoded e = {0};
	struct ay__inside_options o = {
		.view_max = w->view_max, .memory_max = w->filter_memory, .encoders = encoders_of(w)};
	struct ay_slice file = {.data = old->data, .len = old->len};
	uint64_t this = 0;
	size_t recipe = 0;
	int rc = ay__inside(file, &o, &in);

	if (rc)
		return rc;
	struct ay__span base = {.bytes = in.recipe.len ? (struct ay_slice){in.view.data, in.view.len} : file};
	struct ay__span view = {.bytes = {target->view.data, target->view.len}};
	base.size = base.bytes.len;
	view.size = view.bytes.len;
	uint64_t extra_max = w->extra_max, work_max = w->work_max;
	uint64_t work = ay__record_work(old->len, &in.sums, &target->sums, 0);
	size_t len = target->recipe.len + in.recipe.len;
	if (work > work_max || ay__recipes_memory(len, &in.sums, &target->sums, 0) > extra_max)
		return 0;
	w->extra_max = ay__recipes_predicting_max(extra_max, len, &in.sums, &target->sums);
	w->work_max = work_max - work;
	rc = ay__window_encode(w, &base, &view, AY__METHODS_DIFF, &e);
	w->extra_max = extra_max;
	w->work_max = work_max;
	if (rc == 0)
		rc = ay__encoded_cost(&e, &this);
	if (rc == 0)
		rc = ay_codec_estimate(target->recipe.data, target->recipe.len, &recipe);
	if (rc || this + recipe + in.recipe.len / 4 >= *best)
		return rc;
	*best = this + recipe + in.recipe.len / 4;
	ay__window_take(w, &e, base_index);
	ay__inside_release(&w->base_in);
	w->base_in = in;
	in = (struct ay__inside){0};
	ay_buf_release(&w->base_in.view);
	return 0;
}

/* The base through which it costs least. @best: what it costs as it is, then what it does. */
static int bases_try(struct ay__window *w, struct ay__inside *target, uint64_t *best, struct ay_err *err)
{
	AY_CLEANUP(ay__bytes_free) struct ay__bytes old = {0};
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < w->record->match.n; i++) {
		uint32_t index = w->record->match.base[i];
		struct ay_entry e = ay__plan_entry(&w->plan->old.files[index]);

		if (e.size > w->view_max)
			continue;
		rc = ay__window_read(w->old_tree, &e, NULL, 0, (size_t)e.size, &old, err);
		if (rc == 0)
			rc = try_inside(w, target, index, &old, best);
		if (*best <= w->len / AY__GOOD_SHARE)
			break;
	}
	return rc;
}

/* @mine: a proof may go on aside. */
static int look_inside(struct ay__window *w, const struct ay__bytes *new_, uint64_t best, bool mine,
		       struct ay_err *err)
{
	AY_CLEANUP(ay__inside_release) struct ay__inside target = {0};
	AY_CLEANUP(ay__proof_aside_release) struct ay__proof_aside aside = {0};
	struct ay__inside_options o = {.target = true,
				       .view_max = w->view_max,
				       .memory_max = w->filter_memory,
				       .encoders = encoders_of(w),
				       .aside = mine ? &aside : NULL};
	struct ay_slice file = {.data = new_->data, .len = new_->len};
	uint64_t plain = best;

	int rc = ay__inside(file, &o, &target);
	if (rc == 0 && target.recipe.len)
		rc = bases_try(w, &target, &best, err);
	if (rc)
		return rc;
	/* What was found could also have been left out for a stream whose proof then fails: wait in any case. */
	rc = ay__proof_aside_end(&aside);
	if (rc != 1)
		return rc == 0 ? 1 : rc;
	if (best < plain) {
		w->target_in = target;
		target = (struct ay__inside){0};
		ay_buf_release(&w->target_in.view);
	}
	return 0;
}

int ay__window_inside(struct ay__window *w, const struct ay__bytes *new_, uint64_t best, struct ay_err *err)
{
	/* What is hardly anything already does not get less. */
	if (best <= INSIDE_MIN)
		return 0;
	bool mine = w->aside && __atomic_exchange_n(w->aside, 1, __ATOMIC_ACQ_REL) == 0;
	int rc = look_inside(w, new_, best, mine, err);
	if (mine)
		__atomic_store_n(w->aside, 0, __ATOMIC_RELEASE);
	return rc;
}

/* Is there an .xz whose proof takes so long that it is worth a thread, and the memory besides? Only these are put aside. */
static bool worth_a_thread(struct ay_slice head, uint64_t len)
{
	return len >= ASIDE_MIN && memmem(head.data, head.len,
					  "\xfd"
					  "7zXZ",
					  6);
}

void ay__window_look(struct ay__window *w, uint64_t filter_memory)
{
	struct ay_entry e = ay__plan_entry(&w->plan->new_.files[w->record->file]);
	AY_CLOSE int fd = -1;
	AY_FREE uint8_t *head = NULL;
	uint64_t largest = w->len;
	struct ay_err err;

	if (!filter_memory || !w->whole || w->record->match.n == 0 || w->len < 64)
		return;
	for (unsigned i = 0; i < w->record->match.n; i++) {
		uint64_t size = w->plan->old.files[w->record->match.base[i]].size;

		largest = size > largest ? size : largest;
	}
	head = malloc(LOOK);
	if (!head || w->new_tree->open(w->new_tree->ctx, &e, &fd, &err) < 0)
		return;
	ssize_t n = pread(fd, head, LOOK, 0);
	if (n <= 0 || !ay__inside_maybe((struct ay_slice){head, (size_t)n}))
		return;
	if (!worth_a_thread((struct ay_slice){head, (size_t)n}, w->len))
		w->aside = NULL;
	w->view_max = AY__VIEW_FREE + VIEW_SHARE * largest;
	if (w->view_max > w->sizes.new_max)
		w->view_max = w->sizes.new_max;
	w->filter_memory = filter_memory;
	w->inside = w->view_max > largest;
}
