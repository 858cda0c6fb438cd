/* SPDX-License-Identifier: MIT */
/*
 * sim/heap.h - what comes next: things ordered by (time, sequence).
 *
 * A binary heap. Of equal times what was pushed first comes first, so that the order of events never
 * depends on the heap's shape.
 */
#ifndef AYNI_SIM_HEAP_H
#define AYNI_SIM_HEAP_H

#include <stddef.h>
#include <stdint.h>

struct ay_heap_entry {
	uint64_t at_ns, seq;
	void *what;
};

/* Zero-initialise; release with ay_heap_release(). */
struct ay_heap {
	struct ay_heap_entry *list;
	size_t n, cap;
	uint64_t seq;
};

/** ay_heap_push() - @what stays the caller's; not NULL. */
void ay_heap_push(struct ay_heap *h, uint64_t at_ns, void *what);
/** ay_heap_pop() - the earliest; NULL: it is empty. */
void *ay_heap_pop(struct ay_heap *h);
/** ay_heap_release() - what is still in it is not freed. */
void ay_heap_release(struct ay_heap *h);

#endif
