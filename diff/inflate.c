/* SPDX-License-Identifier: MIT */
/*
 * diff/inflate.c - RFC 1951 read strictly: incomplete and oversubscribed codes, distances before the beginning and
 * padding that is not zero are refused.
 *
 * A code that has one symbol only may be incomplete (RFC 1951 3.2.7: "one distance code of one bit").
 */
#include "diff/inflate.h"

#include <string.h>

#include "base/error.h"

const uint16_t ay__deflate_len_base[29] = {3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27,
					   31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
const uint8_t ay__deflate_len_extra[29] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
					   2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
const uint16_t ay__deflate_dist_base[30] = {1,    2,    3,    4,    5,    7,    9,    13,    17,    25,
					    33,   49,   65,   97,   129,  193,  257,  385,   513,   769,
					    1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};
const uint8_t ay__deflate_dist_extra[30] = {0, 0, 0, 0, 1, 1, 2, 2,  3,  3,  4,  4,  5,  5,  6,
					    6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13};
const uint8_t ay__deflate_lens_order[AY__DEFLATE_LENS] = {16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
							  11, 4,  12, 3, 13, 2, 14, 1, 15};

void ay__inflate_init(struct ay__inflate *s, int (*fill)(void *, const uint8_t **, size_t *), void *ctx,
		      const struct ay__inflate_events *events)
{
	s->fill = fill;
	s->fill_ctx = ctx;
	s->events = events;
	s->next = s->end = NULL;
	s->bits = 0;
	s->n_bits = 0;
	s->state = AY__INFLATE_HEAD;
	s->last = false;
	s->left = s->len = s->dist = 0;
	s->total = 0;
	s->why = NULL;
	memset(s->window, 0, sizeof(s->window));
}

static int bad(struct ay__inflate *s, const char *why)
{
	s->why = why;
	return AY_EFORMAT;
}

static int byte_get(struct ay__inflate *s)
{
	if (s->next == s->end) {
		size_t len = 0;
		int rc = s->fill(s->fill_ctx, &s->next, &len);

		s->end = s->next + (rc ? 0 : len);
		if (rc)
			return rc;
		if (len == 0)
			return bad(s, "a deflate stream ends early");
	}
	s->bits |= (uint32_t)*s->next++ << s->n_bits;
	s->n_bits += 8;
	return 0;
}

/* The next @n bits, at most 16. */
static int bits_get(struct ay__inflate *s, unsigned n, unsigned *v)
{
	while (s->n_bits < n) {
		int rc = byte_get(s);

		if (rc)
			return rc;
	}
	*v = s->bits & ((1u << n) - 1);
	s->bits >>= n;
	s->n_bits -= n;
	return 0;
}

/* @single: the code may have one symbol of one bit, or none at all. */
static int table_make(struct ay__inflate *s, struct ay__inflate_table *t, const uint8_t *lens, unsigned n,
		      bool single)
{
	unsigned offset[AY__DEFLATE_BITS + 2] = {0}, code = 0, used = 0;
	int left = 1;

	memset(t, 0, sizeof(*t));
	for (unsigned i = 0; i < n; i++)
		t->count[lens[i]]++;
	used = n - t->count[0];
	t->count[0] = 0;
	for (unsigned len = 1; len <= AY__DEFLATE_BITS; len++) {
		left = 2 * left - t->count[len];
		if (left < 0)
			return bad(s, "a deflate code has too many symbols");
		offset[len + 1] = offset[len] + t->count[len];
	}
	if (left > 0 && !(single && (used == 0 || (used == 1 && t->count[1] == 1))))
		return bad(s, "a deflate code has too few symbols");
	for (unsigned i = 0; i < n; i++) {
		if (lens[i])
			t->symbol[offset[lens[i]]++] = (uint16_t)i;
	}
	for (unsigned len = 1, k = 0; len <= AY__INFLATE_PRIMARY; len++, code <<= 1) {
		for (unsigned i = 0; i < t->count[len]; i++, code++, k++) {
			unsigned reversed = 0;

			for (unsigned b = 0; b < len; b++)
				reversed |= (code >> b & 1) << (len - 1 - b);
			for (unsigned e = reversed; e < 1u << AY__INFLATE_PRIMARY; e += 1u << len)
				t->fast[e] = (uint16_t)(t->symbol[k] << 4 | len);
		}
	}
	return 0;
}

/* A code longer than the table's, bit by bit. */
static int symbol_slow(struct ay__inflate *s, const struct ay__inflate_table *t, unsigned *symbol)
{
	unsigned code = 0, first = 0, index = 0, bit;

	for (unsigned len = 1; len <= AY__DEFLATE_BITS; len++) {
		while (s->n_bits < len) {
			int rc = byte_get(s);

			if (rc)
				return rc;
		}
		bit = s->bits >> (len - 1) & 1;
		code |= bit;
		if (code - first < t->count[len]) {
			*symbol = t->symbol[index + code - first];
			s->bits >>= len;
			s->n_bits -= len;
			return 0;
		}
		index += t->count[len];
		first = (first + t->count[len]) << 1;
		code <<= 1;
	}
	return bad(s, "a deflate stream has a code that is none");
}

static int symbol_get(struct ay__inflate *s, const struct ay__inflate_table *t, unsigned *symbol)
{
	for (;;) {
		unsigned e = t->fast[s->bits & ((1u << AY__INFLATE_PRIMARY) - 1)], len = e & 15;

		if (len && len <= s->n_bits) {
			*symbol = e >> 4;
			s->bits >>= len;
			s->n_bits -= len;
			return 0;
		}
		if (s->n_bits >= AY__INFLATE_PRIMARY)
			return symbol_slow(s, t, symbol);
		int rc = byte_get(s);
		if (rc)
			return rc;
	}
}

/* The lengths of both codes, run-length coded. */
static int lens_get(struct ay__inflate *s, const struct ay__inflate_table *t, uint8_t *lens)
{
	struct ay__deflate_codes *c = &s->codes;
	unsigned want = c->n_lits + c->n_dists, at = 0, extra;

	c->n_symbols = 0;
	while (at < want) {
		unsigned symbol = 0, times = 1, value = 0;
		int rc = symbol_get(s, t, &symbol);

		extra = 0;
		if (rc == 0 && symbol >= 16)
			rc = bits_get(s, symbol == 16 ? 2 : symbol == 17 ? 3 : 7, &extra);
		if (rc)
			return rc;
		if (symbol == 16 && at == 0)
			return bad(s, "a deflate block repeats a length before the first one");
		value = symbol < 16 ? symbol : symbol == 16 ? lens[at - 1] : 0;
		times = symbol < 16 ? 1 : extra + (symbol == 18 ? 11 : 3);
		if (times > want - at)
			return bad(s, "a deflate block has more lengths than codes");
		memset(lens + at, (int)value, times);
		at += times;
		c->symbols[c->n_symbols] = (uint8_t)symbol;
		c->repeats[c->n_symbols++] = (uint8_t)extra;
	}
	return 0;
}

static int dynamic_head(struct ay__inflate *s)
{
	struct ay__deflate_codes *c = &s->codes;
	uint8_t lens[AY__DEFLATE_LITS + AY__DEFLATE_DISTS + 4], by_symbol[AY__DEFLATE_LENS] = {0};
	unsigned v = 0;
	int rc = bits_get(s, 14, &v);

	if (rc)
		return rc;
	memset(c, 0, sizeof(*c));
	c->n_lits = 257 + (v & 31);
	c->n_dists = 1 + (v >> 5 & 31);
	c->n_lens = 4 + (v >> 10);
	if (c->n_lits > AY__DEFLATE_LITS || c->n_dists > AY__DEFLATE_DISTS)
		return bad(s, "a deflate block has too many codes");
	for (unsigned i = 0; i < c->n_lens && rc == 0; i++) {
		rc = bits_get(s, 3, &v);
		c->lens[i] = by_symbol[ay__deflate_lens_order[i]] = (uint8_t)v;
	}
	if (rc == 0)
		rc = table_make(s, &s->lits, by_symbol, AY__DEFLATE_LENS, false);
	if (rc == 0)
		rc = lens_get(s, &s->lits, lens);
	if (rc)
		return rc;
	memcpy(c->lit_len, lens, c->n_lits);
	memcpy(c->dist_len, lens + c->n_lits, c->n_dists);
	if (c->lit_len[256] == 0)
		return bad(s, "a deflate block without an end");
	rc = table_make(s, &s->lits, c->lit_len, c->n_lits, true);
	return rc ? rc : table_make(s, &s->dists, c->dist_len, c->n_dists, true);
}

static int fixed_head(struct ay__inflate *s)
{
	uint8_t lens[288], dists[30];

	memset(lens, 8, 144);
	memset(lens + 144, 9, 112);
	memset(lens + 256, 7, 24);
	memset(lens + 280, 8, 8);
	memset(dists, 5, sizeof(dists));
	int rc = table_make(s, &s->lits, lens, 288, false);
	/* 30 of 32 codes, which is too few for any other table: the other two never come, and are refused where they do. */
	if (rc == 0 && table_make(s, &s->dists, dists, 30, true) == AY_EFORMAT) {
		s->why = NULL;
		for (unsigned i = 0; i < 30; i++) {
			unsigned r = (i & 1) << 4 | (i & 2) << 2 | (i & 4) | (i & 8) >> 2 | (i & 16) >> 4;

			s->dists.symbol[i] = (uint16_t)i;
			for (unsigned e = r; e < 1u << AY__INFLATE_PRIMARY; e += 32)
				s->dists.fast[e] = (uint16_t)(i << 4 | 5);
		}
	}
	return rc;
}

static int stored_head(struct ay__inflate *s)
{
	unsigned len = 0, check = 0;

	if (s->bits != 0)
		return bad(s, "a deflate block's padding is not zero");
	s->n_bits = 0;
	int rc = bits_get(s, 16, &len);
	if (rc == 0)
		rc = bits_get(s, 16, &check);
	if (rc == 0 && (len ^ check) != 0xffff)
		rc = bad(s, "a stored deflate block's length is damaged");
	s->left = len;
	return rc;
}

static int head_get(struct ay__inflate *s)
{
	unsigned v = 0;
	int rc = bits_get(s, 3, &v);

	if (rc)
		return rc;
	s->last = v & 1;
	v >>= 1;
	if (v == 3)
		return bad(s, "a deflate block of no known type");
	s->state = v == AY__DEFLATE_STORED ? AY__INFLATE_COPY : AY__INFLATE_CODES;
	rc = v == AY__DEFLATE_STORED  ? stored_head(s)
	     : v == AY__DEFLATE_FIXED ? fixed_head(s)
				      : dynamic_head(s);
	if (rc == 0 && s->events)
		rc = s->events->block(s->events->ctx, (enum ay__deflate_type)v, s->last,
				      v == AY__DEFLATE_DYNAMIC ? &s->codes : NULL, s->left);
	return rc;
}

static int block_end(struct ay__inflate *s)
{
	s->state = s->last ? AY__INFLATE_DONE : AY__INFLATE_HEAD;
	if (s->last && s->bits != 0)
		return bad(s, "a deflate stream's padding is not zero");
	return s->events ? s->events->block_end(s->events->ctx) : 0;
}

/* One token: a literal to @dst (*@got 1), a match to s->len and s->dist, or the block's end. */
static int token_get(struct ay__inflate *s, uint8_t *dst, size_t *got)
{
	unsigned symbol = 0, extra = 0;
	int rc = symbol_get(s, &s->lits, &symbol);

	*got = 0;
	if (rc)
		return rc;
	if (symbol < 256) {
		*dst = (uint8_t)symbol;
		*got = 1;
		return s->events ? s->events->literal(s->events->ctx, (uint8_t)symbol) : 0;
	}
	if (symbol == 256)
		return block_end(s);
	symbol -= 257;
	if (symbol >= 29)
		return bad(s, "a deflate length that is none");
	rc = bits_get(s, ay__deflate_len_extra[symbol], &extra);
	unsigned len = ay__deflate_len_base[symbol] + extra;
	if (rc == 0)
		rc = symbol_get(s, &s->dists, &symbol);
	if (rc == 0 && symbol >= 30)
		rc = bad(s, "a deflate distance that is none");
	if (rc == 0)
		rc = bits_get(s, ay__deflate_dist_extra[symbol], &extra);
	if (rc)
		return rc;
	s->dist = ay__deflate_dist_base[symbol] + extra;
	if (s->dist > s->total)
		return bad(s, "a deflate distance from before the beginning");
	s->len = len;
	return s->events ? s->events->match(s->events->ctx, s->len, s->dist) : 0;
}

static void put(struct ay__inflate *s, uint8_t *dst, uint8_t b)
{
	*dst = b;
	s->window[s->total++ % AY__DEFLATE_WINDOW] = b;
}

static int stored_copy(struct ay__inflate *s, uint8_t *dst, size_t cap, size_t *got)
{
	size_t n = 0;
	int rc = 0;

	while (rc == 0 && s->left > 0 && n < cap) {
		rc = byte_get(s);
		if (rc)
			break;
		put(s, dst + n++, (uint8_t)s->bits);
		s->bits = 0;
		s->n_bits = 0;
		s->left--;
	}
	if (rc == 0 && s->left == 0)
		rc = block_end(s);
	*got = n;
	return rc;
}

int ay__inflate_read(struct ay__inflate *s, uint8_t *dst, size_t cap, size_t *got)
{
	size_t n = 0, step;
	int rc = 0;

	while (rc == 0 && s->state != AY__INFLATE_DONE && n < cap) {
		if (s->len > 0) {
			for (; s->len > 0 && n < cap; s->len--)
				put(s, dst + n++, s->window[(s->total - s->dist) % AY__DEFLATE_WINDOW]);
			continue;
		}
		if (s->state == AY__INFLATE_HEAD) {
			rc = head_get(s);
		} else if (s->state == AY__INFLATE_COPY) {
			rc = stored_copy(s, dst + n, cap - n, &step);
			n += step;
		} else {
			uint8_t byte = 0;

			rc = token_get(s, &byte, &step);
			if (rc == 0 && step)
				put(s, dst + n++, byte);
		}
	}
	*got = n;
	return rc;
}
