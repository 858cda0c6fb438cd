/* SPDX-License-Identifier: MIT */
/* Several threads make and remove names: nothing is done twice or left out, and the result is one thread's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "store/crew.h"
#include "store/fs.h"
#include "store/remove.h"
#include "tests/support/store_kit.h"

#define THREADS 4

/* ---- tasks ---- */

struct counted {
	struct ay__task task;
	struct ay__crew *crew;
	atomic_uint *done;
	unsigned more; /* tasks that it gives itself */
};

static void count(struct ay__task *task)
{
	struct counted *c = (struct counted *)(void *)task;

	for (unsigned i = 0; i < c->more; i++) {
		struct counted *x = calloc(1, sizeof(*x));
		*x = (struct counted){{.run = count}, c->crew, c->done, 0};
		ay__crew_give(c->crew, &x->task);
	}
	atomic_fetch_add(c->done, 1);
	free(c);
}

static void give_thousands(struct ay__crew *crew)
{
	for (int round = 0; round < 3; round++) {
		atomic_uint done = 0;
		for (unsigned i = 0; i < 1000; i++) {
			struct counted *c = calloc(1, sizeof(*c));
			*c = (struct counted){{.run = count}, crew, &done, i % 10};
			ay__crew_give(crew, &c->task);
		}
		ay__crew_wait(crew);
		assert_int_equal(atomic_load(&done), 1000 + 4500);
	}
}

static void every_task_is_done_once(void **arg)
{
	(void)arg;
	struct ay__crew *crew = ay__crew_new(THREADS);
	assert_non_null(crew);
	give_thousands(crew);
	ay__crew_free(crew);
	assert_null(ay__crew_new(1));
	give_thousands(NULL);
	ay__crew_free(NULL);
}

static void the_first_failure_counts(void **arg)
{
	struct ay__failure *f = ay__failure_new();
	struct ay_err err = {0}, first = {.code = -EIO, .msg = "first"};

	(void)arg;
	assert_int_equal(ay__failure_get(f, &err), 0);
	ay__failure_set(f, -EIO, &first);
	ay__failure_set(f, -ENOSPC, NULL);
	assert_int_equal(ay__failure_get(f, &err), -EIO);
	assert_string_equal(err.msg, "first");
	ay__failure_free(f);
}

/* ---- removing ---- */

/* @wide directories in each of @deep levels, two files in each, one of them linked from outside. */
static void grow(struct kit *k, const char *top, unsigned wide, unsigned deep)
{
	char path[4096], sub[4200];

	kit_mkdir(k, top, 0755);
	snprintf(path, sizeof(path), "%s", top);
	for (unsigned d = 0; d < deep; d++) {
		for (unsigned w = 0; w < wide; w++) {
			snprintf(sub, sizeof(sub), "%s/w%u", path, w);
			kit_mkdir(k, sub, w % 3 ? 0755 : 0500);
		}
		size_t len = strlen(path);
		snprintf(path + len, sizeof(path) - len, "/d");
		kit_mkdir(k, path, 0755);
		snprintf(sub, sizeof(sub), "%s/file", path);
		kit_text(k, sub, "x", 0444);
		snprintf(sub, sizeof(sub), "%s/to", path);
		kit_symlink(k, sub, "/etc");
	}
}

static void a_tree_goes_with_all_that_is_in_it(void **arg)
{
	struct kit k;
	struct ay__crew *crew = ay__crew_new(THREADS);

	(void)arg;
	kit_init(&k);
	kit_mkdir(&k, "other", 0755);
	kit_text(&k, "other/stays", "x", 0644);
	grow(&k, "wide", 700, 3);
	grow(&k, "deep", 2, 200);
	kit_symlink(&k, "wide/out", "../other");
	assert_int_equal(ay__remove_tree_by(crew, ay_fs_real(), k.fd, "wide"), 0);
	assert_int_equal(ay__remove_tree_by(crew, ay_fs_real(), k.fd, "deep"), 0);
	assert_false(kit_exists(&k, "wide"));
	assert_false(kit_exists(&k, "deep"));
	assert_true(kit_exists(&k, "other/stays"));
	assert_int_equal(ay__remove_tree_by(crew, ay_fs_real(), k.fd, "deep"), 0); /* not there */
	assert_int_equal(ay__remove_tree_by(crew, ay_fs_real(), k.fd, "other/stays"), 0);
	assert_false(kit_exists(&k, "other/stays"));
	ay__crew_free(crew);
	kit_release(&k);
}

/* ---- the store ---- */

/* A tree with many names in many directories, some contents several times and in several variants. */
static void plant(struct kit *k, const char *top, unsigned seed)
{
	char path[256], text[64];

	kit_mkdir(k, top, 0755);
	for (unsigned d = 0; d < 40; d++) {
		snprintf(path, sizeof(path), "%s/dir%u", top, d);
		kit_mkdir(k, path, 0755);
		for (unsigned i = 0; i < 50; i++) {
			snprintf(path, sizeof(path), "%s/dir%u/f%u", top, d, i);
			snprintf(text, sizeof(text), "content %u %u", (d * 50 + i) % 300, i % 7 ? 0 : seed);
			kit_text(k, path, text, i % 5 ? 0644 : 0755);
		}
		snprintf(path, sizeof(path), "%s/dir%u/link", top, d);
		kit_symlink(k, path, "f1");
	}
}

static void a_tree_by_many_is_the_tree_by_one(void **arg)
{
	struct kit k;
	struct kit_tree v1, v2;
	struct ay_offer o1, o12;
	struct ay_store *s;
	struct ay_gc_result gone;
	struct ay_err err = {0};

	(void)arg;
	kit_init(&k);
	plant(&k, "v1", 1);
	plant(&k, "v2", 2);
	kit_publish(&k, "v1", "b", 1, &v1);
	kit_publish(&k, "v2", "b", 2, &v2);
	AY_CLOSE int b1 = kit_bundle(&k, NULL, &v1, &o1);
	AY_CLOSE int b12 = kit_bundle(&k, &v1, &v2, &o12);
	if (kit_store(&k, ay_fs_real(), &s, &err) < 0)
		fail_msg("%s", err.msg);
	ay_store_set_threads(s, THREADS);
	for (int round = 0; round < 3; round++) {
		if (kit_apply(s, "b", &v1, b1, &o1, &err) < 0 || kit_apply(s, "b", &v2, b12, &o12, &err) < 0)
			fail_msg("%s", err.msg);
		assert_true(kit_tree_is(&k, "b", 1, &v1));
		assert_true(kit_tree_is(&k, "b", 2, &v2));
		assert_int_equal(kit_objects_unlinked(&k), 0);
		assert_int_equal(kit_count(&k, "store/tmp"), 0);
		unsigned objects = kit_count(&k, "store/objects");
		assert_int_equal(ay_store_remove_tree(s, "b", 1, &err), 0);
		assert_true(kit_tree_is(&k, "b", 2, &v2));
		assert_true(kit_count(&k, "store/objects") < objects);
		assert_int_equal(ay_store_remove_tree(s, "b", 2, &err), 0);
		assert_int_equal(kit_count(&k, "store/objects"), 0);
	}
	assert_int_equal(ay_store_gc(s, 1, &gone, &err), 0);
	ay_store_close(s);
	kit_tree_release(&v1);
	kit_tree_release(&v2);
	kit_release(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_task_is_done_once),
		cmocka_unit_test(the_first_failure_counts),
		cmocka_unit_test(a_tree_goes_with_all_that_is_in_it),
		cmocka_unit_test(a_tree_by_many_is_the_tree_by_one),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
