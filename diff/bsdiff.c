/* SPDX-License-Identifier: MIT */
/*
 * diff/bsdiff.c - bsdiff's algorithm, in memory.
 *
 * As in Percival's paper: walk through the new file under an alignment (new position - old position); where
 * the longest match found anywhere in the old file is clearly better than the alignment, switch to it; extend
 * each copied run forwards and backwards as long as at least half of its bytes are right.
 *
 * One thing differs from the paper: where the alignment predicts most of the next 64 bytes, nothing is searched for.
 * That is nearly everywhere, costs a thousandth of the size, and saves most of the searching.
 */
#include "diff/bsdiff.h"

#include <errno.h>
#include <stdlib.h>

#include "diff/alike.h"
#include "diff/bsdiff_search.h"

#define GOOD       48    /* of AY__WINDOW bytes, so many right: nothing is searched for */
#define STEP       16    /* bytes passed over at a time while the alignment is good */
#define STOP_STEPS 65536 /* after so many it is asked whether to go on; else after each operation */

void ay_bsdiff_ops_release(struct ay_bsdiff_ops *ops)
{
	free(ops->ops);
	*ops = (struct ay_bsdiff_ops){0};
}

uint64_t ay_bsdiff_memory(uint64_t old_len, uint64_t new_len)
{
	/* An operation stands for at least eight bytes or so, or it would not have been made. */
	return ay__search_memory(old_len, new_len) + new_len / 8 * sizeof(struct ay_bsdiff_op) + (1u << 20);
}

static int ops_push(struct ay_bsdiff_ops *out, uint64_t old_pos, uint64_t diff_len, uint64_t extra_len)
{
	if (!diff_len && !extra_len)
		return 0;
	if (out->n == out->cap) {
		size_t cap = out->cap ? out->cap + out->cap / 2 : 32;
		struct ay_bsdiff_op *ops = realloc(out->ops, cap * sizeof(*ops));

		if (!ops)
			return -ENOMEM;
		out->ops = ops;
		out->cap = cap;
	}
	out->ops[out->n++] = (struct ay_bsdiff_op){diff_len ? old_pos : 0, diff_len, extra_len};
	return 0;
}

/* How far the copy from (@old_at, @new_at) goes on, of @n bytes: where most bytes are right. */
static uint64_t extend_forward(const struct ay__search *s, uint64_t old_at, uint64_t new_at, uint64_t n)
{
	uint64_t best = 0;
	int64_t score = 0, top = 0;

	if (n > s->old.len - old_at)
		n = s->old.len - old_at;
	for (uint64_t i = 0; i < n;) {
		/* whole words that are equal cannot end it */
		if (i + 8 <= n &&
		    ay__load8(s->old.data + old_at + i) == ay__load8(s->new_.data + new_at + i)) {
			score += 8;
			i += 8;
		} else {
			score += s->old.data[old_at + i] == s->new_.data[new_at + i] ? 1 : -1;
			i++;
		}
		if (score > top) {
			top = score;
			best = i;
		}
	}
	return best;
}

static uint64_t extend_backward(const struct ay__search *s, uint64_t old_at, uint64_t new_at, uint64_t n)
{
	uint64_t best = 0;
	int64_t score = 0, top = 0;

	if (n > old_at)
		n = old_at;
	for (uint64_t i = 1; i <= n; i++) {
		score += s->old.data[old_at - i] == s->new_.data[new_at - i] ? 1 : -1;
		if (score > top) {
			top = score;
			best = i;
		}
	}
	return best;
}

/* Two copies overlap by @n bytes: how many of them the earlier one should keep. */
static uint64_t split_overlap(const struct ay__search *s, uint64_t old_a, uint64_t old_b, uint64_t new_at,
			      uint64_t n)
{
	uint64_t best = 0;
	int64_t score = 0, top = 0;

	for (uint64_t i = 0; i < n; i++) {
		uint8_t c = s->new_.data[new_at + i];

		score += (s->old.data[old_a + i] == c) - (s->old.data[old_b + i] == c);
		if (score > top) {
			top = score;
			best = i + 1;
		}
	}
	return best;
}

static bool stop_asked(struct ay__search *s)
{
	if (s->stopped == 0 && s->stop)
		s->stopped = s->stop(s->stop_ctx);
	return s->stopped != 0;
}

/*
 * From @scan on, the first place where switching to another alignment pays; @scan == the end when there is
 * none. @pos: where it points to in the old file.
 */
static uint64_t next_switch(struct ay__search *s, uint64_t scan, int64_t shift, unsigned threshold,
			    uint64_t *pos)
{
	const uint8_t *new_ = s->new_.data, *old = s->old.data;
	uint64_t n = s->new_.len, counted = scan;
	uint64_t score = 0; /* bytes right under the alignment in [scan, counted) */

	for (unsigned steps = 1; scan < n; steps++) {
		if (steps % STOP_STEPS == 0 && stop_asked(s))
			return n;
		uint64_t here = scan - (uint64_t)shift;
		size_t ahead = ay__min(n - scan, AY__WINDOW);

		if (here < s->old.len && ahead <= s->old.len - here &&
		    ay__equal_bytes(new_ + scan, old + here, ahead) * AY__WINDOW >= GOOD * ahead) {
			scan += ay__min(ahead, STEP);
			counted = scan;
			score = 0;
			continue;
		}
		size_t len = ay__search_at(s, scan, pos);
		for (; counted < scan + len; counted++)
			score += counted - (uint64_t)shift < s->old.len &&
				 old[counted - (uint64_t)shift] == new_[counted];
		if (len && len == score) {
			scan += len;
			counted = scan;
			score = 0;
			continue;
		}
		if (len > score + threshold)
			return scan;
		if (counted > scan)
			score -= here < s->old.len && old[here] == new_[scan];
		else
			counted = scan + 1;
		scan++;
	}
	return n;
}

static int walk(struct ay__search *s, unsigned threshold, struct ay_bsdiff_ops *out)
{
	uint64_t n = s->new_.len;
	uint64_t last_new = 0, last_old = 0; /* where the copy in hand begins */
	uint64_t scan = 0;

	while (last_new < n) {
		uint64_t pos = 0;
		int64_t shift = (int64_t)(last_new - last_old);

		scan = next_switch(s, scan, shift, threshold, &pos);
		if (stop_asked(s))
			return s->stopped;
		uint64_t forward = extend_forward(s, last_old, last_new, scan - last_new);
		uint64_t backward = scan < n ? extend_backward(s, pos, scan, scan - last_new) : 0;
		if (forward + backward > scan - last_new) {
			uint64_t overlap = forward + backward - (scan - last_new);
			uint64_t at = last_new + forward - overlap;
			uint64_t keep =
				split_overlap(s, last_old + forward - overlap, pos - backward, at, overlap);

			forward -= overlap - keep;
			backward -= keep;
		}
		int rc = ops_push(out, last_old, forward, scan - backward - last_new - forward);
		if (rc)
			return rc;
		last_new = scan - backward;
		last_old = pos - backward;
		ay__search_recent(s, (int64_t)(scan - pos));
	}
	return 0;
}

int ay_bsdiff(struct ay_slice old, struct ay_slice new_, const struct ay_bsdiff_params *params,
	      struct ay_bsdiff_ops *out)
{
	unsigned threshold = params && params->threshold ? params->threshold : AY_BSDIFF_THRESHOLD;
	size_t n_before = out->n;
	struct ay__search s;

	if (old.len == 0)
		return ops_push(out, 0, 0, new_.len);
	int rc = ay__search_init(&s, old, new_, params ? params->shortcut : AY_BSDIFF_SHORTCUT);
	s.stop = params ? params->stop : NULL;
	s.stop_ctx = params ? params->stop_ctx : NULL;
	if (rc == 0)
		rc = walk(&s, threshold, out);
	if (rc)
		out->n = n_before;
	ay__search_release(&s);
	return rc;
}
