/* SPDX-License-Identifier: MIT */
/* See file_bundle.h. */
#include "tests/fuzz/diff/file_bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "manifest/manifest.h"

/* The bytes behind @ctx, an int with the descriptor. */
static int open_again(void *ctx, const struct ay_entry *e, int *fd, struct ay_err *err)
{
	*fd = fcntl(*(const int *)ctx, F_DUPFD_CLOEXEC, 0);
	return *fd < 0 ? ay_err_errno(err, errno, "%s", e->path) : 0;
}

void file_manifest(int fd, struct ay_buf *out, struct ay_digest *digest)
{
	struct ay_entry root = {.type = AY_ENTRY_DIR, .mode = 0755, .path = "/", .path_len = 1};
	struct ay_entry file = {.type = AY_ENTRY_FILE, .mode = 0644, .path = "/file", .path_len = 5};
	struct ay_manifest_writer *w = ay_manifest_writer_new(ay_write_to_buf, out);

	AY_ASSERT(w && ay_digest_fd(fd, &file.digest, &file.size) == 0);
	AY_ASSERT(ay_manifest_add(w, &root, NULL) == 0 && ay_manifest_add(w, &file, NULL) == 0);
	AY_ASSERT(ay_manifest_finish(w, digest, NULL, NULL) == 0);
	ay_manifest_writer_free(w);
}

int file_bundle(int old_fd, int new_fd, const struct ay_make_options *opts, int out_fd,
		struct ay_make_result *res, struct ay_err *err)
{
	struct ay_buf old = {0}, new_ = {0};
	struct ay_make_tree a = {.open = open_again, .ctx = &old_fd},
			    b = {.open = open_again, .ctx = &new_fd};

	if (old_fd >= 0)
		file_manifest(old_fd, &old, &a.manifest_digest);
	file_manifest(new_fd, &new_, &b.manifest_digest);
	a.manifest = old.data;
	a.manifest_len = old.len;
	b.manifest = new_.data;
	b.manifest_len = new_.len;
	int rc = ay_bundle_make(old_fd >= 0 ? &a : NULL, &b, opts, out_fd, res, err);
	ay_buf_release(&old);
	ay_buf_release(&new_);
	return rc;
}
