/* SPDX-License-Identifier: MIT */
/*
 * Hash blocks against a second, naive tree of this test's own; strangers' hash
 * blocks and data in every wrong form.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/merkle.h"
#include "tests/unit/base/made.h"

#define MIB      ((size_t)1 << 20)
#define SIZE_TOP (64 * MIB + 600000)
#define LEAF     AY_LEAF_SIZE

static uint8_t *bytes; /* SIZE_TOP of them */

static const size_t sizes[] = {0,       1,       4095,    4096,     4097,     524287,       524288,  524289,
			       1048576, 1048577, 1400000, 10485763, 64 * MIB, 64 * MIB + 1, SIZE_TOP};
#define SIZES (sizeof(sizes) / sizeof(sizes[0]))

/* The naive tree: each level whole, one after the other. */
struct naive {
	unsigned levels;
	size_t width[AY_MERKLE_LEVELS_MAX];
	uint8_t *level[AY_MERKLE_LEVELS_MAX];
	struct ay_digest digest;
};

static struct naive naive_of(const uint8_t *data, size_t size)
{
	struct naive n = {0};
	const uint8_t *below = data;
	size_t below_len = size;
	uint8_t root[32] = {0}, desc[256] = {1, 1, 12};

	for (; below_len > LEAF; n.levels++) {
		size_t leaves = (below_len + LEAF - 1) / LEAF;
		n.width[n.levels] = (leaves * 32 + LEAF - 1) / LEAF;
		uint8_t *level = calloc(n.width[n.levels], LEAF);
		for (size_t i = 0; i < leaves; i++) {
			uint8_t leaf[LEAF] = {0};
			size_t left = below_len - i * LEAF;
			memcpy(leaf, below + i * LEAF, left < LEAF ? left : LEAF);
			ay_sha256(leaf, LEAF, level + i * 32);
		}
		n.level[n.levels] = level;
		below = level;
		below_len = n.width[n.levels] * LEAF;
	}
	uint8_t top[LEAF] = {0};
	memcpy(top, below, below_len);
	if (size > 0)
		ay_sha256(top, LEAF, root);
	for (int i = 0; i < 8; i++)
		desc[8 + i] = (uint8_t)((uint64_t)size >> 8 * i);
	memcpy(desc + 16, root, 32);
	ay_sha256(desc, 256, n.digest.b);
	return n;
}

static void naive_free(struct naive *n)
{
	for (unsigned i = 0; i < n->levels; i++)
		free(n->level[i]);
}

static void assert_same_as_naive(const struct ay_merkle *m, const struct naive *n)
{
	assert_true(ay_digest_eq(ay_merkle_digest(m), &n->digest));
	assert_int_equal(ay_merkle_levels(m), n->levels);
	for (unsigned l = 0; l < n->levels; l++) {
		assert_int_equal(ay_merkle_width(m, l), n->width[l]);
		for (size_t i = 0; i < n->width[l]; i++) {
			assert_true(ay_merkle_has(m, l, i));
			assert_memory_equal(ay_merkle_get(m, l, i), n->level[l] + i * LEAF, LEAF);
		}
		assert_null(ay_merkle_get(m, l, n->width[l]));
		assert_false(ay_merkle_has(m, l, UINT64_MAX));
	}
	assert_null(ay_merkle_get(m, n->levels, 0));
	assert_null(ay_merkle_get(m, UINT32_MAX, 0));
	assert_int_equal(ay_merkle_width(m, n->levels), 0);
	assert_int_equal(ay_merkle_width(m, UINT32_MAX), 0);
}

/* Built from memory, from a file, and added from the top: always the same tree. */
static void test_build(void **state)
{
	(void)state;
	for (size_t s = 0; s < SIZES; s++) {
		struct naive n = naive_of(bytes, sizes[s]);
		struct ay_digest d;
		ay_digest_mem(bytes, sizes[s], &d);
		assert_true(ay_digest_eq(&d, &n.digest));

		struct ay_merkle *m = NULL;
		assert_int_equal(ay_merkle_build_mem(bytes, sizes[s], &m), 0);
		assert_int_equal(ay_merkle_size(m), sizes[s]);
		assert_same_as_naive(m, &n);
		ay_merkle_free(m);

		AY_CLOSE int fd = made_fd(bytes, sizes[s]);
		assert_int_equal(ay_merkle_build_fd(fd, &m), 0);
		assert_int_equal(ay_merkle_size(m), sizes[s]);
		assert_same_as_naive(m, &n);
		ay_merkle_free(m);

		m = ay_merkle_new(&n.digest, sizes[s]);
		for (unsigned l = n.levels; l-- > 0;) {
			for (size_t i = n.width[l]; i-- > 0;)
				assert_int_equal(ay_merkle_add(m, l, i, n.level[l] + i * LEAF), 0);
		}
		assert_same_as_naive(m, &n);
		ay_merkle_free(m);
		naive_free(&n);
	}
	ay_merkle_free(NULL);
}

/* Hash blocks in any order: refused with -EAGAIN exactly while the one above is missing. */
static void test_add_in_any_order(void **state)
{
	(void)state;
	unsigned short seed[3] = {1, 2, 3};
	struct naive n = naive_of(bytes, SIZE_TOP);
	assert_int_equal(n.levels, 3);
	assert_int_equal(n.width[0], 130);
	assert_int_equal(n.width[1], 2);
	for (int round = 0; round < 20; round++) {
		struct ay_merkle *m = ay_merkle_new(&n.digest, SIZE_TOP);
		bool has[3][130] = {0};
		for (size_t known = 0; known < 133;) {
			unsigned l = (unsigned)nrand48(seed) % 3;
			size_t i = (size_t)nrand48(seed) % n.width[l];
			bool ready = l == 2 || has[l + 1][i / 128];
			assert_int_equal(ay_merkle_has(m, l, i), has[l][i]);
			assert_int_equal(ay_merkle_add(m, l, i, n.level[l] + i * LEAF), ready ? 0 : -EAGAIN);
			known += ready && !has[l][i];
			has[l][i] |= ready;
		}
		assert_same_as_naive(m, &n);
		ay_merkle_free(m);
	}
	naive_free(&n);
}

/* Every bit of a hash block counts, whether the right one is known yet or not. */
static void test_add_wrong(void **state)
{
	(void)state;
	struct naive n = naive_of(bytes, 1400000);
	struct ay_merkle *m = ay_merkle_new(&n.digest, 1400000);
	assert_int_equal(n.levels, 2);
	for (unsigned l = 2; l-- > 0;) {
		for (size_t i = 0; i < n.width[l]; i++) {
			uint8_t block[LEAF];
			for (size_t bit = 0; bit < LEAF * 8; bit += bit < 64 ? 1 : 29) {
				memcpy(block, n.level[l] + i * LEAF, LEAF);
				block[bit / 8] ^= (uint8_t)(1 << bit % 8);
				assert_int_equal(ay_merkle_add(m, l, i, block), AY_EDIGEST);
				assert_false(ay_merkle_has(m, l, i));
			}
			if (n.width[l] > 1) { /* a right one in a wrong place */
				size_t other = (i + 1) % n.width[l];
				assert_int_equal(ay_merkle_add(m, l, i, n.level[l] + other * LEAF),
						 AY_EDIGEST);
			}
			assert_int_equal(ay_merkle_add(m, l, i, n.level[l] + i * LEAF), 0);
			assert_int_equal(ay_merkle_add(m, l, i, n.level[l] + i * LEAF), 0);
			assert_int_equal(ay_merkle_add(m, l, i, block), AY_EDIGEST);
			assert_memory_equal(ay_merkle_get(m, l, i), n.level[l] + i * LEAF, LEAF);
		}
	}
	uint8_t *block = n.level[0];
	assert_int_equal(ay_merkle_add(m, 2, 0, block), AY_EFORMAT);
	assert_int_equal(ay_merkle_add(m, UINT32_MAX, 0, block), AY_EFORMAT);
	assert_int_equal(ay_merkle_add(m, 0, n.width[0], block), AY_EFORMAT);
	assert_int_equal(ay_merkle_add(m, 0, 128, block), AY_EFORMAT); /* 128 and 0 share their low 7 bits */
	assert_int_equal(ay_merkle_add(m, 1, 1, block), AY_EFORMAT);
	assert_int_equal(ay_merkle_add(m, 0, UINT64_MAX, block), AY_EFORMAT);
	assert_same_as_naive(m, &n);
	ay_merkle_free(m);
	naive_free(&n);
}

/* The digest fits the size too: another size with the same root hash is another file. */
static void test_wrong_size(void **state)
{
	(void)state;
	struct naive n = naive_of(bytes, 524288);
	static const uint64_t others[] = {4097, 524287, 520193};
	for (size_t i = 0; i < 3; i++) {
		struct ay_merkle *m = ay_merkle_new(&n.digest, others[i]);
		assert_int_equal(ay_merkle_add(m, 0, 0, n.level[0]), AY_EDIGEST);
		ay_merkle_free(m);
	}
	naive_free(&n);
}

/* A digest made from a hash block with something behind its last hash: no file has it. */
static void test_padding(void **state)
{
	(void)state;
	struct naive n = naive_of(bytes, 3 * LEAF);
	for (size_t at = 0; at < LEAF; at += 31) {
		uint8_t block[LEAF], desc[256] = {1, 1, 12, [8] = 0, [9] = 3 * LEAF >> 8};
		memcpy(block, n.level[0], LEAF);
		block[at] ^= 1;
		ay_sha256(block, LEAF, desc + 16);
		struct ay_digest forged;
		ay_sha256(desc, 256, forged.b);
		struct ay_merkle *m = ay_merkle_new(&forged, 3 * LEAF);
		assert_int_equal(ay_merkle_add(m, 0, 0, block), at < 3 * 32 ? 0 : AY_EDIGEST);
		ay_merkle_free(m);
	}
	naive_free(&n);
}

/* Sizes that only a liar names: no overflow, no memory, no acceptance. */
static void test_absurd_size(void **state)
{
	(void)state;
	struct ay_digest d = {{1}};
	uint8_t block[LEAF] = {0};
	static const struct {
		uint64_t size;
		unsigned levels;
		uint64_t width0;
	} cases[] = {
		{UINT64_MAX, 8, (uint64_t)1 << 45},
		{UINT64_MAX - 4094, 8, (uint64_t)1 << 45},
		{(uint64_t)1 << 61, 7, (uint64_t)1 << 42},
		{((uint64_t)1 << 61) + 1, 8, ((uint64_t)1 << 42) + 1},
		{(uint64_t)1 << 63, 8, (uint64_t)1 << 44},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ay_merkle *m = ay_merkle_new(&d, cases[i].size);
		assert_int_equal(ay_merkle_levels(m), cases[i].levels);
		assert_true(ay_merkle_width(m, 0) == cases[i].width0);
		assert_int_equal(ay_merkle_width(m, cases[i].levels - 1), 1);
		for (unsigned l = 0; l < cases[i].levels; l++) {
			uint64_t last = ay_merkle_width(m, l) - 1;
			bool top = l == cases[i].levels - 1;
			assert_int_equal(ay_merkle_add(m, l, last, block), top ? AY_EDIGEST : -EAGAIN);
			assert_int_equal(ay_merkle_add(m, l, last + 1, block), AY_EFORMAT);
			assert_false(ay_merkle_has(m, l, last));
		}
		uint64_t end = cases[i].size / LEAF * LEAF;
		assert_int_equal(ay_merkle_check(m, end - LEAF, block, LEAF), -EAGAIN);
		assert_int_equal(ay_merkle_check(m, end, block, LEAF), AY_EFORMAT);
		assert_int_equal(ay_merkle_check(m, LEAF, block, SIZE_MAX), AY_EFORMAT);
		ay_merkle_free(m);
	}
}

static void check_range(const struct ay_merkle *m, size_t size, size_t from, size_t to)
{
	/* Exact-size memory, so that a sanitizer sees a byte too many. */
	size_t len = to - from;
	uint8_t *copy = malloc(len ? len : 1);
	memcpy(copy, bytes + from, len);
	assert_int_equal(ay_merkle_check(m, from, copy, len), 0);
	if (len > 0) {
		size_t marks[] = {0, len - 1, len / 2};
		for (size_t i = 0; i < 3; i++) {
			copy[marks[i]] ^= 0x10;
			assert_int_equal(ay_merkle_check(m, from, copy, len), AY_EDIGEST);
			copy[marks[i]] ^= 0x10;
		}
	}
	if (from + len + LEAF <= size && len > 0)
		assert_int_equal(ay_merkle_check(m, from + LEAF, copy, len), AY_EDIGEST);
	free(copy);
}

/* Every range between interesting places: block, piece and file borders and one leaf beside them. */
static void test_check_ranges(void **state)
{
	(void)state;
	for (size_t s = 0; s < SIZES && sizes[s] <= 1400000; s++) {
		size_t size = sizes[s], at[64], n = 0;
		struct ay_merkle *m = NULL;
		assert_int_equal(ay_merkle_build_mem(bytes, size, &m), 0);
		for (size_t leaf = 0; leaf * LEAF < size && n < 60; leaf++) {
			if (leaf % 128 <= 1 || leaf % 128 == 127 || leaf == 16 || leaf == 130 ||
			    leaf == (size - 1) / LEAF)
				at[n++] = leaf * LEAF;
		}
		at[n++] = size;
		for (size_t i = 0; i < n; i++) {
			for (size_t j = i; j < n; j++)
				check_range(m, size, at[i] / LEAF * LEAF, at[j]);
		}
		ay_merkle_free(m);
	}
}

static void test_check_refused(void **state)
{
	(void)state;
	for (size_t s = 0; s < SIZES; s++) {
		size_t size = sizes[s];
		if (size == 0 || size > 10485763)
			continue;
		struct ay_merkle *m = NULL;
		assert_int_equal(ay_merkle_build_mem(bytes, size, &m), 0);
		size_t last = (size - 1) / LEAF * LEAF;
		assert_int_equal(ay_merkle_check(m, 0, bytes, size), 0);
		assert_int_equal(ay_merkle_check(m, 0, bytes, size + 1), AY_EFORMAT);
		assert_int_equal(ay_merkle_check(m, 0, bytes, last + LEAF + 1), AY_EFORMAT);
		assert_int_equal(ay_merkle_check(m, 0, bytes, size - 1),
				 size == 1 || size == 4097 || size == 524289 || size == 1048577 ? 0
												: AY_EFORMAT);
		assert_int_equal(ay_merkle_check(m, 1, bytes + 1, size - 1), AY_EFORMAT);
		assert_int_equal(ay_merkle_check(m, last + LEAF, bytes, LEAF), AY_EFORMAT);
		assert_int_equal(ay_merkle_check(m, UINT64_MAX - 4095, bytes, LEAF), AY_EFORMAT);
		if (size % LEAF) /* the zeros that pad the last leaf are not part of the file */
			assert_int_equal(ay_merkle_check(m, last, bytes + last, LEAF), AY_EFORMAT);
		ay_merkle_free(m);
	}
}

/* 64 KiB blocks, each alone, as soon as its piece's hash block is there and not before. */
static void test_check_blocks(void **state)
{
	(void)state;
	size_t size = 1400000;
	struct naive n = naive_of(bytes, size);
	struct ay_merkle *m = ay_merkle_new(&n.digest, size);
	assert_int_equal(ay_merkle_check(m, 0, bytes, 65536), -EAGAIN);
	assert_int_equal(ay_merkle_add(m, 1, 0, n.level[1]), 0);
	assert_int_equal(ay_merkle_check(m, 0, bytes, 65536), -EAGAIN);
	assert_int_equal(ay_merkle_add(m, 0, 1, n.level[0] + LEAF), 0);
	assert_int_equal(ay_blocks_of(size), 22);
	for (uint64_t b = 0; b < ay_blocks_of(size); b++) {
		size_t at = (size_t)b * AY_BLOCK_SIZE;
		int want = b / 8 == 1 ? 0 : -EAGAIN;
		assert_int_equal(ay_merkle_check(m, at, bytes + at, ay_block_len(size, b)), want);
	}
	/* Over the border into a piece without its hash block. */
	assert_int_equal(ay_merkle_check(m, 15 * 65536, bytes + 15 * 65536, 2 * 65536), -EAGAIN);
	assert_int_equal(ay_merkle_add(m, 0, 2, n.level[0] + 2 * LEAF), 0);
	assert_int_equal(ay_merkle_check(m, 15 * 65536, bytes + 15 * 65536, 2 * 65536), 0);
	ay_merkle_free(m);
	naive_free(&n);
}

static void test_block_len(void **state)
{
	(void)state;
	assert_int_equal(ay_blocks_of(0), 0);
	assert_int_equal(ay_block_len(0, 0), 0);
	assert_int_equal(ay_block_len(1, 0), 1);
	assert_int_equal(ay_block_len(65536, 0), 65536);
	assert_int_equal(ay_block_len(65536, 1), 0);
	assert_int_equal(ay_block_len(65537, 1), 1);
	assert_true(ay_blocks_of(UINT64_MAX) == (uint64_t)1 << 48);
	assert_int_equal(ay_block_len(UINT64_MAX, ((uint64_t)1 << 48) - 1), 65535);
	assert_int_equal(ay_block_len(UINT64_MAX, UINT64_MAX), 0);
}

/* Without hash blocks the digest itself decides. */
static void test_small_files(void **state)
{
	(void)state;
	struct ay_digest d, other;
	uint8_t data[LEAF + 1] = {0};
	ay_digest_mem(data, 1, &other);
	for (size_t size = 0; size <= LEAF; size += size < 3 || size > LEAF - 3 ? 1 : 517) {
		ay_digest_mem(bytes, size, &d);
		struct ay_merkle *m = ay_merkle_new(&d, size), *wrong = ay_merkle_new(&other, size);
		assert_int_equal(ay_merkle_levels(m), 0);
		assert_int_equal(ay_merkle_check(m, 0, bytes, size), 0);
		assert_int_equal(ay_merkle_check(wrong, 0, bytes, size), AY_EDIGEST);
		assert_int_equal(ay_merkle_add(m, 0, 0, data), AY_EFORMAT);
		assert_int_equal(ay_merkle_check(m, LEAF, bytes, size == LEAF ? 0 : 1),
				 size == LEAF ? 0 : AY_EFORMAT);
		ay_merkle_free(wrong);
		ay_merkle_free(m);
	}
	ay_digest_mem(NULL, 0, &d);
	struct ay_merkle *m = ay_merkle_new(&d, 0);
	assert_int_equal(ay_merkle_check(m, 0, NULL, 0), 0);
	ay_merkle_free(m);
}

static void test_build_errors(void **state)
{
	(void)state;
	struct ay_merkle *m = NULL;
	assert_int_equal(ay_merkle_build_fd(-1, &m), -EBADF);
	AY_CLOSE int dir = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(ay_merkle_build_fd(dir, &m), -EISDIR);
	assert_null(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_build),        cmocka_unit_test(test_add_in_any_order),
		cmocka_unit_test(test_add_wrong),    cmocka_unit_test(test_wrong_size),
		cmocka_unit_test(test_padding),      cmocka_unit_test(test_absurd_size),
		cmocka_unit_test(test_check_ranges), cmocka_unit_test(test_check_refused),
		cmocka_unit_test(test_check_blocks), cmocka_unit_test(test_block_len),
		cmocka_unit_test(test_small_files),  cmocka_unit_test(test_build_errors),
	};
	bytes = made_bytes(SIZE_TOP + 2 * LEAF);
	int failed = cmocka_run_group_tests_name("merkle", tests, NULL, NULL);
	free(bytes);
	return failed;
}
