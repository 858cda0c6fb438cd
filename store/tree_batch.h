/* SPDX-License-Identifier: MIT */
/*
 * store/tree_batch.h - inside store/: the names of one directory, made some at a time by whoever has time.
 *
 * The walk over the manifest (store/tree.c) makes the directories and gives their other entries away in batches. A directory
 * gets its own metadata when the walk has left it and its last batch is done: nothing moves its mtime after that.
 */
#ifndef AYNI_STORE_TREE_BATCH_H
#define AYNI_STORE_TREE_BATCH_H

#include <stdatomic.h>

#include "store/tree_internal.h"

#define AY__BATCH_ENTRIES 32          /* enough that giving one costs little beside making its names */
#define AY__BATCH_BYTES   (8u * 1024) /* of paths, targets and attributes; what is longer is made at once */

struct ay__tree_dir {
	int fd; /* the walk may close and reopen it while no batch of this directory is under way */
	atomic_uint users;
	atomic_bool finish;
	struct ay_entry e; /* its own memory behind */
};

struct ay__tree_batch;

struct ay__tree_batcher {
	const struct ay__tree_maker *m;
	struct ay__failure *failure;
	struct ay__tree_batch *now; /* not given yet */
};

/** ay__tree_batcher_init() - 0 or -ENOMEM. */
int ay__tree_batcher_init(struct ay__tree_batcher *b, const struct ay__tree_maker *m);
/** ay__tree_batcher_end() - all is done; @r what the walk came to. Return: that, or the first failure. */
int ay__tree_batcher_end(struct ay__tree_batcher *b, int r, struct ay_err *err);

/** ay__tree_dir_new() - the directory @fd, which is taken over, of @e. NULL: no memory. */
struct ay__tree_dir *ay__tree_dir_new(int fd, const struct ay_entry *e);
/** ay__tree_dir_left() - the walk needs it no more. @finish: it gets its metadata, once its names are there. */
int ay__tree_dir_left(struct ay__tree_batcher *b, struct ay__tree_dir *d, bool finish, struct ay_err *err);

/** ay__tree_add() - the entry @e, no directory, in @d. @may_wait: false: it is there when this returns. */
int ay__tree_add(struct ay__tree_batcher *b, struct ay__tree_dir *d, const struct ay_entry *e, bool may_wait,
		 struct ay_err *err);
/** ay__tree_flush() - give away what was gathered. 0, or the first failure of all that was given so far. */
int ay__tree_flush(struct ay__tree_batcher *b, struct ay_err *err);

/** ay__entry_room() - bytes that a copy of what @e points to takes. */
size_t ay__entry_room(const struct ay_entry *e);
/** ay__entry_copy() - @to becomes @e with its own path, target and attributes in @mem, of that room, aligned as by malloc(). */
void ay__entry_copy(struct ay_entry *to, const struct ay_entry *e, void *mem);

#endif
