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
 *                   or a copy of an old object when only mode, owner, mtime or xattrs changed
 *     commit        store/build.c
 *
 * What is remembered is small and does not grow with contents: the base index
 * (24 bytes per old file). Whether a content has come is asked of raw/ itself. The bundle
 * is a stranger's file; what it may do is bounded by the offer and the release, both signed.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdalign.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "diff/bundle.h"
#include "manifest/delta.h"
#include "store/base_index.h"
#include "store/scratch.h"
#include "store/resume.h"
#include "store/shared.h"
#include "store/tree_batch.h"

#define CONTENT_LOCKS 16
#define DELTA_FACTOR  2 /* a delta is at most both manifests and a byte per line */

struct apply {
	struct ay__build b;
	const struct ay_apply *a;
	struct ay_bundle_header h;
	uint32_t from_serial; /* 0: from nothing */
	uint64_t from_manifest_size;
	struct ay__base_index bases;
	struct ay_old_files old;     /* by number, for records to refer to */
	struct ay__shared shared;    /* what other branches share; looked at only when something is missing */
	struct ay__fd_writer *delta; /* the manifest delta, to staging; then the new manifest */
	int delta_fd;
	uint64_t inodes;             /* what the new tree needs beyond the records: seen in the merge */
	struct ay__failure *failure; /* of what the crew stages */
	pthread_mutex_t lock;        /* of @shared */
	pthread_mutex_t
		content[CONTENT_LOCKS]; /* one at a time makes the variants of a content; by its digest */
	struct ay__resume resume;       /* where it stands, as it is written down */
	struct ay_bundle_place from;    /* where it goes on, when @resumed */
	bool resumed;
	bool attributed;             /* a symbolic link of the old tree has attributes: none is linked */
	struct ay_bundle_record now; /* the record last begun */
	struct ay__fd_writer *out;   /* its file */
	uint64_t done;
};

/* ---- header: where the bundle starts ---- */

static int find_from_tree(struct apply *ap, struct ay_err *err)
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
static int reserve(struct apply *ap, uint64_t bytes, uint64_t inodes, struct ay_err *err)
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
	struct apply *ap = ctx;
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
	struct apply *ap = ctx;
	int r = ay__fd_write(ap->delta, data, len);

	return r < 0 ? ay_err_errno(err, -r, "cannot write the manifest delta") : 0;
}

/* One path of the merge: old contents into the base index, limits of the branch, what will be needed. */
static int on_merged(void *ctx, enum ay_change change, const struct ay_entry *old,
		     const struct ay_entry *new_, struct ay_err *err)
{
	struct apply *ap = ctx;
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
	struct apply *ap = ctx;

	/* The release says how long the manifest is: what goes on is not it. */
	if (ap->delta->pos + ap->delta->held + len > ap->b.release.manifest_size)
		return AY_EDIGEST;
	return ay__fd_write(ap->delta, data, len);
}

/* A reader over the from-tree's manifest; NULL with 0 when there is no from-tree. */
static int open_old(struct apply *ap, struct ay__fd_reader *in, struct ay_manifest_reader **m,
		    struct ay_err *err)
{
	*m = NULL;
	*in = (struct ay__fd_reader){.fd = -1};
	if (ap->from_serial == 0)
		return 0;
	int r = ay_store_manifest(ap->b.s, ap->b.branch, ap->from_serial, &in->fd, err);
	if (r == 0 && !(*m = ay_manifest_reader_new(ay__fd_read, in)))
		r = ay_err_errno(err, ENOMEM, "read manifest");
	return r;
}

static int merge(struct apply *ap, struct ay_err *err)
{
	struct ay_fs *fs = ap->b.s->fs;
	struct ay__fd_reader old_in, delta_in = {.fd = ap->delta_fd};
	struct ay_manifest_reader *old;
	AY_CLOSE int fd = fs->ops->open(fs, ap->b.tree, "manifest", O_RDWR | O_CREAT | O_EXCL, 0644);

	if (fd < 0)
		return ay_err_errno(err, -fd, "cannot make the manifest's file");
	*ap->delta = (struct ay__fd_writer){.fs = fs, .fd = fd};
	int r = open_old(ap, &old_in, &old, err);
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
	struct apply *ap = ctx;
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

static bool in_hand(const struct apply *ap, const struct ay_bundle_record *rec)
{
	return ap->resumed && ap->from.inside && rec->index == ap->from.record;
}

/* What an apply before has brought is there, found to be right (store/resume.c). */
static int on_begin(void *ctx, const struct ay_bundle_record *rec, bool *skip, struct ay_err *err)
{
	struct apply *ap = ctx;
	char hex[AY_DIGEST_HEX + 1];

	(void)err;
	*skip = ap->resumed && !in_hand(ap, rec) &&
		faccessat(ap->b.raw, ay_digest_hex(&rec->target, hex), F_OK, AT_SYMLINK_NOFOLLOW) == 0;
	return 0;
}

/* Behind what was written of it at the place there may be more, which need not be what comes. */
static int open_again(struct apply *ap, int fd, const struct ay_bundle_record *rec)
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
	struct apply *ap = ctx;
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
	struct apply *ap = ctx;
	char hex[AY_DIGEST_HEX + 1];
	struct stat st;

	ay_digest_hex(&rec->bases[base], hex);
	int f = ay__base_index_open(&ap->bases, ap->b.s, &rec->bases[base]);
	if (f == -ENOENT)
		return ay_err_set(err, AY_EBASE, "base %.16s… is not among the objects of %s %u", hex,
				  ap->b.branch, ap->from_serial);
	if (f < 0)
		return ay_err_errno(err, -f, "cannot open base %.16s…", hex);
	if (fstat(f, &st) < 0 || (uint64_t)st.st_size != rec->base_sizes[base]) {
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
	struct apply *ap = ctx;
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
	struct apply *ap = ctx;
	int r = ay__fd_end_sparse(ap->out);

	(void)rec;
	close(ap->out->fd);
	ap->out->fd = -1;
	return r < 0 ? ay_err_errno(err, -r, "cannot write to %s", ap->b.s->path) : 0;
}

/* Between two parts. It is only written down so that less is to be done again: a failure is none. */
static int on_place(void *ctx, const struct ay_bundle_place *p, struct ay_err *err)
{
	struct apply *ap = ctx;
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
static int blame_base(struct apply *ap, int r, struct ay_err *err)
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

static int read_bundle(struct apply *ap, struct ay_err *err)
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

/* ---- objects ---- */

/* The bundle's output, for the first of its variants the very inode, for others a copy. 1: it has none. */
static int from_output(struct apply *ap, const struct ay_entry *e, const struct ay__object_name *name,
		       struct ay_err *err)
{
	struct ay__local_entry local;
	char hex[AY_DIGEST_HEX + 1];
	struct stat st;

	ay_digest_hex(&e->digest, hex);
	AY_CLOSE int fd = ay__open_beneath(ap->b.raw, hex, O_RDONLY);
	if (fd == -ENOENT)
		return 1;
	if (fd < 0 || fstat(fd, &st) < 0)
		return ay_err_errno(err, fd < 0 ? -fd : errno, "%s: its content in staging", e->path);
	if ((uint64_t)st.st_size != e->size)
		return ay_err_set(err, AY_EFORMAT, "%s: has %llu bytes, the manifest says %llu", e->path,
				  (unsigned long long)st.st_size, (unsigned long long)e->size);
	if (st.st_nlink > 1)
		return ay__build_stage(&ap->b, e, name, fd, err);
	ay__entry_localise(ap->b.s, e, &local);
	int r = ay__meta_set(ap->b.s, fd, &local.e, err);
	return r < 0 ? r : ay__build_stage_link(&ap->b, name, ap->b.raw, hex, err);
}

/* An old content in a new variant. */
static int from_base(struct apply *ap, const struct ay_entry *e, const struct ay__object_name *name,
		     struct ay_err *err)
{
	AY_CLOSE int fd = ay__base_index_open(&ap->bases, ap->b.s, &e->digest);
	int q = 0;

	if (fd == -ENOENT) {
		pthread_mutex_lock(&ap->lock);
		q = ay__shared_load(&ap->shared, ap->b.s, ap->b.branch, err);
		pthread_mutex_unlock(&ap->lock);
	}
	if (q < 0)
		return q;
	if (fd == -ENOENT)
		fd = ay__shared_open(&ap->shared, ap->b.s, &e->digest);
	if (fd == -ENOENT)
		return ay_err_set(err, AY_EFORMAT, "%s: the bundle lacks its content", e->path);
	if (fd < 0)
		return ay_err_errno(err, -fd, "%s: its old object", e->path);
	int r = ay__build_stage(&ap->b, e, name, fd, err);
	if (r == AY_EDIGEST)
		return ay_err_set(err, AY_EBASE,
				  "%s: its object in %s %u was changed in place: `ayni fsck --heal` heals",
				  e->path, ap->b.branch, ap->from_serial);
	return r;
}

static int stage_one(struct apply *ap, const struct ay_entry *e, struct ay_err *err)
{
	struct ay__local_entry local;
	struct ay__object_name name;
	uint8_t v[AY__VARIANT_LEN];

	ay__entry_localise(ap->b.s, e, &local);
	int r = ay__object_variant(&local.e, v);
	if (r < 0)
		return ay_err_errno(err, -r, "%s", e->path);
	ay__object_name(&e->digest, v, &name);
	if (ay__build_has(&ap->b, &name))
		return 0;
	r = from_output(ap, e, &name, err);
	if (r <= 0)
		return r;
	if (ay__base_index_has(&ap->bases, &e->digest, v) &&
	    faccessat(ap->b.s->objects, name.s, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return 0; /* the same inode under another path: linked as it is */
	return from_base(ap, e, &name, err);
}

struct stage_task {
	struct ay__task task;
	struct apply *ap;
	struct ay_entry e; /* its memory behind */
	alignas(max_align_t) uint8_t mem[];
};

static void stage_task(struct ay__task *task)
{
	struct stage_task *t = (struct stage_task *)(void *)task;
	struct apply *ap = t->ap;
	pthread_mutex_t *lock = &ap->content[t->e.digest.b[0] % CONTENT_LOCKS];
	struct ay_err why = {0};

	if (ay__failure_get(ap->failure, NULL) == 0) {
		pthread_mutex_lock(lock);
		int r = stage_one(ap, &t->e, &why);
		pthread_mutex_unlock(lock);
		if (r < 0)
			ay__failure_set(ap->failure, r, &why);
	}
	free(t);
}

static int on_changed(void *ctx, enum ay_change change, const struct ay_entry *old, const struct ay_entry *e,
		      struct ay_err *err)
{
	struct apply *ap = ctx;

	(void)old;
	if ((change != AY_CHANGE_ADDED && change != AY_CHANGE_REPLACED) || e->type != AY_ENTRY_FILE)
		return 0;
	struct stage_task *t = malloc(sizeof(*t) + ay__entry_room(e));
	if (!t)
		return ay_err_errno(err, ENOMEM, "%s", e->path);
	t->task.run = stage_task;
	t->ap = ap;
	ay__entry_copy(&t->e, e, t->mem);
	ay__crew_give(ap->b.crew, &t->task);
	return ay__failure_get(ap->failure, err);
}

static int stage_objects(struct apply *ap, struct ay_err *err)
{
	struct ay__fd_reader old_in, new_in = {.fd = ay__open_beneath(ap->b.tree, "manifest", O_RDONLY)};
	struct ay_manifest_reader *old = NULL, *new_ = NULL;
	int r = new_in.fd < 0 ? ay_err_errno(err, -new_in.fd, "cannot read the new manifest") : 0;

	old_in.fd = -1;
	if (r == 0)
		r = open_old(ap, &old_in, &old, err);
	if (r == 0 && !(new_ = ay_manifest_reader_new(ay__fd_read, &new_in)))
		r = ay_err_errno(err, ENOMEM, "read manifest");
	if (r == 0)
		r = ay_manifest_compare(old, new_, on_changed, ap, err);
	ay__crew_wait(ap->b.crew);
	if (r == 0)
		r = ay__failure_get(ap->failure, err);
	ay_manifest_reader_free(old);
	ay_manifest_reader_free(new_);
	if (old_in.fd >= 0)
		close(old_in.fd);
	if (new_in.fd >= 0)
		close(new_in.fd);
	return r;
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

static int apply_all(struct apply *ap, bool may_resume, struct ay_err *err)
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
		r = stage_objects(ap, err);
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
	AY_FREE struct apply *ap = calloc(1, sizeof(*ap));
	AY_FREE struct ay__fd_writer *delta = calloc(1, sizeof(*delta)), *out = calloc(1, sizeof(*out));

	struct ay__failure *failure = ap && delta && out ? ay__failure_new() : NULL;

	if (!failure)
		return ay_err_errno(err, ENOMEM, "apply %s", a->branch);
	ap->failure = failure;
	pthread_mutex_init(&ap->lock, NULL);
	for (int i = 0; i < CONTENT_LOCKS; i++)
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
	for (int i = 0; i < CONTENT_LOCKS; i++)
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
