/* SPDX-License-Identifier: MIT */
/*
 * A healing in which each change of the disk goes wrong in turn: killed before it, failed once, failed from then on.
 *
 * After each: no path that had a file is without one (the old inode or the new, never none), the store
 * opens, what was good is good, and healing again without faults ends with nothing damaged.
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
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "store/fsck.h"
#include "store/state.h"
#include "tests/support/fs_fault.h"
#include "tests/support/kit_repo.h"

#define B      "b"
#define B_ROOT "store/branches/" B "/2/root/"

/* Sanitizers make forks many times dearer; the plain build of the same run leaves nothing out. */
#ifdef __SANITIZE_ADDRESS__
#define STEP 4u
#else
#define STEP 1u
#endif

struct fixture {
	struct kit k;
	struct ay_repo *repo;
	struct kit_tree v[2];
	unsigned calls;
};

static void must(bool ok, const char *what)
{
	if (!ok) {
		perror(what);
		abort();
	}
}

static void make_tree(struct kit *k, const char *v, int n)
{
	char p[64];
#define AT(rest) (snprintf(p, sizeof(p), "%s/" rest, v), p)
	kit_mkdir(k, v, 0755);
	kit_noise(k, AT("rotten"), 9000, 3000, 0644); /* one inode in both trees */
	kit_text(k, AT("changes"), n == 1 ? "one" : "two, and longer", 0644);
	kit_text(k, AT("a"), "one content, two modes", 0644);
	kit_text(k, AT("b"), "one content, two modes", 0755);
	kit_mkdir(k, AT("d"), 0755);
	kit_text(k, AT("d/file"), "in a directory", 0644);
	kit_symlink(k, AT("link"), "d");
#undef AT
}

static struct fs_fault no_faults(void)
{
	struct fs_fault f;

	fs_fault_init(&f);
	f.syncs_off = true;
	return f;
}

static void spoil(struct fixture *x, const char *path)
{
	struct stat st;
	AY_CLOSE int fd = openat(x->k.fd, path, O_RDWR | O_CLOEXEC);

	must(fd >= 0 && fstat(fd, &st) == 0 && pwrite(fd, "?", 1, 1) == 1, path);
	const struct timespec ts[2] = {st.st_atim, st.st_mtim};
	must(futimens(fd, ts) == 0, path);
}

/* A store with both trees, damaged in many ways. */
static void damaged_store(struct fixture *x)
{
	struct fs_fault f = no_faults();
	struct ay_err err = {0};
	struct ay_store *s;

	kit_rm(&x->k, "store");
	f.fs.ctx = &f;
	if (kit_store(&x->k, &f.fs, &s, &err) < 0 || kit_import(&x->k, s, B, &x->v[0], &err) < 0 ||
	    kit_import(&x->k, s, B, &x->v[1], &err) < 0 || ay_store_switch(s, B, 2, false, &err) < 0) {
		fprintf(stderr, "%s\n", err.msg);
		abort();
	}
	ay_store_close(s);
	spoil(x, B_ROOT "rotten");
	spoil(x, B_ROOT "changes");
	must(fchmodat(x->k.fd, B_ROOT "b", 0777, 0) == 0, "b");
	kit_rm(&x->k, B_ROOT "link");
	kit_text(&x->k, B_ROOT "link", "no link", 0644);
	kit_rm(&x->k, B_ROOT "d");
	kit_text(&x->k, B_ROOT "extra", "x", 0644);
	kit_text(&x->k, "store/branches/" B "/1/manifest", "junk", 0644);
	kit_rm(&x->k, "store/branches/" B "/1/.ref");
	kit_rm(&x->k, "store/branches/" B "/current");
	kit_text(&x->k, "store/state/branches/" B, "junk", 0644);
}

static int heal_with(struct fixture *x, struct fs_fault *f, struct ay_fsck_result *res, struct ay_err *err)
{
	const struct ay_fsck how = {.heal = true, .repos = &x->repo, .n_repos = 1, .threads = 1};
	struct ay_store *s;

	f->fs.ctx = f;
	*err = (struct ay_err){0};
	int r = kit_store(&x->k, &f->fs, &s, err);
	if (r < 0)
		return r;
	r = ay_store_fsck(s, &how, res, err);
	if (r < 0)
		must(err->msg[0] != '\0', "a failure without a sentence");
	ay_store_close(s);
	return r;
}

struct where {
	const char *kind;
	unsigned at;
	const char *call;
};

#define HOLDS(cond)                                                                                          \
	do {                                                                                                 \
		if (!(cond))                                                                                 \
			fail_msg("%s at change %u (%s): %s does not hold", w->kind, w->at,                   \
				 w->call ? w->call : "-", #cond);                                            \
	} while (0)

static void assert_nothing_lost(struct fixture *x, const struct where *w)
{
	static const char *const paths[] = {"rotten", "changes", "a", "b", "link"};

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		char path[100];
		snprintf(path, sizeof(path), B_ROOT "%s", paths[i]);
		HOLDS(kit_exists(&x->k, path));
		snprintf(path, sizeof(path), "store/branches/" B "/1/root/%s", paths[i]);
		HOLDS(kit_exists(&x->k, path));
	}
	HOLDS(kit_exists(&x->k, "store/branches/" B "/1/manifest"));
	HOLDS(kit_exists(&x->k, "store/state/branches/" B));
}

static void assert_heals(struct fixture *x, const struct where *w)
{
	struct fs_fault f = no_faults();
	struct ay_fsck_result res;
	struct ay_err err;
	uint32_t current = 0;
	struct ay_store *s;

	if (heal_with(x, &f, &res, &err) < 0)
		fail_msg("%s at change %u (%s): %s", w->kind, w->at, w->call ? w->call : "-", err.msg);
	HOLDS(res.left == 0);
	HOLDS(heal_with(x, &f, &res, &err) == 0);
	HOLDS(res.damaged == 0);
	HOLDS(kit_tree_is(&x->k, B, 1, &x->v[0]));
	HOLDS(kit_tree_is(&x->k, B, 2, &x->v[1]));
	HOLDS(kit_count(&x->k, "store/tmp") == 0);
	HOLDS(kit_objects_unlinked(&x->k) == 0);
	HOLDS(kit_store(&x->k, &f.fs, &s, &err) == 0);
	HOLDS(ay_store_current(s, B, &current, &err) == 0 && current == 2);
	ay_store_close(s);
}

static int setup(void **arg)
{
	struct fixture *x = calloc(1, sizeof(*x));
	const struct where here = {.kind = "no fault"};
	struct fs_fault f = no_faults();
	struct ay_fsck_result res;
	struct ay_err err;

	kit_init(&x->k);
	for (int i = 0; i < 2; i++) {
		make_tree(&x->k, i ? "v2" : "v1", i + 1);
		kit_publish(&x->k, i ? "v2" : "v1", B, (uint32_t)i + 1, &x->v[i]);
	}
	x->repo = kit_repo(&x->k);
	kit_repo_all(&x->k, x->repo, NULL, &x->v[0]);
	kit_repo_all(&x->k, x->repo, &x->v[0], &x->v[1]);
	damaged_store(x);
	if (heal_with(x, &f, &res, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(res.left, 0);
	assert_true(res.healed >= 12);
	x->calls = f.calls;
	assert_heals(x, &here);
	*arg = x;
	return 0;
}

static int teardown(void **arg)
{
	struct fixture *x = *arg;

	ay_repo_close(x->repo);
	for (int i = 0; i < 2; i++)
		kit_tree_release(&x->v[i]);
	kit_release(&x->k);
	free(x);
	return 0;
}

static void killed_before_each_change(void **arg)
{
	struct fixture *x = *arg;

	for (unsigned at = 1; at <= x->calls; at += STEP) {
		const struct where here = {.kind = "kill", .at = at}, *w = &here;
		int status;
		damaged_store(x);
		pid_t pid = fork();
		if (pid == 0) {
			struct fs_fault f = no_faults();
			struct ay_fsck_result res;
			struct ay_err err;
			f.kind = AY_FAULT_KILL;
			f.at = at;
			heal_with(x, &f, &res, &err);
			_exit(0);
		}
		must(waitpid(pid, &status, 0) == pid, "waitpid");
		HOLDS(WIFEXITED(status) && WEXITSTATUS(status) == FS_FAULT_EXIT);
		assert_nothing_lost(x, w);
		assert_heals(x, w);
	}
	print_message("kill: %u changes\n", x->calls);
}

static void each_change_fails(struct fixture *x, enum fs_fault_kind kind, int error, const char *name,
			      unsigned step)
{
	unsigned failed = 0;

	for (unsigned at = 1; at <= x->calls; at += step) {
		struct fs_fault f = no_faults();
		struct where w = {.kind = name, .at = at};
		struct ay_fsck_result res;
		struct ay_err err;
		f.kind = kind;
		f.at = at;
		f.error = error;
		damaged_store(x);
		int r = heal_with(x, &f, &res, &err);
		w.call = f.failed;
		failed += r < 0 || res.left > 0;
		assert_nothing_lost(x, &w);
		assert_heals(x, &w);
	}
	print_message("%s: %u changes, %u failures told\n", name, x->calls, failed);
	assert_true(failed * step * 2 > x->calls);
}

static void a_full_disk_for_a_moment(void **arg)
{
	each_change_fails(*arg, AY_FAULT_ONCE, ENOSPC, "ENOSPC once", STEP);
}

static void a_bad_sector(void **arg)
{
	each_change_fails(*arg, AY_FAULT_ONCE, EIO, "EIO once", STEP);
}

static void a_disk_that_fills_up(void **arg)
{
	each_change_fails(*arg, AY_FAULT_FOREVER, ENOSPC, "ENOSPC from then on", 2 * STEP);
}

static void a_disk_that_dies(void **arg)
{
	each_change_fails(*arg, AY_FAULT_FOREVER, EIO, "EIO from then on", 2 * STEP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(killed_before_each_change),
		cmocka_unit_test(a_full_disk_for_a_moment),
		cmocka_unit_test(a_bad_sector),
		cmocka_unit_test(a_disk_that_fills_up),
		cmocka_unit_test(a_disk_that_dies),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
