/* SPDX-License-Identifier: MIT */
/*
 * diff/make_window.h - one file, or one window of a large one: read, proved, diffed, coded (internal to diff/).
 */
#ifndef AYNI_DIFF_MAKE_WINDOW_H
#define AYNI_DIFF_MAKE_WINDOW_H

#include "base/merkle.h"
#include "diff/columns.h"
#include "diff/inside.h"
#include "diff/make_plan.h"

/* How much of a file is diffed at once. */
struct ay__window_sizes {
	uint64_t new_max, old_max, literal_max; /* multiples of 4096 */
};

/* Zero-initialise, fill in the first block, run, use the second, release. */
struct ay__window {
	const struct ay_make_tree *old_tree, *new_tree;
	const struct ay__plan *plan;
	const struct ay__plan_record *record;
	struct ay__window_sizes sizes;
	uint32_t piece_max;
	uint64_t extra_max; /* of struct ay__encode_options */
	uint64_t work_max;  /* ay__record_work() that the record may have */
	const struct ay__btf_map *btf;
	uint64_t at, len;       /* of the new file */
	bool whole;             /* ay__window_whole() */
	bool fast;              /* the first base; plain, but in large ELF files */
	bool thorough;          /* of struct ay__encode_options */
	unsigned without;       /* enum ay_technique */
	bool inside;            /* look into what is packed; then: */
	uint64_t view_max;      /* bytes that what is inside may have */
	uint64_t filter_memory; /* bytes that applying may use for it */
	/* a long proof may go on in a thread of its own, while nobody else's does; NULL: it may not */
	int *aside;
	const struct ay_merkle *new_merkle, *old_merkle; /* when it is not the whole file; borrowed */

	enum ay_bundle_method method; /* for a window that is not the whole file: set by the caller */
	uint32_t base;                /* index of the old file, with AY_METHOD_BSDIFF */
	struct ay_columns columns;
	struct ay__inside base_in, target_in; /* of views: what the columns are of; their recipes */
	uint64_t zero_bytes;                  /* of the new file's, in whole blocks of zeros */
};

/** ay__window_sizes_for() - the largest sizes whose diff needs at most @memory bytes. */
struct ay__window_sizes ay__window_sizes_for(uint64_t memory);

/** ay__window_whole() - is the record's file one window? */
bool ay__window_whole(const struct ay__window_sizes *sizes, const struct ay__plan *plan,
		      const struct ay__plan_record *record);

/** ay__window_memory() - bytes that ay__window_run() needs. */
uint64_t ay__window_memory(const struct ay__window *w);

/** ay__window_work() - ay__record_work() of a window that has run; 0 where it is not the whole file. */
uint64_t ay__window_work(const struct ay__window *w);

/** ay__window_reset() - forget what came out of it, so that it can run again with other bounds. */
void ay__window_reset(struct ay__window *w);
void ay__window_release(struct ay__window *w);

/** ay__window_merkle() - the Merkle tree of file @e, proved to be the one that the manifest says. */
int ay__window_merkle(const struct ay_make_tree *tree, const struct ay_entry *e, struct ay_merkle **out,
		      struct ay_err *err);

#endif
