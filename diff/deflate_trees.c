/* SPDX-License-Identifier: MIT */
/* diff/deflate_trees.c - Huffman's algorithm with a heap, lengths limited afterwards, then run-length coded. */
#include "diff/deflate_trees.h"

#include <string.h>

#define NODES (2 * AY__DEFLATE_LITS + 1)

struct tree {
	uint32_t freq[NODES];
	uint16_t parent[NODES];
	uint8_t depth[NODES];
	uint8_t len[NODES];
	uint16_t heap[NODES]; /* from 1; behind @heap_max: the nodes, sorted by frequency */
	unsigned heap_len, heap_max;
	unsigned max_code; /* the last symbol that is used */
};

/* Equal ones: the shallower first. */
static bool smaller(const struct tree *t, unsigned a, unsigned b)
{
	return t->freq[a] < t->freq[b] || (t->freq[a] == t->freq[b] && t->depth[a] <= t->depth[b]);
}

static void sift_down(struct tree *t, unsigned k)
{
	uint16_t v = t->heap[k];

	for (unsigned j = 2 * k; j <= t->heap_len; j *= 2) {
		if (j < t->heap_len && smaller(t, t->heap[j + 1], t->heap[j]))
			j++;
		if (smaller(t, v, t->heap[j]))
			break;
		t->heap[k] = t->heap[j];
		k = j;
	}
	t->heap[k] = v;
}

/* Put the two rarest under a new node until one is left. */
static void join(struct tree *t, unsigned n)
{
	unsigned node = n;

	for (unsigned i = t->heap_len / 2; i >= 1; i--)
		sift_down(t, i);
	do {
		unsigned a = t->heap[1], b;

		t->heap[1] = t->heap[t->heap_len--];
		sift_down(t, 1);
		b = t->heap[1];
		t->heap[--t->heap_max] = (uint16_t)a;
		t->heap[--t->heap_max] = (uint16_t)b;
		t->freq[node] = t->freq[a] + t->freq[b];
		t->depth[node] = (uint8_t)((t->depth[a] > t->depth[b] ? t->depth[a] : t->depth[b]) + 1);
		t->parent[a] = t->parent[b] = (uint16_t)node;
		t->heap[1] = (uint16_t)node++;
		sift_down(t, 1);
	} while (t->heap_len >= 2);
	t->heap[--t->heap_max] = t->heap[1];
}

/* Lengths from the root down; those over @limit are @limit, and room for them is made by lengthening shorter ones. */
static void lengths(struct tree *t, unsigned n, unsigned limit, unsigned end)
{
	unsigned count[AY__DEFLATE_BITS + 1] = {0}, h, m;
	int over = 0;

	t->len[t->heap[t->heap_max]] = 0;
	for (h = t->heap_max + 1; h < end; h++) {
		unsigned node = t->heap[h], len = t->len[t->parent[node]] + 1u;

		if (len > limit) {
			len = limit;
			over++;
		}
		t->len[node] = (uint8_t)len;
		if (node < n)
			count[len]++;
	}
	if (over == 0)
		return;
	do {
		unsigned len = limit - 1;

		while (count[len] == 0)
			len--;
		count[len]--;
		count[len + 1] += 2;
		count[limit]--;
		over -= 2;
	} while (over > 0);
	for (unsigned len = limit; len != 0; len--) {
		for (unsigned k = count[len]; k != 0;) {
			m = t->heap[--h];
			if (m >= n)
				continue;
			t->len[m] = (uint8_t)len;
			k--;
		}
	}
}

/* @freq of @n symbols to @lens; returns the last symbol used. At least two symbols get a code. */
static unsigned tree_make(uint32_t *freq, unsigned n, unsigned limit, uint8_t *lens)
{
	struct tree t;
	unsigned end = 2 * n + 1;

	memset(&t, 0, sizeof(t));
	t.heap_max = end;
	int max = -1;
	for (unsigned i = 0; i < n; i++) {
		t.freq[i] = freq[i];
		if (freq[i]) {
			t.heap[++t.heap_len] = (uint16_t)i;
			max = (int)i;
		}
	}
	while (t.heap_len < 2) {
		unsigned node = max < 2 ? (unsigned)++max : 0;

		t.heap[++t.heap_len] = (uint16_t)node;
		t.freq[node] = 1;
	}
	join(&t, n);
	lengths(&t, n, limit, end);
	memset(lens, 0, n);
	for (unsigned i = 0; i < n; i++)
		lens[i] = t.freq[i] ? t.len[i] : 0;
	return (unsigned)max;
}

static void symbol_put(struct ay__deflate_codes *c, unsigned symbol, unsigned repeat)
{
	c->symbols[c->n_symbols] = (uint8_t)symbol;
	c->repeats[c->n_symbols++] = (uint8_t)repeat;
}

/* One code's lengths as symbols: runs of one tree do not go over into the other. */
static void runs_put(struct ay__deflate_codes *c, const uint8_t *lens, unsigned n)
{
	unsigned count = 0, max = lens[0] ? 7 : 138, min = lens[0] ? 4 : 3;
	int before = -1;

	for (unsigned i = 0; i < n; i++) {
		int this = lens[i], next = i + 1 < n ? lens[i + 1] : -1;

		if (++count < max && this == next)
			continue;
		if (count < min) {
			for (; count > 0; count--)
				symbol_put(c, (unsigned)this, 0);
		} else if (this != 0) {
			if (this != before) {
				symbol_put(c, (unsigned)this, 0);
				count--;
			}
			symbol_put(c, 16, count - 3);
		} else if (count <= 10) {
			symbol_put(c, 17, count - 3);
		} else {
			symbol_put(c, 18, count - 11);
		}
		count = 0;
		before = this;
		max = next == 0 ? 138 : next == this ? 6 : 7;
		min = next == 0 || next == this ? 3 : 4;
	}
}

void ay__deflate_codes_make(uint32_t lits[AY__DEFLATE_LITS], uint32_t dists[AY__DEFLATE_DISTS],
			    struct ay__deflate_codes *out)
{
	uint32_t freq[AY__DEFLATE_LENS] = {0};
	uint8_t lens[AY__DEFLATE_LENS];

	memset(out, 0, sizeof(*out));
	out->n_lits = tree_make(lits, AY__DEFLATE_LITS, AY__DEFLATE_BITS, out->lit_len) + 1;
	out->n_dists = tree_make(dists, AY__DEFLATE_DISTS, AY__DEFLATE_BITS, out->dist_len) + 1;
	runs_put(out, out->lit_len, out->n_lits);
	runs_put(out, out->dist_len, out->n_dists);
	for (unsigned i = 0; i < out->n_symbols; i++)
		freq[out->symbols[i]]++;
	tree_make(freq, AY__DEFLATE_LENS, 7, lens);
	for (out->n_lens = AY__DEFLATE_LENS; out->n_lens > 4; out->n_lens--) {
		if (lens[ay__deflate_lens_order[out->n_lens - 1]])
			break;
	}
	for (unsigned i = 0; i < out->n_lens; i++)
		out->lens[i] = lens[ay__deflate_lens_order[i]];
}

void ay__deflate_code_values(const uint8_t *lens, unsigned n, uint16_t *values)
{
	unsigned count[AY__DEFLATE_BITS + 1] = {0}, next[AY__DEFLATE_BITS + 2] = {0};

	for (unsigned i = 0; i < n; i++)
		count[lens[i]]++;
	count[0] = 0;
	for (unsigned len = 1; len <= AY__DEFLATE_BITS; len++)
		next[len + 1] = (next[len] + count[len]) << 1;
	for (unsigned i = 0; i < n; i++) {
		unsigned code = lens[i] ? next[lens[i]]++ : 0, reversed = 0;

		for (unsigned b = 0; b < lens[i]; b++)
			reversed |= (code >> b & 1) << (lens[i] - 1u - b);
		values[i] = (uint16_t)reversed;
	}
}

unsigned ay__deflate_len_symbol(unsigned len)
{
	unsigned s = 28;

	while (ay__deflate_len_base[s] > len)
		s--;
	return s;
}

unsigned ay__deflate_dist_symbol(unsigned dist)
{
	unsigned d = dist - 1;

	if (d < 4)
		return d;
	unsigned high = 31u - (unsigned)__builtin_clz(d);
	return 2 * high + (d >> (high - 1) & 1);
}
