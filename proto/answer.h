/* SPDX-License-Identifier: MIT */
/*
 * proto/answer.h - answers to ASK frames.
 */
#ifndef AYNI_PROTO_ANSWER_H
#define AYNI_PROTO_ANSWER_H

#include "proto/core_state.h"

#define AY_ANSWER_OFFERS_MAX 64 /* in one answer */

/* Always 0: DOC or NONE is on its way. */
int ay__answer(struct ay_core *c, struct ay__session *s, const struct ay_wire_ask *a);

#endif
