/* SPDX-License-Identifier: MIT */
/* A step for which there are several bundles: which is begun, when, and when it is left for another. */
#include "tests/unit/proto/swarm_bench.h"

#include <string.h>

static bool opened(const struct swarm *s, const struct published_bundle *b)
{
	const struct seen *o = first(&s->b, AY_ORDER_OPEN_BUNDLE);

	return o && ay_digest_eq(&o->o.bundle.digest, &b->digest);
}

/* The best may be told last: nothing is begun before the list's end. */
static void test_whole_list(void **state)
{
	(void)state;
	for (unsigned small_first = 0; small_first < 2; small_first++) {
		struct swarm s;
		begin_learning(&s, true);
		const struct published_bundle *small = publisher_bundle(&s.b.p, 1, 2, 4 * AY_BLOCK_SIZE);
		tell_offer(&s, 2, small_first ? small : s.bundle);
		tell_offer(&s, 2, small_first ? s.bundle : small);
		pass(&s.b, 1500 * MS);
		assert_int_equal(count(&s.b, AY_ORDER_OPEN_BUNDLE), 0);
		tell_no_more(&s, 2);
		assert_int_equal(count(&s.b, AY_ORDER_OPEN_BUNDLE), 1);
		assert_true(opened(&s, small));
		end(&s);
	}
}

/* Who never comes to the end of its list is not waited for. */
static void test_list_without_end(void **state)
{
	struct swarm s;

	(void)state;
	begin_learning(&s, true);
	tell_offer(&s, 2, s.bundle);
	pass(&s.b, 2500 * MS);
	assert_int_equal(count(&s.b, AY_ORDER_OPEN_BUNDLE), 1);
	end(&s);
}

/* Nor are many, who come one after the other, each with a list of its own. */
static void test_lists_in_a_row(void **state)
{
	struct swarm s;

	(void)state;
	begin_learning(&s, true);
	for (uint8_t i = 0; i < 5; i++) {
		if (i) {
			struct ay_wire_hello h = hello_of(&s.b, 100 + i, false, 2, 2);
			meet(&s.b, 2 + 2 * i, 10 + i, &h);
		}
		if (i == 4)
			assert_int_equal(count(&s.b, AY_ORDER_OPEN_BUNDLE), 1);
		else
			tell_offer(&s, 2 + 2 * i, s.bundle);
		if (i == 2)
			assert_int_equal(count(&s.b, AY_ORDER_OPEN_BUNDLE), 0);
		pass(&s.b, 1500 * MS);
	}
	end(&s);
}

/* A far smaller bundle that is heard of later is taken instead, unless most of the one that was begun is here. */
static void test_smaller_one_later(void **state)
{
	uint8_t most[4] = {0xff, 0xff, 0xff, 0x03}; /* 6 of 32 are missing */

	(void)state;
	for (unsigned late = 0; late < 2; late++) {
		struct swarm s;
		begin_learning(&s, true);
		const struct published_bundle *small = publisher_bundle(&s.b.p, 1, 2, 4 * AY_BLOCK_SIZE);
		tell_offer(&s, 2, s.bundle);
		pass(&s.b, 2500 * MS);
		assert_true(opened(&s, s.bundle));
		open_bundle(&s, late ? most : NULL);
		clear(&s.b);
		tell_offer(&s, 2, small);
		assert_int_equal(opened(&s, small), !late);
		end(&s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole_list),
		cmocka_unit_test(test_list_without_end),
		cmocka_unit_test(test_lists_in_a_row),
		cmocka_unit_test(test_smaller_one_later),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
