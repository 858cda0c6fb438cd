/* SPDX-License-Identifier: MIT */
/* RFC 6206 rule by rule; and how many messages a room of n nodes sends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/bucket.h"
#include "proto/trickle.h"

#define S UINT64_C(1000000000)

static void start(struct ay_trickle *t, struct ay_prng *r, unsigned k)
{
	ay_prng_init(r, 5);
	ay_trickle_start(t, 100 * S, S, 16 * S, k, 4, r);
}

/* Rule 2: t lies in [I/2, I). */
static void test_fires_in_second_half(void **state)
{
	struct ay_trickle t;
	struct ay_prng r;

	(void)state;
	start(&t, &r, 1);
	for (unsigned i = 0; i < 200; i++) {
		assert_in_range(t.fire_ns, t.start_ns + t.interval_ns / 2, t.start_ns + t.interval_ns - 1);
		assert_true(ay_trickle_run(&t, ay_trickle_next(&t), 4, &r));
		assert_false(ay_trickle_run(&t, ay_trickle_next(&t), 4, &r));
	}
}

/* Rule 5: the interval doubles up to Imax. */
static void test_doubles(void **state)
{
	struct ay_trickle t;
	struct ay_prng r;
	uint64_t want = S;

	(void)state;
	start(&t, &r, 1);
	for (unsigned i = 0; i < 8; i++) {
		assert_int_equal(t.interval_ns, want);
		ay_trickle_run(&t, t.start_ns + t.interval_ns, 4, &r);
		want = want * 2 < 16 * S ? want * 2 : 16 * S;
	}
}

/* Rule 4: k consistent messages suppress, k - 1 do not. */
static void test_suppresses(void **state)
{
	struct ay_trickle t;
	struct ay_prng r;

	(void)state;
	start(&t, &r, 2);
	ay_trickle_hear(&t);
	assert_true(ay_trickle_run(&t, t.fire_ns, 4, &r));
	ay_trickle_run(&t, t.start_ns + t.interval_ns, 4, &r);
	ay_trickle_hear(&t);
	ay_trickle_hear(&t);
	assert_false(ay_trickle_run(&t, t.fire_ns, 4, &r));
	/* The next interval counts anew. */
	ay_trickle_run(&t, t.start_ns + t.interval_ns, 4, &r);
	assert_true(ay_trickle_run(&t, t.fire_ns, 4, &r));
}

/* Rule 6: back to Imin; and nothing happens when it is there already. */
static void test_resets(void **state)
{
	struct ay_trickle t;
	struct ay_prng r;

	(void)state;
	start(&t, &r, 1);
	uint64_t fire = t.fire_ns;
	ay_trickle_reset(&t, 100 * S, 4, &r);
	assert_int_equal(t.fire_ns, fire);
	for (unsigned i = 0; i < 5; i++)
		ay_trickle_run(&t, t.start_ns + t.interval_ns, 4, &r);
	ay_trickle_reset(&t, t.start_ns + 1, 4, &r);
	assert_int_equal(t.interval_ns, S);
	assert_int_equal(t.heard, 0);
}

static void test_limits(void **state)
{
	struct ay_trickle t;
	struct ay_prng r;

	(void)state;
	start(&t, &r, 1);
	for (unsigned i = 0; i < 8; i++)
		ay_trickle_run(&t, t.start_ns + t.interval_ns, 4, &r);
	uint64_t now = t.start_ns + 3;
	ay_trickle_limits(&t, now, 4 * S, 3, 4, &r);
	assert_int_equal(t.interval_ns, 4 * S);
	assert_true(ay_trickle_next(&t) < now + 4 * S);
	assert_int_equal(t.k, 3);
}

/* Who slept through a hundred intervals speaks once, not a hundred times. */
static void test_sleeper(void **state)
{
	struct ay_trickle t;
	struct ay_prng r;

	(void)state;
	start(&t, &r, 1);
	uint64_t late = 100 * S + 1600 * S;
	assert_true(ay_trickle_run(&t, late, 4, &r));
	assert_false(ay_trickle_run(&t, late, 4, &r));
	assert_true(ay_trickle_next(&t) > late);
}

/*
 * The point of it all: messages per interval do not grow with the room. With k and in step, at most k
 * and hardly ever more than a few speak; here delivery is instant.
 */
static unsigned sent_in_room(unsigned n, uint64_t seed, uint64_t until_ns)
{
	struct ay_trickle t[64];
	struct ay_prng r[64];
	unsigned sent = 0;
	uint64_t now = 0;

	for (unsigned i = 0; i < n; i++) {
		ay_prng_init(&r[i], seed + i);
		ay_trickle_start(&t[i], 0, S, 16 * S, 2, n, &r[i]);
	}
	while (now < until_ns) {
		unsigned next = 0;
		for (unsigned i = 1; i < n; i++)
			if (ay_trickle_next(&t[i]) < ay_trickle_next(&t[next]))
				next = i;
		now = ay_trickle_next(&t[next]);
		if (!ay_trickle_run(&t[next], now, n, &r[next]))
			continue;
		sent++;
		for (unsigned i = 0; i < n; i++)
			if (i != next)
				ay_trickle_hear(&t[i]);
	}
	return sent;
}

static void test_room(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed < 6; seed++) {
		unsigned few = sent_in_room(4, seed * 100, 600 * S);
		unsigned many = sent_in_room(64, seed * 100, 600 * S);
		/* 41 intervals in step. */
		assert_in_range(few, 40, 100);
		assert_in_range(many, 40, 100);
	}
}

static void test_bucket(void **state)
{
	struct ay_bucket b;
	unsigned got = 0;

	(void)state;
	ay_bucket_init(&b, 10 * S, 8, 2 * S);
	while (ay_bucket_take(&b, 10 * S))
		got++;
	assert_int_equal(got, 8);
	assert_false(ay_bucket_take(&b, 12 * S - 1));
	assert_true(ay_bucket_take(&b, 12 * S));
	assert_false(ay_bucket_take(&b, 12 * S));
	/* A long rest fills it, not more. */
	for (got = 0; ay_bucket_take(&b, 10000 * S);)
		got++;
	assert_int_equal(got, 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fires_in_second_half),
		cmocka_unit_test(test_doubles),
		cmocka_unit_test(test_suppresses),
		cmocka_unit_test(test_resets),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_sleeper),
		cmocka_unit_test(test_room),
		cmocka_unit_test(test_bucket),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
