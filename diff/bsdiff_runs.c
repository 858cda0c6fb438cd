/* SPDX-License-Identifier: MIT */
/*
 * diff/bsdiff_runs.c - anchors: places that both files choose alike, because their content does.
 *
 * One place in 256 is an anchor, by a rolling hash of the 64 bytes before it. The old file's anchors go into a table; at each
 * of the new file's that is in it, both files are compared backwards and forwards.
 */
#include "diff/bsdiff_runs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "diff/alike.h"
#include "diff/sketch.h"

#define STRING     64 /* bytes that the hash is of */
#define ANCHOR     56 /* the bits above are zero at an anchor */
#define PER_ANCHOR 256
#define MARGIN     256 /* bytes left at both ends of a stretch: a match may begin before and end behind it */
#define TABLE_MIN  1024
#define PROBES     16

uint64_t ay__runs_memory(uint64_t old_len, uint64_t new_len)
{
	return (old_len / PER_ANCHOR * 4 + TABLE_MIN) * sizeof(uint64_t) +
	       (new_len / AY__RUN_MIN + 64) * 4 * sizeof(struct ay__run);
}

/* Positions (plus one) of anchors, by their hash; 0: free. */
struct anchors {
	uint64_t *table;
	size_t mask, n;
};

static bool is_anchor(uint64_t hash)
{
	return hash >> ANCHOR == 0;
}

/* The place of the anchor whose string ends before @at of @s, or a free one; SIZE_MAX: neither nearby. */
static size_t slot_of(const struct anchors *a, struct ay_slice old, const uint8_t *string, uint64_t hash)
{
	size_t slot = (size_t)((hash << (64 - ANCHOR)) * 0x9e3779b97f4a7c15u >> 20) & a->mask;

	for (unsigned i = 0; i < PROBES; i++, slot = (slot + 1) & a->mask) {
		uint64_t at = a->table[slot];

		if (at == 0 || memcmp(old.data + at - 1 - STRING, string, STRING) == 0)
			return slot;
	}
	return SIZE_MAX;
}

static int anchors_collect(struct anchors *a, struct ay_slice old)
{
	size_t cap = TABLE_MIN;
	uint64_t hash = 0;

	while (cap < old.len / PER_ANCHOR * 2)
		cap *= 2;
	*a = (struct anchors){.table = calloc(cap, sizeof(*a->table)), .mask = cap - 1};
	if (!a->table)
		return -ENOMEM;
	for (size_t i = 0; i < old.len && a->n < cap / 2; i++) {
		hash = (hash << 1) + ay__gear[old.data[i]];
		if (!is_anchor(hash) || i + 1 < STRING)
			continue;
		size_t slot = slot_of(a, old, old.data + i + 1 - STRING, hash);
		if (slot == SIZE_MAX || a->table[slot])
			continue;
		a->table[slot] = i + 2;
		a->n++;
	}
	return 0;
}

static void anchors_release(struct anchors *a)
{
	free(a->table);
}

/* The stretch around (@old_at, @new_at), not before @floor. */
static struct ay__run stretch(struct ay_slice old, struct ay_slice new_, uint64_t old_at, uint64_t new_at,
			      uint64_t floor)
{
	struct ay__run r = {.new_at = new_at, .old_at = old_at};

	while (r.new_at > floor && r.old_at > 0 && old.data[r.old_at - 1] == new_.data[r.new_at - 1]) {
		r.new_at--;
		r.old_at--;
	}
	r.len = new_at - r.new_at +
		ay__common(old.data + old_at, new_.data + new_at,
			   ay__min((size_t)(old.len - old_at), (size_t)(new_.len - new_at)));
	return r;
}

static int run_push(struct ay__run **runs, size_t *n, size_t *cap, struct ay__run r)
{
	if (*n == *cap) {
		size_t more = *cap ? 2 * *cap : 64;
		struct ay__run *p = realloc(*runs, more * sizeof(*p));

		if (!p)
			return -ENOMEM;
		*runs = p;
		*cap = more;
	}
	(*runs)[(*n)++] = r;
	return 0;
}

int ay__runs_find(struct ay_slice old, struct ay_slice new_, struct ay__run **runs, size_t *n)
{
	AY_CLEANUP(anchors_release) struct anchors a;
	size_t cap = 0;
	uint64_t hash = 0, floor = 0, fresh = 0;
	int rc = anchors_collect(&a, old);

	*runs = NULL;
	*n = 0;
	for (uint64_t i = 0; i < new_.len && rc == 0; i++) {
		hash = (hash << 1) + ay__gear[new_.data[i]];
		if (!is_anchor(hash) || i + 1 < fresh + STRING)
			continue;
		size_t slot = slot_of(&a, old, new_.data + i + 1 - STRING, hash);
		if (slot == SIZE_MAX || a.table[slot] == 0)
			continue;
		struct ay__run r = stretch(old, new_, a.table[slot] - 1, i + 1, floor);
		if (r.len < AY__RUN_MIN)
			continue;
		rc = run_push(runs, n, &cap, r);
		floor = fresh = r.new_at + r.len;
		i = floor - 1;
		hash = 0;
	}
	return rc;
}

static int by_old(const void *a, const void *b)
{
	const struct ay__run *x = a, *y = b;

	return (x->old_at > y->old_at) - (x->old_at < y->old_at);
}

/* Pieces of the old file that are in no run. @runs: by place in the old file. */
static size_t pieces_of(uint64_t old_len, const struct ay__run *runs, size_t n, struct ay__run *pieces)
{
	uint64_t at = 0, sum = 0;
	size_t k = 0;

	for (size_t i = 0; i <= n; i++) {
		uint64_t from = i < n ? runs[i].old_at + MARGIN : old_len;
		uint64_t to = i < n ? runs[i].old_at + runs[i].len - MARGIN : old_len;

		if (from > at) {
			pieces[k++] = (struct ay__run){.new_at = sum, .old_at = at, .len = from - at};
			sum += from - at;
		}
		at = to > at ? to : at;
	}
	return k;
}

int ay__runs_cut(struct ay_slice old, const struct ay__run *runs, size_t n, struct ay__rest *rest)
{
	AY_FREE struct ay__run *sorted = malloc((n + 1) * sizeof(*sorted));
	AY_FREE struct ay__run *pieces = malloc((n + 1) * sizeof(*pieces));

	*rest = (struct ay__rest){0};
	if (!sorted || !pieces)
		return -ENOMEM;
	if (n)
		memcpy(sorted, runs, n * sizeof(*sorted));
	qsort(sorted, n, sizeof(*sorted), by_old);
	size_t k = pieces_of(old.len, sorted, n, pieces);
	size_t len = k ? (size_t)(pieces[k - 1].new_at + pieces[k - 1].len) : 0;
	if (len == 0 || len > old.len - old.len / 4)
		return 0;
	rest->bytes = malloc(len);
	if (!rest->bytes)
		return -ENOMEM;
	for (size_t i = 0; i < k; i++)
		memcpy(rest->bytes + pieces[i].new_at, old.data + pieces[i].old_at, pieces[i].len);
	rest->len = len;
	rest->n = k;
	rest->pieces = pieces;
	pieces = NULL;
	return 0;
}

void ay__rest_release(struct ay__rest *rest)
{
	free(rest->bytes);
	free(rest->pieces);
	*rest = (struct ay__rest){0};
}

const struct ay__run *ay__rest_find(const struct ay__rest *rest, uint64_t at)
{
	size_t lo = 0, hi = rest->n;

	while (hi - lo > 1) {
		size_t mid = lo + (hi - lo) / 2;

		if (rest->pieces[mid].new_at <= at)
			lo = mid;
		else
			hi = mid;
	}
	return &rest->pieces[lo];
}
