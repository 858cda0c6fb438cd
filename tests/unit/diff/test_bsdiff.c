/* SPDX-License-Identifier: MIT */
/* bsdiff: whatever it finds must give the new file; it must find what is there; and it must end. */
#include "tests/unit/diff/trees.h"

#include <time.h>

#include "diff/bsdiff.h"

#define MIB (1u << 20)

/* Carry the operations out, check their rules, return the bytes that did not come from the old file as they were. */
static size_t check(const uint8_t *old, size_t old_len, const uint8_t *new_, size_t new_len,
		    const struct ay_bsdiff_ops *ops)
{
	size_t at = 0, other = 0;

	for (size_t i = 0; i < ops->n; i++) {
		const struct ay_bsdiff_op *op = &ops->ops[i];

		assert_true(op->diff_len + op->extra_len > 0);
		assert_true(op->diff_len <= old_len && op->old_pos <= old_len - op->diff_len);
		assert_true(op->diff_len <= new_len - at && op->extra_len <= new_len - at - op->diff_len);
		for (size_t k = 0; k < op->diff_len; k++)
			other += old[op->old_pos + k] != new_[at + k];
		at += op->diff_len + op->extra_len;
		other += op->extra_len;
	}
	assert_int_equal(at, new_len);
	return other;
}

static size_t diff_as(const uint8_t *old, size_t old_len, const uint8_t *new_, size_t new_len,
		      unsigned threshold, unsigned shortcut)
{
	struct ay_bsdiff_params p = {.threshold = threshold, .shortcut = shortcut};
	struct ay_bsdiff_ops ops = {0};

	assert_int_equal(
		ay_bsdiff((struct ay_slice){old, old_len}, (struct ay_slice){new_, new_len}, &p, &ops), 0);
	size_t other = check(old, old_len, new_, new_len, &ops);
	ay_bsdiff_ops_release(&ops);
	return other;
}

/* Both ways of searching; the worse result. */
static size_t diff(const uint8_t *old, size_t old_len, const uint8_t *new_, size_t new_len)
{
	size_t a = diff_as(old, old_len, new_, new_len, 0, 0), b = diff_as(old, old_len, new_, new_len, 8, 4);

	diff_as(old, old_len, new_, new_len, 16, 1024);
	return a > b ? a : b;
}

static void test_tiny(void **state)
{
	(void)state;
	uint8_t a[4], b[4];

	/* Every pair of files of one to four bytes over two letters, beside each other in the order of bytes or far apart. */
	for (unsigned i = 0; i < 4 * 16; i++) {
		for (unsigned j = 0; j < 4 * 16; j++) {
			for (unsigned k = 0; k < 4; k++) {
				a[k] = (uint8_t)(i >> k & 1 ? 255 : j % 3 * 127);
				b[k] = (uint8_t)(j >> k & 1 ? 255 : j % 3 * 127);
			}
			diff_as(a, i / 16 + 1, b, j / 16 + 1, 8, 0);
			diff_as(a, i / 16 + 1, b, j / 16 + 1, 8, 4);
		}
	}
	diff(a, 0, b, 4);
	diff(a, 4, b, 0);
	diff(a, 0, b, 0);
	diff(a, 1, b, 1);
}

static void test_random_edits(void **state)
{
	(void)state;
	struct ay_prng r;

	ay_prng_init(&r, 1);
	for (unsigned i = 0; i < 200; i++) {
		size_t len = ay_prng_below(&r, 20000), new_len;
		unsigned edits = (unsigned)ay_prng_below(&r, 12);
		uint8_t *old = i % 2 ? bytes_code(&r, len) : bytes_random(&r, len);
		uint8_t *new_ = bytes_edit(&r, old, len, edits, &new_len);
		size_t other = diff(old, len, new_, new_len);

		/* An insertion has at most 600 new bytes, and a match may end a little early. */
		assert_true(other <= edits * 700u + 64);
		free(old);
		free(new_);
	}
}

/* What a copy is worth: moved blocks are found wherever they are, with and without the sort. */
static void test_moved_blocks(void **state)
{
	(void)state;
	struct ay_prng r;

	ay_prng_init(&r, 2);
	size_t len = 256 * 1024, block = 16 * 1024;
	uint8_t *old = bytes_code(&r, len), *new_ = malloc(len);
	for (size_t i = 0; i < 16; i++)
		memcpy(new_ + i * block, old + (i * 7 % 16) * block, block);
	assert_true(diff_as(old, len, new_, len, 8, 0) < 2000);
	assert_true(diff_as(old, len, new_, len, 8, 4) < 2000);
	/* A little moved block is found without the sort too. */
	memcpy(new_, old, len);
	memcpy(new_ + 100000, old + 7777, 1500);
	assert_true(diff_as(old, len, new_, len, 8, 4) < 100);
	free(old);
	free(new_);
}

/* A program whose addresses moved: one byte in sixteen differs; copies must run through. */
static void test_addresses(void **state)
{
	(void)state;
	struct ay_prng r;

	ay_prng_init(&r, 3);
	size_t len = 200000;
	uint8_t *old = bytes_code(&r, len), *new_ = malloc(len + 64);
	memcpy(new_, old, 50000);
	memset(new_ + 50000, 0x90, 64);
	memcpy(new_ + 50064, old + 50000, len - 50000);
	for (size_t i = 0; i < len; i += 16)
		new_[i] = (uint8_t)(new_[i] + 64);
	for (unsigned shortcut = 0; shortcut <= 4; shortcut += 4) {
		struct ay_bsdiff_params p = {.threshold = 8, .shortcut = shortcut};
		struct ay_bsdiff_ops ops = {0};
		struct ay_slice a = {old, len}, b = {new_, len + 64};

		assert_int_equal(ay_bsdiff(a, b, &p, &ops), 0);
		assert_true(check(old, len, new_, len + 64, &ops) < len / 16 + 400);
		assert_true(ops.n < 10);
		ay_bsdiff_ops_release(&ops);
	}
	free(old);
	free(new_);
}

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Inputs that make the naive algorithm quadratic. */
static void test_pathological(void **state)
{
	(void)state;
	struct ay_prng r;
	size_t len = MIB;
	uint8_t *a = calloc(len, 1), *b = calloc(len, 1);
	double start = seconds();

	ay_prng_init(&r, 4);
	diff(a, len, b, len); /* zeros */
	diff(a, len, b, len / 2);
	diff(a, len / 2, b, len);
	memset(b, 1, len);
	diff(a, len, b, len); /* nothing in common */
	for (size_t i = 0; i < len; i++) {
		a[i] = (uint8_t)(i % 1000 == 0);
		b[i] = (uint8_t)(i % 1001 == 0);
	}
	diff(a, len, b, len); /* almost periodic */
	for (size_t i = 0; i < len; i++) {
		a[i] = (uint8_t) "abab"[i % 4];
		b[i] = (uint8_t) "abaab"[i % 5];
	}
	diff(a, len, b, len);
	for (size_t i = 0; i < len; i++) {
		a[i] = (uint8_t)ay_prng_below(&r, 2);
		b[i] = (uint8_t)ay_prng_below(&r, 2);
	}
	diff(a, len, b, len); /* two letters: matches everywhere, none good */
	/* Bounded, not fast: sanitizers and a busy machine included. */
	assert_true(seconds() - start < 60);
	free(a);
	free(b);
}

static void test_deterministic(void **state)
{
	(void)state;
	struct ay_prng r;
	struct ay_bsdiff_ops x = {0}, y = {0};

	ay_prng_init(&r, 5);
	size_t new_len;
	uint8_t *old = bytes_code(&r, 50000), *new_ = bytes_edit(&r, old, 50000, 30, &new_len);
	struct ay_slice a = {old, 50000}, b = {new_, new_len};
	assert_int_equal(ay_bsdiff(a, b, NULL, &x), 0);
	assert_int_equal(ay_bsdiff(a, b, NULL, &y), 0);
	assert_int_equal(x.n, y.n);
	assert_memory_equal(x.ops, y.ops, x.n * sizeof(*x.ops));
	/* Operations are appended to what is there. */
	size_t n = x.n;
	assert_int_equal(ay_bsdiff(a, b, NULL, &x), 0);
	assert_int_equal(x.n, 2 * n);
	assert_memory_equal(x.ops + n, y.ops, n * sizeof(*x.ops));
	ay_bsdiff_ops_release(&x);
	ay_bsdiff_ops_release(&y);
	free(old);
	free(new_);
}

/*
 * A changelog grows at its front: the new part has pieces from many places, and behind it all is as it was. So many alignments
 * are used in the new part that the one which leads on behind it was forgotten once: all the rest came as literals.
 */
static void test_front_of_pieces(void **state)
{
	(void)state;
	struct ay_bsdiff_params params = {.threshold = AY_BSDIFF_THRESHOLD, .shortcut = AY_BSDIFF_SHORTCUT};
	struct ay_prng r;
	size_t len = 400000, front = 3000;
	uint8_t *all = malloc(len + front + 64);

	assert_non_null(all);
	ay_prng_init(&r, 17);
	for (unsigned round = 0; round < 40; round++, front++) {
		struct ay_bsdiff_ops ops = {0};
		size_t extra = 0;
		uint8_t *old = all + front;

		/* Words of one numbered list. */
		for (size_t at = 0, n; at < front + len; at += n) {
			uint64_t word = ay_prng_below(&r, 3000) * 0x9e3779b97f4a7c15u;

			n = 3 + (word >> 60) % 6 < front + len - at ? 3 + (word >> 60) % 6 : front + len - at;
			for (size_t i = 0; i < n; i++)
				all[at + i] = i + 1 == n ? ' ' : (uint8_t)('a' + (word >> 5 * i & 15));
		}
		for (unsigned i = 0; i < 6; i++)
			memcpy(all + i * 500, old + ay_prng_below(&r, 90000), 200);
		assert_int_equal(ay_bsdiff((struct ay_slice){old, len}, (struct ay_slice){all, front + len},
					   &params, &ops),
				 0);
		for (size_t i = 0; i < ops.n; i++)
			extra += ops.ops[i].extra_len;
		assert_true(extra <= front);
		ay_bsdiff_ops_release(&ops);
	}
	free(all);
}

static int stop_at_third(void *ctx)
{
	return ++*(unsigned *)ctx >= 3 ? -EINTR : 0;
}

/* Whoever waits for it can end it: between operations, and where one goes on and on. */
static void test_stopped(void **state)
{
	(void)state;
	enum { LEN = 300000 };
	struct ay_prng r;

	ay_prng_init(&r, 23);
	uint8_t *old = bytes_random(&r, LEN), *new_ = bytes_random(&r, LEN);
	for (unsigned unlike = 2; unlike-- > 0;) {
		unsigned calls = 0;
		const struct ay_bsdiff_params params = {.stop = stop_at_third, .stop_ctx = &calls};
		struct ay_bsdiff_ops ops = {0};

		if (!unlike)
			memcpy(new_, old, LEN);
		for (size_t at = 1000; at < LEN - 3000 && !unlike; at += 3000)
			memcpy(new_ + at, old + LEN - at - 2000, 1000);
		assert_int_equal(ay_bsdiff((struct ay_slice){old, 0}, (struct ay_slice){new_, 7}, NULL, &ops),
				 0);
		assert_int_equal(
			ay_bsdiff((struct ay_slice){old, LEN}, (struct ay_slice){new_, LEN}, &params, &ops),
			-EINTR);
		assert_int_equal(calls, 3);
		assert_int_equal(ops.n, 1);
		assert_int_equal(ops.ops[0].extra_len, 7);
		ay_bsdiff_ops_release(&ops);
	}
	free(old);
	free(new_);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_front_of_pieces), cmocka_unit_test(test_tiny),
		cmocka_unit_test(test_random_edits),    cmocka_unit_test(test_moved_blocks),
		cmocka_unit_test(test_addresses),       cmocka_unit_test(test_pathological),
		cmocka_unit_test(test_deterministic),   cmocka_unit_test(test_stopped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
