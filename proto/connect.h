/* SPDX-License-Identifier: MIT */
/*
 * proto/connect.h - whom to connect to, and when to look again.
 */
#ifndef AYNI_PROTO_CONNECT_H
#define AYNI_PROTO_CONNECT_H

#include "proto/core_state.h"

void ay__connect_run(struct ay_core *c);
/* Woke up, or the owner asks: what failed before may work now. */
void ay__connect_wake(struct ay_core *c);
uint64_t ay__connect_next(const struct ay_core *c);

#endif
