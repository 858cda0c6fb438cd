/* SPDX-License-Identifier: MIT */
/*
 * base/prng.h - reproducible random numbers (xoshiro256**, seeded by splitmix64).
 *
 * The core and the simulator draw from here, never from the system: the seed
 * comes in as a value. Not for keys or nonces.
 * Source: Blackman and Vigna, "Scrambled linear pseudorandom number generators", 2021.
 */
#ifndef AYNI_BASE_PRNG_H
#define AYNI_BASE_PRNG_H

#include <stdint.h>

struct ay_prng {
	uint64_t s[4];
};

void ay_prng_init(struct ay_prng *r, uint64_t seed);
uint64_t ay_prng_next(struct ay_prng *r);
/** ay_prng_below() - uniform in [0, @n), @n > 0, without modulo bias. */
uint64_t ay_prng_below(struct ay_prng *r, uint64_t n);
/** ay_prng_unit() - uniform in [0, 1). */
double ay_prng_unit(struct ay_prng *r);
/**
 * ay_prng_truncated_exp() - in [0, @max), density rising exponentially: of many drawers few draw small
 * values.
 * @lambda: steepness; 0 is uniform. About ln(number of drawers) + 1 makes the smallest of them one or few.
 */
double ay_prng_truncated_exp(struct ay_prng *r, double max, double lambda);

#endif
