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

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/fault/store/heal_kit.h"

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

static void killed_before_each_change(void **arg)
{
	struct fixture *x = *arg;

	for (unsigned at = 1; at <= x->calls; at += STEP) {
		const struct where w = {.kind = "kill", .at = at};
		int status;
		heal_damaged(&x->x, &x->at);
		pid_t pid = fork();
		if (pid == 0) {
			struct fs_fault f;
			struct ay_fsck_result res;
			struct ay_err err;
			heal_no_faults(&f);
			f.kind = AY_FAULT_KILL;
			f.at = at;
			heal_with(&x->x, &x->at, &f.fs, &res, &err);
			_exit(0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) == FS_FAULT_EXIT);
		assert_holds(x, &w);
	}
	print_message("kill: %u changes\n", x->calls);
}

static void each_change_fails(struct fixture *x, enum fs_fault_kind kind, int error, const char *name,
			      unsigned step)
{
	unsigned failed = 0;

	for (unsigned at = 1; at <= x->calls; at += step) {
		struct where w = {.kind = name, .at = at};
		struct ay_fsck_result res;
		struct fs_fault f;
		struct ay_err err;
		heal_damaged(&x->x, &x->at);
		heal_no_faults(&f);
		f.kind = kind;
		f.at = at;
		f.error = error;
		int r = heal_with(&x->x, &x->at, &f.fs, &res, &err);
		w.call = f.failed;
		failed += r < 0 || res.left > 0;
		assert_holds(x, &w);
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
