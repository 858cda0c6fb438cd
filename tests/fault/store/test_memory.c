/* SPDX-License-Identifier: MIT */
/*
 * Each allocation fails in turn, and only that one, in everything that a store does: the failure has a sentence, nothing
 * leaks, the store is unhurt (fsck says so: nothing that was good counts as damaged because it could not be looked at),
 * and the same work done again finishes.
 *
 * The allocator is this program's own; a sanitizer brings its own, and then the test stands aside: leaks are counted here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>

#include "tests/fault/store/copy_tree.h"
#include "tests/fault/store/works.h"
#include "tests/support/failing_malloc.h"
#include "tests/support/kit_fsck.h"

#define TRIES 120 /* at most, of each work; those that are left out lie evenly between */

/* ---- each allocation ---- */

/* As much as a person would notice: whole trees, and none lost that was not to go. */
static void assert_unhurt(struct works *x, const char *name, long at, bool clean)
{
	char path[300], why[1024];

	snprintf(path, sizeof(path), "%s/store", x->t.k.dir);
	if (clean && kit_fsck(path, why, sizeof(why)))
		fail_msg("%s, allocation %ld: %s", name, at, why);
}

/* The @at-th of @total and those behind it, @some in all, fail. Returns whether that was told. */
static bool one_allocation(struct works *x, const char *name, const char *before, bool damaged, work_fn *work,
			   long some, long at, long total)
{
	struct ay_err err;

	copy_tree(&x->t.k, before, "store");
	arm_some(at, some);
	int r = works_run(x, work, &err);
	disarm();
	const long leaked = live;
	const bool told = r == -ENOMEM;
	if (leaked != 0)
		fail_msg("%s, %ld allocations from %ld of %ld: %ld are not freed", name, some, at, total,
			 leaked);
	if (r < 0 && !err.msg[0])
		fail_msg("%s, %ld allocations from %ld of %ld: %d without a sentence", name, some, at, total,
			 r);
	if (!works_done(r) && !told)
		fail_msg("%s, %ld allocations from %ld of %ld: not for lack of memory, it says: %d %s", name,
			 some, at, total, r, err.msg);
	assert_unhurt(x, name, at, !damaged && some == 1);
	if (!works_done(r = works_run(x, work, &err)))
		fail_msg("%s, %ld allocations from %ld of %ld: the second time: %d %s", name, some, at, total,
			 r, err.msg);
	assert_unhurt(x, name, at, true);
	return told;
}

static void each_allocation(struct works *x, const char *name, const char *before, bool damaged,
			    work_fn *work)
{
	struct ay_err err;

	need_own_allocator();
	for (int warm = 0; warm < 2; warm++) { /* libraries keep what they make at first */
		copy_tree(&x->t.k, before, "store");
		arm(-1);
		int r = works_run(x, work, &err);
		disarm();
		if (!works_done(r))
			fail_msg("%s: %s", name, err.msg);
	}
	const long total = calls, kept = live;
	assert_int_equal(kept, 0);
	/* Two: what is looked at twice before it is believed, and what is taken back. All: nothing can be taken back. */
	static const long some[] = {1, 2, LONG_MAX};
	for (int i = 0; i < 3; i++) {
		const long step = total / (i == 2 ? TRIES / 2 : TRIES) + 1;
		long told = 0, n = 0;
		for (long at = 1; at <= total; at += step, n++)
			told += one_allocation(x, name, before, damaged, work, some[i], at, total);
		print_message("%s: %ld of %ld allocations%s, %ld failures told\n", name, n, total,
			      i == 0   ? ""
			      : i == 1 ? " and the next"
				       : " and all behind",
			      told);
		assert_true(told * 3 > n); /* cleaning up goes on as well as it can, and says nothing */
	}
}

static void when_a_bundle_is_applied(void **arg)
{
	each_allocation(*arg, "apply", "two", false, work_apply);
}

static void when_a_directory_is_imported(void **arg)
{
	each_allocation(*arg, "import", "two", false, work_import);
}

static void when_branches_move(void **arg)
{
	each_allocation(*arg, "turn", "two", false, work_turn);
}

static void when_trees_are_collected(void **arg)
{
	each_allocation(*arg, "gc", "three", false, work_collect);
}

static void when_a_directory_is_adopted(void **arg)
{
	each_allocation(*arg, "adopt", "empty", false, work_adopt);
}

static void when_a_good_store_is_checked(void **arg)
{
	each_allocation(*arg, "fsck --heal, nothing to do", "two", false, work_heal);
}

static void when_a_good_store_is_looked_at(void **arg)
{
	each_allocation(*arg, "fsck", "two", false, work_look);
}

static void when_a_store_is_healed(void **arg)
{
	each_allocation(*arg, "fsck --heal", "damaged", true, work_heal);
}

static void when_directories_are_deduped(void **arg)
{
	each_allocation(*arg, "dedupe", "two", false, work_dedupe);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(when_a_bundle_is_applied),
		cmocka_unit_test(when_a_directory_is_imported),
		cmocka_unit_test(when_branches_move),
		cmocka_unit_test(when_trees_are_collected),
		cmocka_unit_test(when_a_directory_is_adopted),
		cmocka_unit_test(when_a_good_store_is_checked),
		cmocka_unit_test(when_a_good_store_is_looked_at),
		cmocka_unit_test(when_a_store_is_healed),
		cmocka_unit_test(when_directories_are_deduped),
	};
	return cmocka_run_group_tests(tests, works_setup, works_teardown);
}
