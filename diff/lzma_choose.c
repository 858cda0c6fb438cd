/* SPDX-License-Identifier: MIT */
/*
 * diff/lzma_choose.c - which symbols are cheapest: liblzma's search ("normal mode"), decision by decision.
 *
 * opts[i] is the cheapest way known to come to i bytes behind the place where the search began. From each in turn one step further
 * is tried: a literal, a short repetition, each of the last four distances, each match; and each of the latter with a literal and a
 * repetition behind it. Where ways cost the same the first one stays, so the order of what is tried is part of the result.
 */
#include "diff/lzma_model.h"

/* One place in the search. */
struct step {
	const uint8_t *buf;
	uint32_t cur, position, pos_state;
	unsigned state;
	uint32_t reps[REPS];
	uint32_t match_price,
		rep_match_price; /* of what comes to it, and that a match, a repetition follows */
	uint32_t full, avail;    /* bytes behind it; at most nice of them */
	uint32_t end;            /* the last of opts that has a price */
};

/* ---- prices ---- */

static inline uint32_t literal_price(struct ay__lzma *z, uint32_t position, const uint8_t *p, bool plain,
				     uint32_t match)
{
	const lzma_prob *probs = lzma_literal_coder(z, position, p[-1]);
	uint32_t price = 0, offset = 0x100;

	if (plain)
		return lzma_tree_price(probs, 8, *p);
	for (uint32_t symbol = *p + 0x100u; symbol < 0x10000;) {
		match <<= 1;
		price += lzma_price(probs[offset + (match & offset) + (symbol >> 8)], symbol >> 7 & 1);
		symbol <<= 1;
		offset &= ~(match ^ symbol);
	}
	return price;
}

static inline uint32_t length_price(const struct lzma_length *l, uint32_t len, uint32_t pos_state)
{
	return l->prices[pos_state][len - MATCH_MIN];
}

static inline uint32_t short_rep_price(const struct ay__lzma *z, unsigned state, uint32_t pos_state)
{
	return lzma_price(z->is_rep0[state], 0) + lzma_price(z->is_rep0_long[state][pos_state], 0);
}

static inline uint32_t rep_price(const struct ay__lzma *z, uint32_t rep, unsigned state, uint32_t pos_state)
{
	if (rep == 0)
		return lzma_price(z->is_rep0[state], 0) + lzma_price(z->is_rep0_long[state][pos_state], 1);
	const uint32_t price = lzma_price(z->is_rep0[state], 1);
	if (rep == 1)
		return price + lzma_price(z->is_rep1[state], 0);
	return price + lzma_price(z->is_rep1[state], 1) + lzma_price(z->is_rep2[state], rep - 2);
}

static inline uint32_t match_price(const struct ay__lzma *z, uint32_t dist, uint32_t len, uint32_t pos_state)
{
	const uint32_t s = lzma_dist_state(len);
	const uint32_t price = dist < FULL_DISTANCES ? z->dist_prices[s][dist]
						     : z->slot_prices[s][lzma_slot(dist)] +
							       z->align_prices[dist & (ALIGN_SIZE - 1)];

	return price + length_price(&z->match_len, len, pos_state);
}

static void distance_prices(struct ay__lzma *z)
{
	for (uint32_t s = 0; s < DIST_STATES; s++) {
		for (uint32_t slot = 0; slot < z->slots; slot++)
			z->slot_prices[s][slot] =
				lzma_tree_price(z->dist_slot[s], 6, slot) +
				(slot < MODEL_END ? 0 : ((slot >> 1) - 1 - ALIGN_BITS) << 4);
		for (uint32_t i = 0; i < MODEL_START; i++)
			z->dist_prices[s][i] = z->slot_prices[s][i];
	}
	for (uint32_t i = MODEL_START; i < FULL_DISTANCES; i++) {
		const uint32_t slot = lzma_slot(i);
		const unsigned bits = (slot >> 1) - 1;
		const uint32_t base = (2 | (slot & 1)) << bits;
		uint32_t price = 0, model = 1;

		for (unsigned k = 0; k < bits; k++) {
			const uint32_t bit = (i - base) >> k & 1;

			price += lzma_price(z->dist_special[base - slot + model - 1], bit);
			model = (model << 1) + bit;
		}
		for (uint32_t s = 0; s < DIST_STATES; s++)
			z->dist_prices[s][i] = price + z->slot_prices[s][slot];
	}
	z->match_price_count = 0;
}

static void align_prices(struct ay__lzma *z)
{
	for (uint32_t i = 0; i < ALIGN_SIZE; i++)
		z->align_prices[i] = lzma_reverse_price(z->dist_align, ALIGN_BITS, i);
	z->align_price_count = 0;
}

/* ---- ways ---- */

/* How far @a and @b are equal; the first @len bytes are known to be. */
static inline uint32_t same(const uint8_t *a, const uint8_t *b, uint32_t len, uint32_t max)
{
	while (len < max) {
		const uint64_t x = ay_get_le64(a + len) ^ ay_get_le64(b + len);

		if (x) {
			len += (uint32_t)__builtin_ctzll(x) / 8;
			return len < max ? len : max;
		}
		len += 8;
	}
	return max;
}

static inline void literal_set(struct lzma_opt *o)
{
	o->back_prev = LITERAL;
	o->prev_1_is_literal = false;
}

static inline void way_try(struct ay__lzma *z, uint32_t to, uint32_t price, uint32_t from, uint32_t back)
{
	struct lzma_opt *o = &z->opts[to];

	if (price < o->price) {
		o->price = price;
		o->pos_prev = from;
		o->back_prev = back;
		o->prev_1_is_literal = false;
	}
}

static inline void reach(struct ay__lzma *z, struct step *t, uint32_t to)
{
	while (t->end < to)
		z->opts[++t->end].price = PRICE_INFINITY;
}

/* After what costs @price and leads @len bytes on, a literal and a repetition of the same distance, if that goes on behind it. */
static inline void literal_rep_try(struct ay__lzma *z, struct step *t, uint32_t len, uint32_t price,
				   unsigned state, const uint8_t *back, uint32_t back_prev)
{
	uint32_t len2 = len + 1;
	const uint32_t limit = t->full < len2 + z->v->nice ? t->full : len2 + z->v->nice;

	if (len2 < limit)
		len2 = same(t->buf, back, len2, limit);
	len2 -= len + 1;
	if (len2 < 2)
		return;
	uint32_t pos_state = (t->position + len) & z->pos_mask;
	price += lzma_price(z->is_match[state][pos_state], 0) +
		 literal_price(z, t->position + len, t->buf + len, false, back[len]);
	state = lzma_after_literal(state);
	pos_state = (t->position + len + 1) & z->pos_mask;
	price += lzma_price(z->is_match[state][pos_state], 1) + lzma_price(z->is_rep[state], 1);
	const uint32_t to = t->cur + len + 1 + len2;
	reach(z, t, to);
	price += length_price(&z->rep_len, len2, pos_state) + rep_price(z, 0, state, pos_state);
	struct lzma_opt *o = &z->opts[to];
	if (price < o->price) {
		o->price = price;
		o->pos_prev = t->cur + len + 1;
		o->back_prev = 0;
		o->prev_1_is_literal = true;
		o->prev_2 = true;
		o->pos_prev_2 = t->cur;
		o->back_prev_2 = back_prev;
	}
}

/* ---- the first place ---- */

struct first {
	uint32_t rep_lens[REPS], rep, longest, n;
};

/* The lengths of the last four distances here. True: one symbol it is, and no search. */
static bool first_look(struct ay__lzma *z, struct first *f, const uint8_t *buf, uint32_t avail,
		       uint32_t *back, uint32_t *len)
{
	f->rep = 0;
	for (uint32_t i = 0; i < REPS; i++) {
		const uint8_t *b = buf - z->reps[i] - 1;

		f->rep_lens[i] = buf[0] == b[0] && buf[1] == b[1] ? same(buf, b, 2, avail) : 0;
		if (f->rep_lens[i] > f->rep_lens[f->rep])
			f->rep = i;
	}
	if (f->rep_lens[f->rep] >= z->v->nice) {
		*back = f->rep;
		*len = f->rep_lens[f->rep];
		ay__lzma_find_skip(z->find, *len - 1);
		return true;
	}
	if (f->longest >= z->v->nice) {
		*back = z->matches[f->n - 1].dist + REPS;
		*len = f->longest;
		ay__lzma_find_skip(z->find, *len - 1);
		return true;
	}
	if (f->longest < 2 && *buf != *(buf - z->reps[0] - 1) && f->rep_lens[f->rep] < 2) {
		*back = LITERAL;
		*len = 1;
		return true;
	}
	return false;
}

static void first_reps(struct ay__lzma *z, const struct first *f, uint32_t rep_match, uint32_t pos_state)
{
	for (uint32_t i = 0; i < REPS; i++) {
		if (f->rep_lens[i] < 2)
			continue;
		const uint32_t price = rep_match + rep_price(z, i, z->state, pos_state);
		for (uint32_t len = f->rep_lens[i]; len >= 2; len--)
			way_try(z, len, price + length_price(&z->rep_len, len, pos_state), 0, i);
	}
}

static void first_matches(struct ay__lzma *z, const struct first *f, uint32_t price, uint32_t pos_state)
{
	uint32_t len = f->rep_lens[0] >= 2 ? f->rep_lens[0] + 1 : 2, i = 0;

	if (len > f->longest)
		return;
	while (len > z->matches[i].len)
		i++;
	for (;; len++) {
		const uint32_t dist = z->matches[i].dist;

		way_try(z, len, price + match_price(z, dist, len, pos_state), 0, dist + REPS);
		if (len == z->matches[i].len && ++i == f->n)
			break;
	}
}

/* Return: the last of opts that has a price; 0: *@back and *@len are chosen already. */
static uint32_t first_step(struct ay__lzma *z, uint32_t *back, uint32_t *len)
{
	struct ay__lzma_view *v = z->v;
	struct first f;

	if (v->ahead == 0) {
		f.longest = ay__lzma_find_next(z->find, z->matches, &f.n);
	} else {
		f.longest = z->longest;
		f.n = z->n_matches;
	}
	uint32_t avail = v->write - v->at + 1;
	avail = avail < AY__LZMA_MATCH_MAX ? avail : AY__LZMA_MATCH_MAX;
	*back = LITERAL;
	*len = 1;
	if (avail < 2)
		return 0;
	const uint8_t *buf = v->bytes + v->at - 1;
	if (first_look(z, &f, buf, avail, back, len))
		return 0;
	const uint8_t match_byte = *(buf - z->reps[0] - 1);
	const uint32_t pos_state = z->position & z->pos_mask;
	struct lzma_opt *o = z->opts;
	o[0].state = (uint8_t)z->state;
	o[1].price = lzma_price(z->is_match[z->state][pos_state], 0) +
		     literal_price(z, z->position, buf, z->state < LIT_STATES, match_byte);
	literal_set(&o[1]);
	const uint32_t match = lzma_price(z->is_match[z->state][pos_state], 1);
	const uint32_t rep_match = match + lzma_price(z->is_rep[z->state], 1);
	if (match_byte == *buf) {
		const uint32_t price = rep_match + short_rep_price(z, z->state, pos_state);

		if (price < o[1].price) {
			o[1].price = price;
			o[1].back_prev = 0;
			o[1].prev_1_is_literal = false;
		}
	}
	const uint32_t end = f.longest > f.rep_lens[f.rep] ? f.longest : f.rep_lens[f.rep];
	if (end < 2) {
		*back = o[1].back_prev;
		return 0;
	}
	o[1].pos_prev = 0;
	memcpy(o[0].backs, z->reps, sizeof(z->reps));
	for (uint32_t i = end; i >= 2; i--)
		o[i].price = PRICE_INFINITY;
	first_reps(z, &f, rep_match, pos_state);
	first_matches(z, &f, match + lzma_price(z->is_rep[z->state], 0), pos_state);
	return end;
}

/* ---- the places behind it ---- */

/* State and distances after the cheapest way to here. */
static void step_state(struct ay__lzma *z, struct step *t)
{
	struct lzma_opt *o = &z->opts[t->cur];
	uint32_t prev = o->pos_prev;
	unsigned s;

	if (o->prev_1_is_literal) {
		prev--;
		if (o->prev_2) {
			s = z->opts[o->pos_prev_2].state;
			s = o->back_prev_2 < REPS ? lzma_after_rep(s) : lzma_after_match(s);
		} else {
			s = z->opts[prev].state;
		}
		s = lzma_after_literal(s);
	} else {
		s = z->opts[prev].state;
	}
	if (prev == t->cur - 1) {
		s = o->back_prev == 0 ? lzma_after_short_rep(s) : lzma_after_literal(s);
	} else {
		uint32_t back = o->back_prev;

		if (o->prev_1_is_literal && o->prev_2) {
			prev = o->pos_prev_2;
			back = o->back_prev_2;
			s = lzma_after_rep(s);
		} else {
			s = back < REPS ? lzma_after_rep(s) : lzma_after_match(s);
		}
		const uint32_t *b = z->opts[prev].backs;
		const uint32_t moved = back < REPS ? back : REPS - 1;
		t->reps[0] = back < REPS ? b[back] : back - REPS;
		for (uint32_t i = 1; i <= moved; i++)
			t->reps[i] = b[i - 1];
		for (uint32_t i = moved + 1; i < REPS; i++)
			t->reps[i] = b[i];
	}
	t->state = s;
	o->state = (uint8_t)s;
	memcpy(o->backs, t->reps, sizeof(t->reps));
}

/* A literal, a short repetition, a literal and the last distance. */
static void step_literal(struct ay__lzma *z, struct step *t)
{
	struct lzma_opt *next = &z->opts[t->cur + 1];
	const uint32_t cur_price = z->opts[t->cur].price;
	const uint8_t *back = t->buf - t->reps[0] - 1;
	const uint32_t price1 = cur_price + lzma_price(z->is_match[t->state][t->pos_state], 0) +
				literal_price(z, t->position, t->buf, t->state < LIT_STATES, *back);
	bool is_literal = false;

	if (price1 < next->price) {
		next->price = price1;
		next->pos_prev = t->cur;
		literal_set(next);
		is_literal = true;
	}
	t->match_price = cur_price + lzma_price(z->is_match[t->state][t->pos_state], 1);
	t->rep_match_price = t->match_price + lzma_price(z->is_rep[t->state], 1);
	if (*back == *t->buf && !(next->pos_prev < t->cur && next->back_prev == 0)) {
		const uint32_t price = t->rep_match_price + short_rep_price(z, t->state, t->pos_state);

		if (price <= next->price) {
			next->price = price;
			next->pos_prev = t->cur;
			next->back_prev = 0;
			next->prev_1_is_literal = false;
			is_literal = true;
		}
	}
	if (t->full < 2 || is_literal || *back == *t->buf)
		return;
	const uint32_t len = same(t->buf, back, 1, t->full < z->v->nice + 1 ? t->full : z->v->nice + 1) - 1;
	if (len < 2)
		return;
	const unsigned s = lzma_after_literal(t->state);
	const uint32_t pos_state = (t->position + 1) & z->pos_mask, to = t->cur + 1 + len;
	const uint32_t price = price1 + lzma_price(z->is_match[s][pos_state], 1) +
			       lzma_price(z->is_rep[s], 1) + length_price(&z->rep_len, len, pos_state) +
			       rep_price(z, 0, s, pos_state);
	reach(z, t, to);
	struct lzma_opt *o = &z->opts[to];
	if (price < o->price) {
		o->price = price;
		o->pos_prev = t->cur + 1;
		o->back_prev = 0;
		o->prev_1_is_literal = true;
		o->prev_2 = false;
	}
}

/* The last four distances. Return: the length from which on other matches may be better. */
static uint32_t step_reps(struct ay__lzma *z, struct step *t)
{
	uint32_t start = 2;

	for (uint32_t rep = 0; rep < REPS; rep++) {
		const uint8_t *back = t->buf - t->reps[rep] - 1;

		if (t->buf[0] != back[0] || t->buf[1] != back[1])
			continue;
		const uint32_t len = same(t->buf, back, 2, t->avail);
		const uint32_t price = t->rep_match_price + rep_price(z, rep, t->state, t->pos_state);
		reach(z, t, t->cur + len);
		for (uint32_t l = len; l >= 2; l--)
			way_try(z, t->cur + l, price + length_price(&z->rep_len, l, t->pos_state), t->cur,
				rep);
		if (rep == 0)
			start = len + 1;
		literal_rep_try(z, t, len, price + length_price(&z->rep_len, len, t->pos_state),
				lzma_after_rep(t->state), back, rep);
	}
	return start;
}

static void step_matches(struct ay__lzma *z, struct step *t, uint32_t start)
{
	const uint32_t normal = t->match_price + lzma_price(z->is_rep[t->state], 0);
	uint32_t longest = z->longest, n = z->n_matches, i = 0;

	if (longest > t->avail) {
		longest = t->avail;
		n = 0;
		while (longest > z->matches[n].len)
			n++;
		z->matches[n++].len = longest;
	}
	if (longest < start)
		return;
	reach(z, t, t->cur + longest);
	while (start > z->matches[i].len)
		i++;
	for (uint32_t len = start;; len++) {
		const uint32_t dist = z->matches[i].dist;
		const uint32_t price = normal + match_price(z, dist, len, t->pos_state);

		way_try(z, t->cur + len, price, t->cur, dist + REPS);
		if (len != z->matches[i].len)
			continue;
		literal_rep_try(z, t, len, price, lzma_after_match(t->state), t->buf - dist - 1, dist + REPS);
		if (++i == n)
			break;
	}
}

static void step(struct ay__lzma *z, struct step *t)
{
	const struct ay__lzma_view *v = z->v;
	const uint32_t avail = v->write - v->at + 1, opts = AY__LZMA_OPTS - 1 - t->cur;

	t->buf = v->bytes + v->at - 1;
	t->position = z->position + t->cur;
	t->pos_state = t->position & z->pos_mask;
	t->full = avail < opts ? avail : opts;
	t->avail = t->full < v->nice ? t->full : v->nice;
	step_state(z, t);
	step_literal(z, t);
	if (t->full < 2)
		return;
	const uint32_t start = step_reps(z, t);
	step_matches(z, t, start);
}

/* The cheapest way was found from its end: turn it round. */
static void backward(struct ay__lzma *z, uint32_t cur, uint32_t *back, uint32_t *len)
{
	struct lzma_opt *o = z->opts;
	uint32_t pos = o[cur].pos_prev, dist = o[cur].back_prev;

	z->opts_end = cur;
	do {
		if (o[cur].prev_1_is_literal) {
			literal_set(&o[pos]);
			o[pos].pos_prev = pos - 1;
			if (o[cur].prev_2) {
				o[pos - 1].prev_1_is_literal = false;
				o[pos - 1].pos_prev = o[cur].pos_prev_2;
				o[pos - 1].back_prev = o[cur].back_prev_2;
			}
		}
		const uint32_t prev = pos, back_cur = dist;
		dist = o[prev].back_prev;
		pos = o[prev].pos_prev;
		o[prev].back_prev = back_cur;
		o[prev].pos_prev = cur;
		cur = prev;
	} while (cur != 0);
	z->opts_at = *len = o[0].pos_prev;
	*back = o[0].back_prev;
}

void ay__lzma_choose(struct ay__lzma *z, uint32_t *back, uint32_t *len)
{
	struct step t;

	if (z->opts_end != z->opts_at) {
		*len = z->opts[z->opts_at].pos_prev - z->opts_at;
		*back = z->opts[z->opts_at].back_prev;
		z->opts_at = z->opts[z->opts_at].pos_prev;
		return;
	}
	if (z->v->ahead == 0) {
		if (z->match_price_count >= 128)
			distance_prices(z);
		if (z->align_price_count >= ALIGN_SIZE)
			align_prices(z);
	}
	t.end = first_step(z, back, len);
	if (t.end == 0)
		return;
	memcpy(t.reps, z->reps, sizeof(t.reps));
	for (t.cur = 1; t.cur < t.end; t.cur++) {
		z->longest = ay__lzma_find_next(z->find, z->matches, &z->n_matches);
		if (z->longest >= z->v->nice)
			break;
		step(z, &t);
	}
	backward(z, t.cur, back, len);
}
