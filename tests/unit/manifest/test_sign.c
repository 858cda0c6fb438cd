/* SPDX-License-Identifier: MIT */
/* One signature: what it covers, and what refuses it. */
#include <sodium.h>

#include "tests/unit/manifest/support.h"

/* An envelope of one signature that is not checked for its form. */
static struct ay_envelope env_of(const char *text, const struct ay_buf *sig, char signer)
{
	struct ay_envelope env = {.text = {(const uint8_t *)text, strlen(text)}, .n_signatures = 1};

	env.signatures[0].file = (struct ay_slice){sig->data, sig->len};
	memcpy(env.signatures[0].key_id, key_of(signer).id, 8);
	return env;
}

static void test_good(void **state)
{
	(void)state;
	struct ay_err err = {0};
	struct ay_secret_key sk = key_of('A');
	struct ay_public_key a = pub_of('A'), b = pub_of('B');
	struct ay_buf sig = {0};
	assert_code(ay_sign_detached(&sk, "text\n", 5, NULL, &sig, &err), 0);
	struct ay_envelope env = env_of("text\n", &sig, 'A');
	assert_int_equal(ay_envelope_verify(&env, 0, &a), 0);
	assert_int_equal(ay_envelope_verify(&env, 0, &b), AY_ESIG);
	assert_int_equal(ay_envelope_verify(&env, 1, &a), AY_ESIG); /* no such signature */
	env.n_signatures = 0;
	assert_int_equal(ay_envelope_verify(&env, 0, &a), AY_ESIG);
	env.n_signatures = 1;
	struct ay_public_key mixed = b;
	memcpy(mixed.id, a.id, 8); /* another key under the same id */
	assert_int_equal(ay_envelope_verify(&env, 0, &mixed), AY_ESIG);
	mixed = a;
	mixed.id[0] ^= 1; /* the right key under another id */
	assert_int_equal(ay_envelope_verify(&env, 0, &mixed), AY_ESIG);
	env = env_of("texu\n", &sig, 'A');
	assert_int_equal(ay_envelope_verify(&env, 0, &a), AY_ESIG);
	env = env_of("text\n\n", &sig, 'A');
	assert_int_equal(ay_envelope_verify(&env, 0, &a), AY_ESIG);
	ay_buf_release(&sig);
}

/* Each bit of the file but those of the untrusted comment is under one of the two signatures. */
static void test_damage(void **state)
{
	(void)state;
	struct ay_err err = {0};
	struct ay_secret_key sk = key_of('A');
	struct ay_public_key a = pub_of('A');
	struct ay_buf sig = {0};
	assert_code(ay_sign_detached(&sk, "text\n", 5, "trust\tthis", &sig, &err), 0);
	size_t prefix = strlen("untrusted comment: "),
	       line2 = (size_t)(strchr((char *)sig.data, '\n') - (char *)sig.data);
	for (size_t i = 0; i < sig.len * 8; i++) {
		if (i / 8 >= prefix && i / 8 < line2)
			continue;
		sig.data[i / 8] ^= (uint8_t)(1u << (i % 8));
		struct ay_envelope env = env_of("text\n", &sig, 'A');
		assert_int_equal(ay_envelope_verify(&env, 0, &a), AY_ESIG);
		sig.data[i / 8] ^= (uint8_t)(1u << (i % 8));
	}
	sig.data[prefix] ^= 1; /* nobody trusts the untrusted comment */
	struct ay_envelope env = env_of("text\n", &sig, 'A');
	assert_int_equal(ay_envelope_verify(&env, 0, &a), 0);
	for (size_t len = 0; len < sig.len; len++) {
		env.signatures[0].file.len = len;
		assert_int_equal(ay_envelope_verify(&env, 0, &a), AY_ESIG);
	}
	ay_buf_release(&sig);
}

static void test_comments(void **state)
{
	(void)state;
	struct ay_err err = {0};
	struct ay_secret_key sk = key_of('A');
	struct ay_buf sig = {0};
	char comment[AY_COMMENT_MAX + 2];
	memset(comment, 'c', sizeof(comment));
	comment[AY_COMMENT_MAX] = 0;
	assert_code(ay_sign_detached(&sk, "x", 1, comment, &sig, &err), 0);
	assert_true(sig.len <= AY_SIGNATURE_FILE_MAX);
	comment[AY_COMMENT_MAX] = 'c';
	comment[AY_COMMENT_MAX + 1] = 0;
	assert_code(ay_sign_detached(&sk, "x", 1, comment, &sig, &err), AY_EUSAGE);
	assert_code(ay_sign_detached(&sk, "x", 1, "a\nb", &sig, &err), AY_EUSAGE);
	assert_code(ay_sign_detached(&sk, "x", 1, "a\rb", &sig, &err), AY_EUSAGE);
	assert_code(ay_sign_detached(&sk, "x", 1, "a\x1b[2Jb", &sig, &err), AY_EUSAGE);
	ay_buf_release(&sig);
}

/* minisign's older kind signs the text itself, not its hash; a good one is refused all the same. */
static void test_legacy(void **state)
{
	(void)state;
	struct ay_secret_key sk = key_of('A');
	struct ay_public_key a = pub_of('A');
	struct ay_buf sig = {0};
	for (int legacy = 0; legacy < 2; legacy++) {
		uint8_t raw[74] = {'E', legacy ? 'd' : 'D'}, global[64], message[64 + 1], hash[64];
		char b64[200];
		memcpy(raw + 2, sk.id, 8);
		crypto_generichash(hash, 64, (const uint8_t *)"text\n", 5, NULL, 0);
		if (legacy)
			crypto_sign_detached(raw + 10, NULL, (const uint8_t *)"text\n", 5, sk.key);
		else
			crypto_sign_detached(raw + 10, NULL, hash, 64, sk.key);
		memcpy(message, raw + 10, 64);
		message[64] = 'c';
		crypto_sign_detached(global, NULL, message, 65, sk.key);
		ay_buf_reset(&sig);
		sodium_bin2base64(b64, sizeof(b64), raw, 74, sodium_base64_VARIANT_ORIGINAL);
		ay_put_fmt(&sig, "untrusted comment: \n%s\n", b64);
		sodium_bin2base64(b64, sizeof(b64), global, 64, sodium_base64_VARIANT_ORIGINAL);
		ay_put_fmt(&sig, "trusted comment: c\n%s\n", b64);
		struct ay_envelope env = env_of("text\n", &sig, 'A');
		assert_int_equal(ay_envelope_verify(&env, 0, &a), legacy ? AY_ESIG : 0);
	}
	ay_buf_release(&sig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_comments),
		cmocka_unit_test(test_legacy),
	};
	return cmocka_run_group_tests_name("manifest/sign", tests, NULL, NULL);
}
