/* SPDX-License-Identifier: MIT */
/*
 * proto/told.h - which peers say that they can give an offer's bundle; counted at the offer.
 */
#ifndef AYNI_PROTO_TOLD_H
#define AYNI_PROTO_TOLD_H

#include "proto/core_state.h"

void ay__told_add(struct ay_core *c, struct ay__session *s, int offer);
/* It said that it does not have this bundle after all. */
void ay__told_forget(struct ay_core *c, struct ay__session *s, const struct ay_digest *bundle);
void ay__told_session_gone(struct ay_core *c, struct ay__session *s);

#endif
