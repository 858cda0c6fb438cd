/* SPDX-License-Identifier: MIT */
/* Holes: found, hashed without being read, and hashed as what they read as. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/digest.h"
#include "base/merkle.h"
#include "base/sparse.h"

static void zeros_are_told_from_others(void **state)
{
	uint8_t b[100] = {0};

	(void)state;
	for (size_t len = 0; len <= sizeof(b); len++) {
		assert_true(ay_is_zero(b, len));
		for (size_t i = 0; i < len; i++) {
			b[i] = 1;
			assert_false(ay_is_zero(b, len));
			b[i] = 0;
		}
	}
}

/* By ay_hasher_update() alone, in pieces that fit no leaf. */
static void digest_slowly(const uint8_t *data, size_t len, struct ay_digest *d)
{
	AY_FREE struct ay_hasher *h = ay_hasher_new();

	for (size_t i = 0; i < len; i += 1000)
		ay_hasher_update(h, data + i, len - i < 1000 ? len - i : 1000);
	ay_hasher_final(h, d);
}

/* The one known hash in base/digest.c: it is SHA-256 of 4096 zeros. */
static void a_leaf_of_zeros_has_its_hash(void **state)
{
	static const uint8_t zeros[AY_LEAF_SIZE];
	uint8_t root[32], desc[256] = {1, 1, 12};
	struct ay_digest want, got;

	(void)state;
	ay_sha256(zeros, sizeof(zeros), root);
	desc[8 + 1] = 4096 >> 8;
	memcpy(desc + 16, root, 32);
	ay_sha256(desc, sizeof(desc), want.b);
	ay_digest_mem(zeros, sizeof(zeros), &got);
	assert_true(ay_digest_eq(&want, &got));
}

static void zeros_are_hashed_as_bytes(void **state)
{
	static const size_t before[] = {0, 1, 4095, 4096, 4097, 524288, 524289};
	static const size_t hole[] = {0, 1, 4096, 5000, 524288, 524288 * 3 + 17, 128 * 4096 * 130, 67108864};
	AY_FREE uint8_t *data = calloc(1, 70000000 + 600000);
	AY_FREE struct ay_hasher *h = ay_hasher_new();

	(void)state;
	assert_non_null(data);
	for (size_t i = 0; i < sizeof(before) / sizeof(*before); i++) {
		for (size_t k = 0; k < sizeof(hole) / sizeof(*hole); k++) {
			if (i > 2 && k > 5 && i != 5)
				continue; /* large ones a few times */
			struct ay_digest want, got;
			size_t len = before[i] + hole[k];
			memset(data, 7, before[i]);
			memset(data + before[i], 0, hole[k]);
			memset(data + len, 9, 5001);
			digest_slowly(data, len + 5001, &want);
			ay_hasher_reset(h);
			ay_hasher_update(h, data, before[i]);
			ay_hasher_zeros(h, hole[k]);
			ay_hasher_update(h, data + len, 5001);
			ay_hasher_final(h, &got);
			assert_true(ay_digest_eq(&want, &got));
		}
	}
}

/* Computed by hand, from the top of a tree whose blocks are all alike. */
static void a_terabyte_takes_no_time(void **state)
{
	AY_FREE struct ay_hasher *h = ay_hasher_new();
	uint8_t block[4096], hash[32];
	struct ay_digest got, want;
	uint64_t size = 1ull << 40, nodes = size / 4096;
	uint8_t desc[256] = {1, 1, 12};

	(void)state;
	memset(block, 0, sizeof(block));
	ay_sha256(block, sizeof(block), hash);
	/* 2^28 leaves, all alike: level by level one block of 128 equal hashes, but the top one, which is shorter. */
	for (; nodes > 1; nodes = (nodes + 127) / 128) {
		size_t n = nodes < 128 ? (size_t)nodes : 128;
		memset(block, 0, sizeof(block));
		for (size_t i = 0; i < n; i++)
			memcpy(block + i * 32, hash, 32);
		ay_sha256(block, sizeof(block), hash);
	}
	for (int i = 0; i < 8; i++)
		desc[8 + i] = (uint8_t)(size >> (8 * i));
	memcpy(desc + 16, hash, 32);
	ay_sha256(desc, sizeof(desc), want.b);
	ay_hasher_zeros(h, size);
	ay_hasher_final(h, &got);
	assert_true(ay_digest_eq(&want, &got));
}

static void a_file_with_holes_is_read_around_them(void **state)
{
	AY_CLOSE int fd = memfd_create("holes", MFD_CLOEXEC);
	AY_FREE uint8_t *data = calloc(1, 3000001);
	struct ay_digest want, got;
	struct ay_merkle *m = NULL;
	uint64_t size = 0, end = 0;

	(void)state;
	assert_true(fd >= 0 && data);
	data[1000000] = 1;
	data[2999999] = 2;
	assert_int_equal(ftruncate(fd, 3000001), 0);
	assert_int_equal(pwrite(fd, "\1", 1, 1000000), 1);
	assert_int_equal(pwrite(fd, "\2", 1, 2999999), 1);
	digest_slowly(data, 3000001, &want);
	assert_int_equal(ay_digest_fd(fd, &got, &size), 0);
	assert_int_equal(size, 3000001);
	assert_true(ay_digest_eq(&want, &got));
	assert_int_equal(ay_merkle_build_fd(fd, &m), 0); /* every hash block, those of holes too */
	assert_true(ay_digest_eq(&want, ay_merkle_digest(m)));
	assert_int_equal(ay_merkle_check(m, 0, data, 4096), 0);
	assert_int_equal(ay_merkle_check(m, 999424, data + 999424, 4096), 0);
	ay_merkle_free(m);

	assert_true(ay_sparse_next(fd, 0, 3000001, &end));
	assert_int_equal(end, 1000000 / 4096 * 4096);
	assert_false(ay_sparse_next(fd, end, 3000001, &end));
	assert_int_equal(end, 1000000 / 4096 * 4096 + 4096);
	assert_int_equal(ftruncate(fd, 4000000), 0);
	assert_true(ay_sparse_next(fd, 3500000, 4000000, &end));
	assert_int_equal(end, 4000000);
}

static void who_cannot_tell_has_no_holes(void **state)
{
	int p[2];
	uint64_t end = 0;

	(void)state;
	assert_int_equal(pipe(p), 0); /* ESPIPE, as a file system without SEEK_HOLE has EINVAL */
	assert_false(ay_sparse_next(p[0], 5, 100, &end));
	assert_int_equal(end, 100);
	close(p[0]);
	close(p[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(zeros_are_told_from_others),
		cmocka_unit_test(a_leaf_of_zeros_has_its_hash),
		cmocka_unit_test(zeros_are_hashed_as_bytes),
		cmocka_unit_test(a_terabyte_takes_no_time),
		cmocka_unit_test(a_file_with_holes_is_read_around_them),
		cmocka_unit_test(who_cannot_tell_has_no_holes),
	};
	return cmocka_run_group_tests_name("base/sparse", tests, NULL, NULL);
}
