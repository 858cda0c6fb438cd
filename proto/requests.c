/* SPDX-License-Identifier: MIT */
/*
 * Requests: what was asked of whom, and is not answered yet.
 *
 * A bundle's `asked` bits, its counts and the sessions' lists say the same thing
 * twice; every change is made here, so that they always agree. Which block to ask
 * for is for pick.c and swarm.c.
 */
#include "proto/requests.h"

#include "proto/bits.h"
#include "proto/orders.h"

void ay__request_end(struct ay_core *c, struct ay__session *s, unsigned k)
{
	struct ay__request r = s->requests[k];
	struct ay__bundle *b = &c->bundles[r.bundle];
	bool others = false;

	s->requests[k] = s->requests[--s->n_requests];
	for (unsigned i = 0; b->n_twice && i < c->n_sessions; i++)
		for (unsigned m = 0; m < c->sessions[i]->n_requests; m++)
			others |= c->sessions[i]->requests[m].bundle == r.bundle &&
				  c->sessions[i]->requests[m].index == r.index;
	if (others) {
		b->n_twice--;
	} else if (b->asked && ay__bit(b->asked, r.index)) {
		ay__bit_clear(b->asked, r.index);
		b->n_asked--;
	}
	if (!s->school && --b->laptop_requests == 0)
		b->laptop_idle_since = c->now;
}

void ay__request_cancel(struct ay_core *c, struct ay__session *s, unsigned k)
{
	struct ay__request r = s->requests[k];
	struct ay_wire_block w = {.bundle = c->bundles[r.bundle].digest, .index = r.index};

	ay_wire_block_put(&c->scratch, &w);
	ay__frame(c, s, AY_FRAME_CANCEL);
	s->late[s->late_at++ % AY__LATE_MAX] = r;
	ay__request_end(c, s, k);
}

/* Hash blocks that the piece still lacks, from the top down, so that each can be checked when it comes. */
static void ask_hashes(struct ay_core *c, struct ay__session *s, int bundle, uint32_t piece)
{
	struct ay__bundle *b = &c->bundles[bundle];
	unsigned levels = b->merkle ? ay_merkle_levels(b->merkle) : 0;

	for (unsigned level = levels; level-- > 0;) {
		uint32_t index = (uint32_t)(level ? (uint64_t)piece >> (7 * level) : piece);
		bool asked = false;
		if (ay_merkle_has(b->merkle, level, index))
			continue;
		for (unsigned i = 0; i < s->n_hash_requests; i++)
			asked |= s->hash_requests[i].bundle == bundle && s->hash_requests[i].level == level &&
				 s->hash_requests[i].index == index;
		if (asked || s->n_hash_requests == AY__HASH_REQS_MAX)
			continue;
		s->hash_requests[s->n_hash_requests++] =
			(struct ay__hash_request){bundle, (uint8_t)level, index, c->now};
		struct ay_wire_hash_request w = {
			.bundle = b->digest, .level = (uint8_t)level, .index = index};
		ay_wire_hash_request_put(&c->scratch, &w);
		ay__frame(c, s, AY_FRAME_HASH_REQUEST);
	}
}

void ay__request(struct ay_core *c, struct ay__session *s, int bundle, uint32_t index, uint8_t attempt)
{
	struct ay__bundle *b = &c->bundles[bundle];
	struct ay_wire_request w = {.bundle = b->digest, .index = index, .had = b->n_had, .attempt = attempt};

	ask_hashes(c, s, bundle, index / 8);
	if (ay__bit(b->asked, index)) {
		b->n_twice++;
	} else {
		ay__bit_set(b->asked, index);
		b->n_asked++;
	}
	if (!s->school)
		b->laptop_requests++;
	s->requests[s->n_requests++] = (struct ay__request){bundle, index, c->now};
	ay_wire_request_put(&c->scratch, &w);
	ay__frame(c, s, AY_FRAME_REQUEST);
}

bool ay__request_was_late(struct ay__session *s, int bundle, uint32_t index, uint64_t *asked_ns)
{
	for (unsigned i = 0; i < AY__LATE_MAX; i++) {
		struct ay__request *r = &s->late[i];
		if (r->at_ns && r->index == index && (r->bundle == bundle || r->bundle == AY__NONE)) {
			*asked_ns = r->at_ns;
			r->at_ns = 0;
			return true;
		}
	}
	return false;
}

void ay__requests_cancel(struct ay_core *c, int bundle, uint32_t index)
{
	for (unsigned i = 0; i < c->n_sessions; i++)
		for (unsigned k = c->sessions[i]->n_requests; k-- > 0;)
			if (c->sessions[i]->requests[k].bundle == bundle &&
			    c->sessions[i]->requests[k].index == index)
				ay__request_cancel(c, c->sessions[i], k);
}

void ay__hash_requests_end(struct ay__session *s, int bundle)
{
	for (unsigned k = s->n_hash_requests; k-- > 0;)
		if (s->hash_requests[k].bundle == bundle)
			s->hash_requests[k] = s->hash_requests[--s->n_hash_requests];
}

bool ay__hash_request_end(struct ay__session *s, int bundle, uint8_t level, uint32_t index)
{
	for (unsigned k = 0; k < s->n_hash_requests; k++) {
		const struct ay__hash_request *h = &s->hash_requests[k];
		if (h->bundle != bundle || h->level != level || h->index != index)
			continue;
		s->hash_requests[k] = s->hash_requests[--s->n_hash_requests];
		return true;
	}
	return false;
}

void ay__requests_end(struct ay_core *c, int bundle)
{
	for (unsigned i = 0; i < c->n_sessions; i++) {
		struct ay__session *s = c->sessions[i];
		for (unsigned k = s->n_requests; k-- > 0;) {
			if (s->requests[k].bundle != bundle)
				continue;
			if (s->state == AY__SE_READY)
				ay__request_cancel(c, s, k);
			else
				ay__request_end(c, s, k);
		}
		ay__hash_requests_end(s, bundle);
	}
}

void ay__requests_bundle_left(struct ay_core *c, int bundle)
{
	ay__requests_end(c, bundle);
	for (unsigned i = 0; i < c->n_sessions; i++)
		for (unsigned k = 0; k < AY__LATE_MAX; k++)
			if (c->sessions[i]->late[k].bundle == bundle)
				c->sessions[i]->late[k].bundle = AY__NONE;
}

void ay__requests_session_gone(struct ay_core *c, struct ay__session *s)
{
	while (s->n_requests)
		ay__request_end(c, s, s->n_requests - 1);
	s->n_hash_requests = 0;
}
