/* SPDX-License-Identifier: MIT */
/*
 * Checking and healing: each kind of damage is found, named with every path that it touches, and made good; what
 * cannot be made good stays told; nothing else is touched.
 */
#include "tests/unit/store/fsck_kit.h"

#include <sys/xattr.h>

#include "store/state.h"
#include "store/tree_internal.h"

static void test_clean(void **arg)
{
	struct fsck_kit *t = *arg;

	expect_clean(t);
	assert_int_equal(t->n, 0);
	assert_int_equal(t->res.trees, 2);
	assert_int_equal(t->res.entries, t->v1.totals.entries + t->v2.totals.entries);
	assert_int_equal(t->res.objects, kit_count(&t->k, "store/objects"));
	fsck_expect(t, fsck_run(t, true, true), 0);
	assert_int_equal(t->n, 0);
	expect_clean(t);
}

/* bin/kept is one inode in both trees. */
static void test_rotten_object(void **arg)
{
	struct fsck_kit *t = *arg;
	char path[300], object[200];

	object_of(t, "/bin/kept", object);
	ino_t before = inode_of(t, object);
	rot(t, in_tree(path, 2, "bin/kept"));
	fsck_expect(t, fsck_run(t, false, false), 0);
	assert_int_equal(t->res.damaged, 3);
	assert_non_null(strstr(expect_told(t, AY_FSCK_OBJECT, 0, "", AY_FSCK_DAMAGED)->why, "content"));
	assert_string_equal(expect_told(t, AY_FSCK_PATH, 1, "/bin/kept", AY_FSCK_DAMAGED)->object,
			    object + strlen("store/objects/"));
	expect_told(t, AY_FSCK_PATH, 2, "/bin/kept", AY_FSCK_DAMAGED);
	assert_int_equal(inode_of(t, object), before); /* checking changes nothing */
	/* Without a source it stays, and is told as left. */
	fsck_expect(t, fsck_run(t, true, false), 0);
	assert_int_equal(t->res.left, 3);
	assert_int_equal(inode_of(t, object), before);
	/* Who reads it meanwhile keeps what he has; the name gets another inode, in both trees the same one. */
	AY_CLOSE int held = openat(t->k.fd, in_tree(path, 2, "bin/kept"), O_RDONLY | O_CLOEXEC);
	expect_healed(t, true);
	assert_int_not_equal(inode_of(t, object), before);
	assert_int_equal(inode_of(t, object), inode_of(t, in_tree(path, 1, "bin/kept")));
	assert_int_equal(inode_of(t, object), inode_of(t, in_tree(path, 2, "bin/kept")));
	struct stat st;
	assert_true(fstat(held, &st) == 0 && st.st_ino == before && st.st_nlink == 0);
}

static void test_truncated_and_missing(void **arg)
{
	struct fsck_kit *t = *arg;
	char path[300], object[200];

	object_of(t, "/bin/big", object);
	AY_CLOSE int fd = openat(t->k.fd, object, O_WRONLY | O_CLOEXEC);
	assert_int_equal(ftruncate(fd, 1000), 0);
	object_of(t, "/lib/6.1.0-56/mod.ko", object);
	assert_int_equal(unlinkat(t->k.fd, object, 0), 0);
	assert_int_equal(unlinkat(t->k.fd, in_tree(path, 2, "lib/6.1.0-56/mod.ko"), 0), 0);
	fsck_expect(t, fsck_run(t, false, false), 0);
	expect_told(t, AY_FSCK_PATH, 2, "/bin/big", AY_FSCK_DAMAGED);
	assert_non_null(strstr(expect_told(t, AY_FSCK_PATH, 2, "/lib/6.1.0-56/mod.ko", AY_FSCK_DAMAGED)->why,
			       "object is missing"));
	expect_healed(t, true);
}

/* The trees have the file still: no source is needed. */
static void test_object_lost_its_name(void **arg)
{
	struct fsck_kit *t = *arg;
	char path[300], object[200];

	object_of(t, "/bin/kept", object);
	ino_t before = inode_of(t, object);
	assert_int_equal(unlinkat(t->k.fd, object, 0), 0);
	fsck_expect(t, fsck_run(t, false, false), 0);
	assert_non_null(strstr(expect_told(t, AY_FSCK_OBJECT, 0, "", AY_FSCK_DAMAGED)->why, "missing"));
	expect_healed(t, false);
	assert_int_equal(inode_of(t, object), before);
	assert_int_equal(inode_of(t, in_tree(path, 1, "bin/kept")), before);
	/* Under the name lies something else, and the trees have the good one. */
	assert_int_equal(unlinkat(t->k.fd, object, 0), 0);
	kit_text(&t->k, object, "something else", 0755);
	expect_healed(t, false);
	assert_int_equal(inode_of(t, object), before);
}

static void test_swapped_objects(void **arg)
{
	struct fsck_kit *t = *arg;
	char a[200], b[200];

	object_of(t, "/bin/kept", a);
	object_of(t, "/comes", b);
	assert_int_equal(renameat2(t->k.fd, a, t->k.fd, b, RENAME_EXCHANGE), 0);
	fsck_expect(t, fsck_run(t, false, false), 0);
	assert_true(t->res.damaged >= 2);
	expect_healed(t, false); /* each tree has its own file */
}

static void test_metadata(void **arg)
{
	struct fsck_kit *t = *arg;
	char path[300];
	const struct timespec ts[2] = {{1, 1}, {1, 1}};

	assert_int_equal(fchmodat(t->k.fd, in_tree(path, 2, "bin/big"), 0777, 0), 0);
	assert_int_equal(utimensat(t->k.fd, in_tree(path, 2, "comes"), ts, 0), 0);
	assert_int_equal(utimensat(t->k.fd, in_tree(path, 1, "bin"), ts, 0), 0);
	assert_int_equal(fchmodat(t->k.fd, in_tree(path, 1, "lib"), 0700, 0), 0);
	assert_int_equal(utimensat(t->k.fd, in_tree(path, 2, "link"), ts, AT_SYMLINK_NOFOLLOW), 0);
	char full[600];
	snprintf(full, sizeof(full), "%s/%s", t->k.dir, in_tree(path, 2, "empty"));
	bool has_xattr = setxattr(full, "user.odd", "x", 1, 0) == 0;
	fsck_expect(t, fsck_run(t, false, false), 0);
	expect_told(t, AY_FSCK_PATH, 2, "/bin/big", AY_FSCK_DAMAGED);
	expect_told(t, AY_FSCK_PATH, 2, "/comes", AY_FSCK_DAMAGED);
	expect_told(t, AY_FSCK_PATH, 1, "/bin", AY_FSCK_DAMAGED);
	expect_told(t, AY_FSCK_PATH, 1, "/lib", AY_FSCK_DAMAGED);
	expect_told(t, AY_FSCK_PATH, 2, "/link", AY_FSCK_DAMAGED);
	if (has_xattr)
		expect_told(t, AY_FSCK_PATH, 2, "/empty", AY_FSCK_DAMAGED);
	expect_healed(t, false); /* the content is good: no source is needed */
}

static void test_names_of_a_tree(void **arg)
{
	struct fsck_kit *t = *arg;
	char path[300];

	/* Each kind in the place of each other. */
	kit_rm(&t->k, in_tree(path, 2, "lib"));
	kit_rm(&t->k, in_tree(path, 2, "becomes-dir"));
	kit_text(&t->k, in_tree(path, 2, "becomes-dir"), "a file where a directory was", 0644);
	kit_rm(&t->k, in_tree(path, 2, "becomes-file"));
	kit_mkdir(&t->k, in_tree(path, 2, "becomes-file"), 0755);
	kit_text(&t->k, in_tree(path, 2, "becomes-file/in it"), "x", 0644);
	kit_rm(&t->k, in_tree(path, 2, "link"));
	kit_symlink(&t->k, in_tree(path, 2, "link"), "/etc/passwd");
	kit_rm(&t->k, in_tree(path, 2, "out"));
	kit_mkdir(&t->k, in_tree(path, 2, "out"), 0755);
	kit_rm(&t->k, in_tree(path, 2, "bin"));
	kit_symlink(&t->k, in_tree(path, 2, "bin"), "../../../../../v1/bin"); /* out of the tree */
	kit_text(&t->k, in_tree(path, 1, "stranger"), "s", 0644);
	kit_mkdir(&t->k, in_tree(path, 1, "lib/strange"), 0755);
	kit_symlink(&t->k, in_tree(path, 1, "lib/strange/l"), "/");
	unsigned outside = kit_count(&t->k, "v1");
	fsck_expect(t, fsck_run(t, false, false), 0);
	expect_told(t, AY_FSCK_PATH, 2, "/lib", AY_FSCK_DAMAGED);
	expect_told(t, AY_FSCK_PATH, 2, "/becomes-dir", AY_FSCK_DAMAGED);
	expect_told(t, AY_FSCK_PATH, 2, "/becomes-file", AY_FSCK_DAMAGED);
	expect_told(t, AY_FSCK_PATH, 2, "/link", AY_FSCK_DAMAGED);
	expect_told(t, AY_FSCK_PATH, 2, "/out", AY_FSCK_DAMAGED);
	expect_told(t, AY_FSCK_PATH, 2, "/bin", AY_FSCK_DAMAGED);
	expect_told(t, AY_FSCK_PATH, 1, "/stranger", AY_FSCK_DAMAGED);
	expect_told(t, AY_FSCK_PATH, 1, "/lib/strange", AY_FSCK_DAMAGED);
	expect_healed(t, false);
	assert_int_equal(kit_count(&t->k, "v1"), outside);
}

static void test_whole_tree_half_deleted(void **arg)
{
	struct fsck_kit *t = *arg;

	kit_rm(&t->k, B_DIR "/1/root");
	kit_rm(&t->k, B_DIR "/1/.ref");
	fsck_expect(t, fsck_run(t, false, false), 0);
	expect_told(t, AY_FSCK_TREE, 1, ".ref", AY_FSCK_DAMAGED);
	expect_told(t, AY_FSCK_PATH, 1, "/", AY_FSCK_DAMAGED);
	expect_healed(t, false); /* its objects are here still */
	/* With release and manifest gone nobody can say what it was. */
	kit_rm(&t->k, B_DIR "/1/release");
	kit_rm(&t->k, B_DIR "/1/manifest");
	fsck_expect(t, fsck_run(t, true, true), 0);
	assert_int_equal(t->res.left, 0);
	assert_non_null(strstr(expect_told(t, AY_FSCK_TREE, 1, "release", AY_FSCK_HEALED)->why, "removed"));
	assert_false(kit_exists(&t->k, B_DIR "/1"));
	assert_int_equal(kit_objects_unlinked(&t->k), 0);
	/* Not so the current one. */
	kit_rm(&t->k, B_DIR "/2/release");
	kit_rm(&t->k, B_DIR "/2/manifest");
	fsck_expect(t, fsck_run(t, true, true), 0);
	expect_told(t, AY_FSCK_TREE, 2, "release", AY_FSCK_LEFT);
	assert_true(kit_exists(&t->k, B_DIR "/2/root/bin/big"));
}

static void test_manifest_and_release(void **arg)
{
	struct fsck_kit *t = *arg;

	kit_text(&t->k, B_DIR "/2/manifest", "ayni-manifest 1\nd 0755 0 0 1.000000000 /\n", 0644);
	kit_rm(&t->k, B_DIR "/1/release");
	fsck_expect(t, fsck_run(t, false, false), 0);
	expect_told(t, AY_FSCK_TREE, 2, "manifest", AY_FSCK_DAMAGED);
	expect_told(t, AY_FSCK_TREE, 1, "release", AY_FSCK_DAMAGED);
	fsck_expect(t, fsck_run(t, true, false), 0);
	expect_told(t, AY_FSCK_TREE, 2, "manifest", AY_FSCK_LEFT);
	/* Nowhere to get it from; but the manifest tells which it is, so the tree stays until there is. */
	expect_told(t, AY_FSCK_TREE, 1, "release", AY_FSCK_LEFT);
	assert_int_equal(t->res.left, 2);
	expect_healed(t, true);
}

static void test_manifest_from_repository(void **arg)
{
	struct fsck_kit *t = *arg;

	kit_text(&t->k, B_DIR "/2/manifest", "junk", 0644);
	kit_text(&t->k, B_DIR "/1/release", "junk", 0644);
	expect_healed(t, true);
}

/* A release that the owner signed for the same serial, but of another tree, does not turn one tree into the other. */
static void test_other_release_of_the_serial(void **arg)
{
	struct fsck_kit *t = *arg;
	struct kit_tree other;

	kit_publish(&t->k, "v2", B, 1, &other);
	kit_repo_tree(&t->k, t->repo, &other);
	kit_text(&t->k, B_DIR "/1/release", "junk", 0644);
	expect_healed(t, true);
	kit_tree_release(&other);
}

static void test_current(void **arg)
{
	struct fsck_kit *t = *arg;
	static const char *const targets[] = {"3/root", "../../../etc", "2", "/etc", "2/root/bin"};

	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
		kit_rm(&t->k, B_DIR "/current");
		assert_int_equal(symlinkat(targets[i], t->k.fd, B_DIR "/current"), 0);
		fsck_expect(t, fsck_run(t, false, false), 0);
		expect_told(t, AY_FSCK_CURRENT, 0, "", AY_FSCK_DAMAGED);
		expect_healed(t, false);
	}
	kit_rm(&t->k, B_DIR "/current");
	expect_healed(t, false);
	kit_rm(&t->k, B_DIR "/current");
	kit_mkdir(&t->k, B_DIR "/current", 0755);
	kit_text(&t->k, B_DIR "/current/x", "x", 0644);
	expect_healed(t, false);
	/* What was rolled back from does not become current again by itself. */
	fsck_expect(t, ay_store_rollback(t->s, B, 0, NULL, &t->err), 0);
	kit_rm(&t->k, B_DIR "/current");
	fsck_expect(t, fsck_run(t, true, false), 0);
	expect_told(t, AY_FSCK_CURRENT, 1, "", AY_FSCK_HEALED);
	uint32_t now;
	fsck_expect(t, ay_store_current(t->s, B, &now, &t->err), 0);
	assert_int_equal(now, 1);
}

static void test_state_and_documents(void **arg)
{
	struct fsck_kit *t = *arg;
	struct ay_branch_state b;
	uint8_t id[16], again[16];
	char hex[65], path[120];
	struct ay_digest d = {{1, 2, 3}};

	fsck_expect(t, ay_state_install_id(t->s, id, &t->err), 0);
	kit_text(&t->k, "store/state/branches/" B, "junk", 0644);
	kit_text(&t->k, "store/state/install-id", "junk", 0644);
	snprintf(path, sizeof(path), "store/releases/%s", ay_digest_hex(&d, hex));
	kit_text(&t->k, path, "not this digest", 0644);
	snprintf(path, sizeof(path), "store/bundles/%s", hex);
	kit_text(&t->k, path, "nor this", 0644);
	kit_text(&t->k, "store/offers/readme", "no digest at all", 0644);
	fsck_expect(t, fsck_run(t, false, false), 0);
	assert_int_equal(t->res.damaged, 4);
	expect_told(t, AY_FSCK_LEFTOVER, 0, "offers/readme", AY_FSCK_NOTED);
	expect_healed(t, false);
	assert_true(kit_exists(&t->k, "store/offers/readme"));
	assert_false(kit_exists(&t->k, path));
	fsck_expect(t, ay_state_branch(t->s, B, &b, &t->err), 0);
	assert_true(b.follow && b.floor == 2 && b.bad_serial == 0);
	fsck_expect(t, ay_state_install_id(t->s, again, &t->err), 0);
	assert_memory_not_equal(id, again, 16);
}

static void test_roots(void **arg)
{
	struct fsck_kit *t = *arg;

	/* The first root is for a person to give: nothing is believed for what a directory says. */
	kit_text(&t->k, "store/roots/1", "junk", 0644);
	ay_store_close(t->s);
	char path[300];
	snprintf(path, sizeof(path), "%s/store", t->k.dir);
	assert_int_equal(ay_store_open(&t->f.fs, path, 0, &t->s, &t->err), 0);
	fsck_expect(t, fsck_run(t, true, true), 0);
	expect_told(t, AY_FSCK_STATE, 0, "roots", AY_FSCK_LEFT);
	assert_true(kit_exists(&t->k, B_DIR "/2/root/bin/big"));
	assert_true(
		kit_exists(&t->k, B_DIR "/1/root/bin/big")); /* its release cannot be judged now: it stays */
}

static void test_leftovers(void **arg)
{
	struct fsck_kit *t = *arg;
	char path[300], name[100];

	kit_rm(&t->k, B_DIR "/1");
	unsigned before = kit_objects_unlinked(&t->k);
	assert_true(before > 0);
	snprintf(name, sizeof(name), "store/objects/zz");
	kit_mkdir(&t->k, name, 0700);
	kit_text(&t->k, "store/objects/zz/odd", "odd", 0644);
	kit_mkdir(&t->k, B_DIR "/strange", 0755);
	fsck_expect(t, fsck_run(t, false, false), 0);
	assert_int_equal(t->res.damaged, 0);
	assert_int_equal(t->res.leftovers, before);
	expect_told(t, AY_FSCK_LEFTOVER, 0, "objects/zz", AY_FSCK_NOTED);
	expect_told(t, AY_FSCK_LEFTOVER, 0, "strange", AY_FSCK_NOTED);
	fsck_expect(t, fsck_run(t, true, false), 0);
	assert_int_equal(t->res.leftovers, before);
	kit_rm(&t->k, name);
	assert_int_equal(kit_objects_unlinked(&t->k), 0);
	assert_true(kit_tree_is(&t->k, B, 2, &t->v2));
	(void)path;
}

static void test_two_healers(void **arg)
{
	struct fsck_kit *t = *arg;
	char path[300];
	struct ay_store *other;
	struct ay_fsck_result res;
	const struct ay_fsck f = {.heal = true};

	AY_CLOSE int held = openat(t->k.fd, "store/objects", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(ay__lock(held, 2), 0);
	fsck_expect(t, fsck_run(t, true, false), AY_EBUSY);
	fsck_expect(t, fsck_run(t, false, false), 0); /* checking goes on all the same */
	assert_int_equal(ay__lock(held, 8), 0);
	/* A reader may check, and only check. */
	snprintf(path, sizeof(path), "%s/store", t->k.dir);
	fsck_expect(t, ay_store_open(ay_fs_real(), path, AY_STORE_READONLY, &other, &t->err), 0);
	assert_int_equal(ay_store_fsck(other, &f, &res, &t->err), -EROFS);
	const struct ay_fsck look = {.heal = false};
	fsck_expect(t, ay_store_fsck(other, &look, &res, &t->err), 0);
	assert_int_equal(res.damaged, 0);
	ay_store_close(other);
}

/*
 * Another good inode stands in a tree lawfully, but by it the collector does not know that the object is needed: after
 * healing the tree links the object.
 */
static void test_another_good_inode(void **arg)
{
	struct fsck_kit *t = *arg;
	char path[300], object[200];

	object_of(t, "/bin/kept", object);
	kit_noise(&t->k, "copy", 50000, 5001, 0755);
	assert_int_equal(renameat(t->k.fd, "copy", t->k.fd, object), 0);
	assert_int_not_equal(inode_of(t, object), inode_of(t, in_tree(path, 2, "bin/kept")));
	fsck_expect(t, fsck_run(t, false, false), 0);
	assert_int_equal(t->n, 0);
	fsck_expect(t, fsck_run(t, true, false), 0);
	assert_int_equal(t->n, 0);
	assert_int_equal(inode_of(t, object), inode_of(t, in_tree(path, 2, "bin/kept")));
	fsck_expect(t, ay_store_gc(t->s, 5, NULL, &t->err), 0);
	assert_true(kit_exists(&t->k, object));
	expect_clean(t);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, fsck_setup, fsck_teardown)
	const struct CMUnitTest tests[] = {
		T(test_clean),
		T(test_rotten_object),
		T(test_truncated_and_missing),
		T(test_object_lost_its_name),
		T(test_swapped_objects),
		T(test_metadata),
		T(test_names_of_a_tree),
		T(test_whole_tree_half_deleted),
		T(test_manifest_and_release),
		T(test_manifest_from_repository),
		T(test_other_release_of_the_serial),
		T(test_current),
		T(test_state_and_documents),
		T(test_roots),
		T(test_leftovers),
		T(test_two_healers),
		T(test_another_good_inode),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
