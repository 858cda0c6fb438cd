/* SPDX-License-Identifier: MIT */
/* Opening and making a store: what is refused, what is swept, what is said. */
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
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "store/tree_internal.h"
#include "tests/support/store_kit.h"

#define ME (geteuid() ? AY_STORE_OWNER_ME : 0)

static int setup(void **arg)
{
	struct kit *k = calloc(1, sizeof(*k));

	kit_init(k);
	*arg = k;
	return 0;
}

static int teardown(void **arg)
{
	kit_release(*arg);
	free(*arg);
	return 0;
}

/* Open @name in the kit's directory; closes at once. */
static int open_close(struct kit *k, const char *name, int flags, struct ay_err *err)
{
	struct ay_store *s = NULL;
	char path[512];

	memset(err, 0, sizeof(*err));
	snprintf(path, sizeof(path), "%s/%s", k->dir, name);
	int r = ay_store_open(ay_fs_real(), path, flags, &s, err);
	if (r == 0) {
		assert_string_equal(ay_store_path(s), path);
		assert_string_equal(err->msg, "");
	}
	ay_store_close(s);
	return r;
}

static void a_store_is_made_and_opened_again(void **arg)
{
	struct kit *k = *arg;
	struct ay_err err;
	struct stat st;

	assert_int_equal(open_close(k, "a/b/store", ME, &err), AY_ESTATE);
	assert_non_null(strstr(err.msg, "no store there"));
	mode_t old = umask(0077); /* the store's modes are its own, whatever the umask */
	assert_int_equal(open_close(k, "a/b/store", AY_STORE_CREATE | ME, &err), 0);
	umask(old);
	assert_int_equal(open_close(k, "a/b/store", AY_STORE_CREATE | ME, &err), 0);
	assert_int_equal(open_close(k, "a/b/store", 0, &err), 0);
	assert_int_equal(open_close(k, "a/b/store", AY_STORE_READONLY, &err), 0);
	assert_int_equal(fstatat(k->fd, "a/b/store/objects", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(fstatat(k->fd, "a/b/store/branches", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
}

static void what_is_not_a_store_is_left_alone(void **arg)
{
	struct kit *k = *arg;
	struct ay_err err;

	kit_mkdir(k, "home", 0755);
	kit_text(k, "home/letter", "dear", 0644);
	assert_int_equal(open_close(k, "home", AY_STORE_CREATE | ME, &err), AY_ESTATE);
	assert_non_null(strstr(err.msg, "not empty"));
	assert_int_equal(kit_count(k, "home"), 1);
	kit_text(k, "file", "x", 0644);
	assert_int_equal(open_close(k, "file", AY_STORE_CREATE | ME, &err), -ENOTDIR);
	assert_int_equal(open_close(k, "file/below", AY_STORE_CREATE | ME, &err), -ENOTDIR);
	kit_symlink(k, "nowhere", "not-there");
	assert_int_equal(open_close(k, "nowhere", AY_STORE_CREATE | ME, &err), -ENOENT);
	/* An interrupted making goes on. */
	kit_mkdir(k, "half", 0755);
	kit_mkdir(k, "half/objects", 0700);
	assert_int_equal(open_close(k, "half", AY_STORE_CREATE | ME, &err), 0);
}

static void versions_are_read_strictly(void **arg)
{
	struct kit *k = *arg;
	struct ay_err err;
	static const struct {
		const char *text;
		int result;
	} cases[] = {{"ayni-store 1\n", 0},
		     {"ayni-store 1\nowner=me\n", 0},
		     {"ayni-store 2\n", AY_EVERSION},
		     {"ayni-store 1\nfast=yes\n", AY_EVERSION},
		     {"ayni-store 1\nverity=no\nowner=me\n", AY_EVERSION},
		     {"ayni-store 1", AY_EVERSION},
		     {"", AY_ESTORE},
		     {"hello\n", AY_ESTORE}};

	assert_int_equal(open_close(k, "store", AY_STORE_CREATE | ME, &err), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (i == 0 && geteuid())
			continue;
		kit_text(k, "store/VERSION", cases[i].text, 0644);
		assert_int_equal(open_close(k, "store", 0, &err), cases[i].result);
		assert_int_equal(open_close(k, "store", AY_STORE_CREATE, &err), cases[i].result);
	}
}

static void a_missing_part_is_damage(void **arg)
{
	struct kit *k = *arg;
	struct ay_err err;

	assert_int_equal(open_close(k, "store", AY_STORE_CREATE | ME, &err), 0);
	kit_rm(k, "store/objects");
	assert_int_equal(open_close(k, "store", 0, &err), AY_ESTORE);
	assert_non_null(strstr(err.msg, "objects is missing"));
	/* A symlink in its place is not followed. */
	kit_mkdir(k, "elsewhere", 0755);
	kit_symlink(k, "store/objects", "../elsewhere");
	assert_true(open_close(k, "store", 0, &err) < 0);
}

static void a_reader_changes_nothing(void **arg)
{
	struct kit *k = *arg;
	struct kit_tree v1;
	struct ay_store *s;
	struct ay_err err = {0};
	char path[512];

	kit_two_trees(k);
	kit_publish(k, "v1", "b", 1, &v1);
	assert_int_equal(open_close(k, "store", AY_STORE_CREATE | ME, &err), 0);
	kit_mkdir(k, "store/tmp/staging-x-y", 0700);
	snprintf(path, sizeof(path), "%s/store", k->dir);
	assert_int_equal(ay_store_open(ay_fs_real(), path, AY_STORE_READONLY, &s, &err), 0);
	assert_int_equal(kit_import(k, s, "b", &v1, &err), -EROFS);
	assert_int_equal(ay_store_switch(s, "b", 1, false, &err), -EROFS);
	assert_int_equal(ay_store_rollback(s, "b", 1, NULL, &err), -EROFS);
	assert_int_equal(ay_store_gc(s, 1, NULL, &err), -EROFS);
	ay_store_close(s);
	assert_true(kit_exists(k, "store/tmp/staging-x-y"));
	assert_false(kit_exists(k, "store/branches/b"));
	kit_tree_release(&v1);
}

static void staging_of_the_dead_is_swept_and_of_the_living_kept(void **arg)
{
	struct kit *k = *arg;
	struct ay_err err;

	assert_int_equal(open_close(k, "store", AY_STORE_CREATE | ME, &err), 0);
	kit_mkdir(k, "store/tmp/staging-dead-1", 0700);
	kit_mkdir(k, "store/tmp/staging-dead-1/new", 0700);
	kit_text(k, "store/tmp/staging-dead-1/new/x", "x", 0600);
	kit_mkdir(k, "store/tmp/staging-live-1", 0700);
	kit_text(k, "store/tmp/staging-live-1/x", "x", 0600);
	kit_text(k, "store/state/.tmp-dead", "x", 0600);
	kit_text(k, "store/state/.tmp-live", "x", 0600);
	AY_CLOSE int live = openat(k->fd, "store/tmp/staging-live-1", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AY_CLOSE int file = openat(k->fd, "store/state/.tmp-live", O_RDONLY | O_CLOEXEC);
	assert_int_equal(flock(live, LOCK_EX), 0);
	assert_int_equal(flock(file, LOCK_EX), 0);
	assert_int_equal(open_close(k, "store", 0, &err), 0);
	assert_false(kit_exists(k, "store/tmp/staging-dead-1"));
	assert_false(kit_exists(k, "store/state/.tmp-dead"));
	assert_true(kit_exists(k, "store/tmp/staging-live-1/x"));
	assert_true(kit_exists(k, "store/state/.tmp-live"));
	flock(live, LOCK_UN);
	assert_int_equal(open_close(k, "store", 0, &err), 0);
	assert_false(kit_exists(k, "store/tmp/staging-live-1"));
}

#define UNREACHABLE 99 /* the temporary directory is closed to other users */

/* In a child: become nobody for good. */
static void become_nobody(struct kit *k)
{
	if (geteuid() == 0 && (setgid(65534) < 0 || setuid(65534) < 0))
		_exit(1);
	if (access(k->dir, X_OK) < 0)
		_exit(UNREACHABLE);
}

static void assert_child(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == UNREACHABLE)
		skip();
	assert_int_equal(status, 0);
}

/* As a plain user: run in a child that gives up root for good. */
static void a_plain_user_needs_owner_me(void **arg)
{
	struct kit *k = *arg;
	struct ay_err err;

	if (geteuid() != 0)
		skip();
	assert_int_equal(fchmod(k->fd, 0777), 0);
	assert_int_equal(open_close(k, "roots", AY_STORE_CREATE, &err), 0);
	pid_t pid = fork();
	if (pid == 0) {
		int bad = 0;
		become_nobody(k);
		if (open_close(k, "mine", AY_STORE_CREATE, &err) != AY_EUSAGE ||
		    !strstr(err.msg, "--owner-me"))
			bad |= 2;
		if (open_close(k, "mine", AY_STORE_CREATE | AY_STORE_OWNER_ME, &err) != 0)
			bad |= 4;
		if (open_close(k, "mine", 0, &err) != 0)
			bad |= 8;
		if (open_close(k, "roots", 0, &err) != AY_EUSAGE)
			bad |= 16;
		if (open_close(k, "roots", AY_STORE_READONLY, &err) != 0)
			bad |= 32;
		_exit(bad);
	}
	assert_child(pid);
}

/* A plain user's whole way: his files, read-only directories, and back out again. */
static void a_plain_user_imports_switches_and_collects(void **arg)
{
	struct kit *k = *arg;

	assert_int_equal(fchmod(k->fd, 0777), 0);
	pid_t pid = fork();
	if (pid == 0) {
		struct ay_store *s;
		struct ay_err err = {0};
		struct kit_tree v1, v2;
		uint64_t bad = 1;
		become_nobody(k);
		kit_two_trees(k);
		kit_publish(k, "v1", "b", 1, &v1);
		kit_publish(k, "v2", "b", 2, &v2);
		int r = kit_store(k, ay_fs_real(), &s, &err);
		if (r == 0)
			r = kit_import(k, s, "b", &v1, &err);
		if (r == 0)
			r = kit_import(k, s, "b", &v2, &err);
		if (r == 0)
			r = ay_store_verify(s, "b", 2, &bad, &err);
		if (r == 0 && bad == 0 && kit_tree_is(k, "b", 1, &v1) && kit_tree_is(k, "b", 2, &v2))
			r = ay_store_switch(s, "b", 2, false, &err);
		struct ay_gc_result res = {0};
		for (uint32_t i = 1; r == 0 && i <= 2; i++)
			r = ay__remove_tree(ay_fs_real(), s->branches, "b");
		if (r == 0)
			r = ay_store_gc(s, 0, &res, &err);
		if (r < 0)
			fprintf(stderr, "%s\n", err.msg);
		ay_store_close(s);
		_exit(r < 0 || bad ? 2 : 0);
	}
	assert_child(pid);
}

static void missing_permission_is_said(void **arg)
{
	struct kit *k = *arg;
	struct ay_err err;

	if (geteuid() != 0)
		skip();
	assert_int_equal(open_close(k, "store", AY_STORE_CREATE | AY_STORE_OWNER_ME, &err), 0);
	assert_int_equal(fchmod(k->fd, 0755), 0);
	pid_t pid = fork();
	if (pid == 0) {
		int bad = 0;
		become_nobody(k);
		if (open_close(k, "store", 0, &err) != -EACCES || !strstr(err.msg, "store/objects"))
			bad |= 2;
		if (open_close(k, "other", AY_STORE_CREATE | AY_STORE_OWNER_ME, &err) != -EACCES ||
		    !strstr(err.msg, "other"))
			bad |= 4;
		_exit(bad);
	}
	assert_child(pid);
}

static void missing_room_is_said_in_numbers(void **arg)
{
	struct kit *k = *arg;
	struct ay_store *s;
	struct ay_err err = {0};

	assert_int_equal(kit_store(k, ay_fs_real(), &s, &err), 0);
	assert_int_equal(ay__store_reserve(s, 4096, 1, &err), 0);
	assert_int_equal(ay__store_reserve(s, 1ull << 60, 1, &err), -ENOSPC);
	assert_non_null(strstr(err.msg, "are missing"));
	assert_non_null(strstr(err.msg, "ayni gc"));
	assert_non_null(strstr(err.msg, k->dir));
	assert_int_equal(ay__store_reserve(s, 0, 1ull << 40, &err), -ENOSPC);
	assert_int_equal(ay__store_reserve(s, UINT64_MAX, 1, &err), AY_ELIMIT);
	assert_int_equal(ay__store_reserve(s, 1, UINT64_MAX / 2, &err), AY_ELIMIT);
	ay_store_close(s);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_store_is_made_and_opened_again),
		TEST(what_is_not_a_store_is_left_alone),
		TEST(versions_are_read_strictly),
		TEST(a_missing_part_is_damage),
		TEST(a_reader_changes_nothing),
		TEST(staging_of_the_dead_is_swept_and_of_the_living_kept),
		TEST(a_plain_user_needs_owner_me),
		TEST(a_plain_user_imports_switches_and_collects),
		TEST(missing_permission_is_said),
		TEST(missing_room_is_said_in_numbers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
