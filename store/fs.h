/* SPDX-License-Identifier: MIT */
/*
 * store/fs.h - the seam through which the store changes the disk.
 *
 * Every system call that changes a file system goes through this table; there is
 * a real implementation (store/fs_real.c) and one that injects faults
 * (tests/support/fs_fault.h). Reading goes straight to the kernel. Each function
 * has the meaning of the system call of its name, takes a directory fd that the
 * store holds, and returns 0 (or a count or an fd) or -errno. Path arguments are
 * resolved beneath @dirfd without following symlinks (openat2's RESOLVE_BENEATH,
 * RESOLVE_NO_SYMLINKS and RESOLVE_NO_MAGICLINKS for open; single names, never
 * paths with a symlink inside, for the others).
 */
#ifndef AYNI_STORE_FS_H
#define AYNI_STORE_FS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

struct ay_fs;

struct ay_fs_ops {
	int (*open)(struct ay_fs *fs, int dirfd, const char *path, int flags,
		    mode_t mode); /* fd; O_CLOEXEC added */
	int (*mkdir)(struct ay_fs *fs, int dirfd, const char *name, mode_t mode);
	int (*link)(struct ay_fs *fs, int from_dirfd, const char *from, int to_dirfd,
		    const char *to); /* from "": the fd itself */
	int (*symlink)(struct ay_fs *fs, const char *target, int dirfd, const char *name);
	int (*mknod)(struct ay_fs *fs, int dirfd, const char *name, mode_t mode, dev_t dev);
	int (*rename)(struct ay_fs *fs, int from_dirfd, const char *from, int to_dirfd, const char *to,
		      bool noreplace);
	int (*unlink)(struct ay_fs *fs, int dirfd, const char *name, int flags); /* AT_REMOVEDIR */
	ssize_t (*pwrite)(struct ay_fs *fs, int fd, const void *buf, size_t len, off_t offset);
	int (*truncate)(struct ay_fs *fs, int fd, off_t size);
	int (*allocate)(struct ay_fs *fs, int fd,
			off_t size); /* fallocate(KEEP_SIZE); -EOPNOTSUPP is no failure */
	int (*reflink)(struct ay_fs *fs, int to_fd, int from_fd); /* FICLONE */
	/* FIDEDUPERANGE of @len bytes at @offset: bytes that are shared now; 0 they differ; -errno. */
	int64_t (*dedupe)(struct ay_fs *fs, int from_fd, int to_fd, uint64_t offset, uint64_t len);
	int (*exchange)(struct ay_fs *fs, int a_dirfd, const char *a, int b_dirfd,
			const char *b); /* RENAME_EXCHANGE */
	int (*chmod)(struct ay_fs *fs, int fd, mode_t mode);
	int (*chown)(struct ay_fs *fs, int dirfd, const char *name, uid_t uid,
		     gid_t gid); /* name "": the fd itself */
	int (*utimens)(struct ay_fs *fs, int dirfd, const char *name,
		       const struct timespec *mtime); /* atime likewise */
	int (*setxattr)(struct ay_fs *fs, int dirfd, const char *name, const char *attr, const void *value,
			size_t len);
	int (*verity)(struct ay_fs *fs,
		      int fd); /* FS_IOC_ENABLE_VERITY, SHA-256, blocks of 4096; @fd read-only */
	int (*fsync)(struct ay_fs *fs, int fd);
	int (*fdatasync)(struct ay_fs *fs, int fd);
	int (*syncfs)(struct ay_fs *fs, int fd);
};

struct ay_fs {
	const struct ay_fs_ops *ops;
	void *ctx; /* the implementation's own */
};

/** ay_fs_real() - the kernel's file systems. Static, without state. */
struct ay_fs *ay_fs_real(void);

#endif
