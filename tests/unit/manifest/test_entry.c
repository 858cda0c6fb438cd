/* SPDX-License-Identifier: MIT */
/* One line of a manifest: every field, each form that must be refused, and the order of lines. */
#include "manifest/entry.h"
#include "tests/unit/manifest/support.h"

#define DIGEST "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static struct ay__entry_store store;

static int decode(const char *line, struct ay_entry *e, struct ay_err *err)
{
	struct ay_slice s = {(const uint8_t *)line, strlen(line)};

	return ay__entry_decode(&store, &s, e, err);
}

static int setup(void **state)
{
	(void)state;
	ay__entry_store_init(&store);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	ay__entry_store_release(&store);
	return 0;
}

static const char *const good[] = {
	"f 0644 0 0 1700000000.123456789 42 " DIGEST " /a/b",
	"f 4755 4294967294 4294967294 -1.500000000 9223372036854775807 " DIGEST " /a%20b%25%C3%A9",
	"f 0000 1 2 -9223372036854775808.000000000 0 " DIGEST " /x user.a=00ff user.b=",
	"f 0000 1 2 9223372036854775807.999999999 0 " DIGEST " /x user.a=b=00ff",
	"d 7777 0 0 0.000000000 /",
	"d 0755 0 0 0.000000000 /a/...",
	"l 0777 0 0 5.000000000 ../%0A /l",
	"c 0600 0 0 5.000000000 0:4294967295 /dev/x",
	"b 0600 0 0 5.000000000 8:1 /dev/y",
	"p 0600 0 0 5.000000000 /fifo system.posix_acl_access=0200",
};

static void test_there_and_back(void **state)
{
	(void)state;
	struct ay_err err = {0};
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct ay_entry e;
		struct ay_buf out = {0};
		assert_code(decode(good[i], &e, &err), 0);
		assert_code(ay_entry_encode(&out, &e, &err), 0);
		assert_int_equal(out.len, strlen(good[i]) + 1);
		assert_memory_equal(out.data, good[i], strlen(good[i]));
		assert_true(ay_entry_same(&e, &e));
		ay_buf_release(&out);
	}
}

static void test_fields(void **state)
{
	(void)state;
	struct ay_err err = {0};
	struct ay_entry e;
	assert_code(decode("f 4755 7 4294967294 -1.500000000 99 " DIGEST " /a%20b user.a=b=00ff user.c=", &e,
			   &err),
		    0);
	assert_int_equal(e.type, AY_ENTRY_FILE);
	assert_int_equal(e.mode, 04755);
	assert_int_equal(e.uid, 7);
	assert_int_equal(e.gid, 4294967294u);
	assert_true(e.mtime_s == -1);
	assert_int_equal(e.mtime_ns, 500000000);
	assert_int_equal(e.size, 99);
	assert_int_equal(e.digest.b[31], 0xff);
	assert_string_equal(e.path, "/a b");
	assert_int_equal(e.path_len, 4);
	assert_int_equal(e.n_xattrs, 2);
	assert_string_equal(e.xattrs[0].name, "user.a=b");
	assert_int_equal(e.xattrs[0].value_len, 2);
	assert_memory_equal(e.xattrs[0].value, "\x00\xff", 2);
	assert_string_equal(e.xattrs[1].name, "user.c");
	assert_int_equal(e.xattrs[1].value_len, 0);
	assert_code(decode("l 0777 0 0 1.000000000 x%20y /l", &e, &err), 0);
	assert_string_equal(e.target, "x y");
	assert_int_equal(e.target_len, 3);
	assert_code(decode("b 0600 0 0 1.000000000 8:17 /d", &e, &err), 0);
	assert_int_equal(e.dev_major, 8);
	assert_int_equal(e.dev_minor, 17);
}

/* Each says what there is another way to say, or says nothing that makes sense. */
static const char *const second_forms[] = {
	"",
	" ",
	"x 0644 0 0 1.000000000 /a",
	"ff 0644 0 0 1.000000000 1 " DIGEST " /a",
	"f  0644 0 0 1.000000000 1 " DIGEST " /a",
	" f 0644 0 0 1.000000000 1 " DIGEST " /a",
	"f 0644 0 0 1.000000000 1 " DIGEST " /a ",
	"f 644 0 0 1.000000000 1 " DIGEST " /a",
	"f 00644 0 0 1.000000000 1 " DIGEST " /a",
	"f 0844 0 0 1.000000000 1 " DIGEST " /a",
	"f 0644 00 0 1.000000000 1 " DIGEST " /a",
	"f 0644 +1 0 1.000000000 1 " DIGEST " /a",
	"f 0644 -1 0 1.000000000 1 " DIGEST " /a",
	"f 0644 4294967295 0 1.000000000 1 " DIGEST " /a",
	"f 0644 0 4294967295 1.000000000 1 " DIGEST " /a",
	"f 0644 0 4294967296 1.000000000 1 " DIGEST " /a",
	"f 0644 0 0 1 1 " DIGEST " /a",
	"f 0644 0 0 1. 1 " DIGEST " /a",
	"f 0644 0 0 .000000000 1 " DIGEST " /a",
	"f 0644 0 0 1.00000000 1 " DIGEST " /a",
	"f 0644 0 0 1.0000000000 1 " DIGEST " /a",
	"f 0644 0 0 1.00000000x 1 " DIGEST " /a",
	"f 0644 0 0 01.000000000 1 " DIGEST " /a",
	"f 0644 0 0 -0.000000000 1 " DIGEST " /a",
	"f 0644 0 0 --1.000000000 1 " DIGEST " /a",
	"f 0644 0 0 9223372036854775808.000000000 1 " DIGEST " /a",
	"f 0644 0 0 -9223372036854775809.000000000 1 " DIGEST " /a",
	"f 0644 0 0 1.000000000 9223372036854775808 " DIGEST " /a",
	"f 0644 0 0 1.000000000 18446744073709551616 " DIGEST " /a",
	"f 0644 0 0 1.000000000 01 " DIGEST " /a",
	"f 0644 0 0 1.000000000 1 " DIGEST "0 /a",
	"f 0644 0 0 1.000000000 1 0A" DIGEST " /a",
	"f 0644 0 0 1.000000000 1 " DIGEST,
	"f 0644 0 0 1.000000000 1 " DIGEST " ",
	"f 0644 0 0 1.000000000 1 " DIGEST " a",
	"f 0644 0 0 1.000000000 1 " DIGEST " /a/../b",
	"f 0644 0 0 1.000000000 1 " DIGEST " /./b",
	"f 0644 0 0 1.000000000 1 " DIGEST " /a//b",
	"f 0644 0 0 1.000000000 1 " DIGEST " /a/",
	"f 0644 0 0 1.000000000 1 " DIGEST " /%2E%2E/b",
	"f 0644 0 0 1.000000000 1 " DIGEST " /%61",
	"f 0644 0 0 1.000000000 1 " DIGEST " /%c3",
	"f 0644 0 0 1.000000000 1 " DIGEST " /%00",
	"f 0644 0 0 1.000000000 1 " DIGEST " /%",
	"f 0644 0 0 1.000000000 1 " DIGEST " /a\x80",
	"f 0644 0 0 1.000000000 1 " DIGEST " /a\t",
	"d 0755 0 0 1.000000000 1 " DIGEST " /a",
	"l 0777 0 0 1.000000000 /l",
	"l 0777 0 0 1.000000000  /l",
	"l 0777 0 0 1.000000000 %00 /l",
	"l 0755 0 0 1.000000000 t /l",
	"c 0600 0 0 1.000000000 1 /c",
	"c 0600 0 0 1.000000000 1: /c",
	"c 0600 0 0 1.000000000 :1 /c",
	"c 0600 0 0 1.000000000 1:2:3 /c",
	"c 0600 0 0 1.000000000 01:2 /c",
	"c 0600 0 0 1.000000000 4294967296:2 /c",
	"p 0600 0 0 1.000000000 1:2 /p",
	"p 0600 0 0 1.000000000 /p user.a",
	"p 0600 0 0 1.000000000 /p =00",
	"p 0600 0 0 1.000000000 /p user.a=0",
	"p 0600 0 0 1.000000000 /p user.a=0G",
	"p 0600 0 0 1.000000000 /p user.a=AA",
	"p 0600 0 0 1.000000000 /p user.%00=aa",
	"p 0600 0 0 1.000000000 /p user.%61=aa",
	"p 0600 0 0 1.000000000 /p user.b=00 user.a=00",
	"p 0600 0 0 1.000000000 /p user.a=00 user.a=00",
	"p 0600 0 0 1.000000000 /p user.a=00  user.b=00",
	"p 0600 0 0 1.000000000 /p user.a=00 ",
};

static void test_second_forms_refused(void **state)
{
	(void)state;
	struct ay_entry e;
	struct ay_err err = {0};
	for (size_t i = 0; i < sizeof(second_forms) / sizeof(second_forms[0]); i++) {
		int r = decode(second_forms[i], &e, &err);
		if (r != AY_EFORMAT)
			print_error("taken: %s\n", second_forms[i]);
		assert_code(r, AY_EFORMAT);
		assert_true(err.msg[0]);
	}
}

static struct ay_entry plain(void)
{
	return (struct ay_entry){.type = AY_ENTRY_FIFO, .mode = 0600, .path = "/p", .path_len = 2};
}

/* Just at and just above each limit, both ways. */
static void test_limits(void **state)
{
	(void)state;
	struct ay_err err = {0};
	struct ay_buf out = {0};
	struct ay_entry e = plain(), back;
	char *big = malloc(AY_XATTRS_MAX + 1);
	assert_non_null(big);
	memset(big, 'x', AY_XATTRS_MAX + 1);
	struct ay_xattr x[AY_XATTR_COUNT_MAX + 1];

	x[0] = (struct ay_xattr){"user.big", (uint8_t *)big, AY_XATTRS_MAX};
	e.xattrs = x;
	e.n_xattrs = 1;
	assert_code(ay_entry_encode(&out, &e, &err), 0);
	struct ay_slice line = {out.data, out.len - 1};
	assert_code(ay__entry_decode(&store, &line, &back, &err), 0);
	assert_true(ay_entry_same(&e, &back));
	x[0].value_len++;
	assert_code(ay_entry_encode(&out, &e, &err), AY_ELIMIT);
	out.data[out.len - 1] = 'a';
	ay_put_str(&out, "a\n");
	line = (struct ay_slice){out.data, out.len - 1};
	assert_code(ay__entry_decode(&store, &line, &back, &err), AY_ELIMIT);

	char names[AY_XATTR_COUNT_MAX + 1][16];
	ay_buf_reset(&out);
	ay_put_str(&out, "p 0600 0 0 0.000000000 /p");
	for (int i = 0; i <= AY_XATTR_COUNT_MAX; i++) {
		snprintf(names[i], sizeof(names[i]), "u.%03d", i);
		x[i] = (struct ay_xattr){names[i], (const uint8_t *)"", 0};
		ay_put_fmt(&out, " u.%03d=", i);
	}
	line = (struct ay_slice){out.data, out.len};
	assert_code(ay__entry_decode(&store, &line, &back, &err), AY_ELIMIT);
	line.len -= strlen(" u.064=");
	assert_code(ay__entry_decode(&store, &line, &back, &err), 0);
	e.n_xattrs = AY_XATTR_COUNT_MAX;
	assert_true(ay_entry_same(&e, &back));
	e.n_xattrs++;
	assert_code(ay_entry_encode(&out, &e, &err), AY_ELIMIT);

	e = plain();
	e.type = AY_ENTRY_SYMLINK;
	e.mode = 0777;
	e.target = big;
	e.target_len = AY_PATH_MAX;
	assert_code(ay_entry_encode(&out, &e, &err), 0);
	e.target_len++;
	assert_code(ay_entry_encode(&out, &e, &err), AY_EFORMAT);
	free(big);
	ay_buf_release(&out);
}

static void test_encoder_refuses(void **state)
{
	(void)state;
	struct ay_err err = {0};
	struct ay_buf out = {0};
	struct ay_entry e = plain();
	e.mode = 010000;
	assert_code(ay_entry_encode(&out, &e, &err), AY_EFORMAT);
	e = plain();
	e.uid = UINT32_MAX;
	assert_code(ay_entry_encode(&out, &e, &err), AY_EFORMAT);
	e = plain();
	e.mtime_ns = 1000000000;
	assert_code(ay_entry_encode(&out, &e, &err), AY_EFORMAT);
	e = plain();
	e.path = "/a/..";
	e.path_len = 5;
	assert_code(ay_entry_encode(&out, &e, &err), AY_EFORMAT);
	e = plain();
	e.type = (enum ay_entry_type)'s';
	assert_code(ay_entry_encode(&out, &e, &err), AY_EFORMAT);
	e = plain();
	e.type = AY_ENTRY_FILE;
	e.size = (uint64_t)INT64_MAX + 1;
	assert_code(ay_entry_encode(&out, &e, &err), AY_EFORMAT);
	assert_int_equal(out.len, 0);
	ay_buf_release(&out);
}

static void test_same_sees_every_field(void **state)
{
	(void)state;
	static const char *const lines[] = {
		"f 0644 0 0 1.000000000 1 " DIGEST " /a u.a=00",
		"f 0645 0 0 1.000000000 1 " DIGEST " /a u.a=00",
		"f 0644 1 0 1.000000000 1 " DIGEST " /a u.a=00",
		"f 0644 0 1 1.000000000 1 " DIGEST " /a u.a=00",
		"f 0644 0 0 2.000000000 1 " DIGEST " /a u.a=00",
		"f 0644 0 0 1.000000001 1 " DIGEST " /a u.a=00",
		"f 0644 0 0 1.000000000 2 " DIGEST " /a u.a=00",
		"f 0644 0 0 1.000000000 1 " DIGEST " /b u.a=00",
		"f 0644 0 0 1.000000000 1 " DIGEST " /a u.b=00",
		"f 0644 0 0 1.000000000 1 " DIGEST " /a u.a=01",
		"f 0644 0 0 1.000000000 1 " DIGEST " /a u.a=",
		"f 0644 0 0 1.000000000 1 " DIGEST " /a",
		"p 0644 0 0 1.000000000 /a u.a=00",
		"l 0777 0 0 1.000000000 t /a",
		"l 0777 0 0 1.000000000 u /a",
		"c 0644 0 0 1.000000000 1:1 /a",
		"c 0644 0 0 1.000000000 1:2 /a",
		"c 0644 0 0 1.000000000 2:1 /a",
	};
	struct ay__entry_store other;
	struct ay_entry a, b;
	struct ay_err err = {0};
	ay__entry_store_init(&other);
	size_t n = sizeof(lines) / sizeof(lines[0]);
	for (size_t i = 0; i < n; i++) {
		for (size_t j = 0; j < n; j++) {
			struct ay_slice s = {(const uint8_t *)lines[j], strlen(lines[j])};
			assert_code(decode(lines[i], &a, &err), 0);
			assert_code(ay__entry_decode(&other, &s, &b, &err), 0);
			assert_int_equal(ay_entry_same(&a, &b), i == j);
		}
	}
	ay__entry_store_release(&other);
}

static int step(struct ay__order *o, char type, const char *path)
{
	struct ay_entry e = {.type = (enum ay_entry_type)type, .path = path, .path_len = strlen(path)};

	return ay__order_step(o, &e, NULL);
}

static void test_order(void **state)
{
	(void)state;
	struct ay__order o = {.len = 0};
	assert_int_equal(step(&o, 'f', "/"), AY_EFORMAT);
	assert_int_equal(step(&o, 'd', "/a"), AY_EFORMAT);
	assert_int_equal(step(&o, 'd', "/"), 0);
	assert_int_equal(step(&o, 'd', "/"), AY_EFORMAT);
	assert_int_equal(step(&o, 'd', "/a"), 0);
	assert_int_equal(step(&o, 'f', "/a"), AY_EFORMAT);
	assert_int_equal(step(&o, 'd', "/a/b"), 0);
	assert_int_equal(step(&o, 'f', "/a/b/c"), 0);
	assert_int_equal(step(&o, 'f', "/a/b/c/d"), AY_EFORMAT); /* below a file */
	assert_int_equal(step(&o, 'f', "/a/b/ca"), 0);
	assert_int_equal(step(&o, 'f', "/a/b/b"), AY_EFORMAT); /* back */
	assert_int_equal(step(&o, 'f', "/a/x/y"), AY_EFORMAT); /* parent never listed */
	assert_int_equal(step(&o, 'f', "/a/b-"), 0);
	assert_int_equal(step(&o, 'f', "/a/b/z"), AY_EFORMAT); /* /a/b is closed */
	assert_int_equal(step(&o, 'f', "/a!"), 0);
	assert_int_equal(step(&o, 'f', "/b/c"), AY_EFORMAT);
	assert_int_equal(step(&o, 'f', "/b"), 0);
	assert_int_equal(step(&o, 'f', "/b/x"), AY_EFORMAT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_second_forms_refused),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_encoder_refuses),
		cmocka_unit_test(test_same_sees_every_field),
		cmocka_unit_test(test_order),
	};
	return cmocka_run_group_tests_name("manifest/entry", tests, setup, teardown);
}
