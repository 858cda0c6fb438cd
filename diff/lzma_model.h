/* SPDX-License-Identifier: MIT */
/*
 * diff/lzma_model.h - LZMA's probabilities, prices and range coder (internal to diff/lzma_*.c).
 *
 * After liblzma (XZ Utils, Igor Pavlov and Lasse Collin; public domain), whose decisions are kept to the last bit; its names
 * are kept where they are the format's.
 */
#ifndef AYNI_DIFF_LZMA_MODEL_H
#define AYNI_DIFF_LZMA_MODEL_H

#include <string.h>

#include "base/bytes.h"
#include "diff/lzma_find.h"

#define STATES         12
#define LIT_STATES     7 /* states below: the last one was a literal */
#define POS_STATES     16
#define REPS           4
#define MATCH_MIN      2
#define LEN_SYMBOLS    272
#define DIST_STATES    4
#define DIST_SLOTS     64
#define MODEL_START    4 /* slots of distances that have more bits than the slot */
#define MODEL_END      14
#define FULL_DISTANCES 128
#define ALIGN_BITS     4
#define ALIGN_SIZE     16
#define LITERAL_CODERS 16
#define LITERAL_SIZE   0x300
#define CHUNK_MAX      (1u << 16)
#define LITERAL        UINT32_MAX /* in place of a distance */
#define PRICE_INFINITY (1u << 30)

typedef uint16_t lzma_prob;

struct lzma_length {
	lzma_prob choice, choice2, low[POS_STATES][8], mid[POS_STATES][8], high[256];
	uint32_t prices[POS_STATES][LEN_SYMBOLS], table_size, counters[POS_STATES];
};

struct lzma_opt {
	uint8_t state;
	bool prev_1_is_literal, prev_2;
	uint32_t pos_prev_2, back_prev_2, price, pos_prev, back_prev, backs[REPS];
};

struct lzma_rc {
	uint64_t low, cache_size;
	uint32_t range;
	uint8_t cache;
	size_t n; /* bytes of @out */
	uint8_t out[CHUNK_MAX];
};

struct ay__lzma {
	struct ay__lzma_find *find;
	struct ay__lzma_view *v;
	struct lzma_rc rc;
	uint32_t position; /* of the next symbol */
	unsigned state;
	uint32_t reps[REPS];
	struct ay__lzma_match matches[AY__LZMA_MATCH_MAX + 1];
	uint32_t n_matches, longest;
	bool begun;
	uint8_t lc, lp, pb;
	uint32_t pos_mask, literal_mask;
	lzma_prob literal[LITERAL_CODERS * LITERAL_SIZE];
	lzma_prob is_match[STATES][POS_STATES], is_rep[STATES], is_rep0[STATES], is_rep1[STATES],
		is_rep2[STATES];
	lzma_prob is_rep0_long[STATES][POS_STATES];
	lzma_prob dist_slot[DIST_STATES][DIST_SLOTS], dist_special[FULL_DISTANCES - MODEL_END],
		dist_align[ALIGN_SIZE];
	struct lzma_length match_len, rep_len;
	uint32_t slot_prices[DIST_STATES][DIST_SLOTS], dist_prices[DIST_STATES][FULL_DISTANCES];
	uint32_t slots, match_price_count, align_prices[ALIGN_SIZE], align_price_count;
	uint32_t opts_end, opts_at;
	struct lzma_opt opts[AY__LZMA_OPTS];
};

/** ay__lzma_reset() - all is as likely as not. */
void ay__lzma_reset(struct ay__lzma *z);
/**
 * ay__lzma_choose() - the next symbol: *@back is LITERAL, below REPS a distance used before, else the distance + REPS; *@len bytes.
 * Afterwards z->v->ahead is at least *@len.
 */
void ay__lzma_choose(struct ay__lzma *z, uint32_t *back, uint32_t *len);
/** ay__lzma_put() - write a symbol. */
void ay__lzma_put(struct ay__lzma *z, uint32_t back, uint32_t len);
/** ay__lzma_put_first() - the stream's first byte. */
void ay__lzma_put_first(struct ay__lzma *z, uint8_t byte);
/** ay__lzma_flush() - end the range coder's bytes. */
void ay__lzma_flush(struct ay__lzma *z);

/* ---- states ---- */

static inline unsigned lzma_after_literal(unsigned s)
{
	return s < 4 ? 0 : s < 10 ? s - 3 : s - 6;
}
static inline unsigned lzma_after_match(unsigned s)
{
	return s < LIT_STATES ? 7 : 10;
}
static inline unsigned lzma_after_rep(unsigned s)
{
	return s < LIT_STATES ? 8 : 11;
}
static inline unsigned lzma_after_short_rep(unsigned s)
{
	return s < LIT_STATES ? 9 : 11;
}

static inline lzma_prob *lzma_literal_coder(struct ay__lzma *z, uint32_t position, uint8_t before)
{
	return z->literal + (size_t)3 * ((((position << 8) + before) & z->literal_mask) << z->lc);
}

static inline uint32_t lzma_dist_state(uint32_t len)
{
	return len < DIST_STATES + MATCH_MIN ? len - MATCH_MIN : DIST_STATES - 1;
}

static inline uint32_t lzma_slot(uint32_t dist)
{
	if (dist < 4)
		return dist;
	const uint32_t i = 31 - (uint32_t)__builtin_clz(dist);
	return 2 * i + (dist >> (i - 1) & 1);
}

/* ---- prices: 16 are one bit ---- */

extern const uint8_t ay__lzma_prices[128];

static inline uint32_t lzma_price(lzma_prob p, uint32_t bit)
{
	return ay__lzma_prices[(p ^ ((0 - bit) & 2047)) >> 4];
}

static inline uint32_t lzma_tree_price(const lzma_prob *probs, unsigned bits, uint32_t symbol)
{
	uint32_t price = 0;

	for (symbol += 1u << bits; symbol != 1;) {
		const uint32_t bit = symbol & 1;

		symbol >>= 1;
		price += lzma_price(probs[symbol], bit);
	}
	return price;
}

static inline uint32_t lzma_reverse_price(const lzma_prob *probs, unsigned bits, uint32_t symbol)
{
	uint32_t price = 0, model = 1;

	for (; bits > 0; bits--, symbol >>= 1) {
		price += lzma_price(probs[model], symbol & 1);
		model = (model << 1) + (symbol & 1);
	}
	return price;
}

#endif
