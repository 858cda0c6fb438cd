/* SPDX-License-Identifier: MIT */
/*
 * Symbolic links that have attributes, or had them in the tree before, are made and not linked (store/tree_alike.c).
 * All others: symlinks_as_they_were in test_apply.c.
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
#include "tests/support/fs_fault.h"
#include "tests/support/store_kit.h"

#define B     "xo/stable"
#define B_DIR "xo%2Fstable"

struct state {
	struct kit k;
	struct fs_fault f; /* no syncs */
	struct ay_store *s;
	struct ay_err err;
};

static int setup(void **arg)
{
	struct state *t = calloc(1, sizeof(*t));

	kit_init(&t->k);
	fs_fault_init(&t->f);
	t->f.syncs_off = true;
	if (kit_store(&t->k, &t->f.fs, &t->s, &t->err) < 0)
		fail_msg("%s", t->err.msg);
	*arg = t;
	return 0;
}

static int teardown(void **arg)
{
	struct state *t = *arg;

	ay_store_close(t->s);
	kit_release(&t->k);
	free(t);
	return 0;
}

static void assert_applies(struct state *t, const struct kit_tree *v, int bundle, const struct ay_offer *o)
{
	if (kit_apply(t->s, B, v, bundle, o, &t->err) < 0)
		fail_msg("%s", t->err.msg);
	assert_true(kit_tree_is(&t->k, B_DIR, v->serial, v)); /* attributes, too */
}

#define NOTE "trusted.ayni-test" /* users' attributes no symbolic link may have */

/* A tree of one file and a link, `noted`, which has an attribute with @value (NULL: none). */
static void tree_with_noted_link(struct state *t, const char *value, uint32_t serial, struct kit_tree *out)
{
	const struct timespec then[2] = {{1600000000, 5}, {1600000000, 5}};
	char dir[16], path[64], full[400];

	snprintf(dir, sizeof(dir), "n%u", serial);
	kit_mkdir(&t->k, dir, 0755);
	snprintf(path, sizeof(path), "%s/file", dir);
	kit_write(&t->k, path, &serial, sizeof(serial), 0644, 1); /* no two trees are the same */
	snprintf(path, sizeof(path), "%s/noted", dir);
	kit_symlink(&t->k, path, "file");
	snprintf(full, sizeof(full), "%s/%s", t->k.dir, path);
	if (value)
		assert_int_equal(lsetxattr(full, NOTE, value, strlen(value), 0), 0);
	assert_int_equal(utimensat(t->k.fd, dir, then, 0), 0);
	kit_publish(&t->k, dir, B, serial, out);
}

/* The attribute's value of tree @serial's link, which must be there; "" when there is none. */
static void note_of(struct state *t, uint32_t serial, char out[16])
{
	char full[400];

	snprintf(full, sizeof(full), "%s/store/branches/%s/%u/root/noted", t->k.dir, B_DIR, serial);
	ssize_t n = lgetxattr(full, NOTE, out, 15);
	assert_true(n >= 0 || errno == ENODATA);
	out[n > 0 ? n : 0] = '\0';
}

static ino_t inode_of(struct state *t, uint32_t serial)
{
	char path[96];
	struct stat st;

	snprintf(path, sizeof(path), "store/branches/%s/%u/root/noted", B_DIR, serial);
	assert_int_equal(fstatat(t->k.fd, path, &st, AT_SYMLINK_NOFOLLOW), 0);
	return st.st_ino;
}

static bool links_can_have_notes(struct state *t)
{
	char full[400];

	kit_symlink(&t->k, "probe", "nowhere");
	snprintf(full, sizeof(full), "%s/probe", t->k.dir);
	return geteuid() == 0 && lsetxattr(full, NOTE, "n", 1, 0) == 0;
}

/* What the old link's attribute was does not come along, and what the new one's is arrives: such a link is made, not linked. */
static void attributes_of_symlinks(void **arg)
{
	static const struct {
		const char *old, *new_;
	} cases[] = {{"old", NULL}, {NULL, "new"}, {"old", "new"}, {"same", "same"}, {NULL, NULL}};
	struct state *t = *arg;

	if (!links_can_have_notes(t)) {
		puts("skipped: needs root, and a file system whose symbolic links can have " NOTE);
		skip();
	}
	for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const uint32_t from = 2 * i + 1, to = from + 1;
		struct kit_tree a, b;
		struct ay_offer oa, ob;
		char note[16];

		tree_with_noted_link(t, cases[i].old, from, &a);
		tree_with_noted_link(t, cases[i].new_, to, &b);
		AY_CLOSE int ba = kit_bundle(&t->k, NULL, &a, &oa), bb = kit_bundle(&t->k, &a, &b, &ob);
		assert_applies(t, &a, ba, &oa);
		note_of(t, from, note);
		assert_string_equal(note, cases[i].old ? cases[i].old : "");
		assert_applies(t, &b, bb, &ob);
		note_of(t, to, note);
		assert_string_equal(note, cases[i].new_ ? cases[i].new_ : "");
		note_of(t, from, note); /* nor did the old one lose or get anything */
		assert_string_equal(note, cases[i].old ? cases[i].old : "");

		bool linked = inode_of(t, from) == inode_of(t, to);
		assert_int_equal(linked, !cases[i].old && !cases[i].new_);
		kit_tree_release(&a);
		kit_tree_release(&b);
	}
}

/* ---- what was done to the old tree in place ---- */

static void link_path(struct state *t, uint32_t serial, char out[400])
{
	snprintf(out, 400, "%s/store/branches/%s/%u/root/noted", t->k.dir, B_DIR, serial);
}

static void give_note(const char *path)
{
	assert_int_equal(lsetxattr(path, NOTE, "local", 5, 0), 0);
}

static void give_away(const char *path)
{
	assert_int_equal(lchown(path, 4711, 4712), 0);
}

static void give_time(const char *path)
{
	const struct timespec now[2] = {{1700000000, 0}, {1700000000, 0}};

	assert_int_equal(utimensat(AT_FDCWD, path, now, AT_SYMLINK_NOFOLLOW), 0);
}

static void give_target(const char *path)
{
	struct stat st;

	assert_int_equal(lstat(path, &st), 0);
	const struct timespec then[2] = {st.st_atim, st.st_mtim};
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("fill", path), 0); /* as long as the one that was */
	assert_int_equal(utimensat(AT_FDCWD, path, then, AT_SYMLINK_NOFOLLOW), 0);
}

/* Somebody changed the link of the old tree: the next tree gets what its manifest says. */
static void what_was_done_in_place_stays_there(void **arg)
{
	static void (*const changes[])(const char *path) = {give_note, give_away, give_time, give_target};
	struct state *t = *arg;
	bool notes = links_can_have_notes(t);

	if (geteuid() != 0) {
		puts("skipped: needs root, who may give files away");
		skip();
	}
	for (uint32_t i = notes ? 0 : 1; i < sizeof(changes) / sizeof(changes[0]); i++) {
		const uint32_t from = 2 * i + 1, to = from + 1;
		struct kit_tree a, b;
		struct ay_offer oa, ob;
		char path[400];

		tree_with_noted_link(t, NULL, from, &a);
		tree_with_noted_link(t, NULL, to, &b);
		AY_CLOSE int ba = kit_bundle(&t->k, NULL, &a, &oa), bb = kit_bundle(&t->k, &a, &b, &ob);
		assert_applies(t, &a, ba, &oa);
		link_path(t, from, path);
		changes[i](path);
		assert_applies(t, &b, bb, &ob); /* by its own scan with attributes, owner, time and target */
		assert_int_not_equal(inode_of(t, from), inode_of(t, to));
		kit_tree_release(&a);
		kit_tree_release(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_was_done_in_place_stays_there, setup, teardown),
		cmocka_unit_test_setup_teardown(attributes_of_symlinks, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
