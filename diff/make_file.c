/* SPDX-License-Identifier: MIT */
/*
 * diff/make_file.c - two files as two trees, so that there is one format and one reader.
 */
#include "diff/make_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "manifest/manifest.h"

/* The bytes behind @ctx, an int with the descriptor. */
static int open_again(void *ctx, const struct ay_entry *e, int *fd, struct ay_err *err)
{
	*fd = fcntl(*(const int *)ctx, F_DUPFD_CLOEXEC, 0);
	return *fd < 0 ? ay_err_errno(err, errno, "%s", e->path) : 0;
}

int ay_make_file_tree(int fd, struct ay_buf *manifest, struct ay_digest *manifest_digest,
		      struct ay_digest *file_digest, struct ay_err *err)
{
	struct ay_entry root = {.type = AY_ENTRY_DIR, .mode = 0755, .path = "/", .path_len = 1};
	struct ay_entry file = {.type = AY_ENTRY_FILE,
				.mode = 0644,
				.path = AY_MAKE_FILE_PATH,
				.path_len = strlen(AY_MAKE_FILE_PATH)};
	struct stat st;
	int rc;

	if (fstat(fd, &st))
		return ay_err_errno(err, errno, "a file to make a delta of");
	if (!S_ISREG(st.st_mode))
		return ay_err_errno(err, EINVAL, "a delta is made of regular files, and this is none");
	rc = ay_digest_fd(fd, &file.digest, &file.size);
	if (rc)
		return ay_err_set(err, rc, "a file to make a delta of: %s", ay_strerror(rc));
	struct ay_manifest_writer *w = ay_manifest_writer_new(ay_write_to_buf, manifest);
	if (!w)
		return ay_err_errno(err, ENOMEM, "a file's manifest");
	rc = ay_manifest_add(w, &root, err);
	if (rc == 0)
		rc = ay_manifest_add(w, &file, err);
	if (rc == 0)
		rc = ay_manifest_finish(w, manifest_digest, NULL, err);
	ay_manifest_writer_free(w);
	*file_digest = file.digest;
	return rc;
}

int ay_make_file(int old_fd, int new_fd, const struct ay_make_options *opts, int out_fd,
		 struct ay_make_result *res, struct ay_err *err)
{
	struct ay_buf old = {0}, new_ = {0};
	struct ay_digest file;
	struct ay_make_tree a = {.open = open_again, .ctx = &old_fd},
			    b = {.open = open_again, .ctx = &new_fd};
	int rc = 0;

	if (old_fd >= 0)
		rc = ay_make_file_tree(old_fd, &old, &a.manifest_digest, &file, err);
	if (rc == 0)
		rc = ay_make_file_tree(new_fd, &new_, &b.manifest_digest, &file, err);
	a.manifest = old.data;
	a.manifest_len = old.len;
	b.manifest = new_.data;
	b.manifest_len = new_.len;
	if (rc == 0)
		rc = ay_bundle_make(old_fd >= 0 ? &a : NULL, &b, opts, out_fd, res, err);
	ay_buf_release(&old);
	ay_buf_release(&new_);
	return rc;
}
