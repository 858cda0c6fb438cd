/* SPDX-License-Identifier: MIT */
/* Envelopes: several signers, the limits, one form. */
#include "tests/unit/manifest/support.h"

static const char text[] = "ayni-thing 1\nwhat: ever\n";

static void test_there_and_back(void **state)
{
	(void)state;
	struct ay_err err = {0};
	struct ay_buf out = {0};
	struct ay_envelope env;
	seal(text, strlen(text), "CAB", &out); /* in any order */
	assert_code(ay_envelope_parse(out.data, out.len, &env, &err), 0);
	assert_int_equal(env.text.len, strlen(text));
	assert_memory_equal(env.text.data, text, env.text.len);
	assert_int_equal(env.n_signatures, 3);
	for (unsigned i = 0; i < 3; i++) {
		struct ay_public_key pk = pub_of("ABC"[i]);
		assert_memory_equal(env.signatures[i].key_id, pk.id, 8);
		assert_int_equal(ay_envelope_verify(&env, i, &pk), 0);
		assert_int_equal(ay_envelope_verify(&env, (i + 1) % 3, &pk), AY_ESIG);
	}
	ay_buf_release(&out);
}

/* Put the parsed parts together again. */
static int again(const void *data, size_t len, struct ay_buf *out)
{
	struct ay_envelope env;
	struct ay_slice files[AY_SIGNATURES_MAX];
	int r = ay_envelope_parse(data, len, &env, NULL);

	if (r)
		return r;
	for (unsigned i = 0; i < env.n_signatures; i++)
		files[i] = env.signatures[i].file;
	return ay_envelope_join(env.text.data, env.text.len, files, env.n_signatures, out, NULL);
}

static void test_damage(void **state)
{
	(void)state;
	struct ay_buf out = {0};
	seal(text, strlen(text), "AB", &out);
	assert_strict(out.data, out.len, again);
	ay_buf_release(&out);
}

static int parse_text(const char *s, struct ay_err *err)
{
	struct ay_envelope env;

	return ay_envelope_parse(s, strlen(s), &env, err);
}

static void test_forms(void **state)
{
	(void)state;
	struct ay_err err = {0};
	struct ay_buf out = {0};
	seal(text, strlen(text), "AB", &out);
	const char *good = ay_buf_cstr(&out);
	static const char *const edits[][2] = {
		{"text 24", "text 23"},
		{"text 24", "text 25"},
		{"text 24", "text 024"},
		{"text 24", "text 0"},
		{"text 24", "text"},
		{"text 24", "text -1"},
		{"signatures 2", "signatures 1"},
		{"signatures 2", "signatures 3"},
		{"signatures 2", "signatures 0"},
		{"signatures 2", "signature 2"},
		{"envelope 1\n", "envelope 1\r\n"},
		{"untrusted comment: ", "untrusted comment:"},
		{"trusted comment: a test", "trusted comment: a\rtest"},
		{"\nuntrusted", "\n\nuntrusted"},
	};
	for (size_t i = 0; i < sizeof(edits) / sizeof(edits[0]); i++) {
		char *bad = changed(good, edits[i][0], edits[i][1]);
		assert_code(parse_text(bad, &err), AY_EFORMAT);
		free(bad);
	}
	static const char *const limits[][2] = {{"text 24", "text 262145"},
						{"text 24", "text 4294967295"},
						{"signatures 2", "signatures 17"}};
	for (size_t i = 0; i < 3; i++) {
		char *bad = changed(good, limits[i][0], limits[i][1]);
		assert_code(parse_text(bad, &err), AY_ELIMIT);
		free(bad);
	}
	seal("x", 1, "A", &out);
	good = ay_buf_cstr(&out);
	char *none = changed(good, "text 1\nx", "text 0\n");
	assert_code(parse_text(none, &err), AY_EFORMAT);
	free(none);
	char *bad = changed(good, "envelope 1", "envelope 2");
	assert_code(parse_text(bad, &err), AY_EVERSION);
	free(bad);
	ay_buf_release(&out);
}

/* Several keys only; the same one twice is no second signature. */
static void test_a_key_once(void **state)
{
	(void)state;
	struct ay_err err = {0};
	struct ay_secret_key a = key_of('A');
	const struct ay_secret_key *twice[] = {&a, &a};
	struct ay_buf out = {0}, sig = {0};
	assert_code(ay_envelope_write(text, strlen(text), twice, 2, NULL, &out, &err), AY_EUSAGE);
	assert_code(ay_sign_detached(&a, text, strlen(text), NULL, &sig, &err), 0);
	ay_buf_reset(&out);
	ay_put_fmt(&out, "ayni-envelope 1\ntext %zu\n%ssignatures 2\n", strlen(text), text);
	ay_put_bytes(&out, sig.data, sig.len);
	ay_put_bytes(&out, sig.data, sig.len);
	assert_code(parse_text(ay_buf_cstr(&out), &err), AY_EFORMAT);
	/* nor in the wrong order */
	ay_buf_reset(&sig);
	struct ay_secret_key b = key_of('B');
	assert_code(ay_sign_detached(&b, text, strlen(text), NULL, &sig, &err), 0);
	assert_code(ay_sign_detached(&a, text, strlen(text), NULL, &sig, &err), 0);
	ay_buf_reset(&out);
	ay_put_fmt(&out, "ayni-envelope 1\ntext %zu\n%ssignatures 2\n", strlen(text), text);
	ay_put_bytes(&out, sig.data, sig.len);
	assert_code(parse_text(ay_buf_cstr(&out), &err), AY_EFORMAT);
	ay_buf_release(&out);
	ay_buf_release(&sig);
}

static void test_limits(void **state)
{
	(void)state;
	struct ay_err err = {0};
	struct ay_buf out = {0};
	struct ay_envelope env;
	char *big = malloc(AY_SIGNED_TEXT_MAX + 1);
	assert_non_null(big);
	memset(big, 'x', AY_SIGNED_TEXT_MAX + 1);
	seal(big, AY_SIGNED_TEXT_MAX, "ABCDEFGHIJKLMNOP", &out); /* 16 signers of the largest text */
	assert_true(out.len <= AY_ENVELOPE_MAX);
	assert_code(ay_envelope_parse(out.data, out.len, &env, &err), 0);
	assert_int_equal(env.n_signatures, 16);

	struct ay_secret_key keys[17];
	const struct ay_secret_key *ptrs[17];
	for (int i = 0; i < 17; i++) {
		keys[i] = key_of((char)('A' + i));
		ptrs[i] = &keys[i];
	}
	ay_buf_reset(&out);
	assert_code(ay_envelope_write(big, AY_SIGNED_TEXT_MAX + 1, ptrs, 1, NULL, &out, &err), AY_ELIMIT);
	assert_code(ay_envelope_write(big, 1, ptrs, 17, NULL, &out, &err), AY_EUSAGE);
	assert_code(ay_envelope_write(big, 1, ptrs, 0, NULL, &out, &err), AY_EUSAGE);
	assert_code(ay_envelope_write(big, 0, ptrs, 1, NULL, &out, &err), AY_ELIMIT);
	free(big);
	big = calloc(1, AY_ENVELOPE_MAX + 1);
	assert_non_null(big);
	assert_code(ay_envelope_parse(big, AY_ENVELOPE_MAX + 1, &env, &err), AY_ELIMIT);
	free(big);
	ay_buf_release(&out);
}

/* Signature files that came from elsewhere. */
static void test_join(void **state)
{
	(void)state;
	struct ay_err err = {0};
	struct ay_buf out = {0}, sig = {0};
	struct ay_secret_key a = key_of('A');
	assert_code(ay_sign_detached(&a, text, strlen(text), NULL, &sig, &err), 0);
	struct ay_slice files[2] = {{sig.data, sig.len}, {sig.data, sig.len}};
	assert_code(ay_envelope_join(text, strlen(text), files, 1, &out, &err), 0);
	assert_code(parse_text(ay_buf_cstr(&out), &err), 0);
	assert_code(ay_envelope_join(text, strlen(text), files, 2, &out, &err), AY_EUSAGE);
	files[0].len--;
	assert_code(ay_envelope_join(text, strlen(text), files, 1, &out, &err), AY_EFORMAT);
	ay_put_str(&sig, "x\n");
	files[0] = (struct ay_slice){sig.data, sig.len};
	assert_code(ay_envelope_join(text, strlen(text), files, 1, &out, &err), AY_EFORMAT);
	ay_buf_release(&out);
	ay_buf_release(&sig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back), cmocka_unit_test(test_damage),
		cmocka_unit_test(test_forms),          cmocka_unit_test(test_a_key_once),
		cmocka_unit_test(test_limits),         cmocka_unit_test(test_join),
	};
	return cmocka_run_group_tests_name("manifest/envelope", tests, NULL, NULL);
}
