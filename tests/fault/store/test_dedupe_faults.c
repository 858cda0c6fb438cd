/* SPDX-License-Identifier: MIT */
/*
 * Deduping, while each change of the disk goes wrong in turn, or the process is killed before or after it: every name has its
 * own bytes and metadata all the time, and the same run done again makes equal files one and leaves no name of its own.
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
#include "store/dedupe.h"
#include "tests/support/fs_fault.h"
#include "tests/support/same_everywhere.h"
#include "tests/support/store_kit.h"

#define FILES 4

struct fixture {
	struct kit k;
	struct ay_buf before; /* what the two trees are, as a manifest */
	unsigned calls;
};

/* Two trees of containers: most is equal. */
static void begin_anew(struct fixture *x)
{
	static const char *const dirs[] = {"both", "both/one", "both/two"};

	kit_rm(&x->k, "both");
	for (int i = 0; i < 3; i++)
		kit_mkdir(&x->k, dirs[i], 0755);
	for (int i = 1; i < 3; i++) {
		char path[64];
		for (int n = 0; n < FILES; n++) {
			snprintf(path, sizeof(path), "%s/f%d", dirs[i], n);
			kit_noise(&x->k, path, 6000, 1000u * (unsigned)(n + 1), 0644);
		}
		snprintf(path, sizeof(path), "%s/own", dirs[i]);
		kit_text(&x->k, path, i == 1 ? "only mine" : "only his", 0600);
	}
	for (int i = 2; i >= 0; i--) {
		const struct timespec ts[2] = {{1690000000, 0}, {1690000000, 0}};
		assert_int_equal(utimensat(x->k.fd, dirs[i], ts, 0), 0);
	}
}

static int dedupe(struct fixture *x, struct fs_fault *f, struct ay_deduped *out, struct ay_err *err)
{
	char one[300], two[300];
	const char *const dirs[] = {one, two};
	const struct ay_dedupe d = {.dirs = dirs, .n_dirs = 2, .read_only = true, .threads = 1};

	snprintf(one, sizeof(one), "%s/both/one", x->k.dir);
	snprintf(two, sizeof(two), "%s/both/two", x->k.dir);
	return ay_dedupe(&f->fs, &d, out, err);
}

/* What the trees are now. */
static void look(struct fixture *x, struct ay_buf *out)
{
	const struct ay_scan_options opts = {.threads = 1};
	struct ay_err err = {0};
	AY_CLOSE int fd = openat(x->k.fd, "both", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (ay_scan(fd, "both", &opts, ay_write_to_buf, out, NULL, &err) < 0)
		fail_msg("%s", err.msg);
}

static unsigned links_of(struct fixture *x, int n)
{
	char path[64];
	struct stat a, b;

	snprintf(path, sizeof(path), "both/one/f%d", n);
	assert_int_equal(fstatat(x->k.fd, path, &a, 0), 0);
	snprintf(path, sizeof(path), "both/two/f%d", n);
	assert_int_equal(fstatat(x->k.fd, path, &b, 0), 0);
	return a.st_ino == b.st_ino ? (unsigned)a.st_nlink : 0;
}

/* Each file's content, by its own name. */
static void assert_nothing_lost(struct fixture *x, const char *kind, unsigned at)
{
	for (int i = 0; i < 2 * (FILES + 1); i++) {
		char path[64], want[8000], have[8000];
		int n = i % (FILES + 1);
		struct stat st;
		if (n < FILES)
			snprintf(path, sizeof(path), "both/%s/f%d", i <= FILES ? "one" : "two", n);
		else
			snprintf(path, sizeof(path), "both/%s/own", i <= FILES ? "one" : "two");
		AY_CLOSE int fd = openat(x->k.fd, path, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || fstat(fd, &st) < 0)
			fail_msg("%s at change %u: %s is gone", kind, at, path);
		if (n < FILES)
			snprintf(path, sizeof(path), "good/f%d", n);
		else
			snprintf(path, sizeof(path), "good/%s", i <= FILES ? "one" : "two");
		AY_CLOSE int first = openat(x->k.fd, path, O_RDONLY | O_CLOEXEC);
		ssize_t len = read(fd, have, sizeof(have));
		if (first < 0 || len < 1 || read(first, want, sizeof(want)) != len ||
		    memcmp(have, want, (size_t)len) != 0)
			fail_msg("%s at change %u: %s has other bytes", kind, at, path);
		if ((st.st_mode & 07777) != (n < FILES ? 0644 : 0600))
			fail_msg("%s at change %u: %s has another mode", kind, at, path);
	}
}

static void assert_finishes(struct fixture *x, const char *kind, unsigned at)
{
	struct ay_deduped out;
	struct ay_err err = {0};
	struct fs_fault f;

	fs_fault_init(&f);
	int r = dedupe(x, &f, &out, &err);
	if (r < 0 && r != AY_ENOTHING)
		fail_msg("%s at change %u: the second time: %s", kind, at, err.msg);
	assert_nothing_lost(x, kind, at);
	for (int n = 0; n < FILES; n++) {
		if (links_of(x, n) != 2)
			fail_msg("%s at change %u: f%d has %u links", kind, at, n, links_of(x, n));
	}
	if (kit_count(&x->k, "both") != 2 * (FILES + 1))
		fail_msg("%s at change %u: %u names", kind, at, kit_count(&x->k, "both"));
}

static void killed_at(struct fixture *x, enum fs_fault_kind kind, unsigned at)
{
	const char *name = kind == AY_FAULT_KILL ? "killed before" : "killed after";
	int status;

	begin_anew(x);
	pid_t pid = fork();
	if (pid == 0) {
		struct ay_deduped out;
		struct ay_err err = {0};
		struct fs_fault f;
		fs_fault_init(&f);
		f.kind = kind;
		f.at = at;
		dedupe(x, &f, &out, &err);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(fs_fault_was_killed(status));
	assert_nothing_lost(x, name, at);
	assert_finishes(x, name, at);
}

static void killed(void **arg)
{
	struct fixture *x = *arg;

	for (unsigned at = 1; at <= x->calls; at++) {
		killed_at(x, AY_FAULT_KILL, at);
		killed_at(x, AY_FAULT_KILL_AFTER, at);
	}
	print_message("%u changes\n", x->calls);
}

static void each_change_goes_wrong(void **arg)
{
	struct fixture *x = *arg;

	for (const struct fs_fault_case *c = fs_fault_cases; c->name; c++) {
		for (unsigned at = 1;; at++) {
			struct ay_deduped out;
			struct ay_err err = {0};
			struct fs_fault f;
			begin_anew(x);
			fs_fault_init(&f);
			fs_fault_set(&f, c, at);
			int r = dedupe(x, &f, &out, &err);
			if (!f.failed)
				break;
			assert_true(r == 0 || err.msg[0]);
			assert_nothing_lost(x, c->name, at);
			assert_finishes(x, c->name, at);
		}
	}
}

/* What is behind the failure was not seen: it is said, and what was seen is still done right. */
static void a_directory_fails_while_it_is_read(void **arg)
{
	struct fixture *x = *arg;
	unsigned at = 1, told = 0;

	for (;; at++) {
		struct ay_deduped out;
		struct ay_err err = {0};
		struct fs_fault f;
		begin_anew(x);
		fs_fault_init(&f);
		readdir_fails(at, EIO);
		int r = dedupe(x, &f, &out, &err);
		const bool failed = readdir_failed();
		readdir_fails(0, 0);
		if (!failed)
			break;
		if (r != 0 && r != AY_ENOTHING)
			fail_msg("at name %u: %s", at, err.msg);
		if (out.skipped[AY_DEDUPE_UNREADABLE] != 1)
			fail_msg("at name %u: %u directories are said to be unreadable", at,
				 (unsigned)out.skipped[AY_DEDUPE_UNREADABLE]);
		told++;
		assert_nothing_lost(x, "EIO of readdir", at);
		assert_finishes(x, "EIO of readdir", at);
	}
	assert_int_equal(told, at - 1);
	assert_true(told >= 2 * (FILES + 1)); /* the names of both directories at least */
}

static int setup(void **arg)
{
	struct fixture *x = calloc(1, sizeof(*x));
	struct ay_deduped out;
	struct ay_err err = {0};
	struct fs_fault f;

	kit_init(&x->k);
	kit_mkdir(&x->k, "good", 0755);
	for (int n = 0; n < FILES; n++) {
		char path[64];
		snprintf(path, sizeof(path), "good/f%d", n);
		kit_noise(&x->k, path, 6000, 1000u * (unsigned)(n + 1), 0644);
	}
	kit_text(&x->k, "good/one", "only mine", 0600);
	kit_text(&x->k, "good/two", "only his", 0600);
	begin_anew(x);
	look(x, &x->before);
	fs_fault_init(&f);
	if (dedupe(x, &f, &out, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(out.shared_files, FILES);
	x->calls = f.calls;
	assert_true(x->calls >= 3 * FILES);
	struct ay_buf now = {0};
	look(x, &now); /* nobody can tell */
	assert_int_equal(now.len, x->before.len);
	assert_memory_equal(now.data, x->before.data, now.len);
	ay_buf_release(&now);
	*arg = x;
	return 0;
}

static int teardown(void **arg)
{
	struct fixture *x = *arg;

	ay_buf_release(&x->before);
	kit_release(&x->k);
	free(x);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(killed), cmocka_unit_test(each_change_goes_wrong),
					   cmocka_unit_test(a_directory_fails_while_it_is_read)};
	return cmocka_run_group_tests(tests, setup, teardown);
}
