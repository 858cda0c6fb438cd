/* SPDX-License-Identifier: MIT */
/*
 * Each system call that only looks fails in turn, in everything that a store does: a disk with a bad sector (EIO), a process that
 * has no descriptor left (EMFILE), a signal (EINTR); once, or for good. Changes of the disk are the business of the other tests here.
 *
 * An error that says nothing is no answer. What failed is told, in a sentence; or it did not matter, and then the result is the
 * one of a good day: nothing good counts as damaged, missing or different, nothing is removed that is needed, and nothing that
 * somebody uses. The same work done again finishes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "store/in_use.h"
#include "store/use.h"
#include "tests/fault/store/copy_tree.h"
#include "tests/fault/store/works.h"
#include "tests/support/failing_reads.h"
#include "tests/support/fs_fault.h"
#include "tests/support/kit_fsck.h"

#ifdef __SANITIZE_ADDRESS__
#define TRIES 15
#else
#define TRIES 40 /* at most, of each work and kind; those that are left out lie evenly between */
#endif

static const struct way {
	const char *name;
	unsigned calls;
	int error;
	bool for_good;
} ways[] = {
	{"EIO once", READS_ALL, EIO, false},         {"EIO for good", READS_ALL, EIO, true},
	{"EMFILE once", READS_OPENS, EMFILE, false}, {"EMFILE for good", READS_OPENS, EMFILE, true},
	{"ENOMEM once", READS_LOOKS, ENOMEM, false}, {"EINTR once", READS_DATA | READS_LOCKS, EINTR, false},
};

struct at {
	const char *work, *way;
	long call, total;
	const struct ay_adopted *good; /* what is told on a good day */
};

#define HOLDS(cond, ...)                                                                                     \
	do {                                                                                                 \
		if (!(cond)) {                                                                               \
			print_error("%s, %s at call %ld of %ld (%s): ", at->work, at->way, at->call,         \
				    at->total, reads_failed ? reads_failed : "-");                           \
			fail_msg(__VA_ARGS__);                                                               \
		}                                                                                            \
	} while (0)

static void assert_unhurt(struct works *x, const struct at *at)
{
	char path[300], why[1024];

	snprintf(path, sizeof(path), "%s/store", x->t.k.dir);
	HOLDS(kit_fsck(path, why, sizeof(why)) == 0, "%s", why);
}

/* What the work said of what it looked at is what it says on a good day. */
static void assert_says_nothing_wrong(const struct works *x, const struct at *at)
{
	static const enum ay_adopt_diff kinds[] = {AY_ADOPT_MISSING, AY_ADOPT_CHANGED, AY_ADOPT_METADATA,
						   AY_ADOPT_EXTRA};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		HOLDS(x->adopted.differ[kinds[i]] <= at->good->differ[kinds[i]],
		      "what could not be looked at is said to be missing, or to differ: kind %d", kinds[i]);
	HOLDS(x->not_equal == 0, "what could not be looked at is said to differ");
}

static bool one(struct works *x, const char *before, bool damaged, work_fn *work, const struct way *way,
		const struct at *at)
{
	struct ay_err err;

	copy_tree(&x->t.k, before, "store");
	x->adopted = (struct ay_adopted){0};
	x->not_equal = 0;
	reads_arm(way->calls, way->error, at->call, way->for_good);
	int r = works_run(x, work, &err);
	reads_disarm();
	const bool told = !works_done(r);
	HOLDS(!told || err.msg[0], "%d without a sentence", r);
	HOLDS(!told || r != AY_ESTORE || damaged || way->error == EIO,
	      "it says that the store is damaged: %s", err.msg);
	HOLDS(!told || way->error != EINTR, "a signal is no failure: %s", err.msg);
	assert_says_nothing_wrong(x, at);
	if (!damaged && !way->for_good) /* else there may be garbage: what is to go could not be looked at */
		assert_unhurt(x, at);
	r = works_run(x, work, &err);
	HOLDS(works_done(r), "the second time: %d %s", r, err.msg);
	assert_unhurt(x, at);
	return told;
}

static void each_call(struct works *x, const char *name, const char *before, bool damaged, work_fn *work)
{
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		const struct way *way = &ways[i];
		struct at at = {.work = name, .way = way->name};
		struct ay_err err;
		long told = 0, n = 0;

		copy_tree(&x->t.k, before, "store");
		reads_arm(way->calls, way->error, -1, false);
		int r = works_run(x, work, &err);
		reads_disarm();
		if (!works_done(r))
			fail_msg("%s: %s", name, err.msg);
		at.total = reads_calls;
		const struct ay_adopted good = x->adopted;
		at.good = &good;
		const long tries = way->for_good ? TRIES / 2 : TRIES;
		for (at.call = 1; at.call <= at.total; at.call += at.total / tries + 1, n++)
			told += one(x, before, damaged, work, way, &at);
		print_message("%s, %s: %ld of %ld calls, %ld failures told\n", name, way->name, n, at.total,
			      told);
		assert_true(n > 0 && (way->error == EINTR || told > 0));
	}
}

#define WORK(fn, name, before, damaged, work)                                                                \
	static void fn(void **arg)                                                                           \
	{                                                                                                    \
		each_call(*arg, name, before, damaged, work);                                                \
	}

WORK(when_a_bundle_is_applied, "apply", "two", false, work_apply)
WORK(when_branches_move, "turn", "two", false, work_turn)
WORK(when_trees_are_collected, "gc", "three", false, work_collect)
WORK(when_a_directory_is_adopted, "adopt", "empty", false, work_adopt)
WORK(when_a_good_store_is_looked_at, "fsck", "two", false, work_look)
WORK(when_a_store_is_healed, "fsck --heal", "damaged", true, work_heal)
WORK(when_directories_are_deduped, "dedupe", "two", false, work_dedupe)

/* ---- what somebody uses ---- */

static const struct way lacks[] = {{"EMFILE once", READS_OPENS, EMFILE, false},
				   {"EMFILE for good", READS_OPENS, EMFILE, true},
				   {"EIO once", READS_LOCKS, EIO, false}};
#define N_LACKS (sizeof(lacks) / sizeof(lacks[0]))

/* Who cannot look for users, of any kind, has not found that there are none. */
static void what_is_not_known_is_not_unused(void **arg)
{
	struct works *x = *arg;
	unsigned unknown = 0;

	copy_tree(&x->t.k, "three", "store");
	AY_CLOSE int tree = openat(x->t.k.fd, "store/branches/" WORKS_BRANCH "/3", O_RDONLY | O_CLOEXEC);
	for (size_t i = 0; i < N_LACKS; i++) {
		bool met = true;
		for (long at = 1; met && at < 3 * TRIES; at++) {
			int ref = -1;
			reads_arm(lacks[i].calls, lacks[i].error, at, lacks[i].for_good);
			int r = ay__tree_in_use(tree, "no such staging", &ref);
			reads_disarm();
			met = reads_failed != NULL;
			if (met && r != -lacks[i].error && r != -ENOMEM)
				fail_msg("%s at call %ld (%s): %d", lacks[i].name, at, reads_failed, r);
			unknown += met;
			if (ref >= 0)
				close(ref);
		}
	}
	assert_true(unknown > 6);
}

/* The tree of "three" that a collection removes. */
static uint32_t which_goes(struct works *x)
{
	struct ay_err err;
	char path[64];

	copy_tree(&x->t.k, "three", "store");
	assert_int_equal(works_run(x, work_collect, &err), 0);
	for (uint32_t i = 1; i <= 3; i++) {
		snprintf(path, sizeof(path), "store/branches/" WORKS_BRANCH "/%u", i);
		if (!kit_exists(&x->t.k, path))
			return i;
	}
	fail_msg("no tree goes");
	return 0;
}

static bool tree_is_there(const struct ay_use *use)
{
	static const char *const paths[] = {"changes", "kept", "mode", "d/twin"};

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		if (faccessat(use->root, paths[i], F_OK, 0) < 0)
			return false;
	}
	return true;
}

static bool collected_beside_a_user(struct works *x, uint32_t serial, const struct way *way, long call)
{
	const struct at *at = &(struct at){.work = "gc beside a user", .way = way->name, .call = call};
	struct ay_store *s = NULL;
	struct ay_use use;
	struct ay_err err = {0};

	copy_tree(&x->t.k, "three", "store");
	if (kit_store(&x->t.k, ay_fs_real(), &s, &err) < 0 ||
	    ay_store_use(s, WORKS_BRANCH, serial, &use, &err) < 0)
		fail_msg("%s", err.msg);
	reads_arm(way->calls, way->error, call, way->for_good);
	works_run(x, work_collect, &err);
	reads_disarm();
	bool met = reads_failed != NULL;
	HOLDS(tree_is_there(&use), "a tree in use is gone");
	ay_use_release(&use);
	ay_store_close(s);
	HOLDS(works_run(x, work_collect, &err) >= 0, "the second time: %s", err.msg);
	assert_unhurt(x, at);
	return met;
}

/* The first collection moves the tree aside, and the user keeps it; so it is at the next opening, with the same lack. */
static void what_is_used_stays(void **arg)
{
	struct works *x = *arg;
	const uint32_t serial = which_goes(x);

	for (size_t i = 0; i < N_LACKS; i++) {
		for (long call = 1; call < 2 * TRIES && collected_beside_a_user(x, serial, &lacks[i], call);
		     call++)
			;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(when_a_bundle_is_applied),
		cmocka_unit_test(when_branches_move),
		cmocka_unit_test(when_trees_are_collected),
		cmocka_unit_test(when_a_directory_is_adopted),
		cmocka_unit_test(when_a_good_store_is_looked_at),
		cmocka_unit_test(when_a_store_is_healed),
		cmocka_unit_test(when_directories_are_deduped),
		cmocka_unit_test(what_is_not_known_is_not_unused),
		cmocka_unit_test(what_is_used_stays),
	};
	return cmocka_run_group_tests(tests, works_setup, works_teardown);
}
