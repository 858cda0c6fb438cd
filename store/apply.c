/* SPDX-License-Identifier: MIT */
/*
 * Steps 4 and 5 of the data's way, led from here: a bundle becomes a tree. Before: proto/swarm collected and verified its blocks,
 * diff/bundle decodes it and checks every output. After: store/switch.
 *
 *     header        is the tree that it starts from here?  is there room?
 *     delta         to a file in staging, then one merge with the old manifest: the new manifest,
 *                   whose digest the release has signed; the old contents into the base index
 *     records       each output to raw/DIGEST in staging
 *     then          a second walk over both manifests gives each changed file its object: an output,
 *                   or a copy of an old object when only mode, owner, mtime or xattrs changed (store/apply_objects.c)
 *     commit        store/build.c
 *
 * What is remembered is small and does not grow with contents: the base index
 * (24 bytes per old file). Whether a content has come is asked of raw/ itself. The bundle
 * is a stranger's file; what it may do is bounded by the offer and the release, both signed.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "manifest/delta.h"
#include "store/apply_internal.h"
#include "store/scratch.h"

#define DELTA_FACTOR 2 /* a delta is at most both manifests and a byte per line */

/* ---- header: where the bundle starts ---- */

static int find_from_tree(struct ay__apply *ap, struct ay_err *err)
{
	AY_FREE struct ay_tree_info *trees = NULL;
	char hex[AY_DIGEST_HEX + 1];
	size_t n = 0;

	if (ay_digest_is_zero(&ap->h.from))
		return 0;
	int r = ay_store_trees(ap->b.s, ap->b.branch, &trees, &n, err);
	for (size_t i = 0; r == 0 && i < n; i++) {
		if (ay_digest_eq(&trees[i].release.manifest, &ap->h.from)) {
			ap->from_serial = trees[i].serial;
			ap->from_manifest_size = trees[i].release.manifest_size;
			return 0;
		}
	}
	if (r < 0)
		return r;
	ay_digest_hex(&ap->h.from, hex);
	return ay_err_set(err, AY_EBASE, "it starts from tree %.16s…, which branch %s does not have", hex,
			  ap->b.branch);
}

/*
 * Room for the outputs, @bytes and @inodes besides: the offer says how much of them is holes, and what an apply before has
 * brought lies there already.
 */
static int reserve(struct ay__apply *ap, uint64_t bytes, uint64_t inodes, struct ay_err *err)
{
	const struct ay_offer *offer = ap->a->offer;
	uint64_t need = ap->h.unpacked_size, records = ap->h.n_records;

	if (offer && offer->hole_size <= need)
		need -= offer->hole_size;
	need -= ap->resume.held < need ? ap->resume.held : need;
	records -= ap->resume.held_files < records ? ap->resume.held_files : records;
	return ay__store_reserve(ap->b.s, need + bytes, records + inodes, err);
}

static int on_header(void *ctx, const struct ay_bundle_header *h, struct ay_err *err)
{
	struct ay__apply *ap = ctx;
	const struct ay_release *rel = &ap->b.release;
	const struct ay_offer *offer = ap->a->offer;

	ap->h = *h;
	if (!ay_digest_eq(&h->to, &rel->manifest))
		return ay_err_set(err, AY_EFORMAT, "it does not lead to the tree that release %u names",
				  rel->serial);
	if (offer && (!ay_digest_eq(&h->from, &offer->from) || h->unpacked_size > offer->unpacked_size))
		return ay_err_set(err, AY_EFORMAT, "its header is not what its offer says");
	int r = find_from_tree(ap, err);
	if (r < 0)
		return r;
	uint64_t limit = DELTA_FACTOR * (rel->manifest_size + ap->from_manifest_size) + 4096;
	if (rel->manifest_size > AY_MANIFEST_SIZE_MAX || h->delta_size > limit)
		return ay_err_set(err, AY_ELIMIT,
				  "its manifest delta of %llu bytes is longer than both manifests",
				  (unsigned long long)h->delta_size);
	/* Signed totals first, before a byte is written. */
	return reserve(ap, h->delta_size + rel->manifest_size + h->scratch_size, 0, err);
}

/* ---- manifest delta ---- */

static int on_delta(void *ctx, const void *data, size_t len, struct ay_err *err)
{
	struct ay__apply *ap = ctx;
	int r = ay__fd_write(ap->delta, data, len);

	return r < 0 ? ay_err_errno(err, -r, "cannot write the manifest delta") : 0;
}

/* One path of the merge: old contents into the base index, limits of the branch, what will be needed. */
static int on_merged(void *ctx, enum ay_change change, const struct ay_entry *old,
		     const struct ay_entry *new_, struct ay_err *err)
{
	struct ay__apply *ap = ctx;
	struct ay__local_entry local;
	uint8_t v[AY__VARIANT_LEN];

	/* Those that had attributes had them for a reason, and have them still. */
	if (old && old->type == AY_ENTRY_SYMLINK && old->n_xattrs > 0)
		ap->attributed = true;
	if (old && old->type == AY_ENTRY_FILE) {
		ay__entry_localise(ap->b.s, old, &local);
		int r = ay__object_variant(&local.e, v);
		if (r == 0)
			r = ay__base_index_add(&ap->bases, &old->digest, v);
		if (r < 0)
			return ay_err_errno(err, -r, "%s", old->path);
	}
	if (!new_)
		return 0;
	if (new_->type != AY_ENTRY_FILE) {
		ap->inodes++;
	} else if (change == AY_CHANGE_REPLACED && old && old->type == AY_ENTRY_FILE &&
		   ay_digest_eq(&old->digest, &new_->digest)) {
		ap->inodes++;
	}
	return ay__build_check_entry(&ap->b, new_, err);
}

static int write_manifest(void *ctx, const void *data, size_t len)
{
	struct ay__apply *ap = ctx;

	/* The release says how long the manifest is: what goes on is not it. */
	if (ap->delta->pos + ap->delta->held + len > ap->b.release.manifest_size)
		return AY_EDIGEST;
	return ay__fd_write(ap->delta, data, len);
}

static int merge(struct ay__apply *ap, struct ay_err *err)
{
	struct ay_fs *fs = ap->b.s->fs;
	struct ay__fd_reader old_in, delta_in = {.fd = ap->delta_fd};
	struct ay_manifest_reader *old;
	AY_CLOSE int fd = fs->ops->open(fs, ap->b.tree, "manifest", O_RDWR | O_CREAT | O_EXCL, 0644);

	if (fd < 0)
		return ay_err_errno(err, -fd, "cannot make the manifest's file");
	*ap->delta = (struct ay__fd_writer){.fs = fs, .fd = fd};
	int r = ay__apply_open_old(ap, &old_in, &old, err);
	if (r == 0)
		r = ay_delta_apply(old, ay__fd_read, &delta_in, &ap->h.from, &ap->h.to, on_merged, ap,
				   write_manifest, ap, err);
	ay_manifest_reader_free(old);
	if (old_in.fd >= 0)
		close(old_in.fd);
	if (r == AY_EDIGEST)
		return ay_err_set(err, AY_EDIGEST,
				  "its manifest delta does not give the manifest that the release names");
	if (r < 0)
		return ay_err_wrap(err, r, "merge the manifest");
	if ((r = ay__fd_flush(ap->delta)) == 0)
		r = fs->ops->chmod(fs, fd, 0644);
	return r < 0 ? ay_err_errno(err, -r, "cannot write the manifest") : 0;
}

static int on_delta_end(void *ctx, struct ay_err *err)
{
	struct ay__apply *ap = ctx;
	int r = ay__fd_flush(ap->delta);

	if (r < 0)
		return ay_err_errno(err, -r, "cannot write the manifest delta");
	if ((r = merge(ap, err)) < 0)
		return r;
	ay__build_tell_losses(&ap->b);
	ay__base_index_sort(&ap->bases);
	int fd = -1;
	if (ap->from_serial &&
	    ((r = ay_store_manifest(ap->b.s, ap->b.branch, ap->from_serial, &fd, err)) < 0 ||
	     (r = ay_old_files_open_fd(&ap->old, fd, err)) < 0))
		return r;
	/* Now it is known how many names come with it. Copies ask for their own room, if they cannot be reflinks. */
	return reserve(ap, ap->h.scratch_size, ap->inodes, err);
}

/* ---- records ---- */

static bool in_hand(const struct ay__apply *ap, const struct ay_bundle_record *rec)
{
	return ap->resumed && ap->from.inside && rec->index == ap->from.record;
}

/* What an apply before has brought is there, found to be right (store/resume.c). */
static int on_begin(void *ctx, const struct ay_bundle_record *rec, bool *skip, struct ay_err *err)
{
	struct ay__apply *ap = ctx;
	char hex[AY_DIGEST_HEX + 1];

	*skip = false;
	if (!ap->resumed || in_hand(ap, rec))
		return 0;
	int there = ay__there(ap->b.raw, ay_digest_hex(&rec->target, hex));
	*skip = there > 0;
	return there < 0 ? ay_err_errno(err, -there, "content %.16s… in %s/tmp", hex, ap->b.s->path) : 0;
}

/* Behind what was written of it at the place there may be more, which need not be what comes. */
static int open_again(struct ay__apply *ap, int fd, const struct ay_bundle_record *rec)
{
	struct ay_fs *fs = ap->b.s->fs;
	int r = fs->ops->truncate(fs, fd, (off_t)ap->from.done);

	if (r == 0)
		r = fs->ops->truncate(fs, fd, (off_t)rec->size);
	ap->out->pos = ap->from.done;
	return r;
}

/* From here to on_end() in the reader's second thread, if it has one; it goes through the records in order. */
static int on_open(void *ctx, const struct ay_bundle_record *rec, struct ay_err *err)
{
	struct ay__apply *ap = ctx;
	struct ay_fs *fs = ap->b.s->fs;
	char hex[AY_DIGEST_HEX + 1];

	ap->now = *rec;
	ay_digest_hex(&rec->target, hex);
	int fd = fs->ops->open(fs, ap->b.raw, hex, in_hand(ap, rec) ? O_RDWR : O_RDWR | O_CREAT | O_EXCL,
			       0600);
	if (fd == -EEXIST)
		return ay_err_set(err, AY_EFORMAT, "content %.16s… comes twice", hex);
	if (fd < 0)
		return ay_err_errno(err, -fd, "cannot make a file in %s/tmp", ap->b.s->path);
	ap->out->fs = fs;
	ap->out->fd = fd;
	ap->out->pos = ap->out->held = 0;
	/*
	 * No blocks are asked for beforehand: they would fill the holes, of which nobody can tell yet. XFS asks for
	 * some itself behind the end of a file that grows, so a large one has its length at once.
	 */
	ap->out->sparse = true;
	int r = in_hand(ap, rec)                   ? open_again(ap, fd, rec)
		: rec->size > sizeof(ap->out->buf) ? fs->ops->truncate(fs, fd, (off_t)rec->size)
						   : 0;
	return r < 0 ? ay_err_errno(err, -r, "cannot write to %s", ap->b.s->path) : 0;
}

static int on_base(void *ctx, const struct ay_bundle_record *rec, unsigned base, int *fd, struct ay_err *err)
{
	struct ay__apply *ap = ctx;
	char hex[AY_DIGEST_HEX + 1];
	struct stat st;

	ay_digest_hex(&rec->bases[base], hex);
	int f = ay__base_index_open(&ap->bases, ap->b.s, &rec->bases[base]);
	if (f == -ENOENT)
		return ay_err_set(err, AY_EBASE, "base %.16s… is not among the objects of %s %u", hex,
				  ap->b.branch, ap->from_serial);
	if (f < 0)
		return ay_err_errno(err, -f, "cannot open base %.16s…", hex);
	if (fstat(f, &st) < 0) {
		int saved = errno;
		close(f);
		return ay_err_errno(err, saved, "cannot look at base %.16s…", hex);
	}
	if ((uint64_t)st.st_size != rec->base_sizes[base]) {
		close(f);
		return ay_err_set(err, AY_EBASE,
				  "base %.16s… of %s %u does not have %llu bytes: `ayni fsck --heal` heals",
				  hex, ap->b.branch, ap->from_serial,
				  (unsigned long long)rec->base_sizes[base]);
	}
	*fd = f;
	return 0;
}

static int on_data(void *ctx, const struct ay_bundle_record *rec, const void *data, size_t len,
		   struct ay_err *err)
{
	struct ay__apply *ap = ctx;
	int r = ay__fd_write(ap->out, data, len);

	(void)rec;
	if (r < 0)
		return ay_err_errno(err, -r, "cannot write to %s", ap->b.s->path);
	ap->done += len;
	if (ap->a->progress && (r = ap->a->progress(ap->a->ctx, ap->done, ap->h.unpacked_size)) != 0)
		return r < 0 ? r : -ECANCELED;
	return 0;
}

static int on_end(void *ctx, const struct ay_bundle_record *rec, struct ay_err *err)
{
	struct ay__apply *ap = ctx;
	int r = ay__fd_end_sparse(ap->out);

	(void)rec;
	close(ap->out->fd);
	ap->out->fd = -1;
	return r < 0 ? ay_err_errno(err, -r, "cannot write to %s", ap->b.s->path) : 0;
}

/* Between two parts. It is only written down so that less is to be done again: a failure is none. */
static int on_place(void *ctx, const struct ay_bundle_place *p, struct ay_err *err)
{
	struct ay__apply *ap = ctx;
	int r = 0;

	if (ap->h.n_parts < 2)
		return 0;
	if (p->inside && ap->out->fd >= 0 && (r = ay__fd_flush(ap->out)) < 0)
		return ay_err_errno(err, -r, "cannot write to %s", ap->b.s->path);
	ap->resume.place = *p;
	ay__resume_write(ap->b.s->fs, ap->b.st.dir, &ap->resume);
	return 0;
}

/* A record gave the wrong bytes: is it the bundle, or was a base of ours changed since it was made? */
static int blame_base(struct ay__apply *ap, int r, struct ay_err *err)
{
	char hex[AY_DIGEST_HEX + 1];

	for (unsigned i = 0; i < ap->now.n_bases; i++) {
		struct ay_digest found;
		AY_CLOSE int fd = ay__base_index_open(&ap->bases, ap->b.s, &ap->now.bases[i]);
		if (fd < 0 || ay_digest_fd(fd, &found, NULL) < 0 || ay_digest_eq(&found, &ap->now.bases[i]))
			continue;
		ay_digest_hex(&ap->now.bases[i], hex);
		return ay_err_set(err, AY_EBASE,
				  "object %.16s… of %s %u was changed in place: `ayni fsck --heal` heals",
				  hex, ap->b.branch, ap->from_serial);
	}
	return r;
}

static int read_bundle(struct ay__apply *ap, struct ay_err *err)
{
	AY_CLEANUP(ay__scratch_release) struct ay__scratch scratch;
	const struct ay_bundle_sink sink = {
		.ctx = ap,
		.scratch = &scratch.ops,
		.header = on_header,
		.delta = on_delta,
		.delta_end = on_delta_end,
		.old = &ap->old,
		.base = on_base,
		.begin = on_begin,
		.open = on_open,
		.place = on_place,
		.data = on_data,
		.end = on_end,
	};
	const struct ay_offer *offer = ap->a->offer;
	struct ay_bundle_limits limits = {
		.memory = offer ? offer->memory : 0,
		.unpacked_size = offer ? offer->unpacked_size : ap->b.release.unpacked_size,
		.threads = ap->b.crew != NULL,
		.memory_here = ap->a->memory,
	};
	struct ay_fs *fs = ap->b.s->fs;

	ay__scratch_init(&scratch, fs, ap->b.st.dir);
	ap->delta_fd = fs->ops->open(fs, ap->b.st.dir, "delta", O_RDWR | O_CREAT | O_EXCL, 0600);
	if (ap->delta_fd < 0)
		return ay_err_errno(err, -ap->delta_fd, "cannot make a file in %s/tmp", ap->b.s->path);
	*ap->delta = (struct ay__fd_writer){.fs = fs, .fd = ap->delta_fd};
	AY_CLOSE int again = -1;
	if (ap->resumed) {
		char hex[AY_DIGEST_HEX + 1];
		again = ap->from.inside ? ay__open_beneath(ap->b.raw, ay_digest_hex(&ap->from.r.target, hex),
							   O_RDONLY)
					: -1;
		limits.from = &ap->from;
		limits.from_fd = again;
		ap->done = ap->from.sizes - (ap->from.inside ? ap->from.r.size - ap->from.done : 0);
	}
	int r = ay_bundle_read(ap->a->bundle_fd, &limits, &sink, true, err);
	return r == AY_EDIGEST ? blame_base(ap, r, err) : r;
}

/* ---- the whole ---- */

static int check_offer(const struct ay_apply *a, const struct ay_release *rel, struct ay_err *err)
{
	if (!a->offer)
		return 0;
	if (strcmp(a->offer->branch, a->branch) != 0 || !ay_digest_eq(&a->offer->to, &rel->manifest))
		return ay_err_set(err, AY_EFORMAT, "the offer is not for release %u of %s", rel->serial,
				  a->branch);
	return 0;
}

static int apply_all(struct ay__apply *ap, bool may_resume, struct ay_err *err)
{
	const struct ay_apply *a = ap->a;
	struct ay_fs *fs = ap->b.s->fs;
	int r = check_offer(a, &ap->b.release, err);

	if (r == 0 && (r = ay__resume_key(&ap->resume, a->branch, &ap->b.release.manifest, a->bundle_fd)) < 0)
		r = ay_err_errno(err, -r, "cannot read the bundle");
	if (r == 0 && may_resume && ay__resume_find(&ap->b, &ap->resume)) {
		ap->resumed = true;
		ap->from = ap->resume.place;
	}
	if (r == 0)
		r = read_bundle(ap, err);
	if (r == 0)
		r = ay__apply_objects(ap, err);
	/* Objects get their names now: what is in raw/ may then be theirs, so nobody is to go on with it. */
	if (r == 0 && (r = fs->ops->unlink(fs, ap->b.st.dir, AY__RESUME_FILE, 0)) < 0)
		r = r == -ENOENT ? 0 : ay_err_errno(err, -r, "cannot remove a file in %s/tmp", ap->b.s->path);
	if (r == 0 && ap->from_serial && !ap->attributed)
		ay__alike_begin(&ap->b, ap->from_serial);
	return r == 0 ? ay__build_commit(&ap->b, err) : r;
}

static int apply_once(struct ay_store *s, const struct ay_apply *a, bool may_resume, bool *resumed,
		      struct ay_err *err)
{
	AY_FREE struct ay__apply *ap = calloc(1, sizeof(*ap));
	AY_FREE struct ay__fd_writer *delta = calloc(1, sizeof(*delta)), *out = calloc(1, sizeof(*out));

	struct ay__failure *failure = ap && delta && out ? ay__failure_new() : NULL;

	if (!failure)
		return ay_err_errno(err, ENOMEM, "apply %s", a->branch);
	ap->failure = failure;
	pthread_mutex_init(&ap->lock, NULL);
	for (int i = 0; i < AY__CONTENT_LOCKS; i++)
		pthread_mutex_init(&ap->content[i], NULL);
	ap->a = a;
	ap->delta = delta;
	ap->out = out;
	ap->delta_fd = out->fd = -1;
	int r = ay__build_begin(&ap->b, s, a->branch, a->release, a->release_len, err);
	uint32_t serial = ap->b.release.serial;
	if (r == 0)
		r = apply_all(ap, may_resume, err);
	*resumed = ap->resumed;
	if (out->fd >= 0)
		close(out->fd);
	if (ap->delta_fd >= 0)
		close(ap->delta_fd);
	ay__base_index_release(&ap->bases);
	ay_old_files_release(&ap->old);
	ay__shared_release(&ap->shared);
	ay__build_end(&ap->b);
	ay__failure_free(failure);
	pthread_mutex_destroy(&ap->lock);
	for (int i = 0; i < AY__CONTENT_LOCKS; i++)
		pthread_mutex_destroy(&ap->content[i]);
	if (r < 0 && r != AY_ENOTHING)
		return ay_err_wrap(err, r, "apply %s %u", a->branch, serial);
	return r;
}

/*
 * Whose fault it is that going on did not work is not asked: who begins at the beginning finds out. Nor whether what lay
 * there was what took the room: now it is gone.
 */
int ay_store_apply(struct ay_store *s, const struct ay_apply *a, struct ay_err *err)
{
	struct ay_err why = {0};
	bool resumed = false;
	int r = apply_once(s, a, true, &resumed, &why);

	if (resumed && r < 0 && (r <= AY_EFORMAT || r == -ENOENT || r == -ENOSPC) && r != AY_ENOTHING &&
	    r != AY_EBUSY)
		return apply_once(s, a, false, &resumed, err);
	if (r < 0 && err)
		*err = why;
	return r;
}
