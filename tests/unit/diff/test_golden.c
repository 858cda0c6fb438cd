/* SPDX-License-Identifier: MIT */
/*
 * The golden bundles: what a version of the format was when it was fixed is still read, and the newest is what is
 * written today.
 *
 * Its two trees are made here from fixed seeds. The packed bytes depend on the libraries' versions, so that writing is
 * compared only with those of Debian 12. A new version of the format gets a file of its own, the old one stays:
 *     AYNI_GOLDEN_WRITE=1 build/tests/unit/diff/test_golden     (from the top of the tree)
 */
#include "tests/unit/diff/golden_bundle.h"

#include <stdio.h>

#define GOLDEN         "bundle-v2-bases.bin"
#define GOLDEN_TARGETS "bundle-v2-targets.bin" /* with one flag less */
#define GOLDEN_V2      "bundle-v2.bin"         /* with none */
#define GOLDEN_V1      "bundle-v1.bin"         /* of the same trees */

static void golden_pair(struct tree **old, struct tree **new_)
{
	struct ay_prng r;
	size_t new_len;

	ay_prng_init(&r, 2007);
	*old = tree_new();
	*new_ = tree_new();
	for (unsigned i = 0; i < 4; i++) {
		char path[16];
		uint8_t *a = bytes_code(&r, 6000), *b = bytes_edit(&r, a, 6000, 5, &new_len);

		snprintf(path, sizeof(path), "/v1/f%u.ko", i);
		tree_add(*old, path, a, 6000);
		snprintf(path, sizeof(path), "/v2/f%u.ko", i);
		tree_add(*new_, path, b, new_len);
		free(a);
		free(b);
	}
	uint8_t *noise = bytes_random(&r, 18000); /* over the part's end */
	tree_add(*new_, "/noise", noise, 18000);
	for (size_t i = 0; i < 18000; i++) /* skewed, without repetition: here xz is the smallest */
		noise[i] = (uint8_t)(__builtin_ctzll(ay_prng_next(&r) | 1ull << 40) << (i % 2 ? 4 : 0));
	tree_add(*new_, "/skewed", noise, 18000);
	free(noise);
	tree_add_text(*new_, "/empty", "");
	tree_add_text(*new_, "/text", "today for you, tomorrow for me\n");
	tree_add_text(*old, "/gone", "goes");
	tree_seal(*old);
	tree_seal(*new_);
}

static void test_golden(void **state)
{
	(void)state;
	struct tree *old, *new_;
	struct ay_make_options o = {.threads = 1, .apply_memory = ay_bundle_memory(20480)};

	golden_pair(&old, &new_);
	struct ay_buf want = golden_bundle(GOLDEN, bundle_make(old, new_, &o, NULL), old, new_, NULL, true);
	/* It shows what a decoder must know: every codec but one, every stream of plain methods, two parts. */
	struct golden_shown shown = golden_shows(&want);
	assert_int_equal(shown.codecs, 0x17); /* sifted: test_apart.c */
	/* The others: test_elf.c; and no digest is said that stands in a manifest. */
	assert_int_equal(shown.streams, ((2u << AY_STREAM_LITERAL) - 1) & ~(1u << AY_STREAM_DIGEST));
	assert_true(shown.parts >= 2);
	ay_buf_release(&want);
	tree_free(old);
	tree_free(new_);
}

/* What was made before is read. */
static void test_golden_before(void **state)
{
	(void)state;
	static const char *const paths[3] = {GOLDEN_V1, GOLDEN_V2, GOLDEN_TARGETS};
	struct tree *old, *new_;

	golden_pair(&old, &new_);
	for (unsigned i = 0; i < 3; i++) {
		struct ay_buf bytes = golden_read(paths[i]);

		assert_int_equal(bytes.data[7], i ? 2 : 1);
		int fd = bundle_fd(bytes.data, bytes.len);
		bundle_complete(fd, old, new_, NULL);
		close(fd);
		ay_buf_release(&bytes);
	}
	tree_free(old);
	tree_free(new_);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_golden),
					   cmocka_unit_test(test_golden_before)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
