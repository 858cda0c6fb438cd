/* SPDX-License-Identifier: MIT */
/*
 * Taking files in. Each is read exactly once: what is hashed is what was written, so that an object is what its
 * name says whatever happens to the source meanwhile; stat(2) before and after tells whether the entry in the manifest
 * is still true of it.
 *
 * Where the inode itself becomes the object (the source is read-only from now on), that is not enough: a program
 * that holds a shared mapping may write without any trace in ctime. So a read lease is taken, which the
 * kernel gives only when nobody has the file open or mapped for writing; who cannot have one (other
 * owners' files, file systems without leases) gets a copy.
 */
#include "store/intake.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "store/lease.h"
#include "store/linked.h"
#include "store/xattr.h"

int ay__intake_begin(struct ay__intake *in, struct ay__build *b, bool link, unsigned threads,
		     struct ay_err *err)
{
	memset(in, 0, sizeof(*in));
	in->b = b;
	in->link = link;
	b->borrowed = link;
	pthread_mutex_init(&in->lock, NULL);
	b->buckets = ay__make_dir(b->s->fs, b->st.dir, "buckets", 0700, NULL);
	if (b->buckets < 0)
		return ay_err_errno(err, -b->buckets, "cannot make %s/tmp/%s/buckets", b->s->path,
				    b->st.name);
	if (link) {
		in->linked = calloc(1, sizeof(*in->linked));
		if (!in->linked)
			return ay_err_errno(err, ENOMEM, "take files in");
		in->linked->fs = b->s->fs;
		in->linked->fd = b->s->fs->ops->open(b->s->fs, b->tree, AY__LINKED_FILE,
						     O_RDWR | O_CREAT | O_EXCL, 0644);
		if (in->linked->fd < 0)
			return ay_err_errno(err, -in->linked->fd, "cannot make a file in %s/tmp", b->s->path);
	}
	/* One thread is none: then everything happens in one order, which tests like. */
	in->pool = ay__hash_pool_new(threads == 1 ? AY__HASH_INLINE : threads);
	return in->pool ? 0 : ay_err_errno(err, ENOMEM, "take files in");
}

int ay__intake_finish(struct ay__intake *in, struct ay_err *err)
{
	if (!in->linked)
		return 0;
	int r = ay__fd_flush(in->linked);
	return r < 0 ? ay_err_errno(err, -r, "cannot write which files were linked") : 0;
}

void ay__intake_end(struct ay__intake *in)
{
	ay__hash_pool_free(in->pool);
	in->pool = NULL;
	if (in->linked && in->linked->fd >= 0)
		close(in->linked->fd);
	free(in->linked);
	in->linked = NULL;
	pthread_mutex_destroy(&in->lock);
}

void ay__intake_give(struct ay__intake_job *job)
{
	job->h.work = ay__intake_work;
	ay__hash_pool_give(job->in->pool, &job->h);
}

/* The store's fault, not the source's: whoever waits stops with this sentence. */
static int broke(struct ay__intake *in, int code, const struct ay_err *why)
{
	pthread_mutex_lock(&in->lock);
	if (in->err.code == 0) {
		in->err = *why;
		in->err.code = code;
	}
	pthread_mutex_unlock(&in->lock);
	return code;
}

static int count(struct ay__intake_job *job, enum ay__intake_how how)
{
	struct ay__intake *in = job->in;

	job->how = how;
	pthread_mutex_lock(&in->lock);
	in->files[how]++;
	in->bytes[how] += job->e->size;
	pthread_mutex_unlock(&in->lock);
	return 0;
}

/* ---- metadata ---- */

static bool same_xattrs(const struct ay_xattr *a, size_t n, const struct ay_entry *e)
{
	if (n != e->n_xattrs)
		return false;
	for (size_t i = 0; i < n; i++) {
		const struct ay_xattr *b = &e->xattrs[i];
		if (strcmp(a[i].name, b->name) != 0 || a[i].value_len != b->value_len ||
		    (b->value_len > 0 && memcmp(a[i].value, b->value, b->value_len) != 0))
			return false;
	}
	return true;
}

bool ay__intake_same_meta(const struct ay_store *s, const struct stat *st, const struct ay_xattr *xattrs,
			  size_t n_xattrs, const struct ay_entry *e)
{
	struct ay__local_entry local;

	ay__entry_localise(s, e, &local);
	if (!ay__object_intact(s, st, &local.e) || !same_xattrs(xattrs, n_xattrs, &local.e))
		return false;
	/*
	 * In a store where all files belong to one user, another's file could be written by that other. And to put one
	 * under fs-verity that he may not write to himself takes a chmod, which a source's inode does not get.
	 */
	return !s->owner_me ||
	       (st->st_uid == geteuid() && (s->verity != AY_VERITY_YES || (st->st_mode & 0200)));
}

/* ---- buckets ---- */

int ay__intake_has(const struct ay__intake *in, const struct ay__object_name *name)
{
	return ay__there(in->b->buckets, name->s);
}

static int make_bucket(struct ay__intake *in, const struct ay__object_name *name)
{
	char bucket[3] = {name->s[0], name->s[1], '\0'};
	int fd = ay__make_dir(in->b->s->fs, in->b->buckets, bucket, 0700, NULL);

	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

int ay__intake_link(struct ay__intake *in, int dirfd, const char *from, const struct ay__object_name *name)
{
	struct ay_fs *fs = in->b->s->fs;
	int r = fs->ops->link(fs, dirfd, from, in->b->buckets, name->s);

	if (r == -ENOENT && (r = make_bucket(in, name)) == 0)
		r = fs->ops->link(fs, dirfd, from, in->b->buckets, name->s);
	return r;
}

/* The object is in the store, from an earlier tree: link that one, where the collector sees the second link. */
static bool link_present(struct ay__intake *in, const struct ay_entry *e, const struct ay__object_name *name)
{
	struct ay_store *s = in->b->s;
	struct ay__local_entry local;
	struct stat st;

	ay__entry_localise(s, e, &local);
	if (fstatat(s->objects, name->s, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
	    !ay__object_intact(s, &st, &local.e))
		return false;
	int r = ay__intake_link(in, s->objects, name->s, name);
	return r == 0 || r == -EEXIST;
}

static int name_of(struct ay__intake *in, const struct ay_entry *e, const struct ay_digest *digest,
		   struct ay__object_name *name)
{
	struct ay_entry own = *e;

	own.digest = *digest;
	return ay__object_name_of(in->b->s, &own, name);
}

/* ---- linking ---- */

/* 0: nobody has it open or mapped for writing; 1: somebody has; -errno: that cannot be known here. */
static int has_writers(int fd)
{
	int r = ay__lease_take(fd);

	if (r == 0)
		ay__lease_drop(fd);
	return r;
}

/* The inode has its name in a bucket: write down how many it has now. */
static int note_linked(struct ay__intake_job *job, const struct ay__object_name *name)
{
	struct ay__intake *in = job->in;
	char line[AY__OBJECT_NAME_MAX + 64];
	struct stat st;

	if (fstat(job->h.fd, &st) < 0)
		return -errno;
	job->h.before.st_ctim = st.st_ctim; /* for who finds it under another name */
	int n = snprintf(line, sizeof(line), "%llu %llu %s\n", (unsigned long long)st.st_nlink,
			 (unsigned long long)st.st_ino, name->s);
	pthread_mutex_lock(&in->lock);
	int r = ay__fd_write(in->linked, line, (size_t)n);
	pthread_mutex_unlock(&in->lock);
	return r;
}

/* 1: it must be copied. */
static int link_file(struct ay__intake_job *job, struct ay__hash_tools *tools)
{
	struct ay__intake *in = job->in;
	struct ay__object_name name;
	struct ay_err why = {0};

	int r = has_writers(job->h.fd);
	if (r == 1) {
		pthread_mutex_lock(&in->lock);
		in->writers++;
		pthread_mutex_unlock(&in->lock);
	}
	if (r != 0)
		return 1;
	if ((r = ay__hash_job_read(&job->h, tools)) < 0)
		return r;
	if (job->expect && !ay_digest_eq(&job->h.digest, &job->e->digest))
		return AY_EDIGEST;
	if ((r = name_of(in, job->e, &job->h.digest, &name)) < 0)
		return broke(in, r, (ay_err_errno(&why, -r, "%s", job->e->path), &why));
	if (link_present(in, job->e, &name))
		return count(job, AY__INTAKE_PRESENT);
	/* The very inode that was read, whatever its name leads to by now. */
	r = ay__intake_link(in, job->h.fd, "", &name);
	if (r == 0)
		r = note_linked(job, &name);
	switch (r) {
	case 0:
		return count(job, AY__INTAKE_LINKED);
	case -EEXIST:
		return count(job, AY__INTAKE_PRESENT);
	case -EXDEV:      /* another file system */
	case -EMLINK:     /* it has as many names as it may */
	case -EPERM:      /* immutable; or somebody else's, and the machine protects those */
	case -EACCES:     /* likewise */
	case -ENOENT:     /* deleted meanwhile: its last name is gone */
	case -EOPNOTSUPP: /* no hard links here */
		return 1;
	default:
		return broke(in, r, (ay_err_errno(&why, -r, "%s: cannot link it", job->e->path), &why));
	}
}

/* ---- copying ---- */

/* Into the open file @to, which gets the object's metadata. */
static int fill(struct ay__intake_job *job, int to, bool *reflinked, struct ay_err *why)
{
	struct ay__intake *in = job->in;
	struct ay_store *s = in->b->s;
	struct ay__local_entry local;
	struct stat after;

	int r = ay__copy_file_digest(s, job->h.fd, to, (uint64_t)job->h.before.st_size, &job->h.digest,
				     reflinked, why);
	if (r == AY_EDIGEST)
		return AY_EBUSY; /* longer or shorter than a moment ago */
	if (r < 0)
		return r;
	if (fstat(job->h.fd, &after) < 0)
		return ay_err_errno(why, errno, "stat");
	if (!ay__stat_same(&job->h.before, &after))
		return AY_EBUSY;
	if (job->expect && !ay_digest_eq(&job->h.digest, &job->e->digest))
		return AY_EDIGEST;
	ay__entry_localise(s, job->e, &local);
	return ay__meta_set(s, to, &local.e, why);
}

/* The temporary file @tmp in raw/ gets its name; an equal one may be there already. */
static int place(struct ay__intake_job *job, const char *tmp, bool reflinked, struct ay_err *why)
{
	struct ay__intake *in = job->in;
	struct ay_fs *fs = in->b->s->fs;
	struct ay__object_name name;

	int r = name_of(in, job->e, &job->h.digest, &name);
	if (r < 0)
		return ay_err_errno(why, -r, "%s", job->e->path);
	r = fs->ops->rename(fs, in->b->raw, tmp, in->b->buckets, name.s, true);
	if (r == -ENOENT && (r = make_bucket(in, &name)) == 0)
		r = fs->ops->rename(fs, in->b->raw, tmp, in->b->buckets, name.s, true);
	if (r == 0)
		return count(job, reflinked ? AY__INTAKE_REFLINKED : AY__INTAKE_COPIED);
	if (r != -EEXIST)
		return ay_err_errno(why, -r, "%s: cannot stage its object", job->e->path);
	if ((r = fs->ops->unlink(fs, in->b->raw, tmp, 0)) < 0)
		return ay_err_errno(why, -r, "%s: cannot remove a second copy", job->e->path);
	return count(job, AY__INTAKE_PRESENT);
}

/* Which failures are the source's, to be judged by whoever gave it. Of the others reading it alone tells whose they are. */
static int blame(struct ay__intake_job *job, struct ay__hash_tools *tools, int r, struct ay_err *why)
{
	if (r == AY_EBUSY || r == AY_EDIGEST)
		return r;
	int q = ay__hash_job_read(&job->h, tools);
	if (q < 0)
		return q;
	ay_err_wrap(why, r, "%s", job->e->path);
	return broke(job->in, r, why);
}

static int copy_file(struct ay__intake_job *job, struct ay__hash_tools *tools)
{
	struct ay__intake *in = job->in;
	struct ay_store *s = in->b->s;
	struct ay_fs *fs = s->fs;
	struct ay_err why = {0};
	char tmp[32];
	bool reflinked = false;

	ay__hash_job_wait(&job->h);
	snprintf(tmp, sizeof(tmp), ".%u", atomic_fetch_add(&in->next, 1));
	/* Room is asked for file by file: what is reflinked, or here already, needs none. */
	int r = atomic_load(&in->no_reflink)
			? ay__store_reserve(s, (uint64_t)job->h.before.st_blocks * 512, 1, &why)
			: 0;
	if (r < 0)
		return broke(in, r, &why);
	AY_CLOSE int to = fs->ops->open(fs, in->b->raw, tmp, O_RDWR | O_CREAT | O_EXCL, 0600);
	if (to < 0)
		return broke(in, to,
			     (ay_err_errno(&why, -to, "cannot make a file in %s/tmp", s->path), &why));
	r = fill(job, to, &reflinked, &why);
	if (!reflinked)
		atomic_store(&in->no_reflink, true);
	if (r == 0)
		r = place(job, tmp, reflinked, &why);
	if (r < 0)
		fs->ops->unlink(fs, in->b->raw, tmp, 0);
	return r == 0 ? 0 : blame(job, tools, r, &why);
}

/* Is the object in the store, or staged? 1, 0, or what broke the whole. */
static int is_here(struct ay__intake_job *job, const struct ay__object_name *name)
{
	struct ay__intake *in = job->in;
	struct ay_err why = {0};
	int r = ay__there(in->b->s->objects, name->s);

	if (r == 0)
		r = ay__intake_has(in, name);
	return r >= 0 ? r : broke(in, r, (ay_err_errno(&why, -r, "object %s", name->s), &why));
}

/* What is expected, and here already, is read and found right, but not copied. 1: it is not here. */
static int use_present(struct ay__intake_job *job, struct ay__hash_tools *tools)
{
	struct ay__intake *in = job->in;
	struct ay__object_name name;

	if (!job->expect || ay__object_name_of(in->b->s, job->e, &name) < 0)
		return 1;
	int r = is_here(job, &name);
	if (r <= 0)
		return r < 0 ? r : 1;
	if ((r = ay__hash_job_read(&job->h, tools)) < 0)
		return r;
	if (!ay_digest_eq(&job->h.digest, &job->e->digest))
		return AY_EDIGEST;
	if (ay__intake_has(in, &name) > 0 || link_present(in, job->e, &name))
		return count(job, AY__INTAKE_PRESENT);
	return 1;
}

int ay__intake_work(struct ay__hash_job *h, struct ay__hash_tools *tools)
{
	struct ay__intake_job *job = (struct ay__intake_job *)(void *)h;

	job->how = AY__INTAKE_NOT;
	int r = use_present(job, tools);
	if (r == 1 && job->in->link && job->same_meta)
		r = link_file(job, tools);
	return r == 1 ? copy_file(job, tools) : r;
}

/* ---- contents from elsewhere ---- */

int ay__intake_stage(struct ay__intake *in, const struct ay_entry *e, int fd, struct ay_err *err)
{
	struct stat st;
	int dup = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	if (dup < 0 || fstat(dup, &st) < 0) {
		int saved = errno;
		if (dup >= 0)
			close(dup);
		return ay_err_errno(err, saved, "%s", e->path);
	}
	struct ay__intake_job job = {.h = {.fd = dup, .before = st}, .in = in, .e = e, .expect = true};
	ay__intake_give(&job);
	ay__hash_pool_done(in->pool, &job.h, true);
	if (job.h.rc == AY_EDIGEST || job.h.rc == AY_EBUSY)
		return ay_err_set(err, job.h.rc, "%s: its content changed while it was staged", e->path);
	if (job.h.rc < 0) {
		if (err)
			*err = in->err;
		return in->err.code ? job.h.rc : ay_err_errno(err, -job.h.rc, "%s", e->path);
	}
	return 0;
}
