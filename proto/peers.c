/* SPDX-License-Identifier: MIT */
/*
 * Addresses: where others can be reached, when again, and whom not to let in.
 *
 * Addresses come from the configuration (static: schools), from CHAT (the packet's
 * source and the port it names) and from peers (PEERS: within proto/reach.c's rule,
 * few of each, tried seldom and not for long). Hosts that misbehaved are
 * remembered by their IP; loopback is not a host but a test bench, and exempt.
 * Whom to connect to is for connect.c.
 */
#include "proto/peers.h"

#include "proto/reach.h"
#include "proto/trace.h"

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

uint64_t ay__jitter(struct ay_core *c, uint64_t ns)
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
			c->peers[p].poll_ns = c->now + ay__jitter(c, AY__S);
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
		p->next_ns =
			c->now + ay__jitter(c, c->cfg.session_id < d->session_id ? 200 * AY__MS : 2 * AY__S);
	p->session_id = d->session_id;
	p->school = d->school;
	if (d->type == AY_DATAGRAM_CHAT) {
		p->incomplete = d->incomplete;
		p->heard_ns = c->now;
	}
	c->dirty |= AY__DIRTY_PEERS;
	return i;
}

bool ay__peer_stranger(const struct ay__peer *p)
{
	return p->source == AY__PEER_PASSED && !p->met_ns && !p->heard_ns && !p->session_id;
}

static unsigned strangers_by(const struct ay_core *c, const struct ay_addr *teller)
{
	unsigned n = 0;

	for (unsigned i = 0; i < AY__PEERS_MAX; i++)
		n += c->peers[i].used && ay__peer_stranger(&c->peers[i]) &&
		     ay__same_host(&c->peers[i].by, teller);
	return n;
}

void ay__peer_passed(struct ay_core *c, const struct ay_addr *teller, const struct ay_wire_peers *p)
{
	unsigned left_out = 0;

	for (unsigned i = 0; i < p->n; i++) {
		bool known = peer_find(c, &p->addrs[i]) != AY__NONE;
		if (known)
			continue;
		if (!ay_reach_passed(c->networks, c->n_networks, teller, &p->addrs[i]) ||
		    strangers_by(c, teller) >= AY__PASSED_MAX) {
			left_out++;
			continue;
		}
		int k = peer_add(c, &p->addrs[i], AY__PEER_PASSED);
		if (k != AY__NONE)
			c->peers[k].by = *teller;
	}
	if (left_out)
		AY__TRACE(c, "peers", "%u of %u addresses that a peer named are left out", left_out, p->n);
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
		p->poll_ns = c->now + ay__jitter(c, AY__POLL_NS * 4 / 3);
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
	p->next_ns = c->now + ay__jitter(c, ns < BACKOFF_MAX_NS ? ns : BACKOFF_MAX_NS);
	if (ay__peer_stranger(p) && p->failures >= AY__STRANGER_TRIES) {
		p->used = false;
		s->peer = AY__NONE;
	}
	c->dirty |= AY__DIRTY_PEERS;
}

void ay__peer_avoid(struct ay_core *c, struct ay__session *s, uint64_t for_ns)
{
	if (s->peer != AY__NONE)
		c->peers[s->peer].next_ns = c->now + for_ns;
}
