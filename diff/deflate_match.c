/* SPDX-License-Identifier: MIT */
/*
 * diff/deflate_match.c - hash chains.
 *
 * Positions are those of the content, 32 bits; chains go as far back as the window, less what the packers keep free
 * for looking ahead. After a token that was not the guess the state is as if that packer had taken it.
 */
#include "diff/deflate_match.h"

#include <stddef.h>
#include <string.h>

#define MIN_MATCH 3
#define TOO_FAR   4096 /* a match of three bytes from farther away is not worth its distance */

struct ay__deflate_params ay__deflate_level(unsigned level)
{
	static const struct {
		uint16_t good, lazy, nice, chain;
	} levels[9] = {{4, 4, 8, 4},      {4, 5, 16, 8},        {4, 6, 32, 32},
		       {4, 4, 16, 16},    {8, 16, 32, 32},      {8, 16, 128, 128},
		       {8, 32, 128, 256}, {32, 128, 258, 1024}, {32, 258, 258, 4096}};
	unsigned i = level < 1 ? 0 : level > 9 ? 8 : level - 1;

	return (struct ay__deflate_params){.way = i < 3 ? AY__DEFLATE_GREEDY : AY__DEFLATE_LAZY,
					   .good = levels[i].good,
					   .lazy = levels[i].lazy,
					   .nice = levels[i].nice,
					   .chain = levels[i].chain,
					   .hash_bits = 15,
					   .window_bits = 15};
}

bool ay__deflate_params_ok(const struct ay__deflate_params *p)
{
	return p->way < AY__DEFLATE_WAYS && p->good >= 1 && p->good <= AY__DEFLATE_MATCH && p->lazy >= 1 &&
	       p->lazy <= AY__DEFLATE_MATCH && p->nice >= MIN_MATCH && p->nice <= AY__DEFLATE_MATCH &&
	       p->chain >= 1 && p->chain <= 4096 && p->hash_bits >= 8 && p->hash_bits <= 16 &&
	       p->window_bits >= 9 && p->window_bits <= 15;
}

void ay__deflate_match_init(struct ay__deflate_match *m, const struct ay__deflate_params *p)
{
	/* Chains are only followed from heads, and bytes looked at where they were given: neither needs clearing. */
	memset(m, 0, offsetof(struct ay__deflate_match, head));
	memset(m->head, 0, sizeof(m->head[0]) << p->hash_bits);
	m->p = *p;
}

size_t ay__deflate_match_room(struct ay__deflate_match *m)
{
	size_t used = m->end - m->start;

	if (used == AY__DEFLATE_BUFFER && m->at - m->start >= 2 * AY__DEFLATE_WINDOW) {
		/* Keep one window before @at. */
		uint32_t drop = m->at - m->start - AY__DEFLATE_WINDOW;

		memmove(m->buffer, m->buffer + drop, used - drop);
		m->start += drop;
		used -= drop;
	}
	return AY__DEFLATE_BUFFER - used;
}

void ay__deflate_match_give(struct ay__deflate_match *m, const uint8_t *data, size_t len)
{
	memcpy(m->buffer + (m->end - m->start), data, len);
	m->end += (uint32_t)len;
}

static const uint8_t *bytes_at(const struct ay__deflate_match *m, uint32_t pos)
{
	return m->buffer + (pos - m->start);
}

/* Put the string at @pos into its chain; returns the one before. 0: none, or no string of three bytes is left. */
static uint32_t insert(struct ay__deflate_match *m, uint32_t pos)
{
	if (m->end - pos < MIN_MATCH)
		return 0;
	const uint8_t *b = bytes_at(m, pos);
	unsigned shift = (m->p.hash_bits + 2u) / 3;
	uint32_t h = (((uint32_t)b[0] << 2 * shift) ^ ((uint32_t)b[1] << shift) ^ b[2]) &
		     ((1u << m->p.hash_bits) - 1);
	uint32_t before = m->head[h];

	m->chain[pos & ((1u << m->p.window_bits) - 1)] = before;
	m->head[h] = pos;
	return before;
}

static void insert_range(struct ay__deflate_match *m, uint32_t from, uint32_t to)
{
	for (; from < to; from++)
		insert(m, from);
}

static unsigned equal_bytes(const uint8_t *a, const uint8_t *b, unsigned max)
{
	unsigned n = 0;

	for (; n + 8 <= max; n += 8) {
		uint64_t x, y;

		memcpy(&x, a + n, 8);
		memcpy(&y, b + n, 8);
		if (x != y)
			break;
	}
	while (n < max && a[n] == b[n])
		n++;
	return n;
}

/* The longest string like that at @pos, longer than @best, down the chain from @candidate. */
static uint32_t search(const struct ay__deflate_match *m, uint32_t pos, uint32_t candidate, uint32_t best,
		       uint32_t *from)
{
	uint32_t window = 1u << m->p.window_bits, reach = window - AY__DEFLATE_AHEAD;
	uint32_t limit = pos > reach ? pos - reach : 0, ahead = m->end - pos;
	unsigned chain = best >= m->p.good ? m->p.chain >> 2 : m->p.chain;
	uint32_t nice = m->p.nice < ahead ? m->p.nice : ahead;
	unsigned max = ahead < AY__DEFLATE_MATCH ? ahead : AY__DEFLATE_MATCH;
	const uint8_t *here = bytes_at(m, pos);

	if (chain == 0)
		chain = 1;
	do {
		const uint8_t *there = bytes_at(m, candidate);

		if (best < max && there[best] == here[best] && there[best - 1] == here[best - 1] &&
		    there[0] == here[0] && there[1] == here[1]) {
			uint32_t len = equal_bytes(there, here, max);

			if (len > best) {
				best = len;
				*from = candidate;
				if (len >= nice)
					break;
			}
		}
		uint32_t next = m->chain[candidate & (window - 1)];
		/* A chain only goes back; where an entry was overwritten it ends. */
		if (next >= candidate)
			break;
		candidate = next;
	} while (candidate > limit && --chain != 0);
	return best < ahead ? best : ahead;
}

static bool reachable(const struct ay__deflate_match *m, uint32_t pos, uint32_t candidate)
{
	return candidate != 0 && candidate < pos &&
	       pos - candidate <= (1u << m->p.window_bits) - AY__DEFLATE_AHEAD;
}

/* Look up the string at @pos; a match must be longer than @before. */
static uint32_t look(struct ay__deflate_match *m, uint32_t pos, uint32_t before, uint32_t *from)
{
	uint32_t candidate = insert(m, pos), len = MIN_MATCH - 1;

	if (reachable(m, pos, candidate) && before < m->p.lazy) {
		len = search(m, pos, candidate, before, from);
		if (len <= 5 && (m->p.filtered || (len == MIN_MATCH && pos - *from > TOO_FAR)))
			len = MIN_MATCH - 1;
	}
	return len;
}

static struct ay__deflate_token literal(const struct ay__deflate_match *m)
{
	return (struct ay__deflate_token){.dist = *bytes_at(m, m->at)};
}

static struct ay__deflate_token guess_run(const struct ay__deflate_match *m)
{
	uint32_t ahead = m->end - m->at;
	unsigned max = ahead < AY__DEFLATE_MATCH ? ahead : AY__DEFLATE_MATCH;

	if (m->at == 0 || max < MIN_MATCH)
		return literal(m);
	unsigned n = equal_bytes(bytes_at(m, m->at), bytes_at(m, m->at - 1), max);
	return n < MIN_MATCH ? literal(m) : (struct ay__deflate_token){.len = (uint16_t)n, .dist = 1};
}

static struct ay__deflate_token found(const struct ay__deflate_match *m)
{
	uint32_t dist = m->at - m->from;

	if (m->len < MIN_MATCH || dist == 0 || dist > AY__DEFLATE_WINDOW)
		return literal(m);
	return (struct ay__deflate_token){.len = (uint16_t)m->len, .dist = (uint16_t)dist};
}

static struct ay__deflate_token guess_greedy(struct ay__deflate_match *m)
{
	if (!m->looked) {
		uint32_t candidate = insert(m, m->at);

		m->len = MIN_MATCH - 1;
		if (reachable(m, m->at, candidate))
			m->len = search(m, m->at, candidate, MIN_MATCH - 1, &m->from);
		m->looked = true;
	}
	return found(m);
}

static struct ay__deflate_token guess_lazy(struct ay__deflate_match *m)
{
	if (!m->looked) {
		m->len = look(m, m->at, MIN_MATCH - 1, &m->from);
		m->looked = true;
	}
	if (!m->next_looked && m->end - m->at > 1) {
		m->next_from = 0;
		m->next_len = look(m, m->at + 1, m->len, &m->next_from);
		m->next_looked = true;
	}
	if (m->next_looked && m->next_len > m->len)
		return literal(m);
	return found(m);
}

struct ay__deflate_token ay__deflate_match_guess(struct ay__deflate_match *m)
{
	switch (m->p.way) {
	case AY__DEFLATE_RUNS:
		return guess_run(m);
	case AY__DEFLATE_GREEDY:
		return guess_greedy(m);
	case AY__DEFLATE_LAZY:
		return guess_lazy(m);
	default:
		return literal(m);
	}
}

static void take_match(struct ay__deflate_match *m, uint32_t len)
{
	uint32_t from = m->at + (m->looked ? 1 : 0) + (m->next_looked ? 1 : 0), to = m->at + len;

	if (m->p.way == AY__DEFLATE_LAZY || (m->p.way == AY__DEFLATE_GREEDY && len <= m->p.lazy))
		insert_range(m, from, to);
	m->at = to;
	m->looked = m->next_looked = false;
}

void ay__deflate_match_take(struct ay__deflate_match *m, struct ay__deflate_token t)
{
	if (t.len) {
		take_match(m, t.len);
		return;
	}
	m->at++;
	m->looked = m->next_looked;
	m->len = m->next_len;
	m->from = m->next_from;
	/* Nothing longer was found there: what was found here is no match there. */
	if (m->looked && m->from == 0)
		m->len = MIN_MATCH - 1;
	m->next_looked = false;
}

void ay__deflate_match_skip(struct ay__deflate_match *m, size_t n)
{
	uint32_t from = m->at + (m->looked ? 1 : 0) + (m->next_looked ? 1 : 0), to = m->at + (uint32_t)n;

	if (n == 0 && m->p.resets)
		memset(m->head, 0, sizeof(m->head[0]) << m->p.hash_bits);
	if (m->p.way == AY__DEFLATE_LAZY || m->p.way == AY__DEFLATE_GREEDY)
		insert_range(m, from < to ? from : to, to);
	m->at = to;
	m->looked = m->next_looked = false;
}
