/* SPDX-License-Identifier: MIT */
/*
 * proto/want.h - what this node wants, as questions to its state.
 */
#ifndef AYNI_PROTO_WANT_H
#define AYNI_PROTO_WANT_H

#include "proto/core_state.h"

/* Does this node need anything of anybody? Then it keeps sessions. */
bool ay__core_wants(const struct ay_core *c);
/* Is a branch on its way to a newer release? */
bool ay__core_incomplete(const struct ay_core *c);
/* Is a newer release known and not taken yet? */
bool ay__core_held(const struct ay_core *c);
/* Offers that lead to this tree are asked for from now on; @need_release: so is its release. */
void ay__interest_add(struct ay__branch *b, const struct ay_digest *manifest, bool need_release);

#endif
