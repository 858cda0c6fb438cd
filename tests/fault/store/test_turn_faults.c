/* SPDX-License-Identifier: MIT */
/*
 * A release's turn in which each change of the disk goes wrong: killed there, failing once, failing for good.
 *
 * After each: `current` names a whole tree, and what is remembered says how to go on; going on ends where a good
 * day ends, whether the trial was to end well or badly.
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

#include "store/turn.h"
#include "tests/support/fs_fault.h"
#include "tests/support/store_kit.h"

#define B "b"

struct fixture {
	struct kit k;
	struct kit_tree t[2];
	char path[320];
};

/* One step from wherever we are. 1: there is nothing more to do. */
static int go_on(struct ay_store *s, bool well, struct ay_err *err)
{
	struct ay_turn t;
	uint32_t a, b;
	int r = ay_turn_read(s, B, &t, err);

	if (r < 0)
		return r;
	if (t.ready && t.back)
		return ay_store_switch(s, B, t.ready, true, err);
	if (t.ready)
		return ay_turn_trial(s, B, t.ready, 2, err);
	if (!t.unconfirmed)
		return 1;
	if (t.tries == 2)
		return ay_turn_try(s, B, &a, err);
	return well ? ay_turn_confirm(s, B, &a, err) : ay_turn_fail(s, B, &a, &b, err);
}

static int whole_turn(struct ay_fs *fs, const char *path, bool well, struct ay_err *err)
{
	struct ay_store *s = NULL;
	int r = ay_store_open(fs, path, 0, &s, err);

	if (r == 0)
		r = ay_turn_ready(s, B, 2, err);
	while (r == 0)
		r = go_on(s, well, err);
	ay_store_close(s);
	return r;
}

/* 0, 1 all done; -EINTR it was killed; a failure */
static int with_fault(struct fixture *x, struct fs_fault *f, bool well)
{
	struct ay_err err = {0};
	int status;
	pid_t pid;

	if (f->kind != AY_FAULT_KILL && f->kind != AY_FAULT_KILL_AFTER)
		return whole_turn(&f->fs, x->path, well, &err);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(whole_turn(&f->fs, x->path, well, &err) == 1 ? 0 : 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (fs_fault_was_killed(status))
		return -EINTR;
	assert_int_equal(status, 0);
	return 1;
}

/* Back to the beginning: 1 is current and good, 2 is here, nothing is remembered. */
static void begin_anew(struct fixture *x)
{
	struct ay_store *s = NULL;
	struct ay_err err = {0};

	kit_rm(&x->k, "store/state/branches/" B);
	kit_rm(&x->k, "store/branches/" B "/current");
	if (ay_store_open(ay_fs_real(), x->path, 0, &s, &err) < 0 ||
	    ay_store_switch(s, B, 1, false, &err) < 0)
		fail_msg("%s", err.msg);
	ay_store_close(s);
}

static void check_meanwhile(struct fixture *x)
{
	struct ay_store *s = NULL;
	struct ay_err err = {0};
	struct ay_turn t;

	assert_int_equal(ay_store_open(ay_fs_real(), x->path, 0, &s, &err), 0);
	assert_int_equal(ay_turn_read(s, B, &t, &err), 0);
	assert_in_range(t.current, 1, 2);
	assert_in_range(t.good, 1, 2);
	assert_true(kit_tree_is(&x->k, B, t.current, &x->t[t.current - 1]));
	/* On trial, or ready, or over: never current without anybody knowing whether it is good. */
	if (t.current == 2)
		assert_true(t.unconfirmed == 2 || t.good == 2 || (t.ready == 1 && t.back));
	ay_store_close(s);
}

static unsigned run_all(struct fixture *x, const struct fs_fault_case *c, bool well)
{
	for (unsigned at = 1;; at++) {
		struct fs_fault f;
		struct ay_err err = {0};
		struct ay_store *s = NULL;
		struct ay_turn t;

		begin_anew(x);
		fs_fault_init(&f);
		f.syncs_off = true;
		fs_fault_set(&f, c, at);
		int r = with_fault(x, &f, well);
		check_meanwhile(x);
		if (whole_turn(ay_fs_real(), x->path, well, &err) != 1 && err.code != 0)
			fail_msg("after change %u: %s", at, err.msg);
		assert_int_equal(ay_store_open(ay_fs_real(), x->path, 0, &s, &err), 0);
		assert_int_equal(ay_turn_read(s, B, &t, &err), 0);
		assert_int_equal(t.current, well ? 2 : 1);
		assert_int_equal(t.good, t.current);
		assert_int_equal(t.bad, well ? 0 : 2);
		assert_int_equal(t.unconfirmed + t.ready, 0);
		ay_store_close(s);
		if (r == 1 && !f.failed)
			return at;
	}
}

static void every_change_goes_wrong(void **arg)
{
	struct fixture *x = *arg;

	for (int well = 0; well <= 1; well++) {
		const struct fs_fault_case before = {"kill before", AY_FAULT_KILL, 0},
					   after = {"kill after", AY_FAULT_KILL_AFTER, 0};
		/* ready, trial, try, end: each a state of five changes, two of them with a link's three */
		assert_true(run_all(x, &before, well) > 20);
		assert_true(run_all(x, &after, well) > 20);
		for (const struct fs_fault_case *c = fs_fault_cases; c->name; c++)
			run_all(x, c, well);
	}
}

static int setup(void **arg)
{
	struct fixture *x = calloc(1, sizeof(*x));
	struct ay_store *s = NULL;
	struct ay_err err = {0};

	kit_init(&x->k);
	snprintf(x->path, sizeof(x->path), "%s/store", x->k.dir);
	kit_mkdir(&x->k, "v", 0755);
	if (kit_store(&x->k, ay_fs_real(), &s, &err) < 0)
		fail_msg("%s", err.msg);
	for (uint32_t i = 0; i < 2; i++) {
		kit_text(&x->k, "v/file", i ? "two" : "one", 0644);
		kit_publish(&x->k, "v", B, i + 1, &x->t[i]);
		if (kit_import(&x->k, s, B, &x->t[i], &err) < 0)
			fail_msg("%s", err.msg);
	}
	ay_store_close(s);
	*arg = x;
	return 0;
}

static int teardown(void **arg)
{
	struct fixture *x = *arg;

	kit_tree_release(&x->t[0]);
	kit_tree_release(&x->t[1]);
	kit_release(&x->k);
	free(x);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(every_change_goes_wrong, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
