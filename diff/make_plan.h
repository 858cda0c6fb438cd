/* SPDX-License-Identifier: MIT */
/*
 * diff/make_plan.h - what a bundle has to bring: which contents, from which bases, in which order (internal to diff/).
 */
#ifndef AYNI_DIFF_MAKE_PLAN_H
#define AYNI_DIFF_MAKE_PLAN_H

#include "diff/make.h"
#include "diff/match.h"

/* One content that the old tree has not. */
struct ay__plan_record {
	uint32_t file; /* in files of the new tree */
	struct ay_match match;
};

struct ay__plan_tree {
	struct ay_entry *entries;    /* regular files only; without xattrs and target */
	struct ay_match_file *files; /* the same ones */
	size_t n;
	char *paths; /* what the entries' paths point into */
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

#endif
