/* SPDX-License-Identifier: MIT */
/* See core_machine.h. */
#include "tests/fuzz/proto/core_machine.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "proto/frame.h"

uint8_t u8(struct script *s)
{
	return s->at < s->end ? *s->at++ : 0;
}

struct ay_slice some(struct script *s, size_t n)
{
	size_t left = (size_t)(s->end - s->at);
	struct ay_slice out = {s->at, n < left ? n : left};

	s->at += out.len;
	return out;
}

static void remember(struct machine *m, uint64_t conn, uint8_t level, uint32_t index)
{
	if (m->n_requests == 32)
		memmove(m->requests, m->requests + 1, --m->n_requests * sizeof(m->requests[0]));
	m->requests[m->n_requests].conn = conn;
	m->requests[m->n_requests].level = level;
	m->requests[m->n_requests++].index = index;
}

static void check_frame(struct machine *m, const struct ay_order *o)
{
	union {
		struct ay_wire_hello hello;
		struct ay_wire_ask ask;
		struct ay_wire_doc doc;
		struct ay_wire_want want;
		struct ay_wire_bitmap bitmap;
		struct ay_wire_block block;
		struct ay_wire_request request;
		struct ay_wire_hash_request hash;
		struct ay_wire_reject reject;
		struct ay_wire_peers peers;
	} v;
	const uint8_t *d = o->data.data;
	size_t n = o->data.len;
	uint8_t head[AY_FRAME_HEADER], type;
	uint32_t len;
	int rc = 0;

	ay_frame_header_put(head, (uint32_t)n, o->frame.type);
	AY_ASSERT(ay_frame_header_get(head, &len, &type) == 0);
	switch (o->frame.type) {
	case AY_FRAME_HELLO:
		rc = ay_wire_hello_get(d, n, &v.hello);
		break;
	case AY_FRAME_ASK:
	case AY_FRAME_NONE:
		rc = ay_wire_ask_get(d, n, &v.ask);
		if (o->frame.type == AY_FRAME_ASK && o->frame.conn == 2 && m->n_asks < 8)
			m->asks[m->n_asks++] = v.ask;
		break;
	case AY_FRAME_DOC:
		rc = ay_wire_doc_get(d, n, &v.doc);
		break;
	case AY_FRAME_WANT:
		rc = ay_wire_want_get(d, n, &v.want);
		break;
	case AY_FRAME_BITMAP:
		rc = ay_wire_bitmap_get(d, n, &v.bitmap);
		break;
	case AY_FRAME_HAVE:
	case AY_FRAME_CANCEL:
		rc = ay_wire_block_get(d, n, &v.block);
		break;
	case AY_FRAME_REQUEST:
		rc = ay_wire_request_get(d, n, &v.request);
		remember(m, o->frame.conn, AY_REJECT_LEVEL_BLOCK, v.request.index);
		break;
	case AY_FRAME_HASH_REQUEST:
		rc = ay_wire_hash_request_get(d, n, &v.hash);
		remember(m, o->frame.conn, v.hash.level, v.hash.index);
		break;
	case AY_FRAME_REJECT:
		rc = ay_wire_reject_get(d, n, &v.reject);
		break;
	case AY_FRAME_PEERS:
		rc = ay_wire_peers_get(d, n, &v.peers);
		break;
	}
	AY_ASSERT(rc == 0);
}

static void order(struct machine *m, const struct ay_order *o)
{
	struct ay_wire_datagram d;

	if (o->token) {
		AY_ASSERT(m->n_tokens < TOKENS);
		m->tokens[m->n_tokens++] = o->token;
	}
	switch (o->type) {
	case AY_ORDER_DATAGRAM:
		AY_ASSERT(ay_wire_datagram_get(o->data.data, o->data.len, &d) == 0);
		break;
	case AY_ORDER_FRAME:
		check_frame(m, o);
		break;
	case AY_ORDER_CONNECT:
		m->outgoing = o->conn.id;
		break;
	case AY_ORDER_CLOSE:
		if (o->conn.id == 2)
			m->n_asks = 0;
		break;
	case AY_ORDER_OPEN_BUNDLE:
		m->opening = true;
		break;
	case AY_ORDER_APPLY:
		AY_ASSERT(!m->applying);
		m->applying = true;
		break;
	case AY_ORDER_DEADLINE:
		m->deadline = o->at_ns;
		break;
	default:
		break;
	}
}

void step(struct machine *m, struct ay_event ev)
{
	struct ay_orders out;

	if (m->steps++ > STEPS_MAX)
		return;
	ev.now_ns = m->now;
	int rc = ay_core_step(m->core, &ev, &out);
	AY_ASSERT(rc <= 0);
	for (size_t i = 0; i < out.n; i++)
		order(m, &out.list[i]);
	const char *broken = ay_core_check(m->core);
	if (broken)
		ay_panic(__FILE__, __LINE__, broken);
}

struct ay_addr host(uint8_t i)
{
	return (struct ay_addr){.ip = {[10] = 0xff, [11] = 0xff, [12] = 10, [15] = i}, .port = 4444};
}

void send_frame(struct machine *m, uint64_t conn, uint8_t type, struct ay_buf *buf)
{
	step(m, (struct ay_event){.type = AY_EV_FRAME,
				  .data = {buf->data, buf->len},
				  .frame = {.conn = conn, .type = type}});
	ay_buf_release(buf);
}

void local(struct machine *m, enum ay_event_type type, const void *data, size_t len)
{
	step(m, (struct ay_event){.type = type, .data = {data, len}});
}
