/* SPDX-License-Identifier: MIT */
/* What happened, written down: in order, bounded, whatever the file holds. */
#include "tests/support/place.h"

#include <sys/stat.h>

#include "store/journal.h"
#include "store/store_internal.h"

static struct ay_err err;

static size_t read_all(struct ay_store *s, struct ay_journal_entry **out)
{
	size_t n = 99;

	if (ay_journal_read(s, "xo/stable", out, &n, &err) < 0)
		fail_msg("%s", err.msg);
	return n;
}

static void add(struct ay_store *s, enum ay_journal_event e, uint32_t serial, const char *why)
{
	if (ay_journal_add(s, "xo/stable", e, serial, serial - 1, why, &err) < 0)
		fail_msg("%s", err.msg);
}

static void test_order_and_bound(void **state)
{
	struct place *p = *state;
	struct ay_store *s = open_store(p);
	struct ay_journal_entry *all;
	struct stat st;

	assert_int_equal(read_all(s, &all), 0);
	free(all);
	add(s, AY_JOURNAL_INSTALLED, 1, NULL);
	add(s, AY_JOURNAL_FAILED, 2, "hook\n50\x7f failed");
	assert_int_equal(read_all(s, &all), 2);
	assert_int_equal(all[0].event, AY_JOURNAL_INSTALLED);
	assert_string_equal(all[0].why, "");
	assert_int_equal(all[1].serial, 2);
	assert_int_equal(all[1].from, 1);
	assert_string_equal(all[1].why, "hook?50? failed");
	assert_true(all[1].time_s > 1700000000);
	free(all);
	char longest[1000];
	memset(longest, 'w', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = 0;
	for (uint32_t i = 3; i < AY_JOURNAL_MAX + 50; i++)
		add(s, AY_JOURNAL_ROLLED_BACK, i, longest);
	assert_int_equal(read_all(s, &all), AY_JOURNAL_MAX);
	assert_int_equal(all[AY_JOURNAL_MAX - 1].serial, AY_JOURNAL_MAX + 49);
	assert_int_equal(all[0].serial, 50);
	assert_int_equal(strlen(all[0].why), AY_JOURNAL_WHY_MAX);
	free(all);
	assert_int_equal(fstatat(s->state, "journal/xo%2Fstable", &st, 0), 0);
	assert_in_range(st.st_size, 1, 64 << 10);
	assert_int_equal(ay_journal_add(s, "../x", AY_JOURNAL_GOOD, 1, 0, "", &err), AY_EUSAGE);
	ay_store_close(s);
}

static void test_damage(void **state)
{
	struct place *p = *state;
	struct ay_store *s = open_store(p);
	struct ay_journal_entry *all;

	add(s, AY_JOURNAL_GOOD, 7, "");
	put_text(
		s->state, "journal/xo%2Fstable",
		"ayni-journal 1\n1 good 3 0 why\nnonsense\n-5 good 4 0 \n2 good 5 0\n01 good 5 0 \n3 better 5 0 \n"
		"4 good 5 0 x\ty\n5 good 6 0 cut off");
	assert_int_equal(read_all(s, &all), 2);
	assert_int_equal(all[1].time_s, -5);
	free(all);
	add(s, AY_JOURNAL_GOOD, 8, "on it goes");
	assert_int_equal(read_all(s, &all), 3);
	free(all);
	put_text(s->state, "journal/xo%2Fstable", "ayni-journal 2\n1 good 3 0 why\n");
	assert_int_equal(read_all(s, &all), 0);
	free(all);
	put_text(s->state, "journal/xo%2Fstable", "");
	assert_int_equal(read_all(s, &all), 0);
	free(all);
	ay_store_close(s);
	s = open_store_readonly(p);
	assert_int_equal(ay_journal_add(s, "xo/stable", AY_JOURNAL_GOOD, 1, 0, "", &err), -EROFS);
	assert_int_equal(read_all(s, &all), 0);
	free(all);
	ay_store_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_order_and_bound, place_make, place_remove),
		cmocka_unit_test_setup_teardown(test_damage, place_make, place_remove),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
