/* SPDX-License-Identifier: MIT */
/*
 * The seam's real side: each entry is one system call and gives back -errno.
 *
 * The few that are more than one line make up for what the kernel lacks: no call
 * takes an O_PATH fd for chmod, and none a directory fd for xattrs before Linux 6.13,
 * so these two go through /proc/self/fd, which leads to the very inode that the
 * fd holds; renames without replacing are done by link and unlink where the file
 * system does not know RENAME_NOREPLACE.
 */
#include "store/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/fsverity.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "store/file.h"

#define PROC_FD_LEN (sizeof("/proc/self/fd/-2147483648/") + 256)

static int result(int r)
{
	return r < 0 ? -errno : r;
}

static int real_open(struct ay_fs *fs, int dirfd, const char *path, int flags, mode_t mode)
{
	(void)fs;
	return ay__open_beneath_mode(dirfd, path, flags, mode);
}

static int real_mkdir(struct ay_fs *fs, int dirfd, const char *name, mode_t mode)
{
	(void)fs;
	return result(mkdirat(dirfd, name, mode));
}

static int real_link(struct ay_fs *fs, int from_dirfd, const char *from, int to_dirfd, const char *to)
{
	(void)fs;
	if (from[0])
		return result(linkat(from_dirfd, from, to_dirfd, to, 0));
	/* Without CAP_DAC_READ_SEARCH the kernel knows no such file; /proc leads to it all the same. */
	if (linkat(from_dirfd, "", to_dirfd, to, AT_EMPTY_PATH) == 0)
		return 0;
	if (errno != ENOENT)
		return -errno;
	char path[PROC_FD_LEN];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", from_dirfd);
	return result(linkat(AT_FDCWD, path, to_dirfd, to, AT_SYMLINK_FOLLOW));
}

static int real_symlink(struct ay_fs *fs, const char *target, int dirfd, const char *name)
{
	(void)fs;
	return result(symlinkat(target, dirfd, name));
}

static int real_mknod(struct ay_fs *fs, int dirfd, const char *name, mode_t mode, dev_t dev)
{
	(void)fs;
	return result(mknodat(dirfd, name, mode, dev));
}

/* Without RENAME_NOREPLACE: link refuses to replace; a directory only ever replaces an empty one. */
static int rename_noreplace_slowly(int from_dirfd, const char *from, int to_dirfd, const char *to)
{
	struct stat st;

	if (fstatat(from_dirfd, from, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (!S_ISDIR(st.st_mode)) {
		if (linkat(from_dirfd, from, to_dirfd, to, 0) < 0)
			return -errno;
		return result(unlinkat(from_dirfd, from, 0));
	}
	if (fstatat(to_dirfd, to, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return -EEXIST;
	return result(renameat(from_dirfd, from, to_dirfd, to));
}

static int real_rename(struct ay_fs *fs, int from_dirfd, const char *from, int to_dirfd, const char *to,
		       bool noreplace)
{
	(void)fs;
	if (!noreplace)
		return result(renameat(from_dirfd, from, to_dirfd, to));
	if (renameat2(from_dirfd, from, to_dirfd, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno == EINVAL || errno == ENOSYS)
		return rename_noreplace_slowly(from_dirfd, from, to_dirfd, to);
	return -errno;
}

static int real_unlink(struct ay_fs *fs, int dirfd, const char *name, int flags)
{
	(void)fs;
	return result(unlinkat(dirfd, name, flags));
}

static ssize_t real_pwrite(struct ay_fs *fs, int fd, const void *buf, size_t len, off_t offset)
{
	(void)fs;
	ssize_t n = pwrite(fd, buf, len, offset);
	return n < 0 ? -errno : n;
}

static int real_truncate(struct ay_fs *fs, int fd, off_t size)
{
	(void)fs;
	return result(ftruncate(fd, size));
}

static int real_allocate(struct ay_fs *fs, int fd, off_t size)
{
	(void)fs;
	return result(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, size));
}

static int real_reflink(struct ay_fs *fs, int to_fd, int from_fd)
{
	(void)fs;
	return result(ioctl(to_fd, FICLONE, from_fd));
}

static int64_t real_dedupe(struct ay_fs *fs, int from_fd, int to_fd, uint64_t offset, uint64_t len)
{
	(void)fs;
	union {
		struct file_dedupe_range range;
		char room[sizeof(struct file_dedupe_range) + sizeof(struct file_dedupe_range_info)];
	} u;

	memset(&u, 0, sizeof(u));
	u.range.src_offset = offset;
	u.range.src_length = len;
	u.range.dest_count = 1;
	u.range.info[0].dest_fd = to_fd;
	u.range.info[0].dest_offset = offset;
	if (ioctl(from_fd, FIDEDUPERANGE, &u.range) < 0)
		return -errno;
	if (u.range.info[0].status < 0)
		return u.range.info[0].status;
	return u.range.info[0].status == FILE_DEDUPE_RANGE_DIFFERS ? 0
								   : (int64_t)u.range.info[0].bytes_deduped;
}

static int real_exchange(struct ay_fs *fs, int a_dirfd, const char *a, int b_dirfd, const char *b)
{
	(void)fs;
	return result(renameat2(a_dirfd, a, b_dirfd, b, RENAME_EXCHANGE));
}

static int real_chmod(struct ay_fs *fs, int fd, mode_t mode)
{
	(void)fs;
	if (fchmod(fd, mode) == 0)
		return 0;
	if (errno != EBADF)
		return -errno;
	char path[PROC_FD_LEN];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return result(chmod(path, mode));
}

static int real_chown(struct ay_fs *fs, int dirfd, const char *name, uid_t uid, gid_t gid)
{
	(void)fs;
	return result(fchownat(dirfd, name, uid, gid, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH));
}

static int real_utimens(struct ay_fs *fs, int dirfd, const char *name, const struct timespec *mtime)
{
	(void)fs;
	const struct timespec ts[2] = {*mtime, *mtime};
	if (!name[0])
		return result(futimens(dirfd, ts));
	return result(utimensat(dirfd, name, ts, AT_SYMLINK_NOFOLLOW));
}

static int real_setxattr(struct ay_fs *fs, int dirfd, const char *name, const char *attr, const void *value,
			 size_t len)
{
	(void)fs;
	if (!name[0])
		return result(fsetxattr(dirfd, attr, value, len, 0));
	char path[PROC_FD_LEN];
	int n = snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", dirfd, name);
	if (n < 0 || (size_t)n >= sizeof(path))
		return -ENAMETOOLONG;
	return result(lsetxattr(path, attr, value, len, 0));
}

static int real_verity(struct ay_fs *fs, int fd)
{
	(void)fs;
	const struct fsverity_enable_arg arg = {
		.version = 1, .hash_algorithm = FS_VERITY_HASH_ALG_SHA256, .block_size = 4096};
	int r;
	do /* it reads the whole file and may be interrupted; then nothing has happened */
		r = ioctl(fd, FS_IOC_ENABLE_VERITY, &arg);
	while (r < 0 && errno == EINTR);
	return result(r);
}

static int real_fsync(struct ay_fs *fs, int fd)
{
	(void)fs;
	return result(fsync(fd));
}

static int real_fdatasync(struct ay_fs *fs, int fd)
{
	(void)fs;
	return result(fdatasync(fd));
}

static int real_syncfs(struct ay_fs *fs, int fd)
{
	(void)fs;
	return result(syncfs(fd));
}

static const struct ay_fs_ops real_ops = {
	.open = real_open,
	.mkdir = real_mkdir,
	.link = real_link,
	.symlink = real_symlink,
	.mknod = real_mknod,
	.rename = real_rename,
	.unlink = real_unlink,
	.pwrite = real_pwrite,
	.truncate = real_truncate,
	.allocate = real_allocate,
	.reflink = real_reflink,
	.dedupe = real_dedupe,
	.exchange = real_exchange,
	.chmod = real_chmod,
	.chown = real_chown,
	.utimens = real_utimens,
	.setxattr = real_setxattr,
	.verity = real_verity,
	.fsync = real_fsync,
	.fdatasync = real_fdatasync,
	.syncfs = real_syncfs,
};

struct ay_fs *ay_fs_real(void)
{
	/* Never written to; the type is what every implementation hands out. */
	static struct ay_fs real = {.ops = &real_ops, .ctx = NULL};
	return &real;
}
