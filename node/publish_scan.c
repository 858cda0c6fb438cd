/* SPDX-License-Identifier: MIT */
/*
 * From a directory to the manifest that is signed: what was read for the last release is not read again, and what differs
 * from it in time only keeps the old time.
 *
 * The cache lies in the publisher's store (publisher/scan/BRANCH). It is only ever a way to save time: damaged, foreign or
 * gone, everything is read.
 */
#include "node/publish_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "node/cmd.h"

#define CACHE_MAX (AY_SCAN_CACHE_HEAD + (size_t)AY_SCAN_CACHE_ROWS_MAX * AY_SCAN_CACHE_ROW)

/* "REPO/publisher/scan", or with the branch's file; the caller frees. */
static char *cache_path(const struct ay__publication *w, bool file)
{
	struct ay_buf name = {0};
	char *path = NULL;

	if (ay_percent_name(&name, w->p->branch) < 0 ||
	    asprintf(&path, "%s/publisher/scan%s%s", w->p->repo, file ? "/" : "",
		     file ? ay_buf_cstr(&name) : "") < 0)
		path = NULL;
	ay_buf_release(&name);
	return path;
}

/* What the last scan of this branch knew; an empty cache if that cannot be told. */
static void recall(struct ay__publication *w, struct ay_scan_cache *known)
{
	AY_FREE char *path = cache_path(w, true);
	AY_FREE char *data = NULL;
	struct ay_err why = {0};
	size_t len = 0;

	if (!path || w->p->read_all || access(path, F_OK) < 0)
		return;
	int r = ay_read_input(path, CACHE_MAX, &data, &len, &why);
	if (r == 0)
		r = ay_scan_cache_decode(data, len, known, &why);
	if (r < 0)
		fprintf(stderr, "ayni publish: %s: %s: reading every file instead\n", path, why.msg);
}

void ay__publish_remember(struct ay__publication *w)
{
	AY_FREE char *dir = cache_path(w, false), *path = cache_path(w, true);
	struct ay_err why = {0};
	struct ay_buf out;

	ay_buf_init(&out, CACHE_MAX);
	int r = dir && path ? ay_scan_cache_encode(&w->seen, &out) : -ENOMEM;
	if (r == 0 && (r = ay_fs_real()->ops->mkdir(ay_fs_real(), AT_FDCWD, dir, 0700)) == -EEXIST)
		r = 0;
	if (r == 0)
		r = ay_write_output(path, out.data, out.len, 0600, true, &why);
	if (r < 0)
		fprintf(stderr,
			"ayni publish: published; the next scan reads every file again, because %s: %s\n",
			path ? path : "its cache", why.msg[0] ? why.msg : ay_strerror(r));
	ay_buf_release(&out);
}

/* The times of the release before, whose manifest the repository has. */
static int carry(struct ay__publication *w, struct ay_err *err)
{
	AY_FREE uint8_t *before = NULL;
	struct ay_err why = {0};
	struct ay_buf carried;
	size_t len = 0;

	if (!w->has_before || w->p->exact_mtimes || ay_digest_eq(&w->before.manifest, &w->totals.manifest))
		return 0;
	int r = ay_repo_get(w->repo, AY_REPO_MANIFEST, &w->before.manifest, AY_MANIFEST_SIZE_MAX, &before,
			    &len, &why);
	if (r < 0) {
		fprintf(stderr, "ayni publish: times are not carried over from release %u: %s\n",
			w->before.serial, why.msg);
		return 0;
	}
	ay_buf_init(&carried, AY_MANIFEST_SIZE_MAX);
	r = ay_manifest_carry(before, len, w->manifest.data, w->manifest.len, ay_write_to_buf, &carried,
			      &w->totals.manifest, &w->totals.manifest_size, &w->out->carried, err);
	if (r < 0) {
		ay_buf_release(&carried);
		return r;
	}
	ay_buf_release(&w->manifest);
	w->manifest = carried;
	return 0;
}

int ay__publish_scan(struct ay__publication *w, int dirfd, struct ay_err *err)
{
	struct ay_scan_cache known = {0};
	struct ay_scan_options opts = {
		.threads = w->p->threads, .owner_root = w->p->owner_root, .known = &known, .seen = &w->seen};

	if (geteuid() != 0)
		fprintf(stderr,
			"ayni publish: as a plain user, attributes trusted.* cannot be seen and are left out; owners are "
			"written %s\n",
			w->p->owner_root ? "as root, labels left out (--owner-root)"
					 : "as they are here (--owner-root writes root)");
	recall(w, &known);
	ay_buf_init(&w->manifest, AY_MANIFEST_SIZE_MAX);
	int r = ay_scan(dirfd, w->p->tree, &opts, ay_write_to_buf, &w->manifest, &w->totals, err);
	ay_scan_cache_release(&known);
	w->out->read_files = w->totals.read_files;
	w->out->read_bytes = w->totals.read_bytes;
	if (r == 0)
		r = carry(w, err);
	if (r < 0)
		return r;
	if (w->has_before && ay_digest_eq(&w->before.manifest, &w->totals.manifest) && !w->p->again) {
		ay__publish_remember(w);
		return ay_err_set(
			err, AY_ENOTHING,
			"%s is release %u of %s already, to the last byte%s (--again publishes it all the same)",
			w->p->tree, w->before.serial, w->p->branch,
			w->out->carried.entries ? ", but for times" : "");
	}
	return 0;
}
