/* SPDX-License-Identifier: MIT */
/*
 * Inodes: a name is moved over to another inode of the same content and metadata. The directories are declared
 * read-only, but a declaration can be wrong, so for each name:
 *
 *     lease on both       the kernel says that nobody has either open or mapped for writing; who wants to, waits
 *     stat, compare       both as they were when hashed; and byte for byte, because a mapping that is gone by now may have
 *                         written without a trace in ctime
 *     link, exchange      a second name of the kept inode changes places with the name
 *     lease again         somebody waits to write to the inode that was replaced: he looked it up before the exchange. Back it
 *                         goes, unless somebody else waits for the kept one, who may have come by the exchanged name
 *     unlink              else its temporary name is removed
 *
 * What remains is a writer who looked the name up before an exchange and opens after the last look: he writes into the inode
 * that the name led to then, as with every tool that replaces files.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "store/dedupe_internal.h"
#include "store/file.h"
#include "store/hash_pool.h"
#include "store/lease.h"
#include "store/xattr.h"

#define CHUNK (256u * 1024)

static bool same_meta(const struct ay__dedupe *d, const struct stat *a, const struct stat *b)
{
	return a->st_mode == b->st_mode && a->st_uid == b->st_uid && a->st_gid == b->st_gid &&
	       (d->how->ignore_mtime ||
		(a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec));
}

/* 1, 0, or why that cannot be known. */
static int same_xattrs(int a, int b)
{
	AY_FREE struct ay_xattr *x = NULL, *y = NULL;
	size_t n = 0, m = 0;
	int r = ay__xattrs_read(a, -1, NULL, 0, &x, &n, NULL);

	if (r == 0)
		r = ay__xattrs_read(b, -1, NULL, 0, &y, &m, NULL);
	if (r < 0) /* of more attributes than can be compared, or that change meanwhile, none are the same */
		return r == AY_ELIMIT || r == AY_EBUSY ? 0 : r;
	if (n != m)
		return 0;
	for (size_t i = 0; i < n; i++) {
		if (strcmp(x[i].name, y[i].name) != 0 || x[i].value_len != y[i].value_len ||
		    (x[i].value_len > 0 && memcmp(x[i].value, y[i].value, x[i].value_len) != 0))
			return 0;
	}
	return 1;
}

static ssize_t read_full(int fd, uint8_t *buf, size_t len, off_t at)
{
	size_t got = 0;

	while (got < len) {
		ssize_t n = pread(fd, buf + got, len - got, at + (off_t)got);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : (ssize_t)got;
		got += (size_t)n;
	}
	return (ssize_t)got;
}

/* 1, 0, -errno: that cannot be known. */
static int same_bytes(int a, int b, off_t size)
{
	AY_FREE uint8_t *x = malloc(2 * (size_t)CHUNK);

	if (!x)
		return -ENOMEM;
	uint8_t *y = x + CHUNK;
	for (off_t at = 0; at < size; at += CHUNK) {
		size_t len = size - at < (off_t)CHUNK ? (size_t)(size - at) : CHUNK;
		ssize_t n = read_full(a, x, len, at), m = n < 0 ? n : read_full(b, y, len, at);
		if (m < 0)
			return (int)m;
		if (n != (ssize_t)len || m != n || memcmp(x, y, len) != 0)
			return 0;
	}
	return 1;
}

/* The directory of a name, and the name in it. */
static int open_parent(const struct ay__dup *f, const char **name)
{
	char parent[4096];
	const char *slash = strrchr(f->path, '/');

	*name = slash ? slash + 1 : f->path;
	snprintf(parent, sizeof(parent), "%.*s", slash ? (int)(slash - f->path) : 1, slash ? f->path : ".");
	return ay__open_beneath(f->root, parent, O_RDONLY | O_DIRECTORY);
}

/* @dup and @keep hold leases. 1: replaced; 0: somebody came to write; -EMLINK; other -errno. */
static int exchange(struct ay__dedupe *d, int dir, const char *name, int keep, int dup)
{
	const struct ay_fs_ops *ops = d->fs->ops;
	char rnd[17], tmp[sizeof(AY__DEDUPE_PREFIX) + 17];
	struct stat was, there;

	if (fstat(dup, &was) < 0)
		return -errno;
	ay__random_name(rnd);
	snprintf(tmp, sizeof(tmp), AY__DEDUPE_PREFIX "%s", rnd);
	int r = ops->link(d->fs, keep, "", dir, tmp);
	if (r < 0)
		return r;
	if ((r = ops->exchange(d->fs, dir, tmp, dir, name)) < 0) {
		ops->unlink(d->fs, dir, tmp, 0);
		return r;
	}
	/*
	 * Who waits for the replaced inode looked the name up before the exchange: back it goes. But not when somebody
	 * waits for the kept one, because he may have come by this name after the exchange, and would then
	 * write into another's file.
	 */
	bool right = fstatat(dir, tmp, &there, AT_SYMLINK_NOFOLLOW) == 0 && there.st_ino == was.st_ino &&
		     there.st_dev == was.st_dev;
	bool good = right && (!ay__lease_broken(dup) || ay__lease_broken(keep));
	if (!good)
		r = ops->exchange(d->fs, dir, tmp, dir, name);
	if (!good && right && r == 0 && ay__lease_broken(keep)) { /* just before it went back */
		r = ops->exchange(d->fs, dir, tmp, dir, name);
		good = true;
	}
	int u = r < 0 ? 0 : ops->unlink(d->fs, dir, tmp, 0);
	return r < 0 ? r : u < 0 ? u : good;
}

/* Is @f, open as @fd, as it was when it was seen, and equal to @keep? 1; 0: @why not; -errno: that cannot be known. */
static int may_be_one(const struct ay__dup *f, const struct ay__dup *keep, int keep_fd, int fd,
		      enum ay_dedupe_skip *why)
{
	struct stat now;

	if (fstat(fd, &now) < 0)
		return -errno;
	int r = ay__stat_same(&f->st, &now) ? same_bytes(keep_fd, fd, keep->st.st_size) : 0;
	*why = r == 0 ? AY_DEDUPE_CHANGED : *why;
	if (r <= 0)
		return r;
	r = same_xattrs(keep_fd, fd);
	*why = r == 0 ? AY_DEDUPE_METADATA : *why;
	return r;
}

/* One name of @f becomes one of the inode @keep. 1: it did; 0: it was skipped; -EMLINK; other -errno. */
static int replace(struct ay__dedupe *d, struct ay__dup *keep, int keep_fd, struct ay__dup *f)
{
	const char *name;
	struct stat dir_was, now;
	AY_CLOSE int fd = ay__open_beneath(f->root, f->path, O_RDONLY | O_NONBLOCK);
	AY_CLOSE int dir = open_parent(f, &name);
	int r = 0;

	if (fd < 0 || dir < 0)
		r = fd < 0 ? fd : dir;
	else if (fstat(fd, &now) < 0 || fstat(dir, &dir_was) < 0)
		r = -errno;
	if (r < 0) /* gone, or not a file any more: it has changed */
		return ay__dedupe_unopened(d, ay__not_there(r) ? AY_EBUSY : r, f);
	enum ay_dedupe_skip why = AY_DEDUPE_SKIPS;
	if (ay__lease_take(fd) != 0) {
		ay__dedupe_skip(d, AY_DEDUPE_WRITER, f->root, f->path);
		return 0;
	}
	int same = may_be_one(f, keep, keep_fd, fd, &why);
	if (same > 0)
		r = d->how->dry_run ? 1 : exchange(d, dir, name, keep_fd, fd);
	ay__lease_drop(fd);
	if (same < 0)
		return ay__dedupe_unopened(d, same, f);
	if (why == AY_DEDUPE_SKIPS && r == 0)
		why = AY_DEDUPE_WRITER;
	if (r == -EPERM || r == -EACCES || r == -ENOENT || r == -EROFS) {
		why = AY_DEDUPE_UNREADABLE;
		r = 0;
	}
	if (why != AY_DEDUPE_SKIPS)
		ay__dedupe_skip(d, why, f->root, f->path);
	if (d->how->dry_run || r < 0)
		return r;
	/* What a killed run left behind is now a name too many. */
	if (r == 1 && strncmp(name, AY__DEDUPE_PREFIX, sizeof(AY__DEDUPE_PREFIX) - 1) == 0)
		d->fs->ops->unlink(d->fs, dir, name, 0);
	/* What is in the directory is called as before: its time need not tell of us. */
	int u = d->fs->ops->utimens(d->fs, dir, "", &dir_was.st_mtim);
	return u < 0 && u != -EPERM ? u : r;
}

/* All names of one inode, [from, to). */
static int replace_inode(struct ay__dedupe *d, struct ay__dup *keep, int keep_fd, struct ay__dup *files,
			 size_t n)
{
	uint64_t gone = 0;

	for (size_t i = 0; i < n; i++) {
		int r = replace(d, keep, keep_fd, &files[i]);
		if (r < 0)
			return r;
		if (r == 0)
			continue;
		gone++;
		d->out->shared_files++;
		/* Each name that goes moves ctime of those that stay. */
		struct stat now;
		for (size_t k = i + 1; k < n; k++) {
			if (fstatat(files[k].root, files[k].path, &now, AT_SYMLINK_NOFOLLOW) == 0 &&
			    now.st_ino == files[k].st.st_ino)
				files[k].st.st_ctim = now.st_ctim;
		}
	}
	if (gone == files[0].st.st_nlink)
		d->out->saved_bytes += (uint64_t)files[0].st.st_blocks * 512;
	return 0;
}

static bool same_inode(const struct ay__dup *a, const struct ay__dup *b)
{
	return a->st.st_ino == b->st.st_ino && a->st.st_dev == b->st.st_dev;
}

static size_t names_end(const struct ay__dup *files, size_t i, size_t n)
{
	size_t end = i + 1;

	while (end < n && same_inode(&files[end], &files[i]))
		end++;
	return end;
}

static int fail(struct ay__dedupe *d, int errnum, const struct ay__dup *f, const struct ay__dup *keep)
{
	char a[AY__DEDUPE_NAME_MAX], b[AY__DEDUPE_NAME_MAX];

	ay__dedupe_name(d, f->root, f->path, a);
	ay__dedupe_name(d, keep->root, keep->path, b);
	return ay_err_errno(d->err, errnum, "cannot make %s one with %s", a, b);
}

/* Everything behind @at that may be one with it; what was taken is no more usable. 1: @at itself was skipped. */
static int gather(struct ay__dedupe *d, struct ay__dup *files, size_t at, size_t n)
{
	struct ay__dup *keep = &files[at];
	AY_CLOSE int fd = ay__dedupe_open(keep);

	if (fd < 0) {
		int r = ay__dedupe_unopened(d, fd, keep);
		return r < 0 ? r : 1;
	}
	if (ay__lease_take(fd) != 0) {
		ay__dedupe_skip(d, AY_DEDUPE_WRITER, keep->root, keep->path);
		return 1;
	}
	for (size_t i = names_end(files, at, n), end; i < n; i = end) {
		end = names_end(files, i, n);
		if (!files[i].usable || !same_meta(d, &keep->st, &files[i].st))
			continue;
		/* Who waits for the kept one gets it before the next is looked at. */
		if (ay__lease_broken(fd)) {
			ay__lease_drop(fd);
			ay__dedupe_skip(d, AY_DEDUPE_WRITER, keep->root, keep->path);
			return 0;
		}
		int r = replace_inode(d, keep, fd, &files[i], end - i);
		if (r == -EMLINK)
			break; /* it is full; the next one is kept for those that are left */
		files[i].usable = false;
		if (r < 0) {
			ay__lease_drop(fd);
			return fail(d, -r, &files[i], keep);
		}
	}
	ay__lease_drop(fd);
	return 0;
}

int ay__dedupe_inodes(struct ay__dedupe *d, struct ay__dup *files, size_t n)
{
	const struct ay__dup *first = NULL;

	for (size_t i = 0; i < n; i = names_end(files, i, n)) {
		if (!files[i].usable)
			continue;
		int r = gather(d, files, i, n);
		if (r < 0)
			return r;
		files[i].usable = false;
		/* It stayed apart for its metadata, and not because the first one was full or open for writing. */
		if (r == 0 && first && !same_meta(d, &first->st, &files[i].st))
			ay__dedupe_skip(d, AY_DEDUPE_METADATA, files[i].root, files[i].path);
		if (!first)
			first = &files[i];
	}
	return 0;
}
