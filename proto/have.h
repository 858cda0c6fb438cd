/* SPDX-License-Identifier: MIT */
/*
 * proto/have.h - what we have of a bundle, told to peers.
 */
#ifndef AYNI_PROTO_HAVE_H
#define AYNI_PROTO_HAVE_H

#include "proto/core_state.h"

/* A WANT frame. 0, AY_EFORMAT, or AY_EPEER: punished. */
int ay__have_want(struct ay_core *c, struct ay__session *s, struct ay_slice payload);
/* The bundle is open: who waited for our bitmap gets it. */
void ay__have_bundle_here(struct ay_core *c, int bundle);
/* One more block: HAVE to all who want to know. */
void ay__have_tell(struct ay_core *c, int bundle, uint32_t index);

#endif
