/* SPDX-License-Identifier: MIT */
/*
 * proto/shelf.h - bundles come and go: by the runner's word, by ours, and what a laptop keeps.
 */
#ifndef AYNI_PROTO_SHELF_H
#define AYNI_PROTO_SHELF_H

#include "proto/core_state.h"

/*
 * AY_EV_BUNDLE. @bundle: which one is open now, or AY__NONE: nothing is new. If *@gone is
 * negative it was that one's, but it had to be removed, and that is why.
 * 0; AY_ELIMIT: too large, or the table is full; -ENOMEM.
 */
int ay__shelf_put(struct ay_core *c, const struct ay_event *ev, int *bundle, int *gone);
/* AY_EV_BUNDLE_GONE. Which index was its; AY__NONE: it was not known. */
int ay__shelf_lose(struct ay_core *c, const struct ay_digest *digest, int status);
void ay__shelf_drop(struct ay_core *c, int bundle);
/* Drop what a laptop need not keep. */
void ay__shelf_trim(struct ay_core *c);

#endif
