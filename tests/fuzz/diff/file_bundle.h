/* SPDX-License-Identifier: MIT */
/* A bundle for one file: two files as two trees, each of which is nothing but the file "/file" with fixed metadata. */
#ifndef AYNI_FUZZ_FILE_BUNDLE_H
#define AYNI_FUZZ_FILE_BUNDLE_H

#include "diff/make.h"

/** file_manifest() - the manifest of the tree that has just the file in @fd, at the end of @out. */
void file_manifest(int fd, struct ay_buf *out, struct ay_digest *digest);
/** file_bundle() - write the bundle from file @old_fd (-1: from nothing) to file @new_fd to @out_fd. As ay_bundle_make(). */
int file_bundle(int old_fd, int new_fd, const struct ay_make_options *opts, int out_fd,
		struct ay_make_result *res, struct ay_err *err);

#endif
