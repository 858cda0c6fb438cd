/* SPDX-License-Identifier: MIT */
/* What a store does, and the stores that are ready for it. */
#include "tests/fault/store/works.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "store/dedupe.h"
#include "store/fsck.h"
#include "store/turn.h"
#include "tests/fault/store/copy_tree.h"
#include "tests/support/fs_fault.h"
#include "tests/support/kit_repo.h"

#define B WORKS_BRANCH

/* ---- what a store does ---- */

int work_apply(struct works *x, struct ay_store *s, struct ay_err *err)
{
	return kit_apply(s, B, &x->t.v[2], x->t.bundle, &x->t.offer, err);
}

int work_import(struct works *x, struct ay_store *s, struct ay_err *err)
{
	return kit_import(&x->t.k, s, B, &x->t.v[2], err);
}

/* Back to 1, then 2 is tried again and fails. May be done again wherever it was cut off. */
int work_turn(struct works *x, struct ay_store *s, struct ay_err *err)
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

int work_collect(struct works *x, struct ay_store *s, struct ay_err *err)
{
	(void)x;
	return ay_store_gc(s, 0, NULL, err);
}

int work_adopt(struct works *x, struct ay_store *s, struct ay_err *err)
{
	AY_CLOSE int dirfd = openat(x->t.k.fd, "v2", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AY_CLOSE int manifest = openat(x->t.k.fd, "manifest", O_RDONLY | O_CLOEXEC);
	const struct ay_adopt a = {.branch = B, .dirfd = dirfd, .dir = "v2", .threads = 1, .repo = x->repo};

	return ay_store_adopt_match(s, &a, x->t.v[2].release.data, x->t.v[2].release.len, manifest,
				    &x->adopted, err);
}

int work_heal(struct works *x, struct ay_store *s, struct ay_err *err)
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
int work_look(struct works *x, struct ay_store *s, struct ay_err *err)
{
	struct ay_err found = {0};
	const struct ay_fsck how = {
		.repos = &x->repo, .n_repos = 1, .threads = 1, .found = note_found, .ctx = &found};
	struct ay_fsck_result res;
	int r = ay_store_fsck(s, &how, &res, err);

	return found.code ? ay_err_set(err, AY_ESTORE, "it is said to be damaged: %s", found.msg) : r;
}

int work_dedupe(struct works *x, struct ay_store *s, struct ay_err *err)
{
	char one[300], two[300];
	const char *const dirs[] = {one, two};
	const struct ay_dedupe d = {.dirs = dirs, .n_dirs = 2, .read_only = true, .threads = 1};
	struct ay_deduped out;

	(void)s;
	snprintf(one, sizeof(one), "%s/store/one", x->t.k.dir); /* lies there so that it is put back too */
	snprintf(two, sizeof(two), "%s/store/two", x->t.k.dir);
	int r = ay_dedupe(ay_fs_real(), &d, &out, err);
	x->not_equal = out.skipped[AY_DEDUPE_METADATA] + out.skipped[AY_DEDUPE_CHANGED];
	return r;
}

bool works_done(int r)
{
	return r >= 0 || r == AY_ENOTHING;
}

int works_run(struct works *x, work_fn *work, struct ay_err *err)
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

static void keep_as(struct works *x, const char *name)
{
	copy_tree(&x->t.k, "store", name);
}

static int spoil_and(struct works *x, struct ay_store *s, struct ay_err *err)
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

int works_setup(void **arg)
{
	struct works *x = calloc(1, sizeof(*x));
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
		note(&x->t.k, path);
	}
	keep_as(x, "two");
	if (works_run(x, work_import, &err) < 0)
		fail_msg("%s", err.msg);
	if (works_run(x, work_turn, &err) < 0)
		fail_msg("%s", err.msg);
	keep_as(x, "three");
	copy_tree(&x->t.k, "two", "store");
	spoil_and(x, NULL, NULL);
	keep_as(x, "damaged");
	*arg = x;
	return 0;
}

int works_teardown(void **arg)
{
	struct works *x = *arg;

	ay_repo_close(x->repo);
	three_trees_release(&x->t);
	free(x);
	return 0;
}
