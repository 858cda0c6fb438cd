/* SPDX-License-Identifier: MIT */
/*
 * diff/make_file.h - a bundle for one file: what `ayni delta make` makes of two files.
 *
 * It is a bundle like any other, between two trees of which each is nothing but the file AY_MAKE_FILE_PATH, owned by
 * root, mode 0644, of the year 1970. Thus its header depends on the files' contents alone.
 */
#ifndef AYNI_DIFF_MAKE_FILE_H
#define AYNI_DIFF_MAKE_FILE_H

#include "diff/make.h"

#define AY_MAKE_FILE_PATH "/file"

/** ay_make_file_tree() - the manifest of the tree that has just the file in @fd; its digest, and the file's. */
int ay_make_file_tree(int fd, struct ay_buf *manifest, struct ay_digest *manifest_digest,
		      struct ay_digest *file_digest, struct ay_err *err);

/**
 * ay_make_file() - write the bundle from file @old_fd (-1: from nothing) to file @new_fd to @out_fd.
 * @old_fd, @new_fd: regular files, borrowed; read by pread. @opts may be NULL.
 *
 * The bundle has one record, with file 0 of @old_fd's tree as its base, or none; none when the files are equal.
 *
 * Return: as ay_bundle_make(), and -EINVAL when either is no regular file.
 */
int ay_make_file(int old_fd, int new_fd, const struct ay_make_options *opts, int out_fd,
		 struct ay_make_result *res, struct ay_err *err);

#endif
