/* SPDX-License-Identifier: MIT */
/*
 * Each allocation fails in turn, and only that one, in everything that a store does: the failure has a sentence, nothing
 * leaks, the store is unhurt (fsck says so: nothing that was good counts as damaged because it could not be looked at),
 * and the same work done again finishes.
 *
 * The allocator is this program's own; a sanitizer brings its own, and then the test stands aside: leaks are counted here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "store/adopt.h"
#include "store/dedupe.h"
#include "store/fsck.h"
#include "store/turn.h"
#include "tests/fault/store/copy_tree.h"
#include "tests/fault/store/three_trees.h"
#include "tests/support/failing_malloc.h"
#include "tests/support/fs_fault.h"
#include "tests/support/kit_fsck.h"
#include "tests/support/kit_repo.h"

#define B     "b"
#define TRIES 120 /* at most, of each work; those that are left out lie evenly between */

struct fixture {
	struct three_trees t;
	struct ay_repo *repo;
};

/* ---- what a store does ---- */

static int apply(struct fixture *x, struct ay_store *s, struct ay_err *err)
{
	return kit_apply(s, B, &x->t.v[2], x->t.bundle, &x->t.offer, err);
}

static int import(struct fixture *x, struct ay_store *s, struct ay_err *err)
{
	return kit_import(&x->t.k, s, B, &x->t.v[2], err);
}

/* Back to 1, then 2 is tried again and fails. May be done again wherever it was cut off. */
static int turn(struct fixture *x, struct ay_store *s, struct ay_err *err)
{
	uint32_t to, from;
	int r = ay_store_switch(s, B, 1, true, err);

	(void)x;
	if (r == 0 || r == AY_ENOTHING)
		r = ay_turn_pin(s, B, 1, true, err);
	if (r == 0 || r == AY_ENOTHING)
		r = ay_turn_unpin(s, B, 0, err);
	if (r == 0 || r == AY_ENOTHING)
		r = ay_turn_trial(s, B, 2, 3, err);
	if (r == 0 && (r = ay_turn_try(s, B, &to, err)) >= 0)
		r = ay_turn_fail(s, B, &to, &from, err);
	return r;
}

static int collect(struct fixture *x, struct ay_store *s, struct ay_err *err)
{
	(void)x;
	return ay_store_gc(s, 0, NULL, err);
}

static int adopt(struct fixture *x, struct ay_store *s, struct ay_err *err)
{
	struct ay_adopted out;
	AY_CLOSE int dirfd = openat(x->t.k.fd, "v2", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AY_CLOSE int manifest = openat(x->t.k.fd, "manifest", O_RDONLY | O_CLOEXEC);
	const struct ay_adopt a = {.branch = B, .dirfd = dirfd, .dir = "v2", .threads = 1, .repo = x->repo};

	return ay_store_adopt_match(s, &a, x->t.v[2].release.data, x->t.v[2].release.len, manifest, &out,
				    err);
}

static int heal(struct fixture *x, struct ay_store *s, struct ay_err *err)
{
	const struct ay_fsck how = {.heal = true, .repos = &x->repo, .n_repos = 1, .threads = 1};
	struct ay_fsck_result res;
	int r = ay_store_fsck(s, &how, &res, err);

	if (r == 0 && res.left > 0)
		return ay_err_set(err, AY_ESTORE, "%llu are left", (unsigned long long)res.left);
	return r;
}

static void note_found(void *ctx, const struct ay_fsck_finding *f)
{
	struct ay_err *found = ctx;

	if (f->outcome == AY_FSCK_LEFT)
		ay_err_set(found, AY_ESTORE, "%s %s: %s", ay_fsck_what_name(f->what), f->path ? f->path : "-",
			   f->why);
}

/* Nothing is damaged, so nothing is found: what could not be read for lack of memory is not damaged for that. */
static int look(struct fixture *x, struct ay_store *s, struct ay_err *err)
{
	struct ay_err found = {0};
	const struct ay_fsck how = {
		.repos = &x->repo, .n_repos = 1, .threads = 1, .found = note_found, .ctx = &found};
	struct ay_fsck_result res;
	int r = ay_store_fsck(s, &how, &res, err);

	return found.code ? ay_err_set(err, AY_ESTORE, "it is said to be damaged: %s", found.msg) : r;
}

static int dedupe(struct fixture *x, struct ay_store *s, struct ay_err *err)
{
	char one[300], two[300];
	const char *const dirs[] = {one, two};
	const struct ay_dedupe d = {.dirs = dirs, .n_dirs = 2, .read_only = true, .threads = 1};
	struct ay_deduped out;

	(void)s;
	snprintf(one, sizeof(one), "%s/store/one", x->t.k.dir); /* lies there so that it is put back too */
	snprintf(two, sizeof(two), "%s/store/two", x->t.k.dir);
	return ay_dedupe(ay_fs_real(), &d, &out, err);
}

/* ---- each allocation ---- */

static bool done(int r)
{
	return r >= 0 || r == AY_ENOTHING;
}

static int open_and(struct fixture *x, int (*work)(struct fixture *x, struct ay_store *s, struct ay_err *err),
		    struct ay_err *err)
{
	struct fs_fault f;
	struct ay_store *s = NULL;

	fs_fault_init(&f);
	f.syncs_off = true;
	memset(err, 0, sizeof(*err));
	int r = kit_store(&x->t.k, &f.fs, &s, err);
	if (r == 0)
		r = work(x, s, err);
	ay_store_close(s);
	return r;
}

/* As much as a person would notice: whole trees, and none lost that was not to go. */
static void assert_unhurt(struct fixture *x, const char *name, long at, bool clean)
{
	char path[300], why[1024];

	snprintf(path, sizeof(path), "%s/store", x->t.k.dir);
	if (clean && kit_fsck(path, why, sizeof(why)))
		fail_msg("%s, allocation %ld: %s", name, at, why);
}

typedef int work_fn(struct fixture *x, struct ay_store *s, struct ay_err *err);

/* The @at-th of @total and those behind it, @some in all, fail. Returns whether that was told. */
static bool one_allocation(struct fixture *x, const char *name, const char *before, bool damaged,
			   work_fn *work, long some, long at, long total)
{
	struct ay_err err;

	copy_tree(&x->t.k, before, "store");
	arm_some(at, some);
	int r = open_and(x, work, &err);
	disarm();
	const long leaked = live;
	const bool told = r == -ENOMEM;
	if (leaked != 0)
		fail_msg("%s, %ld allocations from %ld of %ld: %ld are not freed", name, some, at, total,
			 leaked);
	if (r < 0 && !err.msg[0])
		fail_msg("%s, %ld allocations from %ld of %ld: %d without a sentence", name, some, at, total,
			 r);
	if (!done(r) && !told)
		fail_msg("%s, %ld allocations from %ld of %ld: not for lack of memory, it says: %d %s", name,
			 some, at, total, r, err.msg);
	assert_unhurt(x, name, at, !damaged && some == 1);
	if (!done(r = open_and(x, work, &err)))
		fail_msg("%s, %ld allocations from %ld of %ld: the second time: %d %s", name, some, at, total,
			 r, err.msg);
	assert_unhurt(x, name, at, true);
	return told;
}

static void each_allocation(struct fixture *x, const char *name, const char *before, bool damaged,
			    work_fn *work)
{
	struct ay_err err;

	need_own_allocator();
	for (int warm = 0; warm < 2; warm++) { /* libraries keep what they make at first */
		copy_tree(&x->t.k, before, "store");
		arm(-1);
		int r = open_and(x, work, &err);
		disarm();
		if (!done(r))
			fail_msg("%s: %s", name, err.msg);
	}
	const long total = calls, kept = live;
	assert_int_equal(kept, 0);
	/* Two: what is looked at twice before it is believed, and what is taken back. All: nothing can be taken back. */
	static const long some[] = {1, 2, LONG_MAX};
	for (int i = 0; i < 3; i++) {
		const long step = total / (i == 2 ? TRIES / 2 : TRIES) + 1;
		long told = 0, n = 0;
		for (long at = 1; at <= total; at += step, n++)
			told += one_allocation(x, name, before, damaged, work, some[i], at, total);
		print_message("%s: %ld of %ld allocations%s, %ld failures told\n", name, n, total,
			      i == 0   ? ""
			      : i == 1 ? " and the next"
				       : " and all behind",
			      told);
		assert_true(told * 3 > n); /* cleaning up goes on as well as it can, and says nothing */
	}
}

/* ---- the stores before ---- */

/* An attribute, which is read into memory of its own. tmpfs keeps such since Linux 6.6. */
static void note(struct kit *k, const char *path)
{
	char full[512];

	snprintf(full, sizeof(full), "%s/%s", k->dir, path);
	if (setxattr(full, "user.note", "of whom it is", 13, 0) < 0) {
		assert_int_equal(errno, EOPNOTSUPP);
		print_message("%s: no attributes here, so that reading them is not tried\n", path);
	}
}

static void make_tree(struct kit *k, int n)
{
	char p[64], v[16];

	snprintf(v, sizeof(v), "v%d", n);
	kit_mkdir(k, v, 0755);
#define AT(rest) (snprintf(p, sizeof(p), "%s/" rest, v), p)
	kit_noise(k, AT("changes"), 9000, 3000 + (uint64_t)n, 0644);
	kit_text(k, AT("kept"), "always the same", 0644);
	kit_text(k, AT("mode"), "only my mode changes", n == 3 ? 0600 : 0644);
	kit_mkdir(k, AT("d"), 0755);
	kit_text(k, AT("d/twin"), "always the same", 0644);
	kit_symlink(k, AT("link"), n == 3 ? "d" : "kept");
	note(k, AT("kept"));
	note(k, AT("d"));
#undef AT
}

static void keep_as(struct fixture *x, const char *name)
{
	copy_tree(&x->t.k, "store", name);
}

static int spoil_and(struct fixture *x, struct ay_store *s, struct ay_err *err)
{
	struct stat st;
	AY_CLOSE int fd = openat(x->t.k.fd, "store/branches/" B "/2/root/changes", O_RDWR | O_CLOEXEC);

	(void)s, (void)err;
	assert_true(fd >= 0 && fstat(fd, &st) == 0 && pwrite(fd, "?", 1, 1) == 1);
	const struct timespec ts[2] = {st.st_mtim, st.st_mtim};
	assert_int_equal(futimens(fd, ts), 0);
	kit_rm(&x->t.k, "store/branches/" B "/2/root/d");
	return 0;
}

static int setup(void **arg)
{
	struct fixture *x = calloc(1, sizeof(*x));
	struct ay_err err = {0};
	struct ay_store *s;

	three_trees_init(&x->t, B, make_tree);
	kit_write(&x->t.k, "manifest", x->t.v[2].manifest.data, x->t.v[2].manifest.len, 0644, 1);
	x->repo = kit_repo(&x->t.k);
	kit_repo_all(&x->t.k, x->repo, NULL, &x->t.v[0]);
	kit_repo_all(&x->t.k, x->repo, &x->t.v[0], &x->t.v[1]);
	kit_repo_all(&x->t.k, x->repo, &x->t.v[1], &x->t.v[2]);
	if (kit_store(&x->t.k, ay_fs_real(), &s, &err) < 0)
		fail_msg("%s", err.msg);
	ay_store_close(s);
	keep_as(x, "empty");
	three_trees_store(&x->t, ay_fs_real());
	kit_mkdir(&x->t.k, "store/one", 0755);
	kit_mkdir(&x->t.k, "store/two", 0755);
	for (int i = 0; i < 4; i++) {
		char path[64];
		snprintf(path, sizeof(path), "store/%s/f%d", i % 2 ? "one" : "two", i / 2);
		kit_noise(&x->t.k, path, 5000, 1000u * (unsigned)(1 + i / 2), 0644);
	}
	keep_as(x, "two");
	if (open_and(x, import, &err) < 0)
		fail_msg("%s", err.msg);
	if (open_and(x, turn, &err) < 0)
		fail_msg("%s", err.msg);
	keep_as(x, "three");
	copy_tree(&x->t.k, "two", "store");
	spoil_and(x, NULL, NULL);
	keep_as(x, "damaged");
	*arg = x;
	return 0;
}

static int teardown(void **arg)
{
	struct fixture *x = *arg;

	ay_repo_close(x->repo);
	three_trees_release(&x->t);
	free(x);
	return 0;
}

static void when_a_bundle_is_applied(void **arg)
{
	each_allocation(*arg, "apply", "two", false, apply);
}

static void when_a_directory_is_imported(void **arg)
{
	each_allocation(*arg, "import", "two", false, import);
}

static void when_branches_move(void **arg)
{
	each_allocation(*arg, "turn", "two", false, turn);
}

static void when_trees_are_collected(void **arg)
{
	each_allocation(*arg, "gc", "three", false, collect);
}

static void when_a_directory_is_adopted(void **arg)
{
	each_allocation(*arg, "adopt", "empty", false, adopt);
}

static void when_a_good_store_is_checked(void **arg)
{
	each_allocation(*arg, "fsck --heal, nothing to do", "two", false, heal);
}

static void when_a_good_store_is_looked_at(void **arg)
{
	each_allocation(*arg, "fsck", "two", false, look);
}

static void when_a_store_is_healed(void **arg)
{
	each_allocation(*arg, "fsck --heal", "damaged", true, heal);
}

static void when_directories_are_deduped(void **arg)
{
	each_allocation(*arg, "dedupe", "two", false, dedupe);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(when_a_bundle_is_applied),
		cmocka_unit_test(when_a_directory_is_imported),
		cmocka_unit_test(when_branches_move),
		cmocka_unit_test(when_trees_are_collected),
		cmocka_unit_test(when_a_directory_is_adopted),
		cmocka_unit_test(when_a_good_store_is_checked),
		cmocka_unit_test(when_a_good_store_is_looked_at),
		cmocka_unit_test(when_a_store_is_healed),
		cmocka_unit_test(when_directories_are_deduped),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
