/* SPDX-License-Identifier: MIT */
/*
 * Checking and healing: each kind of damage is found, named with every path that it touches, and made good; what
 * cannot be made good stays told; nothing else is touched.
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
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "store/fsck.h"
#include "store/state.h"
#include "store/tree_internal.h"
#include "tests/support/fs_fault.h"
#include "tests/support/kit_repo.h"

#define B         "stable"
#define B_DIR     "store/branches/" B
#define FOUND_MAX 200

struct told {
	enum ay_fsck_what what;
	enum ay_fsck_outcome outcome;
	uint32_t serial;
	char path[200], object[90], why[300];
};

struct state {
	struct kit k;
	struct fs_fault f;
	struct ay_store *s;
	struct ay_repo *repo;
	struct kit_tree v1, v2;
	struct told told[FOUND_MAX];
	size_t n;
	struct ay_fsck_result res;
	struct ay_err err;
};

static int setup(void **arg)
{
	struct state *t = calloc(1, sizeof(*t));

	kit_init(&t->k);
	fs_fault_init(&t->f);
	t->f.syncs_off = true;
	kit_two_trees(&t->k);
	kit_publish(&t->k, "v1", B, 1, &t->v1);
	kit_publish(&t->k, "v2", B, 2, &t->v2);
	if (kit_store(&t->k, &t->f.fs, &t->s, &t->err) < 0 ||
	    kit_import(&t->k, t->s, B, &t->v1, &t->err) < 0 ||
	    ay_store_switch(t->s, B, 1, false, &t->err) < 0 ||
	    kit_import(&t->k, t->s, B, &t->v2, &t->err) < 0 ||
	    ay_store_switch(t->s, B, 2, false, &t->err) < 0)
		fail_msg("%s", t->err.msg);
	t->repo = kit_repo(&t->k);
	kit_repo_all(&t->k, t->repo, NULL, &t->v1);
	kit_repo_all(&t->k, t->repo, &t->v1, &t->v2);
	*arg = t;
	return 0;
}

static int teardown(void **arg)
{
	struct state *t = *arg;

	ay_repo_close(t->repo);
	ay_store_close(t->s);
	kit_tree_release(&t->v1);
	kit_tree_release(&t->v2);
	kit_release(&t->k);
	free(t);
	return 0;
}

static void remember(void *ctx, const struct ay_fsck_finding *f)
{
	struct state *t = ctx;

	assert_true(t->n < FOUND_MAX);
	struct told *x = &t->told[t->n++];
	*x = (struct told){.what = f->what, .outcome = f->outcome, .serial = f->serial};
	snprintf(x->path, sizeof(x->path), "%s", f->path ? f->path : "");
	snprintf(x->object, sizeof(x->object), "%s", f->object ? f->object : "");
	snprintf(x->why, sizeof(x->why), "%s", f->why);
	assert_true(f->why[0] != '\0');
}

static int fsck(struct state *t, bool heal, bool repo)
{
	const struct ay_fsck f = {
		.heal = heal, .repos = &t->repo, .n_repos = repo, .threads = 2, .found = remember, .ctx = t};
	t->n = 0;
	t->err = (struct ay_err){0};
	return ay_store_fsck(t->s, &f, &t->res, &t->err);
}

static void print_told(const struct state *t)
{
	for (size_t i = 0; i < t->n; i++)
		fprintf(stderr, "  %s %s %u %s %.20s: %s\n", ay_fsck_what_name(t->told[i].what),
			ay_fsck_outcome_name(t->told[i].outcome), t->told[i].serial, t->told[i].path,
			t->told[i].object, t->told[i].why);
}

static void expect(struct state *t, int got, int want)
{
	if (got != want) {
		print_told(t);
		fail_msg("got %s (%s), wanted %s", ay_error_name(got), t->err.msg, ay_error_name(want));
	}
}

static const struct told *find_told(const struct state *t, enum ay_fsck_what what, uint32_t serial,
				    const char *path)
{
	for (size_t i = 0; i < t->n; i++) {
		if (t->told[i].what == what && t->told[i].serial == serial &&
		    strcmp(t->told[i].path, path) == 0)
			return &t->told[i];
	}
	return NULL;
}

static const struct told *expect_told(struct state *t, enum ay_fsck_what what, uint32_t serial,
				      const char *path, enum ay_fsck_outcome outcome)
{
	const struct told *x = find_told(t, what, serial, path);

	if (!x || x->outcome != outcome) {
		print_told(t);
		fail_msg("not told: %s %s %u %s", ay_fsck_what_name(what), ay_fsck_outcome_name(outcome),
			 serial, path);
	}
	return x;
}

static void expect_clean(struct state *t)
{
	expect(t, fsck(t, false, false), 0);
	if (t->res.damaged > 0) {
		print_told(t);
		fail_msg("%d are damaged still", (int)t->res.damaged);
	}
	assert_true(kit_tree_is(&t->k, B, 1, &t->v1));
	assert_true(kit_tree_is(&t->k, B, 2, &t->v2));
	uint32_t now;
	expect(t, ay_store_current(t->s, B, &now, &t->err), 0);
	assert_int_equal(now, 2);
	assert_int_equal(kit_count(&t->k, "store/tmp"), 0);
	assert_int_equal(kit_objects_unlinked(&t->k), 0);
}

static void expect_healed(struct state *t, bool repo)
{
	expect(t, fsck(t, true, repo), 0);
	if (t->res.left > 0 || t->res.healed == 0) {
		print_told(t);
		fail_msg("%d left, %d healed", (int)t->res.left, (int)t->res.healed);
	}
	expect_clean(t);
}

static char *in_tree(char out[300], unsigned serial, const char *path)
{
	snprintf(out, 300, B_DIR "/%u/root/%s", serial, path);
	return out;
}

/* The object that a path of tree 2 links, in kit.dir. */
static void object_of(struct state *t, const char *path, char out[200])
{
	struct ay_manifest_reader *m = ay_manifest_reader_new_mem(t->v2.manifest.data, t->v2.manifest.len);
	struct ay_entry e;

	out[0] = '\0';
	while (ay_manifest_next(m, &e, NULL) > 0) {
		struct ay__object_name name;
		if (strcmp(e.path, path) == 0 && ay__object_name_of(t->s, &e, &name) == 0)
			snprintf(out, 200, "store/objects/%s", name.s);
	}
	ay_manifest_reader_free(m);
	assert_true(out[0] && kit_exists(&t->k, out));
}

static ino_t ino(struct state *t, const char *path)
{
	struct stat st;

	assert_int_equal(fstatat(t->k.fd, path, &st, AT_SYMLINK_NOFOLLOW), 0);
	return st.st_ino;
}

/* Damage one byte, and set the time back, as a bad disk does. */
static void rot(struct state *t, const char *path)
{
	struct stat st;
	char c;
	AY_CLOSE int fd = openat(t->k.fd, path, O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0 && fstat(fd, &st) == 0);
	assert_int_equal(pread(fd, &c, 1, st.st_size / 2), 1);
	c = (char)(c ^ 1);
	assert_int_equal(pwrite(fd, &c, 1, st.st_size / 2), 1);
	const struct timespec ts[2] = {st.st_atim, st.st_mtim};
	assert_int_equal(futimens(fd, ts), 0);
}

static void test_clean(void **arg)
{
	struct state *t = *arg;

	expect_clean(t);
	assert_int_equal(t->n, 0);
	assert_int_equal(t->res.trees, 2);
	assert_int_equal(t->res.entries, t->v1.totals.entries + t->v2.totals.entries);
	assert_int_equal(t->res.objects, kit_count(&t->k, "store/objects"));
	expect(t, fsck(t, true, true), 0);
	assert_int_equal(t->n, 0);
	expect_clean(t);
}

/* bin/kept is one inode in both trees. */
static void test_rotten_object(void **arg)
{
	struct state *t = *arg;
	char path[300], object[200];

	object_of(t, "/bin/kept", object);
	ino_t before = ino(t, object);
	rot(t, in_tree(path, 2, "bin/kept"));
	expect(t, fsck(t, false, false), 0);
	assert_int_equal(t->res.damaged, 3);
	assert_non_null(strstr(expect_told(t, AY_FSCK_OBJECT, 0, "", AY_FSCK_DAMAGED)->why, "content"));
	assert_string_equal(expect_told(t, AY_FSCK_PATH, 1, "/bin/kept", AY_FSCK_DAMAGED)->object,
			    object + strlen("store/objects/"));
	expect_told(t, AY_FSCK_PATH, 2, "/bin/kept", AY_FSCK_DAMAGED);
	assert_int_equal(ino(t, object), before); /* checking changes nothing */
	/* Without a source it stays, and is told as left. */
	expect(t, fsck(t, true, false), 0);
	assert_int_equal(t->res.left, 3);
	assert_int_equal(ino(t, object), before);
	/* Who reads it meanwhile keeps what he has; the name gets another inode, in both trees the same one. */
	AY_CLOSE int held = openat(t->k.fd, in_tree(path, 2, "bin/kept"), O_RDONLY | O_CLOEXEC);
	expect_healed(t, true);
	assert_int_not_equal(ino(t, object), before);
	assert_int_equal(ino(t, object), ino(t, in_tree(path, 1, "bin/kept")));
	assert_int_equal(ino(t, object), ino(t, in_tree(path, 2, "bin/kept")));
	struct stat st;
	assert_true(fstat(held, &st) == 0 && st.st_ino == before && st.st_nlink == 0);
}

static void test_truncated_and_missing(void **arg)
{
	struct state *t = *arg;
	char path[300], object[200];

	object_of(t, "/bin/big", object);
	AY_CLOSE int fd = openat(t->k.fd, object, O_WRONLY | O_CLOEXEC);
	assert_int_equal(ftruncate(fd, 1000), 0);
	object_of(t, "/lib/6.1.0-56/mod.ko", object);
	assert_int_equal(unlinkat(t->k.fd, object, 0), 0);
	assert_int_equal(unlinkat(t->k.fd, in_tree(path, 2, "lib/6.1.0-56/mod.ko"), 0), 0);
	expect(t, fsck(t, false, false), 0);
	expect_told(t, AY_FSCK_PATH, 2, "/bin/big", AY_FSCK_DAMAGED);
	assert_non_null(strstr(expect_told(t, AY_FSCK_PATH, 2, "/lib/6.1.0-56/mod.ko", AY_FSCK_DAMAGED)->why,
			       "object is missing"));
	expect_healed(t, true);
}

/* The trees have the file still: no source is needed. */
static void test_object_lost_its_name(void **arg)
{
	struct state *t = *arg;
	char path[300], object[200];

	object_of(t, "/bin/kept", object);
	ino_t before = ino(t, object);
	assert_int_equal(unlinkat(t->k.fd, object, 0), 0);
	expect(t, fsck(t, false, false), 0);
	assert_non_null(strstr(expect_told(t, AY_FSCK_OBJECT, 0, "", AY_FSCK_DAMAGED)->why, "missing"));
	expect_healed(t, false);
	assert_int_equal(ino(t, object), before);
	assert_int_equal(ino(t, in_tree(path, 1, "bin/kept")), before);
	/* Under the name lies something else, and the trees have the good one. */
	assert_int_equal(unlinkat(t->k.fd, object, 0), 0);
	kit_text(&t->k, object, "something else", 0755);
	expect_healed(t, false);
	assert_int_equal(ino(t, object), before);
}

static void test_swapped_objects(void **arg)
{
	struct state *t = *arg;
	char a[200], b[200];

	object_of(t, "/bin/kept", a);
	object_of(t, "/comes", b);
	assert_int_equal(renameat2(t->k.fd, a, t->k.fd, b, RENAME_EXCHANGE), 0);
	expect(t, fsck(t, false, false), 0);
	assert_true(t->res.damaged >= 2);
	expect_healed(t, false); /* each tree has its own file */
}

static void test_metadata(void **arg)
{
	struct state *t = *arg;
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
	expect(t, fsck(t, false, false), 0);
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
	struct state *t = *arg;
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
	expect(t, fsck(t, false, false), 0);
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
	struct state *t = *arg;

	kit_rm(&t->k, B_DIR "/1/root");
	kit_rm(&t->k, B_DIR "/1/.ref");
	expect(t, fsck(t, false, false), 0);
	expect_told(t, AY_FSCK_TREE, 1, ".ref", AY_FSCK_DAMAGED);
	expect_told(t, AY_FSCK_PATH, 1, "/", AY_FSCK_DAMAGED);
	expect_healed(t, false); /* its objects are here still */
	/* With release and manifest gone nobody can say what it was. */
	kit_rm(&t->k, B_DIR "/1/release");
	kit_rm(&t->k, B_DIR "/1/manifest");
	expect(t, fsck(t, true, true), 0);
	assert_int_equal(t->res.left, 0);
	assert_non_null(strstr(expect_told(t, AY_FSCK_TREE, 1, "release", AY_FSCK_HEALED)->why, "removed"));
	assert_false(kit_exists(&t->k, B_DIR "/1"));
	assert_int_equal(kit_objects_unlinked(&t->k), 0);
	/* Not so the current one. */
	kit_rm(&t->k, B_DIR "/2/release");
	kit_rm(&t->k, B_DIR "/2/manifest");
	expect(t, fsck(t, true, true), 0);
	expect_told(t, AY_FSCK_TREE, 2, "release", AY_FSCK_LEFT);
	assert_true(kit_exists(&t->k, B_DIR "/2/root/bin/big"));
}

static void test_manifest_and_release(void **arg)
{
	struct state *t = *arg;

	kit_text(&t->k, B_DIR "/2/manifest", "ayni-manifest 1\nd 0755 0 0 1.000000000 /\n", 0644);
	kit_rm(&t->k, B_DIR "/1/release");
	expect(t, fsck(t, false, false), 0);
	expect_told(t, AY_FSCK_TREE, 2, "manifest", AY_FSCK_DAMAGED);
	expect_told(t, AY_FSCK_TREE, 1, "release", AY_FSCK_DAMAGED);
	expect(t, fsck(t, true, false), 0);
	expect_told(t, AY_FSCK_TREE, 2, "manifest", AY_FSCK_LEFT);
	/* Nowhere to get it from; but the manifest tells which it is, so the tree stays until there is. */
	expect_told(t, AY_FSCK_TREE, 1, "release", AY_FSCK_LEFT);
	assert_int_equal(t->res.left, 2);
	expect_healed(t, true);
}

static void test_manifest_from_repository(void **arg)
{
	struct state *t = *arg;

	kit_text(&t->k, B_DIR "/2/manifest", "junk", 0644);
	kit_text(&t->k, B_DIR "/1/release", "junk", 0644);
	expect_healed(t, true);
}

/* A release that the owner signed for the same serial, but of another tree, does not turn one tree into the other. */
static void test_other_release_of_the_serial(void **arg)
{
	struct state *t = *arg;
	struct kit_tree other;

	kit_publish(&t->k, "v2", B, 1, &other);
	kit_repo_tree(&t->k, t->repo, &other);
	kit_text(&t->k, B_DIR "/1/release", "junk", 0644);
	expect_healed(t, true);
	kit_tree_release(&other);
}

static void test_current(void **arg)
{
	struct state *t = *arg;
	static const char *const targets[] = {"3/root", "../../../etc", "2", "/etc", "2/root/bin"};

	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
		kit_rm(&t->k, B_DIR "/current");
		assert_int_equal(symlinkat(targets[i], t->k.fd, B_DIR "/current"), 0);
		expect(t, fsck(t, false, false), 0);
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
	expect(t, ay_store_rollback(t->s, B, 0, NULL, &t->err), 0);
	kit_rm(&t->k, B_DIR "/current");
	expect(t, fsck(t, true, false), 0);
	expect_told(t, AY_FSCK_CURRENT, 1, "", AY_FSCK_HEALED);
	uint32_t now;
	expect(t, ay_store_current(t->s, B, &now, &t->err), 0);
	assert_int_equal(now, 1);
}

static void test_state_and_documents(void **arg)
{
	struct state *t = *arg;
	struct ay_branch_state b;
	uint8_t id[16], again[16];
	char hex[65], path[120];
	struct ay_digest d = {{1, 2, 3}};

	expect(t, ay_state_install_id(t->s, id, &t->err), 0);
	kit_text(&t->k, "store/state/branches/" B, "junk", 0644);
	kit_text(&t->k, "store/state/install-id", "junk", 0644);
	snprintf(path, sizeof(path), "store/releases/%s", ay_digest_hex(&d, hex));
	kit_text(&t->k, path, "not this digest", 0644);
	snprintf(path, sizeof(path), "store/bundles/%s", hex);
	kit_text(&t->k, path, "nor this", 0644);
	kit_text(&t->k, "store/offers/readme", "no digest at all", 0644);
	expect(t, fsck(t, false, false), 0);
	assert_int_equal(t->res.damaged, 4);
	expect_told(t, AY_FSCK_LEFTOVER, 0, "offers/readme", AY_FSCK_NOTED);
	expect_healed(t, false);
	assert_true(kit_exists(&t->k, "store/offers/readme"));
	assert_false(kit_exists(&t->k, path));
	expect(t, ay_state_branch(t->s, B, &b, &t->err), 0);
	assert_true(b.follow && b.floor == 2 && b.bad_serial == 0);
	expect(t, ay_state_install_id(t->s, again, &t->err), 0);
	assert_memory_not_equal(id, again, 16);
}

static void test_roots(void **arg)
{
	struct state *t = *arg;

	/* The first root is for a person to give: nothing is believed for what a directory says. */
	kit_text(&t->k, "store/roots/1", "junk", 0644);
	ay_store_close(t->s);
	char path[300];
	snprintf(path, sizeof(path), "%s/store", t->k.dir);
	assert_int_equal(ay_store_open(&t->f.fs, path, 0, &t->s, &t->err), 0);
	expect(t, fsck(t, true, true), 0);
	expect_told(t, AY_FSCK_STATE, 0, "roots", AY_FSCK_LEFT);
	assert_true(kit_exists(&t->k, B_DIR "/2/root/bin/big"));
	assert_true(
		kit_exists(&t->k, B_DIR "/1/root/bin/big")); /* its release cannot be judged now: it stays */
}

static void test_leftovers(void **arg)
{
	struct state *t = *arg;
	char path[300], name[100];

	kit_rm(&t->k, B_DIR "/1");
	unsigned before = kit_objects_unlinked(&t->k);
	assert_true(before > 0);
	snprintf(name, sizeof(name), "store/objects/zz");
	kit_mkdir(&t->k, name, 0700);
	kit_text(&t->k, "store/objects/zz/odd", "odd", 0644);
	kit_mkdir(&t->k, B_DIR "/strange", 0755);
	expect(t, fsck(t, false, false), 0);
	assert_int_equal(t->res.damaged, 0);
	assert_int_equal(t->res.leftovers, before);
	expect_told(t, AY_FSCK_LEFTOVER, 0, "objects/zz", AY_FSCK_NOTED);
	expect_told(t, AY_FSCK_LEFTOVER, 0, "strange", AY_FSCK_NOTED);
	expect(t, fsck(t, true, false), 0);
	assert_int_equal(t->res.leftovers, before);
	kit_rm(&t->k, name);
	assert_int_equal(kit_objects_unlinked(&t->k), 0);
	assert_true(kit_tree_is(&t->k, B, 2, &t->v2));
	(void)path;
}

static void test_two_healers(void **arg)
{
	struct state *t = *arg;
	char path[300];
	struct ay_store *other;
	struct ay_fsck_result res;
	const struct ay_fsck f = {.heal = true};

	AY_CLOSE int held = openat(t->k.fd, "store/objects", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(ay__lock(held, 2), 0);
	expect(t, fsck(t, true, false), AY_EBUSY);
	expect(t, fsck(t, false, false), 0); /* checking goes on all the same */
	assert_int_equal(ay__lock(held, 8), 0);
	/* A reader may check, and only check. */
	snprintf(path, sizeof(path), "%s/store", t->k.dir);
	expect(t, ay_store_open(ay_fs_real(), path, AY_STORE_READONLY, &other, &t->err), 0);
	assert_int_equal(ay_store_fsck(other, &f, &res, &t->err), -EROFS);
	const struct ay_fsck look = {.heal = false};
	expect(t, ay_store_fsck(other, &look, &res, &t->err), 0);
	assert_int_equal(res.damaged, 0);
	ay_store_close(other);
}

/*
 * Another good inode stands in a tree lawfully, but by it the collector does not know that the object is needed: after
 * healing the tree links the object.
 */
static void test_another_good_inode(void **arg)
{
	struct state *t = *arg;
	char path[300], object[200];

	object_of(t, "/bin/kept", object);
	kit_noise(&t->k, "copy", 50000, 5001, 0755);
	assert_int_equal(renameat(t->k.fd, "copy", t->k.fd, object), 0);
	assert_int_not_equal(ino(t, object), ino(t, in_tree(path, 2, "bin/kept")));
	expect(t, fsck(t, false, false), 0);
	assert_int_equal(t->n, 0);
	expect(t, fsck(t, true, false), 0);
	assert_int_equal(t->n, 0);
	assert_int_equal(ino(t, object), ino(t, in_tree(path, 2, "bin/kept")));
	expect(t, ay_store_gc(t->s, 5, NULL, &t->err), 0);
	assert_true(kit_exists(&t->k, object));
	expect_clean(t);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
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
