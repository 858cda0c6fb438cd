/* SPDX-License-Identifier: MIT */
/* Which times of the last release the next one keeps. */
#include "tests/unit/manifest/support.h"

#include "manifest/carry.h"

#define A "1111111111111111111111111111111111111111111111111111111111111111"
#define B "2222222222222222222222222222222222222222222222222222222222222222"

static struct ay_carried carried;

/* @old and @new_: the entries' lines; compares with @want. */
static void carries(const char *old, const char *new_, const char *want)
{
	struct ay_buf o = {0}, n = {0}, w = {0}, got = {0};
	struct ay_digest d, wd;
	struct ay_err err = {0};
	uint64_t size = 0;

	ay_put_fmt(&o, "ayni-manifest 1\n%s", old);
	ay_put_fmt(&n, "ayni-manifest 1\n%s", new_);
	ay_put_fmt(&w, "ayni-manifest 1\n%s", want);
	int r = ay_manifest_carry(o.data, o.len, n.data, n.len, ay_write_to_buf, &got, &d, &size, &carried,
				  &err);
	if (r < 0)
		fail_msg("%s", err.msg);
	assert_string_equal(ay_buf_cstr(&got), ay_buf_cstr(&w));
	ay_digest_mem(w.data, w.len, &wd);
	assert_true(ay_digest_eq(&d, &wd));
	assert_int_equal(size, w.len);
	ay_buf_release(&o);
	ay_buf_release(&n);
	ay_buf_release(&w);
	ay_buf_release(&got);
}

#define ROOT(t) "d 0755 0 0 " t ".000000000 /\n"

static void all_but_the_time_is_equal(void **state)
{
	(void)state;
	carries(ROOT("1") "f 0644 0 0 1.000000005 3 " A " /a\n"
			  "l 0777 0 0 1.000000000 a /b\n"
			  "p 0600 0 0 1.000000000 /c\n"
			  "f 0644 0 0 7.000000000 3 " A " /d user.x=00\n",
		ROOT("2") "f 0644 0 0 2.000000000 3 " A " /a\n"
			  "l 0777 0 0 2.000000000 a /b\n"
			  "p 0600 0 0 2.000000000 /c\n"
			  "f 0644 0 0 2.000000000 3 " A " /d user.x=00\n",
		ROOT("1") "f 0644 0 0 1.000000005 3 " A " /a\n"
			  "l 0777 0 0 1.000000000 a /b\n"
			  "p 0600 0 0 1.000000000 /c\n"
			  "f 0644 0 0 7.000000000 3 " A " /d user.x=00\n");
	assert_int_equal(carried.entries, 5);
	assert_int_equal(carried.files, 2);
	assert_int_equal(carried.bytes, 6);
}

static void what_differs_in_more_keeps_its_own(void **state)
{
	(void)state;
#define NEW                                                                                                  \
	ROOT("1")                                                                                            \
	"f 0644 0 0 2.000000000 3 " B " /content\n"                                                          \
	"f 0755 0 0 2.000000000 3 " A " /mode\n"                                                             \
	"f 0644 0 5 2.000000000 3 " A " /owner\n"                                                            \
	"l 0777 0 0 2.000000000 b /target\n"                                                                 \
	"f 0644 0 0 2.000000000 3 " A " /xattr user.x=01\n"
	carries(ROOT("1") "f 0644 0 0 1.000000000 3 " A " /content\n"
			  "f 0644 0 0 1.000000000 3 " A " /mode\n"
			  "f 0644 0 0 1.000000000 3 " A " /owner\n"
			  "l 0777 0 0 1.000000000 a /target\n"
			  "f 0644 0 0 1.000000000 3 " A " /xattr user.x=00\n",
		NEW, NEW);
#undef NEW
	assert_int_equal(carried.entries, 0);
}

/* Python writes the source's time into the byte code, wherever that sorts: __pycache__ is behind Main and before x. */
static void a_source_whose_byte_code_is_new_keeps_its_own(void **state)
{
	(void)state;
	carries(ROOT("1") "f 0644 0 0 1.000000000 3 " A " /Main.py\n"
			  "d 0755 0 0 1.000000000 /__pycache__\n"
			  "f 0644 0 0 1.000000000 3 " A " /__pycache__/Main.cpython-311.pyc\n"
			  "f 0644 0 0 1.000000000 3 " A " /__pycache__/same.cpython-311.pyc\n"
			  "f 0644 0 0 1.000000000 3 " A " /__pycache__/x.y.cpython-311.opt-1.pyc\n"
			  "f 0644 0 0 1.000000000 3 " A " /old.py\n"
			  "f 0644 0 0 1.000000000 3 " A " /old.pyc\n"
			  "f 0644 0 0 1.000000000 3 " A " /same.py\n"
			  "f 0644 0 0 1.000000000 3 " A " /x.y.py\n",
		ROOT("2") "f 0644 0 0 2.000000000 3 " A " /Main.py\n"
			  "d 0755 0 0 2.000000000 /__pycache__\n"
			  "f 0644 0 0 2.000000000 3 " B " /__pycache__/Main.cpython-311.pyc\n"
			  "f 0644 0 0 2.000000000 3 " A " /__pycache__/same.cpython-311.pyc\n"
			  "f 0644 0 0 2.000000000 3 " B " /__pycache__/x.y.cpython-311.opt-1.pyc\n"
			  "f 0644 0 0 2.000000000 3 " A " /old.py\n"
			  "f 0644 0 0 2.000000000 3 " B " /old.pyc\n"
			  "f 0644 0 0 2.000000000 3 " A " /same.py\n"
			  "f 0644 0 0 2.000000000 3 " A " /x.y.py\n",
		ROOT("1") "f 0644 0 0 2.000000000 3 " A " /Main.py\n"
			  "d 0755 0 0 1.000000000 /__pycache__\n"
			  "f 0644 0 0 2.000000000 3 " B " /__pycache__/Main.cpython-311.pyc\n"
			  "f 0644 0 0 1.000000000 3 " A " /__pycache__/same.cpython-311.pyc\n"
			  "f 0644 0 0 2.000000000 3 " B " /__pycache__/x.y.cpython-311.opt-1.pyc\n"
			  "f 0644 0 0 2.000000000 3 " A " /old.py\n"
			  "f 0644 0 0 2.000000000 3 " B " /old.pyc\n"
			  "f 0644 0 0 1.000000000 3 " A " /same.py\n"
			  "f 0644 0 0 2.000000000 3 " A " /x.y.py\n");
	assert_int_equal(carried.py_kept_new, 3);
}

/* And one in a package: "/p/__pycache__/m.cpython-311.pyc" is the byte code of "/p/m.py", not of "/m.py". */
static void packages_are_told_apart(void **state)
{
	(void)state;
	carries(ROOT("1") "f 0644 0 0 1.000000000 3 " A " /m.py\n"
			  "d 0755 0 0 1.000000000 /p\n"
			  "d 0755 0 0 1.000000000 /p/__pycache__\n"
			  "f 0644 0 0 1.000000000 3 " A " /p/m.py\n",
		ROOT("1") "f 0644 0 0 2.000000000 3 " A " /m.py\n"
			  "d 0755 0 0 1.000000000 /p\n"
			  "d 0755 0 0 2.000000000 /p/__pycache__\n"
			  "f 0644 0 0 2.000000000 3 " B " /p/__pycache__/m.cpython-311.pyc\n"
			  "f 0644 0 0 2.000000000 3 " A " /p/m.py\n",
		ROOT("1") "f 0644 0 0 1.000000000 3 " A " /m.py\n"
			  "d 0755 0 0 1.000000000 /p\n"
			  "d 0755 0 0 2.000000000 /p/__pycache__\n"
			  "f 0644 0 0 2.000000000 3 " B " /p/__pycache__/m.cpython-311.pyc\n"
			  "f 0644 0 0 2.000000000 3 " A " /p/m.py\n");
}

static void a_directory_tells_of_its_names(void **state)
{
	(void)state;
	carries(ROOT("1") "d 0755 0 0 1.000000000 /came\n"
			  "d 0755 0 0 1.000000000 /changed\n"
			  "f 0644 0 0 1.000000000 3 " A " /changed/f\n"
			  "d 0755 0 0 1.000000000 /type\n"
			  "f 0644 0 0 1.000000000 3 " A " /type/f\n"
			  "d 0755 0 0 1.000000000 /went\n"
			  "f 0644 0 0 1.000000000 3 " A " /went/f\n",
		ROOT("2") "d 0755 0 0 2.000000000 /came\n"
			  "f 0644 0 0 2.000000000 3 " A " /came/f\n"
			  "d 0755 0 0 2.000000000 /changed\n"
			  "f 0644 0 0 2.000000000 3 " B " /changed/f\n"
			  "d 0755 0 0 2.000000000 /type\n"
			  "l 0777 0 0 2.000000000 x /type/f\n"
			  "d 0755 0 0 2.000000000 /went\n",
		ROOT("1") "d 0755 0 0 2.000000000 /came\n"
			  "f 0644 0 0 2.000000000 3 " A " /came/f\n"
			  "d 0755 0 0 1.000000000 /changed\n"
			  "f 0644 0 0 2.000000000 3 " B " /changed/f\n"
			  "d 0755 0 0 2.000000000 /type\n"
			  "l 0777 0 0 2.000000000 x /type/f\n"
			  "d 0755 0 0 2.000000000 /went\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_but_the_time_is_equal),
		cmocka_unit_test(what_differs_in_more_keeps_its_own),
		cmocka_unit_test(a_source_whose_byte_code_is_new_keeps_its_own),
		cmocka_unit_test(packages_are_told_apart),
		cmocka_unit_test(a_directory_tells_of_its_names),
	};
	return cmocka_run_group_tests_name("manifest/carry", tests, NULL, NULL);
}
