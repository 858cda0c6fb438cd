/* SPDX-License-Identifier: MIT */
/*
 * Searching by suffix array against looking everywhere: the same longest match, never a false one. And its bounds,
 * counted rather than timed.
 */
#include "tests/unit/diff/trees.h"

#include "diff/alike.h"
#include "diff/bsdiff_search.h"

#define LEN_CAP 1024 /* as in diff/bsdiff_search.c */

static size_t longest(struct ay_slice old, struct ay_slice new_, size_t at)
{
	size_t best = 0;

	for (size_t p = 0; p < old.len; p++) {
		size_t n = old.len - p < new_.len - at ? old.len - p : new_.len - at;
		size_t len = ay__common(old.data + p, new_.data + at, n < LEN_CAP ? n : LEN_CAP);

		best = len > best ? len : best;
	}
	return best;
}

/* Few letters, among them the largest and the smallest byte, so that all borders of the pairs' table are met. */
static void compare(struct ay_prng *r, size_t old_len, unsigned letters, uint8_t last)
{
	static const uint8_t alphabet[6] = {0xff, 0xfe, 0x00, 0x01, 0x80, 0x7f};
	size_t new_len = 300;
	uint8_t *o = malloc(old_len), *n = malloc(new_len);

	for (size_t i = 0; i < old_len; i++)
		o[i] = alphabet[ay_prng_below(r, letters)];
	for (size_t i = 0; i < new_len; i++)
		n[i] = alphabet[ay_prng_below(r, letters)];
	o[old_len - 1] = last;
	struct ay_slice old = {o, old_len}, new_ = {n, new_len};
	struct ay__search s;
	assert_int_equal(ay__search_init(&s, old, new_, 0), 0);
	assert_true(s.sa32 != NULL);
	for (size_t at = 0; at < new_len; at++) {
		uint64_t pos = 0;
		size_t len = ay__search_at(&s, at, &pos), want = longest(old, new_, at);

		/* One byte is no match to the pairs' table. */
		assert_true(len == want || (want == 1 && len == 0));
		assert_true(pos <= old_len - len);
		assert_memory_equal(o + pos, n + at, len);
	}
	ay__search_release(&s);
	free(o);
	free(n);
}

static void test_longest_match(void **state)
{
	(void)state;
	static const uint8_t last[] = {0xff, 0xfe, 0x00, 0x01, 0x81, 0x42};
	struct ay_prng r;

	ay_prng_init(&r, 1);
	for (unsigned i = 0; i < 6; i++) {
		for (unsigned letters = 2; letters <= 6; letters++) {
			compare(&r, 20000, letters, last[i]);  /* with the pairs' table */
			compare(&r, 50 + i, letters, last[i]); /* without */
		}
	}
}

/*
 * The last byte, alone, sorts between the pairs that begin with it and those before. It must not be taken for one of those,
 * least of all where there are none: a match of two bytes would then reach over the file's end.
 */
static void test_last_byte_between_pairs(void **state)
{
	(void)state;
	size_t len = 20000;
	uint8_t *o = malloc(len);

	for (unsigned with_pairs = 0; with_pairs < 2; with_pairs++) {
		for (unsigned last = 2; last < 256; last++) {
			uint8_t n[4] = {(uint8_t)(last - 1), 0xff, 0xff, 0xff};
			struct ay__search s;
			uint64_t pos = 0;

			for (size_t i = 0; i < len; i++)
				o[i] = with_pairs ? n[i % 2] : 0;
			o[len - 1] = (uint8_t)last;
			struct ay_slice old = {o, len}, new_ = {n, 4};
			assert_int_equal(ay__search_init(&s, old, new_, 0), 0);
			size_t found = ay__search_at(&s, 0, &pos), want = longest(old, new_, 0);
			assert_true(found == want || (want == 1 && found == 0));
			assert_true(pos <= len - found);
			assert_memory_equal(o + pos, n, found);
			ay__search_release(&s);
		}
	}
	free(o);
}

static void test_bounds(void **state)
{
	(void)state;
	size_t len = 100000;
	uint8_t *zeros = calloc(len, 1), *other = calloc(len, 1);
	struct ay_slice old = {zeros, len}, new_ = {other, len - 10};
	struct ay__search s;
	uint64_t pos = 0;

	/* A match is measured to the cap only, however long it is. */
	assert_int_equal(ay__search_init(&s, old, new_, 0), 0);
	assert_int_equal(ay__search_at(&s, 0, &pos), LEN_CAP);
	ay__search_release(&s);
	/* Every search costs, by suffixes and by gaps, and when all is spent there are no more. */
	other[0] = 1;
	other[1000] = 7;
	for (unsigned shortcut = 0; shortcut <= 4; shortcut += 4) {
		assert_int_equal(ay__search_init(&s, old, new_, shortcut), 0);
		s.n_recent = 0;
		uint64_t effort = s.effort;
		assert_true(effort <= (1u << 20) + 256 * 2 * len);
		ay__search_at(&s, 990, &pos);
		assert_true(s.effort < effort);
		if (shortcut == 0) /* more than having looked: what the suffixes cost */
			assert_true(s.effort + 8 < effort);
		s.effort = 0;
		assert_int_equal(ay__search_at(&s, 2000, &pos), 0);
		ay__search_release(&s);
	}
	free(zeros);
	free(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_longest_match),
		cmocka_unit_test(test_last_byte_between_pairs),
		cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
