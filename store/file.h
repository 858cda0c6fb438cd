/* SPDX-License-Identifier: MIT */
/*
 * store/file.h - small habits of the room store/: safe opening, whole reads, durable replacement, emptying.
 *
 * Inside store/ (trees, state, bundles, repository); nothing outside includes it.
 */
#ifndef AYNI_STORE_FILE_H
#define AYNI_STORE_FILE_H

#include <dirent.h>
#include <stdbool.h>

#include "base/error.h"
#include "store/fs.h"

/* Prefix of files being replaced; what has it and is locked by nobody is garbage. */
#define AY__TMP_PREFIX ".tmp-"

/**
 * ay__open_beneath() - open for reading, strictly beneath @dirfd, without following any symlink.
 * @path: relative; may have several components. @flags: O_RDONLY, O_PATH, O_DIRECTORY ...; O_CLOEXEC is added, and
 * O_NONBLOCK, so that a fifo there does not hang us.
 *
 * openat2(RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS); on a kernel without it (before 5.6)
 * the path is walked component by component with O_NOFOLLOW.
 *
 * Return: fd or -errno (-ELOOP: a symlink on the way, -EXDEV: "..").
 */
int ay__open_beneath(int dirfd, const char *path, int flags);
/** ay__open_beneath_mode() - the same with O_CREAT and a mode; only implementations of the seam call it. */
int ay__open_beneath_mode(int dirfd, const char *path, int flags, mode_t mode);

/**
 * ay__not_there() - does @r, of opening a path or looking at one, say that there is nothing of that name? Every other error (no
 * descriptor left, a failing disk, no permission) says nothing about it, and is never an answer.
 */
bool ay__not_there(int r);
/** ay__there() - is there a @name in @dirfd? 1, 0, -errno when that cannot be known. */
int ay__there(int dirfd, const char *name);
/** ay__own_lack() - is @r a failure of ours (no descriptor, no memory), which would meet whatever comes next, too? */
bool ay__own_lack(int r);
/** ay__list_dir() - a second, independent reader of the directory @dirfd; NULL with errno. */
DIR *ay__list_dir(int dirfd);
/**
 * ay__dir_next() - the next entry but "." and ".."; NULL at the end, or when the disk fails: then *@r, which is 0 before, is
 * -errno, and what comes behind was not seen.
 */
struct dirent *ay__dir_next(DIR *d, int *r);

/**
 * ay__read_file() - all of a regular file into memory.
 * @max: refuse (AY_ELIMIT) a larger one. @data: NUL added behind, not counted; the caller frees.
 *
 * Return: 0; -ENOENT when it is not there (no sentence is wasted on it beyond the name); AY_ELIMIT; -errno.
 */
int ay__read_file(int dirfd, const char *path, size_t max, uint8_t **data, size_t *len, struct ay_err *err);

/** ay__write_all() - all of @data at @offset through the seam; 0 or -errno. */
int ay__write_all(struct ay_fs *fs, int fd, const void *data, size_t len, uint64_t offset);

/**
 * ay__write_sparse() - the same, but blocks of zeros (AY_HOLE_SIZE, at multiples of it) are left out.
 *
 * What is left out must be a hole already. Behind the last byte written the file may end too early:
 * ay__end_sparse() makes it as long as it is to be.
 */
int ay__write_sparse(struct ay_fs *fs, int fd, const void *data, size_t len, uint64_t offset);
/** ay__end_sparse() - the file is @size bytes long: if zeros at its end were left out, they become a hole. 0, -errno. */
int ay__end_sparse(struct ay_fs *fs, int fd, uint64_t size);

/**
 * ay__store_replace_file() - @name in @dirfd becomes @data, the old or the new one after any power cut.
 * @dirfd: open for reading (not O_PATH), so that it can be synced. @name: one component.
 *
 * Written under a temporary name beside it, fsync, rename over, fsync of the directory. On failure nothing
 * is left behind and the old file stays. The file gets mode 0644.
 */
int ay__store_replace_file(struct ay_fs *fs, int dirfd, const char *name, const void *data, size_t len,
			   struct ay_err *err);

/** ay__sweep_tmp() - remove the temporary files that dead processes left in @dirfd. Errors are ignored. */
void ay__sweep_tmp(struct ay_fs *fs, int dirfd);

/**
 * ay__make_dir() - mkdir if it is not there; open it for reading. @mode is set exactly, whatever the umask.
 * @made: set true when it was made now (may be NULL); the caller syncs @dirfd then.
 *
 * Return: fd or -errno.
 */
int ay__make_dir(struct ay_fs *fs, int dirfd, const char *name, mode_t mode, bool *made);

/**
 * ay__remove_tree() - remove @name in @dirfd and all below it, not following symlinks, whatever the modes of
 * directories. Not there is success. Goes on past failures; returns the first. Memory and fds are bounded.
 */
int ay__remove_tree(struct ay_fs *fs, int dirfd, const char *name);

/**
 * ay__lies_in() - is the directory @inner @outer, or below it? By the ".." of each, as the kernel sees them now.
 * Return: 1, 0 or -errno.
 */
int ay__lies_in(int inner, int outer);

/** ay__random_name() - 16 hex digits and a NUL, from the system's randomness. */
void ay__random_name(char out[17]);

/** ay__lock() - flock(@fd, @op), through EINTR. 0 or -errno (-EWOULDBLOCK with LOCK_NB). */
int ay__lock(int fd, int op);

#endif
