/* SPDX-License-Identifier: MIT */
/* Tree paths in depth-first order, one printable form for any bytes, branch names as file names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/path.h"

static int cmp(const char *a, const char *b)
{
	int r = ay_path_cmp(a, strlen(a), b, strlen(b));
	return (r > 0) - (r < 0);
}

/* The order of a walk that enters a directory when it meets it. */
static void test_order(void **state)
{
	(void)state;
	static const char *const walk[] = {
		"/",      "/a",       "/a/b", "/a/b/c", "/a/b!", "/a/b-c", "/a/b.c", "/a/b0",
		"/a\x01", "/a\x01/z", "/a b", "/a!",    "/a!/x", "/a-",    "/a.",    "/a.b",
		"/a.b/c", "/a0",      "/aa",  "/b",     "/b/a",  "/\x7f",  "/\x80",  "/\xff",
	};
	size_t n = sizeof(walk) / sizeof(walk[0]);
	for (size_t i = 0; i < n; i++) {
		for (size_t j = 0; j < n; j++)
			assert_int_equal(cmp(walk[i], walk[j]), (i > j) - (i < j));
	}
	assert_true(ay_path_cmp("/a\0", 3, "/a/", 3) > 0); /* total over any bytes */
	assert_true(ay_path_cmp("/a\0", 3, "/a", 2) > 0);
	assert_int_equal(ay_path_cmp("", 0, "", 0), 0);
}

static void test_check(void **state)
{
	(void)state;
	static const char *const good[] = {"/",         "/a", "/a/b", "/...",      "/.a", "/a.",  "/..a",
					   "/a/.b/..c", "/ ", "/\n",  "/\xff\xfe", "/-",  "/a\\b"};
	static const char *const bad[] = {"",        "a",   "a/b",  "//",    "//a",  "/a/",   "/a//b",
					  "/.",      "/..", "/./a", "/../a", "/a/.", "/a/..", "/a/./b",
					  "/a/../b", "./a", "../a", ".",     "..",   " /a"};
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_int_equal(ay_path_check(good[i], strlen(good[i])), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(ay_path_check(bad[i], strlen(bad[i])), AY_EFORMAT);
	for (size_t at = 0; at < 4; at++) {
		char path[4] = "/abc";
		path[at] = '\0';
		assert_int_equal(ay_path_check(path, 4), AY_EFORMAT);
	}
	assert_int_equal(ay_path_check("/a/../b", 2), 0); /* only @len bytes are looked at */
	assert_int_equal(ay_path_check("/a/../b", 5), AY_EFORMAT);
}

static void test_check_lengths(void **state)
{
	(void)state;
	char path[AY_PATH_MAX + 3];
	/* Components of 255: 16 of them with their slashes are 4096 bytes. */
	for (size_t i = 0; i < sizeof(path); i++)
		path[i] = i % 256 == 0 ? '/' : 'n';
	assert_int_equal(ay_path_check(path, 256), 0);
	assert_int_equal(ay_path_check(path, 4095), 0);
	assert_int_equal(ay_path_check(path, 4096), AY_EFORMAT);
	path[256] = 'n'; /* one component of more than 255 */
	assert_int_equal(ay_path_check(path, 257), AY_EFORMAT);
	assert_int_equal(ay_path_check(path, 4095), AY_EFORMAT);
}

static void test_parent(void **state)
{
	(void)state;
	assert_int_equal(ay_path_parent_len("/", 1), 0);
	assert_int_equal(ay_path_parent_len("/a", 2), 1);
	assert_int_equal(ay_path_parent_len("/abc", 4), 1);
	assert_int_equal(ay_path_parent_len("/a/b", 4), 2);
	assert_int_equal(ay_path_parent_len("/a/b/cd", 7), 4);
	assert_int_equal(ay_path_parent_len("", 0), 0);
}

static int decode(struct ay_buf *out, const char *text)
{
	ay_buf_reset(out);
	return ay_percent_get(out, text, strlen(text));
}

/* Each byte has one form; the form of another is refused. */
static void test_percent_bytes(void **state)
{
	(void)state;
	struct ay_buf text = {0}, back = {0};
	for (int c = 0; c < 256; c++) {
		uint8_t byte = (uint8_t)c;
		bool plain = c > 0x20 && c < 0x7f && c != '%';
		ay_buf_reset(&text);
		ay_percent_put(&text, &byte, 1);
		assert_int_equal(text.len, plain ? 1 : 3);
		ay_buf_reset(&back);
		assert_int_equal(ay_percent_get(&back, (char *)text.data, text.len), 0);
		assert_int_equal(back.len, 1);
		assert_int_equal(back.data[0], c);

		ay_buf_reset(&text); /* the other form */
		if (plain)
			ay_put_fmt(&text, "%%%02X", (unsigned)c);
		else
			ay_put_u8(&text, byte);
		assert_int_equal(ay_percent_get(&back, (char *)text.data, text.len), AY_EFORMAT);
		assert_int_equal(back.len, 1); /* nothing is left of what was refused */
	}
	ay_buf_release(&text);
	ay_buf_release(&back);
}

static void test_percent_bad(void **state)
{
	(void)state;
	static const char *const bad[] = {"%",   "%2",   "a%",   "a%0",  "%0a", "%fF",  "%Ff", "%G0",
					  "%0G", "%%20", "%2%0", "% 20", "%+1", "%-1",  "%0x", "%41",
					  "%2F", "a b",  "\n",   "%7E",  "%21", "a%20%"};
	struct ay_buf out = {0};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(decode(&out, bad[i]), AY_EFORMAT);
	assert_int_equal(decode(&out, "%00%0A%25%7F%FFx"), 0);
	assert_int_equal(out.len, 6);
	assert_memory_equal(out.data, "\x00\x0a%\x7f\xffx", 6);
	assert_int_equal(ay_percent_get(&out, "ab%2f", 5), AY_EFORMAT);
	assert_int_equal(out.len, 6); /* what went well before the mistake is taken back */
	/* A truncated escape in memory that ends there. */
	char *two = malloc(2);
	memcpy(two, "%2", 2);
	assert_int_equal(ay_percent_get(&out, two, 2), AY_EFORMAT);
	assert_int_equal(ay_percent_get(&out, two, 1), AY_EFORMAT);
	free(two);
	ay_buf_release(&out);

	ay_buf_init(&out, 3);
	assert_int_equal(ay_percent_get(&out, "abcd", 4), AY_ELIMIT);
	ay_buf_release(&out);
	ay_buf_init(&out, 3);
	ay_percent_put(&out, "a ", 2);
	assert_int_equal(ay_buf_status(&out), AY_ELIMIT);
	ay_buf_release(&out);
}

static void test_names(void **state)
{
	(void)state;
	static const struct {
		const char *name, *file;
	} cases[] = {
		{"stable", "stable"},     {"xo/stable", "xo%2Fstable"},
		{".hidden", "%2Ehidden"}, {"a.b", "a.b"},
		{"a/.b", "a%2F.b"},       {".", "%2E"},
		{"..", "%2E."},           {"/", "%2F"},
		{"/.", "%2F."},           {"a%b c", "a%25b%20c"},
		{"\xc3\xa9", "%C3%A9"},
	};
	struct ay_buf out = {0};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ay_buf_reset(&out);
		assert_int_equal(ay_percent_name(&out, cases[i].name), 0);
		assert_string_equal((char *)out.data, cases[i].file);
		assert_int_equal(out.len, strlen(cases[i].file));
		ay_buf_reset(&out);
		assert_int_equal(ay_percent_unname(&out, cases[i].file), 0);
		assert_string_equal((char *)out.data, cases[i].name);
	}
	static const char *const bad[] = {"",    ".",    "..",  ".a",  "a/b", "a%2Eb", "%00",   "a%00",
					  "%2f", "a%2E", "%61", "a%2", "/",   "a b",   "%2E%2E"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ay_buf_reset(&out);
		assert_int_equal(ay_percent_unname(&out, bad[i]), AY_EFORMAT);
		assert_int_equal(out.len, 0);
	}
	assert_int_equal(ay_percent_name(&out, ""), AY_EFORMAT);
	ay_buf_release(&out);
	ay_buf_init(&out, 4);
	assert_int_equal(ay_percent_name(&out, "a/bc"), AY_ELIMIT);
	ay_buf_release(&out);
}

static void test_branch(void **state)
{
	(void)state;
	static const char *const good[] = {"a", "xo/stable", "a.b_c-d/0", "...", ".a", "a/b/c/d", "-", "9"};
	static const char *const bad[] = {"",    "/",    "/a",       "a/",    "a//b", ".",
					  "..",  "a/..", "./a",      "a/./b", "A",    "xo Stable",
					  "a%b", "a\\b", "\xc3\xa9", "a\n"};
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_int_equal(ay_branch_check(good[i], strlen(good[i])), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(ay_branch_check(bad[i], strlen(bad[i])), AY_EFORMAT);
	for (int c = 0; c < 256; c++) {
		char name[3] = {'a', (char)c, 'b'};
		bool legal = c != 0 && strchr("abcdefghijklmnopqrstuvwxyz0123456789._-/", c);
		assert_int_equal(ay_branch_check(name, 3), legal ? 0 : AY_EFORMAT);
	}
	char longest[65];
	memset(longest, 'n', sizeof(longest));
	assert_int_equal(ay_branch_check(longest, 64), 0);
	assert_int_equal(ay_branch_check(longest, 65), AY_EFORMAT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),         cmocka_unit_test(test_check),
		cmocka_unit_test(test_check_lengths), cmocka_unit_test(test_parent),
		cmocka_unit_test(test_percent_bytes), cmocka_unit_test(test_percent_bad),
		cmocka_unit_test(test_names),         cmocka_unit_test(test_branch),
	};
	return cmocka_run_group_tests_name("path", tests, NULL, NULL);
}
