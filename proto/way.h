/* SPDX-License-Identifier: MIT */
/*
 * proto/way.h - from tables to a plan: what plan.c is asked, and what its answer means here.
 */
#ifndef AYNI_PROTO_WAY_H
#define AYNI_PROTO_WAY_H

#include "proto/core_state.h"

struct ay__way {
	int offer;   /* whose bundle to collect now */
	int release; /* that applying it makes */
	uint32_t target_serial;
	unsigned steps;
};
/* May the tree of @r be made on the way to @b's head? */
bool ay__way_may_pass(const struct ay_core *c, const struct ay__branch *b, const struct ay__release *r);
/* Is the tree with @manifest on our disk, so that a bundle may start from it? */
bool ay__way_starts(const struct ay__branch *b, const struct ay_digest *manifest);
/* What we have is going to be replaced by @serial, but stays on the disk until the store is read again. */
void ay__way_left(struct ay__branch *b, uint32_t serial);
/** ay__way_missing() - bytes of the bundle of @o that are not here. */
uint64_t ay__way_missing(const struct ay_core *c, const struct ay__offer *o);

/* False: none is known, or memory is out (noted). Also notes which trees are of interest. */
bool ay__way_find(struct ay_core *c, struct ay__branch *b, struct ay__way *way);
/* There is none: why, in words for the owner. */
void ay__way_none_text(struct ay_core *c, struct ay__branch *b, char *text, size_t size);

#endif
