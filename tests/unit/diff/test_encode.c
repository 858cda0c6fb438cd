/* SPDX-License-Identifier: MIT */
/* Choosing between ways to code the same file: the second threshold of matching. */
#include "tests/unit/diff/trees.h"

#include "diff/encode.h"

#define SIZE 300000

struct pair {
	uint8_t *old, *new_;
	size_t new_len;
};

static struct pair pair_new(unsigned edits)
{
	struct ay_prng r;
	struct pair p;

	ay_prng_init(&r, 3);
	p.old = bytes_code(&r, SIZE);
	p.new_ = bytes_edit(&r, p.old, SIZE, edits, &p.new_len);
	return p;
}

static void pair_free(struct pair *p)
{
	free(p->old);
	free(p->new_);
}

/* Bytes of all columns, and what they pack to. */
static uint64_t coded(const struct pair *p, unsigned threshold, bool thorough, uint64_t *packed)
{
	struct ay__span base = {.bytes = {p->old, SIZE}, .size = SIZE};
	struct ay__span target = {.bytes = {p->new_, p->new_len}, .size = p->new_len};
	struct ay__encode_options o = {.piece_max = 1u << 20,
				       .threshold = threshold,
				       .thorough = thorough,
				       .methods = AY__METHOD_BIT(AY_METHOD_BSDIFF)};
	struct ay__encoded e = {0};

	assert_int_equal(ay__encode(&base, &target, &o, &e), 0);
	assert_int_equal(ay__encoded_cost(&e, packed), 0);
	uint64_t size = ay_columns_size(&e.columns);
	ay__encoded_release(&e);
	return size;
}

/* Where the first threshold is a bad one the second is taken, and where both are the same nothing changes. */
static void test_second_threshold(void **state)
{
	(void)state;
	struct pair p = pair_new(4000);
	uint64_t alone, both, twelve, same;

	coded(&p, 300, false, &alone);
	coded(&p, 300, true, &both);
	coded(&p, 12, false, &twelve);
	assert_true(both < alone);
	assert_int_equal(both, twelve);
	coded(&p, 12, true, &same);
	assert_int_equal(same, twelve);
	pair_free(&p);
}

/* A good first result is kept. */
static void test_first_threshold_kept(void **state)
{
	(void)state;
	struct pair p = pair_new(4000);
	uint64_t eight, both;

	uint64_t size = coded(&p, 8, false, &eight);
	assert_true(size > 64u << 10); /* or there was no second */
	coded(&p, 8, true, &both);
	assert_true(both <= eight);
	pair_free(&p);
}

/* What costs little is not tried again. */
static void test_little_is_left(void **state)
{
	(void)state;
	struct pair p = pair_new(40);
	uint64_t alone, both;

	uint64_t size = coded(&p, 300, false, &alone);
	assert_true(size < 64u << 10);
	coded(&p, 300, true, &both);
	assert_int_equal(both, alone);
	pair_free(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_second_threshold),
					   cmocka_unit_test(test_first_threshold_kept),
					   cmocka_unit_test(test_little_is_left)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
