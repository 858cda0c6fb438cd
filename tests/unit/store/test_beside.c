/* SPDX-License-Identifier: MIT */
/* What grows beside its place: it never takes a name that somebody gave away meanwhile, unless it may, and leaves nothing. */
#include "store/beside.h"
#include "store/file.h"
#include "tests/support/place.h"

static int grow(struct place *p, unsigned flags)
{
	struct ay__beside b;
	struct ay_err err = {0};

	expect_code(ay__beside_begin(&b, ay_fs_real(), p->dir, "out", &err), 0);
	put_text(b.stage, "new", "ours");
	put_text(p->dir, "out", "his"); /* he came first */
	int r = ay__beside_commit(&b, "new", flags, &err);
	ay__beside_end(&b);
	return r;
}

static void assert_out_is(struct place *p, const char *text)
{
	size_t len;
	uint8_t *data = get_file(p->dir, "out", &len);
	AY_CLOSEDIR DIR *d = fdopendir(openat(p->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	struct dirent *e;

	assert_string_equal((char *)data, text);
	free(data);
	while ((e = readdir(d)))
		assert_true(strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
			    strcmp(e->d_name, "out") == 0);
}

static void a_name_that_was_given_away_is_not_taken(void **state)
{
	assert_int_equal(grow(*state, AY__BESIDE_NO_SYNC), -EEXIST);
	assert_out_is(*state, "his");
}

static void unless_it_may_be(void **state)
{
	assert_int_equal(grow(*state, AY__BESIDE_NO_SYNC | AY__BESIDE_REPLACE), 0);
	assert_out_is(*state, "ours");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, place_make, place_remove)
	const struct CMUnitTest tests[] = {T(a_name_that_was_given_away_is_not_taken), T(unless_it_may_be)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
