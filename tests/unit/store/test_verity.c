/* SPDX-License-Identifier: MIT */
/*
 * fs-verity on objects. The rules of the option are tested everywhere; what the kernel does about it only where kernel and
 * file system have it (AYNI_KIT_DIR): `make vmcheck` sees to that.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "store/checkout.h"
#include "store/tree_internal.h"
#include "store/verity.h"
#include "tests/support/fs_fault.h"
#include "tests/support/store_kit.h"

#define B "b"

struct state {
	struct kit k;
	struct ay_store *s;
	struct kit_tree v1, v2;
	struct ay_offer offer;
	int bundle;
	bool here; /* this kernel and file system have it */
	struct ay_err err;
};

static void store_anew(struct state *t, struct ay_fs *fs)
{
	ay_store_close(t->s);
	t->s = NULL;
	if (kit_store(&t->k, fs, &t->s, &t->err) < 0)
		fail_msg("%s", t->err.msg);
}

static int setup(void **arg)
{
	struct state *t = calloc(1, sizeof(*t));

	kit_init(&t->k);
	kit_two_trees(&t->k);
	kit_noise(&t->k, "v1/large", 3 << 20, 1, 0444);
	kit_noise(&t->k, "v2/large", 3 << 20, 2, 0444);
	kit_text(&t->k, "v1/empty", "", 0644);
	kit_publish(&t->k, "v1", B, 1, &t->v1);
	kit_publish(&t->k, "v2", B, 2, &t->v2);
	t->bundle = kit_bundle(&t->k, &t->v1, &t->v2, &t->offer);
	store_anew(t, ay_fs_real());
	t->here = ay_store_set_verity(t->s, AY_VERITY_YES, &t->err) == 0;
	*arg = t;
	return ay_store_set_verity(t->s, AY_VERITY_AUTO, &t->err);
}

static int teardown(void **arg)
{
	struct state *t = *arg;

	ay_store_close(t->s);
	close(t->bundle);
	kit_tree_release(&t->v1);
	kit_tree_release(&t->v2);
	kit_release(&t->k);
	free(t);
	return 0;
}

/* Skipped out loud, and with a word for the summary. */
#define NEEDS_VERITY(t)                                                                                      \
	do {                                                                                                 \
		if (!(t)->here) {                                                                            \
			puts("skipped: no fs-verity here (make vmcheck has it)");                            \
			skip();                                                                              \
		}                                                                                            \
	} while (0)

struct count {
	unsigned objects, guarded;
};

/* Of all objects in the store; a guarded one has its name's digest, and refuses to be written. */
static struct count look(struct state *t)
{
	struct count c = {0};

	for (unsigned i = 0; i < 256; i++) {
		char bucket[32];
		snprintf(bucket, sizeof(bucket), "store/objects/%02x", i);
		int fd = openat(t->k.fd, bucket, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		AY_CLOSEDIR DIR *d = fd < 0 ? NULL : fdopendir(fd);
		struct dirent *e;
		while (d && (e = readdir(d))) {
			struct ay_digest found;
			char hex[65], name[65];
			if (e->d_name[0] == '.')
				continue;
			AY_CLOSE int object = openat(fd, e->d_name, O_RDONLY | O_CLOEXEC);
			int r = ay__verity_measure(object, &found);
			assert_true(r >= 0);
			c.objects++;
			if (r == 0)
				continue;
			c.guarded++;
			snprintf(name, sizeof(name), "%02x%.62s", i, e->d_name);
			assert_string_equal(ay_digest_hex(&found, hex), name);
			int w = openat(fd, e->d_name, O_WRONLY | O_CLOEXEC);
			assert_int_equal(w, -1);
			assert_int_equal(errno, EPERM);
		}
	}
	return c;
}

static void imported_and_applied_objects_are_guarded(void **arg)
{
	struct state *t = *arg;

	NEEDS_VERITY(t);
	assert_int_equal(kit_import(&t->k, t->s, B, &t->v1, &t->err), 0);
	struct count c = look(t);
	assert_true(c.objects > 4);
	assert_int_equal(c.guarded, c.objects);
	assert_int_equal(kit_apply(t->s, B, &t->v2, t->bundle, &t->offer, &t->err), 0);
	struct count after = look(t);
	assert_true(after.objects > c.objects);
	assert_int_equal(after.guarded, after.objects);
	assert_true(kit_tree_is(&t->k, B, 1, &t->v1));
	assert_true(kit_tree_is(&t->k, B, 2, &t->v2));
	/* Names, links and removal go on as ever. */
	assert_int_equal(ay_store_switch(t->s, B, 2, false, &t->err), 0);
	assert_int_equal(ay_store_remove_tree(t->s, B, 1, &t->err), 0);
	assert_int_equal(kit_objects_unlinked(&t->k), 0);
	assert_true(kit_tree_is(&t->k, B, 2, &t->v2));
}

static void a_copy_of_a_guarded_object_is_guarded_too(void **arg)
{
	struct state *t = *arg;
	struct fs_fault f;

	NEEDS_VERITY(t);
	fs_fault_init(&f);
	f.links_max = 3;
	store_anew(t, &f.fs);
	/* Enough names of one content that copies take the object's name over. */
	for (int i = 0; i < 8; i++) {
		char path[32];
		snprintf(path, sizeof(path), "v1/same%d", i);
		kit_text(&t->k, path, "the same in many names", 0644);
	}
	struct kit_tree many;
	kit_publish(&t->k, "v1", B, 3, &many);
	assert_int_equal(kit_import(&t->k, t->s, B, &many, &t->err), 0);
	struct count c = look(t);
	assert_int_equal(c.guarded, c.objects);
	assert_true(kit_tree_is(&t->k, B, 3, &many));
	kit_tree_release(&many);
}

static void a_writable_checkout_is_not_guarded(void **arg)
{
	struct state *t = *arg;
	struct ay_use use;

	NEEDS_VERITY(t);
	assert_int_equal(kit_import(&t->k, t->s, B, &t->v1, &t->err), 0);
	assert_int_equal(ay_store_use(t->s, B, 1, &use, &t->err), 0);
	AY_CLOSE int parent = openat(t->k.fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct ay_checkout co = {.branch = B, .use = &use, .parent = parent, .name = "mine"};
	if (ay_store_checkout(t->s, &co, &t->err) < 0)
		fail_msg("%s", t->err.msg);
	assert_int_equal(fchmodat(t->k.fd, "mine/large", 0644, 0), 0);
	AY_CLOSE int fd = openat(t->k.fd, "mine/large", O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "mine", 4, 100), 4);
	assert_true(kit_tree_is(&t->k, B, 1, &t->v1));
	ay_use_release(&use);
}

/* The kernel's refusal of one file is the whole commit's: nothing stays, and the next try goes through. */
static void a_failure_leaves_nothing(void **arg)
{
	struct state *t = *arg;
	struct fs_fault f;
	unsigned n;

	NEEDS_VERITY(t);
	fs_fault_init(&f);
	store_anew(t, &f.fs);
	for (n = 1; n < 10000; n++) {
		fs_fault_init(&f);
		f.verity = true;
		f.kind = AY_FAULT_ONCE;
		f.at = n;
		f.error = ENOSPC;
		int r = kit_import(&t->k, t->s, B, &t->v1, &t->err);
		if (f.failed && strcmp(f.failed, "verity") == 0)
			break;
		if (r == 0)
			assert_int_equal(ay_store_remove_tree(t->s, B, 1, &t->err), 0);
	}
	assert_true(n < 10000);
	assert_int_equal(t->err.code, -ENOSPC);
	assert_false(kit_exists(&t->k, "store/branches/b/1"));
	assert_int_equal(kit_objects_unlinked(&t->k), 0);
	fs_fault_init(&f);
	assert_int_equal(kit_import(&t->k, t->s, B, &t->v1, &t->err), 0);
	struct count c = look(t);
	assert_int_equal(c.guarded, c.objects);
}

/* A file that has another content than its name says is caught by the kernel's measure. */
static void another_content_is_refused(void **arg)
{
	struct state *t = *arg;
	struct ay_digest d = {{1, 2, 3}};

	NEEDS_VERITY(t);
	kit_text(&t->k, "store/tmp/file", "what nobody signed", 0444);
	assert_int_equal(ay__verity_guard(t->s, t->s->tmp, "file", &d, &t->err), AY_EDIGEST);
}

static void no_means_none(void **arg)
{
	struct state *t = *arg;

	assert_int_equal(ay_store_set_verity(t->s, AY_VERITY_NO, &t->err), 0);
	store_anew(t, ay_fs_real()); /* it is remembered */
	assert_int_equal(t->s->verity, AY_VERITY_NO);
	assert_int_equal(kit_import(&t->k, t->s, B, &t->v1, &t->err), 0);
	assert_int_equal(look(t).guarded, 0);
	assert_int_equal(ay_store_set_verity(t->s, AY_VERITY_AUTO, &t->err), 0);
	store_anew(t, ay_fs_real());
	assert_int_equal(t->s->verity, AY_VERITY_AUTO);
}

/* A file system without it: `auto` does without, `yes` is refused and changes nothing. */
static void yes_insists(void **arg)
{
	struct state *t = *arg;

	if (t->here) {
		assert_int_equal(ay_store_set_verity(t->s, AY_VERITY_YES, &t->err), 0);
		store_anew(t, ay_fs_real());
		assert_int_equal(t->s->verity, AY_VERITY_YES);
	} else {
		assert_int_equal(ay_store_set_verity(t->s, AY_VERITY_YES, &t->err), AY_EUNSUPPORTED);
		assert_non_null(strstr(t->err.msg, "fs-verity"));
		assert_int_equal(t->s->verity, AY_VERITY_AUTO);
		store_anew(t, ay_fs_real());
		assert_int_equal(t->s->verity, AY_VERITY_AUTO);
	}
	assert_int_equal(kit_import(&t->k, t->s, B, &t->v1, &t->err), 0);
	assert_true(kit_tree_is(&t->k, B, 1, &t->v1));
	assert_int_equal(kit_count(&t->k, "store/tmp"), 0);
	/* Insisted on, and then not to be had: the store was moved. */
	if (!t->here) {
		t->s->verity = AY_VERITY_YES;
		t->s->verity_missing = false;
		assert_int_equal(kit_apply(t->s, B, &t->v2, t->bundle, &t->offer, &t->err), AY_EUNSUPPORTED);
		assert_false(kit_exists(&t->k, "store/branches/b/2"));
	}
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(imported_and_applied_objects_are_guarded),
		TEST(a_copy_of_a_guarded_object_is_guarded_too),
		TEST(a_writable_checkout_is_not_guarded),
		TEST(a_failure_leaves_nothing),
		TEST(another_content_is_refused),
		TEST(no_means_none),
		TEST(yes_insists),
	};
	return cmocka_run_group_tests_name("verity", tests, NULL, NULL);
}
