/* SPDX-License-Identifier: MIT */
/* Giving: what is sent to whom, in which order, and what a school refuses. */
#include "tests/unit/proto/swarm_bench.h"

/* In the order of asking, two on their way at a time. */
static void test_two_at_a_time(void **state)
{
	struct swarm s;
	uint32_t next = 0;

	(void)state;
	begin_giving(&s, AY_NODE_LAPTOP, 1);
	for (uint32_t i = 0; i < 10; i++)
		ask_us(&s, 2, i, 0, 0);
	assert_int_equal(count(&s.b, AY_ORDER_SEND_BLOCK), 2);
	while (next < 10) {
		const struct seen *o = first(&s.b, AY_ORDER_SEND_BLOCK);
		assert_int_equal(o->o.block.index, next++);
		s.b.seen[o - s.b.seen].o.type = AY_ORDER_DEADLINE; /* looked at */
		sent(&s, 2);
	}
	assert_int_equal(count(&s.b, AY_ORDER_SEND_BLOCK), 0);
	assert_int_equal(status(&s.b)->bytes_served, 10 * AY_BLOCK_SIZE);
	end(&s);
}

static void test_cancelled(void **state)
{
	struct swarm s;
	struct ay_wire_block w;
	struct ay_buf buf = {0};

	(void)state;
	begin_giving(&s, AY_NODE_LAPTOP, 1);
	for (uint32_t i = 0; i < 3; i++)
		ask_us(&s, 2, i, 0, 0);
	w = (struct ay_wire_block){.bundle = s.bundle->digest, .index = 2};
	ay_wire_block_put(&buf, &w);
	frame(&s.b, 2, AY_FRAME_CANCEL, &buf);
	sent(&s, 2);
	sent(&s, 2);
	assert_int_equal(count(&s.b, AY_ORDER_SEND_BLOCK), 2);
	end(&s);
}

/* Who has least goes first, when there are more than can be served at once. */
static void test_least_complete(void **state)
{
	struct swarm s;

	(void)state;
	begin_giving(&s, AY_NODE_LAPTOP, 10);
	for (unsigned i = 0; i < 8; i++)
		for (uint32_t k = 0; k < 4; k++)
			ask_us(&s, 2 + 2 * i, k, 5, 0);
	assert_int_equal(count(&s.b, AY_ORDER_SEND_BLOCK), 16);
	ask_us(&s, 18, 7, 20, 0);
	ask_us(&s, 20, 7, 1, 0);
	assert_int_equal(count(&s.b, AY_ORDER_SEND_BLOCK), 16);
	clear(&s.b);
	sent(&s, 2);
	assert_int_equal(first(&s.b, AY_ORDER_SEND_BLOCK)->o.block.conn, 20);
	clear(&s.b);
	sent(&s, 2);
	assert_int_not_equal(first(&s.b, AY_ORDER_SEND_BLOCK)->o.block.conn, 18);
	/* But nobody waits for ever, however busily the others ask. */
	clear(&s.b);
	for (uint32_t k = 4; k < 4 + 2 * 10; k += 2) {
		s.b.now += 500 * MS;
		for (unsigned i = 0; i < 8; i++) {
			ask_us(&s, 2 + 2 * i, k, 5, 0);
			ask_us(&s, 2 + 2 * i, k + 1, 5, 0);
			sent(&s, 2 + 2 * i);
			sent(&s, 2 + 2 * i);
		}
		sent(&s, 20);
	}
	bool served = false;
	for (size_t i = 0; i < s.b.n; i++)
		served |= s.b.seen[i].o.type == AY_ORDER_SEND_BLOCK && s.b.seen[i].o.block.conn == 18;
	assert_true(served);
	end(&s);
}

/* Far too many requests: refused, and then punished. */
static void test_too_many(void **state)
{
	struct swarm s;

	(void)state;
	begin_giving(&s, AY_NODE_LAPTOP, 1);
	for (unsigned i = 0; i < 200; i++)
		ask_us(&s, 2, i % BLOCKS, 0, 0);
	/* The same block is queued once: all of them fit. */
	assert_int_equal(count_frames(&s.b, 2, AY_FRAME_REJECT), 0);
	ask_us(&s, 2, BLOCKS, 0, 0);
	assert_int_equal(count(&s.b, AY_ORDER_CLOSE), 1); /* no such block: garbage */
	end(&s);
}

static uint8_t reason_of(const struct swarm *s, uint64_t conn)
{
	const struct seen *f = nth_frame(&s->b, conn, AY_FRAME_REJECT, 0);
	struct ay_wire_reject r;

	if (!f)
		return 0;
	assert_int_equal(ay_wire_reject_get(f->data, f->o.data.len, &r), 0);
	return r.reason;
}

/* A school gives a block to one laptop and sends the next one there; a third ask, or one without peers, is served. */
static void test_school_spreads(void **state)
{
	struct swarm s;

	(void)state;
	begin_giving(&s, AY_NODE_SCHOOL, 3);
	ask_us(&s, 2, 0, 0, 0);
	assert_int_equal(count(&s.b, AY_ORDER_SEND_BLOCK), 1);
	ask_us(&s, 4, 0, 0, 0);
	assert_int_equal(count(&s.b, AY_ORDER_SEND_BLOCK), 1);
	assert_int_equal(reason_of(&s, 4), AY_REJECT_ASK_PEERS);
	/* The same laptop again: it got lost, or was killed. */
	sent(&s, 2);
	ask_us(&s, 2, 0, 0, 0);
	assert_int_equal(count(&s.b, AY_ORDER_SEND_BLOCK), 2);
	clear(&s.b);
	/* A second ask, shortly after and later. */
	ask_us(&s, 4, 0, 0, 1);
	assert_int_equal(reason_of(&s, 4), AY_REJECT_ASK_PEERS);
	clear(&s.b);
	s.b.now += 3 * SECOND;
	ask_us(&s, 4, 0, 0, 1);
	assert_int_equal(count(&s.b, AY_ORDER_SEND_BLOCK), 1);
	/* A third, and one who is alone: always. */
	ask_us(&s, 6, 0, 0, 2);
	assert_int_equal(count(&s.b, AY_ORDER_SEND_BLOCK), 2);
	ask_us(&s, 6, 1, 0, 0);
	ask_us(&s, 4, 1, 0, AY_ATTEMPT_ALONE);
	assert_int_equal(count(&s.b, AY_ORDER_SEND_BLOCK), 4);
	end(&s);
}

/* The laptop that had the block from the school is gone: so is the reason to refuse. */
static void test_school_forgets(void **state)
{
	struct swarm s;

	(void)state;
	begin_giving(&s, AY_NODE_SCHOOL, 2);
	ask_us(&s, 2, 0, 0, 0);
	feed(&s.b, (struct ay_event){.type = AY_EV_CLOSED, .conn = {.id = 2}});
	ask_us(&s, 4, 0, 0, 0);
	assert_int_equal(count(&s.b, AY_ORDER_SEND_BLOCK), 2);
	end(&s);
}

/* A laptop does not play that game: it gives what it has. */
static void test_laptop_gives(void **state)
{
	struct swarm s;

	(void)state;
	begin_giving(&s, AY_NODE_LAPTOP, 2);
	ask_us(&s, 2, 0, 0, 0);
	ask_us(&s, 4, 0, 0, 0);
	assert_int_equal(count(&s.b, AY_ORDER_SEND_BLOCK), 2);
	end(&s);
}

/* Who wants a bundle hears who else does. */
static void test_peers_passed_on(void **state)
{
	struct swarm s;
	struct ay_wire_peers p;

	(void)state;
	begin_giving(&s, AY_NODE_SCHOOL, 2);
	struct ay_wire_hello h = hello_of(&s.b, 200, false, 2, 1);
	meet(&s.b, 20, 30, &h);
	struct ay_buf buf = want_of(&s, 0, true);
	frame(&s.b, 20, AY_FRAME_WANT, &buf);
	const struct seen *f = nth_frame(&s.b, 20, AY_FRAME_PEERS, 0);
	assert_non_null(f);
	assert_int_equal(ay_wire_peers_get(f->data, f->o.data.len, &p), 0);
	assert_int_equal(p.n, 2);
	assert_int_equal(p.addrs[0].port, 4444);
	assert_in_range(p.addrs[0].ip[15], 10, 11);
	end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_two_at_a_time),  cmocka_unit_test(test_cancelled),
		cmocka_unit_test(test_least_complete), cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_school_spreads), cmocka_unit_test(test_school_forgets),
		cmocka_unit_test(test_laptop_gives),   cmocka_unit_test(test_peers_passed_on),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
