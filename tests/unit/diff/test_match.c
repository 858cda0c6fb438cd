/* SPDX-License-Identifier: MIT */
/* Bases: what a person would say the new file came from. */
#include "tests/unit/diff/trees.h"

#include <stdio.h>

#include "diff/match.h"

struct list {
	struct ay_match_file files[512];
	char paths[512][96];
	size_t n;
};

static void add(struct list *l, uint64_t size, const char *path)
{
	assert_true(l->n < 512);
	snprintf(l->paths[l->n], sizeof(l->paths[0]), "%s", path);
	l->files[l->n] = (struct ay_match_file){.path = l->paths[l->n], .size = size};
	l->n++;
}

static struct ay_match matches[512];

static void match(const struct list *old, const struct list *new_)
{
	assert_int_equal(ay_match(old->files, old->n, new_->files, new_->n, matches), 0);
	for (size_t i = 0; i < new_->n; i++) {
		assert_true(matches[i].n <= AY_MATCH_MAX);
		for (unsigned k = 0; k < matches[i].n; k++)
			assert_true(matches[i].base[k] < old->n && old->files[matches[i].base[k]].size > 0);
	}
}

/* The first base of new file @path is @base (NULL: it has none). */
static void first_base(const struct list *old, const struct list *new_, const char *path, const char *base)
{
	for (size_t i = 0; i < new_->n; i++) {
		if (strcmp(new_->paths[i], path) != 0)
			continue;
		const char *got = matches[i].n ? old->paths[matches[i].base[0]] : "(none)";
		if (strcmp(got, base ? base : "(none)") != 0)
			fail_msg("%s: %s instead of %s", path, got, base ? base : "(none)");
		return;
	}
	fail_msg("%s is no new file", path);
}

static void test_same_path(void **state)
{
	(void)state;
	static struct list old, new_;

	add(&old, 100, "/a/x"), add(&old, 0, "/b"), add(&old, 100, "/c/x");
	add(&new_, 90000, "/a/x"), add(&new_, 10, "/b"), add(&new_, 0, "/c/x"), add(&new_, 5, "/d");
	match(&old, &new_);
	first_base(&old, &new_, "/a/x", "/a/x"); /* whatever its size */
	first_base(&old, &new_, "/b", NULL);     /* an empty file is no base */
	first_base(&old, &new_, "/c/x", NULL);   /* an empty file needs none */
	first_base(&old, &new_, "/d", NULL);
}

/* A kernel: every path renamed by one component, and names outside that directory by the same word. */
static void test_rename_in_bulk(void **state)
{
	(void)state;
	static struct list old, new_;
	char path[96];

	for (unsigned v = 55; v <= 56; v++) {
		struct list *l = v == 55 ? &old : &new_;

		snprintf(path, sizeof(path), "/boot/System.map-6.1.0-%u-amd64", v);
		add(l, 100, path);
		snprintf(path, sizeof(path), "/boot/vmlinuz-6.1.0-%u-amd64", v);
		add(l, 8000000, path);
		for (unsigned i = 0; i < 100; i++) {
			/* names and sizes that alone would mislead: the same name in many directories */
			snprintf(path, sizeof(path), "/lib/modules/6.1.0-%u-amd64/d%02u/core.ko", v, i);
			add(l, 1000 + (v == 55 ? i : 99 - i), path);
		}
	}
	match(&old, &new_);
	for (unsigned i = 0; i < 100; i++) {
		char base[96];

		snprintf(path, sizeof(path), "/lib/modules/6.1.0-56-amd64/d%02u/core.ko", i);
		snprintf(base, sizeof(base), "/lib/modules/6.1.0-55-amd64/d%02u/core.ko", i);
		first_base(&old, &new_, path, base);
	}
	first_base(&old, &new_, "/boot/vmlinuz-6.1.0-56-amd64", "/boot/vmlinuz-6.1.0-55-amd64");
	first_base(&old, &new_, "/boot/System.map-6.1.0-56-amd64", "/boot/System.map-6.1.0-55-amd64");
}

/* Two words changed at once, neither of them a version. */
static void test_two_rewritings(void **state)
{
	(void)state;
	static struct list old, new_;
	char path[96];

	for (unsigned i = 0; i < 9; i++) {
		snprintf(path, sizeof(path), "/opt/sugar/share/apps/a%u/main.py", i);
		add(&old, 500 + i, path);
		snprintf(path, sizeof(path), "/opt/honey/share/activities/a%u/main.py", i);
		add(&new_, 500 + i, path);
	}
	add(&old, 77, "/opt/sugar/share/apps/readme");
	add(&new_, 300, "/opt/honey/share/activities/guide");
	match(&old, &new_);
	first_base(&old, &new_, "/opt/honey/share/activities/a5/main.py", "/opt/sugar/share/apps/a5/main.py");
	first_base(&old, &new_, "/opt/honey/share/activities/guide", NULL);
}

static void test_numbers_in_names(void **state)
{
	(void)state;
	static struct list old, new_;

	add(&old, 50000, "/app/static/main.3f9ab04c.js");
	add(&old, 50000, "/app/static/other.99999999.js");
	add(&old, 70000, "/usr/lib/libpoppler.so.126.0.0");
	add(&new_, 52000, "/app/static/main.77c01d2e.js");
	add(&new_, 70000, "/usr/lib/libpoppler.so.127.0.0");
	match(&old, &new_);
	first_base(&old, &new_, "/app/static/main.77c01d2e.js", "/app/static/main.3f9ab04c.js");
	first_base(&old, &new_, "/usr/lib/libpoppler.so.127.0.0", "/usr/lib/libpoppler.so.126.0.0");
}

/* One rule at a time, where no other one can help. */
static void test_same_path_but_for_numbers_at_any_size(void **state)
{
	(void)state;
	static struct list old, new_;

	add(&old, 100000, "/var/log.1");
	add(&new_, 5000, "/var/log.2");
	match(&old, &new_);
	first_base(&old, &new_, "/var/log.2", "/var/log.1");
}

static void test_name_but_for_numbers_elsewhere(void **state)
{
	(void)state;
	static struct list old, new_;

	add(&old, 70000, "/lib/libx.so.1.2");
	add(&new_, 71000, "/usr/lib/libx.so.1.3");
	match(&old, &new_);
	first_base(&old, &new_, "/usr/lib/libx.so.1.3", "/lib/libx.so.1.2");
}

/* The exact name is found among more names that are the same but for numbers than are looked at. */
static void test_exact_name_among_many(void **state)
{
	(void)state;
	static struct list old, new_;
	char path[96];

	for (unsigned i = 0; i < 200; i++) {
		snprintf(path, sizeof(path), "/deep/down/f%03u", i);
		add(&old, 9000, path);
	}
	add(&new_, 9000, "/up/f150");
	match(&old, &new_);
	first_base(&old, &new_, "/up/f150", "/deep/down/f150");
}

/* What is gone has moved; what is still there has not, however near it lies. */
static void test_gone_before_near(void **state)
{
	(void)state;
	static struct list old, new_;

	add(&old, 9000, "/q/tool"), add(&old, 9000, "/x/y2/tool");
	add(&new_, 9000, "/x/y/tool"), add(&new_, 9000, "/x/y2/tool");
	match(&old, &new_);
	first_base(&old, &new_, "/x/y/tool", "/q/tool");
}

static void test_same_name_elsewhere(void **state)
{
	(void)state;
	static struct list old, new_;

	add(&old, 5000, "/a/b/tool"), add(&old, 900000, "/c/tool"), add(&old, 5000, "/kept/tool");
	add(&new_, 5100, "/kept/tool"), add(&new_, 5200, "/x/y/tool"), add(&new_, 900, "/z/tool");
	match(&old, &new_);
	/* Gone rather than kept, of a similar size. */
	first_base(&old, &new_, "/x/y/tool", "/a/b/tool");
	first_base(&old, &new_, "/z/tool", NULL);
}

/* Thousands of one name: bounded, and the same every time. */
static void test_many_of_one_name(void **state)
{
	(void)state;
	static struct list old, new_;
	static struct ay_match first[512];
	char path[96];

	for (unsigned i = 0; i < 500; i++) {
		snprintf(path, sizeof(path), "/old%03u/__init__.py", i);
		add(&old, 100, path);
		snprintf(path, sizeof(path), "/new%03u/__init__.py", i);
		add(&new_, 100, path);
	}
	match(&old, &new_);
	memcpy(first, matches, sizeof(first));
	match(&old, &new_);
	assert_memory_equal(first, matches, sizeof(first));
	assert_true(matches[499].n > 0);
}

static void test_nothing(void **state)
{
	(void)state;
	static struct list old, new_;

	match(&old, &new_);
	add(&new_, 1, "/a");
	match(&old, &new_);
	assert_int_equal(matches[0].n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_path),
		cmocka_unit_test(test_rename_in_bulk),
		cmocka_unit_test(test_two_rewritings),
		cmocka_unit_test(test_numbers_in_names),
		cmocka_unit_test(test_same_name_elsewhere),
		cmocka_unit_test(test_many_of_one_name),
		cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_same_path_but_for_numbers_at_any_size),
		cmocka_unit_test(test_name_but_for_numbers_elsewhere),
		cmocka_unit_test(test_exact_name_among_many),
		cmocka_unit_test(test_gone_before_near),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
