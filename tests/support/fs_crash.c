/* SPDX-License-Identifier: MIT */
/*
 * Do it, then note it. Inodes are told apart by their real numbers, files and
 * directories that were there at first are read into the log as durable.
 */
#include "tests/support/fs_crash.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"

static const struct ay_fs_ops *real(void)
{
	return ay_fs_real()->ops;
}

static uint32_t inode_at(const struct fs_crash *c, int dirfd, const char *name)
{
	struct stat st;
	int r = name[0] ? fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) : fstat(dirfd, &st);

	return r < 0 ? 0 : crash_inode_of(&c->log, st.st_ino);
}

/* ---- noting ---- */

static void note_slot(struct fs_crash *c, uint32_t dir, const char *name, uint32_t inode,
		      enum crash_pair pair)
{
	uint32_t key = crash_name(&c->log, name);
	struct crash_change *x = crash_add(&c->log, c->calls, CRASH_SLOT, dir, key);

	x->value = inode;
	x->pair = (uint8_t)pair;
	if (inode) {
		c->log.inodes[inode].parent = dir;
		c->log.inodes[inode].name = key;
	}
}

static void note_value(struct fs_crash *c, enum crash_what what, uint32_t inode, uint64_t v, uint64_t w)
{
	struct crash_change *x = crash_add(&c->log, c->calls, what, inode, 0);

	x->value = v;
	x->value2 = w;
}

static void note_xattr(struct fs_crash *c, uint32_t inode, const char *name, const void *value, size_t len)
{
	uint8_t *bytes = malloc(len + 1);

	if (!bytes)
		crash_die("out of memory");
	memcpy(bytes, value, len);
	struct crash_change *x = crash_add(&c->log, c->calls, CRASH_XATTR, inode, crash_name(&c->log, name));
	x->value = len;
	x->bytes = bytes;
}

/* The pages of [@from, @to) as they are in the file now. */
static void note_pages(struct fs_crash *c, int fd, uint32_t inode, uint64_t from, uint64_t to)
{
	for (uint64_t page = from / CRASH_PAGE; page * CRASH_PAGE < to; page++) {
		uint8_t *bytes = calloc(1, CRASH_PAGE);
		char path[64];
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd); /* it may be open for writing only */
		AY_CLOSE int again = open(path, O_RDONLY | O_CLOEXEC);
		if (!bytes || again < 0 || pread(again, bytes, CRASH_PAGE, (off_t)(page * CRASH_PAGE)) < 0)
			crash_die("cannot read back page %llu: %s", (unsigned long long)page,
				  strerror(errno));
		crash_add(&c->log, c->calls, CRASH_PAGE_DATA, inode, (uint32_t)page)->bytes = bytes;
	}
}

static uint64_t noted_size(const struct fs_crash *c, uint32_t inode)
{
	return crash_current(&c->log, CRASH_SIZE, inode, 0, 0);
}

static void note_size(struct fs_crash *c, int fd, uint32_t inode)
{
	struct stat st;

	if (fstat(fd, &st) == 0 && (uint64_t)st.st_size != noted_size(c, inode))
		note_value(c, CRASH_SIZE, inode, (uint64_t)st.st_size, 0);
}

static uint32_t note_new(struct fs_crash *c, int dirfd, const char *name)
{
	struct crash_inode i = {0};
	char target[4096];
	struct stat st;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		crash_die("%s was made and is not there", name);
	i.mode = st.st_mode;
	i.uid = st.st_uid;
	i.gid = st.st_gid;
	i.rdev = st.st_rdev;
	i.real = st.st_ino;
	if (S_ISLNK(st.st_mode)) {
		ssize_t n = readlinkat(dirfd, name, target, sizeof(target) - 1);
		target[n > 0 ? n : 0] = '\0';
		i.target = strdup(target);
	}
	return crash_inode_add(&c->log, &i);
}

/* ---- what is there at first ---- */

static void take_xattrs(struct fs_crash *c, int fd, uint32_t inode)
{
	char names[4096], value[65536];
	ssize_t n = flistxattr(fd, names, sizeof(names));

	for (const char *p = names; n > 0 && p < names + n; p += strlen(p) + 1) {
		ssize_t len = fgetxattr(fd, p, value, sizeof(value));
		if (len >= 0)
			note_xattr(c, inode, p, value, (size_t)len);
	}
}

static void take_dir(struct fs_crash *c, int fd, uint32_t inode)
{
	AY_CLOSEDIR DIR *d = fdopendir(fd);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		struct stat st;
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if (fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			crash_die("stat %s", e->d_name);
		uint32_t id = S_ISDIR(st.st_mode) ? 0 : crash_inode_of(&c->log, st.st_ino);
		bool known = id != 0;
		if (!known)
			id = note_new(c, fd, e->d_name);
		note_slot(c, inode, e->d_name, id, CRASH_ALONE);
		if (known)
			continue;
		note_value(c, CRASH_MTIME, id, (uint64_t)st.st_mtim.tv_sec, (uint64_t)st.st_mtim.tv_nsec);
		if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))
			continue;
		int sub = openat(fd, e->d_name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
		if (sub < 0)
			crash_die("open %s: %s", e->d_name, strerror(errno));
		take_xattrs(c, sub, id);
		if (S_ISDIR(st.st_mode)) {
			take_dir(c, sub, id); /* closes it */
			continue;
		}
		note_pages(c, sub, id, 0, (uint64_t)st.st_size);
		note_size(c, sub, id);
		close(sub);
	}
}

/* ---- one call ---- */

/* A mutated sync is made up for. @at: the call that makes durable what was there when it should have been. */
static void sync_late(struct fs_crash *c, uint32_t at)
{
	if (!c->late)
		return;
	c->late = false;
	for (uint32_t i = c->log.n_clean; i < c->log.n_changes; i++) {
		struct crash_change *x = &c->log.changes[i];
		bool data = x->what == CRASH_PAGE_DATA || x->what == CRASH_SIZE;
		if (x->durable == CRASH_NEVER && !x->lost && x->time <= c->late_before &&
		    (c->late_kind == CRASH_SYNCFS ||
		     (x->inode == c->late_inode && (c->late_kind == CRASH_FSYNC || data))))
			x->durable = at;
	}
}

/* Before each change: is the process still alive? */
static int turn(struct fs_crash *c)
{
	if (c->dead)
		return -EIO;
	c->calls++;
	if (c->kill_at && c->calls >= c->kill_at) {
		c->dead = true;
		return -EIO;
	}
	return 0;
}

/*
 * Behind a rename or a removal; there is a cut between it and the sync. After a sync that failed nothing more is promised: what
 * is removed then is what was given up.
 */
static int overtaken(struct fs_crash *c, int r)
{
	if (!c->failed) {
		c->late_met |= c->late;
		fs_crash__note_overtaken(c);
	}
	sync_late(c, c->calls + 1);
	return r;
}

#define ENTER                                                                                                \
	struct fs_crash *c = fs->ctx;                                                                        \
	int r = turn(c);                                                                                     \
	if (r < 0)                                                                                           \
	return r

/* The directory and the last name of a path; the store's objects are named "ab/cdef...". */
static uint32_t split(struct fs_crash *c, int dirfd, const char **name)
{
	const char *slash = strrchr(*name, '/');
	char dir[1024];

	if (!slash)
		return inode_at(c, dirfd, "");
	snprintf(dir, sizeof(dir), "%.*s", (int)(slash - *name), *name);
	*name = slash + 1;
	return inode_at(c, dirfd, dir);
}

static int crash_open(struct ay_fs *fs, int dirfd, const char *path, int flags, mode_t mode)
{
	struct fs_crash *c = fs->ctx;

	if (flags & O_TRUNC)
		crash_die("%s: opened with O_TRUNC, which is not modelled", path);
	if (c->dead)
		return -EIO;
	if (!(flags & O_CREAT) || inode_at(c, dirfd, path) != 0)
		return real()->open(ay_fs_real(), dirfd, path, flags, mode);
	int fd = turn(c);
	if (fd < 0 || (fd = real()->open(ay_fs_real(), dirfd, path, flags, mode)) < 0)
		return fd;
	uint32_t made = note_new(c, dirfd, path), dir = split(c, dirfd, &path);
	note_slot(c, dir, path, made, CRASH_ALONE);
	return fd;
}

static int crash_mkdir(struct ay_fs *fs, int dirfd, const char *name, mode_t mode)
{
	ENTER;
	if ((r = real()->mkdir(ay_fs_real(), dirfd, name, mode)) < 0)
		return r;
	note_slot(c, inode_at(c, dirfd, ""), name, note_new(c, dirfd, name), CRASH_ALONE);
	return r;
}

static int crash_link(struct ay_fs *fs, int from_dirfd, const char *from, int to_dirfd, const char *to)
{
	ENTER;
	uint32_t inode = inode_at(c, from_dirfd, from);
	struct stat st;
	if (c->links_max && fstatat(from_dirfd, from, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    st.st_nlink >= c->links_max)
		return -EMLINK;
	if ((r = real()->link(ay_fs_real(), from_dirfd, from, to_dirfd, to)) < 0)
		return r;
	if (inode == 0)
		crash_die("%s: a link to something outside", from);
	uint32_t to_dir = split(c, to_dirfd, &to);
	note_slot(c, to_dir, to, inode, CRASH_ALONE);
	return r;
}

static int crash_symlink(struct ay_fs *fs, const char *target, int dirfd, const char *name)
{
	ENTER;
	if ((r = real()->symlink(ay_fs_real(), target, dirfd, name)) < 0)
		return r;
	note_slot(c, inode_at(c, dirfd, ""), name, note_new(c, dirfd, name), CRASH_ALONE);
	return r;
}

static int crash_mknod(struct ay_fs *fs, int dirfd, const char *name, mode_t mode, dev_t dev)
{
	ENTER;
	if ((r = real()->mknod(ay_fs_real(), dirfd, name, mode, dev)) < 0)
		return r;
	note_slot(c, inode_at(c, dirfd, ""), name, note_new(c, dirfd, name), CRASH_ALONE);
	return r;
}

static int crash_rename(struct ay_fs *fs, int from_dirfd, const char *from, int to_dirfd, const char *to,
			bool noreplace)
{
	ENTER;
	uint32_t inode = inode_at(c, from_dirfd, from), there = inode_at(c, to_dirfd, to);
	if ((r = real()->rename(ay_fs_real(), from_dirfd, from, to_dirfd, to, noreplace)) < 0)
		return r;
	if (inode == 0)
		crash_die("%s: renamed from outside", from);
	if (inode == there)
		return overtaken(c, r); /* two names of one file: the kernel does nothing */
	uint32_t to_dir = split(c, to_dirfd, &to), from_dir = split(c, from_dirfd, &from);
	bool one = to_dir == from_dir || S_ISDIR(c->log.inodes[inode].mode);
	note_slot(c, to_dir, to, inode, one ? CRASH_TOGETHER : CRASH_ALONE);
	note_slot(c, from_dir, from, 0, one ? CRASH_ALONE : CRASH_AFTER);
	return overtaken(c, r);
}

static int crash_unlink(struct ay_fs *fs, int dirfd, const char *name, int flags)
{
	ENTER;
	if ((r = real()->unlink(ay_fs_real(), dirfd, name, flags)) < 0)
		return r;
	uint32_t dir = split(c, dirfd, &name);
	note_slot(c, dir, name, 0, CRASH_ALONE);
	return overtaken(c, r);
}

static ssize_t crash_pwrite(struct ay_fs *fs, int fd, const void *buf, size_t len, off_t offset)
{
	ENTER;
	ssize_t n = real()->pwrite(ay_fs_real(), fd, buf, len, offset);
	uint32_t inode = inode_at(c, fd, "");
	if (n > 0 && inode) {
		note_pages(c, fd, inode, (uint64_t)offset, (uint64_t)offset + (uint64_t)n);
		note_size(c, fd, inode);
	}
	return n;
}

static int crash_truncate(struct ay_fs *fs, int fd, off_t size)
{
	ENTER;
	uint32_t inode = inode_at(c, fd, "");
	uint64_t old = noted_size(c, inode);
	if ((r = real()->truncate(ay_fs_real(), fd, size)) < 0 || inode == 0)
		return r;
	note_size(c, fd, inode);
	if ((uint64_t)size < old) /* what is cut off is zero, should the file grow again */
		note_pages(c, fd, inode, (uint64_t)size, old);
	return r;
}

static int crash_allocate(struct ay_fs *fs, int fd, off_t size)
{
	ENTER;
	return real()->allocate(ay_fs_real(), fd, size);
}

static int crash_reflink(struct ay_fs *fs, int to_fd, int from_fd)
{
	ENTER;
	uint32_t inode = inode_at(c, to_fd, "");
	struct stat st;
	if ((r = real()->reflink(ay_fs_real(), to_fd, from_fd)) < 0 || inode == 0)
		return r;
	if (fstat(to_fd, &st) == 0)
		note_pages(c, to_fd, inode, 0, (uint64_t)st.st_size);
	note_size(c, to_fd, inode);
	return r;
}

static int crash_chmod(struct ay_fs *fs, int fd, mode_t mode)
{
	ENTER;
	uint32_t inode = inode_at(c, fd, "");
	if ((r = real()->chmod(ay_fs_real(), fd, mode)) == 0 && inode)
		note_value(c, CRASH_MODE, inode, mode & 07777, 0);
	return r;
}

static int crash_chown(struct ay_fs *fs, int dirfd, const char *name, uid_t uid, gid_t gid)
{
	ENTER;
	uint32_t inode = inode_at(c, dirfd, name);
	if ((r = real()->chown(ay_fs_real(), dirfd, name, uid, gid)) == 0 && inode)
		note_value(c, CRASH_OWNER, inode, uid, gid);
	return r;
}

static int crash_utimens(struct ay_fs *fs, int dirfd, const char *name, const struct timespec *mtime)
{
	ENTER;
	uint32_t inode = inode_at(c, dirfd, name);
	if ((r = real()->utimens(ay_fs_real(), dirfd, name, mtime)) == 0 && inode)
		note_value(c, CRASH_MTIME, inode, (uint64_t)mtime->tv_sec, (uint64_t)mtime->tv_nsec);
	return r;
}

static int crash_setxattr(struct ay_fs *fs, int dirfd, const char *name, const char *attr, const void *value,
			  size_t len)
{
	ENTER;
	uint32_t inode = inode_at(c, dirfd, name);
	if ((r = real()->setxattr(ay_fs_real(), dirfd, name, attr, value, len)) == 0 && inode)
		note_xattr(c, inode, attr, value, len);
	return r;
}

/* What was written past the seam (a maker of bundles has the fd) is noted before it is synced. */
static void catch_up(struct fs_crash *c, int fd, uint32_t inode)
{
	struct stat st;

	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size != noted_size(c, inode)) {
		note_pages(c, fd, inode, 0, (uint64_t)st.st_size);
		note_size(c, fd, inode);
	}
}

static int sync_one(struct ay_fs *fs, int fd, const char *op, enum crash_sync kind, const void *site)
{
	ENTER;
	if (c->kill_at_sync && --c->kill_at_sync == 0) {
		c->dead = true;
		return -EIO;
	}
	uint32_t inode = inode_at(c, fd, "");
	if (inode == 0 && kind != CRASH_SYNCFS)
		return 0; /* outside */
	if (kind != CRASH_SYNCFS)
		catch_up(c, fd, inode);
	char name[1300];
	bool mutant = fs_crash__is_mutant(c, op, inode, site, name);
	if (c->fail_at && c->calls >= c->fail_at) {
		c->fail_at = 0;
		c->failed = true;
		crash_sync_at(&c->log, c->calls, kind, inode,
			      c->names_too && kind != CRASH_SYNCFS ? CRASH_LOST_ALL : CRASH_LOST);
		return -EIO;
	}
	if (crash_sync_at(&c->log, c->calls, kind, inode, mutant ? CRASH_SUSPECT : CRASH_DURABLE) > 0)
		fs_crash__note_useful(c, name, site);
	if (mutant && c->mutation == CRASH_TOO_LATE) {
		c->late = true;
		c->late_before = c->calls;
		c->late_kind = kind;
		c->late_inode = inode;
	}
	return 0;
}

static int crash_fsync(struct ay_fs *fs, int fd)
{
	return sync_one(fs, fd, "fsync", CRASH_FSYNC, __builtin_return_address(0));
}

static int crash_fdatasync(struct ay_fs *fs, int fd)
{
	return sync_one(fs, fd, "fdatasync", CRASH_FDATASYNC, __builtin_return_address(0));
}

static int crash_syncfs(struct ay_fs *fs, int fd)
{
	return sync_one(fs, fd, "syncfs", CRASH_SYNCFS, __builtin_return_address(0));
}

/* Blocks are shared or not: what a file holds is the same. */
static int64_t crash_dedupe(struct ay_fs *fs, int from_fd, int to_fd, uint64_t offset, uint64_t len)
{
	struct fs_crash *c = fs->ctx;
	int r = turn(c);

	return r < 0 ? r : real()->dedupe(ay_fs_real(), from_fd, to_fd, offset, len);
}

/* Both names or none; of one directory, or of two that are synced apart: then it is modelled as two. */
static int crash_exchange(struct ay_fs *fs, int a_dirfd, const char *a, int b_dirfd, const char *b)
{
	ENTER;
	uint32_t x = inode_at(c, a_dirfd, a), y = inode_at(c, b_dirfd, b);
	if ((r = real()->exchange(ay_fs_real(), a_dirfd, a, b_dirfd, b)) < 0)
		return r;
	if (x == 0 || y == 0)
		crash_die("%s, %s: exchanged from outside", a, b);
	uint32_t a_dir = split(c, a_dirfd, &a), b_dir = split(c, b_dirfd, &b);
	if (a_dir != b_dir)
		crash_die("an exchange between directories, which is not modelled");
	note_slot(c, a_dir, a, y, CRASH_TOGETHER);
	note_slot(c, b_dir, b, x, CRASH_ALONE);
	return overtaken(c, r);
}

/* It changes neither content nor names; the model is of those. */
static int crash_verity(struct ay_fs *fs, int fd)
{
	(void)fs;
	(void)fd;
	return -EOPNOTSUPP;
}

static const struct ay_fs_ops ops = {
	.open = crash_open,
	.mkdir = crash_mkdir,
	.link = crash_link,
	.symlink = crash_symlink,
	.mknod = crash_mknod,
	.rename = crash_rename,
	.unlink = crash_unlink,
	.pwrite = crash_pwrite,
	.truncate = crash_truncate,
	.allocate = crash_allocate,
	.reflink = crash_reflink,
	.dedupe = crash_dedupe,
	.exchange = crash_exchange,
	.chmod = crash_chmod,
	.chown = crash_chown,
	.utimens = crash_utimens,
	.setxattr = crash_setxattr,
	.verity = crash_verity,
	.fsync = crash_fsync,
	.fdatasync = crash_fdatasync,
	.syncfs = crash_syncfs,
};

void fs_crash_init(struct fs_crash *c, const char *root)
{
	struct crash_inode top = {.mode = S_IFDIR | 0755};
	struct stat st;
	int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	memset(c, 0, sizeof(*c));
	c->fs = (struct ay_fs){.ops = &ops, .ctx = c};
	snprintf(c->root, sizeof(c->root), "%s", root);
	if (fd < 0 || fstat(fd, &st) < 0)
		crash_die("%s: %s", root, strerror(errno));
	top.real = st.st_ino;
	take_dir(c, fd, crash_inode_add(&c->log, &top));
	crash_sync_at(&c->log, 0, CRASH_SYNCFS, 0, CRASH_DURABLE);
}

void fs_crash_label(struct fs_crash *c, const char *label)
{
	snprintf(c->label, sizeof(c->label), "%s", label);
	sync_late(c, c->calls);
	for (unsigned i = 0; i < c->n_counts; i++)
		free(c->counts[i].name);
	c->n_counts = 0;
	for (unsigned i = 0; i < c->n_syncs; i++)
		c->syncs[i].waits = false;
}

void fs_crash_release(struct fs_crash *c)
{
	fs_crash_label(c, "");
	for (unsigned i = 0; i < c->n_syncs; i++)
		free(c->syncs[i].name);
	free(c->syncs);
	free(c->counts);
	crash_log_release(&c->log);
}
