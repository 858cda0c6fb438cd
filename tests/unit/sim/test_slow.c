/* SPDX-License-Identifier: MIT */
/* Rooms on slow air: what a laptop gets of what it needs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sim/run.h"

#define SLOW_ROOMS      12
#define SLOW_COPIES_MAX 1.22

/*
 * A channel of 1 Mbit/s, on which a block to each of six takes seconds: nobody takes what is on its way for lost and asks another for it. Twelve
 * rooms, about what `make demo` promises of each laptop.
 */
static double slow_room(uint64_t seed, bool no_parts)
{
	struct ay_run_config c = {.seed = seed, .calm = true, .slow = true, .no_parts = no_parts};
	struct ay_run_result r;

	ay_run(&c, &r);
	if (!r.ok)
		print_error("seed %u: %s: %s\n", (unsigned)seed, r.node, r.broken);
	assert_true(r.ok);
	return r.laptop_copies;
}

static void test_slow_links_carry_little_in_vain(void **state)
{
	double with = 0, without = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= SLOW_ROOMS; seed++) {
		double copies = slow_room(seed, false);
		if (copies < 1.0 || copies > SLOW_COPIES_MAX)
			print_error("seed %u: %.3f copies\n", (unsigned)seed, copies);
		assert_true(copies >= 1.0 && copies <= SLOW_COPIES_MAX);
		with += copies;
		without += slow_room(seed, true);
	}
	print_message("a laptop got %.3f bundles; not told of parts of blocks %.3f\n", with / SLOW_ROOMS,
		      without / SLOW_ROOMS);
	assert_true(without > with + 0.3); /* the rule bites */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slow_links_carry_little_in_vain),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
