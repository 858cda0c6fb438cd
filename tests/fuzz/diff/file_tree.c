/* SPDX-License-Identifier: MIT */
/* See file_tree.h. */
#include "tests/fuzz/diff/file_tree.h"

#include "manifest/manifest.h"
#include "tests/fuzz/diff/bundle_bases.h"

static int open_file(void *ctx, const struct ay_entry *e, int *fd, struct ay_err *err)
{
	const struct file_tree *t = ctx;

	(void)e;
	(void)err;
	*fd = fd_of(t->file.data, t->file.len);
	return 0;
}

void file_tree_make(struct file_tree *t, struct ay_slice file)
{
	const struct ay_entry root = {.type = AY_ENTRY_DIR, .mode = 0755, .path = "/", .path_len = 1};
	struct ay_entry e = {
		.type = AY_ENTRY_FILE, .mode = 0644, .path = "/file", .path_len = 5, .size = file.len};
	struct ay_err err = {0};

	*t = (struct file_tree){.file = file};
	ay_digest_mem(file.data, file.len, &e.digest);
	struct ay_manifest_writer *w = ay_manifest_writer_new(ay_write_to_buf, &t->manifest);
	AY_ASSERT(w && ay_manifest_add(w, &root, &err) == 0 && ay_manifest_add(w, &e, &err) == 0);
	AY_ASSERT(ay_manifest_finish(w, &t->tree.manifest_digest, NULL, &err) == 0);
	ay_manifest_writer_free(w);
	t->tree.manifest = t->manifest.data;
	t->tree.manifest_len = t->manifest.len;
	t->tree.open = open_file;
	t->tree.ctx = t;
}

void file_tree_release(struct file_tree *t)
{
	ay_buf_release(&t->manifest);
}
