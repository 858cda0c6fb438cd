/* SPDX-License-Identifier: MIT */
/* Package databases: what is read of each kind, what is refused, and how two lists differ. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <sqlite3.h>

#include "node/packages.h"

/* "name|arch|version" of each, a line each. */
static void expect_list(struct ay_packages *list, const char *want)
{
	struct ay_buf got = {0};

	for (size_t i = 0; i < list->n; i++) {
		const char *text = (const char *)list->text.data;
		ay_put_fmt(&got, "%s|%s|%s\n", text + list->all[i].name, text + list->all[i].arch,
			   text + list->all[i].version);
	}
	assert_string_equal(got.len ? ay_buf_cstr(&got) : "", want);
	ay_buf_release(&got);
	ay_packages_release(list);
}

static void control(const char *text, int code, const char *want)
{
	struct ay_packages list = {0};
	struct ay_err err = {0};

	assert_int_equal(ay_packages_control(&list, AY_PACKAGES_DPKG, text, strlen(text), &err), code);
	if (code == 0)
		expect_list(&list, want);
	else if (!strstr(err.msg, want))
		fail_msg("\"%s\" has no \"%s\"", err.msg, want);
	ay_packages_release(&list);
}

static void test_control(void **state)
{
	(void)state;
	control("", 0, "");
	control("\n\n", 0, "");
	control("Package: a\nVersion: 1\nArchitecture: all\nStatus: install ok installed\n\n"
		"package:b\nDescription: several\n lines: of it\n .\nVERSION:  2:1.0-3+b1 \r\n", /* no newline needed */
		0, "a|all|1\nb||2:1.0-3+b1\n");
	control("Package: a\nStatus: deinstall ok config-files\nVersion: 1\n\nPackage: b\nStatus: purge ok not-installed\n\n"
		"Package: c\nStatus: install reinstreq half-configured\nVersion: 3\n",
		0, "c||3\n");
	control("Version: 1\n\nPackage: x\nVersionX: 9\nPackage-Type: udeb\n", 0, "x||\n");
	control("Package: a\nnonsense\n", AY_EFORMAT, "line 2 is no field");
	control("Package: a b\n\n", AY_EFORMAT, "before line 2: a package's name with the byte 0x20");
	control("Package: \033[2J\n", AY_EFORMAT, "the byte 0x1b");
	control("Package: a\nVersion: \377\n", AY_EFORMAT, "version with the byte 0xff");
	char *long_name = malloc(400);
	assert_non_null(long_name);
	memset(long_name, 'x', 399);
	memcpy(long_name, "Package: ", 9);
	long_name[399] = 0;
	control(long_name, AY_EFORMAT, "a package's name of 390 bytes");
	free(long_name);
}

static void test_apk(void **state)
{
	(void)state;
	struct ay_packages list = {0};
	struct ay_err err = {0};
	const char text[] = "C:Q1abc=\nP:musl\nV:1.2.4-r2\nA:x86_64\nF:lib\nR:ld-musl.so\n\nP:zlib\nV:1.3\n";

	assert_int_equal(ay_packages_apk(&list, text, sizeof(text) - 1, &err), 0);
	expect_list(&list, "musl|x86_64|1.2.4-r2\nzlib||1.3\n");
	assert_int_equal(ay_packages_apk(&list, "P:x\nnope\n", 9, &err), AY_EFORMAT);
	assert_non_null(strstr(err.msg, "line 2 is no field"));
	ay_packages_release(&list);
}

/* ---- rpm ---- */

static void be32(struct ay_buf *b, uint32_t v)
{
	for (int i = 24; i >= 0; i -= 8)
		ay_put_u8(b, (uint8_t)(v >> i));
}

struct tag {
	uint32_t tag, type, at, count;
};

static void header(struct ay_buf *b, const struct tag *tags, uint32_t n, const char *data, uint32_t len)
{
	ay_buf_reset(b);
	be32(b, n);
	be32(b, len);
	for (uint32_t i = 0; i < n; i++) {
		be32(b, tags[i].tag);
		be32(b, tags[i].type);
		be32(b, tags[i].at);
		be32(b, tags[i].count);
	}
	ay_put_bytes(b, data, len);
}

static void expect_rpm(const struct ay_buf *b, int code, const char *want)
{
	struct ay_packages list = {0};
	struct ay_err err = {0};
	/* Of just that size, so that a read behind it is seen. */
	uint8_t *exact = malloc(b->len ? b->len : 1);

	assert_non_null(exact);
	if (b->len)
		memcpy(exact, b->data, b->len);
	assert_int_equal(ay_packages_rpm_header(&list, exact, b->len, &err), code);
	if (code == 0)
		expect_list(&list, want);
	else if (!strstr(err.msg, want))
		fail_msg("\"%s\" has no \"%s\"", err.msg, want);
	free(exact);
	ay_packages_release(&list);
}

static void test_rpm_header(void **state)
{
	(void)state;
	static const char data[] = "bash\0"
				   "5.2\0"
				   "1.fc40\0"
				   "x86_64\0"
				   "\0\0\0\7";
	const struct tag tags[] = {{1000, 6, 0, 1},  {1001, 6, 5, 1},  {1002, 6, 9, 1},
				   {1022, 6, 16, 1}, {1003, 4, 23, 1}, {1004, 9, 0, 1}};
	struct ay_buf b = {0};

	header(&b, tags, 6, data, 27);
	expect_rpm(&b, 0, "bash|x86_64|7:5.2-1.fc40\n");
	header(&b, tags, 3, data, 27);
	expect_rpm(&b, 0, "bash||5.2-1.fc40\n");
	for (size_t len = b.len - 1; len-- > 0;) { /* cut anywhere */
		b.len = len;
		expect_rpm(&b, AY_EFORMAT, "");
	}
	header(&b, tags + 1, 3, data, 27);
	expect_rpm(&b, AY_EFORMAT, "a package's name of 0 bytes");
	header(&b, (struct tag[]){{1000, 6, 27, 1}}, 1, data, 27);
	expect_rpm(&b, AY_EFORMAT, "tag 1000: its text is outside the header");
	header(&b, (struct tag[]){{1000, 6, UINT32_MAX, 1}}, 1, data, 27);
	expect_rpm(&b, AY_EFORMAT, "tag 1000: its text is outside the header");
	header(&b, (struct tag[]){{1000, 6, 23, 1}}, 1, "xxxxxxxxxxxxxxxxxxxxxxxxxxx", 27); /* no NUL */
	expect_rpm(&b, AY_EFORMAT, "tag 1000: its text is outside the header");
	header(&b, (struct tag[]){{1000, 6, 0, 1}, {1003, 4, 24, 1}}, 2, data, 27);
	expect_rpm(&b, AY_EFORMAT, "tag 1003: its number is outside the header");
	header(&b, (struct tag[]){{1000, 6, 0, 1}, {1003, 4, UINT32_MAX - 1, 1}}, 2, data, 27);
	expect_rpm(&b, AY_EFORMAT, "tag 1003: its number is outside the header");
	header(&b, tags, 1, data, 27);
	b.data[0] = 0x10; /* 2^28 tags */
	expect_rpm(&b, AY_EFORMAT, "more than any package has");
	b.data[0] = 0;
	b.data[3] = 200;
	expect_rpm(&b, AY_EFORMAT, "more than a header of 51 holds");
	b.data[3] = 1;
	b.data[7] = 28;
	expect_rpm(&b, AY_EFORMAT, "more than a header of 51 holds");
	ay_buf_release(&b);
}

static void test_no_database(void **state)
{
	(void)state;
	struct ay_packages list = {0};
	struct ay_err err = {0};
	uint8_t *junk = calloc(1, 4096);

	assert_non_null(junk);
	assert_int_equal(ay_packages_rpm_sqlite(&list, junk, 4096, &err), AY_EFORMAT);
	memcpy(junk, "SQLite format 3", 16);
	assert_int_equal(ay_packages_rpm_sqlite(&list, junk, 4096, &err), AY_EFORMAT);
	assert_int_equal(ay_packages_rpm_sqlite(&list, junk, 1, &err), AY_EFORMAT);
	assert_non_null(strstr(err.msg, "SQLite: "));
	free(junk);
	ay_packages_release(&list);
}

/* Its rows are computed by its schema, from texts of 40 MB each, all in memory at once. */
static void test_hungry_database(void **state)
{
	(void)state;
	struct ay_packages list = {0};
	struct ay_err err = {0};
	sqlite3 *db;
	sqlite3_int64 len;

	sqlite3_hard_heap_limit64(0); /* that of a reading before */
	assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db,
				      "CREATE TABLE Packages(hnum INTEGER PRIMARY KEY, blob AS (max("
				      "hex(zeroblob(20000001 + hnum)), hex(zeroblob(20000002 + hnum)),"
				      "hex(zeroblob(20000003 + hnum)), hex(zeroblob(20000004 + hnum)),"
				      "hex(zeroblob(20000005 + hnum)), hex(zeroblob(20000006 + hnum)))));"
				      "INSERT INTO Packages(hnum) VALUES(1)",
				      NULL, NULL, NULL),
			 SQLITE_OK);
	uint8_t *data = sqlite3_serialize(db, "main", &len, 0);
	assert_non_null(data);
	sqlite3_close(db);
	assert_int_equal(ay_packages_rpm_sqlite(&list, data, (size_t)len, &err), -ENOMEM);
	assert_non_null(strstr(err.msg, "than the 192 MiB"));
	sqlite3_free(data);
	ay_packages_release(&list);
}

/* ---- two lists ---- */

static void put(struct ay_packages *list, enum ay_package_db db, const char *name, const char *arch,
		const char *version)
{
	struct ay_err err = {0};

	assert_int_equal(ay_packages_add(list, db, (struct ay_slice){(const uint8_t *)name, strlen(name)},
					 (struct ay_slice){(const uint8_t *)arch, strlen(arch)},
					 (struct ay_slice){(const uint8_t *)version, strlen(version)}, &err),
			 0);
}

static void expect_change(json_t *list, size_t i, const char *name, const char *from, const char *to)
{
	json_t *o = json_array_get(list, i);

	assert_string_equal(json_string_value(json_object_get(o, "name")), name);
	assert_string_equal(json_string_value(json_object_get(o, "from")), from);
	assert_string_equal(json_string_value(json_object_get(o, "to")), to);
}

static void test_compare(void **state)
{
	(void)state;
	struct ay_packages a = {0}, b = {0};
	struct ay_packages_difference d;
	struct ay_err err = {0};

	put(&a, AY_PACKAGES_DPKG, "z", "all", "1");
	put(&a, AY_PACKAGES_DPKG, "gone", "all", "1");
	put(&a, AY_PACKAGES_DPKG, "up", "amd64", "1");
	put(&a, AY_PACKAGES_DPKG, "up", "i386", "1");
	put(&a, AY_PACKAGES_DPKG, "moved", "amd64", "1");  /* to another architecture */
	put(&a, AY_PACKAGES_RPM, "kernel", "x86_64", "5"); /* several at once */
	put(&a, AY_PACKAGES_RPM, "kernel", "x86_64", "6");
	put(&a, AY_PACKAGES_RPM, "kernel", "x86_64", "7");
	put(&a, AY_PACKAGES_RPM, "z", "all", "3"); /* another kind's */
	put(&b, AY_PACKAGES_RPM, "kernel", "x86_64", "8");
	put(&b, AY_PACKAGES_RPM, "kernel", "x86_64", "7");
	put(&b, AY_PACKAGES_RPM, "kernel", "x86_64", "6");
	put(&b, AY_PACKAGES_RPM, "z", "all", "3");
	put(&b, AY_PACKAGES_DPKG, "moved", "all", "2");
	put(&b, AY_PACKAGES_DPKG, "up", "i386", "1");
	put(&b, AY_PACKAGES_DPKG, "up", "amd64", "2");
	put(&b, AY_PACKAGES_DPKG, "new", "all", "1");
	put(&b, AY_PACKAGES_DPKG, "z", "all", "1");
	assert_int_equal(ay_packages_compare(&a, &b, true, &d, &err), 0);
	assert_int_equal(d.added, 1);
	assert_int_equal(d.removed, 1);
	assert_int_equal(d.changed, 3);
	assert_int_equal(d.same, 5);
	json_t *changed = json_object_get(d.json, "changed");
	expect_change(changed, 0, "moved", "1", "2");
	assert_string_equal(json_string_value(json_object_get(json_array_get(changed, 0), "from_arch")),
			    "amd64");
	expect_change(changed, 1, "up", "1", "2");
	expect_change(changed, 2, "kernel", "5", "8");
	json_decref(d.json);
	ay_packages_release(&a);
	ay_packages_release(&b);
}

/* A hostile list: one name, a hundred thousand times. */
static void test_compare_takes_no_time(void **state)
{
	(void)state;
	struct ay_packages a = {0}, b = {0};
	struct ay_packages_difference d;
	struct ay_err err = {0};
	char version[16];

	for (unsigned i = 0; i < 100000; i++) {
		snprintf(version, sizeof(version), "%u", i);
		put(&a, AY_PACKAGES_DPKG, "x", "all", version);
		snprintf(version, sizeof(version), "%u", i + 100);
		put(&b, AY_PACKAGES_DPKG, "x", "all", version);
	}
	assert_int_equal(ay_packages_compare(&a, &b, true, &d, &err), 0);
	assert_int_equal(d.same, 99900);
	assert_int_equal(d.added, 100);
	assert_int_equal(d.removed, 100);
	json_decref(d.json);
	ay_packages_release(&a);
	ay_packages_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_control),
		cmocka_unit_test(test_apk),
		cmocka_unit_test(test_rpm_header),
		cmocka_unit_test(test_no_database),
		cmocka_unit_test(test_hungry_database),
		cmocka_unit_test(test_compare),
		cmocka_unit_test(test_compare_takes_no_time),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
