/* SPDX-License-Identifier: MIT */
/* The numbers are xoshiro256**'s, repeat by seed, and are spread as promised. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "base/prng.h"

/* First numbers of the published algorithms, computed by another program from their definition. */
static void test_known(void **state)
{
	(void)state;
	struct ay_prng r = {{1, 2, 3, 4}};
	static const uint64_t want[] = {11520u, 0u, 1509978240u, 1215971899390074240u};
	for (int i = 0; i < 4; i++)
		assert_true(ay_prng_next(&r) == want[i]);
	/* splitmix64 from 0 fills the state. */
	ay_prng_init(&r, 0);
	assert_true(r.s[0] == 0xe220a8397b1dcdafu && r.s[1] == 0x6e789e6aa1b965f4u);
	assert_true(r.s[2] == 0x06c45d188009454fu && r.s[3] == 0xf88bb8a8724c81ecu);
}

static void test_repeats(void **state)
{
	(void)state;
	struct ay_prng a, b, c;
	ay_prng_init(&a, 42);
	ay_prng_init(&b, 42);
	ay_prng_init(&c, 43);
	int same = 0;
	for (int i = 0; i < 1000; i++) {
		uint64_t v = ay_prng_next(&a);
		assert_true(v == ay_prng_next(&b));
		same += v == ay_prng_next(&c);
	}
	assert_int_equal(same, 0);
}

static void test_below(void **state)
{
	(void)state;
	struct ay_prng r;
	ay_prng_init(&r, 1);
	for (int i = 0; i < 100; i++)
		assert_true(ay_prng_below(&r, 1) == 0);
	unsigned count[7] = {0};
	for (int i = 0; i < 70000; i++)
		count[ay_prng_below(&r, 7)]++;
	for (int i = 0; i < 7; i++)
		assert_in_range(count[i], 9600, 10400); /* 4 standard deviations */
	/* 3/4 of the range: with a plain modulo the lower third would come twice as often. */
	uint64_t n = (uint64_t)3 << 62, third = (uint64_t)1 << 62;
	unsigned low = 0;
	for (int i = 0; i < 30000; i++) {
		uint64_t v = ay_prng_below(&r, n);
		assert_true(v < n);
		low += v < third;
	}
	assert_in_range(low, 9650, 10350);
}

static void test_unit(void **state)
{
	(void)state;
	struct ay_prng r;
	ay_prng_init(&r, 2);
	double sum = 0;
	for (int i = 0; i < 100000; i++) {
		double u = ay_prng_unit(&r);
		assert_true(u >= 0 && u < 1);
		sum += u;
	}
	assert_true(fabs(sum / 100000 - 0.5) < 0.004);
}

/* Share of draws below max / 2 against (exp(lambda / 2) - 1) / (exp(lambda) - 1). */
static void test_truncated_exp(void **state)
{
	(void)state;
	struct ay_prng r;
	ay_prng_init(&r, 3);
	static const double lambdas[] = {0, 1e-12, 0.5, 3, 10};
	for (int k = 0; k < 5; k++) {
		double lambda = lambdas[k];
		double want = lambda > 1e-9 ? expm1(lambda / 2) / expm1(lambda) : 0.5;
		int low = 0;
		for (int i = 0; i < 50000; i++) {
			double x = ay_prng_truncated_exp(&r, 8, lambda);
			assert_true(x >= 0 && x < 8);
			low += x < 4;
		}
		assert_true(fabs(low / 50000.0 - want) < 0.01);
	}
	double least = 1; /* a steepness out of exp()'s range still draws, and below the maximum */
	for (int i = 0; i < 10000; i++) {
		double x = ay_prng_truncated_exp(&r, 1e-3, 1e9);
		assert_true(x >= 0 && x < 1e-3);
		least = fmin(least, x);
	}
	assert_true(least < 0.999e-3);
	assert_true(ay_prng_truncated_exp(&r, 0, 5) == 0);
	assert_true(ay_prng_truncated_exp(&r, -1, 5) == 0);
}

/* What it is for: of 1000 drawers about a handful come before one announcement's time has passed. */
static void test_few_are_early(void **state)
{
	(void)state;
	struct ay_prng r;
	ay_prng_init(&r, 4);
	double early = 0;
	for (int round = 0; round < 200; round++) {
		double first = 1;
		double drawn[1000];
		for (int i = 0; i < 1000; i++) {
			drawn[i] = ay_prng_truncated_exp(&r, 1, log(1000) + 1);
			first = fmin(first, drawn[i]);
		}
		for (int i = 0; i < 1000; i++)
			early += drawn[i] < first + 0.05;
	}
	early /= 200; /* uniform drawers: about 51 */
	assert_true(early > 1 && early < 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known),         cmocka_unit_test(test_repeats),
		cmocka_unit_test(test_below),         cmocka_unit_test(test_unit),
		cmocka_unit_test(test_truncated_exp), cmocka_unit_test(test_few_are_early),
	};
	return cmocka_run_group_tests_name("prng", tests, NULL, NULL);
}
