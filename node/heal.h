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
		bool lacks;    /* something, as the last look found */
		bool given_up; /* nobody has a further bundle that leads there, or its fetching failed */
		bool fetched;  /* for it one came */
	} trees[AY_HEAL_TREES_MAX];
	unsigned n;
	uint64_t bundles, bytes; /* that came */
};

/* What goes on. */
struct ay_heal_talk {
	void (*say)(void *ctx, const char *line);
	void (*progress)(void *ctx, uint64_t done_bytes, uint64_t total_bytes);
	void *ctx;
};

/** ay_heal_note() - a finding of ay_store_fsck(): does its tree lack what a bundle might give? */
void ay_heal_note(struct ay_heal_list *l, const struct ay_fsck_finding *f);
/** ay_heal_look_again() - before each further ay_store_fsck(): only what it finds lacks something. */
void ay_heal_look_again(struct ay_heal_list *l);
/** ay_heal_lacking() - is there a tree that lacks something and is not given up? */
bool ay_heal_lacking(const struct ay_heal_list *l);
/**
 * ay_heal_fetch() - have the node at @control fetch one bundle for the first tree of the list that lacks something, is not given up
 * and gets one. A tree for which none comes is given up, whatever the reason.
 * @store: looked into here; the node must work on the same.
 *
 * Return: 1: one came; 0: none, and @err says why; the error of a tree, if none came: -ENOENT, -ECONNREFUSED no node runs;
 *   AY_ESTATE it serves another store; AY_EBUSY another repair fetches; others of ay_client_call() and ay_store_trees().
 */
int ay_heal_fetch(struct ay_heal_list *l, const char *store, const char *control,
		  const struct ay_heal_talk *talk, struct ay_err *err);
/**
 * ay_heal_over() - the node goes on with the branches for which something came: an update that ran over damaged trees meanwhile, and
 * whose bundle it therefore leaves out for a time, is tried again now.
 */
void ay_heal_over(const struct ay_heal_list *l, const char *control);

#endif
