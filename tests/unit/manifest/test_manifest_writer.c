/* SPDX-License-Identifier: MIT */
/* The manifest writer: what it writes the reader reads; what the reader refuses it refuses. */
#include "tests/unit/manifest/support.h"

static struct ay_entry entry(char type, const char *path)
{
	return (struct ay_entry){
		.type = (enum ay_entry_type)type, .mode = 0755, .path = path, .path_len = strlen(path)};
}

static void test_digest_and_size(void **state)
{
	(void)state;
	struct ay_buf out = {0};
	struct ay_err err = {0};
	struct ay_digest d, all;
	uint64_t size;
	struct ay_entry top = entry('d', "/"), a = entry('p', "/a");
	struct ay_manifest_writer *w = ay_manifest_writer_new(ay_write_to_buf, &out);
	assert_non_null(w);
	assert_code(ay_manifest_add(w, &top, &err), 0);
	assert_code(ay_manifest_add(w, &a, &err), 0);
	assert_code(ay_manifest_finish(w, &d, &size, &err), 0);
	assert_string_equal(ay_buf_cstr(&out),
			    "ayni-manifest 1\nd 0755 0 0 0.000000000 /\np 0755 0 0 0.000000000 /a\n");
	assert_int_equal(size, out.len);
	all = digest_of(&out);
	assert_true(ay_digest_eq(&d, &all));
	/* nothing may follow */
	a = entry('p', "/z");
	assert_true(ay_manifest_add(w, &a, &err) < 0);
	assert_true(ay_manifest_finish(w, &d, &size, &err) < 0);
	ay_manifest_writer_free(w);
	ay_manifest_writer_free(NULL);
	ay_buf_release(&out);
}

static void test_without_output(void **state)
{
	(void)state;
	struct ay_err err = {0};
	struct ay_digest d;
	struct ay_entry top = entry('d', "/");
	struct ay_manifest_writer *w = ay_manifest_writer_new(NULL, NULL);
	assert_non_null(w);
	assert_code(ay_manifest_add(w, &top, &err), 0);
	assert_code(ay_manifest_finish(w, &d, NULL, &err), 0);
	ay_manifest_writer_free(w);
}

static void refused(const struct ay_entry *first, const struct ay_entry *second)
{
	struct ay_buf out = {0};
	struct ay_err err = {0};
	struct ay_manifest_writer *w = ay_manifest_writer_new(ay_write_to_buf, &out);

	assert_non_null(w);
	if (second)
		assert_code(ay_manifest_add(w, first, &err), 0);
	assert_code(ay_manifest_add(w, second ? second : first, &err), AY_EFORMAT);
	assert_true(err.msg[0]);
	/* sticky: a hole in a manifest must not be finished */
	struct ay_entry z = entry('p', "/zzz");
	assert_code(ay_manifest_add(w, &z, &err), AY_EFORMAT);
	assert_code(ay_manifest_finish(w, NULL, NULL, &err), AY_EFORMAT);
	assert_int_equal(out.len, 0);
	ay_manifest_writer_free(w);
	ay_buf_release(&out);
}

static void test_refused(void **state)
{
	(void)state;
	struct ay_entry top = entry('d', "/"), e = entry('p', "/a/b");
	refused(&e, NULL);
	refused(&top, &e);
	refused(&top, &top);
	e = entry('p', "/a/../b");
	refused(&top, &e);
	e = entry('x', "/a");
	refused(&top, &e);
	struct ay_manifest_writer *w = ay_manifest_writer_new(NULL, NULL);
	assert_non_null(w);
	assert_int_equal(ay_manifest_finish(w, NULL, NULL, NULL), AY_EFORMAT);
	ay_manifest_writer_free(w);
}

static int full_disk(void *ctx, const void *data, size_t len)
{
	(void)data;
	(void)len;
	return ++*(int *)ctx > 2 ? -ENOSPC : 0;
}

static void test_write_error(void **state)
{
	(void)state;
	struct ay_err err = {0};
	int calls = 0, r = 0;
	char path[32];
	struct ay_entry e = entry('d', "/");
	struct ay_manifest_writer *w = ay_manifest_writer_new(full_disk, &calls);
	assert_non_null(w);
	assert_code(ay_manifest_add(w, &e, &err), 0);
	for (int i = 0; i < 100000 && !r; i++) {
		snprintf(path, sizeof(path), "/%08d", i);
		e = entry('p', path);
		r = ay_manifest_add(w, &e, &err);
	}
	assert_code(r, -ENOSPC);
	assert_code(ay_manifest_finish(w, NULL, NULL, &err), -ENOSPC);
	assert_int_equal(calls, 3); /* in large pieces, and never again after the failure */
	ay_manifest_writer_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_digest_and_size),
		cmocka_unit_test(test_without_output),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_write_error),
	};
	return cmocka_run_group_tests_name("manifest/writer", tests, NULL, NULL);
}
