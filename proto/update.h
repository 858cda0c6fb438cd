/* SPDX-License-Identifier: MIT */
/*
 * proto/update.h - steps 2 to 5 of the data's way, as far as they are decided: what to take, by which way, when to apply.
 */
#ifndef AYNI_PROTO_UPDATE_H
#define AYNI_PROTO_UPDATE_H

#include "proto/core_state.h"

/* AY_EV_BUNDLE and _GONE. 0, or what ay__shelf_put() says. */
int ay__update_bundle(struct ay_core *c, const struct ay_event *ev);
void ay__update_bundle_gone(struct ay_core *c, const struct ay_digest *digest, int status);
/* A block or hash block of the bundle was written, or not: is it full now, or the disk in trouble? */
void ay__update_written(struct ay_core *c, const struct ay_digest *bundle, int status);
void ay__update_bundle_stored(struct ay_core *c, int bundle, int status);
void ay__update_offer_stored(struct ay_core *c, int offer, int status);
void ay__update_applied(struct ay_core *c, const struct ay_event *ev);
/* What the owner wants, even if it waits for something; @force: even if it failed before. */
void ay__update_now(struct ay_core *c, struct ay__branch *b, bool force);
void ay__update_run(struct ay_core *c);
void ay__update_tick(struct ay_core *c);
uint64_t ay__update_next(const struct ay_core *c);

#endif
