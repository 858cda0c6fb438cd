/* SPDX-License-Identifier: MIT */
/*
 * Contents out of a repository: the fewest bundles, bases of bases, nothing unchecked, nothing of another owner,
 * nothing half.
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
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "store/retrieve.h"
#include "store/state.h"
#include "tests/support/fs_fault.h"
#include "tests/support/kit_repo.h"

#define B "xo/stable"

struct state {
	struct kit k;
	struct fs_fault f;
	struct ay_store *s;
	struct ay_repo *repo;
	const struct ay_root *root;
	struct kit_tree v[4]; /* serials 1, 2, 3; v[0] is not used */
	struct ay_digest big[4], small[4];
	const char *bases; /* directory in kit.dir whose bin/big and small are bases; NULL: none */
	int out;
	uint64_t told;
	int stop;
	struct ay_err err;
};

static struct ay_digest digest_of(struct kit *k, const char *path)
{
	struct ay_digest d;
	AY_CLOSE int fd = openat(k->fd, path, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ay_digest_fd(fd, &d, NULL), 0);
	return d;
}

/* bin/big changes a little in each release, `small` comes in release 2, `new` is as large and comes in 3. */
static void make_trees(struct state *t)
{
	char dir[8], path[32];

	for (int i = 1; i <= 3; i++) {
		snprintf(dir, sizeof(dir), "v%d", i);
		kit_mkdir(&t->k, dir, 0755);
		snprintf(path, sizeof(path), "v%d/big", i);
		kit_noise(&t->k, path, 300000, 1000 + (uint64_t)(i < 3 ? i : 2), 0644);
		t->big[i] = digest_of(&t->k, path);
		snprintf(path, sizeof(path), "v%d/small", i);
		kit_text(&t->k, path, i == 1 ? "one" : "two", 0644);
		t->small[i] = digest_of(&t->k, path);
		if (i == 3)
			kit_noise(&t->k, "v3/new", 5000, 9000, 0644);
		kit_publish(&t->k, dir, B, (uint32_t)i, &t->v[i]);
	}
}

static int setup(void **arg)
{
	struct state *t = calloc(1, sizeof(*t));

	kit_init(&t->k);
	fs_fault_init(&t->f);
	t->f.syncs_off = true;
	make_trees(t);
	if (kit_store(&t->k, &t->f.fs, &t->s, &t->err) < 0 || ay_state_root(t->s, &t->root, &t->err) < 0)
		fail_msg("%s", t->err.msg);
	t->repo = kit_repo(&t->k);
	kit_mkdir(&t->k, "out", 0755);
	t->out = openat(t->k.fd, "out", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*arg = t;
	return 0;
}

static int teardown(void **arg)
{
	struct state *t = *arg;

	ay_repo_close(t->repo);
	ay_store_close(t->s);
	for (int i = 1; i <= 3; i++)
		kit_tree_release(&t->v[i]);
	close(t->out);
	kit_release(&t->k);
	free(t);
	return 0;
}

static int give_base(void *ctx, const struct ay_digest *d, uint64_t size, int *fd)
{
	struct state *t = ctx;
	char path[64];
	(void)size;

	for (int i = 0; t->bases && i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s", t->bases, i ? "small" : "big");
		struct ay_digest have = digest_of(&t->k, path);
		if (ay_digest_eq(&have, d))
			return (*fd = openat(t->k.fd, path, O_RDONLY | O_CLOEXEC)) < 0 ? -errno : 0;
	}
	return -ENOENT;
}

static int tell(void *ctx, uint64_t done, uint64_t total)
{
	struct state *t = ctx;

	assert_true(done > t->told && done <= total);
	t->told = done;
	return t->stop;
}

static int retrieve_for(struct state *t, const char *branch, struct ay_wanted *w, size_t n,
			struct ay_retrieved *res)
{
	const struct ay_retrieve how = {.s = t->s,
					.repo = t->repo,
					.root = t->root,
					.branch = branch,
					.manifest = t->v[3].totals.manifest,
					.dirfd = t->out,
					.base = give_base,
					.progress = tell,
					.ctx = t};
	t->err = (struct ay_err){0};
	t->told = 0;
	return ay_retrieve(&how, w, n, res, &t->err);
}

static int retrieve(struct state *t, struct ay_wanted *w, size_t n, struct ay_retrieved *res)
{
	return retrieve_for(t, B, w, n, res);
}

static void expect(struct state *t, int got, int want)
{
	if (got != want)
		fail_msg("got %s (%s), wanted %s", ay_error_name(got), t->err.msg, ay_error_name(want));
}

static void expect_there(struct state *t, const struct ay_digest *d)
{
	char path[80], hex[65];

	snprintf(path, sizeof(path), "out/%s", ay_digest_hex(d, hex));
	struct ay_digest have = digest_of(&t->k, path);
	assert_true(ay_digest_eq(&have, d));
}

static struct ay_wanted big3(struct state *t)
{
	return (struct ay_wanted){.digest = t->big[3], .size = 300000};
}

static void test_literals_of_a_full_bundle(void **arg)
{
	struct state *t = *arg;
	struct ay_wanted w[2] = {big3(t), {.digest = digest_of(&t->k, "v3/new"), .size = 5000}};
	struct ay_retrieved res;

	kit_repo_all(&t->k, t->repo, NULL, &t->v[3]);
	expect(t, retrieve(t, w, 2, &res), 0);
	assert_int_equal(res.contents, 2);
	assert_int_equal(res.bytes, 305000);
	assert_int_equal(res.bundles, 1);
	assert_int_equal(res.from_publisher, 0);
	assert_true(t->told == 305000 && w[0].got && w[1].got);
	expect_there(t, &t->big[3]);
	assert_int_equal(kit_count(&t->k, "out"), 2); /* `small` was not asked for */
	/* Once more: it lies there. What lies there damaged does not count. */
	expect(t, retrieve(t, w, 2, &res), 0);
	assert_int_equal(res.bundles, 0);
	char path[80], hex[65];
	snprintf(path, sizeof(path), "out/%s", ay_digest_hex(&t->big[3], hex));
	kit_text(&t->k, path, "junk", 0600);
	expect(t, retrieve(t, w, 2, &res), 0);
	assert_int_equal(res.bundles, 1);
	expect_there(t, &t->big[3]);
}

static void test_difference_from_a_base_that_is_here(void **arg)
{
	struct state *t = *arg;
	struct ay_wanted w = big3(t);
	struct ay_retrieved res;

	/* Tree 3 has the same `big` as 2, so only the bundle 1-2 makes it: of another release than the tree's own. */
	kit_repo_all(&t->k, t->repo, &t->v[1], &t->v[2]);
	kit_repo_all(&t->k, t->repo, &t->v[2], &t->v[3]);
	expect(t, retrieve(t, &w, 1, &res), AY_ENOTHING);
	assert_non_null(strstr(t->err.msg, "1 of 1 contents"));
	assert_false(w.got);
	t->bases = "v1";
	expect(t, retrieve(t, &w, 1, &res), 0);
	assert_int_equal(res.bundles, 1);
	expect_there(t, &t->big[3]);
}

/* Bundles name bases by their places in the manifest that they start from: without it, or with another, nothing is guessed. */
static void test_manifest_of_the_base(void **arg)
{
	struct state *t = *arg;
	struct ay_wanted w = big3(t);
	char path[96], hex[65];

	t->bases = "v1";
	kit_repo_all(&t->k, t->repo, &t->v[1], &t->v[2]);
	kit_repo_all(&t->k, t->repo, &t->v[2], &t->v[3]);
	snprintf(path, sizeof(path), "repo/manifests/%s", ay_digest_hex(&t->v[1].totals.manifest, hex));
	kit_rm(&t->k, path);
	expect(t, retrieve(t, &w, 1, NULL), AY_ENOTHING);
	assert_non_null(strstr(t->err.msg, "names its bases by their places in manifest"));
	kit_write(&t->k, path, t->v[2].manifest.data, t->v[2].manifest.len, 0644, 1);
	expect(t, retrieve(t, &w, 1, NULL), AY_ENOTHING);
	assert_int_equal(kit_count(&t->k, "out"), 0);
	kit_rm(&t->k, path);
	kit_write(&t->k, path, t->v[1].manifest.data, t->v[1].manifest.len, 0644, 1);
	expect(t, retrieve(t, &w, 1, NULL), 0);
	expect_there(t, &t->big[3]);
}

/* A damaged copy of the manifest, in the repository or in a tree that is here, says nothing of the others: each is asked. */
static void test_manifest_of_the_base_is_damaged(void **arg)
{
	static const char tree[] = "store/branches/xo%%2Fstable/%u/manifest";
	struct state *t = *arg;
	struct ay_wanted w = big3(t);
	struct kit_tree again; /* the same tree once more, with another serial: the same manifest */
	char paths[3][96], hex[65];

	t->bases = "v1";
	kit_repo_all(&t->k, t->repo, &t->v[1], &t->v[2]);
	kit_repo_all(&t->k, t->repo, &t->v[2], &t->v[3]);
	kit_publish(&t->k, "v1", B, 4, &again);
	assert_true(ay_digest_eq(&again.totals.manifest, &t->v[1].totals.manifest));
	if (kit_import(&t->k, t->s, B, &t->v[1], &t->err) < 0 ||
	    kit_import(&t->k, t->s, B, &again, &t->err) < 0)
		fail_msg("%s", t->err.msg);
	kit_tree_release(&again);
	snprintf(paths[0], sizeof(paths[0]), "repo/manifests/%s",
		 ay_digest_hex(&t->v[1].totals.manifest, hex));
	snprintf(paths[1], sizeof(paths[1]), tree, 1u);
	snprintf(paths[2], sizeof(paths[2]), tree, 4u);

	for (int good = 0; good <= 3; good++) { /* 3: none */
		for (int i = 0; i < 3; i++) {
			const struct kit_tree *v = &t->v[i == good ? 1 : 2];
			kit_rm(&t->k, paths[i]);
			kit_write(&t->k, paths[i], v->manifest.data, v->manifest.len, 0644, 1);
		}
		w.got = false;
		expect(t, retrieve(t, &w, 1, NULL), good < 3 ? 0 : AY_ENOTHING);
		assert_int_equal(w.got, good < 3);
		if (good == 3) {
			assert_int_equal(kit_count(&t->k, "out"), 0);
			continue;
		}
		expect_there(t, &t->big[3]);
		char out[80];
		snprintf(out, sizeof(out), "out/%s", ay_digest_hex(&t->big[3], hex));
		kit_rm(&t->k, out);
	}
}

static void test_bases_of_bases(void **arg)
{
	struct state *t = *arg;
	struct ay_wanted w[3] = {big3(t),
				 {.digest = t->small[3], .size = 3},
				 {.digest = digest_of(&t->k, "v3/new"), .size = 5000}};
	struct ay_retrieved res;

	kit_repo_all(&t->k, t->repo, NULL, &t->v[1]);
	kit_repo_all(&t->k, t->repo, &t->v[1], &t->v[2]);
	kit_repo_all(&t->k, t->repo, &t->v[2], &t->v[3]);
	expect(t, retrieve(t, w, 3, &res), 0);
	assert_int_equal(res.contents, 3);
	expect_there(t, &t->big[3]);
	assert_int_equal(kit_count(&t->k, "out"), 3); /* the base was removed again */
}

static void test_circle(void **arg)
{
	struct state *t = *arg;
	struct ay_wanted w = big3(t);
	struct ay_retrieved res;

	/* Each is the other's base, and nothing leads in. */
	kit_repo_all(&t->k, t->repo, &t->v[1], &t->v[2]);
	kit_repo_all(&t->k, t->repo, &t->v[2], &t->v[1]);
	expect(t, retrieve(t, &w, 1, &res), AY_ENOTHING);
	assert_int_equal(res.bundles, 0);
	assert_int_equal(kit_count(&t->k, "out"), 0);
}

static void test_fewest_bundles(void **arg)
{
	struct state *t = *arg;
	struct ay_wanted w[2] = {big3(t), {.digest = digest_of(&t->k, "v3/new"), .size = 5000}};
	struct ay_retrieved res;

	/* 2-3 gives `new`, 1-2 gives `big`; the full one gives both. */
	t->bases = "v1";
	kit_repo_all(&t->k, t->repo, &t->v[1], &t->v[2]);
	kit_repo_all(&t->k, t->repo, &t->v[2], &t->v[3]);
	expect(t, retrieve(t, w, 2, &res), 0);
	assert_int_equal(res.bundles, 2);
	kit_rm(&t->k, "out");
	close(t->out);
	kit_mkdir(&t->k, "out", 0755);
	t->out = openat(t->k.fd, "out", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	kit_repo_all(&t->k, t->repo, NULL, &t->v[3]);
	expect(t, retrieve(t, w, 2, &res), 0);
	assert_int_equal(res.bundles, 1);
	/* Of two that give the same, the one that unpacks to less. */
	struct ay_wanted one = {.digest = w[1].size == 5000 ? w[1].digest : w[0].digest, .size = 5000};
	char path[80], hex[65];
	snprintf(path, sizeof(path), "out/%s", ay_digest_hex(&one.digest, hex));
	kit_rm(&t->k, path);
	expect(t, retrieve(t, &one, 1, &res), 0);
	assert_int_equal(res.bundles, 1);
}

static void test_another_owners_bundle(void **arg)
{
	struct state *t = *arg;
	struct ay_wanted w = big3(t);
	struct ay_retrieved res;

	kit_repo_all(&t->k, t->repo, NULL, &t->v[3]);
	expect(t, retrieve_for(t, "evil", &w, 1, &res), AY_ENOTHING);
	assert_non_null(strstr(t->err.msg, "no bundle of branch evil"));
	assert_int_equal(kit_count(&t->k, "out"), 0);
	/* The publisher's own trees lie there, but not this branch's. */
	kit_mkdir(&t->k, "repo/publisher", 0755);
	kit_mkdir(&t->k, "repo/publisher/branches", 0755);
	kit_mkdir(&t->k, "repo/publisher/branches/xo%2Fstable", 0755);
	kit_mkdir(&t->k, "repo/publisher/branches/xo%2Fstable/3", 0755);
	kit_write(&t->k, "repo/publisher/branches/xo%2Fstable/3/manifest", t->v[3].manifest.data,
		  t->v[3].manifest.len, 0644, 1);
	assert_int_equal(renameat(t->k.fd, "v3", t->k.fd, "repo/publisher/branches/xo%2Fstable/3/root"), 0);
	expect(t, retrieve_for(t, "evil", &w, 1, &res), AY_ENOTHING);
	expect(t, retrieve(t, &w, 1, &res), 0);
	assert_int_equal(res.from_publisher, 1);
	assert_int_equal(res.bundles, 0);
	expect_there(t, &t->big[3]);
}

static void test_publishers_copy_is_damaged(void **arg)
{
	struct state *t = *arg;
	struct ay_wanted w = big3(t);
	struct ay_retrieved res;

	kit_mkdir(&t->k, "repo/publisher", 0755);
	kit_mkdir(&t->k, "repo/publisher/branches", 0755);
	kit_mkdir(&t->k, "repo/publisher/branches/xo%2Fstable", 0755);
	kit_mkdir(&t->k, "repo/publisher/branches/xo%2Fstable/3", 0755);
	kit_write(&t->k, "repo/publisher/branches/xo%2Fstable/3/manifest", t->v[3].manifest.data,
		  t->v[3].manifest.len, 0644, 1);
	kit_mkdir(&t->k, "repo/publisher/branches/xo%2Fstable/3/root", 0755);
	kit_noise(&t->k, "repo/publisher/branches/xo%2Fstable/3/root/big", 300000, 1999, 0644);
	expect(t, retrieve(t, &w, 1, &res), AY_ENOTHING);
	assert_int_equal(kit_count(&t->k, "out"), 0);
	/* A symbolic link to the very bytes is not followed. */
	kit_rm(&t->k, "repo/publisher/branches/xo%2Fstable/3/root/big");
	kit_symlink(&t->k, "repo/publisher/branches/xo%2Fstable/3/root/big", "../../../../../../v3/big");
	expect(t, retrieve(t, &w, 1, &res), AY_ENOTHING);
	kit_repo_all(&t->k, t->repo, NULL, &t->v[3]);
	expect(t, retrieve(t, &w, 1, &res), 0);
	assert_int_equal(res.from_publisher, 0);
}

static void bundle_path(struct state *t, const struct ay_offer *o, char out[96])
{
	char hex[65];
	(void)t;
	snprintf(out, 96, "repo/bundles/%s", ay_digest_hex(&o->bundle, hex));
}

static void test_bad_bundles(void **arg)
{
	struct state *t = *arg;
	struct ay_wanted w = big3(t);
	struct ay_retrieved res;
	struct ay_offer o, o2;
	char path[96];
	struct stat st;

	AY_CLOSE int full = kit_bundle(&t->k, NULL, &t->v[3], &o);
	kit_repo_tree(&t->k, t->repo, &t->v[3]);
	kit_repo_bundle(&t->k, t->repo, full, &o);
	bundle_path(t, &o, path);
	assert_int_equal(fstatat(t->k.fd, path, &st, 0), 0);
	/* Cut, and flipped at each eightieth of its length: never wrong bytes, never a half file. */
	AY_CLOSE int fd = openat(t->k.fd, path, O_RDWR | O_CLOEXEC);
	for (off_t at = 0; at < st.st_size; at += st.st_size / 80) {
		char c, bad;
		assert_int_equal(pread(fd, &c, 1, at), 1);
		bad = (char)(c ^ 0x20);
		assert_int_equal(pwrite(fd, &bad, 1, at), 1);
		int r = retrieve(t, &w, 1, &res);
		if (r == 0) {
			expect_there(t, &t->big[3]); /* damage in a part behind the record */
			char out[80], hex[65];
			snprintf(out, sizeof(out), "out/%s", ay_digest_hex(&t->big[3], hex));
			kit_rm(&t->k, out);
		} else {
			expect(t, r, AY_ENOTHING);
			assert_non_null(strstr(t->err.msg, "repo/bundles/"));
			assert_int_equal(kit_count(&t->k, "out"), 0);
		}
		assert_int_equal(pwrite(fd, &c, 1, at), 1);
	}
	assert_int_equal(ftruncate(fd, st.st_size / 2), 0);
	expect(t, retrieve(t, &w, 1, &res), AY_ENOTHING);
	/* Another way is taken when there is one. */
	AY_CLOSE int other = kit_bundle(&t->k, NULL, &t->v[2], &o2);
	kit_repo_tree(&t->k, t->repo, &t->v[2]);
	kit_repo_bundle(&t->k, t->repo, other, &o2);
	expect(t, retrieve(t, &w, 1, &res), 0);
	/* A wrong size in the caller's question is not answered. */
	struct ay_wanted odd = {.digest = t->small[3], .size = 4};
	expect(t, retrieve(t, &odd, 1, &res), AY_ENOTHING);
}

static void test_base_is_not_what_it_says(void **arg)
{
	struct state *t = *arg;
	struct ay_wanted w = big3(t);
	struct ay_retrieved res;

	kit_repo_all(&t->k, t->repo, &t->v[1], &t->v[2]);
	t->bases = "v1";
	expect(t, retrieve(t, &w, 1, &res), 0);
	kit_rm(&t->k, "out");
	close(t->out);
	kit_mkdir(&t->k, "out", 0755);
	t->out = openat(t->k.fd, "out", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* It lies in the directory under the base's name, with the right size. */
	char path[80], hex[65];
	snprintf(path, sizeof(path), "out/%s", ay_digest_hex(&t->big[1], hex));
	kit_noise(&t->k, path, 300000, 5000, 0600);
	expect(t, retrieve(t, &w, 1, &res), AY_ENOTHING);
	assert_int_equal(kit_count(&t->k, "out"), 1);
}

static void test_disk_fails_at_each_call(void **arg)
{
	struct state *t = *arg;
	const int errors[] = {ENOSPC, EIO};

	kit_repo_all(&t->k, t->repo, NULL, &t->v[1]);
	kit_repo_all(&t->k, t->repo, &t->v[1], &t->v[2]);
	kit_repo_all(&t->k, t->repo, &t->v[2], &t->v[3]);
	for (int e = 0; e < 2; e++) {
		for (unsigned at = 1;; at++) {
			struct ay_wanted w = big3(t);
			t->f.calls = 0;
			t->f.failed = NULL;
			t->f.kind = AY_FAULT_ONCE;
			t->f.at = at;
			t->f.error = errors[e];
			int r = retrieve(t, &w, 1, NULL);
			t->f.kind = AY_FAULT_NONE;
			char out[80], hex[65];
			snprintf(out, sizeof(out), "out/%s", ay_digest_hex(&t->big[3], hex));
			if (r == 0)
				expect_there(t, &t->big[3]);
			else
				expect(t, r, -errors[e]);
			kit_rm(&t->k, out);
			/* An unlink may have been what failed: then a base or a half file is left, for a second run. */
			assert_true(kit_count(&t->k, "out") <= (t->f.failed ? 1u : 0u));
			expect(t, retrieve(t, &w, 1, NULL), 0);
			expect_there(t, &t->big[3]);
			kit_rm(&t->k, "out");
			close(t->out);
			kit_mkdir(&t->k, "out", 0755);
			t->out = openat(t->k.fd, "out", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
			if (!t->f.failed)
				break;
		}
	}
	/* And the owner may stop it. */
	struct ay_wanted w = big3(t);
	t->stop = -ECANCELED;
	expect(t, retrieve(t, &w, 1, NULL), -ECANCELED);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_literals_of_a_full_bundle),
		T(test_difference_from_a_base_that_is_here),
		T(test_manifest_of_the_base),
		T(test_manifest_of_the_base_is_damaged),
		T(test_bases_of_bases),
		T(test_circle),
		T(test_fewest_bundles),
		T(test_another_owners_bundle),
		T(test_publishers_copy_is_damaged),
		T(test_bad_bundles),
		T(test_base_is_not_what_it_says),
		T(test_disk_fails_at_each_call),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
