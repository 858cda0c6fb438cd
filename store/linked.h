/* SPDX-License-Identifier: MIT */
/*
 * store/linked.h - inside store/: objects whose inodes have names outside the store too (adopt --read-only-source).
 *
 *     branches/B/SERIAL/linked     one line per such object of the tree:
 *
 *         NLINK INODE ab/cdef….VARIANT\n    NLINK: decimal, the inode's links when it became an object, its name in
 *                                      objects/ among them and no tree's
 *
 * The collector goes by the link count, and such an object's never falls to 1 while the source is there. But when it is
 * NLINK again, no tree links it.
 */
#ifndef AYNI_STORE_LINKED_H
#define AYNI_STORE_LINKED_H

#include "store/object.h"

#define AY__LINKED_FILE "linked"

/**
 * ay__linked_drop() - remove those objects of the list @fd that nothing but their source links, in exclusive slices.
 * A line that is none ends the list: it was not written to its end, and no object was put then.
 */
int ay__linked_drop(struct ay_store *s, int fd, struct ay_gc_result *res, struct ay_err *err);

#endif
