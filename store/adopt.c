/* SPDX-License-Identifier: MIT */
/*
 * A directory that nobody has published becomes a release: what it is, is told by the same walk that publishes
 * (store/scan.c), and each file is taken into staging in the moment in which it is hashed (store/intake.c), so that
 * everything is read once. The signature comes last, when it is known what is to be signed; then store/build.c.
 */
#include "store/adopt_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "store/scan.h"

/* ---- where the directory lies ---- */

static bool same_dir(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

int ay__adopt_check_place(const struct ay_store *s, const struct ay_adopt *a, bool may_hold,
			  struct ay_err *err)
{
	int r = ay__lies_in(a->dirfd, s->dir);

	if (r < 0)
		return ay_err_errno(err, -r, "cannot find out where %s lies", a->dir);
	if (r > 0)
		return ay_err_set(err, AY_EUSAGE, "%s lies in the store %s: that is adopted already", a->dir,
				  s->path);
	if (may_hold)
		return 0;
	if ((r = ay__lies_in(s->dir, a->dirfd)) < 0)
		return ay_err_errno(err, -r, "cannot find out where %s lies", s->path);
	if (r > 0)
		return ay_err_set(err, AY_EUSAGE,
				  "the store %s lies in %s and would be adopted with it; move one of them",
				  s->path, a->dir);
	return 0;
}

void ay__adopt_counts(const struct ay__intake *in, struct ay_adopted *out)
{
	out->present.files = in->files[AY__INTAKE_PRESENT];
	out->present.bytes = in->bytes[AY__INTAKE_PRESENT];
	out->linked.files = in->files[AY__INTAKE_LINKED];
	out->linked.bytes = in->bytes[AY__INTAKE_LINKED];
	out->reflinked.files = in->files[AY__INTAKE_REFLINKED];
	out->reflinked.bytes = in->bytes[AY__INTAKE_REFLINKED];
	out->copied.files = in->files[AY__INTAKE_COPIED];
	out->copied.bytes = in->bytes[AY__INTAKE_COPIED];
	out->writers = in->writers;
}

/* ---- the scan's hook ---- */

struct adoption {
	struct ay__build b;
	struct ay__intake in;
	const struct ay_adopt *a;
	struct stat root, store; /* the directory's, the store's */
	uint64_t done;
};

static void on_job(void *ctx, struct ay__hash_job *h, const struct ay_entry *e)
{
	struct adoption *ad = ctx;
	struct ay__intake_job *job = (struct ay__intake_job *)(void *)h;

	job->h.work = ay__intake_work;
	job->in = &ad->in;
	job->e = e;
	job->same_meta = ay__intake_same_meta(ad->b.s, &h->before, e->xattrs, e->n_xattrs, e);
}

static int on_dir(void *ctx, const char *path, const struct stat *st, struct ay_err *err)
{
	const struct adoption *ad = ctx;

	if (same_dir(st, &ad->store)) /* by a mount: the check at the start did not see it */
		return ay_err_set(err, AY_EUSAGE, "%s is the store itself: unmount it there", path);
	if (st->st_dev == ad->root.st_dev || ad->a->mounts == AY_ADOPT_MOUNTS_TAKE)
		return 0;
	if (ad->a->mounts == AY_ADOPT_MOUNTS_SKIP)
		return 1;
	return ay_err_set(
		err, AY_EUSAGE,
		"%s is another file system: unmount it, or say --mounts=skip (leave out what is in it) or "
		"--mounts=take",
		path);
}

static int on_entry(void *ctx, const struct ay_entry *e, struct ay_err *err)
{
	struct adoption *ad = ctx;
	struct ay_entry own = *e;

	if (ad->b.s->owner_me) { /* written as root's below, but it is no loss that his own files are his */
		own.uid = geteuid();
		own.gid = getegid();
	}
	int r = ay__build_check_entry(&ad->b, &own, err);

	if (r < 0 || e->type != AY_ENTRY_FILE)
		return r;
	ad->done += e->size;
	if (ad->a->progress && (r = ad->a->progress(ad->a->ctx, ad->done, 0)) != 0)
		return ay_err_set(err, r < 0 ? r : -ECANCELED, "stopped");
	return 0;
}

/* ---- the whole ---- */

static int scan(struct adoption *ad, struct ay_scan_totals *totals, struct ay_err *err)
{
	struct ay_store *s = ad->b.s;
	AY_FREE struct ay__fd_writer *w = calloc(1, sizeof(*w));
	const struct ay__scan_hook hook = {.ctx = ad,
					   .pool = ad->in.pool,
					   .job_size = sizeof(struct ay__intake_job),
					   .job = on_job,
					   .dir = on_dir,
					   .entry = on_entry};
	/* Where owners are not kept, the manifest must not name a plain user's number. */
	const struct ay_scan_options opts = {.owner_root = s->owner_me, .hook = &hook};

	if (!w)
		return ay_err_errno(err, ENOMEM, "adopt");
	AY_CLOSE int fd = s->fs->ops->open(s->fs, ad->b.tree, "manifest", O_RDWR | O_CREAT | O_EXCL, 0644);
	if (fd < 0)
		return ay_err_errno(err, -fd, "cannot make the manifest's file");
	w->fs = s->fs;
	w->fd = fd;
	ad->in.pool = NULL; /* the scan ends it */
	int r = ay_scan(ad->a->dirfd, ad->a->dir, &opts, ay__fd_write, w, totals, err);
	if (r < 0) {
		if (ad->in.err.code < 0 && err)
			*err = ad->in.err; /* what broke first is not the file, but where it was to go */
		return ad->in.err.code < 0 ? ad->in.err.code : r;
	}
	if ((r = ay__fd_flush(w)) == 0)
		r = s->fs->ops->chmod(s->fs, fd, 0644);
	return r < 0 ? ay_err_errno(err, -r, "cannot write the manifest") : 0;
}

static int adopt(struct adoption *ad,
		 int (*sign)(void *ctx, uint64_t entries, uint64_t bytes, const struct ay_digest *manifest,
			     uint64_t manifest_size, struct ay_buf *envelope, struct ay_err *err),
		 void *sign_ctx, struct ay_buf *envelope, struct ay_adopted *out, struct ay_err *err)
{
	struct ay_scan_totals t;
	int r = scan(ad, &t, err);

	if (r < 0)
		return r;
	*out = (struct ay_adopted){.entries = t.entries, .files = t.files, .bytes = t.bytes};
	ay__adopt_counts(&ad->in, out);
	if ((r = sign(sign_ctx, t.entries, t.bytes, &t.manifest, t.manifest_size, envelope, err)) < 0 ||
	    (r = ay__build_sign(&ad->b, envelope->data, envelope->len, err)) < 0)
		return r;
	if (!ay_digest_eq(&ad->b.release.manifest, &t.manifest))
		return ay_err_set(err, AY_EDIGEST, "the release that was signed is another tree's");
	ay__build_tell_losses(&ad->b);
	if ((r = ay__intake_finish(&ad->in, err)) < 0)
		return r;
	return ay__build_commit(&ad->b, err);
}

int ay_store_adopt_new(struct ay_store *s, const struct ay_adopt *a,
		       int (*sign)(void *ctx, uint64_t entries, uint64_t bytes,
				   const struct ay_digest *manifest, uint64_t manifest_size,
				   struct ay_buf *envelope, struct ay_err *err),
		       void *sign_ctx, struct ay_adopted *out, struct ay_err *err)
{
	AY_FREE struct adoption *ad = calloc(1, sizeof(*ad));
	struct ay_buf envelope = {0};

	if (!ad)
		return ay_err_errno(err, ENOMEM, "adopt %s", a->dir);
	ad->a = a;
	*out = (struct ay_adopted){0};
	if (fstat(a->dirfd, &ad->root) < 0 || fstat(s->dir, &ad->store) < 0)
		return ay_err_errno(err, errno, "adopt %s", a->dir);
	int r = ay__adopt_check_place(s, a, false, err);
	if (r < 0)
		return r;
	r = ay__build_begin_unsigned(&ad->b, s, a->branch, err);
	if (r == 0)
		r = ay__intake_begin(&ad->in, &ad->b, a->read_only_source, a->threads, err);
	if (r == 0)
		r = adopt(ad, sign, sign_ctx, &envelope, out, err);
	ay__intake_end(&ad->in);
	ay__build_end(&ad->b);
	ay_buf_release(&envelope);
	if (r < 0 && r != AY_ENOTHING)
		return ay_err_wrap(err, r, "adopt %s", a->dir);
	return r;
}
