/* SPDX-License-Identifier: MIT */
/*
 * proto/talk.h - two nodes that talk: handshake, order, frames.
 *
 * Of two sessions between the same two nodes one is kept: that which the node with
 * the smaller session id opened. Of two in the same direction the opener closes the
 * younger, so that the two ends never close one each.
 */
#ifndef AYNI_PROTO_TALK_H
#define AYNI_PROTO_TALK_H

#include "proto/core_state.h"

/* CONNECTED. 0; AY_EUSAGE: the runner is wrong. */
int ay__talk_connected(struct ay_core *c, const struct ay_event *ev);
void ay__talk_closed(struct ay_core *c, const struct ay_event *ev);
/* FRAME; BLOCK and HASHES. 0, AY_EFORMAT or AY_EPEER: counted and punished. */
int ay__talk_frame(struct ay_core *c, const struct ay_event *ev);
int ay__talk_block(struct ay_core *c, const struct ay_event *ev);
/* BLOCK_PART: what was asked for is on its way. */
void ay__talk_block_part(struct ay_core *c, uint64_t conn);
/* The summary changed: tell all. */
void ay__talk_hello_all(struct ay_core *c);
void ay__talk_tick(struct ay_core *c);

#endif
