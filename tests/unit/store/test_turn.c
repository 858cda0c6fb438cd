/* SPDX-License-Identifier: MIT */
/* Whose turn it is: ready, on trial, good or left again; what is pinned; and the file that remembers it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "store/state_internal.h"
#include "store/turn.h"
#include "tests/support/store_kit.h"

#define B "xo/stable"

struct state {
	struct kit k;
	struct ay_store *s;
	struct kit_tree t[4]; /* serials 1 to 4 */
	struct ay_err err;
};

static int setup(void **arg)
{
	struct state *t = calloc(1, sizeof(*t));

	kit_init(&t->k);
	kit_mkdir(&t->k, "v", 0755);
	if (kit_store(&t->k, ay_fs_real(), &t->s, &t->err) < 0)
		fail_msg("%s", t->err.msg);
	for (uint32_t i = 0; i < 4; i++) {
		char text[16];
		snprintf(text, sizeof(text), "release %u", i + 1);
		kit_text(&t->k, "v/os-release", text, 0644);
		kit_publish(&t->k, "v", B, i + 1, &t->t[i]);
		if (kit_import(&t->k, t->s, B, &t->t[i], &t->err) < 0)
			fail_msg("%s", t->err.msg);
	}
	*arg = t;
	return 0;
}

static int teardown(void **arg)
{
	struct state *t = *arg;

	ay_store_close(t->s);
	for (int i = 0; i < 4; i++)
		kit_tree_release(&t->t[i]);
	kit_release(&t->k);
	free(t);
	return 0;
}

static struct ay_turn turn(struct state *t)
{
	struct ay_turn out;

	if (ay_turn_read(t->s, B, &out, &t->err) < 0)
		fail_msg("%s", t->err.msg);
	return out;
}

static void assert_turn(struct state *t, uint32_t current, uint32_t ready, uint32_t unconfirmed,
			uint32_t good, uint32_t bad)
{
	struct ay_turn now = turn(t);

	assert_int_equal(now.current, current);
	assert_int_equal(now.ready, ready);
	assert_int_equal(now.unconfirmed, unconfirmed);
	assert_int_equal(now.good, good);
	assert_int_equal(now.bad, bad);
}

static void a_complete_tree_waits_until_it_is_switched_to(void **arg)
{
	struct state *t = *arg;
	uint32_t which;

	assert_turn(t, 0, 0, 0, 0, 0);
	assert_int_equal(ay_turn_ready(t->s, B, 1, &t->err), 0);
	assert_turn(t, 0, 1, 0, 0, 0);
	assert_int_equal(ay_store_switch(t->s, B, 1, false, &t->err), 0);
	assert_turn(t, 1, 0, 0, 1, 0);
	assert_int_equal(ay_turn_ready(t->s, B, 2, &t->err), 0);
	assert_int_equal(ay_turn_ready(t->s, B, 3, &t->err), 0);
	assert_int_equal(ay_turn_ready(t->s, B, 2, &t->err), 0); /* older than what is ready: it stays 3 */
	assert_int_equal(ay_turn_ready(t->s, B, 1, &t->err), 0);
	assert_turn(t, 1, 3, 0, 1, 0);
	assert_int_equal(ay_turn_ready(t->s, B, 9, &t->err), -ENOENT);
	assert_int_equal(ay_turn_ready(t->s, "other", 1, &t->err), -ENOENT);
	assert_int_equal(ay_turn_confirm(t->s, B, &which, &t->err), AY_ENOTHING);
}

static void a_trial_ends_well(void **arg)
{
	struct state *t = *arg;
	uint32_t left = 9, which = 0;

	assert_int_equal(ay_store_switch(t->s, B, 1, false, &t->err), 0);
	assert_int_equal(ay_turn_trial(t->s, B, 2, 3, &t->err), 0);
	assert_turn(t, 2, 0, 2, 1, 0);
	assert_int_equal(turn(t).tries, 3);
	assert_int_equal(ay_turn_try(t->s, B, &left, &t->err), 0);
	assert_int_equal(left, 2);
	assert_int_equal(turn(t).tries, 2);
	assert_int_equal(ay_turn_confirm(t->s, B, &which, &t->err), 0);
	assert_int_equal(which, 2);
	assert_turn(t, 2, 0, 0, 2, 0);
	assert_int_equal(ay_turn_try(t->s, B, &left, &t->err), AY_ENOTHING);
	/* The owner goes back to what was good before, not to what lies between. */
	assert_int_equal(ay_store_switch(t->s, B, 4, false, &t->err), 0);
	assert_int_equal(ay_store_rollback(t->s, B, 0, &which, &t->err), 0);
	assert_int_equal(which, 2);
	assert_turn(t, 2, 0, 0, 2, 4);
}

static void a_trial_that_fails_goes_back_to_what_was_good(void **arg)
{
	struct state *t = *arg;
	uint32_t from, to, left;

	assert_int_equal(ay_store_switch(t->s, B, 1, false, &t->err), 0);
	assert_int_equal(ay_turn_trial(t->s, B, 3, 1, &t->err), 0);
	assert_int_equal(ay_turn_try(t->s, B, &left, &t->err), 0);
	assert_int_equal(left, 0);
	assert_int_equal(ay_turn_try(t->s, B, &left, &t->err), AY_ENOTHING);
	assert_non_null(strstr(t->err.msg, "no try left"));
	assert_int_equal(ay_turn_fail(t->s, B, &from, &to, &t->err), 0);
	assert_int_equal(from, 3);
	assert_int_equal(to, 1); /* and not 2, which never was current */
	assert_turn(t, 1, 0, 0, 1, 3);
	assert_int_equal(ay_turn_fail(t->s, B, &from, &to, &t->err), AY_ENOTHING);
	/* A newer one comes, on trial over a trial: back to the one that was good, still. */
	assert_int_equal(ay_turn_trial(t->s, B, 4, 2, &t->err), 0);
	assert_turn(t, 4, 0, 4, 1, 0);
	assert_int_equal(ay_turn_fail(t->s, B, &from, &to, &t->err), 0);
	assert_turn(t, 1, 0, 0, 1, 4);
}

static void with_nothing_to_go_back_to_it_stays_and_is_remembered(void **arg)
{
	struct state *t = *arg;
	uint32_t from, to;

	assert_int_equal(ay_turn_trial(t->s, B, 1, 1, &t->err), 0);
	assert_int_equal(ay_turn_fail(t->s, B, &from, &to, &t->err), -ENOENT);
	assert_int_equal(to, 1);
	assert_turn(t, 1, 0, 0, 0, 1);
	/* The next one fails too: what is known to be bad is no place to go back to. */
	assert_int_equal(ay_turn_trial(t->s, B, 2, 1, &t->err), 0);
	assert_turn(t, 2, 0, 2, 0, 0);
}

static struct ay_branch_state kept_state(struct state *t)
{
	struct ay_branch_state b;

	if (ay_state_branch(t->s, B, &b, &t->err) < 0)
		fail_msg("%s", t->err.msg);
	return b;
}

/* Power is cut between the state and `current`. */
static void an_interrupted_switch_is_seen_and_finished(void **arg)
{
	struct state *t = *arg;
	uint32_t from, to;

	assert_int_equal(ay_store_switch(t->s, B, 1, false, &t->err), 0);
	assert_int_equal(ay_turn_trial(t->s, B, 2, 3, &t->err), 0);
	kit_rm(&t->k, "store/branches/xo%2Fstable/current");
	kit_symlink(&t->k, "store/branches/xo%2Fstable/current", "1/root");
	assert_turn(t, 1, 2, 0, 1, 0); /* ready again, not on trial: it never was current */
	assert_false(turn(t).back);
	assert_int_equal(ay_turn_fail(t->s, B, &from, &to, &t->err), AY_ENOTHING);
	assert_int_equal(ay_turn_trial(t->s, B, 2, 3, &t->err), 0);
	assert_turn(t, 2, 0, 2, 1, 0);

	assert_int_equal(ay_turn_fail(t->s, B, &from, &to, &t->err), 0);
	kit_rm(&t->k, "store/branches/xo%2Fstable/current");
	kit_symlink(&t->k, "store/branches/xo%2Fstable/current", "2/root");
	assert_turn(t, 2, 1, 0, 1, 2);
	assert_true(turn(t).back);
	assert_int_equal(ay_store_switch(t->s, B, 1, true, &t->err), 0);
	assert_turn(t, 1, 0, 0, 1, 2);
}

static void what_is_pinned_stays(void **arg)
{
	struct state *t = *arg;

	assert_int_equal(ay_store_switch(t->s, B, 3, false, &t->err), 0);
	assert_int_equal(ay_turn_pin(t->s, B, 9, false, &t->err), -ENOENT);
	assert_int_equal(ay_turn_pin(t->s, B, 1, true, &t->err), 0);
	assert_int_equal(ay_turn_pin(t->s, B, 3, true, &t->err), 0);
	assert_false(turn(t).stays);
	assert_int_equal(ay_turn_pin(t->s, B, 3, false, &t->err), 0); /* from the one list to the other */
	assert_int_equal(ay_turn_pin(t->s, B, 3, false, &t->err), AY_ENOTHING);
	assert_true(turn(t).stays);
	assert_int_equal(turn(t).kept.n, 1);
	assert_int_equal(ay_store_switch(t->s, B, 4, false, &t->err), 0);
	assert_false(turn(t).stays); /* the owner moved on; 3 is kept all the same */
	assert_int_equal(ay_store_gc(t->s, 1, NULL, &t->err), 0);
	assert_true(kit_exists(&t->k, "store/branches/xo%2Fstable/1/root"));
	assert_true(kit_exists(&t->k, "store/branches/xo%2Fstable/3/root"));
	assert_false(kit_exists(&t->k, "store/branches/xo%2Fstable/2/root"));
	assert_int_equal(ay_turn_unpin(t->s, B, 2, &t->err), AY_ENOTHING);
	assert_int_equal(ay_turn_unpin(t->s, B, 1, &t->err), 0);
	assert_int_equal(ay_turn_unpin(t->s, B, 0, &t->err), 0);
	assert_int_equal(ay_turn_unpin(t->s, B, 0, &t->err), AY_ENOTHING);
	assert_int_equal(ay_store_gc(t->s, 1, NULL, &t->err), 0);
	assert_false(kit_exists(&t->k, "store/branches/xo%2Fstable/1/root"));
	assert_true(kit_exists(&t->k, "store/branches/xo%2Fstable/3/root")); /* it was good before */
}

static void the_collector_leaves_what_a_trial_goes_back_to_and_what_is_ready(void **arg)
{
	struct state *t = *arg;

	assert_int_equal(ay_store_switch(t->s, B, 1, false, &t->err), 0);
	assert_int_equal(ay_turn_trial(t->s, B, 3, 2, &t->err), 0);
	assert_int_equal(ay_turn_ready(t->s, B, 4, &t->err), 0);
	assert_int_equal(ay_store_gc(t->s, 0, NULL, &t->err), 0);
	assert_true(kit_exists(&t->k, "store/branches/xo%2Fstable/1/root"));
	assert_false(kit_exists(&t->k, "store/branches/xo%2Fstable/2/root"));
	assert_true(kit_exists(&t->k, "store/branches/xo%2Fstable/3/root"));
	assert_true(kit_exists(&t->k, "store/branches/xo%2Fstable/4/root"));
	assert_int_equal(ay_store_remove_tree(t->s, B, 1, &t->err), AY_EBUSY);
	assert_int_equal(ay_store_remove_tree(t->s, B, 4, &t->err), AY_EBUSY);
}

static void one_at_a_time(void **arg)
{
	struct state *t = *arg;
	int fd = ay_turn_lock(t->s, B, &t->err);

	assert_true(fd >= 0);
	assert_int_equal(ay_turn_lock(t->s, B, &t->err), AY_EBUSY);
	close(fd);
	fd = ay_turn_lock(t->s, B, &t->err);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(ay_turn_lock(t->s, "other", &t->err), AY_ENOTHING);
}

/* ---- the file ---- */

static void the_old_file_is_read_and_written_anew(void **arg)
{
	struct state *t = *arg;
	static const char old[] =
		"ayni-branch-state 1\nbranch: " B "\nfollow: 1\nfloor: 2\nbad-serial: 0\nhead: -\n";
	uint32_t from, to;

	kit_symlink(&t->k, "store/branches/xo%2Fstable/current", "2/root");
	kit_text(&t->k, "store/state/branches/xo%2Fstable", old, 0644);
	assert_turn(t, 2, 0, 0, 0, 0);
	assert_true(kept_state(t).follow);
	/* What was current in the old days is good: there is no other to go back to. */
	assert_int_equal(ay_turn_trial(t->s, B, 3, 1, &t->err), 0);
	assert_turn(t, 3, 0, 3, 2, 0);
	assert_int_equal(ay_turn_fail(t->s, B, &from, &to, &t->err), 0);
	assert_int_equal(to, 2);
	assert_int_equal(kept_state(t).floor, 3);
}

static void the_file_has_one_form(void **arg)
{
	struct ay_branch_state b = {.branch = "b",
				    .follow = true,
				    .floor = 8,
				    .bad_serial = 7,
				    .pending = 9,
				    .unconfirmed = 8,
				    .tries = 2,
				    .good = 6,
				    .before = 5,
				    .pinned = {2, {3, 4294967295u}}},
			       got;
	struct ay_buf text = {0};
	static const char *const wrong[][2] = {
		{"pinned: 3 4294967295", "pinned: 4294967295 3"},
		{"pinned: 3 4294967295", "pinned: 3 3"},
		{"pinned: 3 4294967295", "pinned: 3 "},
		{"pinned: 3 4294967295", "pinned: "},
		{"pinned: 3 4294967295", "pinned: 3  4"},
		{"pinned: 3 4294967295", "pinned: 0"},
		{"pinned: 3 4294967295", "pinned: 3 4294967296"},
		{"kept: -", "kept: --"},
		{"kept: -\n", "kept: -"},
		{"kept: -\n", ""},
		{"kept: -\n", "kept: -\n\n"},
		{"tries: 2", "tries: 02"},
		{"state 2", "state 1"},
		{"state 2", "state 3"},
		{"pending: 9\n", ""},
		{"good", "Good"},
	};

	(void)arg;
	ay__branch_state_write(&b, &text);
	const char *good = ay_buf_cstr(&text);
	assert_true(ay__branch_state_parse(good, text.len, &got));
	assert_memory_equal(&got.pinned, &b.pinned, sizeof(b.pinned));
	assert_int_equal(got.before, 5);
	assert_int_equal(got.tries, 2);
	for (size_t i = 0; i < text.len; i++)
		assert_false(ay__branch_state_parse(good, i, &got));
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		char edited[1024];
		const char *at = strstr(good, wrong[i][0]);
		assert_non_null(at);
		snprintf(edited, sizeof(edited), "%.*s%s%s", (int)(at - good), good, wrong[i][1],
			 at + strlen(wrong[i][0]));
		if (ay__branch_state_parse(edited, strlen(edited), &got))
			fail_msg("taken: %s instead of %s", wrong[i][1], wrong[i][0]);
	}
	/* The longest that can be written is read again. */
	memset(b.branch, 'b', AY_BRANCH_NAME_MAX);
	b.has_head = true;
	b.pinned.n = b.kept.n = AY_PINS_MAX;
	for (unsigned i = 0; i < AY_PINS_MAX; i++)
		b.pinned.serial[i] = b.kept.serial[i] = UINT32_MAX - AY_PINS_MAX + i;
	ay_buf_release(&text);
	text = (struct ay_buf){0};
	ay__branch_state_write(&b, &text);
	assert_true(text.len <= AY__BRANCH_STATE_MAX);
	assert_true(ay__branch_state_parse((const char *)text.data, text.len, &got));
	ay_buf_release(&text);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_complete_tree_waits_until_it_is_switched_to),
		TEST(a_trial_ends_well),
		TEST(a_trial_that_fails_goes_back_to_what_was_good),
		TEST(with_nothing_to_go_back_to_it_stays_and_is_remembered),
		TEST(an_interrupted_switch_is_seen_and_finished),
		TEST(what_is_pinned_stays),
		TEST(the_collector_leaves_what_a_trial_goes_back_to_and_what_is_ready),
		TEST(one_at_a_time),
		TEST(the_old_file_is_read_and_written_anew),
		cmocka_unit_test(the_file_has_one_form),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
