/* SPDX-License-Identifier: MIT */
/* A checkout in which each change of the disk goes wrong: all of it or nothing, the store untouched, and the next one works. */
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
#include <sys/wait.h>

#include "base/cleanup.h"
#include "manifest/manifest.h"
#include "store/checkout.h"
#include "store/scan.h"
#include "tests/support/fs_fault.h"
#include "tests/support/store_kit.h"

#define B "b"

struct state {
	struct kit k;
	struct fs_fault f;
	struct ay_store *s;
	struct kit_tree t;
	struct ay_err err;
	int parent;
};

static int setup(void **arg)
{
	struct state *t = calloc(1, sizeof(*t));

	kit_init(&t->k);
	kit_two_trees(&t->k);
	kit_publish(&t->k, "v1", B, 1, &t->t);
	kit_mkdir(&t->k, "place", 0755);
	fs_fault_init(&t->f);
	if (kit_store(&t->k, &t->f.fs, &t->s, &t->err) < 0 || kit_import(&t->k, t->s, B, &t->t, &t->err) < 0)
		fail_msg("%s", t->err.msg);
	t->parent = openat(t->k.fd, "place", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*arg = t;
	return 0;
}

static int teardown(void **arg)
{
	struct state *t = *arg;

	close(t->parent);
	ay_store_close(t->s);
	kit_tree_release(&t->t);
	kit_release(&t->k);
	free(t);
	return 0;
}

static int check_out(struct state *t, bool link)
{
	struct ay_use use;

	assert_int_equal(ay_store_use(t->s, B, 1, &use, &t->err), 0);
	const struct ay_checkout c = {
		.branch = B, .use = &use, .parent = t->parent, .name = "out", .link = link};
	int r = ay_store_checkout(t->s, &c, &t->err);
	ay_use_release(&use);
	return r;
}

/* Is place/out the published tree? */
static bool is_whole(struct state *t)
{
	const struct ay_scan_options opts = {0};
	struct ay_buf found;
	struct ay_scan_totals totals;
	AY_CLOSE int dir = openat(t->parent, "out", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	ay_buf_init(&found, 1 << 20);
	int r = dir < 0 ? -errno : ay_scan(dir, "out", &opts, ay_write_to_buf, &found, &totals, &t->err);
	bool same = r == 0 && ay_digest_eq(&totals.manifest, &t->t.totals.manifest);

	ay_buf_release(&found);
	return same;
}

static unsigned names_in_place(struct state *t)
{
	AY_CLOSEDIR DIR *d = fdopendir(openat(t->parent, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	unsigned n = 0;

	while (readdir(d))
		n++;
	return n - 2;
}

static void each_call_fails(struct state *t, bool link, const struct fs_fault_case *c)
{
	unsigned n;

	for (n = 1;; n++) {
		fs_fault_init(&t->f);
		fs_fault_set(&t->f, c, n);
		unsigned left =
			names_in_place(t); /* what could not be removed before, as that was made to fail */
		int r = check_out(t, link);
		t->f.kind = AY_FAULT_NONE;
		bool last_sync = t->f.failed && strcmp(t->f.failed, "fsync") == 0;
		bool not_cleaned = t->f.failed && strcmp(t->f.failed, "unlink") == 0;
		if (r == 0 || last_sync)
			assert_true(is_whole(t));
		else if (!not_cleaned)
			if (names_in_place(t) != left)
				fail_msg("left after %s failed: %s", t->f.failed, t->err.msg);
		assert_true(r == 0 || (t->err.msg[0] && c->error));
		if (t->f.failed && strstr(t->f.failed, "sync") &&
		    r == 0) /* a failed sync is never passed over */
			fail_msg("%s at call %u: %s failed, and nobody was told", c->name, n, t->f.failed);
		kit_rm(&t->k, "place/out");
		if (!t->f.failed)
			break;
		if (not_cleaned)
			continue;
	}
	assert_true(n > (c->error == EIO ? 20 : 1));
	assert_true(kit_tree_is(&t->k, B, 1, &t->t));
}

static void copies(void **arg)
{
	for (const struct fs_fault_case *c = fs_fault_cases; c->name; c++) {
		if (c->kind == AY_FAULT_ONCE || c->error == 0)
			each_call_fails(*arg, false, c);
	}
}

static void links(void **arg)
{
	each_call_fails(*arg, true, &fs_fault_cases[0]);
}

/* Killed anywhere: the name is there with all of the tree, or not at all. */
static void killed(void **arg)
{
	struct state *t = *arg;
	bool complete = false;

	for (unsigned n = 1; !complete; n++) {
		int status = -1;
		pid_t p = fork();
		if (p == 0) {
			fs_fault_init(&t->f);
			t->f.kind = AY_FAULT_KILL;
			t->f.at = n;
			_exit(check_out(t, false) == 0 ? 0 : 1);
		}
		assert_int_equal(waitpid(p, &status, 0), p);
		complete = status == 0;
		assert_true(complete || fs_fault_was_killed(status));
		if (faccessat(t->parent, "out", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
			assert_true(is_whole(t));
		else
			assert_false(complete);
		kit_rm(&t->k, "place/out");
	}
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {TEST(copies), TEST(links), TEST(killed)};
	return cmocka_run_group_tests_name("checkout_faults", tests, NULL, NULL);
}
