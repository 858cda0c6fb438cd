/* SPDX-License-Identifier: MIT */
/* A manifest as mtree(5), word for word. */
#include "tests/unit/manifest/support.h"

#define DIGEST "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static const char manifest[] = "ayni-manifest 1\n"
			       "d 0755 0 0 1.000000000 /\n"
			       "f 4755 7 8 1700000000.123456789 42 " DIGEST " /a%20b#\\=%C3%A9*?[ user.a=00\n"
			       "c 0600 0 0 1.000000000 1:3 /c\n"
			       "b 0600 0 0 1.000000000 8:1 /d\n"
			       "l 0777 0 0 5.000000000 x%20y /l\n"
			       "p 0600 0 0 1.000000000 /p\n";

static const char want[] =
	"#mtree\n"
	". type=dir mode=0755 uid=0 gid=0 time=1.000000000\n"
	"./a\\040b\\043\\134\\075\\303\\251\\052\\077\\133 type=file mode=4755 uid=7 gid=8 time=1700000000.123456789 "
	"size=42 tags=fsverity-sha256:" DIGEST "\n"
	"./c type=char mode=0600 uid=0 gid=0 time=1.000000000 device=linux,1,3\n"
	"./d type=block mode=0600 uid=0 gid=0 time=1.000000000 device=linux,8,1\n"
	"./l type=link mode=0777 uid=0 gid=0 time=5.000000000 link=x\\040y\n"
	"./p type=fifo mode=0600 uid=0 gid=0 time=1.000000000\n";

static int to_mtree(const char *text, ay_write_fn write, void *ctx, struct ay_err *err)
{
	struct ay_manifest_reader *r = ay_manifest_reader_new_mem(text, strlen(text));

	assert_non_null(r);
	int rc = ay_manifest_mtree(r, write, ctx, err);
	ay_manifest_reader_free(r);
	return rc;
}

static void test_all_types(void **state)
{
	(void)state;
	struct ay_buf out = {0};
	struct ay_err err = {0};
	assert_code(to_mtree(manifest, ay_write_to_buf, &out, &err), 0);
	assert_string_equal(ay_buf_cstr(&out), want);
	ay_buf_release(&out);
}

static int broken_pipe(void *ctx, const void *data, size_t len)
{
	(void)ctx;
	(void)data;
	(void)len;
	return -EPIPE;
}

static void test_errors_pass(void **state)
{
	(void)state;
	struct ay_buf out = {0};
	struct ay_err err = {0};
	assert_code(to_mtree(manifest, broken_pipe, NULL, &err), -EPIPE);
	assert_code(to_mtree("ayni-manifest 1\nnonsense\n", ay_write_to_buf, &out, &err), AY_EFORMAT);
	ay_buf_release(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_types),
		cmocka_unit_test(test_errors_pass),
	};
	return cmocka_run_group_tests_name("manifest/mtree", tests, NULL, NULL);
}
