/* SPDX-License-Identifier: MIT */
/*
 * The medium's ground: one heap of events, on which links.c (sessions) and stations.c (time, stations) stand.
 */
#include "sim/medium_internal.h"

#include <stdlib.h>

#include "base/error.h"

struct ay__net_event *ay__net_push(struct ay_medium *m, enum ay__net_kind kind, uint64_t at_ns)
{
	struct ay__net_event *e = calloc(1, sizeof(*e));

	AY_ASSERT(e);
	e->kind = kind;
	e->at_ns = at_ns > m->now ? at_ns : m->now;
	ay_heap_push(&m->heap, e->at_ns, e);
	return e;
}
