/* SPDX-License-Identifier: MIT */
/* Directories that become first releases: matched with a published one. */
#include "tests/unit/store/adopt_kit.h"

#include "store/state.h"

static void what_is_a_release_joins_at_it(void **arg)
{
	struct adopt_kit *t = *arg;

	assert_int_equal(adopt_match(t, &t->v1), 0);
	assert_adopted(t, 1);
	for (int i = 0; i < AY_ADOPT_DIFFS; i++)
		assert_int_equal(t->out.differ[i], 0);
	assert_int_equal(t->out.fetched.files, 0);
	assert_int_equal(adopt_match(t, &t->v1), AY_ENOTHING);
}

static void a_matched_read_only_source_is_linked(void **arg)
{
	struct adopt_kit *t = *arg;

	t->a.read_only_source = true;
	kit_text(&t->k, "v1/mode", "only my mode changes", 0640); /* is 0644 in the release */
	assert_int_equal(adopt_match(t, &t->v1), 0);
	assert_adopted(t, 1);
	assert_true(adopt_same_inode(t, ROOT1 "/bin/big", "v1/bin/big"));
	assert_false(adopt_same_inode(t, ROOT1 "/mode", "v1/mode"));
	assert_int_equal(adopt_stat(t, "v1/mode").st_mode & 07777, 0640);
	assert_int_equal(adopt_stat(t, ROOT1 "/mode").st_mode & 07777, 0644);
	assert_int_equal(t->out.differ[AY_ADOPT_METADATA], 1);
	assert_string_equal(t->told[AY_ADOPT_METADATA], " /mode");
}

/* v1 on the disk, v2 in the repository: much is the same, some of it elsewhere. */
static void only_what_differs_is_fetched(void **arg)
{
	struct adopt_kit *t = *arg;
	struct ay_repo *repo = kit_repo(&t->k);

	kit_repo_all(&t->k, repo, NULL, &t->v2);
	t->a.repo = repo;
	if (adopt_match(t, &t->v2) < 0)
		fail_msg("%s", t->err.msg);
	assert_adopted(t, 2);
	assert_non_null(strstr(t->told[AY_ADOPT_MISSING], " /lib/6.1.0-56/same.ko"));
	assert_non_null(strstr(t->told[AY_ADOPT_CHANGED], " /bin/big"));
	assert_non_null(strstr(t->told[AY_ADOPT_METADATA], " /mode"));
	assert_non_null(strstr(t->told[AY_ADOPT_EXTRA], " /goes"));
	assert_null(strstr(t->told[AY_ADOPT_EXTRA], " /bin/kept"));
	/* same.ko lies under another name; big, mod.ko, "same text, new", comes, and what became a file, do not. */
	assert_int_equal(t->out.moved, 1);
	assert_in_range(t->out.fetched.files, 4, 6);
	assert_true(t->out.fetched.bytes < t->v2.totals.bytes);
	ay_repo_close(repo);
}

static void what_cannot_be_had_is_said(void **arg)
{
	struct adopt_kit *t = *arg;

	assert_int_equal(adopt_match(t, &t->v2), AY_EBASE);
	assert_non_null(strstr(t->err.msg, "no repository was named"));
	assert_true(t->out.differ[AY_ADOPT_CHANGED] > 0);
	assert_nothing_adopted(t);
	struct ay_repo *repo = kit_repo(&t->k);
	kit_repo_tree(&t->k, repo, &t->v2); /* without any bundle */
	t->a.repo = repo;
	memset(&t->err, 0, sizeof(t->err));
	assert_int_equal(adopt_match(t, &t->v2), AY_EBASE);
	assert_non_null(strstr(t->err.msg, "cannot be had from"));
	assert_nothing_adopted(t);
	ay_repo_close(repo);
}

static void another_manifest_is_refused(void **arg)
{
	struct adopt_kit *t = *arg;
	struct kit_tree mixed = t->v1;

	mixed.manifest = t->v2.manifest;
	assert_int_equal(adopt_match(t, &mixed), AY_EDIGEST);
	assert_nothing_adopted(t);
}

/* A laptop's own disk: the store lies in the directory, and is not looked into. */
static void a_system_that_holds_the_store_can_be_matched(void **arg)
{
	struct adopt_kit *t = *arg;
	struct kit_tree sub;
	char path[300];

	kit_mkdir(&t->k, "v1/var", 0755);
	kit_publish(&t->k, "v1", B, 1, &sub);
	ay_store_close(t->s);
	snprintf(path, sizeof(path), "%s/v1/var/store", t->k.dir);
	int flags = AY_STORE_CREATE | (geteuid() ? AY_STORE_OWNER_ME : 0);
	assert_int_equal(ay_store_open(ay_fs_real(), path, flags, &t->s, &t->err), 0);
	assert_int_equal(ay_state_add_root(t->s, t->k.root.data, t->k.root.len, &t->err), 0);
	if (adopt_match(t, &sub) < 0)
		fail_msg("%s", t->err.msg);
	assert_string_equal(t->told[AY_ADOPT_SKIPPED], " /var/store");
	assert_string_equal(t->told[AY_ADOPT_EXTRA], " /var/store");
	uint64_t bad = 9;
	assert_int_equal(ay_store_verify(t->s, B, 1, &bad, &t->err), 0);
	assert_int_equal(bad, 0);
	kit_tree_release(&sub);
}

static void a_stranger_in_its_place_counts_as_missing(void **arg)
{
	struct adopt_kit *t = *arg;

	kit_rm(&t->k, "v1/goes");
	assert_int_equal(mkfifoat(t->k.fd, "v1/goes", 0644), 0);
	kit_rm(&t->k, "v1/lib");
	kit_symlink(&t->k, "v1/lib", "../v2/lib"); /* never followed out of the directory */
	assert_int_equal(adopt_match(t, &t->v1), AY_EBASE);
	assert_non_null(strstr(t->told[AY_ADOPT_MISSING], " /goes"));
	assert_non_null(strstr(t->told[AY_ADOPT_MISSING], " /lib/6.1.0-55/same.ko"));
	assert_nothing_adopted(t);
}

static void the_guess_knows_which_release_it_is(void **arg)
{
	struct adopt_kit *t = *arg;
	uint64_t lacking[2], uncertain[2];
	const struct kit_tree *trees[2] = {&t->v1, &t->v2};

	for (int i = 0; i < 2; i++) {
		char name[32];
		snprintf(name, sizeof(name), "m%d", i);
		kit_write(&t->k, name, trees[i]->manifest.data, trees[i]->manifest.len, 0644, 1);
		AY_CLOSE int fd = openat(t->k.fd, name, O_RDONLY | O_CLOEXEC);
		assert_int_equal(ay_adopt_guess(t->dirfd, fd, &lacking[i], &uncertain[i], &t->err), 0);
	}
	assert_int_equal(lacking[0], 0);
	assert_int_equal(uncertain[0], 0);
	assert_true(lacking[1] > 100000);
	assert_true(uncertain[1] >= 700000); /* bin/big: as long, but of another time */
}

#define T(f) cmocka_unit_test_setup_teardown(f, adopt_setup, adopt_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(what_is_a_release_joins_at_it),
		T(a_matched_read_only_source_is_linked),
		T(only_what_differs_is_fetched),
		T(what_cannot_be_had_is_said),
		T(another_manifest_is_refused),
		T(a_system_that_holds_the_store_can_be_matched),
		T(a_stranger_in_its_place_counts_as_missing),
		T(the_guess_knows_which_release_it_is),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
