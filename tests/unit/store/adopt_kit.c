/* SPDX-License-Identifier: MIT */
/* See adopt_kit.h. */
#include "tests/unit/store/adopt_kit.h"

static void on_differs(void *ctx, enum ay_adopt_diff what, const char *path)
{
	struct adopt_kit *t = ctx;
	size_t n = strlen(t->told[what]);

	snprintf(t->told[what] + n, sizeof(t->told[what]) - n, " %s", path);
}

void adopt_use_dir(struct adopt_kit *t, const char *dir)
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

void adopt_fresh_store(struct adopt_kit *t, struct ay_fs *fs)
{
	ay_store_close(t->s);
	t->s = NULL;
	kit_rm(&t->k, "store");
	memset(&t->err, 0, sizeof(t->err));
	if (kit_store(&t->k, fs, &t->s, &t->err) < 0)
		fail_msg("%s", t->err.msg);
}

int adopt_setup(void **arg)
{
	struct adopt_kit *t = calloc(1, sizeof(*t));

	t->dirfd = -1;
	t->serial = 1;
	kit_init(&t->k);
	kit_two_trees(&t->k);
	kit_publish(&t->k, "v1", B, 1, &t->v1);
	kit_publish(&t->k, "v2", B, 2, &t->v2);
	adopt_fresh_store(t, ay_fs_real());
	adopt_use_dir(t, "v1");
	*arg = t;
	return 0;
}

int adopt_teardown(void **arg)
{
	struct adopt_kit *t = *arg;

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
	struct adopt_kit *t = ctx;
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

int adopt_new(struct adopt_kit *t)
{
	return ay_store_adopt_new(t->s, &t->a, sign, t, &t->out, &t->err);
}

int adopt_match(struct adopt_kit *t, const struct kit_tree *tree)
{
	char name[32];

	snprintf(name, sizeof(name), "manifest-%u", tree->serial);
	kit_write(&t->k, name, tree->manifest.data, tree->manifest.len, 0644, 1);
	AY_CLOSE int fd = openat(t->k.fd, name, O_RDONLY | O_CLOEXEC);
	return ay_store_adopt_match(t->s, &t->a, tree->release.data, tree->release.len, fd, &t->out, &t->err);
}

void assert_adopted(struct adopt_kit *t, uint32_t serial)
{
	uint64_t bad = 99;
	struct ay_err err = {0};

	if (ay_store_verify(t->s, B, serial, &bad, &err) < 0 || bad != 0)
		fail_msg("tree %u: %s", serial, err.msg);
	assert_int_equal(kit_count(&t->k, "store/tmp"), 0);
}

void assert_nothing_adopted(struct adopt_kit *t)
{
	assert_false(kit_exists(&t->k, "store/branches/" B "/1"));
	assert_false(kit_exists(&t->k, "store/branches/" B "/2"));
	assert_int_equal(kit_count(&t->k, "store/tmp"), 0);
	assert_int_equal(kit_count(&t->k, "store/objects"), 0);
}

struct stat adopt_stat(struct adopt_kit *t, const char *path)
{
	struct stat st;

	if (fstatat(t->k.fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		fail_msg("%s: %s", path, strerror(errno));
	return st;
}

bool adopt_same_inode(struct adopt_kit *t, const char *a, const char *b)
{
	struct stat x = adopt_stat(t, a), y = adopt_stat(t, b);
	return x.st_ino == y.st_ino && x.st_dev == y.st_dev;
}
