/* SPDX-License-Identifier: MIT */
/* Stories of a laptop that lost a part of its tree: bundles that lead to it are fetched for what is in them, and applied they are not. */
#include "tests/story/proto/story.h"

#include <stdio.h>
#include <string.h>

#define B "xo/stable"

static const struct ay_branch_status *branch_of(struct story *s, unsigned node)
{
	return &node_status(s->c, node)->branches[0];
}

static void fetch(struct story *s, unsigned node, uint32_t serial)
{
	cluster_clear_trace(s->c);
	ay_fakenode_fetch(cluster_node(s->c, node), B, &published(&s->p, serial)->manifest);
}

/* All are at 2, by the bundle from 1, which is kept; the school has one from nothing, too. */
static void begin(struct story *s, unsigned laptops)
{
	story_begin(s, laptops);
	story_settle(s);
	story_publish(s, 1, 2, 12);
	assert_true(wait_all_current(s->c, 2, 60));
	publisher_bundle(&s->p, 0, 2, 30 * AY_BLOCK_SIZE);
	cluster_publish(s->c, s->school);
	cluster_run(s->c, 30 * SECOND);
}

static void test_the_one_from_nothing(void **state)
{
	struct story s;

	(void)state;
	begin(&s, 3);
	fetch(&s, s.laptops[0], 2);
	cluster_run(s.c, 20 * SECOND);
	expect_trace(&s, s.laptops[0], "fetch plan update",
		     "update xo/stable: idle -> searching (a bundle is wanted for what is in it)\n"
		     "plan xo/stable: 2 -> 2 by bundle 5ed6fb94 of 1966080 bytes from a school\n"
		     "update xo/stable: searching -> opening (begin the bundle)\n"
		     "update xo/stable: opening -> collecting (collect its blocks)\n"
		     "update xo/stable: collecting -> finishing (all blocks are had)\n"
		     "fetch xo/stable: bundle 5ed6fb94 is here\n"
		     "update xo/stable: finishing -> idle (what was wanted is here)\n");
	assert_int_equal(branch_of(&s, s.laptops[0])->fetched, 1);
	assert_false(branch_of(&s, s.laptops[0])->fetching);
	/* There is no further one: given up after a minute, and all is as before. */
	fetch(&s, s.laptops[0], 2);
	cluster_run(s.c, 50 * SECOND);
	assert_true(branch_of(&s, s.laptops[0])->fetching);
	cluster_run(s.c, 30 * SECOND);
	assert_false(branch_of(&s, s.laptops[0])->fetching);
	assert_int_equal(branch_of(&s, s.laptops[0])->fetched, 1);
	assert_int_equal(branch_of(&s, s.laptops[0])->phase, AY_PHASE_IDLE);
	/* Another laptop gets it from the first, which is the cheaper one to ask. */
	cluster_stop(s.c, s.school, AY_END_POWER);
	fetch(&s, s.laptops[1], 2);
	cluster_run(s.c, 30 * SECOND);
	assert_int_equal(branch_of(&s, s.laptops[1])->fetched, 1);
	assert_int_equal(branch_of(&s, s.laptops[1])->have_serial, 2);
	story_end(&s, false);
}

/* The next release comes all the same, behind what was lost or before. */
static void test_an_update_comes_between(void **state)
{
	struct story s;

	(void)state;
	begin(&s, 2);
	cluster_rate(s.c, s.school, 200000);
	fetch(&s, s.laptops[0], 2);
	cluster_run(s.c, 4 * SECOND);
	story_publish(&s, 2, 3, 8);
	assert_true(wait_all_current(s.c, 3, 120));
	assert_int_equal(branch_of(&s, s.laptops[0])->fetched, 1);
	story_end(&s, false);
}

/* A tree that nobody signed, or that is not wanted any more. */
static void test_not_wanted(void **state)
{
	const struct ay_digest nobodys = {{1, 2, 3}};
	struct story s;

	(void)state;
	begin(&s, 1);
	ay_fakenode_fetch(cluster_node(s.c, s.laptops[0]), B, &nobodys);
	cluster_run(s.c, SECOND);
	assert_false(branch_of(&s, s.laptops[0])->fetching);
	cluster_rate(s.c, s.school, 100000);
	fetch(&s, s.laptops[0], 2);
	cluster_run(s.c, 5 * SECOND);
	assert_int_equal(branch_of(&s, s.laptops[0])->phase, AY_PHASE_COLLECTING);
	ay_fakenode_fetch(cluster_node(s.c, s.laptops[0]), B, &(struct ay_digest){{0}});
	cluster_run(s.c, SECOND);
	assert_int_equal(branch_of(&s, s.laptops[0])->phase, AY_PHASE_IDLE);
	assert_int_equal(branch_of(&s, s.laptops[0])->fetched, 0);
	story_end(&s, false);
}

/* Bundles from nothing are rare: what leads to the tree is here or comes, and then it goes back from tree to tree, to the one from nothing. */
static void test_back_along_the_chain(void **state)
{
	struct story s;
	char want[64], hex[AY_DIGEST_HEX + 1];

	(void)state;
	story_begin(&s, 1);
	story_settle(&s);
	const struct published_bundle *b = publisher_bundle(&s.p, 0, 1, 30 * AY_BLOCK_SIZE);
	snprintf(want, sizeof(want), "fetch xo/stable: bundle %.8s is here\n",
		 ay_digest_hex(&b->digest, hex));
	cluster_publish(s.c, s.school);
	for (uint32_t serial = 2; serial <= 4; serial++) {
		story_publish(&s, serial - 1, serial, 3);
		assert_true(wait_all_current(s.c, serial, 60));
	}
	cluster_clear_trace(s.c);
	unsigned n = 0;
	for (; n < 4 && !strstr(trace_of(s.c, s.laptops[0], "fetch"), want); n++) {
		ay_fakenode_fetch(cluster_node(s.c, s.laptops[0]), B, &published(&s.p, 4)->manifest);
		cluster_run(s.c, 20 * SECOND);
		assert_int_equal(branch_of(&s, s.laptops[0])->fetched, n + 1);
	}
	if (!strstr(trace_of(s.c, s.laptops[0], "fetch"), want))
		fail_msg("the one from nothing did not come: %s", trace_of(s.c, s.laptops[0], "fetch plan"));
	/* Behind it there is nothing. */
	fetch(&s, s.laptops[0], 4);
	cluster_run(s.c, 80 * SECOND);
	assert_int_equal(branch_of(&s, s.laptops[0])->fetched, n);
	assert_false(branch_of(&s, s.laptops[0])->fetching);
	assert_int_equal(branch_of(&s, s.laptops[0])->have_serial, 4);
	story_end(&s, true);
}

/* Another tree's wish does not take over what is under way. */
static void test_one_tree_at_a_time(void **state)
{
	struct story s;

	(void)state;
	begin(&s, 1);
	cluster_rate(s.c, s.school, 200000);
	fetch(&s, s.laptops[0], 2);
	cluster_run(s.c, 4 * SECOND);
	assert_true(ay_digest_eq(&branch_of(&s, s.laptops[0])->fetch, &published(&s.p, 2)->manifest));
	fetch(&s, s.laptops[0], 1);
	cluster_run(s.c, SECOND);
	assert_true(ay_digest_eq(&branch_of(&s, s.laptops[0])->fetch, &published(&s.p, 2)->manifest));
	cluster_run(s.c, 60 * SECOND);
	assert_int_equal(branch_of(&s, s.laptops[0])->fetched, 1);
	assert_int_equal(branch_of(&s, s.laptops[0])->fetched_bytes, 30 * AY_BLOCK_SIZE);
	story_end(&s, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_one_from_nothing), cmocka_unit_test(test_an_update_comes_between),
		cmocka_unit_test(test_not_wanted),           cmocka_unit_test(test_back_along_the_chain),
		cmocka_unit_test(test_one_tree_at_a_time),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
