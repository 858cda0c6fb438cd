/* SPDX-License-Identifier: MIT */
/*
 * store/use.h - using a tree: it stays whole as long as somebody holds its .ref shared.
 *
 * A tree that is removed meanwhile is moved aside, so that nobody finds it any more, and is deleted when its
 * last user has gone (store/staging.c): by whoever opens the store or collects next.
 */
#ifndef AYNI_STORE_USE_H
#define AYNI_STORE_USE_H

#include <sys/stat.h>

#include "store/store.h"

struct ay_use {
	uint32_t serial;
	int tree; /* its directory: root, manifest, release */
	int root; /* O_PATH | O_DIRECTORY: the tree */
	int ref;  /* holds the lock; pass it on (dup, fork, exec without O_CLOEXEC) and they hold it too */
};

#define AY_USE_NONE ((struct ay_use){.tree = -1, .root = -1, .ref = -1})

/**
 * ay_store_use() - use branches/@branch/@serial (0: the current one). Works in a store opened read-only.
 *
 * Return: 0 and @out (ay_use_release()); AY_ENOTHING the branch has no current tree; -ENOENT no such tree;
 *   AY_ESTORE it has no .ref; -errno.
 */
int ay_store_use(struct ay_store *s, const char *branch, uint32_t serial, struct ay_use *out,
		 struct ay_err *err);

/** ay_use_release() - stop using it. Legal on AY_USE_NONE. */
void ay_use_release(struct ay_use *u);

/** ay_use_source() - the mount source by which the collector knows an overlay over this tree; @root: its stat. */
#define AY_USE_SOURCE_MAX 64
void ay_use_source(const struct stat *root, char out[AY_USE_SOURCE_MAX]);

#endif
