/* SPDX-License-Identifier: MIT */
/*
 * Power cuts in the lives of stores.
 *
 *     AYNI_CRASH_SEED=n     where to begin (default 1)
 *     AYNI_CRASH_STATES=n   how many states to look at
 *
 * `make crash SEED=n STATES=n` sets them. A state that does not hold prints the command that repeats it. States of one life
 * lie at seeds one after the other; each state depends on its number alone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <stdio.h>

#include "tests/fault/store/life.h"

#ifdef __SANITIZE_ADDRESS__
#define STATES 1200
#else
#define STATES 5000
#endif
#define PER_LIFE 24 /* states that are looked at in one life */

static uint64_t from_env(const char *name, uint64_t otherwise)
{
	const char *v = getenv(name);
	return v && *v ? strtoull(v, NULL, 10) : otherwise;
}

static struct crash_cut cut_of(const struct life *l, uint64_t n, bool *again)
{
	struct crash_cut cut = {0};
	struct ay_prng r;

	ay_prng_init(&r, n);
	cut.at = (uint32_t)ay_prng_below(&r, l->c.calls + 1);
	cut.seed = ay_prng_next(&r);
	cut.flavour = ay_prng_below(&r, 4) == 0 ? CRASH_ORDERED : CRASH_STRICT;
	cut.choice = (enum crash_choice)ay_prng_below(&r, CRASH_SUSPECTS_LOST);
	*again = ay_prng_below(&r, 6) == 0;
	return cut;
}

static void power_is_cut_in_many_lives(void **arg)
{
	uint64_t n = from_env("AYNI_CRASH_SEED", 1), end = n + from_env("AYNI_CRASH_STATES", STATES);
	unsigned lives = 0, kills = 0, failures = 0, steps = 0;
	struct world w;

	(void)arg;
	world_init(&w);
	while (n < end) {
		const uint64_t seed = n / PER_LIFE;
		const struct life_options o = {
			.seed = seed,
			.steps = 6 + (unsigned)(seed % 20),
			.mishaps = seed % 3 ? 3 : 0,
			.links_max = seed % 4 == 0 ? (unsigned)from_env("AYNI_CRASH_LINKS", 4) : 0};
		struct verdict v = {""};
		struct life l;
		if (!life_tell(&l, &w, &o, &v))
			fail_msg(
				"the life of seed %llu itself went wrong: %s\n  repeat: make crash SEED=%llu STATES=1",
				(unsigned long long)n, v.why, (unsigned long long)n);
		for (; n < end && n / PER_LIFE == seed; n++) {
			bool again;
			struct crash_cut cut = cut_of(&l, n, &again);
			if (life_cut(&l, &cut, again, &v))
				continue;
			crash_tell(&l.c.log, &cut);
			life_story(&l);
			fail_msg("state %llu: %s\n  repeat: make crash SEED=%llu STATES=1",
				 (unsigned long long)n, v.why, (unsigned long long)n);
		}
		lives++;
		kills += l.kills;
		failures += l.failures;
		steps += l.n;
		life_release(&l);
	}
	world_release(&w);
	print_message("%u lives of %u steps, %u processes killed, %u syncs failed; all states hold\n", lives,
		      steps, kills, failures);
	assert_true(lives < 8 || (kills > 0 && failures > 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(power_is_cut_in_many_lives)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
