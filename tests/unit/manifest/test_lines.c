/* SPDX-License-Identifier: MIT */
/* Lines out of a stream, however it is cut; and the window's limits. */
#include "manifest/lines.h"
#include "tests/unit/manifest/support.h"

static const char text[] = "one\n\ntwo words\nlast\n";

static void test_any_step(void **state)
{
	(void)state;
	static const char *const want[] = {"one", "", "two words", "last"};
	struct ay_err err = {0};
	for (size_t step = 1; step <= sizeof(text); step++) {
		struct slow s = slow_of(text, strlen(text), step);
		struct ay__lines l;
		struct ay_slice line;
		struct ay_digest d, all;
		assert_int_equal(ay__lines_init(&l, slow_read, &s, 100), 0);
		for (size_t i = 0; i < 4; i++) {
			assert_code(ay__lines_next(&l, &line, &err), 1);
			assert_int_equal(line.len, strlen(want[i]));
			assert_memory_equal(line.data, want[i], line.len);
			assert_int_equal(line.data[line.len], '\n');
			assert_int_equal(l.line, i + 1);
		}
		assert_code(ay__lines_next(&l, &line, &err), 0);
		assert_code(ay__lines_next(&l, &line, &err), 0);
		assert_int_equal(l.size, strlen(text));
		ay_hasher_final(l.hasher, &d);
		ay_digest_mem(text, strlen(text), &all);
		assert_true(ay_digest_eq(&d, &all));
		ay__lines_release(&l);
	}
}

static int first_line(const void *data, size_t len, size_t line_max, size_t *cap)
{
	struct slow s = slow_of(data, len, 50000);
	struct ay__lines l;
	struct ay_slice line;

	assert_int_equal(ay__lines_init(&l, slow_read, &s, line_max), 0);
	int r = ay__lines_next(&l, &line, NULL);
	*cap = l.cap;
	ay__lines_release(&l);
	return r;
}

static void test_line_limit(void **state)
{
	(void)state;
	size_t max = 300000, len = 10000000, cap;
	char *data = malloc(len);
	assert_non_null(data);
	memset(data, 'x', len);
	/* No newline in ten million bytes: refused as soon as the limit is passed, without reading them all. */
	assert_int_equal(first_line(data, len, max, &cap), AY_ELIMIT);
	assert_true(cap <= 2 * max);
	data[max] = '\n';
	assert_int_equal(first_line(data, len, max, &cap), 1);
	data[max] = 'x';
	data[max + 1] = '\n';
	assert_int_equal(first_line(data, len, max, &cap), AY_ELIMIT);
	free(data);
}

static void test_cut_off_and_read_error(void **state)
{
	(void)state;
	struct ay_err err = {0};
	struct ay__lines l;
	struct ay_slice line;
	struct slow s = slow_of("one\ntw", 6, 100);
	assert_int_equal(ay__lines_init(&l, slow_read, &s, 100), 0);
	assert_code(ay__lines_next(&l, &line, &err), 1);
	assert_code(ay__lines_next(&l, &line, &err), AY_EFORMAT);
	assert_non_null(strstr(err.msg, "line 2"));
	ay__lines_release(&l);

	s = slow_of("one\ntwo\n", 8, 4);
	s.fail_at = 4;
	assert_int_equal(ay__lines_init(&l, slow_read, &s, 100), 0);
	assert_code(ay__lines_next(&l, &line, &err), 1);
	assert_code(ay__lines_next(&l, &line, &err), -EIO);
	ay__lines_release(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_any_step),
		cmocka_unit_test(test_line_limit),
		cmocka_unit_test(test_cut_off_and_read_error),
	};
	return cmocka_run_group_tests_name("manifest/lines", tests, NULL, NULL);
}
