/* SPDX-License-Identifier: MIT */
/*
 * proto/fetch.h - a bundle that is wanted for what is in it: a content of a tree that is here was lost, and no copy of it is.
 *
 * The way is the one of every bundle (proto/update.c): offers are asked for, believed, the bundle is collected from who has it,
 * each block checked. It ends where an update would apply it.
 */
#ifndef AYNI_PROTO_FETCH_H
#define AYNI_PROTO_FETCH_H

#include "proto/core_state.h"

/*
 * AY_EV_FETCH; zeros: no more. A way to a newer release that is not complete yet is left meanwhile. AY_EBUSY: one to another
 * tree of the branch is being fetched; nothing changed.
 */
int ay__fetch_want(struct ay_core *c, struct ay__branch *b, const struct ay_digest *manifest);
bool ay__fetch_wanted(const struct ay__branch *b);
/* Choose, begin or go on; or give up. */
void ay__fetch_run(struct ay_core *c, struct ay__branch *b);

#endif
