/* SPDX-License-Identifier: MIT */
/* What making a bundle lets applying need: never more than was asked for, 400 MiB where nobody asked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "diff/bundle_format.h"
#include "diff/elf_columns.h"
#include "diff/make_memory.h"

#define MIB (1ull << 20)

/* Parts and all else together. */
static uint64_t all_of(const struct ay_make_options *o)
{
	return ay_bundle_memory(ay__make_part_limit(o->apply_memory)) + ay__make_extra_memory(o);
}

static void test_default(void **state)
{
	const struct ay_make_options o = {0}, plain = {.no_filters = true}, fast = {.fast = true};

	(void)state;
	assert_true(all_of(&o) == 400 * MIB);
	assert_true(all_of(&plain) == 400 * MIB);
	/* What method elf may have of it: a base of 330 MB, not one of 400. */
	assert_true(ay__elf_extra_memory(330000000) <= ay__make_extra_memory(&o));
	assert_true(ay__elf_extra_memory(400000000) > ay__make_extra_memory(&o));
	assert_true(ay__make_filter_memory(&o) < ay__make_extra_memory(&o));
	assert_true(ay__make_filter_memory(&o) > 350 * MIB);
	assert_true(ay__make_filter_memory(&plain) == 0);
	assert_true(ay__make_filter_memory(&fast) == 0);
}

static void test_asked_for(void **state)
{
	(void)state;
	for (uint64_t mib = 3; mib < 3000; mib += 1 + mib / 7) {
		const struct ay_make_options o = {.apply_memory = mib * MIB};

		assert_true(all_of(&o) == mib * MIB);
		assert_true(ay__make_filter_memory(&o) <= ay__make_extra_memory(&o));
	}
	/* Less than the smallest parts need is not to be had. */
	const struct ay_make_options least = {.apply_memory = 1};
	assert_true(ay__make_part_limit(1) == AY_BUNDLE_PART_MIN);
	assert_true(ay__make_extra_memory(&least) == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_default), cmocka_unit_test(test_asked_for)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
