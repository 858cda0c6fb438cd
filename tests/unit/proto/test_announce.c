/* SPDX-License-Identifier: MIT */
/* Hearing and saying: trains, suppression, questions, and what a stranger's datagram can make us do. */
#include "tests/unit/proto/bench.h"

#include <string.h>

static size_t heads_in(const struct bench *b, enum ay_group group)
{
	size_t n = 0;

	for (size_t i = 0; i < b->n; i++) {
		struct ay_wire_datagram d;
		const struct ay_order *o = &b->seen[i].o;
		if (o->type != AY_ORDER_DATAGRAM || o->datagram.group != group)
			continue;
		assert_int_equal(ay_wire_datagram_get(o->data.data, o->data.len, &d), 0);
		assert_true(o->data.len <= AY_DATAGRAM_MAX);
		n += d.type == AY_DATAGRAM_HEAD;
	}
	return n;
}

static struct ay_wire_datagram head_datagram(const uint8_t *head)
{
	return (struct ay_wire_datagram){
		.type = AY_DATAGRAM_HEAD, .port = 4444, .session_id = 77, .head = head};
}

/* A CHAT that says of our branch what is given. */
static struct ay_wire_datagram chat(const struct bench *b, uint64_t id, uint32_t head, bool question)
{
	struct ay_wire_datagram d = {.type = AY_DATAGRAM_CHAT,
				     .port = 4444,
				     .session_id = id,
				     .root_version = 1,
				     .question = question,
				     .n = 1};
	struct ay_branch_id branch;

	ay_branch_id("story", b->p.branch, &branch);
	d.summaries[0] = (struct ay_wire_summary){ay_get_le32(branch.b), head, head};
	return d;
}

static void publish(struct bench *b, uint32_t serial)
{
	const struct published_release *r = publisher_release(&b->p, serial, 100);

	give(b, AY_EV_RELEASE, r->envelope.data, r->envelope.len);
	assert_int_equal(give(b, AY_EV_HEAD, r->head, AY_HEAD_SIZE), 0);
}

/* 12 copies 100 ms apart at 0, +30 s and +5 min; all before that is silence. */
static void test_trains(void **state)
{
	struct bench b;

	(void)state;
	bench_begin(&b, AY_NODE_SCHOOL, NULL);
	pass(&b, 60 * SECOND);
	assert_int_equal(heads_in(&b, AY_GROUP_NEWS), 0);
	clear(&b);
	publish(&b, 2);
	pass(&b, 4 * SECOND);
	assert_int_equal(heads_in(&b, AY_GROUP_NEWS), 12);
	pass(&b, 25 * SECOND);
	assert_int_equal(heads_in(&b, AY_GROUP_NEWS), 12);
	pass(&b, 5 * SECOND);
	assert_int_equal(heads_in(&b, AY_GROUP_NEWS), 24);
	pass(&b, 265 * SECOND);
	assert_int_equal(heads_in(&b, AY_GROUP_NEWS), 24);
	pass(&b, 5 * SECOND);
	assert_int_equal(heads_in(&b, AY_GROUP_NEWS), 36);
	pass(&b, 3600 * SECOND);
	assert_int_equal(heads_in(&b, AY_GROUP_NEWS), 36);
	bench_end(&b);
}

/* Somebody else's train makes ours superfluous; each train is judged on its own. */
static void test_suppressed(void **state)
{
	struct bench b;

	(void)state;
	bench_begin(&b, AY_NODE_SCHOOL, NULL);
	pass(&b, 20 * SECOND);
	clear(&b);
	publish(&b, 2);
	struct ay_wire_datagram d = head_datagram(published(&b.p, 2)->head);
	hear(&b, AY_GROUP_NEWS, 5, &d);
	hear(&b, AY_GROUP_NEWS, 5, &d);
	pass(&b, 20 * SECOND);
	assert_int_equal(heads_in(&b, AY_GROUP_NEWS), 0);
	/* Copies of the first train do not count for the second. */
	pass(&b, 14 * SECOND);
	assert_int_equal(heads_in(&b, AY_GROUP_NEWS), 12);
	bench_end(&b);
}

/* A newer head, heard: stored first, then spoken of. */
static void test_durable_first(void **state)
{
	struct bench b;

	(void)state;
	bench_begin(&b, AY_NODE_LAPTOP, NULL);
	pass(&b, 20 * SECOND);
	clear(&b);
	publisher_release(&b.p, 2, 100);
	struct ay_wire_datagram d = head_datagram(published(&b.p, 2)->head);
	assert_int_equal(hear(&b, AY_GROUP_NEWS, 5, &d), 0);
	const struct seen *s = first(&b, AY_ORDER_STORE_HEAD);
	assert_non_null(s);
	assert_memory_equal(s->data, published(&b.p, 2)->head, AY_HEAD_SIZE);
	assert_string_equal(s->o.branch.branch, "xo/stable");
	pass(&b, 20 * SECOND);
	assert_int_equal(heads_in(&b, AY_GROUP_NEWS), 0);
	assert_int_equal(status(&b)->branches[0].head_serial, 1);
	stored(&b, 0);
	assert_int_equal(status(&b)->branches[0].head_serial, 2);
	pass(&b, 5 * SECOND);
	assert_int_equal(heads_in(&b, AY_GROUP_NEWS), 12);
	bench_end(&b);
}

static void test_not_stored(void **state)
{
	struct bench b;

	(void)state;
	bench_begin(&b, AY_NODE_LAPTOP, NULL);
	pass(&b, 20 * SECOND);
	publisher_release(&b.p, 2, 100);
	struct ay_wire_datagram d = head_datagram(published(&b.p, 2)->head);
	hear(&b, AY_GROUP_NEWS, 5, &d);
	stored(&b, -5);
	clear(&b);
	pass(&b, 20 * SECOND);
	assert_int_equal(heads_in(&b, AY_GROUP_NEWS), 0);
	assert_int_equal(status(&b)->branches[0].head_serial, 1);
	/* Heard again, tried again. */
	hear(&b, AY_GROUP_NEWS, 5, &d);
	assert_int_equal(count(&b, AY_ORDER_STORE_HEAD), 1);
	bench_end(&b);
}

/* One question, one answer, however many ask; a flood is answered eight times and then once in two seconds. */
static void test_questions(void **state)
{
	struct bench b;

	(void)state;
	bench_begin(&b, AY_NODE_SCHOOL, NULL);
	publish(&b, 2);
	pass(&b, 700 * SECOND);
	clear(&b);
	struct ay_wire_datagram q = chat(&b, 1, 1, true), other = head_datagram(published(&b.p, 2)->head);
	hear(&b, AY_GROUP_CHAT, 5, &q);
	hear(&b, AY_GROUP_CHAT, 6, &q);
	assert_int_equal(heads_in(&b, AY_GROUP_CHAT), 0);
	pass(&b, SECOND);
	assert_int_equal(heads_in(&b, AY_GROUP_CHAT), 1);
	/* Somebody else was faster. */
	hear(&b, AY_GROUP_CHAT, 5, &q);
	hear(&b, AY_GROUP_CHAT, 7, &other);
	pass(&b, SECOND);
	assert_int_equal(heads_in(&b, AY_GROUP_CHAT), 1);
	/* Who knows as much as we gets no answer. */
	q = chat(&b, 1, 2, true);
	hear(&b, AY_GROUP_CHAT, 5, &q);
	pass(&b, SECOND);
	assert_int_equal(heads_in(&b, AY_GROUP_CHAT), 1);
	pass(&b, 100 * SECOND);
	clear(&b);
	q = chat(&b, 1, 1, true);
	for (unsigned i = 0; i < 1000; i++) {
		hear(&b, AY_GROUP_CHAT, (uint8_t)(i % 50), &q);
		pass(&b, 20 * MS);
	}
	assert_in_range(heads_in(&b, AY_GROUP_CHAT), 10, 8 + 10 + 1);
	/* And none of it goes where radios sleep. */
	assert_int_equal(heads_in(&b, AY_GROUP_NEWS), 0);
	bench_end(&b);
}

/* Unsigned news resets nothing: a liar cannot make the room talk. */
static void test_liar_in_chat(void **state)
{
	struct bench a, b;

	(void)state;
	bench_begin(&a, AY_NODE_LAPTOP, NULL);
	bench_begin(&b, AY_NODE_LAPTOP, NULL);
	pass(&a, 1000 * SECOND);
	pass(&b, 1000 * SECOND);
	clear(&a);
	clear(&b);
	for (unsigned i = 0; i < 600; i++) {
		struct ay_wire_datagram d = chat(&b, 99, 1000 + i, false);
		hear(&b, AY_GROUP_CHAT, 5, &d);
		pass(&b, SECOND);
		pass(&a, SECOND);
	}
	/* Questions are rationed too. */
	assert_true(count(&b, AY_ORDER_DATAGRAM) <= count(&a, AY_ORDER_DATAGRAM) + 4 + 40 + 40);
	assert_int_equal(heads_in(&b, AY_GROUP_NEWS), 0);
	assert_int_equal(count(&b, AY_ORDER_STORE_HEAD), 0);
	bench_end(&a);
	bench_end(&b);
}

/* A flood of forged heads: few signatures are looked at, and the true one still gets through. */
static void test_flood(void **state)
{
	struct bench b;
	uint8_t forged[AY_HEAD_SIZE];

	(void)state;
	bench_begin(&b, AY_NODE_LAPTOP, NULL);
	pass(&b, 20 * SECOND);
	publisher_release(&b.p, 2, 100);
	for (unsigned i = 0; i < 5000; i++) {
		memcpy(forged, published(&b.p, 2)->head, sizeof(forged));
		forged[100] = (uint8_t)i;
		forged[101] = (uint8_t)(i >> 8);
		struct ay_wire_datagram d = head_datagram(forged);
		hear(&b, AY_GROUP_NEWS, 9, &d);
	}
	/* Only as many were verified, and refused, as the bucket held; the others were dropped unseen. */
	assert_in_range(status(&b)->packets_refused, 1, 17);
	pass(&b, SECOND);
	struct ay_wire_datagram d = head_datagram(published(&b.p, 2)->head);
	hear(&b, AY_GROUP_NEWS, 5, &d);
	assert_int_equal(count(&b, AY_ORDER_STORE_HEAD), 1);
	bench_end(&b);
}

/* Our own voice, another fleet's head, a branch that we do not follow, a CHAT where only heads may be. */
static void test_not_for_us(void **state)
{
	struct bench b;
	struct publisher p;

	(void)state;
	bench_begin(&b, AY_NODE_LAPTOP, NULL);
	pass(&b, 20 * SECOND);
	clear(&b);
	publisher_release(&b.p, 2, 100);
	struct ay_wire_datagram d = head_datagram(published(&b.p, 2)->head);
	d.session_id = MINE;
	assert_int_equal(hear(&b, AY_GROUP_NEWS, 5, &d), 0);
	assert_int_equal(status(&b)->neighbours, 0);
	publisher_init(&p, 8);
	memcpy(p.branch, "xo/other", 9);
	publisher_release(&p, 5, 100);
	d = head_datagram(published(&p, 5)->head);
	assert_int_equal(hear(&b, AY_GROUP_NEWS, 5, &d), 0);
	d = chat(&b, 3, 1, false);
	assert_int_equal(hear(&b, AY_GROUP_NEWS, 5, &d), AY_EFORMAT);
	assert_int_equal(count(&b, AY_ORDER_STORE_HEAD), 0);
	publisher_free(&p);
	bench_end(&b);
}

/* The same release signed again: taken silently. */
static void test_signed_again(void **state)
{
	struct bench b;
	uint8_t head[AY_HEAD_SIZE];

	(void)state;
	bench_begin(&b, AY_NODE_LAPTOP, NULL);
	pass(&b, 1000 * SECOND);
	clear(&b);
	publisher_head(&b.p, 1, 50, 1800000000, 0, head);
	struct ay_wire_datagram d = head_datagram(head);
	hear(&b, AY_GROUP_NEWS, 5, &d);
	assert_int_equal(count(&b, AY_ORDER_STORE_HEAD), 1);
	stored(&b, 0);
	pass(&b, 400 * SECOND);
	assert_int_equal(heads_in(&b, AY_GROUP_NEWS), 0);
	/* And the older one is not taken back. */
	clear(&b);
	d = head_datagram(published(&b.p, 1)->head);
	hear(&b, AY_GROUP_NEWS, 5, &d);
	assert_int_equal(count(&b, AY_ORDER_STORE_HEAD), 0);
	bench_end(&b);
}

/* On waking it asks within a second, padded to the size of the answer. */
static void test_wake(void **state)
{
	struct bench b;

	(void)state;
	bench_begin(&b, AY_NODE_LAPTOP, NULL);
	pass(&b, 3000 * SECOND);
	clear(&b);
	feed(&b, (struct ay_event){.type = AY_EV_WAKE});
	pass(&b, SECOND);
	const struct seen *s = first(&b, AY_ORDER_DATAGRAM);
	struct ay_wire_datagram d;
	assert_non_null(s);
	assert_int_equal(s->o.datagram.group, AY_GROUP_CHAT);
	assert_int_equal(ay_wire_datagram_get(s->data, s->o.data.len, &d), 0);
	assert_true(d.question);
	assert_true(s->o.data.len >= AY_WIRE_HEAD_SIZE);
	bench_end(&b);
}

/* Without a root there is nothing to say, and nothing is believed. */
static void test_no_root(void **state)
{
	struct bench b;
	struct ay_core_config cfg = {.session_id = MINE, .seed = 1, .auto_update = true};

	(void)state;
	bench_begin(&b, AY_NODE_LAPTOP, NULL);
	ay_core_free(b.core);
	b.core = ay_core_new(&cfg);
	b.deadline = UINT64_MAX;
	clear(&b);
	feed(&b, (struct ay_event){.type = AY_EV_BRANCH, .branch = {.name = b.p.branch, .follow = true}});
	assert_int_equal(give(&b, AY_EV_HEAD, published(&b.p, 1)->head, AY_HEAD_SIZE), AY_EROLE);
	struct ay_wire_datagram d = head_datagram(published(&b.p, 1)->head);
	hear(&b, AY_GROUP_NEWS, 5, &d);
	feed(&b, (struct ay_event){.type = AY_EV_CONNECTED,
				   .conn = {.id = 2, .addr = host(4), .incoming = true}});
	pass(&b, 1000 * SECOND);
	assert_int_equal(count(&b, AY_ORDER_DATAGRAM), 0);
	assert_int_equal(count(&b, AY_ORDER_STORE_HEAD), 0);
	assert_int_equal(count(&b, AY_ORDER_CLOSE), 1);
	assert_non_null(strstr(status(&b)->branches[0].problem, "no root key"));
	bench_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_trains),        cmocka_unit_test(test_suppressed),
		cmocka_unit_test(test_durable_first), cmocka_unit_test(test_not_stored),
		cmocka_unit_test(test_questions),     cmocka_unit_test(test_liar_in_chat),
		cmocka_unit_test(test_flood),         cmocka_unit_test(test_not_for_us),
		cmocka_unit_test(test_signed_again),  cmocka_unit_test(test_wake),
		cmocka_unit_test(test_no_root),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
