/* SPDX-License-Identifier: MIT */
/* A switch, a first switch and a rollback that die at each change of the disk: what is current is what is remembered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/state.h"
#include "tests/support/fs_fault.h"
#include "tests/support/set_branch.h"
#include "tests/support/store_kit.h"

#define B           "xo/stable"
#define CALLS_LEAST 5 /* a switch is at least: the state's file, its sync and rename, a link, a rename */

struct place {
	struct kit k;
	struct kit_tree t[2];
};

static void arrive(struct place *p, uint32_t from)
{
	struct ay_store *s = NULL;
	struct ay_err err = {0};

	kit_init(&p->k);
	kit_mkdir(&p->k, "v", 0755);
	if (kit_store(&p->k, ay_fs_real(), &s, &err) < 0)
		fail_msg("%s", err.msg);
	for (uint32_t i = 0; i < 2; i++) {
		kit_text(&p->k, "v/release", i ? "two" : "one", 0644);
		kit_publish(&p->k, "v", B, i + 1, &p->t[i]);
		assert_int_equal(kit_import(&p->k, s, B, &p->t[i], &err), 0);
	}
	if (from && ay_store_switch(s, B, from, false, &err) < 0)
		fail_msg("%s", err.msg);
	ay_store_close(s);
}

static void leave(struct place *p)
{
	kit_tree_release(&p->t[0]);
	kit_tree_release(&p->t[1]);
	kit_release(&p->k);
}

/* In a child of its own; true when it died at change @at, false when it ended before. */
static bool dies(struct place *p, unsigned at, uint32_t to, bool rollback)
{
	int status = 0;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		struct fs_fault f;
		struct ay_store *s = NULL;
		struct ay_err err = {0};

		fs_fault_init(&f);
		if (kit_store(&p->k, &f.fs, &s, &err) < 0)
			_exit(1);
		f.kind = AY_FAULT_KILL;
		f.at = f.calls + at;
		_exit(ay_store_switch(s, B, to, rollback, &err) < 0 ? 1 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(status == 0 || fs_fault_was_killed(status));
	return status != 0;
}

struct seen {
	uint32_t current, finished;
	struct ay_branch_state state;
};

/* As a node looks when it starts. */
static struct seen look(struct place *p)
{
	struct ay_store *s = NULL;
	struct ay_err err = {0};
	struct seen seen = {0};

	assert_int_equal(kit_store(&p->k, ay_fs_real(), &s, &err), 0);
	assert_int_equal(ay_store_finish_switch(s, B, &seen.finished, &err), 0);
	int r = ay_store_current(s, B, &seen.current, &err);
	assert_true(r == 0 || r == AY_ENOTHING);
	assert_int_equal(ay_state_branch(s, B, &seen.state, &err), 0);
	ay_store_close(s);
	return seen;
}

/* From @from to @to, cut off everywhere: the old state with the old tree or the new one with the new tree. */
static void cut_off(uint32_t from, uint32_t to)
{
	unsigned at = 1, finished = 0;

	for (bool died = true; died; at++) {
		struct place p;
		arrive(&p, from);
		died = dies(&p, at, to, false);
		struct seen seen = look(&p);
		assert_true(seen.state.floor == (seen.current ? seen.current : 0));
		assert_true(seen.current == to || (died && seen.current == from));
		finished += seen.finished == to;
		/* And once more there is nothing to finish. */
		assert_int_equal(look(&p).finished, 0);
		leave(&p);
	}
	assert_true(at > CALLS_LEAST);
	assert_true(finished > 0);
}

static void a_switch_that_dies_is_finished_at_the_next_start(void **state)
{
	(void)state;
	cut_off(1, 2);
}

static void so_is_the_first_one(void **state)
{
	(void)state;
	cut_off(0, 1);
}

/* The owner went back, and that died: nothing leads forward again by itself. */
static void a_rollback_that_dies_is_not_undone(void **state)
{
	bool died = true, back = false;

	(void)state;
	for (unsigned at = 1; died; at++) {
		struct place p;
		arrive(&p, 2);
		died = dies(&p, at, 1, true);
		struct seen seen = look(&p);
		assert_true(seen.finished == 0 || (died && seen.finished == 1)); /* it is finished too */
		assert_int_equal(seen.state.floor, 2);
		assert_int_equal(seen.state.bad_serial, seen.current == 1 ? 2 : 0);
		assert_true(died || seen.current == 1);
		back |= seen.current == 1;
		leave(&p);
	}
	assert_true(back);
}

/* The tree is not here any more, or `current` is no link of ours. */
static void what_cannot_be_finished_is_left_alone(void **state)
{
	struct place p;
	struct ay_store *s = NULL;
	struct ay_err err = {0};
	struct ay_branch_state b;
	uint32_t serial = 7;

	(void)state;
	arrive(&p, 1);
	assert_int_equal(kit_store(&p.k, ay_fs_real(), &s, &err), 0);
	assert_int_equal(ay_store_finish_switch(s, "no/such", &serial, &err), 0);
	assert_int_equal(serial, 0);
	assert_int_equal(ay_state_branch(s, B, &b, &err), 0);
	b.floor = 3;
	assert_int_equal(set_branch(s, &b, &err), 0);
	assert_int_equal(ay_store_finish_switch(s, B, &serial, &err), 0);
	assert_int_equal(serial, 0);
	assert_int_equal(ay_store_current(s, B, &serial, &err), 0);
	assert_int_equal(serial, 1);
	ay_store_close(s);
	leave(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_switch_that_dies_is_finished_at_the_next_start),
		cmocka_unit_test(so_is_the_first_one),
		cmocka_unit_test(a_rollback_that_dies_is_not_undone),
		cmocka_unit_test(what_cannot_be_finished_is_left_alone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
