/* SPDX-License-Identifier: MIT */
/*
 * tests/support/failing_reads.h - the system calls that only look, of which the N-th fails, or it and all behind it. They do not go
 * through the seam of store/fs.h, so the C library's own functions are taken: each is defined here, and asks the real one.
 *
 * Included by one file of a program, as failing_malloc.h is. Armed in all threads.
 */
#ifndef AYNI_TESTS_SUPPORT_FAILING_READS_H
#define AYNI_TESTS_SUPPORT_FAILING_READS_H

#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>

#include "tests/support/same_everywhere.h"

enum reads_kind {
	READS_OPENS = 1, /* open in any form, fdopendir */
	READS_LOOKS = 2, /* stat, access, readlink, attributes, a directory's next entry */
	READS_DATA = 4,  /* pread */
	READS_LOCKS = 8, /* flock */
	READS_ALL = 15
};

static atomic_bool reads_armed;
static atomic_long reads_calls, reads_at;
static unsigned reads_mask; /* enum reads_kind: which are counted, and fail */
static int reads_error;
static bool reads_for_good;
static const char *reads_failed; /* the first that did; NULL */

static bool reads_turn(enum reads_kind kind, const char *name)
{
	if (!reads_armed || !(reads_mask & kind))
		return false;
	const long call = ++reads_calls, at = reads_at;
	if (at < 0 || (reads_for_good ? call < at : call != at))
		return false;
	if (!reads_failed)
		reads_failed = name;
	errno = reads_error;
	return true;
}

static bool reads_readdir(void)
{
	return reads_turn(READS_LOOKS, "readdir");
}

/* From here on: the @at-th of @mask gives @error; @for_good: and all behind it. @at -1: count only. */
static inline void reads_arm(unsigned mask, int error, long at, bool for_good)
{
	reads_mask = mask;
	reads_error = error;
	reads_calls = 0;
	reads_at = at;
	reads_for_good = for_good;
	reads_failed = NULL;
	readdir_asks(reads_readdir);
	reads_armed = true;
}

static inline void reads_disarm(void)
{
	reads_armed = false;
}

static void *reads_real(const char *name)
{
	return dlsym(RTLD_NEXT, name);
}

#define READS_REAL(type, symbol)                                                                             \
	static type *real;                                                                                   \
	if (!real)                                                                                           \
	real = (type *)(uintptr_t)reads_real(symbol)

/* ---- opening ---- */

typedef int reads_openat_fn(int dirfd, const char *path, int flags, ...);
int reads_openat(int dirfd, const char *path, int flags, ...) __asm__("openat64");
int reads_openat(int dirfd, const char *path, int flags, ...)
{
	READS_REAL(reads_openat_fn, "openat64");
	va_list ap;
	va_start(ap, flags);
	mode_t mode = va_arg(ap, mode_t);
	va_end(ap);
	return reads_turn(READS_OPENS, "openat") ? -1 : real(dirfd, path, flags, mode);
}

typedef int reads_open_fn(const char *path, int flags, ...);
int reads_open(const char *path, int flags, ...) __asm__("open64");
int reads_open(const char *path, int flags, ...)
{
	READS_REAL(reads_open_fn, "open64");
	va_list ap;
	va_start(ap, flags);
	mode_t mode = va_arg(ap, mode_t);
	va_end(ap);
	return reads_turn(READS_OPENS, "open") ? -1 : real(path, flags, mode);
}

/* openat2() has no function of its own. One that creates is the seam's business. */
typedef long reads_syscall_fn(long n, ...);
long reads_syscall(long n, ...) __asm__("syscall");
long reads_syscall(long n, ...)
{
	READS_REAL(reads_syscall_fn, "syscall");
	long a[6];
	va_list ap;
	va_start(ap, n);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	if (n == SYS_openat2 && reads_turn(READS_OPENS, "openat2"))
		return -1;
	return real(n, a[0], a[1], a[2], a[3], a[4], a[5]);
}

typedef void *reads_fdopendir_fn(int fd);
void *reads_fdopendir(int fd) __asm__("fdopendir");
void *reads_fdopendir(int fd)
{
	READS_REAL(reads_fdopendir_fn, "fdopendir");
	return reads_turn(READS_OPENS, "fdopendir") ? NULL : real(fd);
}

/* ---- looking ---- */

typedef int reads_fstatat_fn(int dirfd, const char *name, struct stat *st, int flags);
int reads_fstatat(int dirfd, const char *name, struct stat *st, int flags) __asm__("fstatat64");
int reads_fstatat(int dirfd, const char *name, struct stat *st, int flags)
{
	READS_REAL(reads_fstatat_fn, "fstatat64");
	return reads_turn(READS_LOOKS, "fstatat") ? -1 : real(dirfd, name, st, flags);
}

typedef int reads_fstat_fn(int fd, struct stat *st);
int reads_fstat(int fd, struct stat *st) __asm__("fstat64");
int reads_fstat(int fd, struct stat *st)
{
	READS_REAL(reads_fstat_fn, "fstat64");
	return reads_turn(READS_LOOKS, "fstat") ? -1 : real(fd, st);
}

typedef int reads_faccessat_fn(int dirfd, const char *name, int mode, int flags);
int reads_faccessat(int dirfd, const char *name, int mode, int flags) __asm__("faccessat");
int reads_faccessat(int dirfd, const char *name, int mode, int flags)
{
	READS_REAL(reads_faccessat_fn, "faccessat");
	return reads_turn(READS_LOOKS, "faccessat") ? -1 : real(dirfd, name, mode, flags);
}

typedef ssize_t reads_readlinkat_fn(int dirfd, const char *name, char *buf, size_t len);
ssize_t reads_readlinkat(int dirfd, const char *name, char *buf, size_t len) __asm__("readlinkat");
ssize_t reads_readlinkat(int dirfd, const char *name, char *buf, size_t len)
{
	READS_REAL(reads_readlinkat_fn, "readlinkat");
	return reads_turn(READS_LOOKS, "readlinkat") ? -1 : real(dirfd, name, buf, len);
}

typedef ssize_t reads_list_fn(int fd, char *buf, size_t len);
ssize_t reads_flistxattr(int fd, char *buf, size_t len) __asm__("flistxattr");
ssize_t reads_flistxattr(int fd, char *buf, size_t len)
{
	READS_REAL(reads_list_fn, "flistxattr");
	return reads_turn(READS_LOOKS, "flistxattr") ? -1 : real(fd, buf, len);
}

typedef ssize_t reads_llist_fn(const char *path, char *buf, size_t len);
ssize_t reads_llistxattr(const char *path, char *buf, size_t len) __asm__("llistxattr");
ssize_t reads_llistxattr(const char *path, char *buf, size_t len)
{
	READS_REAL(reads_llist_fn, "llistxattr");
	return reads_turn(READS_LOOKS, "llistxattr") ? -1 : real(path, buf, len);
}

/* ---- reading, locking ---- */

typedef ssize_t reads_pread_fn(int fd, void *buf, size_t len, off_t at);
ssize_t reads_pread(int fd, void *buf, size_t len, off_t at) __asm__("pread64");
ssize_t reads_pread(int fd, void *buf, size_t len, off_t at)
{
	READS_REAL(reads_pread_fn, "pread64");
	return reads_turn(READS_DATA, "pread") ? -1 : real(fd, buf, len, at);
}

typedef int reads_flock_fn(int fd, int op);
int reads_flock(int fd, int op) __asm__("flock");
int reads_flock(int fd, int op)
{
	READS_REAL(reads_flock_fn, "flock");
	return reads_turn(READS_LOCKS, "flock") ? -1 : real(fd, op);
}

#endif
