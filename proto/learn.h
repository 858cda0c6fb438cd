/* SPDX-License-Identifier: MIT */
/*
 * proto/learn.h - peers are asked for roots, heads, releases and offers.
 */
#ifndef AYNI_PROTO_LEARN_H
#define AYNI_PROTO_LEARN_H

#include "proto/core_state.h"

/* Heads were taken or are not believed any more (head_changed): what is to be asked for now? */
void ay__learn_heads(struct ay_core *c);
void ay__learn_run(struct ay_core *c);
void ay__learn_tick(struct ay_core *c);
/* What a peer's HELLO says that it has. */
void ay__learn_summary(struct ay_core *c, struct ay__session *s, const struct ay_wire_hello *h);
/* Frames of a session that is ready: 0, AY_EFORMAT, or AY_EPEER: punished. */
int ay__learn_doc(struct ay_core *c, struct ay__session *s, struct ay_slice payload);
int ay__learn_none(struct ay_core *c, struct ay__session *s, struct ay_slice payload);
void ay__learn_release_stored(struct ay_core *c, int index, int status);

#endif
