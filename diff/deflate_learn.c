/* SPDX-License-Identifier: MIT */
/*
 * diff/deflate_learn.c - tokens out of the stream, then the parameters whose guesses are wrong the least.
 *
 * Which level it was is found out on the first tokens; the corrections are taken from all of them.
 */
#include "diff/deflate_learn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "diff/compare.h"
#include "diff/deflate_trees.h"

#define SAMPLE   40000 /* tokens on which parameters are compared */
#define SHARE    8     /* a stream of which more than one token in so many has to be stated does not pay */
#define STEP     (64u << 10)
#define TOO_MUCH 1 /* ends the unpacking */

struct block {
	enum ay__deflate_type type;
	bool last, own;
	size_t n;     /* tokens, or bytes of a stored one */
	size_t codes; /* where in @codes; of a dynamic one */
};

struct learner {
	struct ay_slice packed;
	bool given, failed;
	struct ay_buf blocks, tokens, codes; /* arrays */
};

static size_t n_of(const struct ay_buf *b, size_t size)
{
	return b->len / size;
}

static struct block *block_at(const struct learner *l, size_t i)
{
	return (struct block *)(void *)l->blocks.data + i;
}

static const struct ay__deflate_token *token_at(const struct learner *l, size_t i)
{
	return (const struct ay__deflate_token *)(const void *)l->tokens.data + i;
}

static int fill(void *ctx, const uint8_t **data, size_t *len)
{
	struct learner *l = ctx;

	*data = l->packed.data;
	*len = l->given ? 0 : l->packed.len;
	l->given = true;
	return 0;
}

static int on_block(void *ctx, enum ay__deflate_type type, bool last, const struct ay__deflate_codes *codes,
		    unsigned stored)
{
	struct learner *l = ctx;
	struct block b = {.type = type, .last = last, .n = stored};

	b.codes = n_of(&l->codes, sizeof(*codes));
	if (codes)
		ay_put_bytes(&l->codes, codes, sizeof(*codes));
	ay_put_bytes(&l->blocks, &b, sizeof(b));
	return ay_buf_status(&l->blocks) ? -ENOMEM : ay_buf_status(&l->codes);
}

static int token_add(struct learner *l, struct ay__deflate_token t)
{
	struct block *b = block_at(l, n_of(&l->blocks, sizeof(*b)) - 1);

	ay_put_bytes(&l->tokens, &t, sizeof(t));
	if (++b->n > AY__DEFLATE_BLOCK_MAX)
		return TOO_MUCH;
	return ay_buf_status(&l->tokens);
}

static int on_literal(void *ctx, uint8_t byte)
{
	return token_add(ctx, (struct ay__deflate_token){.dist = byte});
}

static int on_match(void *ctx, unsigned len, unsigned dist)
{
	return token_add(ctx, (struct ay__deflate_token){.len = (uint16_t)len, .dist = (uint16_t)dist});
}

static int on_block_end(void *ctx)
{
	(void)ctx;
	return 0;
}

/* Tokens and content. 1, 0 no such stream, -ENOMEM. */
static int unpack(struct learner *l, size_t content_max, bool tokens, struct ay__deflate_recipe *out)
{
	const struct ay__inflate_events events = {.ctx = l,
						  .block = on_block,
						  .literal = on_literal,
						  .match = on_match,
						  .block_end = on_block_end};
	AY_FREE struct ay__inflate *s = malloc(sizeof(*s));
	size_t got = 1;
	int rc = s ? 0 : -ENOMEM;

	if (s)
		ay__inflate_init(s, fill, l, tokens ? &events : NULL);
	while (rc == 0 && got > 0) {
		uint8_t *room = ay_buf_reserve(&out->content, STEP);

		if (!room)
			return -ENOMEM;
		rc = ay__inflate_read(s, room, STEP, &got);
		out->content.len += got;
		if (rc == 0 && out->content.len > content_max)
			return 0;
	}
	if (rc)
		return rc == -ENOMEM ? rc : 0;
	out->packed = (size_t)(s->next - l->packed.data);
	return 1;
}

static bool same_token(struct ay__deflate_token a, struct ay__deflate_token b)
{
	return a.len == b.len && a.dist == b.dist;
}

struct run {
	const struct learner *l;
	struct ay_slice content;
	size_t given;
	struct ay__deflate_match *m;
};

static void top_up(struct run *r)
{
	while (ay__deflate_match_ahead(r->m) < AY__DEFLATE_AHEAD && r->given < r->content.len) {
		size_t room = ay__deflate_match_room(r->m), left = r->content.len - r->given;
		size_t n = left < room ? left : room;

		ay__deflate_match_give(r->m, r->content.data + r->given, n);
		r->given += n;
	}
}

/*
 * Guess along the first @max tokens. Returns how many guesses were wrong, or @enough when there are so many; their indices
 * to @wrong (may be NULL).
 */
static size_t run_along(struct run *r, const struct ay__deflate_params *params, size_t max, size_t enough,
			struct ay_buf *wrong)
{
	size_t at = 0, bad = 0, n_blocks = n_of(&r->l->blocks, sizeof(struct block));

	ay__deflate_match_init(r->m, params);
	r->given = 0;
	for (size_t b = 0; b < n_blocks; b++) {
		const struct block *block = block_at(r->l, b);

		if (block->type == AY__DEFLATE_STORED) {
			if (block->n == 0)
				ay__deflate_match_skip(r->m, 0);
			for (size_t left = block->n; left > 0;) {
				top_up(r);
				size_t ahead = ay__deflate_match_ahead(r->m), n = left < ahead ? left : ahead;
				ay__deflate_match_skip(r->m, n);
				left -= n;
			}
			continue;
		}
		for (size_t i = 0; i < block->n; i++, at++) {
			struct ay__deflate_token t = *token_at(r->l, at);

			if (at == max)
				return bad;
			top_up(r);
			if (!same_token(ay__deflate_match_guess(r->m), t)) {
				if (wrong)
					ay_put_u64(wrong, at);
				if (++bad >= enough)
					return bad;
			}
			ay__deflate_match_take(r->m, t);
		}
	}
	return bad;
}

/* The best parameters so far. */
struct finding {
	struct run *r;
	size_t max, least;
	struct ay__deflate_params best;
};

static void try(struct finding *f, struct ay__deflate_params p)
{
	size_t bad = f->least ? run_along(f->r, &p, f->max, f->least, NULL) : 0;

	if (bad < f->least) {
		f->least = bad;
		f->best = p;
	}
}

/* Each level with this many bits of hash. */
static void try_levels(struct finding *f, unsigned window_bits, unsigned hash_bits, bool resets)
{
	static const uint8_t levels[] = {6, 9, 1, 5, 8, 7, 4, 3, 2};

	for (unsigned i = 0; i < sizeof(levels); i++) {
		struct ay__deflate_params p = ay__deflate_level(levels[i]);

		p.window_bits = (uint8_t)window_bits;
		p.hash_bits = (uint8_t)hash_bits;
		p.resets = resets;
		try(f, p);
	}
}

/* Can its full flushes be seen in the stream? */
static bool has_empty_stored(const struct learner *l)
{
	for (size_t i = 0; i < n_of(&l->blocks, sizeof(struct block)); i++) {
		if (block_at(l, i)->type == AY__DEFLATE_STORED && block_at(l, i)->n == 0)
			return true;
	}
	return false;
}

/* The parameters that are wrong the least, common ones first. Returns whether they are good enough. */
static bool params_find(struct run *r, const struct ay__deflate_params *hint, struct ay__deflate_params *best)
{
	size_t n = n_of(&r->l->tokens, sizeof(struct ay__deflate_token)), max = n < SAMPLE ? n : SAMPLE;
	struct finding f = {.r = r, .max = max, .least = max + 1};
	unsigned window_bits = hint ? hint->window_bits : 15;

	if (hint)
		try(&f, *hint);
	try_levels(&f, window_bits, 15, false);
	if (has_empty_stored(r->l))
		try_levels(&f, window_bits, 15, true);
	struct ay__deflate_params p = f.best;
	p.filtered = true;
	try(&f, p);
	p.way = AY__DEFLATE_RUNS;
	try(&f, p);
	p.way = AY__DEFLATE_LITERALS;
	try(&f, p);
	/* zlib's other memory levels hash to other numbers of bits. */
	p = f.best;
	for (unsigned bits = 16; bits >= 8 && f.least > 0; bits--) {
		p.hash_bits = (uint8_t)bits;
		try(&f, p);
	}
	for (unsigned bits = 16; bits >= 8 && f.least > max / 64 && f.least < max / 2; bits--) {
		try_levels(&f, window_bits, bits, false);
		p = ay__deflate_level(6);
		p.hash_bits = (uint8_t)bits;
		p.window_bits = (uint8_t)window_bits;
		p.filtered = true;
		try(&f, p);
	}
	/* What a full flush does to the guesses is seen behind the sample, maybe. */
	if (f.least > 0 || max < n) {
		p = f.best;
		p.resets = !p.resets && has_empty_stored(r->l);
		f.max = n;
		f.least = p.resets ? run_along(r, &f.best, n, n + 1, NULL) : f.least;
		if (p.resets)
			try(&f, p);
	}
	*best = f.best;
	return f.least <= f.max / SHARE + 1;
}

static bool same_codes(const struct ay__deflate_codes *a, const struct ay__deflate_codes *b)
{
	return a->n_lits == b->n_lits && a->n_dists == b->n_dists && a->n_lens == b->n_lens &&
	       a->n_symbols == b->n_symbols && memcmp(a->lens, b->lens, a->n_lens) == 0 &&
	       memcmp(a->symbols, b->symbols, a->n_symbols) == 0 &&
	       memcmp(a->repeats, b->repeats, a->n_symbols) == 0;
}

static bool has_usual_codes(const struct learner *l, const struct block *b, size_t at)
{
	uint32_t lits[AY__DEFLATE_LITS] = {0}, dists[AY__DEFLATE_DISTS] = {0};
	struct ay__deflate_codes usual;
	struct ay__deflate_codes was;

	for (size_t i = at; i < at + b->n; i++) {
		struct ay__deflate_token t = *token_at(l, i);

		lits[t.len ? 257 + ay__deflate_len_symbol(t.len) : t.dist]++;
		if (t.len)
			dists[ay__deflate_dist_symbol(t.dist)]++;
	}
	lits[256] = 1;
	ay__deflate_codes_make(lits, dists, &usual);
	memcpy(&was, l->codes.data + b->codes * sizeof(was), sizeof(was));
	return same_codes(&usual, &was);
}

static void own_codes_put(const struct learner *l, const struct block *b, struct ay_buf *out)
{
	struct ay__deflate_codes c;

	memcpy(&c, l->codes.data + b->codes * sizeof(c), sizeof(c));
	ay_put_u8(out, (uint8_t)(c.n_lits - 257));
	ay_put_u8(out, (uint8_t)(c.n_dists - 1));
	ay_put_u8(out, (uint8_t)(c.n_lens - 4));
	ay_put_bytes(out, c.lens, c.n_lens);
	for (unsigned i = 0; i < c.n_symbols; i++) {
		ay_put_u8(out, c.symbols[i]);
		if (c.symbols[i] >= 16)
			ay_put_u8(out, c.repeats[i]);
	}
}

static void token_put(struct ay__deflate_token t, struct ay_buf *out)
{
	ay_put_varint(out, t.len ? t.len - 2u : 0);
	if (t.len)
		ay_put_varint(out, t.dist);
}

/* In the order in which packing reads them. */
static int corrections_put(const struct learner *l, const struct ay_buf *wrong, struct ay_buf *out)
{
	size_t n_wrong = wrong->len / 8, w = 0, at = 0;
	uint64_t next = n_wrong ? ay_get_le64(wrong->data) : UINT64_MAX;

	ay_put_varint(out, n_wrong ? next + 1 : 0);
	for (size_t i = 0; i < n_of(&l->blocks, sizeof(struct block)); i++) {
		const struct block *b = block_at(l, i);
		bool stored = b->type == AY__DEFLATE_STORED;
		bool own = b->type == AY__DEFLATE_DYNAMIC && !has_usual_codes(l, b, at);

		ay_put_varint(out, (uint64_t)b->type | (uint64_t)b->last << 2 | (uint64_t)own << 3 |
					   (uint64_t)b->n << 4);
		if (own)
			own_codes_put(l, b, out);
		for (size_t end = at + (stored ? 0 : b->n); at < end; at++) {
			if (at != next)
				continue;
			token_put(*token_at(l, at), out);
			uint64_t before = next;
			next = ++w < n_wrong ? ay_get_le64(wrong->data + 8 * w) : UINT64_MAX;
			ay_put_varint(out, w < n_wrong ? next - before : 0);
		}
	}
	return ay_buf_status(out);
}

/* The proof: 1 the same bytes, 0 others, -ENOMEM. */
static int prove(struct ay_slice packed, const struct ay__deflate_recipe *r)
{
	struct ay__compare c = {.want = {.data = packed.data, .len = r->packed}};
	struct ay_slice corrections = {.data = r->corrections.data, .len = r->corrections.len};
	struct ay__deflate_pack *p = ay__deflate_pack_new(&r->params, corrections, ay__compare_put, &c);
	int rc = p ? ay__deflate_pack_put(p, r->content.data, r->content.len) : -ENOMEM;

	if (rc == 0)
		rc = ay__deflate_pack_end(p);
	ay__deflate_pack_free(p);
	return rc == -ENOMEM ? rc : rc == 0 && c.at == r->packed;
}

static int learn(struct learner *l, const struct ay__deflate_params *hint, struct ay__deflate_recipe *out)
{
	AY_CLEANUP(ay_buf_release) struct ay_buf wrong = {0};
	AY_FREE struct ay__deflate_match *m = malloc(sizeof(*m));
	struct run r = {.l = l, .content = {.data = out->content.data, .len = out->content.len}, .m = m};
	size_t n = n_of(&l->tokens, sizeof(struct ay__deflate_token)), most = n / SHARE + 2;

	if (!m)
		return -ENOMEM;
	if (!params_find(&r, hint, &out->params))
		return 0;
	if (run_along(&r, &out->params, n, most, &wrong) >= most)
		return 0;
	if (ay_buf_status(&wrong) || corrections_put(l, &wrong, &out->corrections))
		return -ENOMEM;
	return prove(l->packed, out);
}

int ay__deflate_learn(struct ay_slice packed, const struct ay__deflate_params *hint, size_t content_max,
		      bool repack, struct ay__deflate_recipe *out)
{
	struct learner l = {.packed = packed};
	int rc = unpack(&l, content_max, repack, out);

	if (rc == 1 && repack)
		rc = learn(&l, hint, out);
	ay_buf_release(&l.blocks);
	ay_buf_release(&l.tokens);
	ay_buf_release(&l.codes);
	return rc;
}

void ay__deflate_recipe_release(struct ay__deflate_recipe *r)
{
	ay_buf_release(&r->content);
	ay_buf_release(&r->corrections);
}
