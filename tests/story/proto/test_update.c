/* SPDX-License-Identifier: MIT */
/* Stories in which all goes well. The expected trace, line by line, is the test. */
#include "tests/story/proto/story.h"

#include <stdlib.h>
#include <string.h>

/* Three laptops hear of release 2 and take it from the school and from each other. */
static void test_first_update(void **state)
{
	struct story s;

	(void)state;
	story_begin(&s, 3);
	story_settle(&s);
	const struct published_bundle *b = story_publish(&s, 1, 2, 40);
	assert_true(wait_all_current(s.c, 2, 20));
	expect_trace(&s, s.laptops[0], "learn plan swarm update",
		     "learn xo/stable: idle -> release (a new head)\n"
		     "update xo/stable: idle -> searching (a newer release)\n"
		     "learn xo/stable: release -> storing (release verified)\n"
		     "learn xo/stable: storing -> idle (release stored)\n"
		     "plan xo/stable: 1 -> 2 by bundle 718818cb of 2621340 bytes from a school\n"
		     "update xo/stable: searching -> opening (begin the bundle)\n"
		     "swarm bundle 718818cb: 0 of 40 blocks are here\n"
		     "update xo/stable: opening -> collecting (collect its blocks)\n"
		     "swarm bundle 718818cb: all 40 blocks are had\n"
		     "update xo/stable: collecting -> finishing (all blocks are had)\n"
		     "update xo/stable: finishing -> applying (all is here)\n"
		     "update xo/stable: now at 2\n"
		     "update xo/stable: applying -> idle (applied)\n");
	expect_trace(&s, s.school, "learn plan update", "");
	assert_true(school_copies(&s, b) <= 1.2);
	story_end(&s, false);
}

/* However many start at the same moment, and however small the bundle: the school sends little more than once. */
static void test_few_copies(void **state)
{
	const struct {
		unsigned laptops, blocks;
		double most;
	} rooms[] = {{1, 40, 1.0}, {2, 20, 1.3}, {6, 100, 1.15}, {6, 10, 1.5}, {6, 2, 1.5}, {25, 60, 1.3}};

	(void)state;
	for (unsigned i = 0; i < sizeof(rooms) / sizeof(rooms[0]); i++) {
		struct story s;
		story_begin(&s, rooms[i].laptops);
		story_settle(&s);
		const struct published_bundle *b = story_publish(&s, 1, 2, rooms[i].blocks);
		assert_true(wait_all_current(s.c, 2, 60));
		assert_true(school_copies(&s, b) >= 1.0);
		assert_true(school_copies(&s, b) <= rooms[i].most);
		story_end(&s, rooms[i].laptops > 10);
	}
}

/* Who comes later is served by the laptops. */
static void test_late_joiner(void **state)
{
	struct story s;

	(void)state;
	story_begin(&s, 4);
	for (unsigned i = 0; i < s.n; i++)
		cluster_start(s.c, i);
	cluster_run(s.c, 10 * SECOND);
	const struct published_bundle *b = story_publish(&s, 1, 2, 40);
	assert_true(wait_all_current(s.c, 2, 20));
	uint64_t before = block_bytes_sent(s.c, s.school);
	cluster_run(s.c, 600 * SECOND);
	cluster_start(s.c, s.laptops[3]);
	assert_true(wait_all_current(s.c, 2, 20));
	assert_true(block_bytes_sent(s.c, s.school) - before < b->size / 4);
	story_end(&s, false);
}

/* No bundle leads from 1 to 3, but one to 2 and one from there. */
static void test_chain(void **state)
{
	struct story s;

	(void)state;
	story_begin(&s, 2);
	publisher_release(&s.p, 2, 100);
	publisher_release(&s.p, 3, 100);
	publisher_bundle(&s.p, 1, 2, 300000);
	publisher_bundle(&s.p, 2, 3, 200000);
	cluster_publish(s.c, s.school);
	cluster_start_all(s.c);
	assert_true(wait_all_current(s.c, 3, 60));
	expect_trace(&s, s.laptops[1], "plan",
		     "plan xo/stable: 1 -> 2 (a step) by bundle 2540a5ec of 300000 bytes from a school\n"
		     "plan xo/stable: 2 -> 3 by bundle 13f388df of 200000 bytes from a school\n");
	story_end(&s, false);
}

static uint64_t all_block_bytes(const struct story *s)
{
	uint64_t sum = block_bytes_sent(s->c, s->school);

	for (unsigned i = 0; i < s->n; i++)
		sum += block_bytes_sent(s->c, s->laptops[i]);
	return sum;
}

/* A step has two bundles, for large and for small machines: whichever is told first, only the small one crosses the air. */
static void test_two_bundles(void **state)
{
	const size_t sizes[2][2] = {{100 * AY_BLOCK_SIZE, 20 * AY_BLOCK_SIZE},
				    {20 * AY_BLOCK_SIZE, 100 * AY_BLOCK_SIZE}};

	(void)state;
	for (unsigned k = 0; k < 2; k++) {
		struct story s;
		story_begin(&s, 6);
		story_settle(&s);
		publisher_release(&s.p, 2, 100);
		publisher_bundle(&s.p, 1, 2, sizes[k][0]);
		publisher_bundle(&s.p, 1, 2, sizes[k][1]);
		cluster_publish(s.c, s.school);
		assert_true(wait_all_current(s.c, 2, 60));
		assert_true(all_block_bytes(&s) <= 6 * 20 * AY_BLOCK_SIZE);
		for (unsigned i = 0; i < s.n; i++)
			assert_null(strstr(trace_of(s.c, s.laptops[i], "plan"), "of 6553600 bytes"));
		story_end(&s, false);
	}
}

/* A new laptop has nothing; the one way is the bundle from nothing. */
static void test_from_nothing(void **state)
{
	struct story s;

	(void)state;
	story_begin(&s, 1);
	publisher_release(&s.p, 2, 100);
	publisher_bundle(&s.p, 1, 2, 300000);
	publisher_bundle(&s.p, 0, 2, 900000);
	unsigned fresh = cluster_add(s.c, "fresh", &(struct member){.have = 0});
	cluster_publish(s.c, s.school);
	cluster_start_all(s.c);
	assert_true(wait_all_current(s.c, 2, 60));
	expect_trace(&s, fresh, "plan",
		     "plan xo/stable: 0 -> 2 by bundle 11d2fd0e of 900000 bytes from a school\n");
	story_end(&s, false);
}

/* While 2 is collected 3 comes out, and a bundle straight to it. */
static void test_overtaken(void **state)
{
	struct story s;

	(void)state;
	story_begin(&s, 3);
	cluster_rate(s.c, s.school, 400000);
	story_settle(&s);
	const struct published_bundle *b = story_publish(&s, 1, 2, 60);
	assert_true(wait_blocks(s.c, s.laptops[0], &b->digest, 5, 20));
	story_publish(&s, 1, 3, 20);
	assert_true(wait_all_current(s.c, 3, 60));
	for (unsigned i = 0; i < s.n; i++)
		assert_null(strstr(trace_of(s.c, s.laptops[i], "update"), "now at 2"));
	story_end(&s, true);
}

/* Multicast does not get through; the configuration names the school, and the school names the others. */
static void test_without_multicast(void **state)
{
	struct story s;

	(void)state;
	story_begin(&s, 0);
	for (unsigned i = 0; i < 6; i++)
		s.laptops[s.n++] = cluster_add(s.c, "laptop", &(struct member){.have = 1, .static_peer = 1});
	cluster_multicast(s.c, false);
	story_settle(&s);
	/* All are complete, so all sessions end; they come back every five minutes. */
	cluster_run(s.c, 300 * SECOND);
	const struct published_bundle *b = story_publish(&s, 1, 2, 60);
	assert_true(wait_all_current(s.c, 2, 600));
	assert_true(school_copies(&s, b) <= 1.5);
	story_end(&s, true);
}

/* The head says 20 %: who drew 50 waits, until the publisher signs the same release for all. */
static void test_rollout(void **state)
{
	struct story s;
	uint8_t head[AY_HEAD_SIZE];

	(void)state;
	story_begin(&s, 0);
	s.laptops[s.n++] = cluster_add(s.c, "early", &(struct member){.have = 1, .rollout_draw = 10});
	s.laptops[s.n++] = cluster_add(s.c, "late", &(struct member){.have = 1, .rollout_draw = 50});
	story_settle(&s);
	publisher_release(&s.p, 2, 20);
	story_publish(&s, 1, 2, 10);
	cluster_run(s.c, 60 * SECOND);
	assert_int_equal(current_of(s.c, s.laptops[0]), 2);
	assert_int_equal(current_of(s.c, s.laptops[1]), 1);
	assert_int_equal(node_status(s.c, s.laptops[1])->branches[0].phase, AY_PHASE_HELD);
	uint64_t news = datagrams(s.c, AY_GROUP_NEWS);
	cluster_run(s.c, 600 * SECOND);
	news = datagrams(s.c, AY_GROUP_NEWS);
	publisher_head(&s.p, 2, 100, 1800000000, s.p.key, head);
	ay_fakenode_put(cluster_node(s.c, s.school), AY_EV_HEAD, (struct ay_slice){head, sizeof(head)});
	ay_fakenode_update(cluster_node(s.c, s.laptops[1]), "", false);
	cluster_shout(s.c, AY_GROUP_CHAT, "", 0); /* nothing: not even a packet */
	assert_false(wait_all_current(s.c, 2, 20));
	/* It is no news: it wakes nobody, and is learned when peers are asked. */
	assert_int_equal(datagrams(s.c, AY_GROUP_NEWS), news);
	story_end(&s, false);
}

/* The owner wants to be asked. */
static void test_asked(void **state)
{
	struct story s;

	(void)state;
	story_begin(&s, 1);
	unsigned shy = cluster_add(s.c, "shy", &(struct member){.have = 1, .no_auto_update = true});
	story_settle(&s);
	story_publish(&s, 1, 2, 10);
	cluster_run(s.c, 60 * SECOND);
	assert_int_equal(current_of(s.c, s.laptops[0]), 2);
	assert_int_equal(current_of(s.c, shy), 1);
	assert_string_equal(node_status(s.c, shy)->branches[0].problem,
			    "release 2 is not taken: automatic updates are off");
	ay_fakenode_update(cluster_node(s.c, shy), "xo/stable", false);
	assert_true(wait_all_current(s.c, 2, 20));
	story_end(&s, false);
}

/* Who went back from a release still has its tree, and the only bundle to the next one starts from there. */
static void test_from_the_tree_that_was_left(void **state)
{
	struct story s;

	(void)state;
	story_begin(&s, 2);
	story_settle(&s);
	story_publish(&s, 1, 2, 10);
	assert_true(wait_all_current(s.c, 2, 30));
	cluster_roll_back(s.c, s.laptops[0]);
	assert_int_equal(current_of(s.c, s.laptops[0]), 1);
	cluster_run(s.c, 60 * SECOND);
	assert_int_equal(current_of(s.c, s.laptops[0]), 1); /* it is not taken again */
	story_publish(&s, 2, 3, 10);
	assert_true(wait_all_current(s.c, 3, 30));
	story_end(&s, true);
}

/* The same after its power was cut: what is here is told at start too. */
static void test_from_the_tree_that_was_left_after_a_crash(void **state)
{
	struct story s;

	(void)state;
	story_begin(&s, 1);
	story_settle(&s);
	story_publish(&s, 1, 2, 10);
	assert_true(wait_all_current(s.c, 2, 30));
	cluster_roll_back(s.c, s.laptops[0]);
	cluster_stop(s.c, s.laptops[0], AY_END_POWER);
	story_publish(&s, 2, 3, 10);
	cluster_start(s.c, s.laptops[0]);
	assert_true(wait_all_current(s.c, 3, 60));
	story_end(&s, true);
}

/* When all are complete there is silence: no session, no NEWS, a few CHATs from the whole room. */
static void test_rest(void **state)
{
	struct story s;

	(void)state;
	story_begin(&s, 12);
	story_settle(&s);
	story_publish(&s, 1, 2, 20);
	assert_true(wait_all_current(s.c, 2, 60));
	cluster_run(s.c, 1200 * SECOND);
	uint64_t news = datagrams(s.c, AY_GROUP_NEWS), chat = datagrams(s.c, AY_GROUP_CHAT);
	uint64_t steps = cluster_steps(s.c);
	cluster_run(s.c, 3600 * SECOND);
	/* 13 nodes: what they hear of each other, and two timers per interval. */
	assert_in_range(cluster_steps(s.c) - steps, 13, 13 * (80 + 60));
	assert_int_equal(datagrams(s.c, AY_GROUP_NEWS), news);
	/* 14 intervals of 256 s; k = 2, not in step: about four each. */
	assert_in_range(datagrams(s.c, AY_GROUP_CHAT) - chat, 14, 80);
	for (unsigned i = 0; i <= s.n; i++)
		assert_int_equal(node_status(s.c, i)->n_peers, 0);
	story_end(&s, true);
}

/* The same seed, the same events: the same story to the last line. */
static void test_deterministic(void **state)
{
	char *first = NULL;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct story s;
		story_begin(&s, 5);
		story_settle(&s);
		story_publish(&s, 1, 2, 30);
		assert_true(wait_all_current(s.c, 2, 60));
		const char *t = trace_of(s.c, s.laptops[2], "announce learn plan swarm update session");
		assert_true(strlen(t) > 100);
		if (!first)
			first = strdup(t);
		else
			assert_string_equal(first, t);
		story_end(&s, true);
	}
	free(first);
}

static uint32_t blocks_of(const struct story *s, unsigned node, const struct ay_digest *bundle)
{
	bool whole;

	return ay_fakenode_blocks(cluster_node(s->c, node), bundle, &whole);
}

/*
 * The bundle from 1 to 2 needs more memory than the small laptop allows: not a block of it is fetched, the one from
 * nothing is, and the large laptop takes the direct one.
 */
static void test_small_memory(void **state)
{
	struct story s;

	(void)state;
	story_begin(&s, 1);
	unsigned small =
		cluster_add(s.c, "small", &(struct member){.have = 1, .apply = {.memory = 128 << 20}});
	s.p.apply_memory = 512 << 20;
	const struct ay_digest rich = story_publish(&s, 1, 2, 10)->digest;
	s.p.apply_memory = 128 << 20;
	const struct ay_digest plain = story_publish(&s, 0, 2, 30)->digest;
	cluster_start(s.c, s.school);
	cluster_start(s.c, s.laptops[0]);
	assert_true(wait_all_current(s.c, 2, 60));
	cluster_start(s.c, small);
	assert_true(wait_all_current(s.c, 2, 60));
	assert_int_equal(blocks_of(&s, small, &rich), 0);
	assert_int_equal(blocks_of(&s, small, &plain), 30);
	assert_int_equal(blocks_of(&s, s.laptops[0], &rich), 10);
	story_end(&s, false);
}

/* There is no other way: nothing is fetched, and status says what it is short of. */
static void test_no_way_that_fits(void **state)
{
	struct story s;

	(void)state;
	story_begin(&s, 0);
	unsigned small =
		cluster_add(s.c, "small", &(struct member){.have = 1, .apply = {.memory = 128 << 20}});
	s.p.apply_memory = (512 << 20) + 1;
	const struct ay_digest rich = story_publish(&s, 1, 2, 10)->digest;
	cluster_start_all(s.c);
	assert_false(wait_all_current(s.c, 2, 60));
	assert_int_equal(blocks_of(&s, small, &rich), 0);
	assert_string_equal(
		node_status(s.c, small)->branches[0].problem,
		"the bundle to release 2 needs 513 MiB of memory to apply, and 128 MiB are allowed "
		"here (apply-memory)");
	/* Another encoder is no better; what fits comes, and the problem is gone. */
	s.p.apply_memory = 0;
	s.p.encoder = "xz-9";
	story_publish(&s, 0, 2, 20);
	assert_false(wait_all_current(s.c, 2, 60));
	s.p.encoder = NULL;
	story_publish(&s, 1, 2, 12);
	assert_true(wait_all_current(s.c, 2, 60));
	assert_string_equal(node_status(s.c, small)->branches[0].problem, "");
	story_end(&s, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_update),
		cmocka_unit_test(test_few_copies),
		cmocka_unit_test(test_late_joiner),
		cmocka_unit_test(test_chain),
		cmocka_unit_test(test_two_bundles),
		cmocka_unit_test(test_from_nothing),
		cmocka_unit_test(test_overtaken),
		cmocka_unit_test(test_without_multicast),
		cmocka_unit_test(test_rollout),
		cmocka_unit_test(test_asked),
		cmocka_unit_test(test_from_the_tree_that_was_left),
		cmocka_unit_test(test_from_the_tree_that_was_left_after_a_crash),
		cmocka_unit_test(test_rest),
		cmocka_unit_test(test_deterministic),
		cmocka_unit_test(test_small_memory),
		cmocka_unit_test(test_no_way_that_fits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
