/* SPDX-License-Identifier: MIT */
/* Which tree is current: switching, floors, rolling back, what is remembered as bad, listing. */
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
#include <unistd.h>

#include "base/cleanup.h"
#include "store/state.h"
#include "store/tree_internal.h"
#include "tests/support/store_kit.h"

#define B "xo/stable"

struct state {
	struct kit k;
	struct ay_store *s;
	struct kit_tree t[5]; /* serials 1, 2, 3, 5, 10 */
	struct ay_err err;
};

static const uint32_t serials[5] = {1, 2, 3, 5, 10};

static int setup(void **arg)
{
	struct state *t = calloc(1, sizeof(*t));

	kit_init(&t->k);
	kit_mkdir(&t->k, "v", 0755);
	if (kit_store(&t->k, ay_fs_real(), &t->s, &t->err) < 0)
		fail_msg("%s", t->err.msg);
	for (int i = 0; i < 5; i++) {
		char text[16];
		snprintf(text, sizeof(text), "release %u", serials[i]);
		kit_text(&t->k, "v/os-release", text, 0644);
		kit_publish(&t->k, "v", B, serials[i], &t->t[i]);
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
	for (int i = 0; i < 5; i++)
		kit_tree_release(&t->t[i]);
	kit_release(&t->k);
	free(t);
	return 0;
}

static uint32_t current(struct state *t)
{
	uint32_t serial = 0;
	int r = ay_store_current(t->s, B, &serial, &t->err);

	return r == AY_ENOTHING ? 0 : r < 0 ? UINT32_MAX : serial;
}

static struct ay_branch_state branch_state(struct state *t)
{
	struct ay_branch_state b;

	assert_int_equal(ay_state_branch(t->s, B, &b, &t->err), 0);
	return b;
}

/* What a program sees that goes through `current`. */
static void assert_program_sees(struct state *t, const char *text)
{
	char have[32] = "";
	AY_CLOSE int fd =
		openat(t->k.fd, "store/branches/xo%2Fstable/current/os-release", O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_true(read(fd, have, sizeof(have) - 1) > 0);
	assert_string_equal(have, text);
}

static void switching_moves_current_and_raises_the_floor(void **arg)
{
	struct state *t = *arg;

	assert_int_equal(current(t), 0);
	assert_int_equal(ay_store_switch(t->s, B, 2, false, &t->err), 0);
	assert_int_equal(current(t), 2);
	assert_int_equal(branch_state(t).floor, 2);
	assert_program_sees(t, "release 2");
	assert_int_equal(ay_store_switch(t->s, B, 10, false, &t->err), 0);
	assert_int_equal(ay_store_switch(t->s, B, 10, false, &t->err), 0);
	assert_int_equal(branch_state(t).floor, 10);
	assert_program_sees(t, "release 10");
}

static void below_the_floor_only_a_rollback_goes(void **arg)
{
	struct state *t = *arg;

	assert_int_equal(ay_store_switch(t->s, B, 5, false, &t->err), 0);
	assert_int_equal(ay_store_switch(t->s, B, 3, false, &t->err), AY_EROLLBACK);
	assert_non_null(strstr(t->err.msg, "floor 5"));
	assert_int_equal(current(t), 5);
	assert_int_equal(ay_store_switch(t->s, B, 3, true, &t->err), 0);
	assert_program_sees(t, "release 3");
	assert_int_equal(branch_state(t).floor, 5);
	assert_int_equal(branch_state(t).bad_serial, 5);
}

static void rolling_back_goes_to_the_tree_before_and_remembers_the_bad_one(void **arg)
{
	struct state *t = *arg;
	uint32_t to = 0;

	assert_int_equal(ay_store_switch(t->s, B, 5, false, &t->err), 0);
	assert_int_equal(ay_store_rollback(t->s, B, 0, &to, &t->err), 0);
	assert_int_equal(to, 3);
	assert_int_equal(branch_state(t).bad_serial, 5);
	assert_int_equal(ay_store_rollback(t->s, B, 1, &to, &t->err), 0);
	assert_int_equal(to, 1);
	assert_int_equal(branch_state(t).bad_serial, 5); /* the highest stays */
	assert_int_equal(ay_store_rollback(t->s, B, 0, &to, &t->err), AY_ENOTHING);
	assert_non_null(strstr(t->err.msg, "oldest"));
	assert_int_equal(current(t), 1);
	/* A newer one comes: forgotten. */
	assert_int_equal(ay_store_switch(t->s, B, 10, false, &t->err), 0);
	assert_int_equal(branch_state(t).bad_serial, 0);
	assert_int_equal(branch_state(t).floor, 10);
}

static void what_is_not_here_is_refused(void **arg)
{
	struct state *t = *arg;
	uint32_t serial;
	int fd;
	uint8_t *data;
	size_t len;

	assert_int_equal(ay_store_switch(t->s, B, 4, false, &t->err), -ENOENT);
	assert_non_null(strstr(t->err.msg, "is not in"));
	assert_int_equal(ay_store_switch(t->s, "other", 1, false, &t->err), -ENOENT);
	assert_int_equal(ay_store_switch(t->s, "../x", 1, false, &t->err), AY_EUSAGE);
	assert_int_equal(ay_store_rollback(t->s, B, 0, NULL, &t->err), AY_ENOTHING);
	assert_int_equal(ay_store_current(t->s, "other", &serial, &t->err), AY_ENOTHING);
	assert_int_equal(ay_store_open_tree(t->s, B, 4, &fd, &t->err), -ENOENT);
	assert_int_equal(ay_store_manifest(t->s, B, 4, &fd, &t->err), -ENOENT);
	assert_int_equal(ay_store_release(t->s, B, 4, &data, &len, &t->err), -ENOENT);
	assert_int_equal(current(t), 0);
	assert_int_equal(branch_state(t).floor, 0);
}

static void trees_are_listed_in_order_of_serial(void **arg)
{
	struct state *t = *arg;
	struct ay_tree_info *trees;
	char **names;
	size_t n;

	assert_int_equal(ay_store_switch(t->s, B, 3, false, &t->err), 0);
	kit_mkdir(&t->k, "store/branches/xo%2Fstable/007", 0755); /* not our way to write a serial */
	kit_mkdir(&t->k, "store/branches/xo%2Fstable/99999999999", 0755);
	kit_mkdir(&t->k, "store/branches/%58", 0755);
	assert_int_equal(ay_store_trees(t->s, B, &trees, &n, &t->err), 0);
	assert_int_equal(n, 5);
	for (size_t i = 0; i < 5; i++) {
		struct ay_digest d;
		assert_int_equal(trees[i].serial, serials[i]);
		assert_int_equal(trees[i].release.serial, serials[i]);
		assert_int_equal(trees[i].current, serials[i] == 3);
		ay_digest_mem(t->t[i].release.data, t->t[i].release.len, &d);
		assert_true(ay_digest_eq(&d, &trees[i].release_digest));
	}
	free(trees);
	assert_int_equal(ay_store_branches(t->s, &names, &n, &t->err), 0);
	assert_int_equal(n, 1);
	assert_string_equal(names[0], B);
	ay_store_names_free(names, n);
	assert_int_equal(ay_store_trees(t->s, "other", &trees, &n, &t->err), 0);
	assert_int_equal(n, 0);
	assert_string_equal(t->err.msg, "");
}

static void a_trees_documents_come_back_as_they_were(void **arg)
{
	struct state *t = *arg;
	AY_FREE uint8_t *data = NULL;
	size_t len;
	int fd;

	assert_int_equal(ay_store_release(t->s, B, 5, &data, &len, &t->err), 0);
	assert_int_equal(len, t->t[3].release.len);
	assert_memory_equal(data, t->t[3].release.data, len);
	assert_int_equal(ay_store_manifest(t->s, B, 5, &fd, &t->err), 0);
	struct ay_digest d;
	assert_int_equal(ay_digest_fd(fd, &d, NULL), 0);
	assert_true(ay_digest_eq(&d, &t->t[3].totals.manifest));
	close(fd);
	assert_int_equal(ay_store_open_tree(t->s, B, 5, &fd, &t->err), 0);
	assert_int_equal(faccessat(fd, "os-release", F_OK, 0), 0);
	close(fd);
}

static void a_damaged_current_is_reported_and_repaired_by_a_switch(void **arg)
{
	struct state *t = *arg;
	static const char *const wrong[] = {"/etc",    "5",         "root",   "5/root/",
					    "05/root", "../5/root", "x/root", "0/root"};
	uint32_t serial;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		kit_rm(&t->k, "store/branches/xo%2Fstable/current");
		kit_symlink(&t->k, "store/branches/xo%2Fstable/current", wrong[i]);
		assert_int_equal(ay_store_current(t->s, B, &serial, &t->err), AY_ESTORE);
	}
	assert_int_equal(ay_store_gc(t->s, 1, NULL, &t->err), AY_ESTORE); /* and nothing is collected */
	assert_true(kit_exists(&t->k, "store/branches/xo%2Fstable/1/root"));
	assert_int_equal(ay_store_switch(t->s, B, 5, false, &t->err), 0);
	assert_int_equal(current(t), 5);
}

static void links_of_dead_switches_are_swept(void **arg)
{
	struct state *t = *arg;

	kit_symlink(&t->k, "store/branches/xo%2Fstable/.tmp-0123456789abcdef", "9/root");
	assert_int_equal(ay_store_switch(t->s, B, 5, false, &t->err), 0);
	assert_false(kit_exists(&t->k, "store/branches/xo%2Fstable/.tmp-0123456789abcdef"));
}

static void serials_have_one_form(void **arg)
{
	uint32_t s;

	(void)arg;
	assert_true(ay__serial_parse("1", &s) && s == 1);
	assert_true(ay__serial_parse("4294967295", &s) && s == 4294967295u);
	assert_false(ay__serial_parse("4294967296", &s));
	assert_false(ay__serial_parse("99999999999999999999999999", &s));
	assert_false(ay__serial_parse("0", &s));
	assert_false(ay__serial_parse("", &s));
	assert_false(ay__serial_parse("01", &s));
	assert_false(ay__serial_parse("1 ", &s));
	assert_false(ay__serial_parse("-1", &s));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(switching_moves_current_and_raises_the_floor),
		TEST(below_the_floor_only_a_rollback_goes),
		TEST(rolling_back_goes_to_the_tree_before_and_remembers_the_bad_one),
		TEST(what_is_not_here_is_refused),
		TEST(trees_are_listed_in_order_of_serial),
		TEST(a_trees_documents_come_back_as_they_were),
		TEST(a_damaged_current_is_reported_and_repaired_by_a_switch),
		TEST(links_of_dead_switches_are_swept),
		TEST(serials_have_one_form),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
