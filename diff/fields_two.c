/* SPDX-License-Identifier: MIT */
/*
 * diff/fields_two.c - instructions of a large section, in two threads.
 *
 * Where an instruction begins is known only from the one before. But whoever begins anywhere is soon in step with whoever began
 * right. So a second thread begins in the middle, and marks nothing until it has gone on for a while; the first one goes on behind the middle to just
 * there. If both stand at the same byte then, the second one was in step, and from there on everything is as if there were one thread.
 * If not (data made to look so), the caller begins anew without a second thread.
 *
 * A byte that code points at is marked from either half; a field over it wins, whichever comes first (diff/field.c). So the order
 * of the two does not matter.
 */
#include <pthread.h>

#include "diff/fields_parts.h"

#define LARGE   (128u << 10) /* what is smaller is done before a thread has begun */
#define IN_STEP 4096         /* bytes: compilers' code takes a few tens */

struct half {
	struct ay__source *src;
	struct ay__elf elf; /* its own look-ups; what it points at is shared and stays as it is */
	const struct ay__elf_section *s;
	struct ay__fields *f;
	uint64_t middle, from; /* @from: where it was at middle + IN_STEP */
};

static void *second_half(void *arg)
{
	struct half *h = arg;

	h->from = ay__fields_x86_walk(h->src, &h->elf, h->s, NULL, h->middle, h->middle + IN_STEP);
	ay__fields_x86_walk(h->src, &h->elf, h->s, h->f, h->from, h->s->size);
	return NULL;
}

bool ay__fields_x86(struct ay__source *src, struct ay__source *second, struct ay__elf *elf,
		    const struct ay__elf_section *s, struct ay__fields *f)
{
	struct half h = {.src = second, .elf = *elf, .s = s, .f = f, .middle = s->size / 2};
	pthread_t thread;

	if (!second || s->size < LARGE || pthread_create(&thread, NULL, second_half, &h) != 0) {
		ay__fields_x86_walk(src, elf, s, f, 0, s->size);
		return true;
	}
	uint64_t at = ay__fields_x86_walk(src, elf, s, f, 0, h.middle + IN_STEP);
	pthread_join(thread, NULL);
	if (src->rc == 0)
		src->rc = second->rc;
	return at == h.from || src->rc != 0;
}
