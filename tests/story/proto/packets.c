/* SPDX-License-Identifier: MIT */
/* A binary heap. */
#include "tests/story/proto/packets.h"

#include "base/error.h"

#include <stdlib.h>

static bool earlier(const struct packet *a, const struct packet *b)
{
	return a->at != b->at ? a->at < b->at : a->seq < b->seq;
}

void packets_push(struct packets *h, struct packet p)
{
	if (h->n == h->cap) {
		h->cap = h->cap ? 2 * h->cap : 1024;
		h->heap = realloc(h->heap, h->cap * sizeof(*h->heap));
		AY_ASSERT(h->heap);
	}
	size_t i = h->n++;
	for (; i > 0 && earlier(&p, &h->heap[(i - 1) / 2]); i = (i - 1) / 2)
		h->heap[i] = h->heap[(i - 1) / 2];
	h->heap[i] = p;
}

struct packet packets_pop(struct packets *h)
{
	struct packet top = h->heap[0], last = h->heap[--h->n];
	size_t i = 0;

	for (;;) {
		size_t k = 2 * i + 1;
		if (k >= h->n)
			break;
		if (k + 1 < h->n && earlier(&h->heap[k + 1], &h->heap[k]))
			k++;
		if (!earlier(&h->heap[k], &last))
			break;
		h->heap[i] = h->heap[k];
		i = k;
	}
	h->heap[i] = last;
	return top;
}

uint64_t packets_next(const struct packets *h)
{
	return h->n ? h->heap[0].at : UINT64_MAX;
}

void packets_release(struct packets *h)
{
	while (h->n)
		free(h->heap[--h->n].data);
	free(h->heap);
}
