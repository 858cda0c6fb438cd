/* SPDX-License-Identifier: MIT */
/*
 * proto/hear.h - datagrams in: NEWS and CHAT.
 */
#ifndef AYNI_PROTO_HEAR_H
#define AYNI_PROTO_HEAR_H

#include "proto/core_state.h"

/* 0; AY_EFORMAT, AY_ESIG and such: refused and counted; AY_EPEER: its host is banned. */
int ay__hear_datagram(struct ay_core *c, enum ay_group group, const struct ay_addr *from,
		      struct ay_slice data);

#endif
