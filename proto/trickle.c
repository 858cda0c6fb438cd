/* SPDX-License-Identifier: MIT */
/*
 * Trickle, RFC 6206 section 4.2, as a value: rules 1 to 6 are the functions below.
 */
#include "proto/trickle.h"

#include <math.h>

static void begin(struct ay_trickle *t, uint64_t start_ns, unsigned speakers, struct ay_prng *prng)
{
	double half = (double)t->interval_ns / 2;
	double offset;

	if (t->age < AY_TRICKLE_EARLY)
		offset = ay_prng_truncated_exp(prng, half, log((double)(speakers ? speakers : 1)) + 1);
	else
		offset = ay_prng_unit(prng) * half;
	/* Rule 2: c is 0, t lies in [I/2, I). */
	t->start_ns = start_ns;
	t->heard = 0;
	t->fire_ns = start_ns + t->interval_ns / 2 + (uint64_t)offset;
}

void ay_trickle_start(struct ay_trickle *t, uint64_t now_ns, uint64_t imin_ns, uint64_t imax_ns, unsigned k,
		      unsigned speakers, struct ay_prng *prng)
{
	*t = (struct ay_trickle){
		.imin_ns = imin_ns, .imax_ns = imax_ns, .k = k, .interval_ns = imin_ns, .running = true};
	begin(t, now_ns, speakers, prng);
}

void ay_trickle_limits(struct ay_trickle *t, uint64_t now_ns, uint64_t imax_ns, unsigned k, unsigned speakers,
		       struct ay_prng *prng)
{
	t->imax_ns = imax_ns;
	t->k = k;
	if (t->running && t->interval_ns > imax_ns) {
		t->interval_ns = imax_ns;
		begin(t, now_ns, speakers, prng);
	}
}

void ay_trickle_hear(struct ay_trickle *t)
{
	t->heard++;
}

void ay_trickle_reset(struct ay_trickle *t, uint64_t now_ns, unsigned speakers, struct ay_prng *prng)
{
	t->age = 0;
	if (!t->running || t->interval_ns == t->imin_ns)
		return;
	t->interval_ns = t->imin_ns;
	begin(t, now_ns, speakers, prng);
}

uint64_t ay_trickle_next(const struct ay_trickle *t)
{
	if (!t->running)
		return UINT64_MAX;
	return t->fire_ns != UINT64_MAX ? t->fire_ns : t->start_ns + t->interval_ns;
}

bool ay_trickle_run(struct ay_trickle *t, uint64_t now_ns, unsigned speakers, struct ay_prng *prng)
{
	bool transmit = false;

	if (!t->running)
		return false;
	/* Rule 4. */
	if (t->fire_ns <= now_ns) {
		transmit = t->heard < t->k;
		t->fire_ns = UINT64_MAX;
	}
	/* Rule 5. Who slept through several intervals starts the next one now, as after one. */
	if (now_ns - t->start_ns >= t->interval_ns) {
		uint64_t end = t->start_ns + t->interval_ns;
		t->interval_ns = t->interval_ns < t->imax_ns / 2 ? t->interval_ns * 2 : t->imax_ns;
		t->age++;
		begin(t, now_ns - end < t->interval_ns / 2 ? end : now_ns, speakers, prng);
	}
	return transmit;
}
