/* SPDX-License-Identifier: MIT */
/* The head: 156 bytes, each of them meant. */
#include "tests/unit/manifest/support.h"

static struct ay_head some_head(void)
{
	struct ay_head h = {.root_epoch = 2,
			    .serial = 7,
			    .min_serial = 3,
			    .rollout = 25,
			    .release_size = 1234,
			    .signed_at_s = 1700000000};

	ay_branch_id("test", "xo/stable", &h.branch);
	memset(h.release.b, 0xee, sizeof(h.release.b));
	return h;
}

static void test_there_and_back(void **state)
{
	(void)state;
	struct ay_err err = {0};
	struct ay_secret_key sk = key_of('H');
	struct ay_public_key pk = pub_of('H'), other = pub_of('I');
	struct ay_head h = some_head(), back;
	uint8_t out[AY_HEAD_SIZE];
	assert_int_equal(ay_head_sign(&h, &sk, out), 0);
	assert_code(ay_head_parse(out, sizeof(out), &back, &err), 0);
	assert_memory_equal(back.branch.b, h.branch.b, 8);
	assert_int_equal(back.root_epoch, 2);
	assert_int_equal(back.serial, 7);
	assert_int_equal(back.min_serial, 3);
	assert_int_equal(back.rollout, 25);
	assert_true(ay_digest_eq(&back.release, &h.release));
	assert_int_equal(back.release_size, 1234);
	assert_int_equal(back.signed_at_s, 1700000000);
	assert_memory_equal(back.key_id, sk.id, 8);
	assert_int_equal(ay_head_verify(out, &pk), 0);
	assert_int_equal(ay_head_verify(out, &other), AY_ESIG);
	memcpy(other.id, pk.id, 8);
	assert_int_equal(ay_head_verify(out, &other), AY_ESIG);
	pk.id[0] ^= 1; /* the right key under another id */
	assert_int_equal(ay_head_verify(out, &pk), AY_ESIG);
}

/* Offsets are the contract with every other implementation. */
static void test_offsets(void **state)
{
	(void)state;
	struct ay_secret_key sk = key_of('H');
	struct ay_head h = some_head();
	uint8_t out[AY_HEAD_SIZE], zero[8] = {0};
	assert_int_equal(ay_head_sign(&h, &sk, out), 0);
	assert_memory_equal(out, "AyniHd\0\1", 8);
	assert_memory_equal(out + 8, h.branch.b, 8);
	assert_int_equal(ay_get_le32(out + 16), 2);
	assert_int_equal(ay_get_le32(out + 20), 7);
	assert_int_equal(ay_get_le32(out + 24), 3);
	assert_int_equal(out[28], 25);
	assert_memory_equal(out + 29, zero, 3);
	assert_memory_equal(out + 32, h.release.b, 32);
	assert_int_equal(ay_get_le32(out + 64), 1234);
	assert_int_equal(ay_get_le64(out + 68), 1700000000);
	assert_memory_equal(out + 76, sk.id, 8);
	assert_memory_equal(out + 84, zero, 8);
}

static void test_damage(void **state)
{
	(void)state;
	struct ay_secret_key sk = key_of('H');
	struct ay_public_key pk = pub_of('H');
	struct ay_head h = some_head(), back;
	uint8_t out[AY_HEAD_SIZE + 1] = {0};
	assert_int_equal(ay_head_sign(&h, &sk, out), 0);
	for (size_t i = 0; i < AY_HEAD_SIZE * 8; i++) {
		out[i / 8] ^= (uint8_t)(1u << (i % 8));
		assert_int_equal(ay_head_verify(out, &pk), AY_ESIG);
		out[i / 8] ^= (uint8_t)(1u << (i % 8));
	}
	for (size_t len = 0; len < AY_HEAD_SIZE; len++) {
		uint8_t *exact = malloc(len ? len : 1);
		assert_non_null(exact);
		memcpy(exact, out, len);
		assert_int_equal(ay_head_parse(exact, len, &back, NULL), AY_EFORMAT);
		free(exact);
	}
	assert_int_equal(ay_head_parse(out, AY_HEAD_SIZE + 1, &back, NULL), AY_EFORMAT);
}

static int parse_with(size_t at, const void *bytes, size_t len)
{
	struct ay_secret_key sk = key_of('H');
	struct ay_head h = some_head(), back;
	uint8_t out[AY_HEAD_SIZE];

	assert_int_equal(ay_head_sign(&h, &sk, out), 0);
	memcpy(out + at, bytes, len);
	return ay_head_parse(out, sizeof(out), &back, NULL);
}

static void test_form(void **state)
{
	(void)state;
	static const uint8_t zero[8], ff[8] = {255, 255, 255, 255, 255, 255, 255, 255};
	assert_int_equal(parse_with(0, "AyniHe", 6), AY_EFORMAT);
	assert_int_equal(parse_with(6, "\1", 1), AY_EFORMAT);
	assert_int_equal(parse_with(7, "\2", 1), AY_EVERSION);
	assert_int_equal(parse_with(7, "\0", 1), AY_EVERSION);
	assert_int_equal(parse_with(16, zero, 4), AY_EFORMAT);   /* epoch 0 */
	assert_int_equal(parse_with(20, zero, 8), AY_EFORMAT);   /* serial 0, min serial 0 */
	assert_int_equal(parse_with(24, "\x08", 1), AY_EFORMAT); /* min above serial */
	assert_int_equal(parse_with(24, "\x07", 1), 0);
	assert_int_equal(parse_with(28, "\x65", 1), AY_EFORMAT); /* 101 percent */
	assert_int_equal(parse_with(28, "\x64", 1), 0);
	for (size_t i = 29; i < 32; i++)
		assert_int_equal(parse_with(i, ff, 1), AY_EFORMAT);
	assert_int_equal(parse_with(64, zero, 4), AY_EFORMAT); /* release of no size */
	assert_int_equal(parse_with(64, ff, 4), AY_EFORMAT);
	assert_int_equal(parse_with(68, ff, 8), AY_EFORMAT);
	for (size_t i = 84; i < 92; i++)
		assert_int_equal(parse_with(i, ff, 1), AY_EFORMAT);

	/* Who signs nonsense is told. */
	struct ay_secret_key sk = key_of('H');
	struct ay_head h = some_head();
	uint8_t out[AY_HEAD_SIZE];
	h.rollout = 101;
	assert_int_equal(ay_head_sign(&h, &sk, out), AY_EFORMAT);
	h = some_head();
	h.min_serial = 8;
	assert_int_equal(ay_head_sign(&h, &sk, out), AY_EFORMAT);
}

static void test_order(void **state)
{
	(void)state;
	struct ay_head a = some_head(), b = some_head();
	assert_int_equal(ay_head_cmp(&a, &b), 0);
	b.signed_at_s++;
	assert_int_equal(ay_head_cmp(&a, &b), 0); /* a later signature is not a newer release */
	b.serial++;
	assert_true(ay_head_cmp(&a, &b) < 0);
	assert_true(ay_head_cmp(&b, &a) > 0);
	a.root_epoch++; /* a new root begins serials anew: the way out of a stolen key's serial 2^32-1 */
	assert_true(ay_head_cmp(&a, &b) > 0);
	b.serial = UINT32_MAX;
	assert_true(ay_head_cmp(&a, &b) > 0);
}

static void test_branch_ids(void **state)
{
	(void)state;
	struct ay_branch_id a, b;
	/* printf 'ayni-branch\0test\0xo/stable' | sha256sum */
	ay_branch_id("test", "xo/stable", &a);
	uint8_t hash[32];
	ay_sha256("ayni-branch\0test\0xo/stable", 26, hash);
	assert_memory_equal(a.b, hash, 8);
	ay_branch_id("test", "xo/stabl", &b);
	assert_memory_not_equal(a.b, b.b, 8);
	ay_branch_id("tes", "xo/stable", &b);
	assert_memory_not_equal(a.b, b.b, 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back), cmocka_unit_test(test_offsets),
		cmocka_unit_test(test_damage),         cmocka_unit_test(test_form),
		cmocka_unit_test(test_order),          cmocka_unit_test(test_branch_ids),
	};
	return cmocka_run_group_tests_name("manifest/head", tests, NULL, NULL);
}
