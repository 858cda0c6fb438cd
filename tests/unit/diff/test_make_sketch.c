/* SPDX-License-Identifier: MIT */
/* Bases that no name leads to, and contents without a base that are sent beside those that they resemble. */
#include "tests/unit/diff/trees.h"

#include <stdio.h>

#define KIB 1024

/* @n files, of which each was moved to a name without likeness, and rewritten here and there. */
static void moved_pair(uint64_t seed, unsigned n, struct tree **old, struct tree **new_)
{
	struct ay_prng r;
	char path[64];
	size_t new_len;

	ay_prng_init(&r, seed);
	*old = tree_new();
	*new_ = tree_new();
	for (unsigned i = 0; i < n; i++) {
		size_t len = 20 * KIB + ay_prng_below(&r, 40 * KIB);
		uint8_t *a = bytes_random(&r, len), *b = bytes_edit(&r, a, len, 6, &new_len);

		snprintf(path, sizeof(path), "/before/part%c%c", 'a' + i % 26, 'a' + i / 26);
		tree_add(*old, path, a, len);
		snprintf(path, sizeof(path), "/later/%016llx", (unsigned long long)ay_prng_next(&r));
		tree_add(*new_, path, b, new_len);
		free(a);
		free(b);
	}
	tree_seal(*old);
	tree_seal(*new_);
}

static void test_moved_and_rewritten(void **state)
{
	(void)state;
	struct tree *old, *new_;
	struct ay_make_options o = {.threads = 2, .level = 1};
	struct ay_make_result res;

	moved_pair(1, 60, &old, &new_);
	int fd = bundle_make(old, new_, &o, &res);
	assert_int_equal(res.n_diffed, 60);
	assert_true(res.bundle_size < res.unpacked_size / 8);
	bundle_complete(fd, old, new_, NULL);
	struct ay_buf two = bundle_bytes(fd);
	close(fd);
	/* Who looks into the files first, and how many at once, does not show. */
	o.threads = 1;
	fd = bundle_make(old, new_, &o, &res);
	struct ay_buf one = bundle_bytes(fd);
	assert_int_equal(one.len, two.len);
	assert_memory_equal(one.data, two.data, one.len);
	ay_buf_release(&one);
	ay_buf_release(&two);
	close(fd);
	tree_free(old);
	tree_free(new_);
}

/* The path is still there, but what was in it is elsewhere: two files changed places, and were edited. */
static void test_paths_that_mislead(void **state)
{
	(void)state;
	struct ay_prng r;
	struct tree *old = tree_new(), *new_ = tree_new();
	struct ay_make_options o = {.threads = 2, .level = 1};
	struct ay_make_result res;
	size_t len = 80 * KIB, a_len, b_len;

	ay_prng_init(&r, 2);
	uint8_t *a = bytes_random(&r, len), *b = bytes_random(&r, len);
	uint8_t *a2 = bytes_edit(&r, a, len, 5, &a_len), *b2 = bytes_edit(&r, b, len, 5, &b_len);
	tree_add(old, "/lib/one", a, len);
	tree_add(old, "/lib/two", b, len);
	tree_add(new_, "/lib/one", b2, b_len);
	tree_add(new_, "/lib/two", a2, a_len);
	tree_seal(old);
	tree_seal(new_);
	int fd = bundle_make(old, new_, &o, &res);
	assert_int_equal(res.n_diffed, 2);
	assert_true(res.bundle_size < 20 * KIB);
	bundle_complete(fd, old, new_, NULL);
	close(fd);
	free(a);
	free(b);
	free(a2);
	free(b2);
	tree_free(old);
	tree_free(new_);
}

/* Pairs that are alike, each under names far from each other; more of them than a part holds. */
static void test_like_lies_with_like(void **state)
{
	(void)state;
	struct ay_prng r;
	struct tree *new_ = tree_new();
	struct ay_make_options o = {.threads = 2, .level = 1, .apply_memory = ay_bundle_memory(512 * KIB)};
	struct ay_make_result res;
	char path[64];
	size_t len = 60 * KIB, new_len;

	ay_prng_init(&r, 3);
	for (unsigned i = 0; i < 45; i++) {
		uint8_t *a = bytes_random(&r, len), *b = bytes_edit(&r, a, len, 3, &new_len);

		snprintf(path, sizeof(path), "/a/%03u", i * 7 % 45);
		tree_add(new_, path, a, len);
		snprintf(path, sizeof(path), "/b/%03u", i);
		tree_add(new_, path, b, new_len);
		free(a);
		free(b);
	}
	tree_seal(new_);
	int fd = bundle_make(NULL, new_, &o, &res);
	assert_int_equal(res.n_literal, 90);
	assert_true(res.bundle_size < res.unpacked_size * 6 / 10);
	bundle_complete(fd, NULL, new_, NULL);
	close(fd);
	tree_free(new_);
}

/* An old tree in which nothing can be opened is not needed where all is new. */
static void test_what_cannot_be_read_is_passed_over(void **state)
{
	(void)state;
	struct tree *old, *new_;
	struct ay_make_options o = {.threads = 2, .level = 1};
	struct ay_make_result res;

	moved_pair(4, 5, &old, &new_);
	for (size_t i = 0; i < old->n; i++)
		old->files[i].path[1] = 'B';
	int fd = bundle_make(old, new_, &o, &res);
	assert_int_equal(res.n_literal, 5);
	bundle_complete(fd, NULL, new_, NULL);
	close(fd);
	tree_free(old);
	tree_free(new_);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_moved_and_rewritten),
		cmocka_unit_test(test_paths_that_mislead),
		cmocka_unit_test(test_like_lies_with_like),
		cmocka_unit_test(test_what_cannot_be_read_is_passed_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
