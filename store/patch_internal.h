/* SPDX-License-Identifier: MIT */
/*
 * store/patch_internal.h - what the files patch*.c share; nothing else includes it.
 */
#ifndef AYNI_STORE_PATCH_INTERNAL_H
#define AYNI_STORE_PATCH_INTERNAL_H

#include "store/beside.h"
#include "store/object.h"
#include "store/patch.h"
#include "store/store_internal.h"

/* One side as diff/make reads it. Zero-initialise but for the side. */
struct ay__patch_tree {
	const struct ay_patch_side *side;
	struct ay_buf manifest; /* empty: nothing */
	struct ay_digest digest;
	uint64_t bytes; /* of its files */
};

/** ay__patch_tree_init() - its manifest: of a directory by scanning it, of a file the fixed one. Release it. */
int ay__patch_tree_init(struct ay__patch_tree *t, const struct ay_patch_side *side, bool owner_root,
			unsigned threads, struct ay_err *err);
void ay__patch_tree_release(struct ay__patch_tree *t);
/** ay__patch_tree_open() - the bytes of @e, whose path is a tree's; caller closes. */
int ay__patch_tree_open(const struct ay__patch_tree *t, const char *path, int *fd, struct ay_err *err);

/** ay__patch_check_room() - will @bytes fit beside @parent? 0, -ENOSPC. */
int ay__patch_check_room(int parent, uint64_t bytes, struct ay_err *err);

/** ay__patch_bsdiff40() - ay_patch_apply() of a file in that format. @b: begun. The file is "file" in its stage. */
int ay__patch_bsdiff40(const struct ay_patch_side *old, int fd, const struct ay_patch_apply *a,
		       struct ay__beside *b, mode_t mode, struct ay_patch_result *res, struct ay_err *err);

#endif
