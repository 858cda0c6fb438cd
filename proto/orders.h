/* SPDX-License-Identifier: MIT */
/*
 * proto/orders.h - the list of orders, the bytes that they lend, and the tokens of what is to become durable.
 */
#ifndef AYNI_PROTO_ORDERS_H
#define AYNI_PROTO_ORDERS_H

#include "proto/core_state.h"
#include "proto/frame.h"

void ay__orders_reset(struct ay__orders *o);
void ay__orders_release(struct ay__orders *o);
int ay__orders_reserve(struct ay__orders *o);
struct ay_order *ay__order(struct ay_core *c, enum ay_order_type type);
/* Bytes that live until the next step; NULL: out of memory (noted, the order is to be left out). */
const uint8_t *ay__lend(struct ay_core *c, const void *data, size_t len);
/* A frame whose payload is in c->scratch (then emptied). */
void ay__frame(struct ay_core *c, struct ay__session *s, uint8_t type);
uint64_t ay__token_new(struct ay_core *c, enum ay__token_kind kind, int index);
uint64_t ay__store(struct ay_core *c, enum ay_order_type type, enum ay__token_kind kind, int index,
		   const void *data, size_t len, const char *branch);
bool ay__token_room(const struct ay_core *c);

#endif
