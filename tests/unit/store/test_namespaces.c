/* SPDX-License-Identifier: MIT */
/*
 * Several owners in one store: what one does with his branch leaves the others' alone, and naming a digest does not give
 * anybody the bytes, whichever way is tried.
 *
 *     apply      a bundle that leaves out what another branch has
 *     apply      a difference whose base is another branch's
 *     import     a directory that lacks the file
 *     heal       a path that is missing, whose content only another branch links
 *     retrieve   another branch's bundles in the same repository (test_retrieve.c)
 */
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
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "diff/bundle_format.h"
#include "diff/bundle_writer.h"
#include "manifest/delta.h"
#include "store/branch.h"
#include "store/fsck.h"
#include "store/state.h"
#include "tests/support/kit_repo.h"
#include "tests/support/set_branch.h"

#define OURS   "ours"
#define OTHERS "others"
#define SAME   "we both have this"
#define SECRET "only ours"

struct state {
	struct kit k;
	struct ay_store *s;
	struct kit_tree mine, theirs; /* of OURS and of OTHERS: both serial 1 */
	struct ay_err err;
};

/* The same text in both trees, and a secret that only OURS has; but the manifest of OTHERS names it. */
static void make_trees(struct state *t, bool secret_too)
{
	kit_mkdir(&t->k, "mine", 0755);
	kit_text(&t->k, "mine/same", SAME, 0644);
	kit_text(&t->k, "mine/secret", SECRET, 0600);
	kit_publish(&t->k, "mine", OURS, 1, &t->mine);
	kit_mkdir(&t->k, "theirs", 0755);
	kit_text(&t->k, "theirs/same", SAME, 0644);
	if (secret_too)
		kit_text(&t->k, "theirs/stolen", SECRET, 0600);
	kit_publish(&t->k, "theirs", OTHERS, 1, &t->theirs);
}

static void open_with_rule(struct state *t, const char *rule)
{
	kit_root_with_rule(&t->k, OURS, rule);
	if (kit_store(&t->k, ay_fs_real(), &t->s, &t->err) < 0)
		fail_msg("%s", t->err.msg);
}

static void begin(struct state *t, const char *rule, bool secret_too)
{
	memset(t, 0, sizeof(*t));
	kit_init(&t->k);
	make_trees(t, secret_too);
	open_with_rule(t, rule);
}

static void end(struct state *t)
{
	ay_store_close(t->s);
	kit_tree_release(&t->mine);
	kit_tree_release(&t->theirs);
	kit_release(&t->k);
}

static void expect(struct state *t, int got, int want)
{
	if (got != want)
		fail_msg("got %s (%s), wanted %s", ay_error_name(got), t->err.msg, ay_error_name(want));
}

static struct stat look(struct state *t, const char *path)
{
	struct stat st;

	if (fstatat(t->k.fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		fail_msg("%s: %s", path, strerror(errno));
	return st;
}

/* ---- bundles that leave contents out ---- */

static int into_writer(void *ctx, const void *data, size_t len)
{
	return ay_bundle_writer_delta(ctx, data, len, NULL);
}

/* A record that writes @text, literally or (@base) as a difference from the first of its bytes. */
static void put_record(struct state *t, struct ay_bundle_writer *w, const char *text, const char *base)
{
	const uint64_t len = strlen(text), base_len = base ? strlen(base) : 0;
	struct ay_bundle_record r = {.method = base ? AY_METHOD_BSDIFF : AY_METHOD_LITERAL, .size = len};
	struct ay_bsdiff_op op = {.diff_len = base_len < len ? base_len : len};
	struct ay_bsdiff_ops ops = {.ops = &op, .n = 1};
	struct ay_columns c = {0};

	op.extra_len = len - op.diff_len;
	ay_digest_mem(text, len, &r.target);
	if (base) {
		r.n_bases = 1;
		ay_digest_mem(base, base_len, &r.bases[0]);
		r.base_sizes[0] = base_len;
	}
	expect(t, ay_bundle_writer_record(w, &r, &t->err), 0);
	expect(t,
	       ay_columns_encode(&c, (struct ay_slice){(const uint8_t *)base, base_len}, 0,
				 (struct ay_slice){(const uint8_t *)text, len}, &ops, base != NULL,
				 ay_bundle_piece_max(AY_BUNDLE_PART_DEFAULT)),
	       0);
	expect(t, ay_bundle_writer_columns(w, &c, &t->err), 0);
	ay_columns_release(&c);
}

/* From nothing to the tree of OTHERS, with the content that both have, but not with the secret. */
static int thin_bundle(struct state *t, const char *base, struct ay_offer *offer)
{
	const struct kit_tree *to = &t->theirs;
	const struct ay_bundle_writer_options o = {.to = to->totals.manifest,
						   .part_limit = AY_BUNDLE_PART_DEFAULT,
						   .level = 1,
						   .codecs = ~0u,
						   .parts_ahead = 1};
	const struct ay_digest none = {{0}};
	int fd = openat(t->k.fd, "thin", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	struct ay_bundle_writer *w = ay_bundle_writer_new(fd, &o);
	struct ay_manifest_reader *m = ay_manifest_reader_new_mem(to->manifest.data, to->manifest.len);

	assert_non_null(w);
	expect(t, ay_delta_make(NULL, &none, m, &to->totals.manifest, into_writer, w, &t->err), 0);
	ay_manifest_reader_free(m);
	put_record(t, w, SAME, base);
	expect(t, ay_bundle_writer_finish(w, &t->err), 0);
	ay_bundle_writer_free(w);
	*offer = (struct ay_offer){.branch = OTHERS,
				   .to = to->totals.manifest,
				   .unpacked_size = strlen(SAME),
				   .memory = ay_bundle_memory(o.part_limit)};
	assert_int_equal(ay_digest_fd(fd, &offer->bundle, &offer->bundle_size), 0);
	return fd;
}

static int apply_thin(struct state *t, const char *base)
{
	struct ay_offer offer;
	AY_CLOSE int fd = thin_bundle(t, base, &offer);
	return kit_apply(t->s, OTHERS, &t->theirs, fd, &offer, &t->err);
}

/* ---- the attacks ---- */

static void test_apply_does_not_give_anothers_bytes(void **arg)
{
	struct state t;

	(void)arg;
	begin(&t, "nosuid", true);
	expect(&t, kit_import(&t.k, t.s, OURS, &t.mine, &t.err), 0);
	expect(&t, apply_thin(&t, NULL), AY_EFORMAT);
	assert_non_null(strstr(t.err.msg, "/stolen: the bundle lacks its content"));
	/* Nor as a base, whose bytes one could read out of the result. */
	expect(&t, apply_thin(&t, SECRET), AY_EBASE);
	assert_false(kit_exists(&t.k, "store/branches/" OTHERS "/1"));
	assert_int_equal(look(&t, "store/branches/" OURS "/1/root/secret").st_nlink, 2);
	assert_int_equal(kit_count(&t.k, "store/tmp"), 0);
	end(&t);
}

static void test_a_branch_that_shares(void **arg)
{
	struct state t;

	(void)arg;
	begin(&t, "share", true);
	expect(&t, kit_import(&t.k, t.s, OURS, &t.mine, &t.err), 0);
	/* A base it does not become, since a bundle's bases are of the tree that it starts from. */
	expect(&t, apply_thin(&t, SECRET), AY_EBASE);
	expect(&t, apply_thin(&t, NULL), 0);
	assert_true(kit_tree_is(&t.k, OTHERS, 1, &t.theirs));
	/* One inode: the object, and a link in each tree. */
	assert_int_equal(look(&t, "store/branches/" OURS "/1/root/secret").st_nlink, 3);
	assert_true(look(&t, "store/branches/" OURS "/1/root/secret").st_ino ==
		    look(&t, "store/branches/" OTHERS "/1/root/stolen").st_ino);
	end(&t);
}

/* Sharing is the owner's to say, and says nothing for the other direction. */
static void test_sharing_goes_one_way(void **arg)
{
	struct state t = {0};

	(void)arg;
	kit_init(&t.k);
	make_trees(&t, true);
	kit_root_with_rule(&t.k, OTHERS, "share");
	if (kit_store(&t.k, ay_fs_real(), &t.s, &t.err) < 0)
		fail_msg("%s", t.err.msg);
	expect(&t, kit_import(&t.k, t.s, OURS, &t.mine, &t.err), 0);
	expect(&t, apply_thin(&t, NULL), AY_EFORMAT);
	end(&t);
}

static void test_import_does_not_give_anothers_bytes(void **arg)
{
	struct state t;

	(void)arg;
	begin(&t, "nosuid", true);
	expect(&t, kit_import(&t.k, t.s, OURS, &t.mine, &t.err), 0);
	kit_rm(&t.k, "theirs/stolen");
	expect(&t, kit_import(&t.k, t.s, OTHERS, &t.theirs, &t.err), -ENOENT);
	kit_text(&t.k, "theirs/stolen", "something", 0600);
	expect(&t, kit_import(&t.k, t.s, OTHERS, &t.theirs, &t.err), AY_EDIGEST);
	assert_false(kit_exists(&t.k, "store/branches/" OTHERS "/1"));
	end(&t);
}

/* ---- what both produced ---- */

static void test_equal_content_is_one_inode(void **arg)
{
	struct state t;

	(void)arg;
	begin(&t, "nosuid", true);
	expect(&t, kit_import(&t.k, t.s, OURS, &t.mine, &t.err), 0);
	assert_int_equal(look(&t, "store/branches/" OURS "/1/root/same").st_nlink, 2);
	expect(&t, kit_import(&t.k, t.s, OTHERS, &t.theirs, &t.err), 0);
	assert_int_equal(look(&t, "store/branches/" OURS "/1/root/same").st_nlink, 3);
	assert_int_equal(look(&t, "store/branches/" OTHERS "/1/root/stolen").st_nlink, 3);
	end(&t);
}

static int heal(struct state *t, struct ay_repo *repo, struct ay_fsck_result *res)
{
	const struct ay_fsck f = {.heal = true, .repos = &repo, .n_repos = repo ? 1 : 0, .threads = 1};
	return ay_store_fsck(t->s, &f, res, &t->err);
}

/* A path is gone, and its content is here only through another branch. */
static void heal_a_missing_path(const char *rule, bool with_repo, uint64_t left)
{
	struct state t;
	struct ay_fsck_result res;
	struct ay_repo *repo = NULL;

	begin(&t, rule, true);
	expect(&t, kit_import(&t.k, t.s, OURS, &t.mine, &t.err), 0);
	expect(&t, kit_import(&t.k, t.s, OTHERS, &t.theirs, &t.err), 0);
	kit_rm(&t.k, "store/branches/" OTHERS "/1/root/stolen");
	if (with_repo) {
		repo = kit_repo(&t.k);
		kit_repo_all(&t.k, repo, NULL, &t.theirs);
	}
	expect(&t, heal(&t, repo, &res), 0);
	assert_int_equal(res.left, left);
	assert_int_equal(kit_exists(&t.k, "store/branches/" OTHERS "/1/root/stolen"), left == 0);
	assert_true(kit_tree_is(&t.k, OURS, 1, &t.mine));
	ay_repo_close(repo);
	end(&t);
}

static void test_heal_does_not_give_anothers_bytes(void **arg)
{
	(void)arg;
	heal_a_missing_path("nosuid", false, 1);
	heal_a_missing_path("nosuid", true, 0); /* its own publisher gives it */
	heal_a_missing_path("share", false, 0);
}

/* In a repository that holds both branches, only its own bundles count. */
static void test_heal_from_anothers_bundles(void **arg)
{
	struct state t;
	struct ay_fsck_result res;

	(void)arg;
	begin(&t, "nosuid", true);
	expect(&t, kit_import(&t.k, t.s, OURS, &t.mine, &t.err), 0);
	expect(&t, kit_import(&t.k, t.s, OTHERS, &t.theirs, &t.err), 0);
	kit_rm(&t.k, "store/branches/" OTHERS "/1/root/stolen");
	struct ay_repo *repo = kit_repo(&t.k);
	kit_repo_all(&t.k, repo, NULL, &t.mine);
	kit_repo_tree(&t.k, repo, &t.theirs);
	expect(&t, heal(&t, repo, &res), 0);
	assert_int_equal(res.left, 1);
	ay_repo_close(repo);
	end(&t);
}

/* A rotten object that both branches link is made good for both: each had it. */
static void test_heal_what_both_have(void **arg)
{
	struct state t;
	struct ay_fsck_result res;

	(void)arg;
	begin(&t, "nosuid", true);
	expect(&t, kit_import(&t.k, t.s, OURS, &t.mine, &t.err), 0);
	expect(&t, kit_import(&t.k, t.s, OTHERS, &t.theirs, &t.err), 0);
	assert_int_equal(fchmodat(t.k.fd, "store/branches/" OURS "/1/root/secret", 0666, 0), 0);
	struct ay_repo *repo = kit_repo(&t.k);
	kit_repo_all(&t.k, repo, NULL, &t.mine);
	expect(&t, heal(&t, repo, &res), 0);
	assert_int_equal(res.left, 0);
	assert_true(kit_tree_is(&t.k, OURS, 1, &t.mine));
	assert_true(kit_tree_is(&t.k, OTHERS, 1, &t.theirs));
	assert_int_equal(look(&t, "store/branches/" OURS "/1/root/secret").st_nlink, 3);
	ay_repo_close(repo);
	end(&t);
}

/* ---- adding and deleting ---- */

static void test_leaving_a_branch(void **arg)
{
	struct state t;
	struct ay_gc_result res;
	struct ay_branch_state b = {.branch = OTHERS, .follow = true};
	char **names;
	size_t n;

	(void)arg;
	begin(&t, "nosuid", true);
	expect(&t, kit_import(&t.k, t.s, OURS, &t.mine, &t.err), 0);
	expect(&t, kit_import(&t.k, t.s, OTHERS, &t.theirs, &t.err), 0);
	expect(&t, set_branch(t.s, &b, &t.err), 0);
	expect(&t, ay_store_switch(t.s, OURS, 1, false, &t.err), 0);
	expect(&t, ay_store_switch(t.s, OTHERS, 1, false, &t.err), 0);
	ino_t before = look(&t, "store/branches/" OURS "/1/root/same").st_ino;
	/* In use: nothing is touched. */
	AY_CLOSE int ref = openat(t.k.fd, "store/branches/" OTHERS "/1/.ref", O_RDONLY | O_CLOEXEC);
	assert_int_equal(flock(ref, LOCK_SH), 0);
	expect(&t, ay_store_remove_branch(t.s, OTHERS, false, &res, &t.err), AY_EBUSY);
	expect(&t, ay_state_branch(t.s, OTHERS, &b, &t.err), 0);
	assert_true(b.follow && kit_tree_is(&t.k, OTHERS, 1, &t.theirs));
	assert_int_equal(flock(ref, LOCK_UN), 0);
	expect(&t, ay_store_remove_branch(t.s, OTHERS, false, &res, &t.err), 0);
	assert_int_equal(res.trees, 1);
	assert_int_equal(res.objects, 0); /* both contents are the other's too */
	assert_false(kit_exists(&t.k, "store/branches/" OTHERS));
	assert_true(kit_tree_is(&t.k, OURS, 1, &t.mine));
	assert_true(look(&t, "store/branches/" OURS "/1/root/same").st_ino == before);
	assert_int_equal(look(&t, "store/branches/" OURS "/1/root/same").st_nlink, 2);
	expect(&t, ay_store_branches(t.s, &names, &n, &t.err), 0);
	assert_int_equal(n, 1);
	ay_store_names_free(names, n);
	/* What was installed stays remembered, and the branch can come again; not so after forgetting. */
	expect(&t, ay_state_branch(t.s, OTHERS, &b, &t.err), 0);
	assert_true(!b.follow && b.floor == 1);
	expect(&t, ay_store_remove_branch(t.s, OTHERS, false, &res, &t.err), AY_ENOTHING);
	expect(&t, kit_import(&t.k, t.s, OTHERS, &t.theirs, &t.err), 0);
	expect(&t, ay_store_remove_branch(t.s, OTHERS, true, &res, &t.err), 0);
	expect(&t, ay_state_branch(t.s, OTHERS, &b, &t.err), 0);
	assert_int_equal(b.floor, 0);
	struct ay_fsck_result found;
	const struct ay_fsck f = {.threads = 1};
	expect(&t, ay_store_fsck(t.s, &f, &found, &t.err), 0);
	assert_true(found.damaged == 0 && found.leftovers == 0);
	assert_int_equal(kit_count(&t.k, "store/tmp"), 0);
	end(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_apply_does_not_give_anothers_bytes),
		cmocka_unit_test(test_a_branch_that_shares),
		cmocka_unit_test(test_sharing_goes_one_way),
		cmocka_unit_test(test_import_does_not_give_anothers_bytes),
		cmocka_unit_test(test_equal_content_is_one_inode),
		cmocka_unit_test(test_heal_does_not_give_anothers_bytes),
		cmocka_unit_test(test_heal_from_anothers_bundles),
		cmocka_unit_test(test_heal_what_both_have),
		cmocka_unit_test(test_leaving_a_branch),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
