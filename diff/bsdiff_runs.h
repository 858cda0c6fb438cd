/* SPDX-License-Identifier: MIT */
/*
 * diff/bsdiff_runs.h - long stretches that two files have in common, found without a sort (internal to diff/).
 *
 * Of two versions of a program whose addresses are masked nine tenths lie in stretches of kilobytes that are equal, moved by
 * this or that distance. They need no suffix array to be found, and what of the old file is in them need not be sorted.
 */
#ifndef AYNI_DIFF_BSDIFF_RUNS_H
#define AYNI_DIFF_BSDIFF_RUNS_H

#include "base/bytes.h"

#define AY__RUN_MIN 1024 /* bytes of a stretch worth knowing */

struct ay__run {
	uint64_t new_at, old_at, len;
};

/* What is left of the old file, in one piece of memory, and where each piece of it was. */
struct ay__rest {
	uint8_t *bytes; /* owned; NULL: nothing was cut off */
	size_t len;
	struct ay__run *pieces; /* new_at: in @bytes; owned */
	size_t n;
};

/** ay__runs_memory() - bytes that both functions may use, at most. */
uint64_t ay__runs_memory(uint64_t old_len, uint64_t new_len);

/** ay__runs_find() - stretches of @new_ that are in @old, in order, apart. 0 and @runs (free them), @n; -ENOMEM. */
int ay__runs_find(struct ay_slice old, struct ay_slice new_, struct ay__run **runs, size_t *n);

/**
 * ay__runs_cut() - @old without what is inside of @runs, but for their beginnings and ends.
 *
 * Nothing is cut off (@rest stays empty) where that would leave more than three quarters. 0; -ENOMEM.
 */
int ay__runs_cut(struct ay_slice old, const struct ay__run *runs, size_t n, struct ay__rest *rest);
void ay__rest_release(struct ay__rest *rest);

/** ay__rest_find() - the piece in which byte @at of what is left lies. */
const struct ay__run *ay__rest_find(const struct ay__rest *rest, uint64_t at);

#endif
