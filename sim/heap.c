/* SPDX-License-Identifier: MIT */
/*
 * A binary heap in an array: the children of i are 2i + 1 and 2i + 2.
 */
#include "sim/heap.h"

#include <stdbool.h>
#include <stdlib.h>

#include "base/error.h"

static bool before(const struct ay_heap_entry *a, const struct ay_heap_entry *b)
{
	return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->seq < b->seq;
}

void ay_heap_push(struct ay_heap *h, uint64_t at_ns, void *what)
{
	struct ay_heap_entry e = {at_ns, h->seq++, what};
	size_t i = h->n++;

	AY_ASSERT(what);
	if (i == h->cap) {
		h->cap = h->cap ? 2 * h->cap : 1024;
		h->list = reallocarray(h->list, h->cap, sizeof(*h->list));
		AY_ASSERT(h->list);
	}
	for (; i > 0 && before(&e, &h->list[(i - 1) / 2]); i = (i - 1) / 2)
		h->list[i] = h->list[(i - 1) / 2];
	h->list[i] = e;
}

void *ay_heap_pop(struct ay_heap *h)
{
	size_t i = 0, child;

	if (h->n == 0)
		return NULL;
	void *top = h->list[0].what;
	struct ay_heap_entry last = h->list[--h->n];
	while ((child = 2 * i + 1) < h->n) {
		if (child + 1 < h->n && before(&h->list[child + 1], &h->list[child]))
			child++;
		if (!before(&h->list[child], &last))
			break;
		h->list[i] = h->list[child];
		i = child;
	}
	h->list[i] = last;
	return top;
}

void ay_heap_release(struct ay_heap *h)
{
	free(h->list);
	*h = (struct ay_heap){0};
}
