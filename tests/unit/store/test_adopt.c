/* SPDX-License-Identifier: MIT */
/* Directories that become first releases, signed here; and a source that does not stand still. */
#include "tests/unit/store/adopt_kit.h"

/* ---- signed here ---- */

static void what_is_there_becomes_the_first_release(void **arg)
{
	struct adopt_kit *t = *arg;
	struct stat before = adopt_stat(t, "v1/bin/big");

	assert_int_equal(adopt_new(t), 0);
	assert_adopted(t, 1);
	assert_int_equal(t->out.entries, t->v1.totals.entries);
	assert_int_equal(t->out.bytes, t->v1.totals.bytes);
	/* "empty" and "empty-too" are one inode; "twice-a" and "twice-b" differ in mode. */
	assert_int_equal(t->out.present.files, 1);
	assert_int_equal(t->out.copied.files + t->out.reflinked.files, t->v1.totals.files - 1);
	assert_int_equal(t->out.linked.files, 0);
	assert_true(adopt_same_inode(t, ROOT1 "/empty", ROOT1 "/empty-too"));
	assert_false(adopt_same_inode(t, ROOT1 "/twice-a", ROOT1 "/twice-b"));
	assert_false(adopt_same_inode(t, ROOT1 "/bin/big", "v1/bin/big"));
	struct stat after = adopt_stat(t, "v1/bin/big");
	assert_int_equal(after.st_nlink, 1);
	assert_int_equal(after.st_ctim.tv_sec, before.st_ctim.tv_sec);
	assert_int_equal(after.st_ctim.tv_nsec, before.st_ctim.tv_nsec);
	assert_int_equal(ay_store_switch(t->s, B, 1, false, &t->err), 0);
	/* Once more is nothing to do. */
	assert_int_equal(adopt_new(t), AY_ENOTHING);
}

static void a_read_only_source_is_linked(void **arg)
{
	struct adopt_kit *t = *arg;

	t->a.read_only_source = true;
	AY_CLOSE int writer = openat(t->k.fd, "v1/bin/kept", O_WRONLY | O_CLOEXEC);
	assert_true(writer >= 0);
	assert_int_equal(adopt_new(t), 0);
	assert_adopted(t, 1);
	assert_true(adopt_same_inode(t, ROOT1 "/bin/big", "v1/bin/big"));
	/* Who has it open for writing would write into the object. */
	assert_false(adopt_same_inode(t, ROOT1 "/bin/kept", "v1/bin/kept"));
	assert_int_equal(t->out.writers, 1);
	assert_int_equal(t->out.copied.files + t->out.reflinked.files, 1);
	assert_int_equal(t->out.linked.files, t->v1.totals.files - 2);
	assert_true(kit_exists(&t->k, "store/branches/" B "/1/linked"));
}

/* Linking one name of an inode moves the ctime that its other names are compared with. */
static void a_file_with_several_names_is_linked_once(void **arg)
{
	struct adopt_kit *t = *arg;

	t->a.read_only_source = true;
	for (int i = 0; i < 20; i++) {
		char name[32];
		snprintf(name, sizeof(name), "v1/lib/name-%d", i);
		assert_int_equal(linkat(t->k.fd, "v1/bin/big", t->k.fd, name, 0), 0);
	}
	if (adopt_new(t) < 0)
		fail_msg("%s", t->err.msg);
	assert_adopted(t, 1);
	assert_true(adopt_same_inode(t, ROOT1 "/lib/name-19", "v1/bin/big"));
	assert_int_equal(adopt_stat(t, "v1/bin/big").st_nlink, 21 + 1 + 21);
	struct ay_gc_result res;
	assert_int_equal(ay_store_remove_tree(t->s, B, 1, &t->err), 0);
	assert_int_equal(ay_store_gc(t->s, 1, &res, &t->err), 0);
	assert_int_equal(kit_count(&t->k, "store/objects"), 0);
}

static void linked_objects_go_with_their_tree(void **arg)
{
	struct adopt_kit *t = *arg;
	struct ay_gc_result res;

	t->a.read_only_source = true;
	assert_int_equal(adopt_new(t), 0);
	unsigned objects = kit_count(&t->k, "store/objects");
	assert_true(objects > 5);
	assert_int_equal(ay_store_remove_tree(t->s, B, 1, &t->err), 0);
	assert_int_equal(ay_store_gc(t->s, 1, &res, &t->err), 0);
	assert_int_equal(kit_count(&t->k, "store/objects"), 0);
	assert_int_equal(adopt_stat(t, "v1/bin/big").st_nlink, 1);
}

/* An object that a second branch came to use stays, although the source's links make the count unclear. */
/* Healed, or its links went to a further inode: as many links as the source's inode had once may be trees' now. */
static void another_inode_under_its_name_stays(void **arg)
{
	struct adopt_kit *t = *arg;
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
	struct adopt_kit *t = *arg;
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
	struct adopt_kit *t = *arg;

	adopt_use_dir(t, ".");
	assert_int_equal(adopt_new(t), AY_EUSAGE);
	assert_non_null(strstr(t->err.msg, "lies in . and would be adopted with it"));
	adopt_use_dir(t, "store/branches");
	assert_int_equal(adopt_new(t), AY_EUSAGE);
	assert_non_null(strstr(t->err.msg, "adopted already"));
	adopt_use_dir(t, "store");
	assert_int_equal(adopt_match(t, &t->v1), AY_EUSAGE);
	assert_nothing_adopted(t);
}

static void the_branchs_limits_hold(void **arg)
{
	struct adopt_kit *t = *arg;

	kit_root_with_rule(&t->k, B, "nosuid");
	adopt_fresh_store(t, ay_fs_real());
	kit_text(&t->k, "v1/su", "I am root", 04755);
	assert_int_equal(adopt_new(t), AY_EROLE);
	assert_non_null(strstr(t->err.msg, "/su: the root does not allow setuid"));
	assert_nothing_adopted(t);
	/* Nor by a release that is signed. */
	struct kit_tree signed_;
	kit_publish(&t->k, "v1", B, 1, &signed_);
	assert_int_equal(adopt_match(t, &signed_), AY_EROLE);
	assert_non_null(strstr(t->err.msg, "/su: the root does not allow setuid"));
	assert_nothing_adopted(t);
	kit_tree_release(&signed_);
	kit_rm(&t->k, "v1/su");
	assert_int_equal(adopt_new(t), 0);
}

static void a_strangers_signature_is_refused(void **arg)
{
	struct adopt_kit *t = *arg;
	struct ay_public_key pub;

	assert_int_equal(ay_key_generate(&t->k.key, &pub), 0);
	int r = adopt_new(t);
	assert_true(r == AY_EROLE || r == AY_ESIG);
	assert_nothing_adopted(t);
}

/* ---- a source that does not stand still ---- */

/* The seam, with something that happens at the first write or link. */
struct nosy {
	struct ay_fs fs;
	struct ay_fs_ops ops;
	struct adopt_kit *t;
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

static void nosy_init(struct nosy *n, struct adopt_kit *t)
{
	*n = (struct nosy){.t = t, .ops = *ay_fs_real()->ops};
	n->ops.reflink = no_reflink;
	n->fs = (struct ay_fs){.ops = &n->ops, .ctx = n};
}

static void a_file_that_changes_is_not_signed(void **arg)
{
	struct adopt_kit *t = *arg;
	struct nosy n;

	nosy_init(&n, t);
	n.ops.pwrite = nosy_pwrite;
	adopt_fresh_store(t, &n.fs);
	t->a.threads = 1;
	assert_int_equal(adopt_new(t), AY_EBUSY);
	assert_non_null(strstr(t->err.msg, "/bin/big: it changed while it was scanned"));
	assert_true(n.done);
	assert_nothing_adopted(t);
	ay_store_close(t->s);
	t->s = NULL;
}

static void a_file_that_changes_is_not_matched(void **arg)
{
	struct adopt_kit *t = *arg;
	struct nosy n;

	nosy_init(&n, t);
	n.ops.pwrite = nosy_pwrite;
	adopt_fresh_store(t, &n.fs);
	t->a.threads = 1;
	assert_int_equal(adopt_match(t, &t->v1), AY_EBASE);
	assert_string_equal(t->told[AY_ADOPT_CHANGED], " /bin/big");
	assert_nothing_adopted(t);
	ay_store_close(t->s);
	t->s = NULL;
}

static void what_cannot_be_linked_is_copied(void **arg)
{
	static const int errors[] = {-EXDEV, -EMLINK, -EPERM, -EOPNOTSUPP};
	struct adopt_kit *t = *arg;
	struct nosy n;

	nosy_init(&n, t);
	n.ops.link = link_fails;
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		n.link_error = errors[i];
		adopt_fresh_store(t, &n.fs);
		t->a.read_only_source = true;
		if (adopt_new(t) < 0)
			fail_msg("%d: %s", errors[i], t->err.msg);
		assert_int_equal(t->out.linked.files, 0);
		assert_int_equal(t->out.copied.files, t->v1.totals.files - 1);
		assert_adopted(t, 1);
	}
	n.link_error = -EIO;
	adopt_fresh_store(t, &n.fs);
	assert_int_equal(adopt_new(t), -EIO);
	assert_nothing_adopted(t);
	ay_store_close(t->s);
	t->s = NULL;
}

#define T(f) cmocka_unit_test_setup_teardown(f, adopt_setup, adopt_teardown)

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
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
