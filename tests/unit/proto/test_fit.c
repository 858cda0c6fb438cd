/* SPDX-License-Identifier: MIT */
/* What an offer declares against what is here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/fit.h"

#define MIB (UINT64_C(1) << 20)

static void test_memory(void **state)
{
	const struct ay_apply_limits none = {0}, small = {.memory = 128 * MIB};
	struct ay_offer o = {.memory = 128 * MIB};
	char text[128];

	(void)state;
	assert_int_equal(ay_offer_fit(&small, &o), AY_FIT);
	assert_string_equal(ay_offer_fit_text(&small, &o, text, sizeof(text)), "");
	o.memory++;
	assert_int_equal(ay_offer_fit(&small, &o), AY_FIT_MEMORY);
	assert_string_equal(ay_offer_fit_text(&small, &o, text, sizeof(text)),
			    "needs 129 MiB of memory to apply, and 128 MiB are allowed here (apply-memory)");
	o.memory = INT64_MAX;
	assert_int_equal(ay_offer_fit(&small, &o), AY_FIT_MEMORY);
	assert_int_equal(ay_offer_fit(&none, &o), AY_FIT);
}

static void test_encoders(void **state)
{
	static const char *const have[] = {"xz-5.4", "zstd-1.5"};
	const struct ay_apply_limits none = {0}, two = {.encoders = have, .n_encoders = 2};
	struct ay_offer o = {.n_encoders = 2, .encoders = {"xz-5.4", "zstd-1.5"}};
	char text[128];

	(void)state;
	assert_int_equal(ay_offer_fit(&two, &o), AY_FIT);
	assert_int_equal(ay_offer_fit(&none, &o), AY_FIT_ENCODER);
	o.encoders[1][7] = '6';
	assert_int_equal(ay_offer_fit(&two, &o), AY_FIT_ENCODER);
	assert_string_equal(ay_offer_fit_text(&two, &o, text, sizeof(text)),
			    "needs the encoder zstd-1.6, which this ayni does not have");
}

/* docs/formats.md, "Offer": who does not know a class does not take the bundle. */
static void test_processor(void **state)
{
	const struct ay_apply_limits l = {0};
	struct ay_offer o = {.cpu = 1};
	char text[128];

	(void)state;
	assert_int_equal(ay_offer_fit(&l, &o), AY_FIT);
	o.cpu = 2;
	assert_int_equal(ay_offer_fit(&l, &o), AY_FIT_CPU);
	assert_string_equal(ay_offer_fit_text(&l, &o, text, sizeof(text)),
			    "is of a kind (cpu 2) that this ayni does not know");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_encoders),
		cmocka_unit_test(test_processor),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
