/* SPDX-License-Identifier: MIT */
/*
 * node/heal.h - what a store has lost and nothing here has comes over the network: the running node fetches a bundle that leads to the
 * damaged tree, from peers or school, and the store heals from it as from any bundle that it keeps.
 */
#ifndef AYNI_NODE_HEAL_H
#define AYNI_NODE_HEAL_H

#include "store/fsck.h"

#define AY_HEAL_TREES_MAX 64 /* trees that bundles are asked for; a store keeps two or three of a branch */

/* Trees that lack something after a healing. Zero-initialise. */
struct ay_heal_list {
	struct ay_heal_tree {
		char branch[AY_BRANCH_NAME_MAX + 1];
		uint32_t serial;
		bool given_up; /* nobody has a further bundle that leads there */
	} trees[AY_HEAL_TREES_MAX];
	unsigned n;
	uint64_t bundles, bytes; /* that came */
};

/** ay_heal_note() - a finding of ay_store_fsck(): does its tree lack what a bundle might give? */
void ay_heal_note(struct ay_heal_list *l, const struct ay_fsck_finding *f);
/**
 * ay_heal_fetch() - have the node at @control fetch one bundle for each tree of the list that is not given up.
 * @store: opened for reading here. @say: told a line about what goes on; may be NULL.
 *
 * Return: how many came; 0: none, and @err says why; -ENOENT, -ECONNREFUSED no node runs; other errors of
 *   ay_client_open() and ay_store_trees().
 */
int ay_heal_fetch(struct ay_heal_list *l, const char *store, const char *control,
		  void (*say)(void *ctx, const char *line), void *ctx, struct ay_err *err);

#endif
