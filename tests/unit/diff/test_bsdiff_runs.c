/* SPDX-License-Identifier: MIT */
/* Long stretches in common: each is one, all that were put there are found, and cutting them off loses no byte. */
#include "tests/unit/diff/trees.h"

#include "diff/bsdiff.h"
#include "diff/bsdiff_search.h"

#define KIB 1024

struct pair {
	uint8_t *a, *b;
	struct ay_slice old, new_;
};

/* Stretches of random bytes in another order, new bytes between them. */
static struct pair shuffled(uint64_t seed, size_t n, size_t len)
{
	struct ay_prng r;
	struct pair p = {0};

	ay_prng_init(&r, seed);
	p.a = bytes_random(&r, n * len);
	p.b = malloc(n * (len + 300));
	assert_non_null(p.b);
	size_t at = 0;
	for (size_t i = 0; i < n; i++) {
		memcpy(p.b + at, p.a + i * 7 % n * len, len);
		at += len;
		for (size_t k = ay_prng_below(&r, 300); k > 0; k--)
			p.b[at++] = (uint8_t)ay_prng_next(&r);
	}
	p.old = (struct ay_slice){p.a, n * len};
	p.new_ = (struct ay_slice){p.b, at};
	return p;
}

static void pair_free(struct pair *p)
{
	free(p->a);
	free(p->b);
}

static void test_found(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed < 6; seed++) {
		struct pair p = shuffled(seed, 50, 4 * KIB);
		struct ay__run *runs;
		size_t n;
		uint64_t sum = 0, end = 0;

		assert_int_equal(ay__runs_find(p.old, p.new_, &runs, &n), 0);
		for (size_t i = 0; i < n; i++) {
			assert_true(runs[i].new_at >= end && runs[i].len >= AY__RUN_MIN);
			end = runs[i].new_at + runs[i].len;
			assert_true(end <= p.new_.len && runs[i].old_at + runs[i].len <= p.old.len);
			assert_memory_equal(p.a + runs[i].old_at, p.b + runs[i].new_at, runs[i].len);
			sum += runs[i].len;
		}
		/* An anchor in 256 bytes: of 4 KiB hardly any stretch has none. */
		assert_true(sum > p.old.len * 95 / 100);
		free(runs);
		pair_free(&p);
	}
}

static void test_nothing_in_common(void **state)
{
	(void)state;
	struct ay_prng r;
	struct ay__run *runs;
	struct ay__rest rest;
	size_t n, len = 300 * KIB;

	ay_prng_init(&r, 9);
	uint8_t *a = bytes_random(&r, len), *b = bytes_random(&r, len), *zeros = calloc(1, len);
	struct ay_slice x = {a, len}, y = {b, len}, z = {zeros, len}, none = {a, 0};
	assert_int_equal(ay__runs_find(x, y, &runs, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(ay__runs_cut(x, runs, n, &rest), 0);
	assert_null(rest.bytes);
	free(runs);
	assert_int_equal(ay__runs_find(none, y, &runs, &n), 0);
	assert_int_equal(n, 0);
	free(runs);
	assert_int_equal(ay__runs_find(x, none, &runs, &n), 0);
	assert_int_equal(n, 0);
	free(runs);
	/* Zeros: at most one stretch, and no long time. */
	assert_int_equal(ay__runs_find(z, z, &runs, &n), 0);
	assert_true(n <= 1);
	free(runs);
	free(a);
	free(b);
	free(zeros);
}

static void test_cut(void **state)
{
	(void)state;
	struct pair p = shuffled(11, 60, 4 * KIB);
	struct ay__run *runs;
	struct ay__rest rest;
	size_t n;

	assert_int_equal(ay__runs_find(p.old, p.new_, &runs, &n), 0);
	assert_int_equal(ay__runs_cut(p.old, runs, n, &rest), 0);
	assert_non_null(rest.bytes);
	assert_true(rest.len < p.old.len / 4);
	for (size_t i = 0; i < rest.len; i++) {
		const struct ay__run *piece = ay__rest_find(&rest, i);

		assert_true(i >= piece->new_at && i < piece->new_at + piece->len);
		assert_int_equal(rest.bytes[i], p.a[piece->old_at + (i - piece->new_at)]);
	}
	ay__rest_release(&rest);
	free(runs);
	pair_free(&p);
}

/* What the search says is there, is there: inside stretches, at their ends, between them. */
static void test_search(void **state)
{
	(void)state;
	struct pair p = shuffled(12, 60, 4 * KIB);
	struct ay__search s;
	uint64_t found = 0;

	assert_int_equal(ay__search_init(&s, p.old, p.new_, 0), 0);
	assert_non_null(s.rest.bytes);
	for (size_t at = 0; at < p.new_.len; at += 3) {
		uint64_t pos = 0;
		size_t len = ay__search_at(&s, at, &pos);

		assert_true(at + len <= p.new_.len && pos + len <= p.old.len);
		assert_memory_equal(p.a + pos, p.b + at, len);
		found += len > 64;
	}
	assert_true(found > p.new_.len / 3 * 85 / 100);
	ay__search_release(&s);
	pair_free(&p);
}

/* All of bsdiff over it: the operations write the new file, and hardly any byte of it is sent. */
static void test_operations(void **state)
{
	(void)state;
	for (uint64_t seed = 20; seed < 24; seed++) {
		struct pair p = shuffled(seed, 40 + seed, 3 * KIB);
		struct ay_bsdiff_ops ops = {0};
		uint64_t at = 0, extra = 0;

		assert_int_equal(ay_bsdiff(p.old, p.new_, NULL, &ops), 0);
		for (size_t i = 0; i < ops.n; i++) {
			assert_true(ops.ops[i].old_pos + ops.ops[i].diff_len <= p.old.len);
			at += ops.ops[i].diff_len + ops.ops[i].extra_len;
			extra += ops.ops[i].extra_len;
		}
		assert_int_equal(at, p.new_.len);
		assert_true(extra < p.new_.len - p.old.len + p.old.len / 10);
		ay_bsdiff_ops_release(&ops);
		pair_free(&p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_found),      cmocka_unit_test(test_nothing_in_common),
		cmocka_unit_test(test_cut),        cmocka_unit_test(test_search),
		cmocka_unit_test(test_operations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
