/* SPDX-License-Identifier: MIT */
/* Stories of liars, cuts and kills: what must not happen does not, and the update comes all the same. */
#include "tests/story/proto/story.h"

#include "proto/wire.h"

#include <string.h>

static bool says(struct story *s, unsigned node, const char *rooms, const char *part)
{
	return strstr(trace_of(s->c, node, rooms), part);
}

/* One laptop has the bundle already and lies about its blocks; the others drop it and finish with the school. */
static void vicious_laptop(enum vice vice, const char *why, bool banned)
{
	struct story s;
	unsigned told = 0;

	story_begin(&s, 4);
	publisher_release(&s.p, 2, 100);
	publisher_bundle(&s.p, 1, 2, 40 * AY_BLOCK_SIZE - 100);
	cluster_publish(s.c, s.school);
	unsigned liar = s.laptops[0];
	cluster_start(s.c, s.school);
	cluster_start(s.c, liar);
	assert_true(wait_all_current(s.c, 2, 20));
	cluster_vice(s.c, liar, vice);
	for (unsigned i = 1; i < s.n; i++)
		cluster_start(s.c, s.laptops[i]);
	assert_true(wait_all_current(s.c, 2, 120));
	for (unsigned i = 1; i < s.n; i++)
		told += says(&s, s.laptops[i], "session", why);
	assert_true(told > 0 || !banned);
	if (banned) {
		/* It is not spoken to for ten minutes. */
		cluster_clear_trace(s.c);
		cluster_run(s.c, 30 * SECOND);
		for (unsigned i = 1; i < s.n; i++)
			if (says(&s, s.laptops[i], "session", why))
				fail();
	}
	story_end(&s, true);
}

static void test_wrong_blocks(void **state)
{
	(void)state;
	vicious_laptop(VICE_WRONG_BLOCKS, "a wrong block", true);
}

static void test_wrong_hashes(void **state)
{
	(void)state;
	vicious_laptop(VICE_WRONG_HASHES, "a wrong hash block", true);
}

static void test_garbage(void **state)
{
	(void)state;
	vicious_laptop(VICE_GARBAGE, "garbage", true);
}

static void test_silence(void **state)
{
	(void)state;
	vicious_laptop(VICE_SILENCE, "", false);
}

/* kill -9 in the middle: what was written is had, and never asked for again. */
static void test_killed(void **state)
{
	struct story s;

	(void)state;
	story_begin(&s, 3);
	cluster_rate(s.c, s.school, 300000);
	story_settle(&s);
	const struct published_bundle *b = story_publish(&s, 1, 2, 40);
	assert_true(wait_blocks(s.c, s.laptops[1], &b->digest, 17, 60));
	cluster_stop(s.c, s.laptops[1], AY_END_KILL);
	cluster_run(s.c, 5 * SECOND);
	cluster_clear_trace(s.c);
	cluster_start(s.c, s.laptops[1]);
	assert_true(wait_all_current(s.c, 2, 120));
	assert_false(says(&s, s.laptops[1], "swarm", ": 0 of 40"));
	assert_true(school_copies(&s, b) <= 1.5);
	story_end(&s, false);
}

/* Back when all others are done and quiet, knowing as much as they do: somebody tells at once where the blocks are. */
static void test_back_among_the_finished(void **state)
{
	struct story s;

	(void)state;
	story_begin(&s, 4);
	story_settle(&s);
	const struct published_bundle *b = story_publish(&s, 1, 2, 40);
	assert_true(wait_blocks(s.c, s.laptops[1], &b->digest, 17, 60));
	cluster_stop(s.c, s.laptops[1], AY_END_KILL);
	assert_true(wait_all_current(s.c, 2, 60));
	cluster_run(s.c, 900 * SECOND);
	uint64_t said = datagrams(s.c, AY_GROUP_CHAT);
	cluster_start(s.c, s.laptops[1]);
	assert_true(wait_all_current(s.c, 2, 5));
	assert_true(datagrams(s.c, AY_GROUP_CHAT) - said < 12);
	story_end(&s, false);
}

/*
 * Killed between remembering release 2 as its floor and making it current, and the tree is gone too: it is no rollback,
 * so release 2 is taken like any other.
 */
static void test_died_in_the_switch(void **state)
{
	struct story s;

	(void)state;
	story_begin(&s, 2);
	story_publish(&s, 1, 2, 10);
	struct ay_fakenode *n = cluster_node(s.c, s.laptops[0]);
	const struct ay_fakebranch *b = ay_fakenode_branch(n, s.p.branch);
	const struct ay_digest manifest = b->have_manifest;
	ay_fakenode_put_branch(n, s.p.branch, true, 2, &published(&s.p, 2)->manifest);
	ay_fakenode_put_branch(n, s.p.branch, true, 1, &manifest);
	assert_int_equal(b->floor, 2);
	assert_int_equal(b->have_serial, 1);
	cluster_start_all(s.c);
	assert_true(wait_all_current(s.c, 2, 60));
	story_end(&s, false);
}

/* A laptop that dies again and again, at odd moments, gets there, and nothing crosses twice. */
static void test_killed_often(void **state)
{
	struct story s;

	(void)state;
	story_begin(&s, 2);
	cluster_rate(s.c, s.school, 500000);
	story_settle(&s);
	story_publish(&s, 1, 2, 40);
	for (unsigned i = 0; i < 12; i++) {
		cluster_run(s.c, (300 + i * 77) * MS);
		cluster_stop(s.c, s.laptops[0], AY_END_KILL);
		cluster_run(s.c, 10 * MS);
		cluster_start(s.c, s.laptops[0]);
	}
	assert_true(wait_all_current(s.c, 2, 120));
	story_end(&s, false);
}

/* The access point keeps laptops apart: the school serves each, without waiting for what cannot come. */
static void test_isolated(void **state)
{
	struct story s;

	(void)state;
	story_begin(&s, 4);
	for (unsigned i = 0; i < s.n; i++)
		for (unsigned k = 0; k < i; k++)
			cluster_cut(s.c, s.laptops[i], s.laptops[k], true);
	story_settle(&s);
	uint64_t start = cluster_now(s.c);
	const struct published_bundle *b = story_publish(&s, 1, 2, 40);
	assert_true(wait_all_current(s.c, 2, 60));
	assert_true(school_copies(&s, b) == 4.0);
	/* Four copies at 2.5 MB/s are 4.2 s. */
	assert_true(cluster_now(s.c) - start < 9 * SECOND);
	story_end(&s, false);
}

/* Two rooms that reach the school and not each other: about two copies. */
static void test_two_rooms(void **state)
{
	struct story s;

	(void)state;
	story_begin(&s, 10);
	for (unsigned i = 0; i < s.n; i++)
		for (unsigned k = 0; k < i; k++)
			if (i % 2 != k % 2)
				cluster_cut(s.c, s.laptops[i], s.laptops[k], true);
	story_settle(&s);
	const struct published_bundle *b = story_publish(&s, 1, 2, 60);
	assert_true(wait_all_current(s.c, 2, 120));
	assert_true(school_copies(&s, b) <= 3.0);
	story_end(&s, true);
}

/* The school is switched off when it has sent each block once to somebody: the laptops help each other. */
static void test_school_leaves(void **state)
{
	struct story s;

	(void)state;
	story_begin(&s, 6);
	story_settle(&s);
	const struct published_bundle *b = story_publish(&s, 1, 2, 60);
	while (block_bytes_sent(s.c, s.school) < b->size)
		cluster_run(s.c, 20 * MS);
	cluster_run(s.c, 300 * MS);
	cluster_stop(s.c, s.school, AY_END_KILL);
	assert_true(wait_all_current(s.c, 2, 120));
	story_end(&s, true);
}

static void shout_head(struct story *s, const uint8_t head[AY_HEAD_SIZE])
{
	struct ay_wire_datagram d = {.type = AY_DATAGRAM_HEAD, .port = 4444, .session_id = 1, .head = head};
	struct ay_buf out = {0};

	ay_wire_datagram_put(&out, &d);
	cluster_shout(s->c, AY_GROUP_NEWS, out.data, out.len);
	ay_buf_release(&out);
}

/* A head of a key that the root does not know: not stored, not repeated, not even looked at twice. */
static void test_forged_head(void **state)
{
	struct story s;
	uint8_t head[AY_HEAD_SIZE];

	(void)state;
	story_begin(&s, 2);
	story_settle(&s);
	uint64_t news = datagrams(s.c, AY_GROUP_NEWS);
	publisher_release(&s.p, 9, 100);
	publisher_head(&s.p, 9, 100, 1900000000, 3, head);
	for (unsigned i = 0; i < 50; i++) {
		shout_head(&s, head);
		cluster_run(s.c, 10 * MS);
	}
	/* Signed by the right key, and then changed. */
	publisher_head(&s.p, 9, 100, 1900000000, 0, head);
	head[20] ^= 2;
	shout_head(&s, head);
	cluster_run(s.c, 10 * SECOND);
	for (unsigned i = 0; i < s.n; i++) {
		assert_int_equal(node_status(s.c, s.laptops[i])->branches[0].head_serial, 1);
		assert_true(node_status(s.c, s.laptops[i])->packets_refused >= 51);
		expect_trace(&s, s.laptops[i], "learn plan update", "");
		expect_trace(&s, s.laptops[i], "announce",
			     "announce xo/stable: head 9 refused: AY_EROLE\n"
			     "announce xo/stable: head 11 refused: AY_ESIG\n");
	}
	/* 51 of them are the liar's. */
	assert_int_equal(datagrams(s.c, AY_GROUP_NEWS) - news, 51);
	story_end(&s, false);
}

/* The publisher's own head of yesterday, sent again today. */
static void test_replayed_head(void **state)
{
	struct story s;

	(void)state;
	story_begin(&s, 2);
	story_settle(&s);
	story_publish(&s, 1, 2, 10);
	assert_true(wait_all_current(s.c, 2, 20));
	cluster_run(s.c, 600 * SECOND);
	cluster_clear_trace(s.c);
	for (unsigned i = 0; i < 20; i++) {
		shout_head(&s, published(&s.p, 1)->head);
		cluster_run(s.c, 500 * MS);
	}
	for (unsigned i = 0; i < s.n; i++) {
		assert_int_equal(node_status(s.c, s.laptops[i])->branches[0].head_serial, 2);
		assert_int_equal(current_of(s.c, s.laptops[i]), 2);
		expect_trace(&s, s.laptops[i], "announce learn plan update", "");
	}
	story_end(&s, false);
}

/* Somebody shouts random bytes: counted, and nothing else. */
static void test_noise(void **state)
{
	struct story s;
	uint8_t noise[AY_DATAGRAM_MAX];

	(void)state;
	story_begin(&s, 2);
	story_settle(&s);
	for (unsigned i = 0; i < 200; i++) {
		for (unsigned k = 0; k < sizeof(noise); k++)
			noise[k] = (uint8_t)(i * 31 + k * (i | 1));
		if (i % 2)
			memcpy(noise, "Ay\1\2", 4);
		cluster_shout(s.c, i % 3 ? AY_GROUP_CHAT : AY_GROUP_NEWS, noise, i * 2);
		cluster_run(s.c, 10 * MS);
	}
	assert_true(node_status(s.c, s.laptops[0])->packets_refused >= 150);
	story_publish(&s, 1, 2, 10);
	assert_true(wait_all_current(s.c, 2, 20));
	story_end(&s, false);
}

/* The keys change: root 2 is fetched and made durable before anything that it signs is believed. */
static void test_new_root(void **state)
{
	struct story s;

	(void)state;
	story_begin(&s, 3);
	story_settle(&s);
	publisher_rotate(&s.p);
	publisher_rotate(&s.p);
	story_publish(&s, 1, 2, 10);
	assert_true(wait_all_current(s.c, 2, 60));
	for (unsigned i = 0; i < s.n; i++) {
		assert_int_equal(ay_fakenode_root_version(cluster_node(s.c, s.laptops[i])), 3);
		assert_true(says(&s, s.laptops[i], "learn",
				 "learn root 2 verified, storing\n"
				 "learn root 2 of fleet story\n"
				 "learn xo/stable: head 1 is not believed any more\n"
				 "learn root 3 verified, storing\n"
				 "learn root 3 of fleet story\n"
				 "learn xo/stable: idle -> release (a new head)\n"));
	}
	story_end(&s, false);
}

/* The tree at hand is damaged: no bundle from it can be applied, so the one from nothing is taken. */
static void test_bad_base(void **state)
{
	struct story s;

	(void)state;
	story_begin(&s, 0);
	s.laptops[s.n++] = cluster_add(s.c, "sick", &(struct member){.have = 1, .bad_base_permille = 500});
	publisher_release(&s.p, 2, 100);
	publisher_bundle(&s.p, 1, 2, 300000);
	publisher_bundle(&s.p, 0, 2, 900000);
	cluster_publish(s.c, s.school);
	cluster_start_all(s.c);
	assert_true(wait_all_current(s.c, 2, 4 * 3600));
	story_end(&s, false);
}

/* The disk is full half of the time: it waits a minute, two, four, and says why. */
static void test_full_disk(void **state)
{
	struct story s;

	(void)state;
	story_begin(&s, 0);
	s.laptops[s.n++] = cluster_add(s.c, "full", &(struct member){.have = 1, .no_space_permille = 1000});
	story_settle(&s);
	story_publish(&s, 1, 2, 10);
	cluster_run(s.c, 1800 * SECOND);
	/* Never a busy loop: half an hour of failures is a page of trace. */
	const char *t = trace_of(s.c, s.laptops[0], "announce learn plan update");
	unsigned lines = 0;
	for (; *t; t++)
		lines += *t == '\n';
	assert_in_range(lines, 1, 400);
	assert_int_equal(current_of(s.c, s.laptops[0]), 1);
	story_end(&s, false);
}

/* A release that nobody can give: it is looked for, quietly, for as long as it takes. */
static void test_unobtainable(void **state)
{
	struct story s;

	(void)state;
	story_begin(&s, 3);
	story_settle(&s);
	publisher_release(&s.p, 2, 100);
	cluster_publish(s.c, s.school);
	cluster_run(s.c, 60 * SECOND);
	assert_string_equal(node_status(s.c, s.laptops[0])->branches[0].problem,
			    "nobody in reach offers a bundle from release 1 to 2");
	uint64_t steps = cluster_steps(s.c), chat = datagrams(s.c, AY_GROUP_CHAT);
	cluster_run(s.c, 3600 * SECOND);
	assert_in_range(cluster_steps(s.c) - steps, 1, 4 * 3600 * 5);
	assert_in_range(datagrams(s.c, AY_GROUP_CHAT) - chat, 1, 3600 / 16 * 8);
	/* At last the publisher makes a bundle. */
	story_publish(&s, 1, 2, 10);
	assert_true(wait_all_current(s.c, 2, 30));
	story_end(&s, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wrong_blocks),  cmocka_unit_test(test_wrong_hashes),
		cmocka_unit_test(test_garbage),       cmocka_unit_test(test_silence),
		cmocka_unit_test(test_killed),        cmocka_unit_test(test_died_in_the_switch),
		cmocka_unit_test(test_killed_often),  cmocka_unit_test(test_back_among_the_finished),
		cmocka_unit_test(test_isolated),      cmocka_unit_test(test_two_rooms),
		cmocka_unit_test(test_school_leaves), cmocka_unit_test(test_forged_head),
		cmocka_unit_test(test_replayed_head), cmocka_unit_test(test_noise),
		cmocka_unit_test(test_new_root),      cmocka_unit_test(test_bad_base),
		cmocka_unit_test(test_full_disk),     cmocka_unit_test(test_unobtainable),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
