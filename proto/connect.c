/* SPDX-License-Identifier: MIT */
/*
 * Whom to connect to.
 *
 * Only a node that needs something opens sessions, to few random laptops and to
 * schools; a complete one just looks at its static peers every five minutes, and one
 * that holds a release back at somebody.
 */
#include "proto/connect.h"

#include "proto/orders.h"
#include "proto/peers.h"
#include "proto/session.h"
#include "proto/want.h"

struct counts {
	unsigned laptops, schools; /* sessions that we opened */
};

static struct counts count_outgoing(const struct ay_core *c)
{
	struct counts n = {0, 0};

	for (unsigned i = 0; i < c->n_sessions; i++) {
		const struct ay__session *s = c->sessions[i];
		if (s->incoming || s->state == AY__SE_CLOSED)
			continue;
		bool school = s->state == AY__SE_READY ? s->school
						       : s->peer != AY__NONE && c->peers[s->peer].school;
		bool fixed = s->peer != AY__NONE && c->peers[s->peer].source == AY__PEER_STATIC;
		if (school && !fixed)
			n.schools++;
		else if (!school && !fixed)
			n.laptops++;
	}
	return n;
}

static bool talking_to(const struct ay_core *c, int peer)
{
	const struct ay__peer *p = &c->peers[peer];

	if (p->conn != AY_CONN_NONE)
		return true;
	for (unsigned i = 0; i < c->n_sessions; i++) {
		const struct ay__session *s = c->sessions[i];
		if (s->state == AY__SE_CLOSED)
			continue;
		if (s->peer == peer ||
		    (p->session_id && s->session_id == p->session_id && ay__same_host(&s->addr, &p->addr)))
			return true;
	}
	return false;
}

static bool may_try(const struct ay_core *c, int peer)
{
	const struct ay__peer *p = &c->peers[peer];

	return p->used && p->next_ns <= c->now && p->session_id != c->cfg.session_id &&
	       !talking_to(c, peer) && !ay__host_banned(c, &p->addr) &&
	       (!ay__peer_stranger(p) || ay_bucket_has(&c->stranger_bucket, c->now));
}

static bool connect_to(struct ay_core *c, int peer)
{
	struct ay__peer *p = &c->peers[peer];
	bool school = p->school || p->source == AY__PEER_STATIC;

	/* The last slot is a school's. */
	if (c->n_sessions + (school ? 0 : 1) >= c->sessions_max)
		return false;
	uint64_t conn = c->last_conn + 2;
	struct ay__session *s = ay__session_new(c, conn, &p->addr, false);
	if (!s)
		return false;
	if (ay__peer_stranger(p))
		ay_bucket_take(&c->stranger_bucket, c->now);
	c->last_conn = conn;
	s->peer = peer;
	p->conn = conn;
	struct ay_order *o = ay__order(c, AY_ORDER_CONNECT);
	o->conn.id = conn;
	o->conn.addr = p->addr;
	return true;
}

static bool follows_any(const struct ay_core *c)
{
	for (unsigned i = 0; i < c->n_branches; i++)
		if (c->branches[i].follow)
			return true;
	return false;
}

static void connect_static(struct ay_core *c, bool wants)
{
	for (unsigned i = 0; i < AY__PEERS_MAX; i++) {
		struct ay__peer *p = &c->peers[i];
		if (!p->used || p->source != AY__PEER_STATIC || !(wants || p->poll_ns <= c->now) ||
		    !may_try(c, (int)i))
			continue;
		connect_to(c, (int)i);
	}
}

/* Random among the most promising: who said that it has something newer, then the incomplete, then the rest. */
static int choose(struct ay_core *c, bool school)
{
	int best = AY__NONE;
	unsigned best_class = 3, n = 0;

	for (unsigned i = 0; i < AY__PEERS_MAX; i++) {
		const struct ay__peer *p = &c->peers[i];
		if (!p->used || p->source == AY__PEER_STATIC || p->school != school || !may_try(c, (int)i))
			continue;
		unsigned class = p->newer ? 0 : p->incomplete ? 1 : 2;
		if (class < best_class) {
			best_class = class;
			n = 0;
		}
		if (class == best_class && ay_prng_below(&c->prng, ++n) == 0)
			best = (int)i;
	}
	return best;
}

/*
 * The head of a release that is held may be signed again, for more laptops, and nobody shouts that (it resets no
 * timer): look at a school, or at anybody, now and then.
 */
static void look_while_held(struct ay_core *c)
{
	int peer;

	if (!ay__core_held(c)) {
		c->held_look_at = 0;
	} else if (c->held_look_at == 0) {
		c->held_look_at = c->now + ay__jitter(c, AY__POLL_NS);
	} else if (c->held_look_at <= c->now) {
		c->held_look_at = c->now + ay__jitter(c, AY__POLL_NS * 4 / 3);
		peer = choose(c, true);
		if (peer == AY__NONE)
			peer = choose(c, false);
		if (peer != AY__NONE)
			connect_to(c, peer);
	}
}

void ay__connect_run(struct ay_core *c)
{
	int peer;

	if (!c->root || !follows_any(c))
		return;
	bool wants = ay__core_wants(c);
	connect_static(c, wants);
	look_while_held(c);
	if (!wants)
		return;
	struct counts n = count_outgoing(c);
	while (n.schools < AY__OUT_SCHOOLS && (peer = choose(c, true)) != AY__NONE && connect_to(c, peer))
		n.schools++;
	while (n.laptops < AY__OUT_LAPTOPS && (peer = choose(c, false)) != AY__NONE && connect_to(c, peer))
		n.laptops++;
}

void ay__connect_wake(struct ay_core *c)
{
	for (unsigned i = 0; i < AY__PEERS_MAX; i++) {
		struct ay__peer *p = &c->peers[i];
		if (!p->used)
			continue;
		p->failures = 0;
		p->next_ns = c->now;
		if (p->source == AY__PEER_STATIC)
			p->poll_ns = c->now;
	}
	c->dirty |= AY__DIRTY_PEERS;
}

uint64_t ay__connect_next(const struct ay_core *c)
{
	uint64_t next = AY__NEVER;
	if (!c->root || !follows_any(c))
		return next;
	bool wants = ay__core_wants(c);
	if (c->held_look_at)
		next = c->held_look_at;
	for (unsigned i = 0; i < AY__PEERS_MAX; i++) {
		const struct ay__peer *p = &c->peers[i];
		uint64_t at = p->poll_ns;
		if (!p->used || p->conn != AY_CONN_NONE)
			continue;
		if (wants && p->next_ns < at)
			at = p->next_ns;
		else if (at < p->next_ns)
			at = p->next_ns;
		if (at < next)
			next = at;
	}
	/* Those whose time has come and who were not connected to wait for a place: looked at with the tick. */
	return next > c->now ? next : c->now + AY__S;
}
