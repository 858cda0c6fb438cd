/* SPDX-License-Identifier: MIT */
/* A release's text. */
#include "tests/unit/manifest/support.h"

#define DIGEST "a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1"

static int again(const void *data, size_t len, struct ay_buf *out)
{
	struct ay_release r;
	int rc = ay_release_parse(data, len, &r, NULL);

	return rc ? rc : ay_release_write(&r, out, NULL);
}

static void test_there_and_back(void **state)
{
	(void)state;
	struct ay_err err = {0};
	struct ay_release r = some_release("xo/stable", 7), back;
	struct ay_buf out = {0};
	assert_code(ay_release_write(&r, &out, &err), 0);
	assert_code(ay_release_parse(out.data, out.len, &back, &err), 0);
	assert_string_equal(back.branch, "xo/stable");
	assert_int_equal(back.serial, 7);
	assert_int_equal(back.root_epoch, 1);
	assert_string_equal(back.name, r.name);
	assert_int_equal(back.date_s, 1700000000);
	assert_true(ay_digest_eq(&back.manifest, &r.manifest));
	assert_int_equal(back.manifest_size, 4321);
	assert_int_equal(back.unpacked_size, 123456789);
	assert_int_equal(back.entries, 77);
	assert_int_equal(back.min_serial, 3);
	assert_string_equal(back.notes, r.notes);
	assert_strict(out.data, out.len, again);
	ay_buf_reset(&out);
	r.name[0] = r.notes[0] = 0;
	assert_code(ay_release_write(&r, &out, &err), 0);
	assert_non_null(strstr(ay_buf_cstr(&out), "\nname:\n"));
	assert_strict(out.data, out.len, again);
	ay_buf_release(&out);
}

static const char good[] =
	"ayni-release 1\nbranch: xo/stable\nserial: 7\nroot-epoch: 1\nname: a%20b\ndate: 1\n"
	"manifest: " DIGEST " 4321\nunpacked: 0\nentries: 1\nmin-serial: 7\nnotes: x\n";

static void test_refused(void **state)
{
	(void)state;
	struct ay_err err = {0};
	struct ay_release r;
	static const char *const edits[][2] = {
		{"ayni-release", "ayni-offer"},
		{"xo/stable", "../stable"},
		{"xo/stable", "XO"},
		{"xo/stable", "a/"},
		{"xo/stable", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
		{"branch: xo/stable", "branch:"},
		{"serial: 7", "serial: 0"},
		{"serial: 7", "serial: 4294967296"},
		{"serial: 7", "serial: -1"},
		{"serial: 7", "serial:"},
		{"root-epoch: 1", "root-epoch: 0"},
		{"root-epoch: 1\n", ""},
		{"name: a%20b", "name: a b"},
		{"name: a%20b", "name: a%0Ab"},
		{"name: a%20b", "name: %1B"},
		{"date: 1", "date: 9223372036854775808"},
		{DIGEST, "A" DIGEST},
		{DIGEST " 4321", DIGEST},
		{DIGEST " 4321", DIGEST "  4321"},
		{DIGEST " 4321", DIGEST " 0"},
		{DIGEST " 4321", DIGEST " 1073741825"},
		{DIGEST " 4321", DIGEST " 4321 1"},
		{"unpacked: 0", "unpacked: 9223372036854775808"},
		{"entries: 1", "entries: 0"},
		{"min-serial: 7", "min-serial: 8"},
		{"notes: x\n", ""},
		{"notes: x\n", "notes: x\nmore: y\n"},
		{"notes: x\n", "notes: x\nnotes: x\n"},
		{"notes: x", "notes: %C2%9B"},
	};
	assert_code(ay_release_parse(good, strlen(good), &r, &err), 0);
	char *low = changed(good, "serial: 7", "serial: 0"),
	     *lowest = changed(low, "min-serial: 7", "min-serial: 0");
	assert_code(ay_release_parse(lowest, strlen(lowest), &r, &err), AY_EFORMAT);
	free(low);
	free(lowest);
	for (size_t i = 0; i < sizeof(edits) / sizeof(edits[0]); i++) {
		char *bad = changed(good, edits[i][0], edits[i][1]);
		int rc = ay_release_parse(bad, strlen(bad), &r, &err);
		if (rc != AY_EFORMAT)
			print_error("%s -> %s\n", edits[i][0], edits[i][1]);
		assert_code(rc, AY_EFORMAT);
		free(bad);
	}
}

/* The writer checks by reading, so that nobody signs what nobody takes. */
static void test_writer_refuses(void **state)
{
	(void)state;
	struct ay_err err = {0};
	struct ay_buf out = {0};
	struct ay_release r = some_release("xo/stable", 7);
	r.serial = 0;
	assert_code(ay_release_write(&r, &out, &err), AY_EFORMAT);
	r = some_release("No Branch", 7);
	assert_code(ay_release_write(&r, &out, &err), AY_EFORMAT);
	r = some_release("xo/stable", 7);
	memcpy(r.name, "bell\a", 6);
	assert_code(ay_release_write(&r, &out, &err), AY_EFORMAT);
	r = some_release("a\nserial: 9", 7);
	assert_code(ay_release_write(&r, &out, &err), AY_EFORMAT);
	r = some_release("xo/stable", 7);
	memset(r.notes, 'n', AY_RELEASE_NOTES_MAX);
	r.notes[AY_RELEASE_NOTES_MAX] = 0;
	assert_code(ay_release_write(&r, &out, &err), 0);
	ay_buf_release(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_writer_refuses),
	};
	return cmocka_run_group_tests_name("manifest/release", tests, NULL, NULL);
}
