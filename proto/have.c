/* SPDX-License-Identifier: MIT */
/*
 * What we have, told to whoever wants to know: a BITMAP for each WANT, a HAVE for
 * each block after it, and the addresses of others who speak of the same bundle.
 */
#include "proto/have.h"

#include "proto/bits.h"
#include "proto/bundles.h"
#include "proto/links.h"
#include "proto/orders.h"
#include "proto/peers.h"
#include "proto/reach.h"
#include "proto/session.h"

#include "base/error.h"

#include <stdlib.h>

static void send_bitmap(struct ay_core *c, struct ay__session *s, const struct ay__link *l)
{
	struct ay_wire_bitmap w = {.bundle = l->digest, .size = l->size};
	const struct ay__bundle *b = l->bundle == AY__NONE ? NULL : &c->bundles[l->bundle];
	uint8_t *bits = NULL;

	if (b && b->size == l->size && (b->state == AY__B_WHOLE || b->n_had == b->blocks)) {
		w.kind = AY_BITMAP_WHOLE;
	} else if (b && b->size == l->size && b->had) {
		size_t len = (b->blocks + 7) / 8;
		bits = calloc(1, len);
		for (uint32_t i = 0; bits && i < b->blocks; i++)
			if (ay__bit(b->had, i))
				bits[i / 8] |= (uint8_t)(1u << (i % 8));
		if (bits) {
			w.kind = AY_BITMAP_BITS;
			w.bits = (struct ay_slice){bits, len};
		}
	}
	ay_wire_bitmap_put(&c->scratch, &w);
	ay__frame(c, s, AY_FRAME_BITMAP);
	free(bits);
}

static void add_peer(const struct ay_core *c, struct ay_wire_peers *p, const struct ay__session *to,
		     const struct ay_addr *addr, uint16_t port)
{
	struct ay_addr a = *addr;

	a.port = port;
	/* Seen from there: what we may name is what we would let them name. */
	if (p->n == AY_WIRE_PEERS_MAX || !ay_reach_passed(c->networks, c->n_networks, &to->addr, &a) ||
	    (ay__same_host(&a, &to->addr) && port == to->port))
		return;
	for (unsigned i = 0; i < p->n; i++)
		if (ay__same_addr(&p->addrs[i], &a))
			return;
	p->addrs[p->n++] = a;
}

/*
 * Who else speaks of this bundle here, and who was here in the last hour? Useful where
 * multicast does not get through. Only who was met in a session is passed on: what the
 * air says may be a lie that would send a whole class to a stranger's door.
 */
static void send_peers(struct ay_core *c, struct ay__session *to, const struct ay_digest *bundle)
{
	struct ay_wire_peers p = {.n = 0};
	unsigned first = c->n_sessions ? (unsigned)ay_prng_below(&c->prng, c->n_sessions) : 0;

	for (unsigned i = 0; i < c->n_sessions; i++) {
		struct ay__session *s = c->sessions[(first + i) % c->n_sessions];
		if (s != to && ay__ready(s) && !s->school && ay__link_find(s, bundle))
			add_peer(c, &p, to, &s->addr, s->port);
	}
	first = (unsigned)ay_prng_below(&c->prng, AY__PEERS_MAX);
	for (unsigned i = 0; i < AY__PEERS_MAX; i++) {
		const struct ay__peer *k = &c->peers[(first + i) % AY__PEERS_MAX];
		if (k->used && !k->school && k->met_ns && c->now - k->met_ns < 3600 * AY__S)
			add_peer(c, &p, to, &k->addr, k->addr.port);
	}
	if (p.n == 0)
		return;
	ay_wire_peers_put(&c->scratch, &p);
	ay__frame(c, to, AY_FRAME_PEERS);
}

static bool offered(const struct ay_core *c, const struct ay_digest *bundle, uint64_t size)
{
	for (unsigned i = 0; i < c->n_offers; i++)
		if (c->offers[i].used && c->offers[i].local && c->offers[i].bundle_size == size &&
		    ay_digest_eq(&c->offers[i].bundle, bundle))
			return true;
	return false;
}

int ay__have_want(struct ay_core *c, struct ay__session *s, struct ay_slice payload)
{
	struct ay_wire_want w;
	int rc = ay_wire_want_get(payload.data, payload.len, &w);

	if (rc)
		return rc;
	if (!ay_bucket_take(&s->answers, c->now)) {
		ay__session_punish(c, s, AY_SCORE_SLOW, "wants too often");
		return AY_EPEER;
	}
	struct ay__link *l = w.on ? ay__link_make(s, &w.bundle, w.size) : ay__link_find(s, &w.bundle);
	if (!w.on) {
		if (l)
			l->they_want = false;
		if (l && !l->we_want)
			ay__link_clear(c, s, l);
		return 0;
	}
	if (!l) {
		struct ay_wire_bitmap none = {.bundle = w.bundle, .size = w.size, .kind = AY_BITMAP_NONE};
		ay_wire_bitmap_put(&c->scratch, &none);
		ay__frame(c, s, AY_FRAME_BITMAP);
		return 0;
	}
	l->they_want = true;
	l->their_had = w.had;
	if (l->bundle == AY__NONE)
		l->bundle = ay__bundle_find(c, &w.bundle);
	if (l->bundle == AY__NONE && c->cfg.role == AY_NODE_SCHOOL && offered(c, &w.bundle, w.size))
		l->bundle = ay__bundle_open(c, &w.bundle, w.size);
	send_peers(c, s, &w.bundle);
	/* What is just being opened is told when it is open. */
	if (l->bundle == AY__NONE || c->bundles[l->bundle].state != AY__B_OPENING)
		send_bitmap(c, s, l);
	return 0;
}

void ay__have_bundle_here(struct ay_core *c, int bundle)
{
	struct ay__bundle *b = &c->bundles[bundle];

	for (unsigned i = 0; i < c->n_sessions; i++) {
		struct ay__session *s = c->sessions[i];
		struct ay__link *l = ay__ready(s) ? ay__link_find(s, &b->digest) : NULL;
		if (!l)
			continue;
		l->bundle = bundle;
		if (l->they_want)
			send_bitmap(c, s, l);
	}
}

void ay__have_tell(struct ay_core *c, int bundle, uint32_t index)
{
	struct ay_wire_block w = {.bundle = c->bundles[bundle].digest, .index = index};

	for (unsigned i = 0; i < c->n_sessions; i++) {
		struct ay__session *s = c->sessions[i];
		const struct ay__link *l = ay__ready(s) ? ay__link_of(s, bundle) : NULL;
		if (!l || !l->they_want || l->whole || (l->bits && ay__bit(l->bits, index)))
			continue;
		ay_wire_block_put(&c->scratch, &w);
		ay__frame(c, s, AY_FRAME_HAVE);
	}
}
