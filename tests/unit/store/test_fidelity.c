/* SPDX-License-Identifier: MIT */
/*
 * What is hard to keep of a tree: holes, what only root may have, what a branch may not have. (All of it on real file
 * systems: tests/e2e/test_fidelity.sh.)
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
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "store/losses.h"
#include "store/tree_internal.h"
#include "tests/support/fs_fault.h"
#include "tests/support/store_kit.h"

#define B     "xo/stable"
#define B_DIR "xo%2Fstable"

struct state {
	struct kit k;
	struct fs_fault f;
	struct ay_store *s;
	struct kit_tree v1, v2;
	struct ay_offer o1, o12;
	int b1, b12;
	struct ay_err err;
	unsigned told;
	uint32_t told_serial;
	struct ay_losses losses;
	unsigned objects_when_told;
};

static int setup(void **arg)
{
	struct state *t = calloc(1, sizeof(*t));

	kit_init(&t->k);
	fs_fault_init(&t->f);
	t->f.syncs_off = true;
	t->f.reflink_error = EOPNOTSUPP;
	t->b1 = t->b12 = -1;
	kit_mkdir(&t->k, "v1", 0755);
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
	kit_tree_release(&t->v1);
	kit_tree_release(&t->v2);
	kit_release(&t->k);
	free(t);
	return 0;
}

/* A file of @size bytes without a block, then "data" at each of @at (ends with a negative one). */
static void sparse(struct state *t, const char *path, off_t size, const off_t *at)
{
	AY_CLOSE int fd = openat(t->k.fd, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, size), 0);
	for (; *at >= 0; at++)
		assert_int_equal(pwrite(fd, "data", 4, *at), 4);
}

static blkcnt_t blocks(struct state *t, const char *path)
{
	struct stat st;

	assert_int_equal(fstatat(t->k.fd, path, &st, AT_SYMLINK_NOFOLLOW), 0);
	return st.st_blocks;
}

#define TREE(n) "store/branches/" B_DIR "/" n "/root/"

static void apply(struct state *t, const struct kit_tree *v, int bundle, const struct ay_offer *o)
{
	if (kit_apply(t->s, B, v, bundle, o, &t->err) < 0)
		fail_msg("%s", t->err.msg);
	assert_true(kit_tree_is(&t->k, B_DIR, v->serial, v));
}

static const off_t nowhere[] = {-1}, middle[] = {3000000, -1}, ends[] = {0, 9999990, -1},
		   odd[] = {4094, 70000, -1};

static void make_holes(struct state *t)
{
	sparse(t, "v1/all", 10000001, nowhere); /* its last block is not whole */
	sparse(t, "v1/middle", 10000000, middle);
	sparse(t, "v1/ends", 10000000, ends);
	sparse(t, "v1/odd", 100000, odd);
	sparse(t, "v1/small", 5, nowhere);
}

/* Imported: the files are copied. */
static void holes_stay_holes(void **arg)
{
	struct state *t = *arg;
	static const char *const names[] = {"all", "middle", "ends", "odd", "small"};
	char a[64], b[128];

	make_holes(t);
	assert_int_equal(blocks(t, "v1/all"), 0);
	kit_publish(&t->k, "v1", B, 1, &t->v1);
	if (kit_import(&t->k, t->s, B, &t->v1, &t->err) < 0)
		fail_msg("%s", t->err.msg);
	for (size_t i = 0; i < 5; i++) {
		snprintf(a, sizeof(a), "v1/%s", names[i]);
		snprintf(b, sizeof(b), "%s%s", TREE("1"), names[i]);
		assert_int_equal(blocks(t, a), blocks(t, b));
	}
}

static void holes_come_out_of_bundles(void **arg)
{
	struct state *t = *arg;
	static const char *const names[] = {"all", "middle", "ends", "odd", "small"};
	char a[64], b[128];

	make_holes(t);
	kit_publish(&t->k, "v1", B, 1, &t->v1);
	t->b1 = kit_bundle(&t->k, NULL, &t->v1, &t->o1);
	assert_true(t->o1.hole_size > 29000000 && t->o1.hole_size < t->o1.unpacked_size);
	apply(t, &t->v1, t->b1, &t->o1);
	for (size_t i = 0; i < 5; i++) {
		snprintf(a, sizeof(a), "v1/%s", names[i]);
		snprintf(b, sizeof(b), "%s%s", TREE("1"), names[i]);
		assert_int_equal(blocks(t, a), blocks(t, b));
	}
	/* The second release: one file changed, one only got another mode, which is a copy here. */
	kit_mkdir(&t->k, "v2", 0755);
	sparse(t, "v2/middle", 12000000, middle);
	sparse(t, "v2/ends", 10000000, ends);
	assert_int_equal(fchmodat(t->k.fd, "v2/ends", 0600, 0), 0);
	kit_publish(&t->k, "v2", B, 2, &t->v2);
	t->b12 = kit_bundle(&t->k, &t->v1, &t->v2, &t->o12);
	apply(t, &t->v2, t->b12, &t->o12);
	assert_int_equal(blocks(t, "v2/middle"), blocks(t, TREE("2") "middle"));
	assert_int_equal(blocks(t, "v2/ends"), blocks(t, TREE("2") "ends"));
}

/* Zeros that were written are not distinguished from holes, but nothing else may be lost beside them. */
static void zeros_among_data_are_left_out(void **arg)
{
	struct state *t = *arg;
	size_t len = 20 * 65536 + 77;
	AY_FREE uint8_t *data = malloc(len);
	uint64_t x = 1;

	assert_non_null(data);
	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)((x = x * 6364136223846793005u + 1442695040888963407u) >> 56);
	for (size_t at = 3000; at + 9000 < len; at += 37777)
		memset(data + at, 0, 9000); /* one whole block at least, two at most */
	kit_write(&t->k, "v1/mixed", data, len, 0644, 1700000000);
	kit_publish(&t->k, "v1", B, 1, &t->v1);
	t->b1 = kit_bundle(&t->k, NULL, &t->v1, &t->o1);
	apply(t, &t->v1, t->b1, &t->o1);
	assert_true(blocks(t, TREE("1") "mixed") < blocks(t, "v1/mixed"));
}

/* ---- a plain user's store ---- */

static void on_losses(void *ctx, const char *branch, uint32_t serial, const struct ay_losses *l)
{
	struct state *t = ctx;

	assert_string_equal(branch, B);
	t->told++;
	t->told_serial = serial;
	t->losses = *l;
	t->objects_when_told = kit_count(&t->k, "store/objects");
}

static void a_plain_users_losses_are_told_before(void **arg)
{
	struct state *t = *arg;
	static const uint8_t acl[] = {2,    0, 0, 0,                      /* version */
				      1,    0, 6, 0, 255, 255, 255, 255,  /* user::rw */
				      2,    0, 6, 0, 77,  0,   0,   0,    /* user:77:rw */
				      4,    0, 0, 0, 255, 255, 255, 255,  /* group::--- */
				      0x10, 0, 6, 0, 255, 255, 255, 255,  /* mask::rw */
				      0x20, 0, 0, 0, 255, 255, 255, 255}; /* other::--- */
	struct ay_buf text = {0};
	struct stat st;
	char path[400];

	t->s->owner_me = true;
	ay_store_on_losses(t->s, on_losses, t);
	kit_text(&t->k, "v1/plain", "p", 0644);
	kit_publish(&t->k, "v1", B, 1, &t->v1);
	t->b1 = kit_bundle(&t->k, NULL, &t->v1, &t->o1);
	assert_int_equal(kit_apply(t->s, B, &t->v1, t->b1, &t->o1, &t->err), 0);
	assert_int_equal(t->told, 0); /* nothing is lost of this one */

	kit_mkdir(&t->k, "v2", 0755);
	kit_text(&t->k, "v2/su", "s", 06755);
	kit_text(&t->k, "v2/acl", "a", 0600);
	snprintf(path, sizeof(path), "%s/v2/acl", t->k.dir);
	bool has_acl = setxattr(path, "system.posix_acl_access", acl, sizeof(acl), 0) == 0;
	bool root = geteuid() == 0 && mknodat(t->k.fd, "v2/null", S_IFCHR | 0666, makedev(1, 3)) == 0;
	if (root)
		assert_int_equal(fchownat(t->k.fd, "v2/acl", 1234, 1234, 0), 0);
	kit_publish(&t->k, "v2", B, 2, &t->v2);
	t->b12 = kit_bundle(&t->k, &t->v1, &t->v2, &t->o12);
	unsigned before = kit_count(&t->k, "store/objects");
	if (kit_apply(t->s, B, &t->v2, t->b12, &t->o12, &t->err) < 0)
		fail_msg("%s", t->err.msg);
	assert_int_equal(t->told, 1);
	assert_int_equal(t->told_serial, 2);
	assert_int_equal(t->objects_when_told, before);
	assert_int_equal(t->losses.n[AY_LOSS_SETUID], 1);
	assert_string_equal(t->losses.first[AY_LOSS_SETUID], "/su");
	assert_int_equal(t->losses.n[AY_LOSS_XATTR], has_acl);
	assert_int_equal(t->losses.n[AY_LOSS_DEVICE], root);
	assert_int_equal(t->losses.n[AY_LOSS_OWNER], root);
	const char *words = ay_losses_text(&t->losses, &text);
	assert_non_null(strstr(words, "setuid and setgid of 1 (/su)"));
	if (root)
		assert_non_null(strstr(words, "devices, left out: 1 (/null)"));
	ay_buf_release(&text);

	assert_int_equal(fstatat(t->k.fd, TREE("2") "su", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
	assert_int_equal(fstatat(t->k.fd, TREE("2") "null", &st, 0), -1);
	/* The ACL gave the group nothing: without it the group must not get what the mask was. */
	assert_int_equal(fstatat(t->k.fd, TREE("2") "acl", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	uint64_t bad = 0;
	assert_int_equal(ay_store_verify(t->s, B, 2, &bad, &t->err), 0);
	assert_int_equal(bad, 0);
	t->s->owner_me = geteuid() != 0;
}

/* ---- the branch's limits, when a bundle is applied (of importing: test_apply.c) ---- */

static void applies_under(struct state *t, const char *rule, const char *dir, int code, const char *words)
{
	ay_store_close(t->s);
	t->s = NULL;
	kit_rm(&t->k, "store");
	kit_root_with_rule(&t->k, B, rule);
	assert_int_equal(kit_store(&t->k, &t->f.fs, &t->s, &t->err), 0);
	kit_tree_release(&t->v1);
	close(t->b1);
	kit_publish(&t->k, dir, B, 1, &t->v1);
	t->b1 = kit_bundle(&t->k, NULL, &t->v1, &t->o1);
	int r = kit_apply(t->s, B, &t->v1, t->b1, &t->o1, &t->err);
	if (r != code || (code < 0 && !strstr(t->err.msg, words)))
		fail_msg("%s: %d instead of %d: %s", rule, r, code, t->err.msg);
	if (code < 0) {
		assert_false(kit_exists(&t->k, "store/branches/" B_DIR "/1"));
		assert_int_equal(kit_count(&t->k, "store/objects"), 0);
		assert_int_equal(kit_count(&t->k, "store/tmp"), 0);
	}
	memset(&t->err, 0, sizeof(t->err));
}

static void a_branchs_limits_bite_when_applied(void **arg)
{
	struct state *t = *arg;
	static const uint8_t caps[20] = {1, 0, 0, 2, 0, 4};
	char path[400];

	kit_text(&t->k, "v1/su", "s", 02755);
	applies_under(t, "", "v1", 0, "");
	applies_under(t, "nosuid", "v1", AY_EROLE,
		      "/su: the root does not allow setuid and setgid in branch " B);
	kit_rm(&t->k, "v1/su");
	kit_mkdir(&t->k, "v1/dir", 02755); /* a directory's setgid is nobody's right */
	applies_under(t, "nosuid", "v1", 0, "");
	if (geteuid() != 0)
		return;
	kit_text(&t->k, "v1/f", "f", 0644);
	assert_int_equal(fchownat(t->k.fd, "v1/f", 0, 1000, 0), 0); /* the group counts, too */
	applies_under(t, "uids=0-1000", "v1", 0, "");
	applies_under(t, "uids=0-999", "v1", AY_EROLE, "/f: the root does not allow this owner");
	applies_under(t, "uids=1-1000", "v1", AY_EROLE, "/: the root does not allow this owner");
	/* Owner and group, above and below. */
	static const struct {
		uid_t uid;
		gid_t gid;
	} outside[] = {{2001, 1000}, {1000, 2001}, {999, 1000}, {1000, 999}};
	kit_mkdir(&t->k, "u", 0755);
	kit_text(&t->k, "u/f", "f", 0644);
	assert_int_equal(fchownat(t->k.fd, "u", 1000, 2000, 0), 0);
	for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++) {
		assert_int_equal(fchownat(t->k.fd, "u/f", outside[i].uid, outside[i].gid, 0), 0);
		applies_under(t, "uids=999-2001", "u", 0, "");
		applies_under(t, "uids=1000-2000", "u", AY_EROLE, "/f: the root does not allow this owner");
	}
	if (mknodat(t->k.fd, "v1/disk", S_IFBLK | 0600, makedev(8, 0)) == 0) {
		applies_under(t, "nosuid", "v1", 0, "");
		applies_under(t, "nodev", "v1", AY_EROLE, "/disk: the root does not allow devices");
		kit_rm(&t->k, "v1/disk");
	}
	snprintf(path, sizeof(path), "%s/v1/f", t->k.dir);
	if (setxattr(path, "security.capability", caps, sizeof(caps), 0) == 0) {
		applies_under(t, "nodev", "v1", 0, "");
		applies_under(t, "nocaps", "v1", AY_EROLE, "/f: the root does not allow file capabilities");
	}
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(holes_stay_holes),
		TEST(holes_come_out_of_bundles),
		TEST(zeros_among_data_are_left_out),
		TEST(a_plain_users_losses_are_told_before),
		TEST(a_branchs_limits_bite_when_applied),
	};
	return cmocka_run_group_tests_name("store/fidelity", tests, NULL, NULL);
}
