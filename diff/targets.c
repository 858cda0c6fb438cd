/* SPDX-License-Identifier: MIT */
/*
 * diff/targets.c - "+f mode uid gid mtime size DIGEST path": the seventh word of each such line.
 *
 * Nothing is checked: who applies the delta does that, and a record whose file is not what it says is thrown away. A
 * line without a digest at that place counts for nothing.
 */
#include "diff/targets.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int add(struct ay__targets *t)
{
	size_t chunk = t->n / AY__TARGETS_FREE;

	if (chunk == t->n_chunks) {
		if (t->n_chunks == t->cap_chunks) {
			size_t cap = t->cap_chunks ? 2 * t->cap_chunks : 16;
			struct ay_digest **p = realloc(t->chunks, cap * sizeof(struct ay_digest *));

			if (!p)
				return -ENOMEM;
			t->chunks = p;
			t->cap_chunks = cap;
		}
		t->chunks[chunk] = malloc(AY__TARGETS_FREE * sizeof(struct ay_digest));
		if (!t->chunks[chunk])
			return -ENOMEM;
		t->n_chunks++;
	}
	memcpy(t->chunks[chunk][t->n % AY__TARGETS_FREE].b, t->line.digest, AY_DIGEST_LEN);
	t->n++;
	return 0;
}

int ay__targets_feed(struct ay__targets *t, const void *delta, size_t len)
{
	const uint8_t *p = delta;

	for (size_t i = 0; i < len; i++) {
		int rc = ay__file_line_step(&t->line, AY__FILE_COMES, p[i]) ? add(t) : 0;

		if (rc)
			return rc;
	}
	return 0;
}

void ay__targets_release(struct ay__targets *t)
{
	for (size_t i = 0; i < t->n_chunks; i++)
		free(t->chunks[i]);
	free(t->chunks);
	*t = (struct ay__targets){0};
}

static int row_cmp(const void *a, const void *b)
{
	const struct ay__target_row *x = a, *y = b;

	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	return (x->index > y->index) - (x->index < y->index);
}

struct ay__target_row *ay__targets_sort(const struct ay__targets *t)
{
	struct ay__target_row *rows = malloc((t->n + 1) * sizeof(*rows));

	for (size_t i = 0; rows && i < t->n; i++)
		rows[i] = (struct ay__target_row){ay_get_le64(ay__targets_get(t, i)->b), (uint32_t)i};
	if (rows)
		qsort(rows, t->n, sizeof(*rows), row_cmp);
	return rows;
}

bool ay__targets_find(const struct ay__targets *t, const struct ay__target_row *rows,
		      const struct ay_digest *d, uint32_t *index)
{
	uint64_t key = ay_get_le64(d->b);
	size_t lo = 0, hi = t->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (rows[mid].key < key)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < t->n && rows[lo].key == key; lo++) {
		*index = rows[lo].index;
		if (ay_digest_eq(ay__targets_get(t, *index), d))
			return true;
	}
	return false;
}
