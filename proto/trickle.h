/* SPDX-License-Identifier: MIT */
/*
 * proto/trickle.h - RFC 6206: say it seldom while all agree, soon when something is new.
 *
 *   |<------------- interval I ------------->|
 *   |   listen, at least I/2   |   fire at t  |      I doubles up to Imax; a reset makes it Imin again
 *
 * At t one transmits only if fewer than k consistent messages were heard in this
 * interval. Pure: time, chance and what was heard come in as values.
 *
 * Departure from the RFC: in the first three intervals after a reset t is drawn from
 * a truncated exponential distribution instead of a uniform one, because then all nodes
 * start their intervals at the same instant, and few shall speak and suppress the many.
 */
#ifndef AYNI_PROTO_TRICKLE_H
#define AYNI_PROTO_TRICKLE_H

#include "base/prng.h"

#include <stdbool.h>
#include <stdint.h>

#define AY_TRICKLE_EARLY 3 /* intervals after a reset with the truncated exponential timer */

struct ay_trickle {
	uint64_t imin_ns, imax_ns;
	unsigned k; /* redundancy constant */
	uint64_t start_ns, interval_ns;
	uint64_t fire_ns; /* UINT64_MAX once it has passed in this interval */
	unsigned heard;   /* the RFC's c */
	unsigned age;     /* intervals since the reset */
	bool running;
};

/** ay_trickle_start() - begin with the interval Imin. @speakers: how many are thought to speak, at least 1. */
void ay_trickle_start(struct ay_trickle *t, uint64_t now_ns, uint64_t imin_ns, uint64_t imax_ns, unsigned k,
		      unsigned speakers, struct ay_prng *prng);
/** ay_trickle_limits() - other Imax and k from now on; an interval longer than @imax_ns begins anew with it. */
void ay_trickle_limits(struct ay_trickle *t, uint64_t now_ns, uint64_t imax_ns, unsigned k, unsigned speakers,
		       struct ay_prng *prng);
/** ay_trickle_hear() - a consistent message was heard (RFC 6206 section 4.2 rule 3). */
void ay_trickle_hear(struct ay_trickle *t);
/** ay_trickle_reset() - something is new (rule 6): begin with Imin, unless the interval is Imin already. */
void ay_trickle_reset(struct ay_trickle *t, uint64_t now_ns, unsigned speakers, struct ay_prng *prng);
/** ay_trickle_next() - when ay_trickle_run() has something to do; UINT64_MAX: never. */
uint64_t ay_trickle_next(const struct ay_trickle *t);
/** ay_trickle_run() - let time pass up to @now_ns. True: transmit now (at most once however late the call is). */
bool ay_trickle_run(struct ay_trickle *t, uint64_t now_ns, unsigned speakers, struct ay_prng *prng);

#endif
