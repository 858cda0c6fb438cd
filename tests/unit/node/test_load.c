/* SPDX-License-Identifier: MIT */
/* What a node finds in its store when it starts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "node/load.h"
#include "tests/support/set_branch.h"
#include "tests/support/store_kit.h"

#define B "xo/stable"

static uint32_t current(struct ay_store *s)
{
	struct ay_err err = {0};
	uint32_t serial = 0;

	assert_int_equal(ay_store_current(s, B, &serial, &err), 0);
	return serial;
}

static void assert_loads(struct ay_store *s, const char *branches)
{
	struct ay_load *l = NULL;
	struct ay_err err = {0};
	char text[256];

	if (ay_load_read(s, &l, &err) < 0)
		fail_msg("%s", err.msg);
	ay_load_branches(l, text, sizeof(text));
	assert_string_equal(text, branches);
	ay_load_free(l);
}

/* The last life wrote down what it was switching to, and died: the node begins with the new tree. */
static void a_switch_that_was_cut_off_is_finished_before_anything_is_told(void **state)
{
	struct kit k;
	struct kit_tree t[2];
	struct ay_store *s = NULL;
	struct ay_err err = {0};
	struct ay_branch_state b;

	(void)state;
	kit_init(&k);
	kit_mkdir(&k, "v", 0755);
	assert_int_equal(kit_store(&k, ay_fs_real(), &s, &err), 0);
	for (uint32_t i = 0; i < 2; i++) {
		kit_text(&k, "v/release", i ? "two" : "one", 0644);
		kit_publish(&k, "v", B, i + 1, &t[i]);
		assert_int_equal(kit_import(&k, s, B, &t[i], &err), 0);
	}
	assert_int_equal(ay_store_switch(s, B, 1, false, &err), 0);
	assert_int_equal(ay_state_branch(s, B, &b, &err), 0);
	b.follow = true;
	assert_int_equal(set_branch(s, &b, &err), 0);
	assert_loads(s, B " at serial 1");
	b.floor = b.pending = 2;
	assert_int_equal(set_branch(s, &b, &err), 0);
	assert_int_equal(current(s), 1);
	assert_loads(s, B " at serial 2");
	assert_int_equal(current(s), 2);
	/* The owner goes back: that stays as it is. */
	assert_int_equal(ay_store_rollback(s, B, 0, NULL, &err), 0);
	assert_loads(s, B " at serial 1");
	ay_store_close(s);
	kit_tree_release(&t[0]);
	kit_tree_release(&t[1]);
	kit_release(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_switch_that_was_cut_off_is_finished_before_anything_is_told)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
