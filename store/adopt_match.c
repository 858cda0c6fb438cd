/* SPDX-License-Identifier: MIT */
/*
 * A directory that is more or less what a release says: the laptop whose system was installed by other means.
 *
 *     manifest       the release's, copied into staging and found to be the one that is signed
 *     first walk     its paths, looked at in the directory: what has the size is read, and taken if it has the digest
 *     what is wanted contents that no path gave
 *     besides        files that the manifest does not name, of a size that is wanted: renamed ones are found
 *     fetched        the rest, out of a repository's bundles (store/retrieve.c)
 *     second walk    each object that is still missing, from what was found or fetched, or from another variant
 *     commit         store/build.c
 *
 * The directory is a stranger: a system that runs, and writes. Nothing in it can make this fail, it can only give
 * less; what it gives counts when it has the digest that was signed. What we lack to look at it (descriptors, memory) is not
 * its fault, and no answer.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/cleanup.h"
#include "store/adopt_internal.h"
#include "store/xattr.h"

#define IN_FLIGHT_MAX 1024 /* files between the walk and its verdict: enough that no core idles */
#define TRIES         3    /* of a file that changes while it is read */

/* A file on its way. */
struct ay__match_item {
	struct ay__match_item *next;
	struct ay__intake_job job;
	struct ay_entry e; /* own memory behind */
};

static void tell(struct ay__match *m, enum ay_adopt_diff what, const char *path)
{
	m->out->differ[what]++;
	if (m->a->differs)
		m->a->differs(m->a->ctx, what, path);
}

/*
 * Looking at @path gave the error @r: what does that say of the path? 0: it was told; negative: nothing, and whatever is looked at
 * next would meet the same.
 */
static int tell_why(struct ay__match *m, int r, const char *path, struct ay_err *err)
{
	if (ay__own_lack(r))
		return ay_err_errno(err, -r, "cannot look at %s in %s", path, m->a->dir);
	/* AY_EBUSY: it changes all the time. */
	if (r == AY_EDIGEST || r == AY_EBUSY || ay__not_there(r)) {
		tell(m, r == AY_EDIGEST ? AY_ADOPT_CHANGED : AY_ADOPT_MISSING, path);
		return 0;
	}
	if (m->out->unreadable == 0)
		m->out->unreadable = r;
	tell(m, AY_ADOPT_UNREADABLE, path);
	return 0;
}

/* ---- the manifest ---- */

static int keep_manifest(struct ay__match *m, int fd, struct ay_err *err)
{
	struct ay_store *s = m->b.s;
	uint64_t size = m->b.release.manifest_size;
	struct ay_digest found;
	AY_CLOSE int to = s->fs->ops->open(s->fs, m->b.tree, "manifest", O_RDWR | O_CREAT | O_EXCL, 0644);

	if (to < 0)
		return ay_err_errno(err, -to, "cannot make the manifest's file");
	int r = ay__store_reserve(s, size, m->b.release.entries, err);
	if (r < 0)
		return r;
	r = ay__copy_file_digest(s, fd, to, size, &found, NULL, err);
	if (r == AY_EDIGEST || (r == 0 && !ay_digest_eq(&found, &m->b.release.manifest)))
		return ay_err_set(err, AY_EDIGEST, "the manifest is not the one that the release names");
	if (r < 0)
		return ay_err_wrap(err, r, "copy the manifest");
	r = s->fs->ops->chmod(s->fs, to, 0644);
	return r < 0 ? ay_err_errno(err, -r, "cannot write the manifest") : 0;
}

/* ---- the first walk ---- */

static int remember_path(struct ay__match *m, const struct ay_entry *e)
{
	if (m->n_paths == m->cap_paths) {
		size_t cap = m->cap_paths ? m->cap_paths + m->cap_paths / 2 : 1024;
		uint64_t *grown = reallocarray(m->paths, cap, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		m->paths = grown;
		m->cap_paths = cap;
	}
	m->paths[m->n_paths++] = ay__path_hash(e->path, e->path_len);
	return 0;
}

/* What an object needs of the reader's entry, whose memory is gone at the next line. */
static struct ay__match_item *item_new(const struct ay_entry *e)
{
	size_t size = sizeof(struct ay__match_item) + e->n_xattrs * sizeof(struct ay_xattr) + e->path_len + 1;

	for (size_t i = 0; i < e->n_xattrs; i++)
		size += strlen(e->xattrs[i].name) + 1 + e->xattrs[i].value_len;
	struct ay__match_item *it = calloc(1, size);
	if (!it)
		return NULL;
	struct ay_xattr *x = (struct ay_xattr *)(it + 1);
	char *p = (char *)(x + e->n_xattrs);
	it->e = *e;
	it->e.target = NULL;
	it->e.xattrs = e->n_xattrs ? x : NULL;
	it->e.path = memcpy(p, e->path, e->path_len + 1);
	p += e->path_len + 1;
	for (size_t i = 0; i < e->n_xattrs; i++) {
		const struct ay_xattr *from = &e->xattrs[i];
		size_t name = strlen(from->name) + 1;
		x[i].name = memcpy(p, from->name, name);
		p += name;
		x[i].value_len = from->value_len;
		if (from->value_len > 0)
			memcpy(p, from->value, from->value_len);
		x[i].value = (uint8_t *)p;
		p += from->value_len;
	}
	return it;
}

/* An open file of the directory, ready to be taken in as @it; or why not. */
static int prepare(struct ay__match *m, struct ay__match_item *it)
{
	AY_FREE struct ay_xattr *xattrs = NULL;
	const char *name;
	size_t n_xattrs;
	int dir;

	struct stat *st = &it->job.h.before;
	int r = ay__look(&m->look, it->e.path, it->e.path_len, &dir, &name, st);
	if (r < 0)
		return r;
	if (!S_ISREG(st->st_mode))
		return -ENOENT; /* as good as missing */
	if ((uint64_t)st->st_size != it->e.size)
		return AY_EDIGEST;
	AY_CLOSE int fd = ay__look_open(dir, name, st);
	if (fd < 0)
		return fd;
	r = ay__xattrs_read(fd, -1, NULL, m->b.s->owner_me ? AY__XATTR_NO_LABELS : 0, &xattrs, &n_xattrs,
			    NULL);
	if (r < 0 &&
	    r != AY_ELIMIT) /* more than any release may name: they differ, and the content may be right */
		return r;
	it->job.in = &m->in;
	it->job.e = &it->e;
	it->job.expect = true;
	it->job.same_meta = r == 0 && ay__intake_same_meta(m->b.s, st, xattrs, n_xattrs, &it->e);
	it->job.h.fd = ay_steal_fd(&fd);
	return 0;
}

/* Was it what the release says? A file that changed meanwhile gets another chance: it may be its ctime only. */
static int judge(struct ay__match *m, struct ay__match_item *it, struct ay_err *err)
{
	int r = it->job.h.rc;

	for (int i = 1; r == AY_EBUSY && i < TRIES; i++) {
		if ((r = prepare(m, it)) < 0)
			continue;
		ay__intake_give(&it->job);
		ay__hash_pool_done(m->in.pool, &it->job.h, true);
		r = it->job.h.rc;
	}
	if (m->in.err.code < 0) {
		if (err)
			*err = m->in.err;
		return m->in.err.code;
	}
	if (r < 0) {
		m->lacks = true;
		return tell_why(m, r, it->e.path, err);
	}
	struct ay__local_entry local;
	uint8_t v[AY__VARIANT_LEN];
	ay__entry_localise(m->b.s, &it->e, &local);
	r = ay__object_variant(&local.e, v);
	if (r == 0)
		r = ay__base_index_add(&m->staged, &it->e.digest, v);
	if (r < 0)
		return ay_err_errno(err, -r, "%s", it->e.path);
	if (!it->job.same_meta)
		tell(m, AY_ADOPT_METADATA, it->e.path);
	return 0;
}

/* Verdicts on the oldest, until no more than @keep are under way. */
static int drain(struct ay__match *m, unsigned keep, struct ay_err *err)
{
	while (m->first) {
		struct ay__match_item *it = m->first;
		if (!ay__hash_pool_done(m->in.pool, &it->job.h, m->in_flight > keep))
			return 0;
		int r = judge(m, it, err);
		m->first = it->next;
		if (!m->first)
			m->last = &m->first;
		m->in_flight--;
		free(it);
		if (r < 0)
			return r;
	}
	return 0;
}

static int match_file(struct ay__match *m, const struct ay_entry *e, struct ay_err *err)
{
	struct ay__match_item *it = item_new(e);
	int r = it ? prepare(m, it) : -ENOMEM;

	m->done += e->size;
	if (it && r < 0) {
		it->job.h.rc = r;
		r = judge(m, it, err);
		free(it);
		return r;
	}
	if (!it)
		return ay_err_errno(err, ENOMEM, "%s", e->path);
	*m->last = it;
	m->last = &it->next;
	m->in_flight++;
	ay__intake_give(&it->job);
	return 0;
}

static int check_entry(struct ay__match *m, const struct ay_entry *e, struct ay_err *err)
{
	return ay__build_check_entry(&m->b, e, err);
}

static bool same_type(const struct ay_entry *e, mode_t mode)
{
	return (e->type == AY_ENTRY_DIR && S_ISDIR(mode)) || (e->type == AY_ENTRY_SYMLINK && S_ISLNK(mode)) ||
	       (e->type == AY_ENTRY_CHAR && S_ISCHR(mode)) || (e->type == AY_ENTRY_BLOCK && S_ISBLK(mode)) ||
	       (e->type == AY_ENTRY_FIFO && S_ISFIFO(mode));
}

/* 1, 0, or why that cannot be known. */
static int same_meta(const struct ay__match *m, const struct ay_entry *e, int dir, const char *name,
		     const struct stat *st)
{
	AY_FREE struct ay_xattr *xattrs = NULL;
	struct ay__local_entry local;
	struct stat as_file = *st;
	size_t n = 0;

	ay__entry_localise(m->b.s, e, &local);
	int r = ay__xattrs_read(-1, dir, name, m->b.s->owner_me ? AY__XATTR_NO_LABELS : 0, &xattrs, &n, NULL);
	if (r < 0)
		return r == AY_ELIMIT || r == AY_EBUSY ? 0 : r;
	/* The same rules as for files, of which an entry of another type has no size. */
	as_file.st_mode = S_IFREG | (st->st_mode & 07777);
	as_file.st_size = (off_t)e->size;
	if (e->type == AY_ENTRY_SYMLINK)
		as_file.st_mode = S_IFREG | local.e.mode;
	return ay__intake_same_meta(m->b.s, &as_file, xattrs, n, e);
}

/* Does it lead where @e says, or is the device it? 1, 0, or why that cannot be known. */
static int same_target(const struct ay_entry *e, int dir, const char *name, const struct stat *st)
{
	char target[4096];

	if (e->type == AY_ENTRY_CHAR || e->type == AY_ENTRY_BLOCK)
		return st->st_rdev == makedev(e->dev_major, e->dev_minor);
	if (e->type != AY_ENTRY_SYMLINK)
		return 1;
	ssize_t n = readlinkat(dir, name, target, sizeof(target));
	if (n < 0)
		return errno == EINVAL ? 0 : -errno; /* no link any more */
	return n == (ssize_t)e->target_len && memcmp(target, e->target, (size_t)n) == 0;
}

/* Entries without content are only compared: the tree gets its own. */
static int match_other(struct ay__match *m, const struct ay_entry *e, struct ay_err *err)
{
	const char *name;
	struct stat st;
	int dir;

	if (!ay__entry_kept(m->b.s, e))
		return 0;
	int r = ay__look(&m->look, e->path, e->path_len, &dir, &name, &st);
	if (r == 0 && !same_type(e, st.st_mode))
		r = -ENOENT;
	if (r == 0 && (r = same_target(e, dir, name, &st)) == 0)
		r = AY_EDIGEST;
	if (r > 0 && (r = same_meta(m, e, dir, name, &st)) == 0)
		tell(m, AY_ADOPT_METADATA, e->path);
	return r < 0 ? tell_why(m, r, e->path, err) : 0;
}

static int match_entry(struct ay__match *m, const struct ay_entry *e, struct ay_err *err)
{
	int r;

	if ((r = remember_path(m, e)) < 0)
		return ay_err_errno(err, -r, "%s", e->path);
	if (e->type != AY_ENTRY_FILE)
		return match_other(m, e, err);
	if ((r = match_file(m, e, err)) < 0 || (r = drain(m, IN_FLIGHT_MAX, err)) < 0)
		return r;
	if (m->a->progress && (r = m->a->progress(m->a->ctx, m->done, m->b.release.unpacked_size)) != 0)
		return ay_err_set(err, r < 0 ? r : -ECANCELED, "stopped");
	return 0;
}

/* ---- the second walk ---- */

/* raw/DIGEST as an object: the very inode for the first of its variants. */
static int stage_raw(struct ay__match *m, const struct ay_entry *e, const struct ay__object_name *name,
		     const char *hex, int fd, struct ay_err *err)
{
	struct ay__local_entry local;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return ay_err_errno(err, errno, "%s", e->path);
	if (st.st_nlink > 1)
		return ay__intake_stage(&m->in, e, fd, err);
	ay__entry_localise(m->b.s, e, &local);
	int r = ay__meta_set(m->b.s, fd, &local.e, err);
	if (r == 0 && (r = ay__intake_link(&m->in, m->b.raw, hex, name)) < 0)
		r = ay_err_errno(err, -r, "%s: cannot stage its object", e->path);
	return r;
}

static int stage_rest(struct ay__match *m, const struct ay_entry *e, struct ay_err *err)
{
	struct ay__object_name name;
	char hex[AY_DIGEST_HEX + 1];

	if (e->type != AY_ENTRY_FILE)
		return 0;
	int r = ay__object_name_of(m->b.s, e, &name);
	if (r < 0)
		return ay_err_errno(err, -r, "%s", e->path);
	if ((r = ay__intake_has(&m->in, &name)) != 0)
		return r > 0 ? 0 : ay_err_errno(err, -r, "%s: its staged object", e->path);
	ay_digest_hex(&e->digest, hex);
	AY_CLOSE int fd = ay__open_beneath(m->b.raw, hex, O_RDONLY);
	if (fd < 0 && !ay__not_there(fd))
		return ay_err_errno(err, -fd, "%s: its content in %s/tmp", e->path, m->b.s->path);
	if (fd >= 0)
		return stage_raw(m, e, &name, hex, fd, err);
	fd = ay__base_index_open_in(&m->staged, m->b.buckets, &e->digest);
	if (fd < 0)
		return ay_err_errno(err, -fd, "%s: its content was found and is gone", e->path);
	return ay__intake_stage(&m->in, e, fd, err);
}

/* ---- the whole ---- */

static int match(struct ay__match *m, int manifest_fd, struct ay_err *err)
{
	int r = keep_manifest(m, manifest_fd, err);

	if (r == 0 && (r = ay__match_each(m, check_entry, err)) == 0)
		ay__build_tell_losses(&m->b);
	if (r == 0)
		r = ay__match_each(m, match_entry, err);
	if (r == 0)
		r = drain(m, 0, err);
	ay__base_index_sort(&m->staged);
	if (r == 0 && m->lacks)
		r = ay__match_list(m, err);
	if (r == 0)
		r = ay__match_besides(m, err);
	if (r == 0)
		r = ay__match_fetch(m, err);
	if (r == 0 && m->lacks)
		r = ay__match_each(m, stage_rest, err);
	if (r == 0)
		r = ay__intake_finish(&m->in, err);
	if (r == 0)
		r = ay__build_commit(&m->b, err);
	return r;
}

int ay_store_adopt_match(struct ay_store *s, const struct ay_adopt *a, const void *release,
			 size_t release_len, int manifest_fd, struct ay_adopted *out, struct ay_err *err)
{
	AY_FREE struct ay__match *m = calloc(1, sizeof(*m));

	*out = (struct ay_adopted){0};
	if (!m)
		return ay_err_errno(err, ENOMEM, "adopt %s", a->dir);
	m->a = a;
	m->out = out;
	m->look = (struct ay__looker){.root = a->dirfd, .dir = -1};
	m->last = &m->first;
	int r = ay__adopt_check_place(s, a, true, err);
	if (r < 0)
		return r;
	r = ay__build_begin(&m->b, s, a->branch, release, release_len, err);
	if (r == 0)
		r = ay__intake_begin(&m->in, &m->b, a->read_only_source, a->threads, err);
	if (r == 0)
		r = match(m, manifest_fd, err);
	ay__intake_end(&m->in);
	const struct ay_adopted was = *out;
	ay__adopt_counts(&m->in, out);
	out->reflinked.files += was.reflinked.files, out->reflinked.bytes += was.reflinked.bytes;
	out->copied.files += was.copied.files, out->copied.bytes += was.copied.bytes;
	out->entries = m->b.release.entries;
	out->bytes = m->b.release.unpacked_size;
	while (m->first) {
		struct ay__match_item *it = m->first;
		m->first = it->next;
		free(it);
	}
	ay__base_index_release(&m->staged);
	ay__looker_release(&m->look);
	free(m->paths);
	free(m->wanted);
	ay__build_end(&m->b);
	if (r < 0 && r != AY_ENOTHING)
		return ay_err_wrap(err, r, "adopt %s", a->dir);
	return r;
}
