/* SPDX-License-Identifier: MIT */
/*
 * ay_patch_make() and ay_patch_apply() where each change of the disk fails in turn: either all of it is there under its
 * name, or nothing is, and nothing stays beside it; and where the process dies there instead, never half of it.
 */
#include "tests/support/fs_fault.h"
#include "tests/support/store_kit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "store/patch.h"
#include "store/scan.h"

struct state {
	struct kit k;
	struct fs_fault f;
	struct ay_patch_side old, new_, old_file, new_file;
	struct ay_digest tree; /* of new_ */
	char name[4][300];
};

static struct ay_patch_side side(struct state *t, const char *path, bool dir, unsigned i)
{
	char full[sizeof(t->name[i])];

	snprintf(full, sizeof(full), "%s/%s", t->k.dir, path);
	memcpy(t->name[i], full, sizeof(full));
	struct ay_patch_side s = {
		.fd = open(t->name[i], O_RDONLY | O_CLOEXEC), .is_dir = dir, .name = t->name[i]};

	assert_true(s.fd >= 0);
	return s;
}

static int setup(void **arg)
{
	struct state *t = calloc(1, sizeof(*t));

	kit_init(&t->k);
	kit_mkdir(&t->k, "old", 0755);
	kit_mkdir(&t->k, "new", 0755);
	kit_mkdir(&t->k, "new/sub", 0555);
	kit_mkdir(&t->k, "out", 0755);
	char *text = malloc(60001);
	for (int i = 0; i < 60000; i++)
		text[i] = (char)('a' + i * 7 % 26 + (i % 997 == 0));
	text[60000] = 0;
	kit_text(&t->k, "old/a", text, 0644);
	text[30000] = '!';
	kit_text(&t->k, "new/a", text, 0755);
	kit_text(&t->k, "new/copy", text, 0644);
	kit_text(&t->k, "old/kept", "kept", 0644);
	kit_text(&t->k, "new/kept", "kept", 0600);
	kit_symlink(&t->k, "new/link", "a");
	free(text);
	t->old = side(t, "old", true, 0);
	t->new_ = side(t, "new", true, 1);
	t->old_file = side(t, "old/a", false, 2);
	t->new_file = side(t, "new/a", false, 3);
	struct ay_scan_totals totals;
	struct ay_err err = {0};
	assert_int_equal(ay_scan(t->new_.fd, "new", NULL, NULL, NULL, &totals, &err), 0);
	t->tree = totals.manifest;
	*arg = t;
	return 0;
}

static int teardown(void **arg)
{
	struct state *t = *arg;

	close(t->old.fd);
	close(t->new_.fd);
	close(t->old_file.fd);
	close(t->new_file.fd);
	kit_release(&t->k);
	free(t);
	return 0;
}

/* What to do, into "out/result". */
struct job {
	struct state *t;
	bool files, apply;
	enum ay_patch_format format;
	int patch; /* to apply */
};

static int run(const struct job *j, struct ay_err *err)
{
	struct state *t = j->t;
	AY_CLOSE int parent = openat(t->k.fd, "out", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct ay_patch_to to = {.fs = &t->f.fs, .parent = parent, .name = "result", .mode = 0644};
	const struct ay_make_options o = {.threads = 1, .level = 1};
	const struct ay_patch_side *old = j->files ? &t->old_file : &t->old;
	const struct ay_patch_side *new_ = j->files ? &t->new_file : &t->new_;
	struct ay_patch_made made;
	struct ay_patch_result res;

	if (!j->apply)
		return ay_patch_make(old, new_, j->format, false, &o, &to, &made, err);
	return ay_patch_apply(old, j->patch, j->format, &(struct ay_patch_apply){.threads = 1}, &to, &res,
			      err);
}

/* Is the result what it must be? */
static void expect_whole(const struct job *j)
{
	struct state *t = j->t;
	struct ay_err err = {0};
	struct ay_digest a, b;

	AY_CLOSE int fd = openat(t->k.fd, "out/result", O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	if (j->apply && !j->files) {
		struct ay_scan_totals totals;
		assert_int_equal(ay_scan(fd, "result", NULL, NULL, NULL, &totals, &err), 0);
		assert_true(ay_digest_eq(&totals.manifest, &t->tree));
	} else if (j->apply) {
		assert_int_equal(ay_digest_fd(fd, &a, NULL), 0);
		assert_int_equal(ay_digest_fd(t->new_file.fd, &b, NULL), 0);
		assert_true(ay_digest_eq(&a, &b));
	} else {
		enum ay_patch_format format;
		assert_int_equal(ay_patch_format_of(fd, &format, &err), 0);
		assert_int_equal(format, j->format);
	}
}

/* Every call, in every way in which it may fail. What fails for good also keeps us from tidying up. */
static void each_call_fails(const struct job *j)
{
	struct state *t = j->t;

	for (const struct fs_fault_case *c = fs_fault_cases; c->name; c++) {
		bool done = false;
		for (unsigned at = 1; !done; at++) {
			struct ay_err err = {0};
			fs_fault_init(&t->f);
			t->f.syncs_off = true;
			fs_fault_set(&t->f, c, at);
			int r = run(j, &err);
			bool once = c->kind == AY_FAULT_ONCE || c->kind == AY_FAULT_SHORT;
			done = t->f.failed == NULL;
			if (r == 0)
				expect_whole(
					j); /* nothing failed, or only tidying up, or it was tried again */
			else if (!err.msg[0])
				fail_msg("%s, call %u: no sentence", c->name, at);
			else if (once && kit_count(&t->k, "out") != 0 && strcmp(t->f.failed, "fsync") != 0)
				fail_msg("%s, call %u (%s): something stays", c->name, at, t->f.failed);
			else if (kit_exists(&t->k, "out/result"))
				expect_whole(j); /* its name was not synced */
			kit_rm(&t->k, "out");
			kit_mkdir(&t->k, "out", 0755);
			assert_true(at < 1000);
		}
	}
}

/* It dies at each call: there is no name, or all of it. */
static void each_call_kills(const struct job *j)
{
	struct state *t = j->t;

	for (unsigned at = 1;; at++) {
		pid_t pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			struct ay_err err = {0};
			fs_fault_init(&t->f);
			t->f.kind = AY_FAULT_KILL;
			t->f.at = at;
			t->f.syncs_off = true;
			_exit(run(j, &err) == 0 ? 0 : 1);
		}
		int status;
		assert_int_equal(waitpid(pid, &status, 0), pid);
		bool killed = fs_fault_was_killed(status);
		assert_true(killed || (WIFEXITED(status) && WEXITSTATUS(status) == 0));
		if (kit_exists(&t->k, "out/result"))
			expect_whole(j);
		kit_rm(&t->k, "out");
		kit_mkdir(&t->k, "out", 0755);
		if (!killed)
			return;
		assert_true(at < 1000);
	}
}

static void both(struct state *t, bool files, enum ay_patch_format format)
{
	struct job j = {.t = t, .files = files, .format = format, .patch = -1};
	struct ay_err err = {0};

	each_call_fails(&j);
	each_call_kills(&j);
	fs_fault_init(&t->f);
	assert_int_equal(run(&j, &err), 0);
	assert_int_equal(renameat(t->k.fd, "out/result", t->k.fd, "patch"), 0);
	AY_CLOSE int patch = openat(t->k.fd, "patch", O_RDONLY | O_CLOEXEC);
	j.patch = patch;
	j.apply = true;
	each_call_fails(&j);
	each_call_kills(&j);
}

static void directories(void **arg)
{
	both(*arg, false, AY_PATCH_BUNDLE);
}

static void files(void **arg)
{
	both(*arg, true, AY_PATCH_BUNDLE);
}

static void classic(void **arg)
{
	both(*arg, true, AY_PATCH_BSDIFF40);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(directories), TEST(files), TEST(classic)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
