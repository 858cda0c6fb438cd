/* SPDX-License-Identifier: MIT */
/*
 * The table of bundles: which are here, whole or in part.
 *
 *     OPENING ──► PARTIAL ──all blocks──► FINISHING ──durable──► WHOLE
 *
 * The core knows of a bundle's blocks only whether they are had; their bytes are
 * the runner's.
 */
#include "proto/bundles.h"

#include "proto/orders.h"

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

int ay__bundle_new(struct ay_core *c, const struct ay_digest *digest, uint64_t size)
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

int ay__bundle_open(struct ay_core *c, const struct ay_digest *digest, uint64_t size)
{
	int i = ay__bundle_new(c, digest, size);

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

int ay__bundle_partial(struct ay__bundle *b, const uint8_t *bitmap)
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

void ay__bundle_free(struct ay_core *c, int bundle)
{
	struct ay__bundle *b = &c->bundles[bundle];

	for (unsigned i = 0; i < c->n_tokens; i++)
		if (c->tokens[i].kind == AY__TOKEN_BUNDLE && c->tokens[i].index == bundle)
			c->tokens[i].index = AY__NONE;
	forget_blocks(b);
	free(b->sent);
	memset(b, 0, sizeof(*b));
	c->dirty |= AY__DIRTY_PLAN;
}
