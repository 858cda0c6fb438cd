/* SPDX-License-Identifier: MIT */
/*
 * Applying and importing: every kind of change arrives to the last byte; what is not signed, not here, changed
 * or in somebody's hands is refused; and a refusal leaves the store as it was.
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
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "store/state.h"
#include "store/tree_internal.h"
#include "tests/support/fs_fault.h"
#include "tests/support/store_kit.h"

#define B     "xo/stable"
#define B_DIR "xo%2Fstable"

struct state {
	struct kit k;
	struct fs_fault f; /* counts; no faults here */
	struct ay_store *s;
	struct kit_tree v1, v2;
	struct ay_offer o1, o12, o2;
	int b1, b12, b2; /* bundles: 0-1, 1-2, 0-2 */
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
	t->b1 = kit_bundle(&t->k, NULL, &t->v1, &t->o1);
	t->b12 = kit_bundle(&t->k, &t->v1, &t->v2, &t->o12);
	t->b2 = kit_bundle(&t->k, NULL, &t->v2, &t->o2);
	if (kit_store(&t->k, &t->f.fs, &t->s, &t->err) < 0)
		fail_msg("%s", t->err.msg);
	*arg = t;
	return 0;
}

static int teardown(void **arg)
{
	struct state *t = *arg;

	ay_store_close(t->s);
	close(t->b1);
	close(t->b12);
	close(t->b2);
	kit_tree_release(&t->v1);
	kit_tree_release(&t->v2);
	kit_release(&t->k);
	free(t);
	return 0;
}

static void assert_applies(struct state *t, const struct kit_tree *v, int bundle, const struct ay_offer *o)
{
	struct ay_err err = {0};

	if (kit_apply(t->s, B, v, bundle, o, &err) < 0)
		fail_msg("%s", err.msg);
	assert_true(kit_tree_is(&t->k, B_DIR, v->serial, v));
	assert_int_equal(kit_objects_unlinked(&t->k), 0);
	assert_int_equal(kit_count(&t->k, "store/tmp"), 0);
}

/* Refused with @code and a sentence that has @words; nothing but v1 (if it was) is there. */
static void assert_refused(struct state *t, int r, int code, const char *words)
{
	if (r != code || !strstr(t->err.msg, words))
		fail_msg("%d instead of %d: %s", r, code, t->err.msg);
	assert_int_equal(kit_objects_unlinked(&t->k), 0);
	assert_int_equal(kit_count(&t->k, "store/tmp"), 0);
	assert_false(kit_exists(&t->k, "store/branches/" B_DIR "/2"));
	memset(&t->err, 0, sizeof(t->err));
}

static void from_nothing_and_from_the_tree_before(void **arg)
{
	struct state *t = *arg;

	assert_applies(t, &t->v1, t->b1, &t->o1);
	assert_applies(t, &t->v2, t->b12, &t->o12);
	assert_true(kit_tree_is(&t->k, B_DIR, 1, &t->v1));
	uint64_t bad = 1;
	assert_int_equal(ay_store_verify(t->s, B, 2, &bad, &t->err), 0);
	assert_int_equal(bad, 0);
	/* Unchanged files are the same inode in both trees; a new variant is not. */
	struct stat a, b;
#define STAT(path, st) assert_int_equal(fstatat(t->k.fd, "store/branches/" B_DIR "/" path, &(st), 0), 0)
	STAT("1/root/bin/kept", a);
	STAT("2/root/bin/kept", b);
	assert_int_equal(a.st_ino, b.st_ino);
	STAT("1/root/lib/6.1.0-55/same.ko", a);
	STAT("2/root/lib/6.1.0-56/same.ko", b);
	assert_int_equal(a.st_ino, b.st_ino);
	STAT("1/root/mode", a);
	STAT("2/root/mode", b);
	assert_int_not_equal(a.st_ino, b.st_ino);
	STAT("2/root/empty", a);
	STAT("2/root/empty-too", b);
	assert_int_equal(a.st_ino, b.st_ino);
#undef STAT
	int r = kit_apply(t->s, B, &t->v2, t->b12, &t->o12, &t->err);
	assert_int_equal(r, AY_ENOTHING);
}

static struct stat look(struct state *t, const char *path)
{
	char full[256];
	struct stat st;

	snprintf(full, sizeof(full), "store/branches/%s/%s", B_DIR, path);
	assert_int_equal(fstatat(t->k.fd, full, &st, AT_SYMLINK_NOFOLLOW), 0);
	return st;
}

/* A symbolic link that is as it was is the same inode; what somebody did to the old one in its place does not come along. */
static void symlinks_as_they_were(void **arg)
{
	static const char out[] = "store/branches/" B_DIR "/1/root/out", target[] = "../../../../../../tmp";
	struct state *t = *arg;

	assert_applies(t, &t->v1, t->b1, &t->o1);
	assert_applies(t, &t->v2, t->b12, &t->o12);
	assert_int_equal(look(t, "1/root/out").st_ino, look(t, "2/root/out").st_ino);
	assert_int_not_equal(look(t, "1/root/link").st_ino, look(t, "2/root/link").st_ino);

	const struct timespec now[2] = {{.tv_sec = 77}, {.tv_sec = 77}};
	const struct timespec then[2] = {{1600000000, 5}, {1600000000, 5}}; /* kit_symlink()'s */
	for (int i = 0; i < 5; i++) {
		if (i == 4 && geteuid() != 0)
			continue;
		assert_int_equal(ay_store_remove_tree(t->s, B, 2, &t->err), 0);
		if (i == 0)
			assert_int_equal(utimensat(t->k.fd, out, now, AT_SYMLINK_NOFOLLOW), 0);
		else
			assert_int_equal(unlinkat(t->k.fd, out, 0), 0);
		if (i == 1)
			assert_int_equal(symlinkat("../../../../../../tm2", t->k.fd, out), 0);
		if (i == 2)
			close(openat(t->k.fd, out, O_CREAT | O_WRONLY, 0644));
		if (i == 4) {
			assert_int_equal(symlinkat(target, t->k.fd, out), 0);
			assert_int_equal(fchownat(t->k.fd, out, 5, 5, AT_SYMLINK_NOFOLLOW), 0);
		}
		if (i == 1 || i == 4)
			assert_int_equal(utimensat(t->k.fd, out, then, AT_SYMLINK_NOFOLLOW), 0);
		assert_applies(t, &t->v2, t->b12, &t->o12);
		if (i != 3) /* there it is gone */
			assert_int_not_equal(look(t, "1/root/out").st_ino, look(t, "2/root/out").st_ino);
		else
			close(openat(t->k.fd, out, O_CREAT | O_WRONLY, 0644));
	}
}

static void the_same_tree_by_every_way(void **arg)
{
	struct state *t = *arg;

	assert_applies(t, &t->v2, t->b2, &t->o2);
	struct kit_tree other;
	kit_publish(&t->k, "v2", "other", 7, &other);
	assert_int_equal(kit_import(&t->k, t->s, "other", &other, &t->err), 0);
	assert_true(kit_tree_is(&t->k, "other", 7, &other));
	struct stat a, b; /* equal files are one inode, whoever brought them */
	assert_int_equal(fstatat(t->k.fd, "store/branches/" B_DIR "/2/root/bin/big", &a, 0), 0);
	assert_int_equal(fstatat(t->k.fd, "store/branches/other/7/root/bin/big", &b, 0), 0);
	assert_int_equal(a.st_ino, b.st_ino);
	kit_tree_release(&other);
}

static void without_reflinks_and_with_few_links_it_copies(void **arg)
{
	struct state *t = *arg;

	t->f.reflink_error = EOPNOTSUPP;
	t->f.links_max = 3;
	assert_applies(t, &t->v1, t->b1, &t->o1);
	assert_applies(t, &t->v2, t->b12, &t->o12);
}

static void everything_an_inode_has_arrives(void **arg)
{
	struct state *t = *arg;
	struct kit_tree v3;
	struct ay_offer o;

	if (geteuid() != 0)
		skip();
	kit_mkdir(&t->k, "v3", 0755);
	kit_text(&t->k, "v3/suid", "s", 06755);
	assert_int_equal(fchownat(t->k.fd, "v3/suid", 1000, 1001, 0), 0);
	assert_int_equal(fchmodat(t->k.fd, "v3/suid", 06755, 0), 0);
	kit_text(&t->k, "v3/caps", "c", 0755);
	kit_mkdir(&t->k, "v3/sticky", 01777);
	kit_mkdir(&t->k, "v3/setgid", 02750);
	assert_int_equal(mknodat(t->k.fd, "v3/fifo", S_IFIFO | 0620, 0), 0);
	bool dev = mknodat(t->k.fd, "v3/null", S_IFCHR | 0666, makedev(1, 3)) == 0;
	kit_symlink(&t->k, "v3/dangling", "no\nwhere \xff");
	assert_int_equal(fchownat(t->k.fd, "v3/dangling", 7, 8, AT_SYMLINK_NOFOLLOW), 0);
	static const uint8_t caps[20] = {1, 0, 0, 2, 0, 4}; /* vfs_cap_data v2: cap_net_bind_service */
	char path[400];
	snprintf(path, sizeof(path), "%s/v3/caps", t->k.dir);
	bool has_caps = setxattr(path, "security.capability", caps, sizeof(caps), 0) == 0;
	snprintf(path, sizeof(path), "%s/v3/sticky", t->k.dir);
	bool has_user = setxattr(path, "user.note", "n\0n", 3, 0) == 0;
	if (!dev || !has_caps || !has_user)
		print_message("[ without: %s%s%s]\n", dev ? "" : "device ", has_caps ? "" : "capability ",
			      has_user ? "" : "user xattr ");
	kit_publish(&t->k, "v3", B, 3, &v3);
	int bundle = kit_bundle(&t->k, NULL, &v3, &o);
	assert_applies(t, &v3, bundle, &o);
	close(bundle);
	kit_tree_release(&v3);
}

/* 150 directories deep, with names at their longest, and read-only all the way. */
static void deep_and_narrow(void **arg)
{
	struct state *t = *arg;
	struct kit_tree v3;
	struct ay_offer o;
	char path[4096] = "v3", paths[151][400];
	size_t end = strlen(path);

	kit_mkdir(&t->k, path, 0755);
	for (int i = 0; i < 150; i++) {
		memcpy(paths[i], path, strlen(path) + 1);
		end += (size_t)snprintf(path + end, sizeof(path) - end, "/d");
		kit_mkdir(&t->k, path, 0755);
		char file[4110];
		snprintf(file, sizeof(file), "%s/f", path);
		kit_text(&t->k, file, "f", 0644);
		snprintf(file, sizeof(file), "%s/x%d", path, i % 3);
		kit_text(&t->k, file, "x", 0644);
	}
	for (int i = 149; i > 0; i--)
		assert_int_equal(fchmodat(t->k.fd, paths[i], 0555, 0), 0);
	kit_publish(&t->k, "v3", B, 3, &v3);
	int bundle = kit_bundle(&t->k, NULL, &v3, &o);
	struct rlimit normal, few;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &normal), 0);
	few = normal;
	few.rlim_cur = 110; /* fewer than the tree is deep */
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	int r = kit_apply(t->s, B, &v3, bundle, &o, &t->err);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &normal), 0);
	if (r < 0)
		fail_msg("%s", t->err.msg);
	assert_true(kit_tree_is(&t->k, B_DIR, 3, &v3));
	close(bundle);
	kit_tree_release(&v3);
}

/* Only trees that this branch has are a start, whatever other branches hold. */
static void a_base_that_is_not_ours_is_refused(void **arg)
{
	struct state *t = *arg;
	struct kit_tree other;

	assert_refused(t, kit_apply(t->s, B, &t->v2, t->b12, &t->o12, &t->err), AY_EBASE, "does not have");
	kit_publish(&t->k, "v1", "other", 1, &other);
	assert_int_equal(kit_import(&t->k, t->s, "other", &other, &t->err), 0);
	assert_refused(t, kit_apply(t->s, B, &t->v2, t->b12, &t->o12, &t->err), AY_EBASE, "does not have");
	kit_tree_release(&other);
}

static void a_release_that_is_not_signed_is_refused(void **arg)
{
	struct state *t = *arg;
	struct kit_tree bad = t->v2;
	struct ay_err *err = &t->err;

	assert_applies(t, &t->v1, t->b1, &t->o1);
	bad.release = (struct ay_buf){0};
	ay_put_bytes(&bad.release, t->v2.release.data, t->v2.release.len);
	char *serial = memmem(bad.release.data, bad.release.len, "serial: 2", 9);
	assert_non_null(serial);
	serial[8] = '9';
	assert_refused(t, kit_apply(t->s, B, &bad, t->b12, &t->o12, err), AY_ESIG, "release of");
	serial[8] = '2';
	assert_refused(t, kit_apply(t->s, "xo/other", &t->v2, t->b12, &t->o12, err), AY_EFORMAT, "");
	ay_buf_release(&bad.release);

	struct kit stranger = t->k; /* somebody else's key */
	assert_int_equal(ay_key_generate(&stranger.key, &stranger.public_key), 0);
	kit_publish(&stranger, "v2", B, 2, &bad);
	assert_refused(t, kit_apply(t->s, B, &bad, t->b12, &t->o12, err), AY_EROLE, "release of");
	kit_tree_release(&bad);
}

static void below_the_floor_is_refused(void **arg)
{
	struct state *t = *arg;
	struct kit_tree v3;

	kit_publish(&t->k, "v1", B, 3, &v3);
	assert_int_equal(kit_import(&t->k, t->s, B, &v3, &t->err), 0);
	assert_int_equal(ay_store_switch(t->s, B, 3, false, &t->err), 0);
	assert_refused(t, kit_apply(t->s, B, &t->v2, t->b2, &t->o2, &t->err), AY_EROLLBACK,
		       "below the floor 3");
	assert_int_equal(kit_import(&t->k, t->s, B, &t->v2, &t->err), AY_EROLLBACK);
	kit_tree_release(&v3);
}

static void another_release_with_the_same_serial_is_refused(void **arg)
{
	struct state *t = *arg;
	struct kit_tree twin;

	assert_applies(t, &t->v1, t->b1, &t->o1);
	kit_publish(&t->k, "v2", B, 1, &twin);
	assert_refused(t, kit_apply(t->s, B, &twin, t->b2, &t->o2, &t->err), AY_EROLLBACK, "another release");
	assert_true(kit_tree_is(&t->k, B_DIR, 1, &t->v1));
	kit_tree_release(&twin);
}

static void an_offer_for_something_else_is_refused(void **arg)
{
	struct state *t = *arg;
	struct ay_offer o = t->o12;

	assert_applies(t, &t->v1, t->b1, &t->o1);
	assert_refused(t, kit_apply(t->s, B, &t->v2, t->b12, &t->o1, &t->err), AY_EFORMAT, "is not for");
	assert_refused(t, kit_apply(t->s, B, &t->v2, t->b2, &t->o12, &t->err), AY_EFORMAT, "");
	o.unpacked_size = t->o1.unpacked_size;
	assert_refused(t, kit_apply(t->s, B, &t->v2, t->b1, &o, &t->err), AY_EFORMAT, "does not lead");
	snprintf(o.branch, sizeof(o.branch), "other");
	assert_refused(t, kit_apply(t->s, B, &t->v2, t->b12, &o, &t->err), AY_EFORMAT, "offer");
	o = t->o12;
	o.unpacked_size--;
	int r = kit_apply(t->s, B, &t->v2, t->b12, &o, &t->err);
	assert_true(r == AY_EFORMAT || r == AY_ELIMIT);
	assert_refused(t, r, r, "");
}

/* A whole fleet's worth of broken bundles: truncated, and with every so many a bit flipped. */
static void a_broken_bundle_leaves_the_store_as_it_was(void **arg)
{
	struct state *t = *arg;
	struct stat st;

	assert_applies(t, &t->v1, t->b1, &t->o1);
	unsigned objects = kit_count(&t->k, "store/objects");
	assert_int_equal(fstat(t->b12, &st), 0);
	AY_FREE uint8_t *good = malloc((size_t)st.st_size);
	assert_int_equal(pread(t->b12, good, (size_t)st.st_size, 0), st.st_size);
	for (int i = 0; i < 60; i++) {
		size_t len = (size_t)st.st_size, at = len * (size_t)i / 60;
		int fd = openat(t->k.fd, "broken", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		if (i % 2)
			len = at;
		assert_int_equal(write(fd, good, len), len);
		if (i % 2 == 0) {
			uint8_t b = good[at] ^ (uint8_t)(1u << i % 8);
			assert_int_equal(pwrite(fd, &b, 1, (off_t)at), 1);
		}
		memset(&t->err, 0, sizeof(t->err));
		int r = kit_apply(t->s, B, &t->v2, fd, &t->o12, &t->err);
		close(fd);
		if (r == 0) { /* a bit that nobody reads: then the tree must be right */
			assert_true(kit_tree_is(&t->k, B_DIR, 2, &t->v2));
			fail_msg("flipped bit at %zu did no harm: padding?", at);
		}
		assert_true(r < 0);
		assert_refused(t, r, r, "apply");
		assert_int_equal(kit_count(&t->k, "store/objects"), objects);
	}
	assert_applies(t, &t->v2, t->b12, &t->o12);
}

static void a_base_changed_in_place_is_named(void **arg)
{
	struct state *t = *arg;
	struct stat st;

	assert_applies(t, &t->v1, t->b1, &t->o1);
	/* Same size, same mtime: what only the digest shows. */
	AY_CLOSE int fd = openat(t->k.fd, "store/branches/" B_DIR "/1/root/bin/big", O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0 && fstat(fd, &st) == 0);
	for (off_t at = 100; at < 700000; at += 5000) {
		uint8_t b;
		assert_int_equal(pread(fd, &b, 1, at), 1);
		b ^= 0x55;
		assert_int_equal(pwrite(fd, &b, 1, at), 1);
	}
	const struct timespec ts[2] = {st.st_mtim, st.st_mtim};
	assert_int_equal(futimens(fd, ts), 0);
	assert_refused(t, kit_apply(t->s, B, &t->v2, t->b12, &t->o12, &t->err), AY_EBASE, "changed in place");
	/* Shorter. */
	assert_int_equal(ftruncate(fd, 600000), 0);
	assert_refused(t, kit_apply(t->s, B, &t->v2, t->b12, &t->o12, &t->err), AY_EBASE, "ayni fsck --heal");
	/* The bundle from nothing brings good ones, and does not take the bad one for its own. */
	assert_applies(t, &t->v2, t->b2, &t->o2);
}

static void a_kept_file_changed_in_place_is_not_linked_on(void **arg)
{
	struct state *t = *arg;

	assert_applies(t, &t->v1, t->b1, &t->o1);
	AY_CLOSE int fd = openat(t->k.fd, "store/branches/" B_DIR "/1/root/bin/kept", O_RDWR | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "!", 1, 0), 1);
	assert_refused(t, kit_apply(t->s, B, &t->v2, t->b12, &t->o12, &t->err), AY_EBASE, "/bin/kept");
}

static void two_at_once_in_one_branch(void **arg)
{
	struct state *t = *arg;
	struct ay_store *second;

	assert_applies(t, &t->v1, t->b1, &t->o1);
	AY_CLOSE int dir = openat(t->k.fd, "store/branches/" B_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int lock = ay__branch_lock(t->s, dir, ".apply", LOCK_EX, &t->err);
	assert_int_equal(kit_store(&t->k, &t->f.fs, &second, &t->err), 0);
	assert_refused(t, kit_apply(second, B, &t->v2, t->b12, &t->o12, &t->err), AY_EBUSY,
		       "another process");
	close(lock);
	ay_store_close(second);
}

static int stop_half_way(void *ctx, uint64_t done, uint64_t total)
{
	unsigned *calls = ctx;

	(*calls)++;
	assert_true(done <= total);
	return done * 2 > total ? AY_EBUSY : 0;
}

static void progress_may_stop_it(void **arg)
{
	struct state *t = *arg;
	unsigned calls = 0;
	struct ay_apply a = {.branch = B,
			     .release = t->v1.release.data,
			     .release_len = t->v1.release.len,
			     .bundle_fd = t->b1,
			     .offer = &t->o1,
			     .progress = stop_half_way,
			     .ctx = &calls};

	assert_refused(t, ay_store_apply(t->s, &a, &t->err), AY_EBUSY, "");
	assert_true(calls > 1);
	assert_false(kit_exists(&t->k, "store/branches/" B_DIR "/1"));
	assert_applies(t, &t->v1, t->b1, &t->o1);
}

/* ---- import ---- */

static void an_import_whose_source_is_something_else_is_refused(void **arg)
{
	struct state *t = *arg;

	kit_write(&t->k, "v2/comes", "I lied", 6, 0644, 1700000000);
	assert_refused(t, kit_import(&t->k, t->s, B, &t->v2, &t->err), AY_EDIGEST, "/comes");
	kit_rm(&t->k, "v2/comes");
	assert_refused(t, kit_import(&t->k, t->s, B, &t->v2, &t->err), -ENOENT, "/comes");
	kit_symlink(&t->k, "v2/comes", "/etc/passwd");
	assert_refused(t, kit_import(&t->k, t->s, B, &t->v2, &t->err), -ELOOP, "/comes");
	struct kit_tree lie = t->v2;
	lie.manifest = t->v1.manifest;
	snprintf(lie.dir, sizeof(lie.dir), "v1");
	assert_refused(t, kit_import(&t->k, t->s, B, &lie, &t->err), AY_EDIGEST,
		       "not the one that the release names");
}

static void an_import_does_not_take_an_object_on_trust(void **arg)
{
	struct state *t = *arg;

	/* The object is here; the source has other bytes: that must not pass as "here already". */
	assert_applies(t, &t->v1, t->b1, &t->o1);
	kit_write(&t->k, "v2/bin/kept", "I lied", 6, 0755, 1700000001);
	assert_refused(t, kit_import(&t->k, t->s, B, &t->v2, &t->err), AY_EDIGEST, "/bin/kept");
}

/* ---- the branch's limits ---- */

/* Trust a root with @rule for the branch, in a store of its own, and import @tree. */
static int import_under(struct state *t, const char *rule, const char *tree, struct ay_err *err)
{
	struct kit_tree v;

	ay_store_close(t->s);
	t->s = NULL;
	kit_rm(&t->k, "store");
	kit_root_with_rule(&t->k, B, rule);
	int r = kit_store(&t->k, &t->f.fs, &t->s, err);
	if (r < 0)
		return r;
	kit_publish(&t->k, tree, B, 2, &v);
	memset(err, 0, sizeof(*err));
	r = kit_import(&t->k, t->s, B, &v, err);
	if (r == 0)
		assert_true(geteuid() != 0 || kit_tree_is(&t->k, B_DIR, 2, &v));
	kit_tree_release(&v);
	return r;
}

static void the_roots_limits_bite(void **arg)
{
	struct state *t = *arg;
	static const uint8_t caps[20] = {1, 0, 0, 2, 0, 4};
	char path[400];

	kit_mkdir(&t->k, "suid", 0755);
	kit_text(&t->k, "suid/su", "s", 04755);
	assert_int_equal(import_under(t, "", "suid", &t->err), 0);
	assert_int_equal(import_under(t, "nosuid", "v1", &t->err), 0);
	assert_refused(t, import_under(t, "nosuid", "suid", &t->err), AY_EROLE,
		       "/su: the root does not allow");
	if (geteuid() != 0)
		return;
	kit_text(&t->k, "suid/su", "s", 0755);
	assert_int_equal(fchownat(t->k.fd, "suid/su", 1000, 1000, 0), 0);
	assert_int_equal(import_under(t, "uids=0-1000", "suid", &t->err), 0);
	assert_refused(t, import_under(t, "uids=0-999", "suid", &t->err), AY_EROLE, "owner");
	if (mknodat(t->k.fd, "suid/null", S_IFCHR | 0666, makedev(1, 3)) == 0) {
		assert_int_equal(import_under(t, "nosuid", "suid", &t->err), 0);
		assert_refused(t, import_under(t, "nodev", "suid", &t->err), AY_EROLE, "/null");
		kit_rm(&t->k, "suid/null");
	}
	snprintf(path, sizeof(path), "%s/suid/su", t->k.dir);
	if (setxattr(path, "security.capability", caps, sizeof(caps), 0) == 0) {
		assert_int_equal(import_under(t, "nosuid", "suid", &t->err), 0);
		assert_refused(t, import_under(t, "nocaps", "suid", &t->err), AY_EROLE, "capabilities");
	}
}

static void foreign_attributes_are_refused(void **arg)
{
	struct state *t = *arg;
	struct ay__build b = {.branch = B};
	struct ay_xattr x = {.name = "trusted.overlay.opaque", .value = (const uint8_t *)"y", .value_len = 1};
	struct ay_entry e = {.type = AY_ENTRY_DIR, .path = "/d", .path_len = 2, .xattrs = &x, .n_xattrs = 1};

	assert_int_equal(ay__build_check_entry(&b, &e, &t->err), AY_EFORMAT);
	assert_non_null(strstr(t->err.msg, "trusted.overlay.opaque"));
	x.name = "user.fine";
	assert_int_equal(ay__build_check_entry(&b, &e, &t->err), 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(from_nothing_and_from_the_tree_before),
		TEST(symlinks_as_they_were),
		TEST(the_same_tree_by_every_way),
		TEST(without_reflinks_and_with_few_links_it_copies),
		TEST(everything_an_inode_has_arrives),
		TEST(deep_and_narrow),
		TEST(a_base_that_is_not_ours_is_refused),
		TEST(a_release_that_is_not_signed_is_refused),
		TEST(below_the_floor_is_refused),
		TEST(another_release_with_the_same_serial_is_refused),
		TEST(an_offer_for_something_else_is_refused),
		TEST(a_broken_bundle_leaves_the_store_as_it_was),
		TEST(a_base_changed_in_place_is_named),
		TEST(a_kept_file_changed_in_place_is_not_linked_on),
		TEST(two_at_once_in_one_branch),
		TEST(progress_may_stop_it),
		TEST(an_import_whose_source_is_something_else_is_refused),
		TEST(an_import_does_not_take_an_object_on_trust),
		TEST(the_roots_limits_bite),
		TEST(foreign_attributes_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
