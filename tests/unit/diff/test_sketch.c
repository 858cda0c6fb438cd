/* SPDX-License-Identifier: MIT */
/* Sketches: what is alike is found, what is not is not, and how the bytes came does not matter. */
#include "tests/unit/diff/trees.h"

#include "diff/sketch.h"

static struct ay__sketch sketch_of(const uint8_t *data, size_t len)
{
	struct ay__sketcher k = {0};

	ay__sketch_update(&k, data, len);
	return k.sketch;
}

static void test_portions_do_not_matter(void **state)
{
	(void)state;
	struct ay_prng r;
	size_t len = 100000;

	ay_prng_init(&r, 1);
	uint8_t *a = bytes_code(&r, len);
	struct ay__sketch whole = sketch_of(a, len);
	assert_int_equal(whole.n, AY__SKETCH_MAX);
	for (uint32_t i = 1; i < whole.n; i++)
		assert_true(whole.feature[i - 1] < whole.feature[i]);
	for (unsigned round = 0; round < 20; round++) {
		struct ay__sketcher k = {0};

		for (size_t at = 0, n; at < len; at += n) {
			n = ay_prng_below(&r, round ? 5000 : 3);
			n = n < len - at ? n : len - at;
			ay__sketch_update(&k, a + at, n);
		}
		assert_memory_equal(&k.sketch, &whole, sizeof(whole));
	}
	free(a);
}

static void test_short_files_have_few(void **state)
{
	(void)state;
	struct ay_prng r;

	ay_prng_init(&r, 2);
	uint8_t *a = bytes_random(&r, 64);
	assert_int_equal(sketch_of(a, 0).n, 0);
	assert_int_equal(sketch_of(a, AY__SKETCH_STRING - 1).n, 0);
	assert_int_equal(sketch_of(a, AY__SKETCH_STRING).n, 1);
	assert_int_equal(sketch_of(a, AY__SKETCH_STRING + 3).n, 4);
	/* What one byte over and over has is one string. */
	uint8_t *zeros = calloc(1, 5000);
	assert_int_equal(sketch_of(zeros, 5000).n, 1);
	/* No string goes over a hole. */
	struct ay__sketcher k = {0};
	ay__sketch_update(&k, a, 10);
	ay__sketch_skip(&k);
	ay__sketch_update(&k, a + 10, 10);
	assert_int_equal(k.sketch.n, 0);
	free(zeros);
	free(a);
}

static void test_likeness(void **state)
{
	(void)state;
	struct ay_prng r;
	size_t len = 60000, new_len;
	unsigned mistakes = 0;

	ay_prng_init(&r, 3);
	for (unsigned round = 0; round < 20; round++) {
		uint8_t *a = bytes_random(&r, len), *b = bytes_edit(&r, a, len, 8, &new_len);
		uint8_t *other = bytes_random(&r, len);
		struct ay__sketch x = sketch_of(a, len), y = sketch_of(b, new_len), z = sketch_of(other, len);

		assert_int_equal(ay__sketch_common(&x, &x), AY__SKETCH_MAX);
		assert_true(ay__sketch_related(&x, &y));
		assert_int_equal(ay__sketch_common(&x, &y), ay__sketch_common(&y, &x));
		mistakes += ay__sketch_common(&x, &y) < AY__SKETCH_MAX / 2;
		assert_int_equal(ay__sketch_common(&x, &z), 0);
		assert_false(ay__sketch_related(&x, &z));
		free(a);
		free(b);
		free(other);
	}
	assert_true(mistakes < 3);
}

/* 300 families of three files: each file finds the two others first, with little memory as well. */
static void families(uint64_t memory, unsigned want_of_300)
{
	struct ay_prng r;
	size_t len = 8000, new_len;
	struct ay__sketch *s = calloc(900, sizeof(*s));
	struct ay__sketch_index *x = ay__sketch_index_new(900, memory);
	unsigned right = 0;

	assert_non_null(s);
	assert_non_null(x);
	ay_prng_init(&r, 4);
	for (uint32_t i = 0; i < 900; i += 3) {
		uint8_t *a = bytes_random(&r, len);

		for (uint32_t k = 0; k < 3; k++) {
			uint8_t *b = bytes_edit(&r, a, len, 2, &new_len);
			s[i + k] = sketch_of(b, new_len);
			ay__sketch_index_add(x, i + k, &s[i + k]);
			free(b);
		}
		free(a);
	}
	for (uint32_t i = 0; i < 900; i += 3) {
		uint32_t ids[3] = {0};
		size_t n = ay__sketch_index_find(x, &s[i + 1], ids, 3);

		right += n == 3 && ids[0] == i + 1 && ids[1] / 3 == i / 3 && ids[2] / 3 == i / 3;
	}
	if (right < want_of_300)
		fail_msg("%u of 300", right);
	ay__sketch_index_free(x);
	free(s);
}

static void test_index(void **state)
{
	(void)state;
	families(UINT64_MAX, 280);
	families(900 * 8 * 8, 180); /* eight features a file */
}

/* What is in all files makes no two of them alike; and of equals the lower number comes first. */
static void test_what_is_everywhere(void **state)
{
	(void)state;
	struct ay_prng r;
	uint8_t licence[20000];
	struct ay__sketch_index *x = ay__sketch_index_new(1000, UINT64_MAX);
	uint32_t ids[8];

	ay_prng_init(&r, 5);
	for (size_t i = 0; i < sizeof(licence); i++)
		licence[i] = (uint8_t)ay_prng_next(&r);
	struct ay__sketch s = sketch_of(licence, sizeof(licence));
	assert_non_null(x);
	for (uint32_t i = 0; i < 256; i++)
		ay__sketch_index_add(x, 256 - i, &s);
	assert_int_equal(ay__sketch_index_find(x, &s, ids, 8), 8);
	for (uint32_t i = 0; i < 8; i++)
		assert_int_equal(ids[i], i + 1);
	assert_int_equal(ay__sketch_index_find(x, &s, ids, 1), 1);
	assert_int_equal(ids[0], 1);
	ay__sketch_index_free(x);
	x = ay__sketch_index_new(1000, UINT64_MAX);
	for (uint32_t i = 0; i < 300; i++)
		ay__sketch_index_add(x, i, &s);
	assert_int_equal(ay__sketch_index_find(x, &s, ids, 8), 0);
	ay__sketch_index_free(x);
	ay__sketch_index_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_portions_do_not_matter),
		cmocka_unit_test(test_short_files_have_few),
		cmocka_unit_test(test_likeness),
		cmocka_unit_test(test_index),
		cmocka_unit_test(test_what_is_everywhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
