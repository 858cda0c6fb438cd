/* SPDX-License-Identifier: MIT */
/*
 * What is said in a session: from the first byte to the last. A peer is a stranger: it
 * has ten seconds to say who it is, one frame that no ayni would send ends it, and every
 * lesser mistake costs points that its host keeps for ten minutes.
 */
#include "proto/talk.h"

#include "proto/answer.h"
#include "proto/have.h"
#include "proto/learn.h"
#include "proto/orders.h"
#include "proto/peers.h"
#include "proto/serve.h"
#include "proto/session.h"
#include "proto/swarm.h"
#include "proto/trace.h"
#include "proto/update.h"
#include "proto/want.h"

#include "base/error.h"

#include <errno.h>
#include <string.h>

/* ---- HELLO */

static void add_summary(struct ay_wire_hello *h, const struct ay__branch *b)
{
	struct ay_wire_hello_summary s = {.branch = b->id, .have_serial = b->have_serial};
	unsigned at = h->n;

	if (b->has_head) {
		s.root_epoch = b->head.root_epoch;
		s.head_serial = b->head.serial;
		s.signed_at_s = b->head.signed_at_s;
	}
	while (at > 0 && memcmp(h->summaries[at - 1].branch.b, b->id.b, sizeof(b->id.b)) > 0) {
		h->summaries[at] = h->summaries[at - 1];
		at--;
	}
	h->summaries[at] = s;
	h->n++;
}

static void greet(struct ay_core *c, struct ay__session *s)
{
	struct ay_wire_hello h = {.school = c->cfg.role == AY_NODE_SCHOOL,
				  .incomplete = ay__core_incomplete(c),
				  .session_id = c->cfg.session_id,
				  .port = c->cfg.tcp_port,
				  .root_version = c->root->version};

	memcpy(h.fleet, c->fleet, sizeof(h.fleet));
	for (unsigned i = 0; i < c->n_branches; i++)
		if (c->branches[i].id_known && (c->branches[i].follow || c->branches[i].has_head))
			add_summary(&h, &c->branches[i]);
	ay_wire_hello_put(&c->scratch, &h);
	ay__frame(c, s, AY_FRAME_HELLO);
	s->greeted = true;
}

void ay__talk_hello_all(struct ay_core *c)
{
	for (unsigned i = 0; c->root && i < c->n_sessions; i++)
		if (c->sessions[i]->greeted && c->sessions[i]->state != AY__SE_CLOSED)
			greet(c, c->sessions[i]);
}

/* Of two sessions with the same node one goes. True: it was this one. */
static bool close_double(struct ay_core *c, struct ay__session *s)
{
	for (unsigned i = 0; i < c->n_sessions; i++) {
		struct ay__session *t = c->sessions[i];
		/* A stranger that borrows somebody's session id must not end that one's session. */
		if (t == s || !ay__ready(t) || t->session_id != s->session_id ||
		    !ay__same_host(&t->addr, &s->addr))
			continue;
		if (t->incoming == s->incoming) {
			/* Only the opener decides; the other end waits for it, or for time to tell. */
			if (s->incoming)
				continue;
			ay__session_close(c, s, AY_ENOTHING, "a second session to the same node");
			return true;
		}
		/* Kept: the one that the smaller session id opened. */
		bool keep_incoming = s->session_id < c->cfg.session_id;
		struct ay__session *loser = s->incoming == keep_incoming ? t : s;
		ay__session_close(c, loser, AY_ENOTHING, "they connected to us as we to them");
		if (loser == s)
			return true;
	}
	return false;
}

static int hello_again(struct ay_core *c, struct ay__session *s, const struct ay_wire_hello *h)
{
	if (h->session_id != s->session_id || h->school != s->school)
		return AY_EFORMAT;
	if (!ay_bucket_take(&s->answers, c->now)) {
		ay__session_punish(c, s, AY_SCORE_SLOW, "too many HELLOs");
		return AY_EPEER;
	}
	s->incomplete = h->incomplete;
	s->root_version = h->root_version;
	ay__learn_summary(c, s, h);
	return 0;
}

static int hello(struct ay_core *c, struct ay__session *s, struct ay_slice payload)
{
	struct ay_wire_hello h;
	int rc = ay_wire_hello_get(payload.data, payload.len, &h);

	if (rc == AY_EVERSION) {
		ay__session_close(c, s, rc, "another protocol version");
		ay__peer_avoid(c, s, AY__BAN_NS);
		return 0;
	}
	if (rc)
		return rc;
	if (s->state == AY__SE_READY)
		return hello_again(c, s, &h);
	s->session_id = h.session_id;
	s->school = h.school;
	s->incomplete = h.incomplete;
	s->port = h.port;
	s->root_version = h.root_version;
	if (h.session_id == c->cfg.session_id) {
		ay__peer_greeted(c, s);
		ay__session_close(c, s, AY_ENOTHING, "it is ourselves");
		return 0;
	}
	if (memcmp(h.fleet, c->fleet, sizeof(h.fleet)) != 0) {
		ay__session_close(c, s, AY_ENOTHING, "another fleet");
		ay__peer_avoid(c, s, AY__BAN_NS);
		return 0;
	}
	ay__session_move(c, s, AY__SE_READY, s->school ? "a school" : "a laptop");
	ay__peer_greeted(c, s);
	if (close_double(c, s))
		return 0;
	ay__learn_summary(c, s, &h);
	ay__swarm_greet(c, s);
	c->dirty |= AY__DIRTY_PEERS;
	return 0;
}

/* ---- up and down */

static unsigned sessions_of_host(const struct ay_core *c, const struct ay_addr *addr)
{
	unsigned n = 0;

	for (unsigned i = 0; i < c->n_sessions; i++)
		n += c->sessions[i]->state != AY__SE_CLOSED && ay__same_host(&c->sessions[i]->addr, addr);
	return n;
}

static void refuse(struct ay_core *c, const struct ay_event *ev, int status, const char *why)
{
	struct ay_order *o = ay__order(c, AY_ORDER_CLOSE);

	o->conn.id = ev->conn.id;
	o->conn.addr = ev->conn.addr;
	o->status = status;
	AY__TRACE(c, "session", "conn %llu: refused: %s", (unsigned long long)ev->conn.id, why);
}

int ay__talk_connected(struct ay_core *c, const struct ay_event *ev)
{
	struct ay__session *s = ay__session_find(c, ev->conn.id);

	if (s && (ev->conn.incoming || s->state != AY__SE_CONNECTING))
		return AY_EUSAGE;
	if (!s && !ev->conn.incoming)
		return 0; /* closed while it was connecting */
	unsigned per_host = c->cfg.role == AY_NODE_SCHOOL ? AY__PER_HOST_SCHOOL : AY__PER_HOST_MAX;
	if (!s) {
		if (!c->root)
			refuse(c, ev, AY_ENOTHING, "no root yet, nothing to say");
		else if (ay__host_banned(c, &ev->conn.addr))
			refuse(c, ev, AY_EPEER, "banned");
		else if (!ay__loopback(&ev->conn.addr) && sessions_of_host(c, &ev->conn.addr) >= per_host)
			refuse(c, ev, AY_ELIMIT, "too many sessions from one host");
		else if (c->n_sessions + 1 >= c->sessions_max)
			refuse(c, ev, AY_ELIMIT, "too many sessions");
		else
			s = ay__session_new(c, ev->conn.id, &ev->conn.addr, true);
		if (!s)
			return 0;
	}
	s->since_ns = s->heard_ns = s->active_ns = c->now;
	ay__session_move(c, s, AY__SE_HELLO, s->incoming ? "they connected" : "connected");
	greet(c, s);
	return 0;
}

void ay__talk_closed(struct ay_core *c, const struct ay_event *ev)
{
	struct ay__session *s = ay__session_find(c, ev->conn.id);

	if (!s)
		return;
	/* The runner found bytes that are no frame at all. */
	if (ev->status == AY_EFORMAT || ev->status == AY_EPEER) {
		c->packets_refused++;
		ay__host_punish(c, &s->addr, AY_SCORE_GARBAGE, true);
	}
	ay__session_leave(c, s, s->state == AY__SE_CONNECTING ? "could not connect" : "closed by them");
}

/* ---- frames */

static int ping(struct ay_core *c, struct ay__session *s, struct ay_slice payload)
{
	(void)c;
	(void)s;
	return payload.len ? AY_EFORMAT : 0;
}

static int peers(struct ay_core *c, struct ay__session *s, struct ay_slice payload)
{
	struct ay_wire_peers p;
	int rc = ay_wire_peers_get(payload.data, payload.len, &p);

	if (rc)
		return rc;
	if (ay_bucket_take(&s->answers, c->now))
		ay__peer_passed(c, &s->addr, &p);
	return 0;
}

/* The answers to what a peer asks; each is small, but they must not come without end. */
static int ask(struct ay_core *c, struct ay__session *s, struct ay_slice payload)
{
	struct ay_wire_ask a;
	int rc = ay_wire_ask_get(payload.data, payload.len, &a);

	if (rc)
		return rc;
	if (!ay_bucket_take(&s->answers, c->now)) {
		ay__session_punish(c, s, AY_SCORE_SLOW, "asks too much");
		if (!ay__ready(s))
			return AY_EPEER;
	}
	return ay__answer(c, s, &a);
}

typedef int handler(struct ay_core *c, struct ay__session *s, struct ay_slice payload);

static handler *const handlers[AY_FRAME_TYPES] = {
	[AY_FRAME_HELLO] = hello,
	[AY_FRAME_ASK] = ask,
	[AY_FRAME_DOC] = ay__learn_doc,
	[AY_FRAME_NONE] = ay__learn_none,
	[AY_FRAME_WANT] = ay__have_want,
	[AY_FRAME_BITMAP] = ay__swarm_bitmap,
	[AY_FRAME_HAVE] = ay__swarm_have,
	[AY_FRAME_REQUEST] = ay__serve_request,
	[AY_FRAME_HASH_REQUEST] = ay__serve_hash_request,
	[AY_FRAME_CANCEL] = ay__serve_cancel,
	[AY_FRAME_REJECT] = ay__swarm_reject,
	[AY_FRAME_PING] = ping,
	[AY_FRAME_PEERS] = peers,
};

/* AY_EFORMAT is garbage; AY_EPEER was punished where it was found. */
static int judge(struct ay_core *c, struct ay__session *s, int rc)
{
	if (rc == AY_EFORMAT) {
		c->packets_refused++;
		ay__session_punish(c, s, AY_SCORE_GARBAGE, "garbage");
	} else if (rc == AY_EPEER) {
		c->packets_refused++;
	}
	return rc;
}

int ay__talk_frame(struct ay_core *c, const struct ay_event *ev)
{
	struct ay__session *s = ay__session_find(c, ev->frame.conn);
	uint8_t type = ev->frame.type;

	if (!s)
		return 0;
	s->heard_ns = c->now;
	if (type != AY_FRAME_PING)
		s->active_ns = c->now;
	if (type >= AY_FRAME_TYPES || !handlers[type] || s->state == AY__SE_CONNECTING ||
	    (s->state == AY__SE_HELLO && type != AY_FRAME_HELLO))
		return judge(c, s, AY_EFORMAT);
	return judge(c, s, handlers[type](c, s, ev->data));
}

static int block(struct ay_core *c, struct ay__session *s, const struct ay_event *ev)
{
	if (s && s->state != AY__SE_READY)
		return AY_EFORMAT;
	int rc = ev->type == AY_EV_BLOCK ? ay__swarm_block(c, s, ev) : ay__swarm_hashes(c, s, ev);
	ay__update_written(c, ev->type == AY_EV_BLOCK ? &ev->block.bundle : &ev->hashes.bundle, ev->status);
	return rc;
}

/* BLOCK and HASHES, of which only the verdict comes here. */
int ay__talk_block(struct ay_core *c, const struct ay_event *ev)
{
	struct ay__session *s =
		ay__session_find(c, ev->type == AY_EV_BLOCK ? ev->block.conn : ev->hashes.conn);

	if (!s) {
		/* Its session has just been closed, but the block was checked and may be on the disk. */
		return ev->type == AY_EV_BLOCK ? block(c, NULL, ev) : 0;
	}
	s->heard_ns = s->active_ns = c->now;
	return judge(c, s, block(c, s, ev));
}

/* Only what was asked for: else one byte a second would keep a session that is good for nothing. */
void ay__talk_block_part(struct ay_core *c, uint64_t conn)
{
	struct ay__session *s = ay__session_find(c, conn);

	if (ay__ready(s) && s->n_requests > 0)
		s->heard_ns = s->active_ns = s->part_at = c->now;
}

/* ---- time */

static bool idle(const struct ay_core *c, const struct ay__session *s)
{
	uint64_t limit = s->incoming ? AY__IDLE_IN_NS : AY__IDLE_NS;

	return c->now - s->active_ns > limit && s->n_requests == 0 && s->queue_n == 0 && s->n_sending == 0;
}

void ay__talk_tick(struct ay_core *c)
{
	for (unsigned i = 0; i < c->n_sessions; i++) {
		struct ay__session *s = c->sessions[i];
		if (s->state == AY__SE_CLOSED)
			continue;
		if (s->state != AY__SE_READY) {
			if (c->now - s->since_ns > AY__HANDSHAKE_NS)
				ay__session_close(c, s, -ETIMEDOUT, "no handshake in 10 s");
		} else if (c->now - s->heard_ns > AY__SILENT_NS) {
			ay__session_close(c, s, -ETIMEDOUT, "silent");
		} else if (idle(c, s)) {
			s->useful = true;
			ay__session_close(c, s, AY_ENOTHING, "idle");
			/* Of no use while we want something: not again soon. Else it may have the next release. */
			if (ay__core_wants(c))
				ay__peer_avoid(c, s, AY__IDLE_NS);
		} else if (c->now - s->said_ns > AY__PING_NS) {
			ay__frame(c, s, AY_FRAME_PING);
		}
	}
}
