/* SPDX-License-Identifier: MIT */
/*
 * Small habits of the room: a path is opened strictly beneath a held directory,
 * a small file is replaced so that a power cut finds the old or the new one, a
 * directory is emptied whatever stands in it.
 */
#include "store/file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/sparse.h"

/* Signals may come thick; but a file system that never does anything else must not hang us. */
#define INTERRUPTED_MAX 1000

/* Kernels before 5.6: one component after the other, none of them a symlink or "..". */
static int open_walking(int dirfd, const char *path, int flags, mode_t mode)
{
	AY_CLOSE int held = -1;
	int at = dirfd;

	for (;;) {
		char name[256];
		size_t len = strcspn(path, "/");
		if (len == 0 || (len == 2 && memcmp(path, "..", 2) == 0))
			return len ? -EXDEV : path[0] ? -EINVAL : -ENOENT;
		if (len >= sizeof(name))
			return -ENAMETOOLONG;
		memcpy(name, path, len);
		name[len] = '\0';
		path += len;
		if (!path[0]) {
			int fd = openat(at, name, flags | O_NOFOLLOW | O_CLOEXEC, mode);
			return fd < 0 ? -errno : fd;
		}
		path++;
		int next = openat(at, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (next < 0)
			return -errno;
		if (held >= 0)
			close(held);
		at = held = next;
	}
}

int ay__open_beneath_mode(int dirfd, const char *path, int flags, mode_t mode)
{
	struct open_how how = {
		.flags = (uint64_t)(flags | O_CLOEXEC | O_NOFOLLOW),
		.mode = flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY)) ? mode & 07777 : 0,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};

	for (;;) {
		long fd = syscall(SYS_openat2, dirfd, path, &how, sizeof(how));
		if (fd >= 0)
			return (int)fd;
		/* EAGAIN: a rename elsewhere raced with the check of "..", of which there is none here. */
		if (errno == EINTR || errno == EAGAIN)
			continue;
		/* EPERM: a sandbox of an older day that does not know the call. */
		if (errno == ENOSYS || errno == EPERM)
			return open_walking(dirfd, path, flags, mode);
		return -errno;
	}
}

int ay__open_beneath(int dirfd, const char *path, int flags)
{
	/* A fifo in a file's place must not keep us waiting for somebody to write into it. Files know no difference. */
	if ((flags & O_ACCMODE) == O_RDONLY && !(flags & O_PATH))
		flags |= O_NONBLOCK;
	return ay__open_beneath_mode(dirfd, path, flags, 0);
}

int ay__read_file(int dirfd, const char *path, size_t max, uint8_t **data, size_t *len, struct ay_err *err)
{
	struct stat st;
	AY_CLOSE int fd = ay__open_beneath(dirfd, path, O_RDONLY | O_NONBLOCK);

	if (fd < 0)
		return ay_err_errno(err, -fd, "%s", path);
	if (fstat(fd, &st) < 0)
		return ay_err_errno(err, errno, "%s", path);
	if (!S_ISREG(st.st_mode))
		return ay_err_set(err, AY_EFORMAT, "%s: not a regular file", path);
	if ((uint64_t)st.st_size > max)
		return ay_err_set(err, AY_ELIMIT, "%s: %llu bytes, at most %zu are allowed", path,
				  (unsigned long long)st.st_size, max);
	size_t size = (size_t)st.st_size, got = 0;
	AY_FREE uint8_t *p = malloc(size + 1);
	if (!p)
		return ay_err_errno(err, ENOMEM, "%s", path);
	while (got < size) {
		ssize_t n = pread(fd, p + got, size - got, (off_t)got);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return ay_err_errno(err, errno, "%s", path);
		if (n == 0)
			return ay_err_errno(err, EIO, "%s: it got shorter while it was read", path);
		got += (size_t)n;
	}
	p[size] = 0;
	*data = ay_steal_ptr(&p);
	*len = size;
	return 0;
}

int ay__write_all(struct ay_fs *fs, int fd, const void *data, size_t len, uint64_t offset)
{
	const uint8_t *p = data;
	unsigned interrupted = 0;

	while (len > 0) {
		ssize_t n = fs->ops->pwrite(fs, fd, p, len, (off_t)offset);
		if (n == -EINTR && ++interrupted < INTERRUPTED_MAX)
			continue;
		if (n <= 0)
			return n < 0 ? (int)n : -EIO;
		p += n;
		offset += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

/* How many of @len bytes, from @offset on, lie in whole blocks of zeros; 0: the first block is none. */
static size_t zero_blocks(const uint8_t *p, size_t len, uint64_t offset)
{
	size_t n = 0;

	if (offset % AY_HOLE_SIZE)
		return 0;
	while (len - n >= AY_HOLE_SIZE && ay_is_zero(p + n, AY_HOLE_SIZE))
		n += AY_HOLE_SIZE;
	return n;
}

int ay__write_sparse(struct ay_fs *fs, int fd, const void *data, size_t len, uint64_t offset)
{
	const uint8_t *p = data;

	while (len > 0) {
		size_t zeros = zero_blocks(p, len, offset), n = zeros, step;
		/* Up to the next block of zeros, or the end. */
		while (n < len && (n == zeros || zero_blocks(p + n, len - n, offset + n) == 0)) {
			step = AY_HOLE_SIZE - (size_t)((offset + n) % AY_HOLE_SIZE);
			n = step < len - n ? n + step : len;
		}
		int r = ay__write_all(fs, fd, p + zeros, n - zeros, offset + zeros);
		if (r < 0)
			return r;
		p += n;
		offset += n;
		len -= n;
	}
	return 0;
}

int ay__end_sparse(struct ay_fs *fs, int fd, uint64_t size)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	return (uint64_t)st.st_size == size ? 0 : fs->ops->truncate(fs, fd, (off_t)size);
}

void ay__random_name(char out[17])
{
	uint64_t v = 0;

	/* Interrupted it can be only early after the machine's start, before the kernel has any. */
	while (getrandom(&v, sizeof(v), 0) != (ssize_t)sizeof(v))
		AY_ASSERT(errno == EINTR);
	snprintf(out, 17, "%016llx", (unsigned long long)v);
}

int ay__lock(int fd, int op)
{
	while (flock(fd, op) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	return 0;
}

/*
 * Write and sync @tmp, rename it to @name, sync the directory. @renamed: @name is the new one, whatever is returned;
 * NULL: leave the directory unsynced.
 */
static int replace_by(struct ay_fs *fs, int dirfd, const char *tmp, const char *name, const void *data,
		      size_t len, bool *renamed)
{
	AY_CLOSE int fd = fs->ops->open(fs, dirfd, tmp, O_WRONLY | O_CREAT | O_EXCL, 0600);

	if (fd < 0)
		return fd;
	int r = ay__lock(fd, LOCK_EX | LOCK_NB); /* so that ay__sweep_tmp() sees that we live */
	if (r == -EWOULDBLOCK)
		return r; /* it came first, and removes it */
	if (r == 0)
		r = ay__write_all(fs, fd, data, len, 0);
	if (r == 0)
		r = fs->ops->chmod(fs, fd, 0644);
	if (r == 0)
		r = fs->ops->fsync(fs, fd);
	if (r == 0)
		r = fs->ops->rename(fs, dirfd, tmp, dirfd, name, false);
	if (r < 0) {
		fs->ops->unlink(fs, dirfd, tmp, 0);
		return r;
	}
	if (!renamed) /* nothing is promised of it */
		return 0;
	*renamed = true;
	return fs->ops->fsync(fs, dirfd);
}

static int replace(struct ay_fs *fs, int dirfd, const char *name, const void *data, size_t len, bool *renamed)
{
	char rnd[17], tmp[sizeof(AY__TMP_PREFIX) + 17];

	int r = -ENOENT;
	/* A sweeper may come between making the file and locking it: then another is made. */
	for (int tries = 0; tries < 64 && (r == -ENOENT || r == -EWOULDBLOCK); tries++) {
		ay__random_name(rnd);
		snprintf(tmp, sizeof(tmp), AY__TMP_PREFIX "%s", rnd);
		r = replace_by(fs, dirfd, tmp, name, data, len, renamed);
	}
	return r;
}

/*
 * The directory could not be synced, so nobody knows which file a power cut would leave; and all who read now would
 * take the new one for durable. So the old one (@old, -1: none) is put back, as new data: asking for the same sync again
 * would prove nothing.
 */
static void put_back(struct ay_fs *fs, int dirfd, const char *name, int old)
{
	AY_FREE uint8_t *data = NULL;
	struct stat st;
	ssize_t n;

	if (old < 0) {
		fs->ops->unlink(fs, dirfd, name, 0);
	} else if (fstat(old, &st) == 0 && (data = malloc((size_t)st.st_size + 1)) != NULL) {
		do
			n = pread(old, data, (size_t)st.st_size, 0);
		while (n < 0 && errno == EINTR);
		if (n == st.st_size)
			replace(fs, dirfd, name, data, (size_t)st.st_size, NULL);
	}
}

int ay__store_replace_file(struct ay_fs *fs, int dirfd, const char *name, const void *data, size_t len,
			   struct ay_err *err)
{
	AY_CLOSE int old = ay__open_beneath(dirfd, name, O_RDONLY | O_NONBLOCK);
	bool renamed = false;

	/* What could not be put back is not replaced: an error that says nothing of the old one must not cost it. */
	if (ay__own_lack(old) || old == -EIO)
		return ay_err_errno(err, -old, "cannot open the old %s", name);
	int r = replace(fs, dirfd, name, data, len, &renamed);

	if (r < 0 && renamed)
		put_back(fs, dirfd, name, old);
	return r < 0 ? ay_err_errno(err, -r, "cannot write %s", name) : 0;
}

static bool is_dot(const char *name)
{
	return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
}

void ay__sweep_tmp(struct ay_fs *fs, int dirfd)
{
	AY_CLOSEDIR DIR *d = ay__list_dir(dirfd);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		if (strncmp(e->d_name, AY__TMP_PREFIX, sizeof(AY__TMP_PREFIX) - 1) != 0)
			continue;
		AY_CLOSE int fd = ay__open_beneath(dirfd, e->d_name, O_RDONLY | O_NONBLOCK);
		if (fd >= 0 && ay__lock(fd, LOCK_EX | LOCK_NB) == 0)
			fs->ops->unlink(fs, dirfd, e->d_name, 0);
	}
}

int ay__make_dir(struct ay_fs *fs, int dirfd, const char *name, mode_t mode, bool *made)
{
	int r = fs->ops->mkdir(fs, dirfd, name, mode);

	if (made)
		*made = r == 0;
	if (r < 0 && r != -EEXIST)
		return r;
	int fd = ay__open_beneath(dirfd, name, O_RDONLY | O_DIRECTORY);
	if (fd < 0 || r == -EEXIST)
		return fd;
	r = fs->ops->chmod(fs, fd, mode);
	if (r < 0) {
		close(fd);
		return r;
	}
	return fd;
}

/*
 * Empty a directory. Deeper than REMOVE_DEPTH a directory is first moved up to @top
 * under a new name, so that neither fds nor the C stack grow with the tree's depth.
 */
#define REMOVE_DEPTH 64

/* A plain user's directory may be closed to himself; it is his, so he may open it. */
static void make_writable(struct ay_fs *fs, int dirfd, const char *name)
{
	AY_CLOSE int dir = ay__open_beneath(dirfd, name, O_PATH | O_DIRECTORY);
	struct stat st;

	if (dir >= 0 && fstat(dir, &st) == 0 && (st.st_mode & 0700) != 0700)
		fs->ops->chmod(fs, dir, 0700);
}

static int remove_in(struct ay_fs *fs, int top, int dirfd, const char *name, unsigned depth, bool *moved)
{
	int r = fs->ops->unlink(fs, dirfd, name, 0);
	if (r == 0 || r == -ENOENT)
		return 0;
	if (r != -EISDIR && r != -EPERM && r != -EACCES)
		return r;
	int dir = ay__open_beneath(dirfd, name, O_RDONLY | O_DIRECTORY);
	if (dir == -EACCES) {
		make_writable(fs, dirfd, name);
		dir = ay__open_beneath(dirfd, name, O_RDONLY | O_DIRECTORY);
	}
	if (dir < 0)
		return dir == -ENOTDIR ? r : dir;
	make_writable(fs, dirfd, name);
	DIR *d = fdopendir(dir);
	if (!d) {
		r = -errno;
		close(dir);
		return r;
	}
	struct dirent *e;
	int first = 0;
	while ((e = readdir(d))) {
		if (is_dot(e->d_name))
			continue;
		if (depth == REMOVE_DEPTH && fs->ops->unlink(fs, dir, e->d_name, 0) != 0) {
			char up[17];
			ay__random_name(up);
			make_writable(fs, dir, e->d_name);
			r = fs->ops->rename(fs, dir, e->d_name, top, up, true);
			*moved |= r == 0;
		} else {
			r = remove_in(fs, top, dir, e->d_name, depth + 1, moved);
		}
		if (r < 0 && !first)
			first = r;
	}
	closedir(d);
	r = fs->ops->unlink(fs, dirfd, name, AT_REMOVEDIR);
	return first ? first : r == -ENOENT ? 0 : r;
}

int ay__remove_tree(struct ay_fs *fs, int dirfd, const char *name)
{
	AY_CLOSE int top = ay__open_beneath(dirfd, name, O_RDONLY | O_DIRECTORY);
	bool moved = true;
	int r = 0;

	while (moved) {
		moved = false;
		r = remove_in(fs, top >= 0 ? top : dirfd, dirfd, name, 0, &moved);
	}
	return r;
}

static bool same_dir(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

int ay__lies_in(int inner, int outer)
{
	struct stat at, want, up;
	AY_CLOSE int fd = openat(inner, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &at) < 0 || fstat(outer, &want) < 0)
		return -errno;
	for (;;) {
		if (same_dir(&at, &want))
			return 1;
		int parent = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (parent < 0)
			return -errno;
		close(fd);
		fd = parent;
		if (fstat(fd, &up) < 0)
			return -errno;
		if (same_dir(&at, &up))
			return 0; /* the root */
		at = up;
	}
}
