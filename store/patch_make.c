/* SPDX-License-Identifier: MIT */
/*
 * The difference between two directories or two files as one file. Both sides are described by a manifest
 * first, so that what is read later is checked against it: who writes to them meanwhile makes it fail, not lie.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "diff/bsdiff40.h"
#include "manifest/release.h"
#include "store/patch_internal.h"
#include "store/scan.h"

#define BZ2_LEVEL 9

/* Of a tree that holds a file with this content. */
static int file_manifest(const struct ay_digest *content, uint64_t size, struct ay_buf *out,
			 struct ay_digest *digest, struct ay_err *err)
{
	struct ay_manifest_writer *w = ay_manifest_writer_new(ay_write_to_buf, out);
	const struct ay_entry root = {.type = AY_ENTRY_DIR, .mode = 0755, .path = "/", .path_len = 1};
	const struct ay_entry file = {.type = AY_ENTRY_FILE,
				      .mode = 0644,
				      .size = size,
				      .digest = *content,
				      .path = AY_PATCH_FILE,
				      .path_len = strlen(AY_PATCH_FILE)};
	int r = w ? ay_manifest_add(w, &root, err) : ay_err_errno(err, ENOMEM, "describe a file");

	if (r == 0)
		r = ay_manifest_add(w, &file, err);
	if (r == 0)
		r = ay_manifest_finish(w, digest, NULL, err);
	ay_manifest_writer_free(w);
	return r;
}

int ay__patch_tree_init(struct ay__patch_tree *t, const struct ay_patch_side *side, bool owner_root,
			unsigned threads, struct ay_err *err)
{
	*t = (struct ay__patch_tree){.side = side};
	ay_buf_init(&t->manifest, (size_t)AY_MANIFEST_SIZE_MAX);
	if (side->fd < 0)
		return 0;
	if (side->is_dir) {
		const struct ay_scan_options opts = {.threads = threads, .owner_root = owner_root};
		struct ay_scan_totals totals;
		int r = ay_scan(side->fd, side->name, &opts, ay_write_to_buf, &t->manifest, &totals, err);
		t->digest = totals.manifest;
		t->bytes = totals.bytes;
		return r;
	}
	struct ay_digest content;
	uint64_t size;
	int r = ay_digest_fd(side->fd, &content, &size);
	if (r < 0)
		return ay_err_errno(err, -r, "cannot read %s", side->name);
	t->bytes = size;
	return file_manifest(&content, size, &t->manifest, &t->digest, err);
}

void ay__patch_tree_release(struct ay__patch_tree *t)
{
	ay_buf_release(&t->manifest);
}

/* A descriptor of its own, because threads that ask for holes move the offset. */
int ay__patch_tree_open(const struct ay__patch_tree *t, const char *path, int *fd, struct ay_err *err)
{
	if (t->side->is_dir)
		*fd = ay__open_beneath(t->side->fd, path + 1, O_RDONLY);
	else if ((*fd = open(t->side->name, O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC)) < 0)
		*fd = -errno;
	if (*fd < 0)
		return ay_err_errno(err, -*fd, "cannot open %s%s", t->side->name,
				    t->side->is_dir ? path : "");
	return 0;
}

static int open_entry(void *ctx, const struct ay_entry *e, int *fd, struct ay_err *err)
{
	return ay__patch_tree_open(ctx, e->path, fd, err);
}

static int make_bundle(const struct ay_patch_side *old, const struct ay_patch_side *new_, bool owner_root,
		       const struct ay_make_options *options, int out, struct ay_patch_made *made,
		       struct ay_err *err)
{
	struct ay__patch_tree a, b = {0};
	int r = ay__patch_tree_init(&a, old, owner_root, options->threads, err);

	if (r == 0)
		r = ay__patch_tree_init(&b, new_, owner_root, options->threads, err);
	if (r == 0) {
		const struct ay_make_tree from = {.manifest = a.manifest.len ? a.manifest.data : NULL,
						  .manifest_len = a.manifest.len,
						  .manifest_digest = a.digest,
						  .open = open_entry,
						  .ctx = &a};
		const struct ay_make_tree into = {.manifest = b.manifest.data,
						  .manifest_len = b.manifest.len,
						  .manifest_digest = b.digest,
						  .open = open_entry,
						  .ctx = &b};
		r = ay_bundle_make(&from, &into, options, out, &made->bundle, err);
		made->same = ay_digest_eq(&a.digest, &b.digest);
		made->bytes = b.bytes;
	}
	ay__patch_tree_release(&a);
	ay__patch_tree_release(&b);
	return r;
}

/* ---- bsdiff40 ---- */

/* A whole file in memory, read and not mapped: who cuts it off meanwhile would kill us. */
static int read_whole(const struct ay_patch_side *side, struct ay_buf *out, struct ay_err *err)
{
	struct stat st;
	uint8_t *room = NULL;

	if (fstat(side->fd, &st) < 0)
		return ay_err_errno(err, errno, "cannot read %s", side->name);
	if (st.st_size > 0 && !(room = ay_buf_reserve(out, (size_t)st.st_size)))
		return ay_err_errno(err, ENOMEM, "cannot read %s", side->name);
	while (out->len < (size_t)st.st_size) {
		ssize_t n = pread(side->fd, room + out->len, (size_t)st.st_size - out->len, (off_t)out->len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return ay_err_errno(err, errno, "cannot read %s", side->name);
		if (n == 0)
			return ay_err_set(err, AY_EBUSY, "%s became shorter while it was read", side->name);
		out->len += (size_t)n;
	}
	return 0;
}

/* The format knows no windows: both files, and the search, are in memory at once. */
static int check_memory(const struct ay_patch_side *old, const struct ay_patch_side *new_, uint64_t memory,
			struct ay_err *err)
{
	struct stat a, b;

	if (fstat(old->fd, &a) < 0 || fstat(new_->fd, &b) < 0)
		return ay_err_errno(err, errno, "cannot read %s", old->name);
	if (memory == 0)
		memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE) / 2;
	uint64_t sizes = (uint64_t)a.st_size + (uint64_t)b.st_size;
	if (sizes >> 40)
		return ay_err_set(err, AY_ELIMIT, "%s and %s are too large for the bsdiff40 format",
				  old->name, new_->name);
	uint64_t need = sizes + ay_bsdiff40_memory((uint64_t)a.st_size, (uint64_t)b.st_size);
	if (need > memory)
		return ay_err_set(
			err, AY_ELIMIT,
			"a bsdiff40 patch from %s to %s needs %llu MiB of memory, %llu are allowed: "
			"give more with --memory, or leave --format away (bundles are made in "
			"pieces)",
			old->name, new_->name, (unsigned long long)(need >> 20) + 1,
			(unsigned long long)(memory >> 20));
	return 0;
}

/* What has been done is told, so that it can be stopped: between the steps, none of which can be left halfway. */
static int step(const struct ay_make_options *options, uint64_t done, uint64_t total, struct ay_err *err)
{
	int r = options->progress ? options->progress(options->progress_ctx, done, total) : 0;

	return r < 0 ? ay_err_set(err, r, "stopped") : 0;
}

struct patch_out {
	struct ay__fd_writer *w;
	const struct ay_make_options *options;
	uint64_t total;
	bool stopped;
};

static int put_patch(void *ctx, const void *data, size_t len)
{
	struct patch_out *o = ctx;
	int r = step(o->options, o->total, o->total, NULL);

	o->stopped = r < 0;
	return r < 0 ? r : ay__fd_write(o->w, data, len);
}

static int stop_asked(void *ctx)
{
	struct patch_out *o = ctx;
	int r = step(o->options, o->total, o->total, NULL);

	o->stopped = r < 0;
	return r;
}

static int make_bsdiff40(const struct ay_patch_side *old, const struct ay_patch_side *new_,
			 const struct ay_make_options *options, struct ay__fd_writer *out,
			 struct ay_patch_made *made, struct ay_err *err)
{
	struct patch_out o = {.w = out, .options = options};
	const struct ay_bsdiff_params params = {.threshold = AY_BSDIFF_THRESHOLD,
						.shortcut = AY_BSDIFF_SHORTCUT,
						.stop = stop_asked,
						.stop_ctx = &o};
	struct ay_buf a = {0}, b = {0};
	struct stat st;
	int r = check_memory(old, new_, options->memory, err);

	if (r == 0)
		r = read_whole(old, &a, err);
	o.total = a.len + (fstat(new_->fd, &st) == 0 ? (uint64_t)st.st_size : 0);
	if (r == 0 && (r = step(options, a.len, o.total, err)) == 0)
		r = read_whole(new_, &b, err);
	if (r == 0 && (r = step(options, a.len + b.len, o.total, err)) == 0)
		r = ay_bsdiff40_write((struct ay_slice){a.data, a.len}, (struct ay_slice){b.data, b.len},
				      &params, BZ2_LEVEL, put_patch, &o, err);
	if (o.stopped)
		ay_err_set(err, r, "stopped");
	if (r == 0 && (r = ay__fd_flush(out)) < 0)
		ay_err_errno(err, -r, "write the patch");
	*made = (struct ay_patch_made){
		.bundle = {.bundle_size = out->pos, .unpacked_size = b.len, .n_records = 1, .n_diffed = 1},
		.same = a.len == b.len && (!a.data || !b.data || memcmp(a.data, b.data, a.len) == 0),
		.bytes = b.len};
	ay_buf_release(&a);
	ay_buf_release(&b);
	return r;
}

/* ---- both ---- */

static int write_patch(const struct ay_patch_side *old, const struct ay_patch_side *new_,
		       enum ay_patch_format format, bool owner_root, const struct ay_make_options *options,
		       const struct ay_patch_to *to, struct ay__beside *b, struct ay_patch_made *made,
		       struct ay_err *err)
{
	AY_FREE struct ay__fd_writer *w = calloc(1, sizeof(*w));
	AY_CLOSE int out =
		to->fs->ops->open(to->fs, b->stage, "file", O_RDWR | O_CREAT | O_EXCL, to->mode & 0666);

	if (!w || out < 0)
		return ay_err_errno(err, w ? -out : ENOMEM, "cannot make %s", to->name);
	*w = (struct ay__fd_writer){.fs = to->fs, .fd = out};
	int r = format == AY_PATCH_BSDIFF40 ? make_bsdiff40(old, new_, options, w, made, err)
					    : make_bundle(old, new_, owner_root, options, out, made, err);
	if (r < 0)
		return r;
	r = to->fs->ops->fsync(to->fs, out);
	return r < 0 ? ay_err_errno(err, -r, "cannot sync %s", to->name) : 0;
}

/* What is being written must not be part of what is being described. */
static int check_outside(const struct ay_patch_side *side, const struct ay_patch_to *to, struct ay_err *err)
{
	int r = side->fd >= 0 && side->is_dir ? ay__lies_in(to->parent, side->fd) : 0;

	if (r < 0)
		return ay_err_errno(err, -r, "cannot tell whether %s lies in %s", to->name, side->name);
	return r ? ay_err_set(err, AY_EUSAGE, "%s would lie in %s itself: write it elsewhere", to->name,
			      side->name)
		 : 0;
}

int ay_patch_make(const struct ay_patch_side *old, const struct ay_patch_side *new_,
		  enum ay_patch_format format, bool owner_root, const struct ay_make_options *options,
		  const struct ay_patch_to *to, struct ay_patch_made *made, struct ay_err *err)
{
	struct ay__beside b = {.stage = -1};
	int r = check_outside(old, to, err);

	if (r == 0)
		r = check_outside(new_, to, err);
	if (r == 0)
		r = ay__beside_begin(&b, to->fs, to->parent, to->name, err);
	if (r == 0)
		r = write_patch(old, new_, format, owner_root, options, to, &b, made, err);
	if (r == 0)
		r = ay__beside_commit(&b, "file", AY__BESIDE_SYNCED | (to->replace ? AY__BESIDE_REPLACE : 0),
				      err);
	ay__beside_end(&b);
	return r;
}
