/* SPDX-License-Identifier: MIT */
/*
 * store/spill.h - inside store/: objects that need more links than one inode may have (EMLINK: 65,000 on ext4).
 *
 *     objects/more/cdab….VARIANT.N     a further inode of the object ab/…: the name without its slash, and N from 1
 *
 * The object's own name stays where it is, so that it can be found as long as any tree needs it: who links goes on to the
 * first further inode that has room, and makes one when none has. The collector never takes a name away while a
 * further inode is linked: that one moves to the object's name, by one rename.
 */
#ifndef AYNI_STORE_SPILL_H
#define AYNI_STORE_SPILL_H

#include "store/object.h"

/**
 * ay__spill_link() - link a further inode of the object @name (of @e, localised), whose own is full.
 * @scratch: a directory in staging. The caller holds the store's lock shared.
 * Return: 0; AY_EBASE the object's content is not what its name says; -errno.
 */
int ay__spill_link(struct ay_store *s, const struct ay_entry *e, const struct ay__object_name *name,
		   int to_dirfd, const char *to, int scratch, struct ay__touched *touched,
		   struct ay_err *err);

/**
 * ay__object_drop() - remove the object @name, whose inode no tree links. The only way in which objects go.
 * The caller holds the store's lock exclusive.
 * Return: 1 it is gone; 0 a further inode, which trees do link, has the name now; -errno.
 */
int ay__object_drop(struct ay_store *s, const struct ay__object_name *name);

/** ay__spill_settle() - remove further inodes that nothing links. Under the lock, exclusive; errors are ignored. */
void ay__spill_settle(struct ay_store *s);

/** ay__spill_has() - is @ino a further inode of the object @name? */
bool ay__spill_has(struct ay_store *s, const struct ay__object_name *name, ino_t ino);

/**
 * ay__spill_each() - @each for every further inode: the object's name, and the file's name in the open directory @dir.
 * Nonzero stops. Return: what @each did, or -errno.
 */
int ay__spill_each(struct ay_store *s,
		   int (*each)(void *ctx, int dir, const char *file, const struct ay__object_name *name),
		   void *ctx);

#endif
