/* SPDX-License-Identifier: MIT */
/* diff/lzma_encode.c - what was chosen becomes bits, and moves the probabilities. */
#include "diff/lzma_model.h"

#include "base/error.h"

const uint8_t ay__lzma_prices[128] = {
	128, 103, 91, 84, 78, 73, 69, 66, 63, 61, 58, 56, 54, 52, 51, 49, 48, 46, 45, 44, 43, 42,
	41,  40,  39, 38, 37, 36, 35, 34, 34, 33, 32, 31, 31, 30, 29, 29, 28, 28, 27, 26, 26, 25,
	25,  24,  24, 23, 23, 22, 22, 22, 21, 21, 20, 20, 19, 19, 19, 18, 18, 17, 17, 17, 16, 16,
	16,  15,  15, 15, 14, 14, 14, 13, 13, 13, 12, 12, 12, 11, 11, 11, 11, 10, 10, 10, 10, 9,
	9,   9,   9,  8,  8,  8,  8,  7,  7,  7,  7,  6,  6,  6,  6,  5,  5,  5,  5,  5,  4,  4,
	4,   4,   3,  3,  3,  3,  3,  2,  2,  2,  2,  2,  2,  1,  1,  1,  1,  1,
};

/* ---- the range coder ---- */

static void shift_low(struct lzma_rc *rc)
{
	if ((uint32_t)rc->low < 0xff000000u || rc->low >> 32) {
		do {
			/* Packing stops a step's bytes before the end. */
			AY_ASSERT(rc->n < sizeof(rc->out));
			rc->out[rc->n++] = (uint8_t)(rc->cache + (uint8_t)(rc->low >> 32));
			rc->cache = 0xff;
		} while (--rc->cache_size != 0);
		rc->cache = (uint8_t)(rc->low >> 24);
	}
	rc->cache_size++;
	rc->low = (rc->low & 0x00ffffff) << 8;
}

static inline void normalise(struct lzma_rc *rc)
{
	if (rc->range < 1u << 24) {
		shift_low(rc);
		rc->range <<= 8;
	}
}

static inline void put_bit(struct lzma_rc *rc, lzma_prob *p, uint32_t bit)
{
	normalise(rc);
	const uint32_t bound = (rc->range >> 11) * *p;

	if (bit) {
		rc->low += bound;
		rc->range -= bound;
		*p = (lzma_prob)(*p - (*p >> 5));
	} else {
		rc->range = bound;
		*p = (lzma_prob)(*p + ((2048 - *p) >> 5));
	}
}

static inline void put_tree(struct lzma_rc *rc, lzma_prob *probs, unsigned bits, uint32_t symbol)
{
	for (uint32_t model = 1; bits > 0;) {
		const uint32_t bit = symbol >> --bits & 1;

		put_bit(rc, &probs[model], bit);
		model = (model << 1) + bit;
	}
}

/* Probabilities lie from @probs[1] on; that may be the first of an array. */
static inline void put_reverse(struct lzma_rc *rc, lzma_prob *array, int before, unsigned bits,
			       uint32_t symbol)
{
	for (uint32_t model = 1; bits > 0; bits--, symbol >>= 1) {
		put_bit(rc, &array[before + (int)model], symbol & 1);
		model = (model << 1) + (symbol & 1);
	}
}

static void rc_reset(struct lzma_rc *rc)
{
	rc->low = 0;
	rc->cache_size = 1;
	rc->range = UINT32_MAX;
	rc->cache = 0;
}

void ay__lzma_flush(struct ay__lzma *z)
{
	normalise(&z->rc);
	for (unsigned i = 0; i < 5; i++)
		shift_low(&z->rc);
	rc_reset(&z->rc);
}

/* ---- lengths ---- */

static void length_prices(struct lzma_length *l, uint32_t pos_state)
{
	const uint32_t a0 = lzma_price(l->choice, 0), a1 = lzma_price(l->choice, 1);
	const uint32_t b0 = a1 + lzma_price(l->choice2, 0), b1 = a1 + lzma_price(l->choice2, 1);
	uint32_t *prices = l->prices[pos_state];

	l->counters[pos_state] = l->table_size;
	for (uint32_t i = 0; i < l->table_size; i++)
		prices[i] = i < 8    ? a0 + lzma_tree_price(l->low[pos_state], 3, i)
			    : i < 16 ? b0 + lzma_tree_price(l->mid[pos_state], 3, i - 8)
				     : b1 + lzma_tree_price(l->high, 8, i - 16);
}

static void put_length(struct lzma_rc *rc, struct lzma_length *l, uint32_t pos_state, uint32_t len)
{
	/* liblzma does this with the probabilities as they were before. */
	if (--l->counters[pos_state] == 0)
		length_prices(l, pos_state);
	len -= MATCH_MIN;
	put_bit(rc, &l->choice, len >= 8);
	if (len < 8) {
		put_tree(rc, l->low[pos_state], 3, len);
		return;
	}
	put_bit(rc, &l->choice2, len >= 16);
	if (len < 16)
		put_tree(rc, l->mid[pos_state], 3, len - 8);
	else
		put_tree(rc, l->high, 8, len - 16);
}

/* ---- symbols ---- */

static void put_literal(struct ay__lzma *z)
{
	const uint8_t *p = z->v->bytes + z->v->at - z->v->ahead;
	lzma_prob *probs = lzma_literal_coder(z, z->position, p[-1]);
	const bool plain = z->state < LIT_STATES;

	z->state = lzma_after_literal(z->state);
	if (plain) {
		put_tree(&z->rc, probs, 8, *p);
		return;
	}
	uint32_t match = p[-(ptrdiff_t)z->reps[0] - 1], offset = 0x100;
	for (uint32_t symbol = *p + 0x100u; symbol < 0x10000;) {
		match <<= 1;
		put_bit(&z->rc, &probs[offset + (match & offset) + (symbol >> 8)], symbol >> 7 & 1);
		symbol <<= 1;
		offset &= ~(match ^ symbol);
	}
}

static void put_match(struct ay__lzma *z, uint32_t pos_state, uint32_t dist, uint32_t len)
{
	const uint32_t slot = lzma_slot(dist);

	z->state = lzma_after_match(z->state);
	put_length(&z->rc, &z->match_len, pos_state, len);
	put_tree(&z->rc, z->dist_slot[lzma_dist_state(len)], 6, slot);
	if (slot >= MODEL_START) {
		const unsigned bits = (slot >> 1) - 1;
		const uint32_t base = (2 | (slot & 1)) << bits, rest = dist - base;

		if (slot < MODEL_END) {
			put_reverse(&z->rc, z->dist_special, (int)(base - slot) - 1, bits, rest);
		} else {
			for (unsigned i = bits; i > ALIGN_BITS; i--) {
				normalise(&z->rc);
				z->rc.range >>= 1;
				if (rest >> (i - 1) & 1)
					z->rc.low += z->rc.range;
			}
			put_reverse(&z->rc, z->dist_align, 0, ALIGN_BITS, rest & (ALIGN_SIZE - 1));
			z->align_price_count++;
		}
	}
	memmove(z->reps + 1, z->reps, (REPS - 1) * sizeof(z->reps[0]));
	z->reps[0] = dist;
	z->match_price_count++;
}

static void put_rep(struct ay__lzma *z, uint32_t pos_state, uint32_t rep, uint32_t len)
{
	const unsigned s = z->state;

	put_bit(&z->rc, &z->is_rep0[s], rep > 0);
	if (rep == 0) {
		put_bit(&z->rc, &z->is_rep0_long[s][pos_state], len != 1);
	} else {
		const uint32_t dist = z->reps[rep];

		put_bit(&z->rc, &z->is_rep1[s], rep > 1);
		if (rep > 1)
			put_bit(&z->rc, &z->is_rep2[s], rep - 2);
		memmove(z->reps + 1, z->reps, rep * sizeof(z->reps[0]));
		z->reps[0] = dist;
	}
	if (len == 1) {
		z->state = lzma_after_short_rep(s);
	} else {
		put_length(&z->rc, &z->rep_len, pos_state, len);
		z->state = lzma_after_rep(s);
	}
}

void ay__lzma_put(struct ay__lzma *z, uint32_t back, uint32_t len)
{
	const uint32_t pos_state = z->position & z->pos_mask;

	put_bit(&z->rc, &z->is_match[z->state][pos_state], back != LITERAL);
	if (back == LITERAL) {
		put_literal(z);
	} else {
		put_bit(&z->rc, &z->is_rep[z->state], back < REPS);
		if (back < REPS)
			put_rep(z, pos_state, back, len);
		else
			put_match(z, pos_state, back - REPS, len);
	}
	z->v->ahead -= len;
	z->position += len;
}

void ay__lzma_put_first(struct ay__lzma *z, uint8_t byte)
{
	put_bit(&z->rc, &z->is_match[0][0], 0);
	put_tree(&z->rc, z->literal, 8, byte);
	z->position++;
}

/* ---- from the beginning ---- */

static void probs_reset(lzma_prob *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = 1024;
}

#define RESET(array) probs_reset((lzma_prob *)(array), sizeof(array) / sizeof(lzma_prob))

static void length_reset(struct ay__lzma *z, struct lzma_length *l)
{
	l->table_size = z->v->nice + 1 - MATCH_MIN;
	l->choice = l->choice2 = 1024;
	RESET(l->low);
	RESET(l->mid);
	RESET(l->high);
	for (uint32_t i = 0; i <= z->pos_mask; i++)
		length_prices(l, i);
}

void ay__lzma_reset(struct ay__lzma *z)
{
	z->pos_mask = (1u << z->pb) - 1;
	z->literal_mask = (0x100u << z->lp) - (0x100u >> z->lc);
	rc_reset(&z->rc);
	z->state = 0;
	memset(z->reps, 0, sizeof(z->reps));
	RESET(z->literal);
	RESET(z->is_match);
	RESET(z->is_rep);
	RESET(z->is_rep0);
	RESET(z->is_rep1);
	RESET(z->is_rep2);
	RESET(z->is_rep0_long);
	RESET(z->dist_slot);
	RESET(z->dist_special);
	RESET(z->dist_align);
	length_reset(z, &z->match_len);
	length_reset(z, &z->rep_len);
	z->match_price_count = z->align_price_count = UINT32_MAX / 2;
	z->opts_end = z->opts_at = 0;
}
