/* SPDX-License-Identifier: MIT */
/*
 * Links: what two peers know of each other about one bundle.
 *
 * WANT says that its sender collects the bundle and wishes to hear what the other
 * has of it; the answer is a BITMAP now and a HAVE for every block later. A link
 * lives as long as one of the two wants. Both may name a bundle that only one of
 * them knows: who hears of it later finds the link waiting.
 *
 * For each block of a bundle in collection the table counts the linked laptops that
 * have it (its rarity); every change of a link keeps that count right.
 */
#include "proto/core_internal.h"
#include "proto/swarm.h"

#include "base/error.h"
#include "proto/session.h"

#include <stdlib.h>
#include <string.h>

struct ay__link *ay__link_find(struct ay__session *s, const struct ay_digest *digest)
{
	for (unsigned i = 0; i < AY__LINKS_MAX; i++)
		if (s->links[i].used && ay_digest_eq(&s->links[i].digest, digest))
			return &s->links[i];
	return NULL;
}

struct ay__link *ay__link_of(struct ay__session *s, int bundle)
{
	for (unsigned i = 0; i < AY__LINKS_MAX; i++)
		if (s->links[i].used && s->links[i].bundle == bundle)
			return &s->links[i];
	return NULL;
}

/* Found or made; NULL: the two speak of too many bundles already. */
struct ay__link *ay__link_make(struct ay_core *c, struct ay__session *s, const struct ay_digest *digest,
			       uint64_t size)
{
	struct ay__link *l = ay__link_find(s, digest);

	(void)c;
	for (unsigned i = 0; !l && i < AY__LINKS_MAX; i++) {
		if (s->links[i].used)
			continue;
		l = &s->links[i];
		*l = (struct ay__link){.used = true, .digest = *digest, .size = size, .bundle = AY__NONE};
	}
	return l;
}

/* ---- rarity */

static bool counts(const struct ay_core *c, const struct ay__session *s, const struct ay__link *l)
{
	return !s->school && l->bundle != AY__NONE && c->bundles[l->bundle].laptops;
}

static void count(struct ay_core *c, const struct ay__session *s, const struct ay__link *l, int by)
{
	if (!l->known || !counts(c, s, l))
		return;
	struct ay__bundle *b = &c->bundles[l->bundle];
	for (uint32_t i = 0; i < b->blocks; i++)
		if (l->whole || (l->bits && ay__bit(l->bits, i)))
			b->laptops[i] = (uint16_t)(b->laptops[i] + by);
}

/* What they have is not known any more. */
static void unknow(struct ay_core *c, struct ay__session *s, struct ay__link *l)
{
	count(c, s, l, -1);
	free(l->bits);
	l->bits = NULL;
	l->whole = l->known = false;
}

void ay__link_clear(struct ay_core *c, struct ay__session *s, struct ay__link *l)
{
	unknow(c, s, l);
	memset(l, 0, sizeof(*l));
}

/* We want nothing more of it; if they do, it lives on without their bitmap. */
void ay__link_unwant(struct ay_core *c, struct ay__session *s, struct ay__link *l)
{
	bool keep_bits = l->they_want && !l->whole; /* whom HAVE need not be told */

	l->we_want = false;
	if (!l->they_want)
		ay__link_clear(c, s, l);
	else if (!keep_bits)
		unknow(c, s, l);
}

/* Our bundle goes away under it. */
void ay__link_lose(struct ay_core *c, struct ay__session *s, struct ay__link *l)
{
	unknow(c, s, l);
	l->bundle = AY__NONE;
	l->we_want = false;
	if (!l->they_want) {
		memset(l, 0, sizeof(*l));
	} else if (ay__ready(s)) {
		struct ay_wire_bitmap w = {.bundle = l->digest, .size = l->size, .kind = AY_BITMAP_NONE};
		ay_wire_bitmap_put(&c->scratch, &w);
		ay__frame(c, s, AY_FRAME_BITMAP);
	}
}

/* ---- what we have, told */

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

static void add_peer(struct ay_wire_peers *p, const struct ay__session *to, const struct ay_addr *addr,
		     uint16_t port)
{
	struct ay_addr a = *addr;

	a.port = port;
	if (p->n == AY_WIRE_PEERS_MAX || port == 0 || a.scope ||
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
			add_peer(&p, to, &s->addr, s->port);
	}
	first = (unsigned)ay_prng_below(&c->prng, AY__PEERS_MAX);
	for (unsigned i = 0; i < AY__PEERS_MAX; i++) {
		const struct ay__peer *k = &c->peers[(first + i) % AY__PEERS_MAX];
		if (k->used && !k->school && k->met_ns && c->now - k->met_ns < 3600 * AY__S)
			add_peer(&p, to, &k->addr, k->addr.port);
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

int ay__swarm_want(struct ay_core *c, struct ay__session *s, struct ay_slice payload)
{
	struct ay_wire_want w;
	int rc = ay_wire_want_get(payload.data, payload.len, &w);

	if (rc)
		return rc;
	if (!ay_bucket_take(&s->answers, c->now)) {
		ay__session_punish(c, s, AY_SCORE_SLOW, "wants too often");
		return AY_EPEER;
	}
	struct ay__link *l = w.on ? ay__link_make(c, s, &w.bundle, w.size) : ay__link_find(s, &w.bundle);
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

void ay__swarm_bundle_here(struct ay_core *c, int bundle)
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

/* ---- what they have, heard */

int ay__swarm_bitmap(struct ay_core *c, struct ay__session *s, struct ay_slice payload)
{
	struct ay_wire_bitmap w;
	int rc = ay_wire_bitmap_get(payload.data, payload.len, &w);

	if (rc)
		return rc;
	if (!ay_bucket_take(&s->answers, c->now)) {
		ay__session_punish(c, s, AY_SCORE_SLOW, "too many bitmaps");
		return AY_EPEER;
	}
	struct ay__link *l = ay__link_find(s, &w.bundle);
	if (!l || !l->we_want || l->bundle == AY__NONE || w.size != c->bundles[l->bundle].size)
		return 0; /* we lost interest while it was on its way */
	unknow(c, s, l);
	if (w.kind == AY_BITMAP_NONE) {
		ay__learn_forget(c, s, &w.bundle);
		return 0;
	}
	struct ay__bundle *b = &c->bundles[l->bundle];
	l->whole = w.kind == AY_BITMAP_WHOLE;
	if (!l->whole) {
		l->bits = calloc((b->blocks + 63) / 64, sizeof(*l->bits));
		if (!l->bits) {
			c->orders.oom = true;
			return 0;
		}
		for (uint32_t i = 0; i < b->blocks; i++)
			if (w.bits.data[i / 8] >> (i % 8) & 1)
				ay__bit_set(l->bits, i);
	}
	l->known = true;
	count(c, s, l, 1);
	ay__swarm_fill(c, s);
	return 0;
}

int ay__swarm_have(struct ay_core *c, struct ay__session *s, struct ay_slice payload)
{
	struct ay_wire_block w;
	int rc = ay_wire_block_get(payload.data, payload.len, &w);

	if (rc)
		return rc;
	struct ay__link *l = ay__link_find(s, &w.bundle);
	if (!l || l->bundle == AY__NONE || !l->known || l->whole)
		return 0;
	struct ay__bundle *b = &c->bundles[l->bundle];
	if (w.index >= b->blocks)
		return AY_EFORMAT;
	if (ay__bit(l->bits, w.index))
		return 0;
	ay__bit_set(l->bits, w.index);
	if (counts(c, s, l))
		b->laptops[w.index]++;
	if (b->collect && !ay__bundle_has(b, w.index))
		ay__swarm_fill(c, s);
	return 0;
}

/* It does not give us a block: it has not got it, or another laptop has it from there. */
int ay__swarm_refused(struct ay_core *c, struct ay__session *s, int bundle, uint32_t index, bool ask_peers,
		      uint32_t pause_ms)
{
	struct ay__bundle *b = &c->bundles[bundle];
	struct ay__link *l = ay__link_of(s, bundle);

	if (ask_peers) {
		if (!b->refusals) {
			b->refusals = calloc(b->blocks, sizeof(*b->refusals));
			b->wait_ms = calloc(b->blocks, sizeof(*b->wait_ms));
			b->wait_base = c->now;
		}
		if (!b->refusals || !b->wait_ms) {
			free(b->refusals);
			free(b->wait_ms);
			b->refusals = NULL;
			b->wait_ms = NULL;
			c->orders.oom = true;
			return 0;
		}
		if (b->refusals[index] < AY_ATTEMPT_ALONE - 1)
			b->refusals[index]++;
		b->wait_ms[index] = (uint32_t)((c->now - b->wait_base) / AY__MS) + pause_ms;
	} else if (l && l->known && l->whole) {
		/* It said that it had all of it. Once is a race with its dropping it, more is a habit. */
		if (++l->refused >= 3)
			unknow(c, s, l);
		s->hold_until = c->now + AY__S;
	} else if (l && l->known && ay__bit(l->bits, index)) {
		ay__bit_clear(l->bits, index);
		if (counts(c, s, l))
			b->laptops[index]--;
	}
	ay__swarm_fill(c, s);
	return 0;
}

/* Does anybody in reach have a block that we lack? */
bool ay__swarm_holder(const struct ay_core *c, int bundle)
{
	const struct ay__bundle *b = &c->bundles[bundle];

	for (unsigned i = 0; i < c->n_sessions; i++) {
		if (!ay__ready(c->sessions[i]))
			continue;
		const struct ay__link *l = ay__link_of(c->sessions[i], bundle);
		if (!l || !l->known)
			continue;
		if (l->whole)
			return true;
		for (uint32_t w = 0; b->had && w < (b->blocks + 63) / 64; w++)
			if (l->bits[w] & ~b->had[w])
				return true;
	}
	return false;
}
