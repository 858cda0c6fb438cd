/* SPDX-License-Identifier: MIT */
/* An offer's text. */
#include "tests/unit/manifest/support.h"

#define ZERO "0000000000000000000000000000000000000000000000000000000000000000"
#define ONE  "1111111111111111111111111111111111111111111111111111111111111111"
#define TWO  "2222222222222222222222222222222222222222222222222222222222222222"

static int again(const void *data, size_t len, struct ay_buf *out)
{
	struct ay_offer o;
	int r = ay_offer_parse(data, len, &o, NULL);

	return r ? r : ay_offer_write(&o, out, NULL);
}

static void test_there_and_back(void **state)
{
	(void)state;
	struct ay_err err = {0};
	struct ay_offer o = some_offer("xo/stable", true), back;
	struct ay_buf out = {0};
	assert_code(ay_offer_write(&o, &out, &err), 0);
	assert_code(ay_offer_parse(out.data, out.len, &back, &err), 0);
	assert_string_equal(back.branch, "xo/stable");
	assert_true(ay_digest_eq(&back.from, &o.from) && ay_digest_eq(&back.to, &o.to));
	assert_true(ay_digest_eq(&back.bundle, &o.bundle));
	assert_int_equal(back.bundle_size, 1000000);
	assert_int_equal(back.unpacked_size, 40000000);
	assert_int_equal(back.memory, 100 << 20);
	assert_int_equal(back.cpu, 1);
	assert_int_equal(back.n_encoders, 2);
	assert_string_equal(back.encoders[0], "xz-5.4");
	assert_string_equal(back.encoders[1], "zstd-1.5");
	assert_true(back.by_school);
	assert_strict(out.data, out.len, again);
	ay_buf_reset(&out);
	o.n_encoders = 0;
	o.by_school = false;
	o.hole_size = 1000;
	memset(&o.from, 0, sizeof(o.from));
	assert_code(ay_offer_write(&o, &out, &err), 0);
	assert_strict(out.data, out.len, again);
	assert_non_null(strstr(ay_buf_cstr(&out), "\nholes: 1000\nmemory: "));
	assert_code(ay_offer_parse(out.data, out.len, &back, &err), 0);
	assert_int_equal(back.hole_size, 1000);
	ay_buf_release(&out);
}

static const char good[] = "ayni-offer 1\nbranch: xo/stable\nfrom: " ONE "\nto: " TWO "\nbundle: " ONE " 5\n"
			   "unpacked: 1\nmemory: 2\ncpu: 0\nencoders: a b\nmaker: school\n";

static void test_refused(void **state)
{
	(void)state;
	struct ay_err err = {0};
	struct ay_offer o;
	static const char *const edits[][2] = {
		{"ayni-offer", "ayni-release"},
		{"branch: xo", "branch: /xo"},
		{"from: " ONE, "from: " TWO},
		{"from: " ONE, "from: 1"},
		{"to: " TWO, "to: " ZERO},
		{" 5\n", " 0\n"},
		{" 5\n", " 9223372036854775808\n"},
		{"unpacked: 1\n", "unpacked: 1\nholes: 0\n"},
		{"unpacked: 1\n", "unpacked: 1\nholes: 2\n"},
		{"unpacked: 1\n", "unpacked: 0\nholes: 0\n"},
		{"unpacked: 1\n", "holes: 1\nunpacked: 1\n"},
		{"cpu: 0", "cpu: 256"},
		{"encoders: a b", "encoders:"},
		{"encoders: a b", "encoders: b a"},
		{"encoders: a b", "encoders: a a"},
		{"encoders: a b", "encoders: - a"},
		{"encoders: a b", "encoders: a  b"},
		{"encoders: a b", "encoders: A"},
		{"encoders: a b", "encoders: .a"},
		{"encoders: a b", "encoders: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
		{"encoders: a b", "encoders: a b c d e f g h i j k l m n o p q"},
		{"maker: school", "maker: pupil"},
		{"maker: school\n", ""},
		{"maker: school\n", "maker: school\nmore: 1\n"},
	};
	assert_code(ay_offer_parse(good, strlen(good), &o, &err), 0);
	for (size_t i = 0; i < sizeof(edits) / sizeof(edits[0]); i++) {
		char *bad = changed(good, edits[i][0], edits[i][1]);
		int r = ay_offer_parse(bad, strlen(bad), &o, &err);
		if (r != AY_EFORMAT)
			print_error("%s -> %s\n", edits[i][0], edits[i][1]);
		assert_code(r, AY_EFORMAT);
		free(bad);
	}
	char *most = changed(good, "encoders: a b", "encoders: a b c d e f g h i j k l m n o p");
	assert_code(ay_offer_parse(most, strlen(most), &o, &err), 0);
	free(most);
}

static void test_writer_refuses(void **state)
{
	(void)state;
	struct ay_err err = {0};
	struct ay_buf out = {0};
	struct ay_offer o = some_offer("xo", false);
	o.n_encoders = AY_ENCODERS_MAX + 1;
	assert_code(ay_offer_write(&o, &out, &err), AY_EFORMAT);
	o = some_offer("xo", false);
	memcpy(o.encoders[0], "zz", 3);
	assert_code(ay_offer_write(&o, &out, &err), AY_EFORMAT);
	o = some_offer("xo", false);
	o.to = o.from;
	assert_code(ay_offer_write(&o, &out, &err), AY_EFORMAT);
	ay_buf_release(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_writer_refuses),
	};
	return cmocka_run_group_tests_name("manifest/offer", tests, NULL, NULL);
}
