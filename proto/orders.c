/* SPDX-License-Identifier: MIT */
/*
 * The orders of one step, and the bytes that they lend to whoever carries them out.
 *
 * Bytes live in chunks that do not move, because orders point into them; the first
 * chunk and the list are kept from step to step, so that a common step allocates
 * nothing. Room for a common step is reserved before the event is looked at: then
 * running out of memory is said before anything has changed.
 */
#include "proto/orders.h"

#include "base/error.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ORDERS_RESERVED 512
#define CHUNK_SIZE      ((size_t)128 << 10) /* above the largest frame */

struct ay__chunk {
	struct ay__chunk *next;
	size_t len, cap;
	uint8_t data[];
};

static struct ay__chunk *chunk_new(size_t cap)
{
	struct ay__chunk *k = malloc(sizeof(*k) + cap);

	if (k)
		*k = (struct ay__chunk){.cap = cap};
	return k;
}

void ay__orders_release(struct ay__orders *o)
{
	while (o->chunks) {
		struct ay__chunk *next = o->chunks->next;
		free(o->chunks);
		o->chunks = next;
	}
	free(o->list);
	*o = (struct ay__orders){0};
}

/* Forget the last step's orders; keep the list and one chunk. */
void ay__orders_reset(struct ay__orders *o)
{
	o->n = 0;
	o->oom = false;
	while (o->chunks && o->chunks->next) {
		struct ay__chunk *next = o->chunks->next;
		free(o->chunks);
		o->chunks = next;
	}
	if (o->chunks)
		o->chunks->len = 0;
}

int ay__orders_reserve(struct ay__orders *o)
{
	if (!o->list) {
		o->list = calloc(ORDERS_RESERVED, sizeof(*o->list));
		if (!o->list)
			return -ENOMEM;
		o->cap = ORDERS_RESERVED;
	}
	if (!o->chunks)
		o->chunks = chunk_new(CHUNK_SIZE);
	return o->chunks ? 0 : -ENOMEM;
}

struct ay_order *ay__order(struct ay_core *c, enum ay_order_type type)
{
	struct ay__orders *o = &c->orders;

	if (o->n == o->cap) {
		struct ay_order *more = realloc(o->list, 2 * o->cap * sizeof(*more));
		if (!more) {
			o->oom = true;
			return &o->nowhere;
		}
		o->list = more;
		o->cap *= 2;
	}
	struct ay_order *order = &o->list[o->n++];
	memset(order, 0, sizeof(*order));
	order->type = type;
	return order;
}

const uint8_t *ay__lend(struct ay_core *c, const void *data, size_t len)
{
	struct ay__orders *o = &c->orders;
	struct ay__chunk *k = o->chunks;

	if (!k || k->cap - k->len < len) {
		k = chunk_new(len > CHUNK_SIZE ? len : CHUNK_SIZE);
		if (!k) {
			o->oom = true;
			return NULL;
		}
		k->next = o->chunks;
		o->chunks = k;
	}
	uint8_t *at = k->data + k->len;
	if (len)
		memcpy(at, data, len);
	k->len += len;
	return at;
}

void ay__frame(struct ay_core *c, struct ay__session *s, uint8_t type)
{
	const uint8_t *data;

	if (ay_buf_status(&c->scratch)) {
		c->orders.oom = true;
		ay_buf_reset(&c->scratch);
		return;
	}
	data = ay__lend(c, c->scratch.data, c->scratch.len);
	if (data) {
		struct ay_order *o = ay__order(c, AY_ORDER_FRAME);
		o->frame.conn = s->conn;
		o->frame.type = type;
		o->data.data = data;
		o->data.len = c->scratch.len;
		s->said_ns = c->now;
		if (type != AY_FRAME_PING)
			s->active_ns = c->now;
	}
	ay_buf_reset(&c->scratch);
}

bool ay__token_room(const struct ay_core *c)
{
	return c->n_tokens < AY__TOKENS_MAX;
}

uint64_t ay__token_new(struct ay_core *c, enum ay__token_kind kind, int index)
{
	AY_ASSERT(ay__token_room(c));
	c->tokens[c->n_tokens++] = (struct ay__token){.token = ++c->last_token, .kind = kind, .index = index};
	return c->last_token;
}

uint64_t ay__store(struct ay_core *c, enum ay_order_type type, enum ay__token_kind kind, int index,
		   const void *data, size_t len, const char *branch)
{
	uint64_t token = ay__token_new(c, kind, index);
	const uint8_t *lent = ay__lend(c, data, len);

	if (!lent)
		return token; /* out of memory: the step says so, and its owner starts the core anew */
	struct ay_order *o = ay__order(c, type);
	o->token = token;
	o->data.data = lent;
	o->data.len = len;
	if (branch)
		o->branch.branch = branch;
	return token;
}
