/* SPDX-License-Identifier: MIT */
/*
 * Real bundles, damaged. Every truncation and every single flipped bit must be refused: no bit of a bundle is
 * without meaning. And with all checks made to fit again, as somebody hostile would: nothing may come out but files
 * whose digests are right, and nothing may be read or written out of place (ASan looks).
 */
#include "tests/unit/diff/trees.h"

#include <stdio.h>

struct pair {
	struct tree *old, *new_;
	struct ay_buf bundle;
};

/* Small, but with every method, every stream and more than one part. */
static void pair_make(struct pair *p)
{
	struct ay_prng r;
	struct ay_make_options o = {.threads = 1, .apply_memory = 1};
	size_t new_len;

	ay_prng_init(&r, 7);
	p->old = tree_new();
	p->new_ = tree_new();
	for (unsigned i = 0; i < 3; i++) {
		char path[16];
		uint8_t *a = bytes_code(&r, 4000), *b = bytes_edit(&r, a, 4000, 4, &new_len);

		snprintf(path, sizeof(path), "/f%u", i);
		tree_add(p->old, path, a, 4000);
		tree_add(p->new_, path, b, new_len);
		free(a);
		free(b);
	}
	char text[24000];
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = "ayni, today for you, tomorrow for me "[i * i / 7 % 37];
	tree_add(p->new_, "/text", text, sizeof(text));
	tree_add_text(p->new_, "/empty", "");
	tree_seal(p->old);
	tree_seal(p->new_);
	int fd = bundle_make(p->old, p->new_, &o, NULL);
	bundle_complete(fd, p->old, p->new_, NULL);
	p->bundle = bundle_bytes(fd);
	close(fd);
}

static void pair_free(struct pair *p)
{
	tree_free(p->old);
	tree_free(p->new_);
	ay_buf_release(&p->bundle);
}

static int apply(struct pair *p, const void *data, size_t len, struct tree *want)
{
	struct applied a = {0};
	struct ay_err err = {0};
	int fd = bundle_fd(data, len);
	int rc = bundle_apply(fd, p->old, want, NULL, &a, &err);

	assert_true(rc == 0 || (rc < 0 && err.msg[0] && err.code == rc));
	close(fd);
	ay_buf_release(&a.delta);
	return rc;
}

static void test_truncated_everywhere(void **state)
{
	(void)state;
	struct pair p;

	pair_make(&p);
	for (size_t len = 0; len < p.bundle.len; len++)
		assert_int_equal(apply(&p, p.bundle.data, len, p.new_), AY_EFORMAT);
	assert_int_equal(apply(&p, p.bundle.data, p.bundle.len, p.new_), 0);
	ay_put_u8(&p.bundle, 0);
	assert_int_equal(apply(&p, p.bundle.data, p.bundle.len, p.new_), AY_EFORMAT);
	pair_free(&p);
}

static void test_every_flipped_bit_is_refused(void **state)
{
	(void)state;
	struct pair p;

	pair_make(&p);
	for (size_t bit = 0; bit < 8 * p.bundle.len; bit++) {
		p.bundle.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		if (apply(&p, p.bundle.data, p.bundle.len, p.new_) == 0)
			fail_msg("bit %zu of byte %zu means nothing", bit % 8, bit / 8);
		p.bundle.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	pair_free(&p);
}

static void test_flipped_bits_with_checks_that_fit(void **state)
{
	(void)state;
	struct pair p;
	unsigned refused = 0, same = 0;

	pair_make(&p);
	struct ay_buf copy = {0};
	for (size_t bit = 0; bit < 8 * p.bundle.len; bit++) {
		ay_buf_reset(&copy);
		ay_put_bytes(&copy, p.bundle.data, p.bundle.len);
		copy.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		bundle_fix_checks(copy.data, copy.len);
		if (apply(&p, copy.data, copy.len, NULL) == 0)
			same++;
		else
			refused++;
	}
	/* From, to, and the manifest delta are not the reader's to judge; a codec may not care for a bit. */
	print_message("%u refused, %u came out right all the same\n", refused, same);
	assert_true(refused > 3 * same);
	ay_buf_release(&copy);
	pair_free(&p);
}

static void test_random_damage(void **state)
{
	(void)state;
	struct pair p;
	struct ay_prng r;
	struct ay_buf copy = {0};

	pair_make(&p);
	ay_prng_init(&r, 8);
	for (unsigned i = 0; i < 3000; i++) {
		ay_buf_reset(&copy);
		ay_put_bytes(&copy, p.bundle.data, p.bundle.len);
		for (uint64_t n = 1 + ay_prng_below(&r, 5); n > 0; n--) {
			size_t at = ay_prng_below(&r, copy.len), len = 1 + ay_prng_below(&r, 40);

			len = len < copy.len - at ? len : copy.len - at;
			if (ay_prng_below(&r, 2))
				memset(copy.data + at, (int)ay_prng_below(&r, 256), len);
			else
				memmove(copy.data + at, copy.data + ay_prng_below(&r, copy.len - len + 1),
					len);
		}
		bundle_fix_checks(copy.data, copy.len);
		apply(&p, copy.data, copy.len, NULL);
	}
	ay_buf_release(&copy);
	pair_free(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_truncated_everywhere),
		cmocka_unit_test(test_every_flipped_bit_is_refused),
		cmocka_unit_test(test_flipped_bits_with_checks_that_fit),
		cmocka_unit_test(test_random_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
