/* SPDX-License-Identifier: MIT */
/*
 * Which block to ask of this peer now.
 *
 * Of the blocks that the peer has, we lack, and nobody was asked for: the rarest
 * among the laptops that we know; of these one in a piece that is begun (its hash
 * block is here or on its way); of these one in the piece that comes first in a
 * random order of our own, so that laptops that start together start apart.
 *
 * A school is asked only for what no laptop here has. If it says "another laptop has
 * that from me already" (ASK_PEERS), the block is left to come from laptops, and
 * the school is asked for it again only when we starve. So a class of any size
 * takes little more than one copy from the school, while a laptop alone, or one that
 * cannot reach the others, takes all.
 */
#include "proto/pick.h"

#include "proto/bits.h"
#include "proto/core_state.h"
#include "proto/links.h"

static unsigned linked_laptops(struct ay_core *c, int bundle)
{
	unsigned n = 0;

	for (unsigned i = 0; i < c->n_sessions; i++) {
		struct ay__session *s = c->sessions[i];
		if (!ay__ready(s) || s->school)
			continue;
		const struct ay__link *l = ay__link_of(s, bundle);
		n += l && l->we_want && l->known;
	}
	return n;
}

/*
 * Nobody but schools to ask. While the first two seconds last, a laptop that was heard or
 * that a session is being made to counts as one that will be there.
 */
static bool is_alone(struct ay_core *c, int bundle)
{
	if (linked_laptops(c, bundle))
		return false;
	if (c->now - c->bundles[bundle].since_ns > AY_SWARM_ALONE_MS * AY__MS)
		return true;
	for (unsigned i = 0; i < c->n_sessions; i++) {
		const struct ay__session *s = c->sessions[i];
		bool school = s->peer != AY__NONE &&
			      (c->peers[s->peer].school || c->peers[s->peer].source == AY__PEER_STATIC);
		if (ay__ready(s) ? !s->school && s->incomplete : !school)
			return false;
	}
	for (unsigned i = 0; i < AY__PEERS_MAX; i++)
		if (c->peers[i].used && !c->peers[i].school && c->peers[i].heard_ns)
			return false;
	return true;
}

static bool starving(const struct ay_core *c, const struct ay__bundle *b)
{
	uint64_t limit = 4 * b->laptop_gap;

	if (b->laptop_requests == 0)
		return c->now - b->laptop_idle_since >= AY_SWARM_IDLE_MS * AY__MS;
	if (b->laptop_gap == 0)
		limit = AY_SWARM_STARVE_FIRST * AY__MS;
	if (limit < AY_SWARM_STARVE_MIN * AY__MS)
		limit = AY_SWARM_STARVE_MIN * AY__MS;
	if (limit > AY_SWARM_STARVE_MAX * AY__MS)
		limit = AY_SWARM_STARVE_MAX * AY__MS;
	return c->now - b->laptop_block_at > limit;
}

/* A piece's place in this node's own random order of pieces. */
static uint32_t place_of(const struct ay__bundle *b, uint32_t piece)
{
	uint32_t x = piece * 0x9e3779b1u ^ b->salt;

	x ^= x >> 16;
	x *= 0x85ebca6bu;
	x ^= x >> 13;
	x *= 0xc2b2ae35u;
	return x ^ x >> 16;
}

struct view { /* what a pick looks at */
	const struct ay_core *c;
	const struct ay__session *s;
	const struct ay__link *l;
	const struct ay__bundle *b;
	int bundle;
	bool alone, starving, hash_room;
	uint32_t now_ms;
};

/* Is the piece's hash block on its way from another peer? Then its blocks can wait. */
static bool hashes_elsewhere(const struct view *v, uint32_t piece)
{
	const struct ay_merkle *m = v->b->merkle;

	if (!m || ay_merkle_levels(m) == 0 || ay_merkle_has(m, 0, piece))
		return false;
	for (unsigned i = 0; i < v->c->n_sessions; i++) {
		const struct ay__session *t = v->c->sessions[i];
		for (unsigned k = 0; k < t->n_hash_requests; k++) {
			const struct ay__hash_request *h = &t->hash_requests[k];
			if (h->bundle == v->bundle && h->level == 0 && h->index == piece)
				return t != v->s;
		}
	}
	return !v->hash_room;
}

static bool school_may(const struct view *v, uint32_t i)
{
	if (v->alone)
		return true;
	/* Laptops have it, but are too slow to live on: a little from the school. */
	if (v->b->laptops[i])
		return v->starving && v->s->n_requests < AY_SWARM_DEPTH_MIN;
	if (v->b->refusals && v->b->refusals[i])
		return v->starving && v->now_ms >= v->b->wait_ms[i];
	return true;
}

/* Lower is better. What all blocks of a piece share; the rarity comes above it, the place in the piece below. */
static uint64_t piece_cost(const struct view *v, uint32_t piece)
{
	uint64_t word = v->b->had[piece / 8] | v->b->asked[piece / 8];
	bool begun = word >> (piece % 8 * 8) & 0xff;

	return (uint64_t)!begun << 40 | (uint64_t)(place_of(v->b, piece) >> 8) << 8;
}

/* The best of one piece's @free blocks (a bit each), if it is better than @best. */
static bool pick_in_piece(const struct view *v, uint32_t piece, unsigned free, uint64_t *best,
			  uint32_t *index)
{
	uint64_t shared = piece_cost(v, piece);
	bool found = false;

	for (; free; free &= free - 1) {
		uint32_t i = piece * 8 + (uint32_t)__builtin_ctz(free);
		uint64_t cost = (uint64_t)v->b->laptops[i] << 48 | shared | i % 8;
		if (cost >= *best || (v->s->school && !school_may(v, i)))
			continue;
		if (!found && hashes_elsewhere(v, piece))
			return false;
		*best = cost;
		*index = i;
		found = true;
	}
	return found;
}

static bool pick_in(const struct view *v, uint64_t *best, uint32_t *index)
{
	const struct ay__bundle *b = v->b;
	bool found = false;

	for (uint32_t w = 0; w < (b->blocks + 63) / 64; w++) {
		uint64_t free = ~(b->had[w] | b->asked[w]) & (v->l->whole ? UINT64_MAX : v->l->bits[w]);
		if (w == b->blocks / 64)
			free &= ((uint64_t)1 << (b->blocks % 64)) - 1;
		for (uint32_t piece = w * 8; free; piece++, free >>= 8)
			if (free & 0xff)
				found |= pick_in_piece(v, piece, free & 0xff, best, index);
	}
	return found;
}

static bool view_of(struct ay_core *c, const struct ay__session *s, const struct ay__link *l, struct view *v)
{
	if (!l->used || l->bundle == AY__NONE || !l->we_want || !l->known || (!l->whole && !l->bits))
		return false;
	const struct ay__bundle *b = &c->bundles[l->bundle];
	if (!b->collect || b->state != AY__B_PARTIAL)
		return false;
	*v = (struct view){.c = c, .s = s, .l = l, .b = b, .bundle = l->bundle};
	v->now_ms = (uint32_t)((c->now - b->wait_base) / AY__MS);
	v->hash_room = s->n_hash_requests + AY_MERKLE_LEVELS_MAX <= AY__HASH_REQS_MAX;
	if (s->school) {
		v->alone = is_alone(c, l->bundle);
		v->starving = v->alone || starving(c, b);
	}
	return true;
}

bool ay__pick(struct ay_core *c, const struct ay__session *s, struct ay__pick *out)
{
	uint64_t best = UINT64_MAX;
	bool found = false;

	for (unsigned k = 0; k < AY__LINKS_MAX; k++) {
		struct view v;
		uint32_t index;
		if (!view_of(c, s, &s->links[k], &v) || !pick_in(&v, &best, &index))
			continue;
		found = true;
		out->bundle = v.bundle;
		out->index = index;
		out->attempt = v.alone ? AY_ATTEMPT_ALONE : v.b->refusals ? v.b->refusals[index] : 0;
	}
	return found;
}

/* ---- endgame */

static bool asked_of(const struct ay__session *s, int bundle, uint32_t index)
{
	for (unsigned i = 0; i < s->n_requests; i++)
		if (s->requests[i].bundle == bundle && s->requests[i].index == index)
			return true;
	return false;
}

static unsigned askers(const struct ay_core *c, int bundle, uint32_t index)
{
	unsigned n = 0;

	for (unsigned i = 0; i < c->n_sessions; i++)
		n += asked_of(c->sessions[i], bundle, index);
	return n;
}

/* A request is slow when twice the time has passed that all that was asked together with it should have taken. */
static uint64_t slow_ns(const struct view *v, const struct ay__session *t)
{
	uint64_t usual = 2 * (t->n_requests + 1) * t->longest_ns, least = AY_SWARM_SLOW_MS * AY__MS;

	if (t->gap_ns == 0)
		usual = 3 * least;
	if (usual < least)
		usual = least;
	return v->s->school ? 2 * usual : usual;
}

/* The oldest request of another peer that this one could answer too. */
static bool pick_slow(const struct view *v, uint32_t *index)
{
	uint64_t oldest = v->c->now;
	bool found = false;

	for (unsigned i = 0; i < v->c->n_sessions; i++) {
		const struct ay__session *t = v->c->sessions[i];
		uint64_t slow = slow_ns(v, t);
		for (unsigned k = 0; t != v->s && k < t->n_requests; k++) {
			const struct ay__request *r = &t->requests[k];
			if (r->bundle != v->bundle || v->c->now - r->at_ns < slow || r->at_ns >= oldest)
				continue;
			if (!(v->l->whole || ay__bit(v->l->bits, r->index)) ||
			    askers(v->c, v->bundle, r->index) > 1)
				continue;
			oldest = r->at_ns;
			*index = r->index;
			found = true;
		}
	}
	return found;
}

bool ay__pick_again(struct ay_core *c, const struct ay__session *s, struct ay__pick *out)
{
	for (unsigned k = 0; k < AY__LINKS_MAX; k++) {
		struct view v;
		if (!view_of(c, s, &s->links[k], &v))
			continue;
		uint32_t left = v.b->blocks - v.b->n_had;
		/* What is asked twice may come twice: of a small bundle that must stay a small part. */
		uint32_t end = 1 + v.b->blocks / AY_SWARM_ENDGAME_SHARE;
		if (left > (end < AY_SWARM_ENDGAME ? end : AY_SWARM_ENDGAME) || v.b->n_asked < left ||
		    !pick_slow(&v, &out->index))
			continue;
		out->bundle = v.bundle;
		out->attempt = v.alone ? AY_ATTEMPT_ALONE : v.b->refusals ? v.b->refusals[out->index] : 0;
		return true;
	}
	return false;
}
