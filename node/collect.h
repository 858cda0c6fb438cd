/* SPDX-License-Identifier: MIT */
/*
 * node/collect.h - collecting within the owner's budgets (store/budget.h), as the configuration has them.
 */
#ifndef AYNI_NODE_COLLECT_H
#define AYNI_NODE_COLLECT_H

#include "node/config.h"
#include "store/store.h"

/** ay_collect_after_update() - what an update leaves behind goes, if auto-gc says so; failures are logged. */
void ay_collect_after_update(struct ay_store *s, const struct ay_config *c);

#endif
