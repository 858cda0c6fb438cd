/* SPDX-License-Identifier: MIT */
/*
 * store/budget.h - collecting within budgets: what goes first when room is short, and what never does.
 *
 *     always    staging that was left; trees beyond `keep`; objects that nothing links; bundles that lead nowhere
 *     caches    whole bundles that brought us here, kept only to be given to others: at most 1.3 % of the trees or the
 *               newest bundle of each branch, whichever is more (DESIGN section 7)
 *     short     above max_size, or less free than reserve and what is needed: the other such bundles, then old trees,
 *               the oldest first, until it is enough
 *     never     the current tree; what is ready; where a trial goes back to; pinned and kept trees; a branch in which a tree is being
 *               made; what somebody uses goes only when he has gone (store/in_use.c); a bundle that leads to a tree that is not here yet, or is being collected
 */
#ifndef AYNI_STORE_BUDGET_H
#define AYNI_STORE_BUDGET_H

#include "store/store.h"

struct ay_budget {
	unsigned keep; /* trees per branch, the newest ones */
	/* Another number for a branch; NULL: `keep` for all. */
	unsigned (*keep_of)(const void *ctx, const char *branch);
	const void *ctx;
	uint64_t max_size; /* of all that the store takes on the disk, bytes; 0: no limit */
};

/** ay_store_set_reserve() - bytes of the file system that nothing which this opened store does may use up. */
void ay_store_set_reserve(struct ay_store *s, uint64_t bytes);

/**
 * ay_store_collect() - as above. @need: bytes that are to be free besides the reserve.
 *
 * Return: 0, even when not enough could go (whoever needs the room is told when he reserves it); AY_ESTORE, -errno.
 */
int ay_store_collect(struct ay_store *s, const struct ay_budget *b, uint64_t need, struct ay_gc_result *res,
		     struct ay_err *err);

/** ay_store_size() - bytes on the disk of objects and bundles (what trees are linked from). */
int ay_store_size(struct ay_store *s, uint64_t *bytes, struct ay_err *err);

#endif
