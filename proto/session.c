/* SPDX-License-Identifier: MIT */
/*
 * The table of sessions, and the penalties that end them.
 *
 * A session ends here and nowhere else: what was asked of it goes back into the pot,
 * what it had counts no more, and when the step ends it is freed.
 */
#include "proto/session.h"

#include "proto/links.h"
#include "proto/orders.h"
#include "proto/peers.h"
#include "proto/requests.h"
#include "proto/sm.h"
#include "proto/told.h"
#include "proto/trace.h"

#include <stdlib.h>

static const struct ay__sm_state states[] = {
	[AY__SE_CONNECTING] = {"connecting", AY__TO(AY__SE_HELLO) | AY__TO(AY__SE_CLOSED)},
	[AY__SE_HELLO] = {"hello", AY__TO(AY__SE_READY) | AY__TO(AY__SE_CLOSED)},
	[AY__SE_READY] = {"ready", AY__TO(AY__SE_CLOSED)},
	[AY__SE_CLOSED] = {"closed", 0},
};

void ay__session_move(struct ay_core *c, struct ay__session *s, uint8_t to, const char *why)
{
	char subject[24] = "conn ";
	char *p = subject + 5;
	uint64_t n = s->conn, div = 1;

	while (n / div >= 10)
		div *= 10;
	for (; div; div /= 10)
		*p++ = (char)('0' + n / div % 10);
	*p = '\0';
	ay__sm_move(c, "session", subject, states, &s->state, to, why);
}

struct ay__session *ay__session_find(const struct ay_core *c, uint64_t conn)
{
	for (unsigned i = 0; i < c->n_sessions; i++)
		if (c->sessions[i]->conn == conn && c->sessions[i]->state != AY__SE_CLOSED)
			return c->sessions[i];
	return NULL;
}

struct ay__session *ay__session_new(struct ay_core *c, uint64_t conn, const struct ay_addr *addr,
				    bool incoming)
{
	if (c->n_sessions >= c->sessions_max)
		return NULL;
	struct ay__session *s = calloc(1, sizeof(*s));
	if (!s) {
		c->orders.oom = true;
		return NULL;
	}
	s->conn = conn;
	s->addr = *addr;
	s->incoming = incoming;
	s->peer = AY__NONE;
	s->since_ns = s->heard_ns = s->said_ns = s->active_ns = c->now;
	s->depth = AY_SWARM_DEPTH_FIRST;
	s->patience_ns = AY_SWARM_PATIENCE_MS * AY__MS;
	ay_buf_init(&s->parts, AY_ENVELOPE_MAX);
	ay_bucket_init(&s->answers, c->now, 64, 50 * AY__MS);
	ay_bucket_init(&s->strays, c->now, AY__STRAYS_MAX, AY__STRAY_NS);
	c->sessions[c->n_sessions++] = s;
	return s;
}

static void session_free(struct ay__session *s)
{
	for (unsigned i = 0; i < AY__LINKS_MAX; i++)
		free(s->links[i].bits);
	ay_buf_release(&s->parts);
	free(s);
}

void ay__session_sweep(struct ay_core *c)
{
	unsigned n = 0;

	for (unsigned i = 0; i < c->n_sessions; i++) {
		if (c->sessions[i]->state == AY__SE_CLOSED)
			session_free(c->sessions[i]);
		else
			c->sessions[n++] = c->sessions[i];
	}
	c->n_sessions = n;
}

/* Close every account that it has. */
static void settle(struct ay_core *c, struct ay__session *s)
{
	ay__requests_session_gone(c, s);
	ay__links_session_gone(c, s);
	ay__told_session_gone(c, s);
	s->queue_n = s->n_sending = s->n_asks = 0;
	if (c->root_conn == s->conn)
		c->root_conn = AY_CONN_NONE;
	for (unsigned k = 0; k < c->n_branches; k++)
		if (c->branches[k].release_conn == s->conn)
			c->branches[k].release_conn = AY_CONN_NONE;
}

void ay__session_leave(struct ay_core *c, struct ay__session *s, const char *why)
{
	settle(c, s);
	ay__session_move(c, s, AY__SE_CLOSED, why);
	ay__peer_done(c, s, !s->useful);
	c->dirty |= AY__DIRTY_LEARN | AY__DIRTY_PLAN | AY__DIRTY_SWARM | AY__DIRTY_SERVE | AY__DIRTY_PEERS;
}

void ay__session_close(struct ay_core *c, struct ay__session *s, int status, const char *why)
{
	if (s->state == AY__SE_CLOSED)
		return;
	struct ay_order *o = ay__order(c, AY_ORDER_CLOSE);
	o->conn.id = s->conn;
	o->conn.addr = s->addr;
	o->status = status;
	ay__session_leave(c, s, why);
}

void ay__session_punish(struct ay_core *c, struct ay__session *s, int points, const char *why)
{
	if (s->state == AY__SE_CLOSED)
		return;
	s->score += points;
	/* Nothing speaks for a host that sent a wrong block before any right one. */
	bool ban = points <= AY_SCORE_BAD_BLOCK && s->good_blocks == 0;
	int score = ay__host_punish(c, &s->addr, points, ban);
	AY__TRACE(c, "session", "conn %llu: %d points: %s", (unsigned long long)s->conn, points, why);
	if (s->score > AY__BAN_SCORE && score > AY__BAN_SCORE && !ban)
		return;
	struct ay_addr addr = s->addr;
	ay__session_close(c, s, AY_EPEER, why);
	for (unsigned i = 0; i < c->n_sessions; i++)
		if (!ay__loopback(&addr) && ay__same_host(&c->sessions[i]->addr, &addr))
			ay__session_close(c, c->sessions[i], AY_EPEER, "its host is banned");
}
