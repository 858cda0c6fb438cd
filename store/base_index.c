/* SPDX-License-Identifier: MIT */
/*
 * A sorted array: filled in the one pass that merges the manifests, searched by
 * halving. No hash table, because there is never an insert after the first look-up.
 */
#include "store/base_index.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

int ay__base_index_add(struct ay__base_index *x, const struct ay_digest *d, const uint8_t v[AY__VARIANT_LEN])
{
	if (x->n == x->cap) {
		size_t cap = x->cap ? x->cap + x->cap / 2 : 1024;
		struct ay__base_row *grown = reallocarray(x->rows, cap, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		x->rows = grown;
		x->cap = cap;
	}
	struct ay__base_row *row = &x->rows[x->n++];
	memcpy(row->prefix, d->b, sizeof(row->prefix));
	memcpy(row->variant, v, AY__VARIANT_LEN);
	x->sorted = false;
	return 0;
}

static int cmp_rows(const void *a, const void *b)
{
	const struct ay__base_row *x = a, *y = b;

	int c = memcmp(x->prefix, y->prefix, sizeof(x->prefix));
	return c ? c : memcmp(x->variant, y->variant, AY__VARIANT_LEN);
}

/*
 * By the first byte in place (McIlroy, Bostic, McIlroy: Engineering Radix Sort, "American flag sort"), then each of the 256
 * shares. The C library's qsort() alone may take a copy of all rows, which is 24 MB for a million.
 */
static void sort_rows(struct ay__base_row *rows, size_t n)
{
	size_t next[256], end[256] = {0}, at = 0;

	for (size_t i = 0; i < n; i++)
		end[rows[i].prefix[0]]++;
	for (int b = 0; b < 256; b++) {
		next[b] = at;
		end[b] = at += end[b];
	}
	for (int b = 0; b < 256; b++) {
		while (next[b] < end[b]) {
			struct ay__base_row *row = &rows[next[b]];
			uint8_t to = row->prefix[0];
			struct ay__base_row held = rows[next[to]];
			rows[next[to]++] = *row;
			if (to != b)
				*row = held;
		}
	}
	for (int b = 0; b < 256; b++) {
		size_t first = b ? end[b - 1] : 0;
		if (end[b] - first > 1)
			qsort(rows + first, end[b] - first, sizeof(*rows), cmp_rows);
	}
}

void ay__base_index_sort(struct ay__base_index *x)
{
	size_t kept = 0;

	sort_rows(x->rows, x->n);
	for (size_t i = 0; i < x->n; i++) {
		if (kept == 0 || cmp_rows(&x->rows[kept - 1], &x->rows[i]) != 0)
			x->rows[kept++] = x->rows[i];
	}
	x->n = kept;
	x->sorted = true;
}

void ay__base_index_release(struct ay__base_index *x)
{
	free(x->rows);
	memset(x, 0, sizeof(*x));
}

static bool is_of(const struct ay__base_row *row, const struct ay_digest *d)
{
	return memcmp(row->prefix, d->b, sizeof(row->prefix)) == 0;
}

/* The first row that is not below @d. */
static size_t lower_bound(const struct ay__base_index *x, const struct ay_digest *d)
{
	size_t low = 0, high = x->n;

	AY_ASSERT(x->sorted || x->n == 0);
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (memcmp(x->rows[mid].prefix, d->b, sizeof(x->rows[mid].prefix)) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

bool ay__base_index_has(const struct ay__base_index *x, const struct ay_digest *d,
			const uint8_t v[AY__VARIANT_LEN])
{
	for (size_t i = lower_bound(x, d); i < x->n && is_of(&x->rows[i], d); i++) {
		if (memcmp(x->rows[i].variant, v, AY__VARIANT_LEN) == 0)
			return true;
	}
	return false;
}

int ay__base_index_open(const struct ay__base_index *x, struct ay_store *s, const struct ay_digest *d)
{
	return ay__base_index_open_in(x, s->objects, d);
}

int ay__base_index_open_in(const struct ay__base_index *x, int objects, const struct ay_digest *d)
{
	int r = -ENOENT;

	for (size_t i = lower_bound(x, d); i < x->n && is_of(&x->rows[i], d); i++) {
		struct ay__object_name name;
		ay__object_name(d, x->rows[i].variant, &name);
		r = ay__open_beneath(objects, name.s, O_RDONLY);
		if (r != -ENOENT)
			return r;
	}
	return r;
}
