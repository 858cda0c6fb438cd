/* SPDX-License-Identifier: MIT */
/* The strict reading of signed texts: one form of everything. */
#include "manifest/text.h"
#include "tests/unit/manifest/support.h"

static int open_text(struct ay__text *t, const char *s, struct ay_err *err)
{
	return ay__text_open(t, s, strlen(s), "ayni-thing", err);
}

static void test_open(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"",
		"\n",
		"ayni-thing 1",
		"ayni-thing\n",
		"ayni-thing \n",
		"ayni-thing  1\n",
		"ayni-thing 01\n",
		"ayni-thing 1 \n",
		"ayni-thing 1 2\n",
		" ayni-thing 1\n",
		"ayni-thin 1\n",
		"ayni-things 1\n",
		"ayni-thing 1\r\n",
		"ayni-thing 1\na: b",
		"ayni-thing 1\na:\t1\n",
		"ayni-thing 1\na: \xc3\xa9\n",
		"ayni-thing 1\na: b \n",
		"ayni-thing 1\na: \n",
		"ayni-thing 99999999999999999999\n",
	};
	struct ay__text t;
	struct ay_err err = {0};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_code(open_text(&t, bad[i], &err), AY_EFORMAT);
	assert_code(ay__text_open(&t, "ayni-thing 1\na: \0\n", 18, "ayni-thing", &err), AY_EFORMAT);
	assert_code(open_text(&t, "ayni-thing 2\n", &err), AY_EVERSION);
	assert_code(open_text(&t, "ayni-thing 0\n", &err), AY_EVERSION);
	assert_code(open_text(&t, "ayni-thing 1\n", &err), 0);
	assert_code(ay__text_end(&t, &err), 0);
	char *big = malloc(AY_SIGNED_TEXT_MAX + 1);
	assert_non_null(big);
	memset(big, '\n', AY_SIGNED_TEXT_MAX + 1);
	assert_code(ay__text_open(&t, big, AY_SIGNED_TEXT_MAX + 1, "ayni-thing", &err), AY_ELIMIT);
	assert_code(ay__text_open(&t, big, AY_SIGNED_TEXT_MAX, "ayni-thing", &err), AY_EFORMAT);
	free(big);
}

static void test_values_in_order(void **state)
{
	(void)state;
	struct ay__text t;
	struct ay_slice v;
	struct ay_err err = {0};
	uint64_t n;
	assert_code(open_text(&t, "ayni-thing 1\na: x y\nb:\nc: 7\n", &err), 0);
	assert_true(ay__text_peek(&t, "a"));
	assert_false(ay__text_peek(&t, "b"));
	assert_code(ay__text_value(&t, "a", &v, &err), 0);
	assert_true(v.len == 3 && memcmp(v.data, "x y", 3) == 0);
	assert_code(ay__text_value(&t, "b", &v, &err), 0);
	assert_int_equal(v.len, 0);
	assert_code(ay__text_end(&t, &err), AY_EFORMAT);
	assert_code(ay__text_number(&t, "c", 7, 7, &n, &err), 0);
	assert_int_equal(n, 7);
	assert_code(ay__text_end(&t, &err), 0);
	assert_code(ay__text_value(&t, "d", &v, &err), AY_EFORMAT);

	assert_code(open_text(&t, "ayni-thing 1\nb: 1\na: 2\n", &err), 0);
	assert_code(ay__text_value(&t, "a", &v, &err), AY_EFORMAT);
	assert_non_null(strstr(err.msg, "line 2"));
	assert_code(open_text(&t, "ayni-thing 1\na:1\n", &err), 0);
	assert_code(ay__text_value(&t, "a", &v, &err), AY_EFORMAT);
	assert_code(open_text(&t, "ayni-thing 1\na : 1\n", &err), 0);
	assert_code(ay__text_value(&t, "a", &v, &err), AY_EFORMAT);
	assert_code(open_text(&t, "ayni-thing 1\naa: 1\n", &err), 0);
	assert_code(ay__text_value(&t, "a", &v, &err), AY_EFORMAT);
	assert_code(open_text(&t, "ayni-thing 1\nc: 8\n", &err), 0);
	assert_code(ay__text_number(&t, "c", 7, 7, &n, &err), AY_EFORMAT);
	assert_code(open_text(&t, "ayni-thing 1\nc: 6\n", &err), 0);
	assert_code(ay__text_number(&t, "c", 7, 7, &n, &err), AY_EFORMAT);
}

static void test_words(void **state)
{
	(void)state;
	struct ay_slice rest = {(const uint8_t *)"a  b ", 5}, w;
	assert_true(ay__word(&rest, &w) && ay__word_is(&w, "a"));
	assert_true(ay__word(&rest, &w) && w.len == 0); /* the doubled space */
	assert_true(ay__word(&rest, &w) && ay__word_is(&w, "b"));
	assert_true(rest.data != NULL);
	assert_true(ay__word(&rest, &w) && w.len == 0); /* the trailing space */
	assert_null(rest.data);
	assert_false(ay__word(&rest, &w));
}

static int number(const char *s, uint64_t max, uint64_t *out)
{
	return ay__parse_u64(s, strlen(s), max, out);
}

static void test_numbers(void **state)
{
	(void)state;
	uint64_t n;
	static const char *const bad[] = {"",
					  " 1",
					  "1 ",
					  "+1",
					  "-1",
					  "00",
					  "01",
					  "0x1",
					  "1e3",
					  "1.",
					  "18446744073709551616",
					  "99999999999999999999",
					  "118446744073709551615"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(number(bad[i], UINT64_MAX, &n), AY_EFORMAT);
	assert_int_equal(number("0", 0, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(number("18446744073709551615", UINT64_MAX, &n), 0);
	assert_true(n == UINT64_MAX);
	assert_int_equal(number("256", 255, &n), AY_EFORMAT);
	assert_int_equal(number("255", 255, &n), 0);
}

static int prose(const char *encoded, bool newlines, char out[9])
{
	struct ay_slice s = {(const uint8_t *)encoded, strlen(encoded)};

	return ay__prose_get(&s, out, 9, newlines);
}

/* What ends on a terminal must not be able to steer it. */
static void test_prose(void **state)
{
	(void)state;
	char out[9];
	static const char *const bad[] = {
		"%1B[2J",    "%00",          "%07",          "%7F",       "%C2%9B", /* CSI in UTF-8 */
		"%FF",       "%C3",          "%C0%AF",       "%ED%A0%80", "%F4%90%80%80", "%E0%80%80",
		"%E0%9F%BF", "%F0%8F%BF%BF", "%F0%80%80%80", "%80",       "%61",          "%"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(prose(bad[i], true, out), AY_EFORMAT);
	assert_int_equal(prose("", false, out), 0);
	assert_string_equal(out, "");
	assert_int_equal(prose("a%0Ab%09", true, out), 0);
	assert_string_equal(out, "a\nb\t");
	assert_int_equal(prose("a%0Ab", false, out), AY_EFORMAT);
	assert_int_equal(prose("%C3%A9%E2%82%AC%20", false, out), 0);
	assert_string_equal(out, "\xc3\xa9\xe2\x82\xac ");
	assert_int_equal(prose("%F0%9F%98%80", false, out), 0);
	assert_int_equal(prose("12345678", false, out), 0);
	assert_true(prose("123456789", false, out) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_open),  cmocka_unit_test(test_values_in_order),
		cmocka_unit_test(test_words), cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_prose),
	};
	return cmocka_run_group_tests_name("manifest/text", tests, NULL, NULL);
}
