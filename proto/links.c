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
#include "proto/links.h"

#include "proto/bits.h"
#include "proto/orders.h"

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

struct ay__link *ay__link_make(struct ay__session *s, const struct ay_digest *digest, uint64_t size)
{
	struct ay__link *l = ay__link_find(s, digest);

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

void ay__link_unknow(struct ay_core *c, struct ay__session *s, struct ay__link *l)
{
	count(c, s, l, -1);
	free(l->bits);
	l->bits = NULL;
	l->whole = l->known = false;
}

void ay__link_know(struct ay_core *c, struct ay__session *s, struct ay__link *l)
{
	l->known = true;
	count(c, s, l, 1);
}

void ay__link_block(struct ay_core *c, struct ay__session *s, struct ay__link *l, uint32_t index, bool has)
{
	if (has)
		ay__bit_set(l->bits, index);
	else
		ay__bit_clear(l->bits, index);
	if (counts(c, s, l))
		c->bundles[l->bundle].laptops[index] += has ? 1 : -1;
}

void ay__link_clear(struct ay_core *c, struct ay__session *s, struct ay__link *l)
{
	ay__link_unknow(c, s, l);
	memset(l, 0, sizeof(*l));
}

void ay__link_unwant(struct ay_core *c, struct ay__session *s, struct ay__link *l)
{
	bool keep_bits = l->they_want && !l->whole; /* whom HAVE need not be told */

	l->we_want = false;
	if (!l->they_want)
		ay__link_clear(c, s, l);
	else if (!keep_bits)
		ay__link_unknow(c, s, l);
}

void ay__link_lose(struct ay_core *c, struct ay__session *s, struct ay__link *l)
{
	ay__link_unknow(c, s, l);
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

bool ay__link_holder(const struct ay_core *c, int bundle)
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

void ay__links_session_gone(struct ay_core *c, struct ay__session *s)
{
	for (unsigned k = 0; k < AY__LINKS_MAX; k++)
		if (s->links[k].used)
			ay__link_clear(c, s, &s->links[k]);
}
