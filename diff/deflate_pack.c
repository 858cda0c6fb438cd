/* SPDX-License-Identifier: MIT */
/* diff/deflate_pack.c - guess, correct, collect a block's tokens, write the block. */
#include "diff/deflate_pack.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "diff/deflate_trees.h"

#define OUT_SIZE (64u << 10)

struct ay__deflate_pack {
	int (*put)(void *ctx, const uint8_t *data, size_t len);
	void *put_ctx;
	struct ay_cursor corrections;
	const char *why;
	uint64_t gap;   /* 0: no more stated tokens; else so many till the next, itself counted */
	bool begun;     /* a block */
	bool last, own; /* of the block in hand */
	bool done;      /* the last block was written */
	bool ended;     /* no more content comes */
	enum ay__deflate_type type;
	size_t want; /* tokens, or bytes of a stored block */
	struct ay__deflate_token *tokens;
	size_t n_tokens, cap_tokens;
	struct ay__deflate_codes codes;
	uint64_t bits;
	unsigned n_bits;
	size_t n_out;
	uint8_t out[OUT_SIZE];
	struct ay__deflate_match match;
};

struct ay__deflate_pack *ay__deflate_pack_new(const struct ay__deflate_params *params,
					      struct ay_slice corrections,
					      int (*put)(void *ctx, const uint8_t *data, size_t len),
					      void *ctx)
{
	struct ay__deflate_pack *p = malloc(sizeof(*p));

	if (!p)
		return NULL;
	memset(p, 0, offsetof(struct ay__deflate_pack, out));
	p->put = put;
	p->put_ctx = ctx;
	ay_cursor_init(&p->corrections, corrections.data, corrections.len);
	ay__deflate_match_init(&p->match, params);
	p->gap = ay_get_varint(&p->corrections);
	return p;
}

void ay__deflate_pack_free(struct ay__deflate_pack *p)
{
	if (p)
		free(p->tokens);
	free(p);
}

const char *ay__deflate_pack_why(const struct ay__deflate_pack *p)
{
	return p->why;
}

static int bad(struct ay__deflate_pack *p, const char *why)
{
	p->why = why;
	return AY_EFORMAT;
}

static int flush(struct ay__deflate_pack *p)
{
	size_t n = p->n_out;

	p->n_out = 0;
	return n ? p->put(p->put_ctx, p->out, n) : 0;
}

static int bits_put(struct ay__deflate_pack *p, unsigned v, unsigned n)
{
	p->bits |= (uint64_t)v << p->n_bits;
	p->n_bits += n;
	while (p->n_bits >= 8) {
		p->out[p->n_out++] = (uint8_t)p->bits;
		p->bits >>= 8;
		p->n_bits -= 8;
	}
	return p->n_out > OUT_SIZE - 16 ? flush(p) : 0;
}

/* ---- codes ---- */

static int own_codes(struct ay__deflate_pack *p)
{
	struct ay__deflate_codes *c = &p->codes;
	struct ay_cursor *in = &p->corrections;
	uint8_t lens[AY__DEFLATE_LITS + AY__DEFLATE_DISTS];
	unsigned at = 0;

	memset(c, 0, sizeof(*c));
	c->n_lits = 257u + ay_get_u8(in);
	c->n_dists = 1u + ay_get_u8(in);
	c->n_lens = 4u + ay_get_u8(in);
	if (c->n_lits > AY__DEFLATE_LITS || c->n_dists > AY__DEFLATE_DISTS || c->n_lens > AY__DEFLATE_LENS)
		return bad(p, "own codes of a number that cannot be");
	for (unsigned i = 0; i < c->n_lens; i++) {
		c->lens[i] = ay_get_u8(in);
		if (c->lens[i] > 7)
			return bad(p, "an own code of a length that cannot be");
	}
	while (at < c->n_lits + c->n_dists) {
		unsigned symbol = ay_get_u8(in), extra = symbol >= 16 ? ay_get_u8(in) : 0, times;

		times = symbol < 16 ? 1 : extra + (symbol == 18 ? 11 : 3);
		if (in->failed || symbol > 18 || (symbol == 16 && at == 0) ||
		    extra > (symbol == 16   ? 3u
			     : symbol == 17 ? 7u
					    : 127u) ||
		    times > c->n_lits + c->n_dists - at)
			return bad(p, "own codes that do not add up");
		memset(lens + at, symbol < 16 ? (int)symbol : symbol == 16 ? lens[at - 1] : 0, times);
		at += times;
		c->symbols[c->n_symbols] = (uint8_t)symbol;
		c->repeats[c->n_symbols++] = (uint8_t)extra;
	}
	memcpy(c->lit_len, lens, c->n_lits);
	memcpy(c->dist_len, lens + c->n_lits, c->n_dists);
	return 0;
}

static void usual_codes(struct ay__deflate_pack *p)
{
	uint32_t lits[AY__DEFLATE_LITS] = {0}, dists[AY__DEFLATE_DISTS] = {0};

	for (size_t i = 0; i < p->n_tokens; i++) {
		struct ay__deflate_token t = p->tokens[i];

		if (t.len) {
			lits[257 + ay__deflate_len_symbol(t.len)]++;
			dists[ay__deflate_dist_symbol(t.dist)]++;
		} else {
			lits[t.dist]++;
		}
	}
	lits[256] = 1;
	ay__deflate_codes_make(lits, dists, &p->codes);
}

static int codes_write(struct ay__deflate_pack *p)
{
	const struct ay__deflate_codes *c = &p->codes;
	uint8_t lens[AY__DEFLATE_LENS] = {0};
	uint16_t values[AY__DEFLATE_LENS];
	int rc = bits_put(p, (c->n_lits - 257) | (c->n_dists - 1) << 5 | (c->n_lens - 4) << 10, 14);

	for (unsigned i = 0; i < c->n_lens && rc == 0; i++) {
		lens[ay__deflate_lens_order[i]] = c->lens[i];
		rc = bits_put(p, c->lens[i], 3);
	}
	ay__deflate_code_values(lens, AY__DEFLATE_LENS, values);
	for (unsigned i = 0; i < c->n_symbols && rc == 0; i++) {
		unsigned s = c->symbols[i];

		rc = bits_put(p, values[s], lens[s]);
		if (rc == 0 && s >= 16)
			rc = bits_put(p, c->repeats[i], s == 16 ? 2 : s == 17 ? 3 : 7);
	}
	return rc;
}

static void fixed_codes(struct ay__deflate_codes *c)
{
	memset(c->lit_len, 8, 144);
	memset(c->lit_len + 144, 9, 112);
	memset(c->lit_len + 256, 7, 24);
	memset(c->lit_len + 280, 8, 8);
	memset(c->dist_len, 5, sizeof(c->dist_len));
}

static int tokens_write(struct ay__deflate_pack *p)
{
	uint16_t lits[AY__DEFLATE_LITS + 2], dists[AY__DEFLATE_DISTS + 2];
	const struct ay__deflate_codes *c = &p->codes;
	int rc = 0;

	ay__deflate_code_values(c->lit_len, AY__DEFLATE_LITS + 2, lits);
	ay__deflate_code_values(c->dist_len, AY__DEFLATE_DISTS + 2, dists);
	for (size_t i = 0; i < p->n_tokens && rc == 0; i++) {
		struct ay__deflate_token t = p->tokens[i];
		unsigned s = t.len ? ay__deflate_len_symbol(t.len) : 0, d;

		if (t.len == 0) {
			rc = bits_put(p, lits[t.dist], c->lit_len[t.dist]);
			continue;
		}
		rc = bits_put(p, lits[257 + s], c->lit_len[257 + s]);
		if (rc == 0)
			rc = bits_put(p, t.len - ay__deflate_len_base[s], ay__deflate_len_extra[s]);
		d = ay__deflate_dist_symbol(t.dist);
		if (rc == 0)
			rc = bits_put(p, dists[d], c->dist_len[d]);
		if (rc == 0)
			rc = bits_put(p, t.dist - ay__deflate_dist_base[d], ay__deflate_dist_extra[d]);
	}
	return rc ? rc : bits_put(p, lits[256], c->lit_len[256]);
}

/* ---- blocks ---- */

static int block_begin(struct ay__deflate_pack *p)
{
	uint64_t v = ay_get_varint(&p->corrections);

	p->type = (enum ay__deflate_type)(v & 3);
	p->last = v >> 2 & 1;
	p->own = v >> 3 & 1;
	p->n_tokens = 0;
	v >>= 4;
	if (p->corrections.failed)
		return bad(p, "the corrections end before the last block");
	if (p->type > AY__DEFLATE_DYNAMIC || (p->own && p->type != AY__DEFLATE_DYNAMIC))
		return bad(p, "a block of no known type");
	if (v > (p->type == AY__DEFLATE_STORED ? 65535 : AY__DEFLATE_BLOCK_MAX))
		return bad(p, "a block that is too large");
	p->want = (size_t)v;
	if (p->type != AY__DEFLATE_STORED && p->want > p->cap_tokens) {
		free(p->tokens);
		p->tokens = malloc(p->want * sizeof(*p->tokens));
		p->cap_tokens = p->tokens ? p->want : 0;
		if (!p->tokens)
			return -ENOMEM;
	}
	p->begun = true;
	if (p->own) {
		int rc = own_codes(p);

		if (rc)
			return rc;
	}
	int rc = bits_put(p, (p->last ? 1 : 0) | (unsigned)p->type << 1, 3);
	if (rc == 0 && p->type == AY__DEFLATE_STORED) {
		if (p->want == 0)
			ay__deflate_match_skip(&p->match, 0);
		rc = bits_put(p, 0, (8 - p->n_bits % 8) % 8);
		if (rc == 0)
			rc = bits_put(p, (unsigned)p->want, 16);
		if (rc == 0)
			rc = bits_put(p, (unsigned)~p->want & 0xffff, 16);
	}
	return rc;
}

static int block_end(struct ay__deflate_pack *p)
{
	int rc = 0;

	p->begun = false;
	if (p->type == AY__DEFLATE_DYNAMIC) {
		if (!p->own)
			usual_codes(p);
		rc = codes_write(p);
	} else if (p->type == AY__DEFLATE_FIXED) {
		fixed_codes(&p->codes);
	}
	if (rc == 0 && p->type != AY__DEFLATE_STORED)
		rc = tokens_write(p);
	p->done = p->last;
	if (rc == 0 && p->last) {
		rc = bits_put(p, 0, (8 - p->n_bits % 8) % 8);
		if (rc == 0)
			rc = flush(p);
	}
	return rc;
}

/* The next token, guessed or stated. */
static int token_next(struct ay__deflate_pack *p)
{
	struct ay__deflate_token t = ay__deflate_match_guess(&p->match);

	if (p->gap == 1) {
		uint64_t len = ay_get_varint(&p->corrections), dist = 0;

		t = (struct ay__deflate_token){.dist = *(p->match.buffer + (p->match.at - p->match.start))};
		if (len) {
			dist = ay_get_varint(&p->corrections);
			if (len > AY__DEFLATE_MATCH - 2 || dist == 0 || dist > AY__DEFLATE_WINDOW)
				return bad(p, "a stated match that cannot be");
			t = (struct ay__deflate_token){.len = (uint16_t)(len + 2), .dist = (uint16_t)dist};
		}
		p->gap = ay_get_varint(&p->corrections);
		if (p->corrections.failed)
			return bad(p, "the corrections end early");
	} else if (p->gap > 1) {
		p->gap--;
	}
	if (t.len > ay__deflate_match_ahead(&p->match))
		return bad(p, "a match goes on behind the content's end");
	ay__deflate_match_take(&p->match, t);
	p->tokens[p->n_tokens++] = t;
	return 0;
}

static int stored_some(struct ay__deflate_pack *p)
{
	size_t have = ay__deflate_match_ahead(&p->match), n = have < p->want ? have : p->want;
	const uint8_t *from = p->match.buffer + (p->match.at - p->match.start);
	int rc = 0;

	for (size_t i = 0; i < n && rc == 0; i++)
		rc = bits_put(p, from[i], 8);
	ay__deflate_match_skip(&p->match, n);
	p->want -= n;
	return rc;
}

/* As far as the content that is there goes. */
static int advance(struct ay__deflate_pack *p)
{
	int rc = 0;

	while (rc == 0 && !p->done) {
		size_t ahead = ay__deflate_match_ahead(&p->match);
		bool stored = p->type == AY__DEFLATE_STORED;

		if (!p->begun) {
			/* A block's end is only seen with the next one's beginning: that may have no content. */
			rc = block_begin(p);
			continue;
		}
		if (stored ? p->want == 0 : p->n_tokens == p->want) {
			rc = block_end(p);
			continue;
		}
		if (ahead < AY__DEFLATE_AHEAD && !p->ended)
			return 0;
		if (ahead == 0)
			return bad(p, "the content ends before the last block");
		rc = stored ? stored_some(p) : token_next(p);
	}
	return rc;
}

int ay__deflate_pack_put(struct ay__deflate_pack *p, const uint8_t *data, size_t len)
{
	while (len > 0) {
		size_t room = ay__deflate_match_room(&p->match), n = len < room ? len : room;

		if (p->match.end + (uint64_t)n > AY__DEFLATE_SIZE_MAX)
			return bad(p, "the content of a deflate stream is too large");
		if (p->done || n == 0)
			return bad(p, "content goes on behind the last block");
		ay__deflate_match_give(&p->match, data, n);
		data += n;
		len -= n;
		int rc = advance(p);
		if (rc)
			return rc;
	}
	return 0;
}

int ay__deflate_pack_end(struct ay__deflate_pack *p)
{
	p->ended = true;
	int rc = advance(p);

	if (rc == 0 && ay__deflate_match_ahead(&p->match) > 0)
		rc = bad(p, "content goes on behind the last block");
	if (rc == 0 && (!ay_cursor_done(&p->corrections) || p->gap != 0))
		rc = bad(p, "corrections are left over");
	return rc;
}
