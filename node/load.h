/* SPDX-License-Identifier: MIT */
/*
 * node/load.h - what the store holds, told to the core: at start, and when a command changed it.
 */
#ifndef AYNI_NODE_LOAD_H
#define AYNI_NODE_LOAD_H

#include "base/error.h"
#include "node/disk.h"
#include "node/events.h"
#include "node/switcher.h"
#include "store/state.h"

struct ay_load;

/**
 * ay_load_read() - read roots, branches, documents and the list of bundles. Touches nothing but the store.
 *
 * A switch that was cut off in the last life is finished first (ay_store_finish_switch()).
 * Documents that cannot be read are left out. Return: 0 and @out (ay_load_free()); -ENOENT no root is trusted yet;
 *   AY_ESTORE, -errno.
 */
int ay_load_read(struct ay_store *s, struct ay_load **out, struct ay_err *err);
/** ay_load_tell() - all of it as events, then open the bundles; those that are gone are told as gone. */
void ay_load_tell(const struct ay_load *l, const struct ay_events *events, struct ay_disk *disk);
void ay_load_free(struct ay_load *l);

/** ay_load_views() - how each branch stands; at most @max. Return: how many. */
size_t ay_load_views(const struct ay_load *l, struct ay_switcher_view *out, size_t max);

/** ay_load_branches() - the followed branches' names, separated by spaces, for the log. */
void ay_load_branches(const struct ay_load *l, char *out, size_t size);

#endif
