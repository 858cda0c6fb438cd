/* SPDX-License-Identifier: MIT */
/*
 * diff/make_plan.h - what a bundle has to bring: which contents, from which bases, in which order (internal to diff/).
 */
#ifndef AYNI_DIFF_MAKE_PLAN_H
#define AYNI_DIFF_MAKE_PLAN_H

#include "diff/make.h"
#include "diff/match.h"
#include "diff/pool.h"

/* One content that the old tree has not. */
struct ay__plan_record {
	uint32_t file; /* in files of the new tree */
	struct ay_match match;
};

struct ay__plan_tree {
	struct ay_match_file *files; /* regular files only */
	size_t n;
	char *paths; /* what the files' paths point into */
};

struct ay__plan {
	struct ay__plan_tree old, new_;
	struct ay__plan_record *records; /* in the order in which they are written */
	size_t n_records;
	uint64_t unpacked_size;
};

/** ay__plan_make() - 0; the manifest readers' errors; -ENOMEM. Release @plan in any case. */
int ay__plan_make(const struct ay_make_tree *old, const struct ay_make_tree *new_, struct ay__plan *plan,
		  struct ay_err *err);
void ay__plan_release(struct ay__plan *plan);

/**
 * ay__plan_sketch() - look into the files: more bases, and a better order.
 *
 * Contents with no base by path, and those whose bases by path have nothing in common with them, get those old files as bases
 * that have (also when these are much larger, or were called otherwise). Contents that stay without a base
 * are written behind those that they resemble, so that they lie together in the streams.
 * @plan: as ay__plan_make() left it. @memory: bytes that this may use, about. @fast: look only for contents with no base at all.
 *
 * What cannot be read is passed over: who needs it later says why. The result does not depend on the pool's threads.
 *
 * Return: 0; -ENOMEM.
 */
int ay__plan_sketch(struct ay__plan *plan, const struct ay_make_tree *old, const struct ay_make_tree *new_,
		    struct ay__pool *pool, uint64_t memory, bool fast);

/** ay__plan_same_paths() - leave each content only the base at the path of its own. Before ay__plan_sketch(). */
void ay__plan_same_paths(struct ay__plan *plan);

/** ay__plan_one_base() - leave each content only its likeliest base. */
void ay__plan_one_base(struct ay__plan *plan);

/** ay__plan_entry() - as much of a file's entry as a tree's open() may look at. */
struct ay_entry ay__plan_entry(const struct ay_match_file *file);

#endif
