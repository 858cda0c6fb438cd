/* SPDX-License-Identifier: MIT */
/* A bundle in collection on a disk that fails: never a wrong block, and it can always be completed. */
#include "store/store_internal.h"
#include "tests/support/bundle_source.h"

struct faulty {
	unsigned left; /* the change that fails, counted from 1 */
	bool reached;
	bool kill; /* instead of failing: none of the later ones happens either */
	int code;
	struct ay_buf log; /* names of the calls */
};

static int gate(struct ay_fs *fs, const char *call)
{
	struct faulty *x = fs->ctx;
	ay_put_fmt(&x->log, "%s ", call);
	if (x->left > 1) {
		x->left--;
		return 0;
	}
	x->reached = true;
	if (!x->kill)
		x->left = UINT32_MAX; /* only this one */
	return x->code;
}

static int f_open(struct ay_fs *fs, int dirfd, const char *path, int flags, mode_t mode)
{
	int rc = flags & O_CREAT ? gate(fs, "create") : 0;
	return rc < 0 ? rc : ay_fs_real()->ops->open(ay_fs_real(), dirfd, path, flags, mode);
}
static int f_rename(struct ay_fs *fs, int from, const char *a, int to, const char *b, bool noreplace)
{
	int rc = gate(fs, "rename");
	return rc < 0 ? rc : ay_fs_real()->ops->rename(ay_fs_real(), from, a, to, b, noreplace);
}
static int f_unlink(struct ay_fs *fs, int dirfd, const char *name, int flags)
{
	int rc = gate(fs, "unlink");
	return rc < 0 ? rc : ay_fs_real()->ops->unlink(ay_fs_real(), dirfd, name, flags);
}
static ssize_t f_pwrite(struct ay_fs *fs, int fd, const void *buf, size_t len, off_t offset)
{
	int rc = gate(fs, "pwrite");
	if (rc < 0) { /* half of it arrives */
		ay_fs_real()->ops->pwrite(ay_fs_real(), fd, buf, len / 2, offset);
		return rc;
	}
	return ay_fs_real()->ops->pwrite(ay_fs_real(), fd, buf, len, offset);
}
static int f_fsync(struct ay_fs *fs, int fd)
{
	int rc = gate(fs, "fsync");
	return rc < 0 ? rc : ay_fs_real()->ops->fsync(ay_fs_real(), fd);
}
static int f_fdatasync(struct ay_fs *fs, int fd)
{
	int rc = gate(fs, "fdatasync");
	return rc < 0 ? rc : ay_fs_real()->ops->fdatasync(ay_fs_real(), fd);
}

static int collect_all(struct ay_store *s, const struct source *src, struct ay_err *err)
{
	struct ay_bundle_file *f = NULL;
	int rc = ay_bundle_file_open(s, &src->digest, src->size, true, &f, err);
	if (rc == 0)
		rc = give_all_hashes(f, src, err);
	if (rc == 0)
		rc = give_all_blocks(f, src, err);
	if (rc == 0)
		rc = ay_bundle_file_sync(f, err);
	if (rc == 0)
		rc = ay_bundle_file_finish(f, err);
	ay_bundle_file_close(f);
	return rc;
}

/* Every single change fails, or it and all after it: never a wrong block, and it can always be completed. */
static void test_every_fault(void **state)
{
	struct source src = source_of(13, AY_PIECE_SIZE + 70000);
	struct ay_store *s = open_store(*state);
	struct ay_fs_ops ops = *s->fs->ops;
	struct faulty x = {0};
	struct ay_fs faulty = {.ops = &ops, .ctx = &x}, *real = s->fs;
	struct ay_err err = {0};
	unsigned total = 0;

	ops.open = f_open;
	ops.rename = f_rename;
	ops.unlink = f_unlink;
	ops.pwrite = f_pwrite;
	ops.fsync = f_fsync;
	ops.fdatasync = f_fdatasync;
	for (int kill = 0; kill < 2; kill++) {
		for (unsigned n = 1;; n++) {
			x.left = n;
			x.reached = false;
			x.kill = kill;
			x.code = n % 2 ? -EIO : -ENOSPC;
			ay_buf_reset(&x.log);
			s->fs = &faulty;
			err = (struct ay_err){0};
			int rc = collect_all(s, &src, &err);
			s->fs = real;
			if (rc < 0)
				assert_int_not_equal(err.msg[0], 0);
			complete(s, &src);
			expect_code(ay_bundles_drop(s, &src.digest, &err), 0);
			if (!x.reached) {
				assert_int_equal(rc, 0);
				total = n;
				break;
			}
		}
		assert_true(total > 18);
	}
	/* The order in which it becomes durable. */
	ay_buf_cstr(&x.log);
	assert_non_null(strstr((char *)x.log.data,
			       "pwrite fdatasync fdatasync fsync fsync rename fsync unlink unlink "));
	ay_buf_release(&x.log);
	source_release(&src);
	ay_store_close(s);
}

static void test_sync_fails_for_good(void **state)
{
	struct source src = source_of(14, AY_PIECE_SIZE);
	struct ay_store *s = open_store(*state);
	struct ay_fs_ops ops = *s->fs->ops;
	struct faulty x = {.left = 1, .code = -EIO};
	struct ay_fs faulty = {.ops = &ops, .ctx = &x}, *real = s->fs;
	struct ay_err err = {0};

	struct ay_bundle_file *f = open_bundle(s, &src, true);
	expect_code(give_all_hashes(f, &src, &err), 0);
	expect_code(give_all_blocks(f, &src, &err), 0);
	ops.fdatasync = f_fdatasync;
	s->fs = &faulty;
	expect_code(ay_bundle_file_sync(f, &err), -EIO);
	s->fs = real;
	expect_code(ay_bundle_file_sync(f, &err), -EIO);
	expect_code(ay_bundle_file_finish(f, &err), -EIO);
	ay_bundle_file_close(f);
	assert_false(there(s->bundles, src.hex));
	complete(s, &src);
	ay_buf_release(&x.log);
	source_release(&src);
	ay_store_close(s);
}

/* A block that is written while the sync before it runs is not taken for synced. */
static struct ay_bundle_file *written_meanwhile;
static const struct source *meanwhile;
static unsigned syncs;

static int f_fdatasync_slow(struct ay_fs *fs, int fd)
{
	struct ay_err err = {0};
	(void)fs;
	if (syncs++ == 0) {
		expect_code(give_block(written_meanwhile, meanwhile, 1, &err), 0);
		expect_code(give_hash(written_meanwhile, meanwhile, 0, 1, &err), 0);
	}
	return ay_fs_real()->ops->fdatasync(ay_fs_real(), fd);
}

static void test_write_during_sync(void **state)
{
	struct source src = source_of(15, 2 * AY_PIECE_SIZE);
	struct ay_store *s = open_store(*state);
	struct ay_fs_ops ops = *s->fs->ops;
	struct ay_fs slow = {.ops = &ops}, *real = s->fs;
	struct ay_err err = {0};

	struct ay_bundle_file *f = open_bundle(s, &src, true);
	expect_code(give_hash(f, &src, 1, 0, &err), 0);
	expect_code(give_hash(f, &src, 0, 0, &err), 0);
	expect_code(give_block(f, &src, 0, &err), 0);
	written_meanwhile = f;
	meanwhile = &src;
	ops.fdatasync = f_fdatasync_slow;
	s->fs = &slow;
	expect_code(ay_bundle_file_sync(f, &err), 0);
	assert_int_equal(syncs, 2);
	expect_code(ay_bundle_file_sync(f, &err),
		    0); /* the block; the hash came before its log's sync began */
	assert_int_equal(syncs, 3);
	expect_code(ay_bundle_file_sync(f, &err), 0);
	assert_int_equal(syncs, 3);
	s->fs = real;
	ay_bundle_file_close(f);
	source_release(&src);
	ay_store_close(s);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, place_make, place_remove)
	const struct CMUnitTest tests[] = {T(test_every_fault), T(test_sync_fails_for_good),
					   T(test_write_during_sync)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
