/* SPDX-License-Identifier: MIT */
/*
 * store/gc_internal.h - inside store/: the collector's parts, for gc.c and budget.c.
 */
#ifndef AYNI_STORE_GC_INTERNAL_H
#define AYNI_STORE_GC_INTERNAL_H

#include "store/store_internal.h"

struct ay__gc_trees {
	unsigned keep;     /* the newest ones that stay */
	bool spare_before; /* also where a rollback of the owner's would go */
	/* Asked before each tree: is there room enough now? NULL: go on to the end. */
	bool (*enough)(void *ctx);
	void *ctx;
};

/** ay__gc_branch() - remove trees of a branch, the oldest first. A branch in which a tree is made is left alone. */
int ay__gc_branch(struct ay_store *s, const char *branch, const struct ay__gc_trees *how,
		  struct ay_gc_result *res, struct ay_err *err);

/**
 * ay__gc_shed() - drop whole bundles that brought us to a tree that is here: the oldest first, those from nothing
 * before them when another leads to the same tree.
 * @enough: as above; NULL: down to the share that the trees allow, and never a branch's newest.
 */
int ay__gc_shed(struct ay_store *s, bool (*enough)(void *ctx), void *ctx, struct ay_gc_result *res,
		struct ay_err *err);

#endif
