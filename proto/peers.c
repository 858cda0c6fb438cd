/* SPDX-License-Identifier: MIT */
/*
 * Addresses: whom to connect to, when again, and whom not to let in.
 *
 * Addresses come from the configuration (static: schools), from CHAT (the packet's
 * source and the port it names) and from peers (PEERS). Only a node that needs
 * something opens sessions, to few random laptops and to schools; a complete one
 * just looks at its static peers every five minutes, and one that holds a release back at somebody. Hosts that misbehaved are
 * remembered by their IP; loopback is not a host but a test bench, and exempt.
 */
#include "proto/core_internal.h"
#include "proto/session.h"

#include <string.h>

#define BACKOFF_MIN_NS (1 * AY__S)
#define BACKOFF_MAX_NS (60 * AY__S)
#define HEARD_LATELY   (600 * AY__S)

bool ay__same_host(const struct ay_addr *a, const struct ay_addr *b)
{
	return a->scope == b->scope && memcmp(a->ip, b->ip, sizeof(a->ip)) == 0;
}

bool ay__same_addr(const struct ay_addr *a, const struct ay_addr *b)
{
	return a->port == b->port && ay__same_host(a, b);
}

bool ay__loopback(const struct ay_addr *a)
{
	static const uint8_t v4[13] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127};
	static const uint8_t v6[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};

	return memcmp(a->ip, v4, sizeof(v4)) == 0 || memcmp(a->ip, v6, sizeof(v6)) == 0;
}

/* ---- hosts */

static const struct ay__host *host_find(const struct ay_core *c, const struct ay_addr *addr)
{
	for (unsigned i = 0; i < AY__HOSTS_MAX; i++)
		if (c->hosts[i].used && ay__same_host(&c->hosts[i].addr, addr))
			return &c->hosts[i];
	return NULL;
}

/* Forgotten after ten minutes without a mistake; the longest unchanged goes when the table is full. */
static struct ay__host *host_slot(struct ay_core *c, const struct ay_addr *addr)
{
	struct ay__host *oldest = &c->hosts[0];

	for (unsigned i = 0; i < AY__HOSTS_MAX; i++) {
		struct ay__host *h = &c->hosts[i];
		if (h->used && c->now - h->changed_ns > AY__BAN_NS)
			h->used = false;
		if (h->used && ay__same_host(&h->addr, addr))
			return h;
	}
	for (unsigned i = 0; i < AY__HOSTS_MAX; i++) {
		struct ay__host *h = &c->hosts[i];
		if (!h->used || (oldest->used && h->changed_ns < oldest->changed_ns))
			oldest = h;
	}
	*oldest = (struct ay__host){.used = true, .addr = *addr};
	return oldest;
}

bool ay__host_banned(const struct ay_core *c, const struct ay_addr *addr)
{
	const struct ay__host *h = host_find(c, addr);

	return h && h->banned_until > c->now;
}

/* Returns the host's score now. */
int ay__host_punish(struct ay_core *c, const struct ay_addr *addr, int points, bool ban)
{
	if (ay__loopback(addr))
		return points;
	struct ay__host *h = host_slot(c, addr);
	h->score += points;
	h->changed_ns = c->now;
	if (h->score <= AY__BAN_SCORE || ban)
		h->banned_until = c->now + AY__BAN_NS;
	return h->score;
}

/* ---- addresses */

static uint64_t jitter(struct ay_core *c, uint64_t ns)
{
	return ns / 2 + (uint64_t)(ay_prng_unit(&c->prng) * (double)ns / 2);
}

static int peer_find(const struct ay_core *c, const struct ay_addr *addr)
{
	for (unsigned i = 0; i < AY__PEERS_MAX; i++)
		if (c->peers[i].used && ay__same_addr(&c->peers[i].addr, addr))
			return (int)i;
	return AY__NONE;
}

static uint64_t last_sign(const struct ay__peer *p)
{
	return p->heard_ns > p->met_ns ? p->heard_ns : p->met_ns;
}

static int peer_slot(struct ay_core *c)
{
	int oldest = AY__NONE;

	for (unsigned i = 0; i < AY__PEERS_MAX; i++) {
		const struct ay__peer *p = &c->peers[i];
		if (!p->used)
			return (int)i;
		if (p->source != AY__PEER_STATIC && p->conn == AY_CONN_NONE &&
		    (oldest == AY__NONE || last_sign(p) < last_sign(&c->peers[oldest])))
			oldest = (int)i;
	}
	for (unsigned i = 0; oldest != AY__NONE && i < c->n_sessions; i++)
		if (c->sessions[i]->peer == oldest)
			c->sessions[i]->peer = AY__NONE;
	return oldest;
}

static int peer_add(struct ay_core *c, const struct ay_addr *addr, enum ay__peer_source source)
{
	int i = peer_find(c, addr);

	if (i != AY__NONE || addr->port == 0)
		return i;
	i = peer_slot(c);
	if (i != AY__NONE)
		c->peers[i] = (struct ay__peer){.used = true,
						.source = source,
						.addr = *addr,
						.next_ns = c->now,
						.poll_ns = AY__NEVER};
	return i;
}

void ay__peers_start(struct ay_core *c)
{
	for (unsigned i = 0; i < c->cfg.n_peers; i++) {
		int p = peer_add(c, &c->static_peers[i], AY__PEER_STATIC);
		if (p != AY__NONE)
			c->peers[p].poll_ns = c->now + jitter(c, AY__S);
	}
}

/* Somebody shouted: remember where it can be reached. */
int ay__peer_heard(struct ay_core *c, const struct ay_addr *addr, const struct ay_wire_datagram *d)
{
	struct ay_addr at = *addr;

	at.port = d->port;
	bool known = peer_find(c, &at) != AY__NONE;
	int i = peer_add(c, &at, AY__PEER_CHAT);
	if (i == AY__NONE)
		return i;
	struct ay__peer *p = &c->peers[i];
	/*
	 * When news comes both ends want each other at the same moment. The one with the
	 * smaller session id goes first, and the other waits for it a little.
	 */
	if (!known)
		p->next_ns = c->now + jitter(c, c->cfg.session_id < d->session_id ? 200 * AY__MS : 2 * AY__S);
	p->session_id = d->session_id;
	p->school = d->school;
	if (d->type == AY_DATAGRAM_CHAT) {
		p->incomplete = d->incomplete;
		p->heard_ns = c->now;
	}
	c->dirty |= AY__DIRTY_PEERS;
	return i;
}

void ay__peer_passed(struct ay_core *c, const struct ay__session *s, const struct ay_wire_peers *p)
{
	(void)s;
	for (unsigned i = 0; i < p->n; i++)
		peer_add(c, &p->addrs[i], AY__PEER_PASSED);
	c->dirty |= AY__DIRTY_PEERS;
}

unsigned ay__neighbours(const struct ay_core *c)
{
	unsigned n = 0;

	for (unsigned i = 0; i < AY__PEERS_MAX; i++)
		n += c->peers[i].used && c->peers[i].heard_ns && c->now - c->peers[i].heard_ns < HEARD_LATELY;
	return n;
}

/* Their HELLO came: now we know who it is, and where it listens. */
void ay__peer_greeted(struct ay_core *c, struct ay__session *s)
{
	if (s->peer == AY__NONE && s->incoming && s->port) {
		struct ay_addr at = s->addr;
		at.port = s->port;
		s->peer = peer_add(c, &at, AY__PEER_PASSED);
	}
	if (s->peer == AY__NONE)
		return;
	struct ay__peer *p = &c->peers[s->peer];
	p->met_ns = c->now;
	p->session_id = s->session_id;
	p->school = s->school;
	p->newer = false;
	if (p->source == AY__PEER_STATIC)
		p->poll_ns = c->now + jitter(c, AY__POLL_NS * 4 / 3);
}

/* Its session is gone: when may it be tried again? */
void ay__peer_done(struct ay_core *c, struct ay__session *s, bool failed)
{
	if (s->peer == AY__NONE || s->incoming)
		return;
	struct ay__peer *p = &c->peers[s->peer];
	p->conn = AY_CONN_NONE;
	if (!failed)
		p->failures = 0;
	uint64_t ns = BACKOFF_MIN_NS << (p->failures < 6 ? p->failures : 6);
	p->failures++;
	p->next_ns = c->now + jitter(c, ns < BACKOFF_MAX_NS ? ns : BACKOFF_MAX_NS);
	c->dirty |= AY__DIRTY_PEERS;
}

void ay__peer_avoid(struct ay_core *c, struct ay__session *s, uint64_t for_ns)
{
	if (s->peer != AY__NONE)
		c->peers[s->peer].next_ns = c->now + for_ns;
}

/* ---- whom to connect to */

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
	       !talking_to(c, peer) && !ay__host_banned(c, &p->addr);
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
		c->held_look_at = c->now + jitter(c, AY__POLL_NS);
	} else if (c->held_look_at <= c->now) {
		c->held_look_at = c->now + jitter(c, AY__POLL_NS * 4 / 3);
		peer = choose(c, true);
		if (peer == AY__NONE)
			peer = choose(c, false);
		if (peer != AY__NONE)
			connect_to(c, peer);
	}
}

void ay__peers_run(struct ay_core *c)
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

/* Woke up, or the owner asks: what failed before may work now. */
void ay__peers_wake(struct ay_core *c)
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

uint64_t ay__peers_next(const struct ay_core *c)
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
