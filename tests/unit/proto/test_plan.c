/* SPDX-License-Identifier: MIT */
/* The cheapest way: what is taken, what is passed over, what is never gone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "proto/plan.h"

#define MIB ((uint64_t)1 << 20)

/* A tree's manifest is named by its serial; 0 is nothing. */
static struct ay_digest tree(uint8_t serial)
{
	struct ay_digest d = {{0}};

	d.b[0] = serial;
	return d;
}

static struct ay_plan_tree trees[64];
static struct ay_plan_edge edges[64];
static struct ay_plan_input in;

static void setup(uint8_t have)
{
	in = (struct ay_plan_input){.have = tree(have), .have_serial = have, .trees = trees, .edges = edges};
}

static void release(uint8_t serial, bool goal)
{
	trees[in.n_trees++] = (struct ay_plan_tree){tree(serial), serial, goal};
}

static size_t offer(uint8_t from, uint8_t to, uint64_t mib, uint32_t price)
{
	edges[in.n_edges] = (struct ay_plan_edge){tree(from), tree(to), mib * MIB, price};
	return in.n_edges++;
}

static void test_direct(void **state)
{
	struct ay_plan_way w;

	(void)state;
	setup(5);
	release(7, true);
	assert_false(ay_plan_find(&in, &w));
	size_t e = offer(5, 7, 10, AY_PRICE_SCHOOL);
	assert_true(ay_plan_find(&in, &w));
	assert_int_equal(w.first_edge, e);
	assert_int_equal(w.steps, 1);
	assert_int_equal(trees[w.goal].serial, 7);
	assert_int_equal(w.price, 10 * MIB * AY_PRICE_SCHOOL + AY_PRICE_STEP);
}

static void test_cheapest(void **state)
{
	struct ay_plan_way w;

	(void)state;
	setup(5);
	release(7, true);
	release(6, false);
	offer(0, 7, 300, AY_PRICE_LAPTOP);
	offer(5, 7, 50, AY_PRICE_SCHOOL);
	size_t a = offer(5, 6, 20, AY_PRICE_LAPTOP);
	offer(6, 7, 20, AY_PRICE_LAPTOP);
	assert_true(ay_plan_find(&in, &w));
	assert_int_equal(w.first_edge, a);
	assert_int_equal(w.steps, 2);
	assert_int_equal(trees[w.first_tree].serial, 6);
	assert_int_equal(trees[w.goal].serial, 7);
	/* Without a holder the step counts for nothing, and the direct one is next. */
	edges[a].price = 0;
	assert_true(ay_plan_find(&in, &w));
	assert_int_equal(w.first_edge, 1);
	edges[1].price = 0;
	assert_true(ay_plan_find(&in, &w));
	assert_int_equal(w.first_edge, 0);
	edges[0].price = 0;
	assert_false(ay_plan_find(&in, &w));
}

/* Equal bytes: one step rather than two, laptops rather than the school, what is here rather than either. */
static void test_ties(void **state)
{
	struct ay_plan_way w;

	(void)state;
	setup(1);
	release(3, true);
	release(2, true);
	offer(1, 2, 10, AY_PRICE_LAPTOP);
	offer(2, 3, 10, AY_PRICE_LAPTOP);
	size_t direct = offer(1, 3, 20, AY_PRICE_LAPTOP);
	assert_true(ay_plan_find(&in, &w));
	assert_int_equal(w.first_edge, direct);
	edges[direct].price = AY_PRICE_SCHOOL;
	assert_true(ay_plan_find(&in, &w));
	assert_int_equal(w.first_edge, 0);
	edges[direct].missing_bytes = 0;
	edges[direct].price = 1;
	assert_true(ay_plan_find(&in, &w));
	assert_int_equal(w.first_edge, direct);
}

/* The highest that can be obtained, not the highest that was heard of. */
static void test_obtainable(void **state)
{
	struct ay_plan_way w;

	(void)state;
	setup(4);
	release(9, true);
	release(8, true);
	release(7, true);
	offer(4, 7, 1, AY_PRICE_LAPTOP);
	size_t dear = offer(4, 8, 900, AY_PRICE_SCHOOL);
	offer(5, 9, 1, AY_PRICE_LAPTOP); /* from a tree that we do not have */
	assert_true(ay_plan_find(&in, &w));
	assert_int_equal(trees[w.goal].serial, 8);
	assert_int_equal(w.first_edge, dear);
}

/* An unknown tree, one that may not be the end, one below ours: passed, not ended at, never touched. */
static void test_passing(void **state)
{
	struct ay_plan_way w;

	(void)state;
	setup(5);
	release(9, true);
	release(6, false);
	release(4, true);
	offer(5, 8, 1, AY_PRICE_LAPTOP); /* nobody signed 8 for us to see */
	offer(8, 9, 1, AY_PRICE_LAPTOP);
	offer(5, 4, 1, AY_PRICE_LAPTOP);
	offer(4, 9, 1, AY_PRICE_LAPTOP);
	assert_false(ay_plan_find(&in, &w));
	offer(5, 6, 1, AY_PRICE_LAPTOP);
	assert_false(ay_plan_find(&in, &w));
	offer(6, 9, 1, AY_PRICE_LAPTOP);
	assert_true(ay_plan_find(&in, &w));
	assert_int_equal(w.steps, 2);
}

/* The store never goes back, so a way never does. */
static void test_serials_rise(void **state)
{
	struct ay_plan_way w;

	(void)state;
	setup(1);
	release(5, true);
	release(3, true);
	release(9, false);
	offer(1, 9, 1, AY_PRICE_LAPTOP);
	offer(9, 5, 1, AY_PRICE_LAPTOP);
	assert_false(ay_plan_find(&in, &w));
	offer(1, 3, 1, AY_PRICE_LAPTOP);
	assert_true(ay_plan_find(&in, &w));
	assert_int_equal(trees[w.goal].serial, 3);
}

static void test_from_nothing(void **state)
{
	struct ay_plan_way w;

	(void)state;
	setup(0);
	release(2, true);
	release(1, false);
	size_t all = offer(0, 1, 100, AY_PRICE_SCHOOL);
	offer(1, 2, 5, AY_PRICE_SCHOOL);
	assert_true(ay_plan_find(&in, &w));
	assert_int_equal(w.first_edge, all);
	assert_int_equal(w.steps, 2);
	/* It can be applied whatever we have, in the middle of a way too. */
	in.have = tree(1);
	in.have_serial = 1;
	edges[1].price = 0;
	offer(0, 2, 100, AY_PRICE_SCHOOL);
	assert_true(ay_plan_find(&in, &w));
	assert_int_equal(w.first_edge, 2);
}

/* Circles, sizes beyond all measure, more trees than are looked at. */
static void test_odd(void **state)
{
	struct ay_plan_way w;

	(void)state;
	setup(1);
	release(3, true);
	release(2, false);
	edges[offer(1, 2, 0, 3)].missing_bytes = UINT64_MAX;
	edges[offer(2, 3, 0, 3)].missing_bytes = UINT64_MAX;
	offer(2, 2, 1, 2);
	offer(3, 2, 1, 2);
	assert_true(ay_plan_find(&in, &w));
	assert_int_equal(w.steps, 2);
	in.n_trees = 64;
	for (unsigned i = 2; i < 64; i++)
		trees[i] = (struct ay_plan_tree){tree((uint8_t)(i + 10)), i + 10, false};
	in.n_trees = 1000; /* only the first 64 are read */
	assert_true(ay_plan_find(&in, &w));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_direct),       cmocka_unit_test(test_cheapest),
		cmocka_unit_test(test_ties),         cmocka_unit_test(test_obtainable),
		cmocka_unit_test(test_passing),      cmocka_unit_test(test_serials_rise),
		cmocka_unit_test(test_from_nothing), cmocka_unit_test(test_odd),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
