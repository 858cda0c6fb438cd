/* SPDX-License-Identifier: MIT */
/* Collecting: which block is asked of whom, when again, and what a lie costs. */
#include "tests/unit/proto/swarm_bench.h"

#include <errno.h>
#include <string.h>

/* Hash block first, then the blocks; four at once; the next one when one has come. */
static void test_pipeline(void **state)
{
	struct swarm s;

	(void)state;
	begin(&s, true, NULL);
	clear(&s.b);
	say_bitmap(&s, 2, 0, true);
	assert_int_equal(count_frames(&s.b, 2, AY_FRAME_REQUEST), 4);
	/* All of one piece: it needs one path of hash blocks, asked before the first block. */
	size_t hashes = count_frames(&s.b, 2, AY_FRAME_HASH_REQUEST);
	assert_int_equal(hashes, ay_merkle_levels(s.all));
	for (unsigned i = 1; i < 4; i++)
		assert_int_equal(asked(&s, 2, i) / 8, asked(&s, 2, 0) / 8);
	assert_int_equal(s.b.seen[0].o.frame.type, AY_FRAME_HASH_REQUEST);
	answer_hashes(&s, 2);
	assert_int_equal(count_frames(&s.b, 2, AY_FRAME_REQUEST), 4);
	s.b.now += 100 * MS;
	assert_int_equal(block(&s, 2, asked(&s, 2, 0), 0), 0);
	assert_true(count_frames(&s.b, 2, AY_FRAME_REQUEST) >= 5);
	assert_int_equal(status(&s.b)->branches[0].blocks_had, 1);
	end(&s);
}

/* Blocks that are on the disk already are never asked for. */
static void test_resumes(void **state)
{
	struct swarm s;
	uint8_t bitmap[4] = {0xff, 0xff, 0xff, 0x7e};
	uint32_t got = 0;

	(void)state;
	begin(&s, true, bitmap);
	say_bitmap(&s, 2, 0, true);
	answer_hashes(&s, 2);
	assert_int_equal(count_frames(&s.b, 2, AY_FRAME_REQUEST), 2);
	for (size_t i = 0; i < 2; i++)
		got |= 1u << (asked(&s, 2, i) - 24);
	assert_int_equal(got, 0x81);
	for (size_t i = 0; i < 2; i++)
		block(&s, 2, asked(&s, 2, i), 0);
	assert_int_equal(count(&s.b, AY_ORDER_FINISH_BUNDLE), 1);
	assert_int_equal(count(&s.b, AY_ORDER_APPLY), 0);
	stored(&s.b, 0);
	assert_int_equal(count(&s.b, AY_ORDER_APPLY), 1);
	end(&s);
}

/* Nothing is applied whose offer is not durable, however fast the blocks were; and then it is, at once. */
static void test_offer_durable(void **state)
{
	struct swarm s;
	uint8_t bitmap[4] = {0xff, 0xff, 0xff, 0xff};

	(void)state;
	begin(&s, true, bitmap);
	const struct seen *finish = first(&s.b, AY_ORDER_FINISH_BUNDLE),
			  *offer = first(&s.b, AY_ORDER_STORE_OFFER);
	assert_non_null(finish);
	assert_non_null(offer);
	uint64_t token = offer->o.token;
	feed(&s.b, (struct ay_event){.type = AY_EV_STORED, .token = finish->o.token});
	assert_int_equal(count(&s.b, AY_ORDER_APPLY), 0);
	feed(&s.b, (struct ay_event){.type = AY_EV_STORED, .token = token});
	assert_int_equal(count(&s.b, AY_ORDER_APPLY), 1);
	end(&s);
}

/* The base is damaged: not tried again with this bundle before an hour has passed. */
static void test_failed_way(void **state)
{
	struct swarm s;
	uint8_t bitmap[4] = {0xff, 0xff, 0xff, 0xff};

	(void)state;
	begin(&s, true, bitmap);
	stored(&s.b, 0);
	for (unsigned i = 1; i <= 2; i++) {
		assert_int_equal(count(&s.b, AY_ORDER_APPLY), i);
		feed(&s.b, (struct ay_event){.type = AY_EV_APPLIED,
					     .status = AY_EBASE,
					     .applied = {.branch = "xo/stable", .serial = 2}});
		assert_int_equal(status(&s.b)->branches[0].phase, AY_PHASE_SEARCHING);
		assert_non_null(strstr(status(&s.b)->branches[0].problem, "cannot be applied"));
		pass(&s.b, 3590 * SECOND);
		assert_int_equal(count(&s.b, AY_ORDER_APPLY), i);
		pass(&s.b, 30 * SECOND);
	}
	end(&s);
}

static void apply_fails(struct swarm *s, int why)
{
	feed(&s->b, (struct ay_event){.type = AY_EV_APPLIED,
				      .status = why,
				      .applied = {.branch = "xo/stable", .serial = 2}});
}

/* A worker that is killed each time: tried twice, then left out for an hour; a full disk is waited for. */
static void test_killed_worker(void **state)
{
	struct swarm s;
	uint8_t bitmap[4] = {0xff, 0xff, 0xff, 0xff};

	(void)state;
	begin(&s, true, bitmap);
	stored(&s.b, 0);
	for (unsigned i = 1; i <= 3; i++) {
		assert_int_equal(count(&s.b, AY_ORDER_APPLY), i);
		apply_fails(&s, i == 1 ? -ENOSPC : -EIO);
		if (i < 3)
			pass(&s.b, 200 * SECOND);
	}
	assert_non_null(strstr(status(&s.b)->branches[0].problem, "failed twice"));
	pass(&s.b, 3590 * SECOND);
	assert_int_equal(count(&s.b, AY_ORDER_APPLY), 3);
	pass(&s.b, 30 * SECOND);
	assert_int_equal(count(&s.b, AY_ORDER_APPLY), 4);
	end(&s);
}

/* The store lost offer and release: they are stored again before the next try. */
static void test_lost_documents(void **state)
{
	struct swarm s;
	uint8_t bitmap[4] = {0xff, 0xff, 0xff, 0xff};

	(void)state;
	begin(&s, true, bitmap);
	stored(&s.b, 0);
	clear(&s.b);
	apply_fails(&s, -ENOENT);
	pass(&s.b, 90 * SECOND);
	assert_int_equal(count(&s.b, AY_ORDER_STORE_RELEASE), 1);
	assert_int_equal(count(&s.b, AY_ORDER_APPLY), 0);
	stored(&s.b, 0);
	assert_int_equal(count(&s.b, AY_ORDER_STORE_OFFER), 1);
	stored(&s.b, 0);
	assert_int_equal(count(&s.b, AY_ORDER_APPLY), 1);
	end(&s);
}

/* The rarest first: what one laptop has before what three have. */
static void test_rarest(void **state)
{
	struct swarm s;

	(void)state;
	begin(&s, false, NULL);
	clear(&s.b);
	join(&s, 4, 6);
	join(&s, 6, 7);
	s.b.now += 10 * MS;
	say_bitmap(&s, 4, 0x00ffff00, false);
	say_bitmap(&s, 6, 0x00ffff00, false);
	answer_hashes(&s, 4);
	answer_hashes(&s, 6);
	clear(&s.b);
	/* The first has pieces 1 and 2 as the others do, and alone piece 3. */
	say_bitmap(&s, 2, 0xffffff00, false);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(asked(&s, 2, i) / 8, 3);
	end(&s);
}

/* No block is asked of two at once. */
static void test_once(void **state)
{
	struct swarm s;
	uint32_t seen_blocks = 0;

	(void)state;
	begin(&s, false, NULL);
	join(&s, 4, 6);
	say_bitmap(&s, 2, 0, true);
	say_bitmap(&s, 4, 0, true);
	for (uint64_t conn = 2; conn <= 4; conn += 2) {
		for (size_t i = 0; asked(&s, conn, i) != UINT32_MAX; i++) {
			assert_false(seen_blocks >> asked(&s, conn, i) & 1);
			seen_blocks |= 1u << asked(&s, conn, i);
		}
	}
	assert_int_equal(__builtin_popcount(seen_blocks), 8);
	end(&s);
}

/* What a laptop has is not asked of the school. */
static void test_laptops_first(void **state)
{
	struct swarm s;

	(void)state;
	begin(&s, true, NULL);
	join(&s, 4, 6);
	say_bitmap(&s, 4, 0x00ffffff, false);
	clear(&s.b);
	say_bitmap(&s, 2, 0, true);
	assert_int_equal(count_frames(&s.b, 2, AY_FRAME_REQUEST), 4);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(asked(&s, 2, i) / 8, 3);
	end(&s);
}

/* "Another laptop has it from me": left alone for a second, then asked again, as a second attempt. */
static void test_sent_to_peers(void **state)
{
	struct swarm s;

	(void)state;
	begin(&s, true, NULL);
	join(&s, 4, 6);
	say_bitmap(&s, 4, 0, false);
	say_bitmap(&s, 2, 0, true);
	uint32_t index = asked(&s, 2, 0);
	assert_int_equal(attempt(&s, 2, 0), 0);
	clear(&s.b);
	say_reject(&s, 2, index, AY_REJECT_ASK_PEERS, 1000);
	assert_int_not_equal(asked(&s, 2, 0), index);
	/* All others are refused as well. */
	for (unsigned i = 0; i < 200; i++) {
		clear(&s.b);
		for (uint32_t k = 0; k < BLOCKS; k++)
			say_reject(&s, 2, k, AY_REJECT_ASK_PEERS, 1000);
		if (asked(&s, 2, 0) == UINT32_MAX)
			break;
	}
	clear(&s.b);
	pass(&s.b, 900 * MS);
	assert_int_equal(asked(&s, 2, 0), UINT32_MAX);
	pass(&s.b, 500 * MS);
	assert_int_not_equal(asked(&s, 2, 0), UINT32_MAX);
	assert_int_equal(attempt(&s, 2, 0), 1);
	end(&s);
}

/* Nobody else in reach: the school is told so, and has no one to send us to. */
static void test_alone(void **state)
{
	struct swarm s;

	(void)state;
	begin(&s, true, NULL);
	say_bitmap(&s, 2, 0, true);
	assert_int_equal(attempt(&s, 2, 0), AY_ATTEMPT_ALONE);
	end(&s);
}

/* A laptop that has it all and gives nothing: after a while the school is asked. */
static void test_starving(void **state)
{
	struct swarm s;
	struct ay_buf empty = {0};

	(void)state;
	begin(&s, true, NULL);
	join(&s, 4, 6);
	say_bitmap(&s, 4, 0, true);
	say_bitmap(&s, 2, 0, true);
	assert_int_equal(asked(&s, 2, 0), UINT32_MAX);
	for (unsigned i = 0; i < 15 && asked(&s, 2, 0) == UINT32_MAX; i++) {
		pass(&s.b, SECOND);
		frame(&s.b, 4, AY_FRAME_PING, &empty);
		frame(&s.b, 2, AY_FRAME_PING, &empty);
	}
	assert_int_not_equal(asked(&s, 2, 0), UINT32_MAX);
	end(&s);
}

/* While a block comes in parts nothing is given up, for a minute at most. */
static void test_slow_link(void **state)
{
	struct swarm s;
	const struct ay_event part = {.type = AY_EV_BLOCK_PART, .block = {.conn = 2}};

	(void)state;
	begin(&s, false, NULL);
	say_bitmap(&s, 2, 0, true);
	answer_hashes(&s, 2);
	join(&s, 4, 6);
	say_bitmap(&s, 4, 0, true);
	clear(&s.b);
	for (unsigned i = 0; i < 55; i++) {
		feed(&s.b, part);
		pass(&s.b, SECOND);
	}
	assert_int_equal(count_frames(&s.b, 2, AY_FRAME_CANCEL), 0);
	for (unsigned i = 0; i < 10; i++) {
		feed(&s.b, part);
		pass(&s.b, SECOND);
	}
	assert_int_equal(count_frames(&s.b, 2, AY_FRAME_CANCEL), 4);
	end(&s);
}

/* A block that comes after it was given up teaches patience: the next one may take as long. */
static void test_learns_patience(void **state)
{
	struct swarm s;

	(void)state;
	begin(&s, false, NULL);
	say_bitmap(&s, 2, 0, true);
	answer_hashes(&s, 2);
	for (unsigned i = 0; i < 4; i++) { /* it was fast */
		s.b.now += 10 * MS;
		block(&s, 2, asked(&s, 2, i), 0);
	}
	uint32_t late = asked(&s, 2, 4);
	clear(&s.b);
	pass(&s.b, 3500 * MS);
	assert_true(count_frames(&s.b, 2, AY_FRAME_CANCEL) > 0);
	pass(&s.b, 500 * MS);
	block(&s, 2, late, 0);
	pass(&s.b, 2 * SECOND);
	assert_true(asked(&s, 2, 0) != UINT32_MAX);
	late = asked(&s, 2, 0);
	clear(&s.b);
	pass(&s.b, 10 * SECOND); /* thrice what is too long for a fast one */
	assert_int_equal(count_frames(&s.b, 2, AY_FRAME_CANCEL), 0);
	block(&s, 2, late, 0);
	late = asked(&s, 2, 0);
	s.b.now += 100 * MS;
	block(&s, 2, late, 0); /* one that comes fast does not make it forget */
	pass(&s.b, 30 * SECOND);
	assert_int_equal(count_frames(&s.b, 2, AY_FRAME_CANCEL), 0);
	pass(&s.b, 20 * SECOND);
	assert_true(count_frames(&s.b, 2, AY_FRAME_CANCEL) > 0);
	end(&s);
}

/* An unanswered request is cancelled and goes to another; when the block comes all the same it counts. */
static void test_time_out(void **state)
{
	struct swarm s;

	(void)state;
	begin(&s, false, NULL);
	say_bitmap(&s, 2, 0, true);
	answer_hashes(&s, 2);
	uint32_t late = asked(&s, 2, 0);
	clear(&s.b);
	pass(&s.b, 10500 * MS);
	assert_int_equal(count_frames(&s.b, 2, AY_FRAME_CANCEL), 4);
	block(&s, 2, late, 0);
	assert_int_equal(status(&s.b)->branches[0].blocks_had, 1);
	assert_int_equal(status(&s.b)->peers[0].score, 0);
	/* The same again is one too many. */
	clear(&s.b);
	block(&s, 2, late, 0);
	assert_int_equal(status(&s.b)->bytes_twice, AY_BLOCK_SIZE);
	assert_true(status(&s.b)->peers[0].score < 0);
	end(&s);
}

/* What was had is told to all who want to know and do not have it. */
static void test_have(void **state)
{
	struct swarm s;
	struct ay_buf buf;

	(void)state;
	begin(&s, true, NULL);
	join(&s, 4, 6);
	join(&s, 6, 7);
	buf = want_of(&s, 0, true);
	frame(&s.b, 4, AY_FRAME_WANT, &buf);
	buf = want_of(&s, 0, true);
	frame(&s.b, 6, AY_FRAME_WANT, &buf);
	assert_int_equal(count_frames(&s.b, 4, AY_FRAME_BITMAP), 1);
	say_bitmap(&s, 4, 0, false);
	say_bitmap(&s, 6, 0, false);
	say_bitmap(&s, 2, 0, true);
	answer_hashes(&s, 2);
	uint32_t index = asked(&s, 2, 0);
	say_have(&s, 6, index);
	clear(&s.b);
	block(&s, 2, index, 0);
	assert_int_equal(count_frames(&s.b, 4, AY_FRAME_HAVE), 1);
	assert_int_equal(count_frames(&s.b, 6, AY_FRAME_HAVE), 0);
	assert_int_equal(count_frames(&s.b, 2, AY_FRAME_HAVE), 0);
	end(&s);
}

/* One wrong block before any right one: out. Three after right ones: out as well. */
static void test_wrong_blocks(void **state)
{
	struct swarm s;

	(void)state;
	begin(&s, false, NULL);
	say_bitmap(&s, 2, 0, true);
	answer_hashes(&s, 2);
	block(&s, 2, asked(&s, 2, 0), AY_EDIGEST);
	assert_int_equal(count(&s.b, AY_ORDER_CLOSE), 1);
	end(&s);
	begin(&s, false, NULL);
	say_bitmap(&s, 2, 0, true);
	answer_hashes(&s, 2);
	block(&s, 2, asked(&s, 2, 0), 0);
	for (size_t i = 1; i <= 3; i++) {
		assert_int_equal(count(&s.b, AY_ORDER_CLOSE), 0);
		assert_int_equal(block(&s, 2, asked(&s, 2, i), AY_EDIGEST), AY_EPEER);
	}
	assert_int_equal(count(&s.b, AY_ORDER_CLOSE), 1);
	end(&s);
}

/* Our own disk fails: no peer's fault, and no busy loop. */
static void test_disk_full(void **state)
{
	struct swarm s;

	(void)state;
	begin(&s, true, NULL);
	say_bitmap(&s, 2, 0, true);
	answer_hashes(&s, 2);
	clear(&s.b);
	block(&s, 2, 0, -ENOSPC);
	assert_int_equal(status(&s.b)->branches[0].phase, AY_PHASE_SEARCHING);
	assert_non_null(strstr(status(&s.b)->branches[0].problem, "No space left"));
	clear(&s.b);
	pass(&s.b, 50 * SECOND);
	assert_int_equal(count_frames(&s.b, 2, AY_FRAME_REQUEST), 0);
	frame(&s.b, 2, AY_FRAME_PING, &(struct ay_buf){0});
	/* Again after a minute. */
	pass(&s.b, 15 * SECOND);
	assert_int_equal(count_frames(&s.b, 2, AY_FRAME_WANT), 1);
	end(&s);
}

/* Is one of the last blocks asked of a second peer when it is slow? @missing: 1..8 blocks; the first comes at once. */
static bool asked_twice(unsigned missing)
{
	struct swarm s;
	uint8_t bitmap[4] = {0xff, 0xff, 0xff, (uint8_t)(0xff >> missing)};
	bool twice;

	begin(&s, false, bitmap);
	say_bitmap(&s, 2, 0, true);
	answer_hashes(&s, 2);
	join(&s, 4, 6);
	say_bitmap(&s, 4, 0, true);
	s.b.now += 100 * MS;
	block(&s, 2, asked(&s, 2, 0), 0);
	pass(&s.b, 2500 * MS); /* slow after one second, given up after three */
	twice = asked(&s, 4, 0) != UINT32_MAX;
	end(&s);
	return twice;
}

/* What is asked twice may come twice: of 32 blocks the last two may be, however slow those before them are. */
static void test_endgame_share(void **state)
{
	(void)state;
	assert_true(asked_twice(2));
	assert_true(asked_twice(3));
	assert_false(asked_twice(4));
}

/* The last blocks are asked of a second peer when the first is slow, and cancelled when they came. */
static void test_endgame(void **state)
{
	struct swarm s;
	uint8_t bitmap[4] = {0xff, 0xff, 0xff, 0x7f};

	(void)state;
	begin(&s, false, bitmap);
	say_bitmap(&s, 2, 0, true);
	answer_hashes(&s, 2);
	assert_int_equal(asked(&s, 2, 0), 31);
	join(&s, 4, 6);
	say_bitmap(&s, 4, 0, true);
	assert_int_equal(asked(&s, 4, 0), UINT32_MAX);
	pass(&s.b, 7 * SECOND);
	assert_int_equal(asked(&s, 4, 0), 31);
	block(&s, 4, 31, 0);
	assert_int_equal(count_frames(&s.b, 2, AY_FRAME_CANCEL), 1);
	assert_int_equal(count(&s.b, AY_ORDER_FINISH_BUNDLE), 1);
	end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pipeline),        cmocka_unit_test(test_offer_durable),
		cmocka_unit_test(test_failed_way),      cmocka_unit_test(test_resumes),
		cmocka_unit_test(test_rarest),          cmocka_unit_test(test_once),
		cmocka_unit_test(test_laptops_first),   cmocka_unit_test(test_sent_to_peers),
		cmocka_unit_test(test_alone),           cmocka_unit_test(test_starving),
		cmocka_unit_test(test_time_out),        cmocka_unit_test(test_have),
		cmocka_unit_test(test_wrong_blocks),    cmocka_unit_test(test_disk_full),
		cmocka_unit_test(test_endgame),         cmocka_unit_test(test_killed_worker),
		cmocka_unit_test(test_lost_documents),  cmocka_unit_test(test_slow_link),
		cmocka_unit_test(test_learns_patience), cmocka_unit_test(test_endgame_share),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
