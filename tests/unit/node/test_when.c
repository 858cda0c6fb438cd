/* SPDX-License-Identifier: MIT */
/* When it is time: every setting, windows at their edges and over midnight, and clocks that cannot be believed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <time.h>

#include "node/policy.h"

#define TODAY    INT64_C(1790000000) /* in 2026 */
#define HM(h, m) ((h)*60 + (m))

static struct ay_when when(const char *text)
{
	struct ay_when w = {0};
	const char *allowed = ay_when_parse(text, &w);

	if (allowed)
		fail_msg("%s: %s", text, allowed);
	return w;
}

static enum ay_due due(const char *text, unsigned minute, bool booting, unsigned *wait)
{
	struct ay_when w = when(text);
	struct ay_clock c = {.now_s = TODAY, .floor_s = TODAY - 86400 * 30, .minute = (uint16_t)minute};

	return ay_when_due(&w, &c, booting, wait);
}

static void settings_are_read_and_written(void **state)
{
	static const char *const good[] = {"now",
					   "next-boot",
					   "ask",
					   "window 22:00-05:30",
					   "window 00:00-00:01",
					   "window 23:59-24:00",
					   "window 06:00-05:59"};
	static const char *const bad[] = {"",
					  "Now",
					  "now ",
					  "nextboot",
					  "window",
					  "window ",
					  "window22:00-05:30",
					  "window 2:00-5:00",
					  "window 22:00-05:30 ",
					  "window 22:00 -05:30",
					  "window 22:60-23:00",
					  "window 24:01-05:00",
					  "window 25:00-05:00",
					  "window 22:00-22:00",
					  "window 00:00-24:00",
					  "window 24:00-00:00",
					  "window -2:00-05:00",
					  "window 22:00/05:30",
					  "22:00-05:30"};
	char text[AY_WHEN_TEXT];

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct ay_when w = when(good[i]);
		assert_string_equal(ay_when_text(&w, text), good[i]);
	}
	struct ay_when w = when("window \t 22:00-05:30");
	assert_string_equal(ay_when_text(&w, text), "window 22:00-05:30");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (!ay_when_parse(bad[i], &w))
			fail_msg("taken: \"%s\"", bad[i]);
		assert_string_equal(ay_when_text(&w, text), "window 22:00-05:30"); /* as it was */
	}
}

static void each_setting_has_its_time(void **state)
{
	(void)state;
	for (unsigned m = 0; m < 1440; m += 7) {
		assert_int_equal(due("now", m, false, NULL), AY_DUE_NOW);
		assert_int_equal(due("next-boot", m, false, NULL), AY_DUE_BOOT);
		assert_int_equal(due("next-boot", m, true, NULL), AY_DUE_NOW);
		assert_int_equal(due("ask", m, false, NULL), AY_DUE_ASK);
		assert_int_equal(due("ask", m, true, NULL), AY_DUE_ASK);
	}
}

static void a_window_is_open_between_its_times(void **state)
{
	unsigned wait;

	(void)state;
	assert_int_equal(due("window 13:00-14:00", HM(13, 0), false, &wait), AY_DUE_NOW);
	assert_int_equal(wait, 0);
	assert_int_equal(due("window 13:00-14:00", HM(13, 59), false, &wait), AY_DUE_NOW);
	assert_int_equal(due("window 13:00-14:00", HM(14, 0), false, &wait), AY_DUE_WINDOW);
	assert_int_equal(wait, 23 * 60);
	assert_int_equal(due("window 13:00-14:00", HM(12, 59), false, &wait), AY_DUE_WINDOW);
	assert_int_equal(wait, 1);
	assert_int_equal(due("window 13:00-14:00", HM(12, 59), true, &wait), AY_DUE_WINDOW);
	/* Over midnight. */
	assert_int_equal(due("window 22:00-05:30", HM(23, 59), false, &wait), AY_DUE_NOW);
	assert_int_equal(due("window 22:00-05:30", 0, false, &wait), AY_DUE_NOW);
	assert_int_equal(due("window 22:00-05:30", HM(5, 29), false, &wait), AY_DUE_NOW);
	assert_int_equal(due("window 22:00-05:30", HM(5, 30), false, &wait), AY_DUE_WINDOW);
	assert_int_equal(wait, HM(16, 30));
	assert_int_equal(due("window 22:00-05:30", HM(21, 59), false, &wait), AY_DUE_WINDOW);
	assert_int_equal(wait, 1);
	assert_int_equal(due("window 23:00-24:00", HM(23, 30), false, &wait), AY_DUE_NOW);
	assert_int_equal(due("window 23:00-24:00", 0, false, &wait), AY_DUE_WINDOW);
	assert_int_equal(wait, 23 * 60);
}

/* Each minute of a day is inside or so many minutes away from it, for every window. */
static void the_wait_ends_in_the_window(void **state)
{
	(void)state;
	for (unsigned from = 0; from < 1440; from += 37) {
		for (unsigned to = 1; to <= 1440; to += 41) {
			struct ay_when w = {AY_WHEN_WINDOW, (uint16_t)from, (uint16_t)to};
			if (from == to % 1440)
				continue;
			for (unsigned m = 0; m < 1440; m += 13) {
				struct ay_clock c = {.now_s = TODAY, .minute = (uint16_t)m};
				unsigned wait;
				enum ay_due d = ay_when_due(&w, &c, false, &wait);
				assert_true(wait < 1440 && (d == AY_DUE_NOW) == (wait == 0));
				c.minute = (uint16_t)((m + wait) % 1440);
				assert_int_equal(ay_when_due(&w, &c, false, NULL), AY_DUE_NOW);
			}
		}
	}
}

static void a_wrong_clock_makes_a_window_wait_for_the_boot(void **state)
{
	static const int64_t wrong[] = {0,        1, -1, 3600 * 3, 946684800 /* 2000 */, TODAY - 86400 * 2,
					INT64_MIN};
	struct ay_when w = when("window 02:00-05:00");
	unsigned wait;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct ay_clock c = {.now_s = wrong[i], .floor_s = TODAY, .minute = HM(3, 0)};
		assert_false(ay_clock_believed(&c));
		assert_int_equal(ay_when_due(&w, &c, false, &wait), AY_DUE_BOOT);
		assert_int_equal(wait, 0);
		assert_int_equal(ay_when_due(&w, &c, true, &wait), AY_DUE_NOW);
	}
	/* The publisher's clock may be half a day ahead of ours; nothing known of the past, and a clock set far ahead. */
	struct ay_clock c = {.now_s = TODAY - 43200, .floor_s = TODAY, .minute = HM(3, 0)};
	assert_int_equal(ay_when_due(&w, &c, false, NULL), AY_DUE_NOW);
	c = (struct ay_clock){.now_s = TODAY, .floor_s = 0, .minute = HM(3, 0)};
	assert_int_equal(ay_when_due(&w, &c, false, NULL), AY_DUE_NOW);
	c = (struct ay_clock){.now_s = INT64_MAX, .floor_s = TODAY, .minute = HM(3, 0)};
	assert_int_equal(ay_when_due(&w, &c, false, NULL), AY_DUE_NOW);
}

static void the_machines_clock_is_local(void **state)
{
	struct ay_clock c;

	(void)state;
	setenv("TZ", "XXX-5:45", 1); /* Kathmandu's quarter of an hour */
	tzset();
	ay_clock_now(7, &c);
	int64_t minute = (c.now_s / 60 + HM(5, 45)) % 1440;
	assert_int_equal(c.minute, minute);
	assert_int_equal(c.floor_s, 7);
	unsetenv("TZ");
	tzset();
}

static void policies_are_set_by_key(void **state)
{
	struct ay_policy p, q;

	(void)state;
	ay_policy_defaults(&p);
	assert_int_equal(p.when.kind, AY_WHEN_NOW);
	assert_int_equal(p.tries, 3);
	assert_int_equal(p.keep, 2);
	q = p;
	assert_null(ay_policy_set(&q, ay_policy_key("switch"), "ask"));
	assert_null(ay_policy_set(&q, ay_policy_key("confirm"), "boot"));
	assert_null(ay_policy_set(&q, ay_policy_key("tries"), "100"));
	assert_null(ay_policy_set(&q, ay_policy_key("keep"), "1000"));
	assert_non_null(ay_policy_set(&q, AY_POLICY_TRIES, "0"));
	assert_non_null(ay_policy_set(&q, AY_POLICY_TRIES, "101"));
	assert_non_null(ay_policy_set(&q, AY_POLICY_KEEP, "99999999999999999999"));
	assert_non_null(ay_policy_set(&q, AY_POLICY_KEEP, ""));
	assert_non_null(ay_policy_set(&q, AY_POLICY_KEEP, "2x"));
	assert_non_null(ay_policy_set(&q, AY_POLICY_CONFIRM, "yes"));
	assert_int_equal(ay_policy_key("keeps"), -1);
	for (int k = 0; k < AY_POLICY_KEYS; k++)
		ay_policy_take(&p, k, &q);
	assert_int_equal(p.when.kind, AY_WHEN_ASK);
	assert_true(p.confirm_by_boot);
	assert_int_equal(p.tries, 100);
	assert_int_equal(p.keep, 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(settings_are_read_and_written),
		cmocka_unit_test(each_setting_has_its_time),
		cmocka_unit_test(a_window_is_open_between_its_times),
		cmocka_unit_test(the_wait_ends_in_the_window),
		cmocka_unit_test(a_wrong_clock_makes_a_window_wait_for_the_boot),
		cmocka_unit_test(the_machines_clock_is_local),
		cmocka_unit_test(policies_are_set_by_key),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
