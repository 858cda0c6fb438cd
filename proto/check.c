/* SPDX-License-Identifier: MIT */
/*
 * What the core knows of itself: the status for its owner, and the invariants that
 * must hold after every event, whatever a peer sent (asserted by tests, by the
 * fuzzers and by the simulator).
 */
#include "proto/check.h"

#include "proto/bits.h"
#include "proto/peers.h"

#include <stdio.h>
#include <string.h>

/* ---- status */

static enum ay_branch_phase phase_of(const struct ay__branch *b)
{
	switch (b->update) {
	case AY__UP_HELD:
		return AY_PHASE_HELD;
	case AY__UP_SEARCHING:
		return b->learn == AY__LEARN_IDLE ? AY_PHASE_SEARCHING : AY_PHASE_LEARNING;
	case AY__UP_OPENING:
	case AY__UP_COLLECTING:
		return AY_PHASE_COLLECTING;
	case AY__UP_FINISHING:
	case AY__UP_APPLYING:
		return AY_PHASE_APPLYING;
	case AY__UP_BACKOFF:
		return AY_PHASE_SEARCHING;
	default:
		return b->follow && b->learn != AY__LEARN_IDLE ? AY_PHASE_LEARNING : AY_PHASE_IDLE;
	}
}

static void branch_status(const struct ay_core *c, const struct ay__branch *b, struct ay_branch_status *out)
{
	memcpy(out->branch, b->name, sizeof(out->branch));
	out->have_serial = b->have_serial;
	out->head_serial = b->has_head ? b->head.serial : 0;
	out->target_serial = b->target_serial;
	out->fetching = !ay_digest_is_zero(&b->fetch);
	out->fetched = b->fetched;
	out->fetched_bytes = b->fetched_bytes;
	out->fetch = b->fetch;
	out->phase = phase_of(b);
	if (b->bundle != AY__NONE) {
		const struct ay__bundle *k = &c->bundles[b->bundle];
		out->blocks_had = k->n_had;
		out->blocks_total = k->blocks;
		out->bytes_total = k->size;
	}
	memcpy(out->problem, b->problem, sizeof(out->problem));
	if (!c->root)
		snprintf(out->problem, sizeof(out->problem),
			 "no root key: run `ayni init` with the publisher's root first");
	else if (b->follow && !b->has_head && !out->problem[0] && b->have_serial == 0)
		snprintf(out->problem, sizeof(out->problem), "no release of this branch was heard of yet");
}

void ay_core_status(const struct ay_core *c, struct ay_core_status *out)
{
	memset(out, 0, sizeof(*out));
	out->bytes_from_peers = c->bytes_from_peers;
	out->bytes_from_school = c->bytes_from_school;
	out->bytes_served = c->bytes_served;
	out->bytes_twice = c->bytes_twice;
	out->packets_refused = c->packets_refused;
	out->neighbours = ay__neighbours(c);
	for (unsigned i = 0; i < c->n_branches; i++)
		branch_status(c, &c->branches[i], &out->branches[out->n_branches++]);
	for (unsigned i = 0; i < c->n_sessions && out->n_peers < AY_CORE_SESSIONS_MAX; i++) {
		const struct ay__session *s = c->sessions[i];
		out->peers[out->n_peers++] = (struct ay_peer_status){.addr = s->addr,
								     .conn = s->conn,
								     .school = s->school,
								     .incoming = s->incoming,
								     .up = ay__ready(s),
								     .bytes_from = s->bytes_from,
								     .bytes_to = s->bytes_to,
								     .score = s->score};
	}
}

/* ---- invariants */

static uint32_t ones(const uint64_t *words, uint32_t blocks)
{
	uint32_t n = 0;

	for (uint32_t w = 0; words && w < (blocks + 63) / 64; w++)
		for (uint64_t left = words[w]; left; left &= left - 1)
			n++;
	return n;
}

static const char *check_bundle(const struct ay_core *c, int index)
{
	const struct ay__bundle *b = &c->bundles[index];
	uint32_t requests = 0;
	unsigned laptops = 0;

	if (b->blocks != ay_blocks_of(b->size) || b->n_had > b->blocks)
		return "a bundle has more blocks than its size allows";
	if (b->had && ones(b->had, b->blocks) != b->n_had)
		return "the number of blocks had is not that of the bitmap";
	if (b->state == AY__B_WHOLE && (b->had || b->n_had != b->blocks))
		return "a whole bundle lacks blocks";
	if (b->collect && b->state != AY__B_PARTIAL)
		return "a bundle is collected that is not partial";
	for (uint32_t w = 0; b->had && w < (b->blocks + 63) / 64; w++)
		if (b->had[w] & b->asked[w])
			return "a block is both had and asked for";
	for (unsigned i = 0; i < c->n_sessions; i++) {
		const struct ay__session *s = c->sessions[i];
		for (unsigned k = 0; k < s->n_requests; k++) {
			if (s->requests[k].bundle != index)
				continue;
			if (!b->collect || !ay__bit(b->asked, s->requests[k].index))
				return "a request whose block is not marked as asked";
			requests++;
			laptops += !s->school;
		}
	}
	if (requests != b->n_asked + b->n_twice || ones(b->asked, b->blocks) != b->n_asked)
		return "requests and asked blocks do not add up";
	return laptops == b->laptop_requests ? NULL : "requests to laptops do not add up";
}

/* Rarity is the number of linked laptops with the block; sampled, because it is long. */
static const char *check_rarity(const struct ay_core *c, int index)
{
	const struct ay__bundle *b = &c->bundles[index];
	uint32_t step = b->blocks / 64 + 1;

	for (uint32_t i = 0; b->laptops && i < b->blocks; i += step) {
		unsigned n = 0;
		for (unsigned k = 0; k < c->n_sessions; k++) {
			const struct ay__session *s = c->sessions[k];
			for (unsigned m = 0; !s->school && m < AY__LINKS_MAX; m++) {
				const struct ay__link *l = &s->links[m];
				n += l->used && l->bundle == index && l->known &&
				     (l->whole || (l->bits && ay__bit(l->bits, i)));
			}
		}
		if (n != b->laptops[i])
			return "a block's rarity is not the number of laptops that have it";
	}
	return NULL;
}

static const char *check_branch(const struct ay_core *c, const struct ay__branch *b)
{
	bool moving = b->update == AY__UP_OPENING || b->update == AY__UP_COLLECTING ||
		      b->update == AY__UP_FINISHING || b->update == AY__UP_APPLYING;

	if (b->have_serial < b->owner_floor)
		return "the installed serial went back without the owner";
	if (b->floor < b->have_serial)
		return "the floor lies below what is installed";
	if (moving != (b->offer != AY__NONE) || moving != (b->release != AY__NONE))
		return "a branch is on a way without offer or release";
	if (!moving)
		return NULL;
	if (b->update != AY__UP_APPLYING &&
	    (b->bundle == AY__NONE || !c->bundles[b->bundle].used ||
	     !ay_digest_eq(&c->bundles[b->bundle].digest, &c->offers[b->offer].bundle)))
		return "a branch is on a way without its bundle";
	if (c->releases[b->release].stored != AY__STORED_YES)
		return "a release is acted upon that is not durable";
	if (!b->fetching && c->releases[b->release].serial <= b->have_serial)
		return "a way leads back";
	if (b->update == AY__UP_APPLYING && c->offers[b->offer].stored != AY__STORED_YES)
		return "an offer is applied that is not durable";
	if (b->update == AY__UP_COLLECTING && !c->bundles[b->bundle].collect)
		return "a branch collects a bundle that is not collected";
	return NULL;
}

static const char *check_session(const struct ay_core *c, const struct ay__session *s)
{
	if (s->state == AY__SE_CLOSED)
		return "a closed session is still there";
	if (s->n_requests > AY__REQUESTS_MAX || s->n_hash_requests > AY__HASH_REQS_MAX ||
	    s->queue_n > AY__QUEUE_MAX || s->n_sending > AY__SENDING_MAX || s->n_asks > AY__ASKS_MAX)
		return "a session's queue is over its limit";
	if (s->state != AY__SE_READY && (s->n_requests || s->n_asks || s->queue_n || s->n_told))
		return "a session works that is not ready";
	for (unsigned i = 0; i < s->queue_n; i++)
		if (!c->bundles[s->queue[(s->queue_head + i) % AY__QUEUE_MAX].bundle].used)
			return "a peer waits for a bundle that is gone";
	for (unsigned i = 0; i < AY__LINKS_MAX; i++) {
		const struct ay__link *l = &s->links[i];
		if (!l->used)
			continue;
		if (!l->we_want && !l->they_want)
			return "a link that nobody wants";
		if (l->bundle != AY__NONE && !c->bundles[l->bundle].used)
			return "a link to a bundle that is gone";
		if (l->we_want && (l->bundle == AY__NONE || !c->bundles[l->bundle].collect))
			return "a peer was told that we want what we do not";
		if (l->known && !l->whole && !l->bits)
			return "a known bitmap is not there";
	}
	return NULL;
}

static const char *check_holders(const struct ay_core *c)
{
	unsigned said = 0, told = 0;

	for (unsigned i = 0; i < c->n_offers; i++)
		said += c->offers[i].laptops + c->offers[i].schools;
	for (unsigned i = 0; i < c->n_sessions; i++)
		told += c->sessions[i]->n_told;
	return said == told ? NULL : "offers and who told of them do not add up";
}

const char *ay_core_check(const struct ay_core *c)
{
	const char *broken = check_holders(c);

	if (c->n_sessions > c->sessions_max)
		return "too many sessions";
	for (unsigned i = 0; !broken && i < c->n_branches; i++)
		broken = check_branch(c, &c->branches[i]);
	for (int i = 0; !broken && i < AY_CORE_BUNDLES_MAX; i++) {
		if (!c->bundles[i].used)
			continue;
		broken = check_bundle(c, i);
		if (!broken)
			broken = check_rarity(c, i);
	}
	for (unsigned i = 0; !broken && i < c->n_sessions; i++)
		broken = check_session(c, c->sessions[i]);
	return broken;
}
