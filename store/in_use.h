/* SPDX-License-Identifier: MIT */
/*
 * store/in_use.h - inside store/: does anybody still use a tree that was moved aside?
 */
#ifndef AYNI_STORE_IN_USE_H
#define AYNI_STORE_IN_USE_H

/**
 * ay__tree_in_use() - of the tree that lies as "tree" in the staging directory tmp/@staging; @tree is its fd.
 * @ref: an fd that holds its .ref exclusively when the answer is no (-1: it has no .ref); the caller closes it.
 *
 * In use is what somebody holds shared, and what is mounted in any mount namespace that /proc shows us, as a bind
 * mount or below an overlay of ours: a mount outlives a process that was to hold the lock for it.
 *
 * Return: 1, 0, or -errno: that cannot be known now, so it stays.
 */
int ay__tree_in_use(int tree, const char *staging, int *ref);

#define AY__SPACES_MAX 4096 /* mount namespaces looked at; where there are more, anything may be in use */

/** ay__tree_mounted() - is it mounted anywhere? @proc: /proc, open for reading, taken over; or -errno. 1, 0, -errno. */
int ay__tree_mounted(int proc, int tree, const char *staging);

#endif
