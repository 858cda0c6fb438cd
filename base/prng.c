/* SPDX-License-Identifier: MIT */
/*
 * Random numbers that a seed repeats on every machine: integers to the last bit,
 * and the exponential as far as the machine's logarithm agrees.
 */
#include "base/prng.h"

#include <math.h>

#include "base/error.h"

#define LAMBDA_MAX 700.0 /* exp() overflows a double a little above */

static uint64_t rotl(uint64_t x, int k)
{
	return x << k | x >> (64 - k);
}

/* splitmix64: spreads a small seed over the whole state, which must not be all zero. */
static uint64_t splitmix64(uint64_t *x)
{
	uint64_t z = *x += 0x9e3779b97f4a7c15u;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

void ay_prng_init(struct ay_prng *r, uint64_t seed)
{
	for (int i = 0; i < 4; i++)
		r->s[i] = splitmix64(&seed);
}

uint64_t ay_prng_next(struct ay_prng *r)
{
	uint64_t *s = r->s, out = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotl(s[3], 45);
	return out;
}

uint64_t ay_prng_below(struct ay_prng *r, uint64_t n)
{
	AY_ASSERT(n > 0);
	/* Throw away the lowest 2^64 mod n values: what remains is a whole number of rounds. */
	uint64_t lowest = -n % n, v;
	do {
		v = ay_prng_next(r);
	} while (v < lowest);
	return v % n;
}

double ay_prng_unit(struct ay_prng *r)
{
	return (double)(ay_prng_next(r) >> 11) * 0x1.0p-53;
}

/*
 * Nonnenmacher and Biersack, "Optimal multicast feedback", 1998: density
 * proportional to exp(lambda * x / max), drawn by inverting the distribution
 * (exp(lambda * x / max) - 1) / (exp(lambda) - 1). Lambda 0 is uniform.
 */
double ay_prng_truncated_exp(struct ay_prng *r, double max, double lambda)
{
	double u = ay_prng_unit(r);

	if (!(max > 0))
		return 0;
	if (lambda > LAMBDA_MAX)
		lambda = LAMBDA_MAX;
	double x = lambda > 1e-9 ? log1p(u * expm1(lambda)) / lambda : u;
	x *= max;
	return x < max ? x : nextafter(max, 0);
}
