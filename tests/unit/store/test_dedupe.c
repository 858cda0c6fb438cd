/* SPDX-License-Identifier: MIT */
/* Equal files that become one: what may, what may not, and what the disk says no to. (Writers that race, blocks: e2e.) */
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
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "store/dedupe.h"
#include "tests/support/fs_fault.h"
#include "tests/support/store_kit.h"

struct state {
	struct kit k;
	struct fs_fault f;
	struct ay_deduped out;
	struct ay_err err;
	char dir[300];
	const char *dirs[1];
	struct ay_dedupe how;
};

static int setup(void **arg)
{
	struct state *t = calloc(1, sizeof(*t));

	kit_init(&t->k);
	fs_fault_init(&t->f);
	kit_mkdir(&t->k, "d", 0755);
	kit_mkdir(&t->k, "d/e", 0755);
	snprintf(t->dir, sizeof(t->dir), "%s/d", t->k.dir);
	t->dirs[0] = t->dir;
	t->how = (struct ay_dedupe){.dirs = t->dirs, .n_dirs = 1, .read_only = true, .threads = 2};
	*arg = t;
	return 0;
}

static int teardown(void **arg)
{
	struct state *t = *arg;

	kit_release(&t->k);
	free(t);
	return 0;
}

static int run(struct state *t)
{
	memset(&t->err, 0, sizeof(t->err));
	return ay_dedupe(&t->f.fs, &t->how, &t->out, &t->err);
}

static struct stat stat_of(struct state *t, const char *path)
{
	struct stat st;

	if (fstatat(t->k.fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		fail_msg("%s: %s", path, strerror(errno));
	return st;
}

static bool one(struct state *t, const char *a, const char *b)
{
	return stat_of(t, a).st_ino == stat_of(t, b).st_ino;
}

static void equal_files_become_one_inode(void **arg)
{
	struct state *t = *arg;

	kit_text(&t->k, "d/a", "the same in both", 0644);
	kit_text(&t->k, "d/e/b", "the same in both", 0644);
	kit_text(&t->k, "d/c", "the SAME in both", 0644); /* as long */
	kit_text(&t->k, "d/mode", "the same in both", 0600);
	kit_write(&t->k, "d/time", "the same in both", 16, 0644, 5);
	kit_text(&t->k, "d/alone", "a length of its own, so never read", 0644);
	kit_symlink(&t->k, "d/link", "a");
	struct stat before = stat_of(t, "d/e");
	assert_int_equal(run(t), 0);
	assert_true(one(t, "d/a", "d/e/b"));
	assert_false(one(t, "d/a", "d/c"));
	assert_false(one(t, "d/a", "d/mode"));
	assert_false(one(t, "d/a", "d/time"));
	assert_int_equal(t->out.files, 6);
	assert_int_equal(t->out.read_files, 5);
	assert_int_equal(t->out.shared_files, 1);
	assert_int_equal(t->out.skipped[AY_DEDUPE_METADATA], 2);
	struct stat after = stat_of(t, "d/e");
	assert_int_equal(after.st_mtim.tv_sec, before.st_mtim.tv_sec);
	assert_int_equal(after.st_mtim.tv_nsec, before.st_mtim.tv_nsec);
	assert_int_equal(run(t), AY_ENOTHING);
	t->how.ignore_mtime = true;
	assert_int_equal(run(t), 0);
	assert_true(one(t, "d/a", "d/time"));
	assert_int_equal(stat_of(t, "d/a").st_mtim.tv_sec, 5); /* the oldest's */
}

static void attributes_count(void **arg)
{
	struct state *t = *arg;
	char path[400];

	kit_text(&t->k, "d/a", "the same in both", 0644);
	kit_text(&t->k, "d/b", "the same in both", 0644);
	snprintf(path, sizeof(path), "%s/b", t->dir);
	if (setxattr(path, "user.x", "y", 1, 0) < 0) {
		print_message("skipped: no user attributes on this file system\n");
		skip();
	}
	kit_text(&t->k, "d/c", "another text that is twice here", 0644);
	kit_text(&t->k, "d/d", "another text that is twice here", 0644);
	assert_int_equal(run(t), 0);
	assert_false(one(t, "d/a", "d/b"));
	assert_true(one(t, "d/c", "d/d"));
}

static void nothing_happens_in_a_dry_run(void **arg)
{
	struct state *t = *arg;

	kit_text(&t->k, "d/a", "the same in both", 0644);
	kit_text(&t->k, "d/b", "the same in both", 0644);
	t->how.dry_run = true;
	unsigned before = t->f.calls;
	assert_int_equal(run(t), 0);
	assert_int_equal(t->f.calls, before);
	assert_int_equal(t->out.shared_files, 1);
	assert_false(one(t, "d/a", "d/b"));
}

static void a_writer_is_left_alone(void **arg)
{
	struct state *t = *arg;

	kit_text(&t->k, "d/a", "the same in both", 0644);
	kit_text(&t->k, "d/b", "the same in both", 0644);
	kit_text(&t->k, "d/c", "the same in both", 0644);
	AY_CLOSE int fd = openat(t->k.fd, "d/b", O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(run(t), 0);
	assert_true(one(t, "d/a", "d/c"));
	assert_false(one(t, "d/a", "d/b"));
	assert_int_equal(t->out.skipped[AY_DEDUPE_WRITER], 1);
}

static void skipped_under(void *ctx, enum ay_dedupe_skip why, const char *path)
{
	(void)why;
	snprintf(ctx, 400, "%s", path);
}

/* The oldest is open for writing: the others become one, and nobody is told of metadata. The directory is told with it. */
static void a_writer_first_is_no_other_metadata(void **arg)
{
	struct state *t = *arg;
	char name[400] = "", want[400];

	kit_text(&t->k, "d/a", "the same in both", 0644);
	AY_CLOSE int fd = openat(t->k.fd, "d/a", O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(linkat(t->k.fd, "d/a", t->k.fd, "d/a2", 0), 0); /* more names, so it is the first */
	kit_text(&t->k, "d/e/b", "the same in both", 0644);
	kit_text(&t->k, "d/e/c", "the same in both", 0644);
	t->how.skipped = skipped_under;
	t->how.ctx = name;
	assert_int_equal(run(t), 0);
	assert_true(one(t, "d/e/b", "d/e/c"));
	assert_int_equal(t->out.skipped[AY_DEDUPE_WRITER], 1);
	assert_int_equal(t->out.skipped[AY_DEDUPE_METADATA], 0);
	snprintf(want, sizeof(want), "%s/a", t->dir);
	assert_string_equal(name, want);
}

/* An inode that is full is followed by another one: six names, three links each at most. */
static void a_full_inode_is_followed_by_another(void **arg)
{
	struct state *t = *arg;
	char path[32];

	for (int i = 0; i < 6; i++) {
		snprintf(path, sizeof(path), "d/%d", i);
		kit_text(&t->k, path, "the same in all of them", 0644);
	}
	t->f.links_max = 3;
	assert_int_equal(run(t), 0);
	unsigned inodes = 0;
	for (int i = 0; i < 6; i++) {
		bool seen = false;
		for (int k = 0; k < i; k++) {
			char a[32], b[32];
			snprintf(a, sizeof(a), "d/%d", i);
			snprintf(b, sizeof(b), "d/%d", k);
			seen |= one(t, a, b);
		}
		inodes += !seen;
	}
	assert_int_equal(inodes, 2);
	assert_int_equal(t->out.skipped[AY_DEDUPE_METADATA], 0); /* it is not for that that they are two */
	assert_int_equal(kit_count(&t->k, "d"), 6);
}

/* Whatever fails: every name is there, with its bytes. */
static void a_failing_disk_loses_nothing(void **arg)
{
	static const int errors[] = {EIO, ENOSPC, EPERM, EDQUOT};
	struct state *t = *arg;

	for (size_t e = 0; e < sizeof(errors) / sizeof(errors[0]); e++) {
		for (unsigned at = 1; at <= 12; at++) {
			kit_rm(&t->k, "d/a");
			kit_rm(&t->k, "d/e");
			kit_mkdir(&t->k, "d/e", 0755);
			kit_text(&t->k, "d/a", "the same in all", 0644);
			kit_text(&t->k, "d/e/b", "the same in all", 0644);
			kit_text(&t->k, "d/e/c", "the same in all", 0644);
			fs_fault_init(&t->f);
			t->f.kind = AY_FAULT_ONCE;
			t->f.at = at;
			t->f.error = errors[e];
			int r = run(t);
			if (r < 0 && r != AY_ENOTHING)
				assert_true(t->err.msg[0]);
			fs_fault_init(&t->f);
			r = run(t);
			assert_true(r == 0 || r == AY_ENOTHING);
			assert_true(one(t, "d/a", "d/e/b") && one(t, "d/a", "d/e/c"));
			assert_int_equal(stat_of(t, "d/a").st_size, 15);
			assert_int_equal(kit_count(&t->k, "d"), 3);
		}
	}
}

static void a_store_is_left_alone(void **arg)
{
	struct state *t = *arg;

	kit_text(&t->k, "d/e/VERSION", "ayni-store 1\n", 0644);
	kit_text(&t->k, "d/e/a", "the same in both", 0644);
	kit_text(&t->k, "d/e/b", "the same in both", 0644);
	assert_int_equal(run(t), AY_ENOTHING);
	assert_int_equal(t->out.skipped[AY_DEDUPE_STORE], 1);
	assert_false(one(t, "d/e/a", "d/e/b"));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(equal_files_become_one_inode),        T(attributes_count),
		T(nothing_happens_in_a_dry_run),        T(a_writer_is_left_alone),
		T(a_writer_first_is_no_other_metadata), T(a_full_inode_is_followed_by_another),
		T(a_failing_disk_loses_nothing),        T(a_store_is_left_alone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
