/* SPDX-License-Identifier: MIT */
/*
 * proto/heads.h - step 1 of the data's way: hear a head and verify it.
 *
 * Next: proto/learn asks for the release that the head names, proto/plan finds the way.
 */
#ifndef AYNI_PROTO_HEADS_H
#define AYNI_PROTO_HEADS_H

#include "proto/core_state.h"

#define AY_VERIFY_BURST    16 /* signature checks of heads; then 4 a second */
#define AY_VERIFY_EVERY_MS 250

enum ay__head_source { AY__HEAD_NEWS, AY__HEAD_CHAT, AY__HEAD_SESSION };
/* A head that somebody sent. 0 also for old news; negative: it is a lie. */
int ay__head_heard(struct ay_core *c, struct ay_slice data, enum ay__head_source source);
int ay__head_local(struct ay_core *c, struct ay_slice data);
void ay__head_stored(struct ay_core *c, struct ay__branch *b, uint64_t token, int status);

#endif
