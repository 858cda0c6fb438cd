/* SPDX-License-Identifier: MIT */
/*
 * A patch and what it starts from become a new directory or a new file, beside its place until all is right.
 *
 *     b.stage/delta       the manifest delta, unpacked
 *     b.stage/manifest    the new manifest, merged and checked against the bundle's
 *     b.stage/raw/DIGEST  what the bundle's records give, each checked
 *     b.stage/root        the new directory: linked from raw, or copied (reflink) out of the old one
 *
 * The same steps as store/apply.c, without a store: contents come from the old directory itself, and nothing is signed,
 * so the caller's limits bound what comes out.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "diff/bsdiff40.h"
#include "diff/bundle_format.h"
#include "manifest/delta.h"
#include "manifest/release.h"
#include "store/crew.h"
#include "store/hash_pool.h"
#include "store/patch_internal.h"
#include "store/scratch.h"
#include "store/tree_internal.h"

/* Where a content is in the old directory. */
struct place {
	struct ay_digest digest;
	size_t path; /* offset into paths */
};

struct apply {
	const struct ay_patch_apply *a;
	const struct ay_patch_side *old;
	struct ay__patch_tree from;
	struct ay_store view; /* the rules of whom the new files belong to */
	struct ay__beside b;
	int raw;
	struct ay_bundle_header h;
	struct ay_old_files numbers; /* the old contents by number, for records to refer to */
	struct place *places;
	size_t n_places, cap_places;
	struct ay_buf paths;
	struct ay__fd_writer *out; /* the file in hand */
	pthread_mutex_t lock;      /* who is the first of one content */
	uint64_t done;
	struct ay_digest content; /* of a file */
	uint64_t content_size;
	struct ay_patch_result *res;
};

/* ---- what the old directory has ---- */

static int cmp_places(const void *a, const void *b)
{
	return ay_digest_cmp(&((const struct place *)a)->digest, &((const struct place *)b)->digest);
}

static int index_add(struct apply *ap, const struct ay_entry *e)
{
	if (e->type != AY_ENTRY_FILE)
		return 0;
	if (ap->n_places == ap->cap_places) {
		size_t cap = ap->cap_places ? 2 * ap->cap_places : 256;
		struct place *grown = reallocarray(ap->places, cap, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		ap->places = grown;
		ap->cap_places = cap;
	}
	ap->places[ap->n_places++] = (struct place){e->digest, ap->paths.len};
	ay_put_bytes(&ap->paths, e->path, e->path_len + 1);
	return ay_buf_status(&ap->paths);
}

static int index_old(struct apply *ap, struct ay_err *err)
{
	struct ay_entry e;
	int r = 1;

	if (ap->from.manifest.len == 0)
		return 0;
	struct ay_manifest_reader *m =
		ay_manifest_reader_new_mem(ap->from.manifest.data, ap->from.manifest.len);
	if (!m)
		return ay_err_errno(err, ENOMEM, "read manifest");
	while (r > 0 && (r = ay_manifest_next(m, &e, err)) > 0) {
		int q = index_add(ap, &e);
		if (q < 0)
			r = ay_err_errno(err, -q, "%s", e.path);
	}
	ay_manifest_reader_free(m);
	if (r == 0 && ap->n_places > 0)
		qsort(ap->places, ap->n_places, sizeof(*ap->places), cmp_places);
	return r;
}

/* The old file with this content. */
static int open_old(struct apply *ap, const struct ay_digest *d, int *fd, struct ay_err *err)
{
	const struct place key = {.digest = *d};
	const struct place *p =
		ap->n_places ? bsearch(&key, ap->places, ap->n_places, sizeof(key), cmp_places) : NULL;
	char hex[AY_DIGEST_HEX + 1];

	if (!p)
		return ay_err_set(err, AY_EBASE, "content %.16s… is neither in the delta nor in %s",
				  ay_digest_hex(d, hex),
				  ap->old->name ? ap->old->name : "what it starts from");
	return ay__patch_tree_open(&ap->from, (const char *)ap->paths.data + p->path, fd, err);
}

/* ---- the bundle ---- */

/*
 * Nobody signed how much comes out, so it is bounded before a content is written: here by what the records bring, in
 * on_merged() by all files of the new tree, most of which may be copies of old ones or of each other.
 */
static int check_size(const struct apply *ap, uint64_t bytes, struct ay_err *err)
{
	if (ap->a->max_size == 0)
		return ay__patch_check_room(ap->b.parent, bytes, err);
	if (bytes <= ap->a->max_size)
		return 0;
	return ay_err_set(err, AY_ELIMIT, "it gives %llu bytes, at most %llu are allowed",
			  (unsigned long long)bytes, (unsigned long long)ap->a->max_size);
}

static int on_header(void *ctx, const struct ay_bundle_header *h, struct ay_err *err)
{
	struct apply *ap = ctx;
	char want[AY_DIGEST_HEX + 1], have[AY_DIGEST_HEX + 1];

	ap->h = *h;
	if (ay_digest_eq(&h->from, &ap->from.digest))
		return check_size(ap, h->unpacked_size, err);
	if (ay_digest_is_zero(&h->from))
		return ay_err_set(err, AY_EBASE, "it starts from nothing: say --from-nothing");
	ay_digest_hex(&h->from, want);
	ay_digest_hex(&ap->from.digest, have);
	if (ap->old->fd < 0)
		return ay_err_set(err, AY_EBASE, "it starts from manifest %.16s…, not from nothing", want);
	return ay_err_set(err, AY_EBASE,
			  "%s is not what it starts from: it wants manifest %.16s…, this is %.16s…%s",
			  ap->old->name, want, have,
			  ap->old->is_dir ? " (contents, modes, owners, times and attributes count; "
					    "--owner-root as it was made)"
					  : "");
}

static int on_delta(void *ctx, const void *data, size_t len, struct ay_err *err)
{
	struct apply *ap = ctx;
	int r;

	if (ap->out->fd < 0) {
		ap->out->fd =
			ap->b.fs->ops->open(ap->b.fs, ap->b.stage, "delta", O_RDWR | O_CREAT | O_EXCL, 0600);
		if (ap->out->fd < 0)
			return ay_err_errno(err, -ap->out->fd, "cannot write the manifest delta");
	}
	r = ay__fd_write(ap->out, data, len);
	return r < 0 ? ay_err_errno(err, -r, "cannot write the manifest delta") : 0;
}

/* What a person is told of the new tree, and in a patch of files that it is one. */
static int on_merged(void *ctx, enum ay_change change, const struct ay_entry *old, const struct ay_entry *e,
		     struct ay_err *err)
{
	struct apply *ap = ctx;

	(void)change;
	(void)old;
	if (!e)
		return 0;
	uint64_t size = e->type == AY_ENTRY_FILE ? e->size : 0, max = ap->a->max_size;
	if (max && size > max - ap->res->bytes)
		return ay_err_set(err, AY_ELIMIT,
				  "%s: with it come out more than the %llu bytes that are allowed", e->path,
				  (unsigned long long)max);
	ap->res->entries++;
	ap->res->bytes += size;
	if (ap->view.owner_me)
		ay_losses_add(&ap->res->losses, e);
	bool dir = ap->old->is_dir || ap->old->fd < 0;
	if (dir || (e->type == AY_ENTRY_DIR && e->path_len == 1))
		return 0;
	if (e->type != AY_ENTRY_FILE || strcmp(e->path, AY_PATCH_FILE) != 0)
		return ay_err_set(err, AY_EFORMAT, "%s: not the delta of a file", e->path);
	ap->content = e->digest;
	ap->content_size = e->size;
	return 0;
}

static int merge(struct apply *ap, int delta, struct ay_err *err)
{
	struct ay_fs *fs = ap->b.fs;
	struct ay__fd_reader in = {.fd = delta};
	struct ay_manifest_reader *old = NULL;
	AY_CLOSE int fd = fs->ops->open(fs, ap->b.stage, "manifest", O_RDWR | O_CREAT | O_EXCL, 0600);

	if (fd < 0)
		return ay_err_errno(err, -fd, "cannot write the manifest");
	if (ap->from.manifest.len > 0 &&
	    !(old = ay_manifest_reader_new_mem(ap->from.manifest.data, ap->from.manifest.len)))
		return ay_err_errno(err, ENOMEM, "read manifest");
	*ap->out = (struct ay__fd_writer){.fs = fs, .fd = fd};
	int r = ay_delta_apply(old, ay__fd_read, &in, &ap->h.from, &ap->h.to, on_merged, ap, ay__fd_write,
			       ap->out, err);
	ay_manifest_reader_free(old);
	if (r < 0)
		return ay_err_wrap(err, r, "merge the manifest");
	r = ay__fd_flush(ap->out);
	return r < 0 ? ay_err_errno(err, -r, "cannot write the manifest") : 0;
}

static int on_delta_end(void *ctx, struct ay_err *err)
{
	struct apply *ap = ctx;
	int r = ap->out->fd < 0 ? on_delta(ap, "", 0, err) : 0; /* none at all is refused as such */

	if (r == 0 && (r = ay__fd_flush(ap->out)) < 0)
		ay_err_errno(err, -r, "cannot write the manifest delta");
	AY_CLOSE int delta = ap->out->fd;
	if (r == 0)
		r = merge(ap, delta, err);
	*ap->out = (struct ay__fd_writer){.fs = ap->b.fs, .fd = -1};
	return r;
}

/* From here to on_end() in the reader's second thread, if it has one. */
static int on_open(void *ctx, const struct ay_bundle_record *rec, struct ay_err *err)
{
	struct apply *ap = ctx;
	char hex[AY_DIGEST_HEX + 1];

	ay_digest_hex(&rec->target, hex);
	int fd = ap->b.fs->ops->open(ap->b.fs, ap->raw, hex, O_RDWR | O_CREAT | O_EXCL, 0600);
	if (fd == -EEXIST)
		return ay_err_set(err, AY_EFORMAT, "content %.16s… comes twice", hex);
	if (fd < 0)
		return ay_err_errno(err, -fd, "cannot make a file beside %s", ap->b.name);
	*ap->out = (struct ay__fd_writer){.fs = ap->b.fs, .fd = fd, .sparse = true};
	return 0;
}

static int on_base(void *ctx, const struct ay_bundle_record *rec, unsigned base, int *fd, struct ay_err *err)
{
	return open_old(ctx, &rec->bases[base], fd, err);
}

static int on_data(void *ctx, const struct ay_bundle_record *rec, const void *data, size_t len,
		   struct ay_err *err)
{
	struct apply *ap = ctx;
	int r = ay__fd_write(ap->out, data, len);

	(void)rec;
	if (r < 0)
		return ay_err_errno(err, -r, "cannot write beside %s", ap->b.name);
	ap->done += len;
	r = ap->a->progress ? ap->a->progress(ap->a->progress_ctx, ap->done, ap->h.unpacked_size) : 0;
	return r < 0 ? ay_err_set(err, r, "stopped") : 0;
}

static int on_end(void *ctx, const struct ay_bundle_record *rec, struct ay_err *err)
{
	struct apply *ap = ctx;
	int r = ay__fd_end_sparse(ap->out);

	(void)rec;
	close(ap->out->fd);
	ap->out->fd = -1;
	return r < 0 ? ay_err_errno(err, -r, "cannot write beside %s", ap->b.name) : 0;
}

static int read_bundle(struct apply *ap, int fd, struct ay_err *err)
{
	AY_CLEANUP(ay__scratch_release) struct ay__scratch scratch;
	const struct ay_bundle_sink sink = {
		.ctx = ap,
		.scratch = &scratch.ops,
		.header = on_header,
		.delta = on_delta,
		.delta_end = on_delta_end,
		.old = &ap->numbers,
		.open = on_open,
		.base = on_base,
		.data = on_data,
		.end = on_end,
	};
	const struct ay_bundle_limits limits = {.memory = ap->a->memory ? ap->a->memory : UINT64_MAX,
						.threads = true,
						.memory_here = ap->a->memory};

	ay__scratch_init(&scratch, ap->b.fs, ap->b.stage);
	return ay_bundle_read(fd, &limits, &sink, true, err);
}

/* ---- the new directory ---- */

/*
 * What the bundle gave becomes @name, the very inode, the first time: 1. 0: it has a name already, or is none of the bundle's
 * (*@from is -ENOENT then).
 */
static int link_first(struct apply *ap, int dir, const char *name, const struct ay_entry *e, int *from,
		      struct ay_err *err)
{
	char hex[AY_DIGEST_HEX + 1];
	struct stat st = {0};
	int r = 0;

	*from = ay__open_beneath(ap->raw, ay_digest_hex(&e->digest, hex), O_RDONLY);
	if (*from == -ENOENT)
		return 0;
	pthread_mutex_lock(&ap->lock); /* two threads may have files of one content */
	if (*from < 0 || fstat(*from, &st) < 0)
		r = ay_err_errno(err, *from < 0 ? -*from : errno, "%s", e->path);
	else if ((uint64_t)st.st_size != e->size)
		r = ay_err_set(err, AY_EFORMAT, "%s: has another size than its manifest says", e->path);
	else if (st.st_nlink == 1 && (r = ap->b.fs->ops->link(ap->b.fs, ap->raw, hex, dir, name)) < 0)
		r = ay_err_errno(err, -r, "%s: cannot make it", e->path);
	pthread_mutex_unlock(&ap->lock);
	return r < 0 ? r : st.st_nlink == 1;
}

/* A file's bytes: what the bundle gave, or a copy of that or of the old file. In any thread. */
static int on_file(void *ctx, int dir, const char *name, const struct ay_entry *e, struct ay_err *err)
{
	struct apply *ap = ctx;
	struct ay_fs *fs = ap->b.fs;
	struct ay__local_entry local;
	AY_CLOSE int from = -1;
	AY_CLOSE int copy = -1;
	int r = link_first(ap, dir, name, e, &from, err);
	const bool first = r == 1;

	if (r == 0 && from == -ENOENT)
		r = open_old(ap, &e->digest, &from, err);
	if (r == 0) {
		copy = fs->ops->open(fs, dir, name, O_RDWR | O_CREAT | O_EXCL, 0600);
		r = copy < 0 ? ay_err_errno(err, -copy, "%s: cannot make it", e->path)
			     : ay__copy_file(&ap->view, from, copy, e->size, &e->digest, err);
		if (r == AY_EDIGEST)
			r = ay_err_set(err, AY_EBASE, "%s changed meanwhile", ap->old->name);
	}
	if (r < 0)
		return r;
	ay__entry_localise(&ap->view, e, &local);
	return ay__meta_set(&ap->view, first ? from : copy, &local.e, err);
}

static int make_tree(struct apply *ap, struct ay_err *err)
{
	AY_CLOSE int manifest = ay__open_beneath(ap->b.stage, "manifest", O_RDONLY);
	struct ay__crew *crew = ay__crew_new(ap->a->threads ? ap->a->threads : ay__cpu_count());
	const struct ay__tree_maker maker = {.s = &ap->view,
					     .manifest = manifest,
					     .into = ap->b.stage,
					     .name = "root",
					     .file = on_file,
					     .ctx = ap,
					     .crew = crew};

	ap->res->checked = true;
	ap->res->digest = ap->h.to;
	int r = manifest < 0 ? ay_err_errno(err, -manifest, "cannot read the new manifest")
			     : ay__tree_make(&maker, err);
	ay__crew_free(crew);
	return r;
}

/* ---- the new file ---- */

/* The old file has its content already: only then is there none in raw. */
static int copy_old(struct apply *ap, int *file, struct ay_err *err)
{
	AY_CLOSE int from = -1;
	int r = open_old(ap, &ap->content, &from, err);

	if (r < 0)
		return r;
	*file = ap->b.fs->ops->open(ap->b.fs, ap->b.stage, "file", O_RDWR | O_CREAT | O_EXCL, 0600);
	if (*file < 0)
		return ay_err_errno(err, -*file, "cannot make %s", ap->b.name);
	return ay__copy_file(&ap->view, from, *file, ap->content_size, &ap->content, err);
}

static int make_file(struct apply *ap, mode_t mode, struct ay_err *err)
{
	struct ay_fs *fs = ap->b.fs;
	char hex[AY_DIGEST_HEX + 1];
	int r = 0;

	ap->res->checked = true;
	ap->res->digest = ap->content;
	ap->res->bytes = ap->content_size;
	AY_CLOSE int file = ay__open_beneath(ap->raw, ay_digest_hex(&ap->content, hex), O_RDONLY);
	if (file == -ENOENT)
		r = copy_old(ap, &file, err);
	else if (file < 0 || (r = fs->ops->link(fs, ap->raw, hex, ap->b.stage, "file")) < 0)
		r = ay_err_errno(err, file < 0 ? -file : -r, "cannot make %s", ap->b.name);
	if (r < 0)
		return r;
	if ((r = fs->ops->chmod(fs, file, mode & 0777)) < 0 || (r = fs->ops->fsync(fs, file)) < 0)
		ay_err_errno(err, -r, "cannot sync %s", ap->b.name);
	return r;
}

/* ---- both ---- */

static int apply_bundle(struct apply *ap, int fd, const struct ay_patch_to *to, struct ay_err *err)
{
	bool dir = ap->old->is_dir || ap->old->fd < 0;
	int r = ay__patch_tree_init(&ap->from, ap->old, ap->a->owner_root, 0, err);

	if (r == 0)
		r = index_old(ap, err);
	if (r == 0)
		r = ay_old_files_open_mem(&ap->numbers, ap->from.manifest.data, ap->from.manifest.len, err);
	if (r < 0)
		return r;
	ap->raw = ay__make_dir(ap->b.fs, ap->b.stage, "raw", 0700, NULL);
	if (ap->raw < 0)
		return ay_err_errno(err, -ap->raw, "cannot make a directory beside %s", ap->b.name);
	if ((r = read_bundle(ap, fd, err)) < 0)
		return r;
	return dir ? make_tree(ap, err) : make_file(ap, to->mode, err);
}

static void apply_release(struct apply *ap)
{
	if (ap->out && ap->out->fd >= 0)
		close(ap->out->fd);
	if (ap->raw >= 0)
		close(ap->raw);
	free(ap->out);
	free(ap->places);
	ay_old_files_release(&ap->numbers);
	ay_buf_release(&ap->paths);
	ay__patch_tree_release(&ap->from);
	ay__beside_end(&ap->b);
	pthread_mutex_destroy(&ap->lock);
}

int ay_patch_format_of(int fd, enum ay_patch_format *format, struct ay_err *err)
{
	char magic[8] = "";

	while (pread(fd, magic, sizeof(magic), 0) < 0) {
		if (errno != EINTR)
			return ay_err_errno(err, errno, "cannot read it");
	}
	bool classic = memcmp(magic, AY_BSDIFF40_MAGIC, 8) == 0;
	if (!classic && memcmp(magic, AY_BUNDLE_MAGIC, AY_BUNDLE_MAGIC_LEN) != 0)
		return ay_err_set(err, AY_EFORMAT, "neither a bundle nor a bsdiff40 patch");
	*format = classic ? AY_PATCH_BSDIFF40 : AY_PATCH_BUNDLE;
	return 0;
}

int ay_patch_apply(const struct ay_patch_side *old, int fd, enum ay_patch_format format,
		   const struct ay_patch_apply *a, const struct ay_patch_to *to, struct ay_patch_result *res,
		   struct ay_err *err)
{
	struct apply ap = {.a = a, .old = old, .raw = -1, .b = {.stage = -1}, .res = res};
	bool dir = old->is_dir || old->fd < 0;

	*res = (struct ay_patch_result){0};
	pthread_mutex_init(&ap.lock, NULL);
	ap.out = calloc(1, sizeof(*ap.out));
	if (!ap.out)
		return ay_err_errno(err, ENOMEM, "apply");
	*ap.out = (struct ay__fd_writer){.fs = to->fs, .fd = -1};
	int r = ay__beside_begin(&ap.b, to->fs, to->parent, to->name, err);
	AY_FREE char *name = strdup(to->name);
	ap.view =
		(struct ay_store){.fs = to->fs, .path = name, .owner_me = geteuid() != 0, .dir = to->parent};
	if (r == 0 && format == AY_PATCH_BSDIFF40)
		r = ay__patch_bsdiff40(old, fd, a, &ap.b, to->mode, res, err);
	else if (r == 0)
		r = apply_bundle(&ap, fd, to, err);
	if (r == 0)
		r = ay__beside_commit(
			&ap.b, dir ? "root" : "file",
			(dir ? 0 : AY__BESIDE_SYNCED) | (to->replace && !dir ? AY__BESIDE_REPLACE : 0), err);
	apply_release(&ap);
	return r;
}
