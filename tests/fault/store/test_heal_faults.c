/* SPDX-License-Identifier: MIT */
/*
 * A healing in which each change of the disk goes wrong in turn: killed before or after it, failed once, failed from then on.
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
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/fault/store/heal_kit.h"
#include "tests/support/kit_fsck.h"

/* Sanitizers make forks many times dearer; the plain build of the same run leaves nothing out. */
#ifdef __SANITIZE_ADDRESS__
#define STEP 4u
#else
#define STEP 1u
#endif

struct fixture {
	struct heal_kit x;
	struct kit at;
	unsigned calls;
};

struct where {
	const char *kind;
	unsigned at;
	const char *call;
};

static void assert_holds(struct fixture *x, const struct where *w)
{
	const char *why = heal_lost(&x->x, &x->at);

	if (why)
		fail_msg("%s at change %u (%s): %s is gone, or neither old nor good", w->kind, w->at,
			 w->call ? w->call : "-", why);
	why = heal_ends_well(&x->x, &x->at, w->at % 4 == 0);
	if (why)
		fail_msg("%s at change %u (%s): does not hold: %s", w->kind, w->at, w->call ? w->call : "-",
			 why);
}

static int setup(void **arg)
{
	struct fixture *x = calloc(1, sizeof(*x));
	const struct where here = {.kind = "no fault"};
	struct fs_fault f;
	struct ay_fsck_result res;
	struct ay_err err;

	heal_kit_init(&x->x);
	heal_place(&x->x, "disk", &x->at);
	heal_damaged(&x->x, &x->at);
	heal_no_faults(&f);
	if (heal_with(&x->x, &x->at, &f.fs, &res, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(res.left, 0);
	assert_true(res.healed >= 12);
	x->calls = f.calls;
	assert_holds(x, &here);
	*arg = x;
	return 0;
}

static int teardown(void **arg)
{
	struct fixture *x = *arg;

	close(x->at.fd);
	heal_kit_release(&x->x);
	free(x);
	return 0;
}

static void killed_at(struct fixture *x, enum fs_fault_kind kind, unsigned at)
{
	const struct where w = {.kind = kind == AY_FAULT_KILL ? "kill before" : "kill after", .at = at};
	int status;

	heal_damaged(&x->x, &x->at);
	pid_t pid = fork();
	if (pid == 0) {
		struct fs_fault f;
		struct ay_fsck_result res;
		struct ay_err err;
		heal_no_faults(&f);
		f.kind = kind;
		f.at = at;
		heal_with(&x->x, &x->at, &f.fs, &res, &err);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(fs_fault_was_killed(status));
	assert_holds(x, &w);
}

static void killed_before_and_after_each_change(void **arg)
{
	struct fixture *x = *arg;

	for (unsigned at = 1; at <= x->calls; at += STEP) {
		killed_at(x, AY_FAULT_KILL, at);
		killed_at(x, AY_FAULT_KILL_AFTER, at);
	}
	killed_at(x, AY_FAULT_KILL_AFTER, x->calls);
	print_message("kill: %u changes\n", x->calls);
}

static void each_change_fails(struct fixture *x, const struct fs_fault_case *c, unsigned step)
{
	unsigned failed = 0, n = 0;

	for (unsigned at = 1;; at += step, n++) {
		struct where w = {.kind = c->name, .at = at};
		struct ay_fsck_result res;
		struct fs_fault f;
		struct ay_err err;
		heal_damaged(&x->x, &x->at);
		heal_no_faults(&f);
		fs_fault_set(&f, c, at);
		int r = heal_with(&x->x, &x->at, &f.fs, &res, &err);
		if (!f.failed)
			break;
		w.call = f.failed;
		failed += r < 0 || res.left > 0;
		if (c->error == 0 && (r < 0 || res.left > 0))
			fail_msg("%s at change %u: %s", c->name, at, err.msg);
		assert_holds(x, &w);
	}
	print_message("%s: %u times, %u failures told\n", c->name, n, failed);
	assert_true(n > 0 && (fs_fault_may_succeed(c) || failed * 2 > n));
}

static void each_change_goes_wrong(void **arg)
{
	for (const struct fs_fault_case *c = fs_fault_cases; c->name; c++)
		each_change_fails(*arg, c, c->kind == AY_FAULT_FOREVER ? 2 * STEP : STEP);
}

/* As many files open as it likes, from none on, and fewer than it needs: nothing of a good store is taken for damage. */
static void few_files_may_be_open(void **arg)
{
	struct fixture *x = *arg;
	char path[300], why[1024];
	int status = 1;

	for (unsigned n = 0; status != 0; n++) {
		const struct where w = {.kind = "few files", .at = n};
		for (int damaged = 1; damaged >= 0; damaged--) {
			if (damaged)
				heal_damaged(&x->x, &x->at);
			pid_t pid = fork();
			if (pid == 0) {
				struct fs_fault f;
				struct ay_fsck_result res;
				struct ay_err err;
				heal_no_faults(&f);
				fs_fault_few_fds(n);
				int r = heal_with(&x->x, &x->at, &f.fs, &res, &err);
				if (r < 0 && !strstr(err.msg, "ulimit"))
					fprintf(stderr, "%u files: %s\n", n, err.msg);
				_exit(r == 0                      ? (damaged || res.damaged == 0 ? 0 : 2)
				      : strstr(err.msg, "ulimit") ? 1
								  : 2);
			}
			assert_int_equal(waitpid(pid, &status, 0), pid);
			assert_true(WIFEXITED(status) && WEXITSTATUS(status) < 2 && n < 100);
			if (damaged) {
				assert_holds(x, &w); /* and it is a good store now */
				continue;
			}
			snprintf(path, sizeof(path), "%s/store", x->at.dir);
			if (kit_fsck(path, why, sizeof(why)))
				fail_msg("%u files: %s", n, why);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(killed_before_and_after_each_change),
		cmocka_unit_test(each_change_goes_wrong),
		cmocka_unit_test(few_files_may_be_open),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
