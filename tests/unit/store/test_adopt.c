/* SPDX-License-Identifier: MIT */
/* Directories that become first releases: signed here, or matched with a published one. */
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
#include "store/adopt.h"
#include "store/state.h"
#include "tests/support/kit_repo.h"

#define B "b"

struct state {
	struct kit k;
	struct ay_store *s;
	struct kit_tree v1, v2;
	struct ay_adopt a;
	struct ay_adopted out;
	struct ay_err err;
	int dirfd;
	char told[AY_ADOPT_DIFFS][2048]; /* paths, each behind a blank */
	uint32_t serial;                 /* for the signature */
};

static void on_differs(void *ctx, enum ay_adopt_diff what, const char *path)
{
	struct state *t = ctx;
	size_t n = strlen(t->told[what]);

	snprintf(t->told[what] + n, sizeof(t->told[what]) - n, " %s", path);
}

static void use_dir(struct state *t, const char *dir)
{
	if (t->dirfd >= 0)
		close(t->dirfd);
	t->dirfd = openat(t->k.fd, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(t->dirfd >= 0);
	memset(t->told, 0, sizeof(t->told));
	memset(&t->err, 0, sizeof(t->err));
	t->a = (struct ay_adopt){
		.branch = B, .dirfd = t->dirfd, .dir = dir, .threads = 2, .differs = on_differs, .ctx = t};
}

static void fresh_store(struct state *t, struct ay_fs *fs)
{
	ay_store_close(t->s);
	t->s = NULL;
	kit_rm(&t->k, "store");
	memset(&t->err, 0, sizeof(t->err));
	if (kit_store(&t->k, fs, &t->s, &t->err) < 0)
		fail_msg("%s", t->err.msg);
}

static int setup(void **arg)
{
	struct state *t = calloc(1, sizeof(*t));

	t->dirfd = -1;
	t->serial = 1;
	kit_init(&t->k);
	kit_two_trees(&t->k);
	kit_publish(&t->k, "v1", B, 1, &t->v1);
	kit_publish(&t->k, "v2", B, 2, &t->v2);
	fresh_store(t, ay_fs_real());
	use_dir(t, "v1");
	*arg = t;
	return 0;
}

static int teardown(void **arg)
{
	struct state *t = *arg;

	ay_store_close(t->s);
	close(t->dirfd);
	kit_tree_release(&t->v1);
	kit_tree_release(&t->v2);
	kit_release(&t->k);
	free(t);
	return 0;
}

static int sign(void *ctx, uint64_t entries, uint64_t bytes, const struct ay_digest *manifest,
		uint64_t manifest_size, struct ay_buf *envelope, struct ay_err *err)
{
	struct state *t = ctx;
	struct ay_release *r = calloc(1, sizeof(*r));
	const struct ay_secret_key *keys[1] = {&t->k.key};
	struct ay_buf text = {0};

	*r = (struct ay_release){.branch = B,
				 .serial = t->serial,
				 .root_epoch = 1,
				 .date_s = 1700000000,
				 .manifest = *manifest,
				 .manifest_size = manifest_size,
				 .unpacked_size = bytes,
				 .entries = entries};
	assert_int_equal(ay_release_write(r, &text, err), 0);
	assert_int_equal(ay_envelope_write(text.data, text.len, keys, 1, "test", envelope, err), 0);
	ay_buf_release(&text);
	free(r);
	return 0;
}

static int adopt_new(struct state *t)
{
	return ay_store_adopt_new(t->s, &t->a, sign, t, &t->out, &t->err);
}

static int adopt_match(struct state *t, const struct kit_tree *tree)
{
	char name[32];

	snprintf(name, sizeof(name), "manifest-%u", tree->serial);
	kit_write(&t->k, name, tree->manifest.data, tree->manifest.len, 0644, 1);
	AY_CLOSE int fd = openat(t->k.fd, name, O_RDONLY | O_CLOEXEC);
	return ay_store_adopt_match(t->s, &t->a, tree->release.data, tree->release.len, fd, &t->out, &t->err);
}

static void assert_tree(struct state *t, uint32_t serial)
{
	uint64_t bad = 99;
	struct ay_err err = {0};

	if (ay_store_verify(t->s, B, serial, &bad, &err) < 0 || bad != 0)
		fail_msg("tree %u: %s", serial, err.msg);
	assert_int_equal(kit_count(&t->k, "store/tmp"), 0);
}

/* Nothing of it is in the store. */
static void assert_untouched(struct state *t)
{
	assert_false(kit_exists(&t->k, "store/branches/" B "/1"));
	assert_false(kit_exists(&t->k, "store/branches/" B "/2"));
	assert_int_equal(kit_count(&t->k, "store/tmp"), 0);
	assert_int_equal(kit_count(&t->k, "store/objects"), 0);
}

static struct stat stat_of(struct state *t, const char *path)
{
	struct stat st;

	if (fstatat(t->k.fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		fail_msg("%s: %s", path, strerror(errno));
	return st;
}

static bool same_inode(struct state *t, const char *a, const char *b)
{
	struct stat x = stat_of(t, a), y = stat_of(t, b);
	return x.st_ino == y.st_ino && x.st_dev == y.st_dev;
}

#define ROOT1 "store/branches/" B "/1/root"
#define ROOT2 "store/branches/" B "/2/root"

/* ---- signed here ---- */

static void what_is_there_becomes_the_first_release(void **arg)
{
	struct state *t = *arg;
	struct stat before = stat_of(t, "v1/bin/big");

	assert_int_equal(adopt_new(t), 0);
	assert_tree(t, 1);
	assert_int_equal(t->out.entries, t->v1.totals.entries);
	assert_int_equal(t->out.bytes, t->v1.totals.bytes);
	/* "empty" and "empty-too" are one inode; "twice-a" and "twice-b" differ in mode. */
	assert_int_equal(t->out.present.files, 1);
	assert_int_equal(t->out.copied.files + t->out.reflinked.files, t->v1.totals.files - 1);
	assert_int_equal(t->out.linked.files, 0);
	assert_true(same_inode(t, ROOT1 "/empty", ROOT1 "/empty-too"));
	assert_false(same_inode(t, ROOT1 "/twice-a", ROOT1 "/twice-b"));
	assert_false(same_inode(t, ROOT1 "/bin/big", "v1/bin/big"));
	struct stat after = stat_of(t, "v1/bin/big");
	assert_int_equal(after.st_nlink, 1);
	assert_int_equal(after.st_ctim.tv_sec, before.st_ctim.tv_sec);
	assert_int_equal(after.st_ctim.tv_nsec, before.st_ctim.tv_nsec);
	assert_int_equal(ay_store_switch(t->s, B, 1, false, &t->err), 0);
	/* Once more is nothing to do. */
	assert_int_equal(adopt_new(t), AY_ENOTHING);
}

static void a_read_only_source_is_linked(void **arg)
{
	struct state *t = *arg;

	t->a.read_only_source = true;
	AY_CLOSE int writer = openat(t->k.fd, "v1/bin/kept", O_WRONLY | O_CLOEXEC);
	assert_true(writer >= 0);
	assert_int_equal(adopt_new(t), 0);
	assert_tree(t, 1);
	assert_true(same_inode(t, ROOT1 "/bin/big", "v1/bin/big"));
	/* Who has it open for writing would write into the object. */
	assert_false(same_inode(t, ROOT1 "/bin/kept", "v1/bin/kept"));
	assert_int_equal(t->out.writers, 1);
	assert_int_equal(t->out.copied.files + t->out.reflinked.files, 1);
	assert_int_equal(t->out.linked.files, t->v1.totals.files - 2);
	assert_true(kit_exists(&t->k, "store/branches/" B "/1/linked"));
}

/* Linking one name of an inode moves the ctime that its other names are compared with. */
static void a_file_with_several_names_is_linked_once(void **arg)
{
	struct state *t = *arg;

	t->a.read_only_source = true;
	for (int i = 0; i < 20; i++) {
		char name[32];
		snprintf(name, sizeof(name), "v1/lib/name-%d", i);
		assert_int_equal(linkat(t->k.fd, "v1/bin/big", t->k.fd, name, 0), 0);
	}
	if (adopt_new(t) < 0)
		fail_msg("%s", t->err.msg);
	assert_tree(t, 1);
	assert_true(same_inode(t, ROOT1 "/lib/name-19", "v1/bin/big"));
	assert_int_equal(stat_of(t, "v1/bin/big").st_nlink, 21 + 1 + 21);
	struct ay_gc_result res;
	assert_int_equal(ay_store_remove_tree(t->s, B, 1, &t->err), 0);
	assert_int_equal(ay_store_gc(t->s, 1, &res, &t->err), 0);
	assert_int_equal(kit_count(&t->k, "store/objects"), 0);
}

static void linked_objects_go_with_their_tree(void **arg)
{
	struct state *t = *arg;
	struct ay_gc_result res;

	t->a.read_only_source = true;
	assert_int_equal(adopt_new(t), 0);
	unsigned objects = kit_count(&t->k, "store/objects");
	assert_true(objects > 5);
	assert_int_equal(ay_store_remove_tree(t->s, B, 1, &t->err), 0);
	assert_int_equal(ay_store_gc(t->s, 1, &res, &t->err), 0);
	assert_int_equal(kit_count(&t->k, "store/objects"), 0);
	assert_int_equal(stat_of(t, "v1/bin/big").st_nlink, 1);
}

/* An object that a second branch came to use stays, although the source's links make the count unclear. */
/* Healed, or its links went to a further inode: as many links as the source's inode had once may be trees' now. */
static void another_inode_under_its_name_stays(void **arg)
{
	struct state *t = *arg;
	char name[300] = "";
	struct stat st;

	t->a.read_only_source = true;
	assert_int_equal(adopt_new(t), 0);
	for (unsigned b = 0; b < 256 && !name[0]; b++) {
		char bucket[32];
		snprintf(bucket, sizeof(bucket), "store/objects/%02x", b);
		int fd = openat(t->k.fd, bucket, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		AY_CLOSEDIR DIR *d = fd < 0 ? NULL : fdopendir(fd);
		for (struct dirent *e; d && !name[0] && (e = readdir(d));) {
			if (e->d_name[0] != '.' && fstatat(fd, e->d_name, &st, 0) == 0 && st.st_nlink == 3)
				snprintf(name, sizeof(name), "%s/%.200s", bucket, e->d_name);
		}
	}
	assert_true(name[0] != '\0'); /* the source's, the object's, the tree's */
	kit_text(&t->k, "healed", "as good", 0644);
	assert_int_equal(linkat(t->k.fd, "healed", t->k.fd, "in another tree", 0), 0);
	assert_int_equal(renameat(t->k.fd, "healed", t->k.fd, name), 0);
	assert_int_equal(ay_store_remove_tree(t->s, B, 1, &t->err), 0);
	assert_true(kit_exists(&t->k, name));
	kit_rm(&t->k, "in another tree");
}

static void a_shared_linked_object_stays(void **arg)
{
	struct state *t = *arg;
	struct ay_gc_result res;
	struct kit_tree other;

	t->a.read_only_source = true;
	assert_int_equal(adopt_new(t), 0);
	kit_publish(&t->k, "v1", "c", 1, &other);
	assert_int_equal(kit_import(&t->k, t->s, "c", &other, &t->err), 0);
	assert_int_equal(ay_store_remove_tree(t->s, B, 1, &t->err), 0);
	assert_int_equal(ay_store_gc(t->s, 1, &res, &t->err), 0);
	assert_true(kit_tree_is(&t->k, "c", 1, &other) || geteuid() != 0);
	assert_true(kit_count(&t->k, "store/objects") > 5);
	kit_tree_release(&other);
}

static void the_store_is_not_adopted_with_it(void **arg)
{
	struct state *t = *arg;

	use_dir(t, ".");
	assert_int_equal(adopt_new(t), AY_EUSAGE);
	assert_non_null(strstr(t->err.msg, "lies in . and would be adopted with it"));
	use_dir(t, "store/branches");
	assert_int_equal(adopt_new(t), AY_EUSAGE);
	assert_non_null(strstr(t->err.msg, "adopted already"));
	use_dir(t, "store");
	assert_int_equal(adopt_match(t, &t->v1), AY_EUSAGE);
	assert_untouched(t);
}

static void the_branchs_limits_hold(void **arg)
{
	struct state *t = *arg;

	kit_root_with_rule(&t->k, B, "nosuid");
	fresh_store(t, ay_fs_real());
	kit_text(&t->k, "v1/su", "I am root", 04755);
	assert_int_equal(adopt_new(t), AY_EROLE);
	assert_non_null(strstr(t->err.msg, "/su: the root does not allow setuid"));
	assert_untouched(t);
	/* Nor by a release that is signed. */
	struct kit_tree signed_;
	kit_publish(&t->k, "v1", B, 1, &signed_);
	assert_int_equal(adopt_match(t, &signed_), AY_EROLE);
	assert_non_null(strstr(t->err.msg, "/su: the root does not allow setuid"));
	assert_untouched(t);
	kit_tree_release(&signed_);
	kit_rm(&t->k, "v1/su");
	assert_int_equal(adopt_new(t), 0);
}

static void a_strangers_signature_is_refused(void **arg)
{
	struct state *t = *arg;
	struct ay_public_key pub;

	assert_int_equal(ay_key_generate(&t->k.key, &pub), 0);
	int r = adopt_new(t);
	assert_true(r == AY_EROLE || r == AY_ESIG);
	assert_untouched(t);
}

/* ---- a source that does not stand still ---- */

/* The seam, with something that happens at the first write or link. */
struct nosy {
	struct ay_fs fs;
	struct ay_fs_ops ops;
	struct state *t;
	bool done;
	int link_error;
};

static void write_to_source(struct nosy *n)
{
	if (n->done)
		return;
	n->done = true;
	AY_CLOSE int fd = openat(n->t->k.fd, "v1/bin/big", O_WRONLY | O_CLOEXEC);
	/* The same bytes: it is the writing that counts. Half of it: what was read is half old, half new. */
	assert_int_equal(pwrite(fd, "changed meanwhile", 17, 600000), 17);
}

static ssize_t nosy_pwrite(struct ay_fs *fs, int fd, const void *buf, size_t len, off_t offset)
{
	if (len > 100000)
		write_to_source(fs->ctx);
	return ay_fs_real()->ops->pwrite(ay_fs_real(), fd, buf, len, offset);
}

static int no_reflink(struct ay_fs *fs, int to_fd, int from_fd)
{
	(void)fs, (void)to_fd, (void)from_fd;
	return -EOPNOTSUPP;
}

static int link_fails(struct ay_fs *fs, int from_dirfd, const char *from, int to_dirfd, const char *to)
{
	const struct nosy *n = fs->ctx;

	if (!from[0])
		return n->link_error;
	return ay_fs_real()->ops->link(ay_fs_real(), from_dirfd, from, to_dirfd, to);
}

static void nosy_init(struct nosy *n, struct state *t)
{
	*n = (struct nosy){.t = t, .ops = *ay_fs_real()->ops};
	n->ops.reflink = no_reflink;
	n->fs = (struct ay_fs){.ops = &n->ops, .ctx = n};
}

static void a_file_that_changes_is_not_signed(void **arg)
{
	struct state *t = *arg;
	struct nosy n;

	nosy_init(&n, t);
	n.ops.pwrite = nosy_pwrite;
	fresh_store(t, &n.fs);
	t->a.threads = 1;
	assert_int_equal(adopt_new(t), AY_EBUSY);
	assert_non_null(strstr(t->err.msg, "/bin/big: it changed while it was scanned"));
	assert_true(n.done);
	assert_untouched(t);
	ay_store_close(t->s);
	t->s = NULL;
}

static void a_file_that_changes_is_not_matched(void **arg)
{
	struct state *t = *arg;
	struct nosy n;

	nosy_init(&n, t);
	n.ops.pwrite = nosy_pwrite;
	fresh_store(t, &n.fs);
	t->a.threads = 1;
	assert_int_equal(adopt_match(t, &t->v1), AY_EBASE);
	assert_string_equal(t->told[AY_ADOPT_CHANGED], " /bin/big");
	assert_untouched(t);
	ay_store_close(t->s);
	t->s = NULL;
}

static void what_cannot_be_linked_is_copied(void **arg)
{
	static const int errors[] = {-EXDEV, -EMLINK, -EPERM, -EOPNOTSUPP};
	struct state *t = *arg;
	struct nosy n;

	nosy_init(&n, t);
	n.ops.link = link_fails;
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		n.link_error = errors[i];
		fresh_store(t, &n.fs);
		t->a.read_only_source = true;
		if (adopt_new(t) < 0)
			fail_msg("%d: %s", errors[i], t->err.msg);
		assert_int_equal(t->out.linked.files, 0);
		assert_int_equal(t->out.copied.files, t->v1.totals.files - 1);
		assert_tree(t, 1);
	}
	n.link_error = -EIO;
	fresh_store(t, &n.fs);
	assert_int_equal(adopt_new(t), -EIO);
	assert_untouched(t);
	ay_store_close(t->s);
	t->s = NULL;
}

/* ---- matched ---- */

static void what_is_a_release_joins_at_it(void **arg)
{
	struct state *t = *arg;

	assert_int_equal(adopt_match(t, &t->v1), 0);
	assert_tree(t, 1);
	for (int i = 0; i < AY_ADOPT_DIFFS; i++)
		assert_int_equal(t->out.differ[i], 0);
	assert_int_equal(t->out.fetched.files, 0);
	assert_int_equal(adopt_match(t, &t->v1), AY_ENOTHING);
}

static void a_matched_read_only_source_is_linked(void **arg)
{
	struct state *t = *arg;

	t->a.read_only_source = true;
	kit_text(&t->k, "v1/mode", "only my mode changes", 0640); /* is 0644 in the release */
	assert_int_equal(adopt_match(t, &t->v1), 0);
	assert_tree(t, 1);
	assert_true(same_inode(t, ROOT1 "/bin/big", "v1/bin/big"));
	assert_false(same_inode(t, ROOT1 "/mode", "v1/mode"));
	assert_int_equal(stat_of(t, "v1/mode").st_mode & 07777, 0640);
	assert_int_equal(stat_of(t, ROOT1 "/mode").st_mode & 07777, 0644);
	assert_int_equal(t->out.differ[AY_ADOPT_METADATA], 1);
	assert_string_equal(t->told[AY_ADOPT_METADATA], " /mode");
}

/* v1 on the disk, v2 in the repository: much is the same, some of it elsewhere. */
static void only_what_differs_is_fetched(void **arg)
{
	struct state *t = *arg;
	struct ay_repo *repo = kit_repo(&t->k);

	kit_repo_all(&t->k, repo, NULL, &t->v2);
	t->a.repo = repo;
	if (adopt_match(t, &t->v2) < 0)
		fail_msg("%s", t->err.msg);
	assert_tree(t, 2);
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
	struct state *t = *arg;

	assert_int_equal(adopt_match(t, &t->v2), AY_EBASE);
	assert_non_null(strstr(t->err.msg, "no repository was named"));
	assert_true(t->out.differ[AY_ADOPT_CHANGED] > 0);
	assert_untouched(t);
	struct ay_repo *repo = kit_repo(&t->k);
	kit_repo_tree(&t->k, repo, &t->v2); /* without any bundle */
	t->a.repo = repo;
	memset(&t->err, 0, sizeof(t->err));
	assert_int_equal(adopt_match(t, &t->v2), AY_EBASE);
	assert_non_null(strstr(t->err.msg, "cannot be had from"));
	assert_untouched(t);
	ay_repo_close(repo);
}

static void another_manifest_is_refused(void **arg)
{
	struct state *t = *arg;
	struct kit_tree mixed = t->v1;

	mixed.manifest = t->v2.manifest;
	assert_int_equal(adopt_match(t, &mixed), AY_EDIGEST);
	assert_untouched(t);
}

/* A laptop's own disk: the store lies in the directory, and is not looked into. */
static void a_system_that_holds_the_store_can_be_matched(void **arg)
{
	struct state *t = *arg;
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
	struct state *t = *arg;

	kit_rm(&t->k, "v1/goes");
	assert_int_equal(mkfifoat(t->k.fd, "v1/goes", 0644), 0);
	kit_rm(&t->k, "v1/lib");
	kit_symlink(&t->k, "v1/lib", "../v2/lib"); /* never followed out of the directory */
	assert_int_equal(adopt_match(t, &t->v1), AY_EBASE);
	assert_non_null(strstr(t->told[AY_ADOPT_MISSING], " /goes"));
	assert_non_null(strstr(t->told[AY_ADOPT_MISSING], " /lib/6.1.0-55/same.ko"));
	assert_untouched(t);
}

static void the_guess_knows_which_release_it_is(void **arg)
{
	struct state *t = *arg;
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

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(what_is_there_becomes_the_first_release),
		T(a_read_only_source_is_linked),
		T(a_file_with_several_names_is_linked_once),
		T(linked_objects_go_with_their_tree),
		T(a_shared_linked_object_stays),
		T(another_inode_under_its_name_stays),
		T(the_store_is_not_adopted_with_it),
		T(the_branchs_limits_hold),
		T(a_strangers_signature_is_refused),
		T(a_file_that_changes_is_not_signed),
		T(a_file_that_changes_is_not_matched),
		T(what_cannot_be_linked_is_copied),
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
