/* SPDX-License-Identifier: MIT */
/*
 * The table of bundles: which are here, whole or in part, and which are kept.
 *
 *     OPENING ──► PARTIAL ──all blocks──► FINISHING ──durable──► WHOLE
 *
 * The core knows of a bundle's blocks only whether they are had; their bytes are
 * the runner's.
 */
#include "proto/core_internal.h"

#include "base/error.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int ay__bundle_find(const struct ay_core *c, const struct ay_digest *digest)
{
	for (unsigned i = 0; i < AY_CORE_BUNDLES_MAX; i++)
		if (c->bundles[i].used && ay_digest_eq(&c->bundles[i].digest, digest))
			return (int)i;
	return AY__NONE;
}

static int bundle_new(struct ay_core *c, const struct ay_digest *digest, uint64_t size)
{
	for (unsigned i = 0; i < AY_CORE_BUNDLES_MAX; i++) {
		struct ay__bundle *b = &c->bundles[i];
		if (b->used)
			continue;
		*b = (struct ay__bundle){.used = true,
					 .state = AY__B_OPENING,
					 .digest = *digest,
					 .size = size,
					 .blocks = (uint32_t)ay_blocks_of(size),
					 .salt = (uint32_t)ay_prng_next(&c->prng)};
		b->pieces = (b->blocks + 7) / 8;
		return (int)i;
	}
	return AY__NONE;
}

/* AY__NONE: the table is full. */
int ay__bundle_open(struct ay_core *c, const struct ay_digest *digest, uint64_t size)
{
	int i = bundle_new(c, digest, size);

	if (i == AY__NONE)
		return i;
	struct ay_order *o = ay__order(c, AY_ORDER_OPEN_BUNDLE);
	o->bundle.digest = *digest;
	o->bundle.size = size;
	return i;
}

static void forget_blocks(struct ay__bundle *b)
{
	free(b->had);
	free(b->asked);
	free(b->laptops);
	free(b->refusals);
	free(b->wait_ms);
	b->had = b->asked = NULL;
	b->laptops = NULL;
	b->refusals = NULL;
	b->wait_ms = NULL;
	b->n_asked = b->n_twice = 0;
}

void ay__bundle_whole(struct ay__bundle *b)
{
	forget_blocks(b);
	b->state = AY__B_WHOLE;
	b->n_had = b->blocks;
}

static int read_bitmap(struct ay__bundle *b, const uint8_t *bitmap)
{
	size_t words = (b->blocks + 63) / 64;

	b->had = calloc(words, sizeof(*b->had));
	b->asked = calloc(words, sizeof(*b->asked));
	b->laptops = calloc(b->blocks, sizeof(*b->laptops));
	if (!b->had || !b->asked || !b->laptops) {
		forget_blocks(b);
		return -ENOMEM;
	}
	b->n_had = 0;
	for (uint32_t i = 0; bitmap && i < b->blocks; i++) {
		if (bitmap[i / 8] >> (i % 8) & 1) {
			ay__bit_set(b->had, i);
			b->n_had++;
		}
	}
	b->state = AY__B_PARTIAL;
	return 0;
}

int ay__bundle_event(struct ay_core *c, const struct ay_event *ev)
{
	int i = ay__bundle_find(c, &ev->bundle.digest);

	if (ev->bundle.size == 0 || ev->bundle.size > AY_BUNDLE_SIZE_MAX)
		return AY_ELIMIT;
	if (i != AY__NONE && c->bundles[i].size != ev->bundle.size)
		return ay__bundle_gone(c, &ev->bundle.digest, AY_EDIGEST);
	if (i == AY__NONE)
		i = bundle_new(c, &ev->bundle.digest, ev->bundle.size);
	if (i == AY__NONE)
		return AY_ELIMIT;
	struct ay__bundle *b = &c->bundles[i];
	if (b->state == AY__B_FINISHING || b->state == AY__B_WHOLE)
		return 0;
	if (b->state == AY__B_PARTIAL && !ev->bundle.whole)
		return 0; /* we know more than this by now */
	b->merkle = ev->bundle.merkle;
	if (ev->bundle.whole) {
		bool collecting = b->state == AY__B_PARTIAL;
		if (collecting)
			ay__swarm_collect(c, i, false);
		ay__bundle_whole(b);
	} else {
		int rc = read_bitmap(b, ev->bundle.bitmap);
		if (rc) {
			ay__bundle_gone(c, &ev->bundle.digest, rc);
			return rc;
		}
	}
	AY__TRACE(c, "swarm", "bundle %s: %u of %u blocks are here", ay__short(&b->digest).s, b->n_had,
		  b->blocks);
	ay__swarm_bundle_here(c, i);
	ay__update_bundle_open(c, i);
	c->dirty |= AY__DIRTY_PLAN;
	return 0;
}

/* Forget it and whatever hangs on it, without a word to the runner. */
void ay__bundle_free(struct ay_core *c, int bundle)
{
	struct ay__bundle *b = &c->bundles[bundle];

	ay__swarm_bundle_left(c, bundle);
	ay__serve_bundle_left(c, bundle);
	for (unsigned i = 0; i < c->n_tokens; i++)
		if (c->tokens[i].kind == AY__TOKEN_BUNDLE && c->tokens[i].index == bundle)
			c->tokens[i].index = AY__NONE;
	forget_blocks(b);
	free(b->sent);
	memset(b, 0, sizeof(*b));
	c->dirty |= AY__DIRTY_PLAN;
}

int ay__bundle_gone(struct ay_core *c, const struct ay_digest *digest, int status)
{
	int i = ay__bundle_find(c, digest);

	if (i == AY__NONE)
		return 0;
	AY__TRACE(c, "swarm", "bundle %s: gone (%s)", ay__short(digest).s, ay_error_name(status));
	/* What cannot be opened cannot be given either. */
	for (unsigned k = 0; k < c->n_offers; k++)
		if (c->offers[k].used && ay_digest_eq(&c->offers[k].bundle, digest))
			c->offers[k].local = false;
	ay__bundle_free(c, i);
	ay__update_bundle_gone(c, i, status);
	return 0;
}

void ay__bundle_drop(struct ay_core *c, int bundle)
{
	struct ay_order *o = ay__order(c, AY_ORDER_DROP_BUNDLE);

	o->bundle.digest = c->bundles[bundle].digest;
	o->bundle.size = c->bundles[bundle].size;
	AY__TRACE(c, "swarm", "bundle %s: dropped", ay__short(&c->bundles[bundle].digest).s);
	ay__bundle_free(c, bundle);
}

/* ---- which bundles a laptop keeps: those of its last steps, as far as they cost little */

static const struct ay__offer *offer_of(const struct ay_core *c, const struct ay__bundle *b)
{
	for (unsigned i = 0; i < c->n_offers; i++)
		if (c->offers[i].used && ay_digest_eq(&c->offers[i].bundle, &b->digest))
			return &c->offers[i];
	return NULL;
}

/* The serial that it leads to, 0 if nobody told. */
static uint32_t serial_of(const struct ay_core *c, const struct ay__bundle *b, int *branch)
{
	const struct ay__offer *o = offer_of(c, b);
	int r = o ? ay__release_of(c, o->branch, &o->to) : AY__NONE;

	*branch = o ? o->branch : AY__NONE;
	return r == AY__NONE ? 0 : c->releases[r].serial;
}

static bool busy(const struct ay_core *c, int bundle)
{
	for (unsigned i = 0; i < c->n_branches; i++)
		if (c->branches[i].bundle == bundle)
			return true;
	for (unsigned i = 0; i < c->n_sessions; i++) {
		for (unsigned k = 0; k < AY__LINKS_MAX; k++) {
			const struct ay__link *l = &c->sessions[i]->links[k];
			if (l->used && l->bundle == bundle && l->they_want)
				return true;
		}
	}
	return c->bundles[bundle].state == AY__B_OPENING || c->bundles[bundle].state == AY__B_FINISHING;
}

static bool newest_of_branch(const struct ay_core *c, int bundle, int branch, uint32_t serial)
{
	for (int i = 0; i < AY_CORE_BUNDLES_MAX; i++) {
		int other;
		if (i == bundle || !c->bundles[i].used || c->bundles[i].state != AY__B_WHOLE)
			continue;
		if (serial_of(c, &c->bundles[i], &other) > serial && other == branch)
			return false;
	}
	return true;
}

/* Allowed: 1.3 % of the trees (as the 2007 design had it), or the newest bundles if they are larger. */
static int trim_victim(const struct ay_core *c)
{
	uint64_t trees = 0, total = 0;
	uint32_t lowest = UINT32_MAX;
	int victim = AY__NONE;

	for (unsigned i = 0; i < c->n_branches; i++) {
		int r = ay__release_serial(c, (int)i, c->branches[i].have_serial);
		trees += r == AY__NONE ? 0 : c->releases[r].unpacked;
	}
	for (int i = 0; i < AY_CORE_BUNDLES_MAX; i++) {
		const struct ay__bundle *b = &c->bundles[i];
		int branch;
		if (!b->used)
			continue;
		uint32_t serial = serial_of(c, b, &branch);
		if (b->state == AY__B_PARTIAL) {
			/* A way that was not gone to its end, and leads nowhere any more. */
			if (serial && serial <= c->branches[branch].have_serial && !busy(c, i))
				return i;
			continue;
		}
		total += b->size;
		if (serial && serial < lowest && !busy(c, i) && !newest_of_branch(c, i, branch, serial)) {
			lowest = serial;
			victim = i;
		}
	}
	return total > trees / 1000 * 13 ? victim : AY__NONE;
}

void ay__bundles_trim(struct ay_core *c)
{
	int victim;

	if (c->cfg.role == AY_NODE_SCHOOL)
		return;
	while ((victim = trim_victim(c)) != AY__NONE)
		ay__bundle_drop(c, victim);
}
