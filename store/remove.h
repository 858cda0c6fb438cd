/* SPDX-License-Identifier: MIT */
/*
 * store/remove.h - inside store/: a tree goes, by several threads at once, each a directory.
 */
#ifndef AYNI_STORE_REMOVE_H
#define AYNI_STORE_REMOVE_H

#include "store/crew.h"
#include "store/fs.h"

/** ay__remove_tree_by() - ay__remove_tree() by @crew, which has nothing else to do meanwhile. NULL: that very function. */
int ay__remove_tree_by(struct ay__crew *crew, struct ay_fs *fs, int dirfd, const char *name);

#endif
