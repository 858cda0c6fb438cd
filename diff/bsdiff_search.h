/* SPDX-License-Identifier: MIT */
/*
 * diff/bsdiff_search.h - where in the old file the new file's next bytes are (internal to diff/).
 */
#ifndef AYNI_DIFF_BSDIFF_SEARCH_H
#define AYNI_DIFF_BSDIFF_SEARCH_H

#include "base/bytes.h"
#include "diff/bsdiff_runs.h"

#define AY__WINDOW 64 /* bytes that are laid beside each other at a time */
#define AY__RECENT 8  /* alignments remembered */

/* A place of the new file that no simple alignment predicts. */
struct ay__gap {
	uint64_t start, len;
	size_t first; /* index of its first position in the arrays */
};

struct ay__search {
	struct ay_slice old, new_;
	uint64_t effort; /* bytes that may still be compared */
	/* who looks for matches asks whether to go on: as in struct ay_bsdiff_params */
	int (*stop)(void *ctx);
	void *stop_ctx;
	int stopped;
	int64_t recent[AY__RECENT];
	unsigned n_recent;
	/* long stretches, known beforehand */
	struct ay__run *runs;
	size_t n_runs, at_run;
	/* by suffix array, of the old file or of what is left of it */
	struct ay__rest rest;
	struct ay_slice text;
	int32_t *sa32;
	int64_t *sa64;
	uint64_t *bucket; /* first suffix whose two first bytes are at least the index; may be NULL */
	/* by gaps: the best match known for each position in one */
	struct ay__gap *gaps;
	size_t n_gaps, cap_gaps, at_gap;
	uint64_t gap_bytes;
	uint64_t *best_pos;
	uint16_t *best_len;
};

/**
 * ay__search_init() - get ready to search @old, which is not empty.
 * @shortcut: as in struct ay_bsdiff_params.
 *
 * Return: 0, -ENOMEM. Release in any case.
 */
int ay__search_init(struct ay__search *s, struct ay_slice old, struct ay_slice new_, unsigned shortcut);
void ay__search_release(struct ay__search *s);

/** ay__search_memory() - bytes that searching may use, at most. */
uint64_t ay__search_memory(uint64_t old_len, uint64_t new_len);

/**
 * ay__search_at() - the longest match of the new file's bytes from @at on.
 *
 * Return: its length, of which not more than a cap is measured; 0: none. @pos: where it is in the old file.
 */
size_t ay__search_at(struct ay__search *s, uint64_t at, uint64_t *pos);

/** ay__search_recent() - an alignment (new position less old) that was used, and may be again. */
void ay__search_recent(struct ay__search *s, int64_t shift);

#endif
