/* SPDX-License-Identifier: MIT */
/*
 * node/collect.h - collecting within the owner's budgets (store/budget.h), as the configuration has them.
 */
#ifndef AYNI_NODE_COLLECT_H
#define AYNI_NODE_COLLECT_H

#include "node/config.h"
#include "store/budget.h"

/**
 * ay_collect() - with keep, max-size and reserve of @c; what trees went is written into their journals.
 * @keep: another number for all branches; 0: the configuration's. Else as ay_store_collect().
 */
int ay_collect(struct ay_store *s, const struct ay_config *c, unsigned keep, uint64_t need,
	       struct ay_gc_result *res, struct ay_err *err);

/** ay_collect_after_update() - what an update leaves behind goes, if auto-gc says so; failures are logged. */
void ay_collect_after_update(struct ay_store *s, const struct ay_config *c);

/**
 * ay_collect_for() - is @code a lack of room that collecting could mend? Then collects so that @need bytes are free.
 * True: something went, so that it is worth another try.
 */
bool ay_collect_for(struct ay_store *s, const struct ay_config *c, int code, uint64_t need);

/**
 * ay_apply_with_room() - ay_store_apply(); when the disk is too full, what is only kept for others' sake goes first, in
 * this process, and on it goes. @c: NULL: nothing is collected.
 */
int ay_apply_with_room(struct ay_store *s, const struct ay_config *c, const struct ay_apply *a,
		       struct ay_err *err);

#endif
