/* SPDX-License-Identifier: MIT */
/*
 * The walk over a tree, in the manifest's order.
 *
 * One thread walks and writes, others hash (store/hash_pool.h). Entries stand in
 * a queue in the order of the walk; the oldest leaves it when its digest is
 * there. The queue is bounded, so a tree of a million entries needs the memory of
 * a few thousand, plus the names of the open directories and, for files with
 * several names, one record per inode so that each is read once.
 *
 * Everything is opened relative to a held directory fd and without following
 * links. Directories deeper than OPEN_DIRS_MAX give their fd back while something
 * below them is walked, and are found again from the root and compared.
 *
 * The next step is manifest/manifest_writer.c, which checks the order once more.
 */
#include "store/scan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "store/file.h"
#include "store/hash_pool.h"
#include "store/xattr.h"

#define OPEN_DIRS_MAX   64
#define QUEUE_ITEMS_MAX 4096 /* enough that all cores have work while one hashes a large file */
#define QUEUE_BYTES_MAX (16u * 1024 * 1024) /* of paths and xattrs in it */
#define NAMES_MAX       (1u << 30)          /* bytes of names in one directory; a name is at least 2 */

/* An entry on its way to the manifest. */
struct item {
	struct item *next;
	struct ay_entry e;
	struct ay__hash_job *job; /* files */
	bool own_job;             /* else it is in the table of inodes with several names */
	size_t mem;
	char text[]; /* path, NUL, target, NUL */
};

/* An open directory. */
struct dir {
	struct dir *up;
	int fd; /* -1: given back */
	unsigned depth;
	size_t path_len; /* 0 for the root, so that path_len + "/" + name is a child's path */
	struct stat st;
	struct ay_buf names; /* each with its NUL */
	uint32_t *order;     /* offsets into names */
	size_t n, next;
};

/* Inodes with several names: an open-addressed table, keyed by device and number. */
struct links {
	struct ay__hash_job **slots;
	size_t cap, used;
};

struct scan {
	const char *name;
	struct ay_scan_options opts;
	struct ay_scan_totals *totals;
	struct ay_err *err;
	struct ay_manifest_writer *writer;
	struct ay__hash_pool *pool;
	struct links links;
	struct dir *dir;
	int root_fd;
	struct item *first, **last;
	size_t queued, queued_bytes;
	char path[AY_PATH_MAX + 2 + AY_NAME_LEN_MAX];
	char target[AY_PATH_MAX + 2];
};

/* "scan NAME: PATH: sentence", the path percent-encoded so that a message is one clean line. */
static int fail(struct scan *s, int code, const char *path, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
static int fail(struct scan *s, int code, const char *path, const char *fmt, ...)
{
	char sentence[256];
	struct ay_buf shown = {0};
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(sentence, sizeof(sentence), fmt, ap);
	va_end(ap);
	ay_percent_put(&shown, path, strlen(path));
	const char *text = ay_buf_cstr(&shown);
	if (code <= -5000)
		ay_err_set(s->err, code, "%s", sentence);
	else
		ay_err_errno(s->err, -code, "%s", sentence);
	ay_err_wrap(s->err, code, "scan %s: %s", s->name, text ? text : "?");
	ay_buf_release(&shown);
	return code;
}

static int fail_changed(struct scan *s, const char *path)
{
	return fail(s, AY_EBUSY, path, "it changed while it was scanned; scan a tree that nobody writes to");
}

/* ---- inodes with several names ---- */

static size_t link_slot(const struct links *l, dev_t dev, ino_t ino)
{
	uint64_t h = ((uint64_t)ino ^ (uint64_t)dev << 32) * 0x9E3779B97F4A7C15u; /* Fibonacci hashing */
	size_t i = (size_t)(h >> 20) & (l->cap - 1);
	while (l->slots[i] && (l->slots[i]->before.st_ino != ino || l->slots[i]->before.st_dev != dev))
		i = (i + 1) & (l->cap - 1);
	return i;
}

static struct ay__hash_job *links_find(const struct links *l, const struct stat *st)
{
	return l->cap ? l->slots[link_slot(l, st->st_dev, st->st_ino)] : NULL;
}

static int links_add(struct links *l, struct ay__hash_job *job)
{
	if (2 * (l->used + 1) > l->cap) {
		struct links grown = {.cap = l->cap ? 2 * l->cap : 256, .used = l->used};
		grown.slots = calloc(grown.cap, sizeof(struct ay__hash_job *));
		if (!grown.slots)
			return -ENOMEM;
		for (size_t i = 0; i < l->cap; i++) {
			struct ay__hash_job *j = l->slots[i];
			if (j)
				grown.slots[link_slot(&grown, j->before.st_dev, j->before.st_ino)] = j;
		}
		free(l->slots);
		*l = grown;
	}
	l->slots[link_slot(l, job->before.st_dev, job->before.st_ino)] = job;
	l->used++;
	return 0;
}

static void links_release(struct links *l)
{
	for (size_t i = 0; i < l->cap; i++)
		free(l->slots[i]);
	free(l->slots);
}

/* ---- the queue ---- */

static void item_free(struct item *it)
{
	if (it->own_job)
		free(it->job);
	free(it->e.xattrs);
	free(it);
}

static int emit(struct scan *s, struct item *it)
{
	if (it->job) {
		if (it->job->rc == AY_EBUSY)
			return fail_changed(s, it->e.path);
		if (it->job->rc < 0)
			return fail(s, it->job->rc, it->e.path, "cannot read it");
		it->e.digest = it->job->digest;
		int added = s->opts.seen ? ay_scan_cache_add(s->opts.seen, &it->job->before, &it->job->digest)
					 : 0;
		if (added < 0)
			return fail(s, added, it->e.path, "cannot remember its digest");
	}
	int rc = s->opts.hook ? s->opts.hook->entry(s->opts.hook->ctx, &it->e, s->err) : 0;
	if (rc == 0)
		rc = ay_manifest_add(s->writer, &it->e, s->err);
	if (rc < 0)
		return ay_err_wrap(s->err, rc, "scan %s", s->name);
	s->totals->entries++;
	if (it->e.type == AY_ENTRY_FILE) {
		s->totals->files++;
		s->totals->bytes += it->e.size;
	}
	return 0;
}

/* Write the oldest entries: those that are ready, and more until the queue is within @items and @bytes. */
static int drain(struct scan *s, size_t items, size_t bytes)
{
	while (s->first) {
		struct item *it = s->first;
		bool must = s->queued > items || s->queued_bytes > bytes;
		if (it->job && !ay__hash_pool_done(s->pool, it->job, must))
			return 0;
		int rc = emit(s, it);
		s->first = it->next;
		if (!s->first)
			s->last = &s->first;
		s->queued--;
		s->queued_bytes -= it->mem;
		item_free(it);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* A queued item of @st at s->path; its xattrs and job come later. */
static struct item *item_new(struct scan *s, enum ay_entry_type type, const struct stat *st,
			     const char *target, size_t target_len)
{
	size_t path_len = strlen(s->path), size = sizeof(struct item) + path_len + target_len + 2;
	struct item *it = malloc(size);
	if (!it)
		return NULL;
	*it = (struct item){
		.mem = size,
		.e = {.type = type,
		      .mode = st->st_mode & 07777,
		      .uid = s->opts.owner_root ? 0 : st->st_uid,
		      .gid = s->opts.owner_root ? 0 : st->st_gid,
		      .mtime_s = st->st_mtim.tv_sec,
		      .mtime_ns = (uint32_t)st->st_mtim.tv_nsec},
	};
	if (type == AY_ENTRY_FILE)
		it->e.size = (uint64_t)st->st_size;
	if (type == AY_ENTRY_CHAR || type == AY_ENTRY_BLOCK) {
		it->e.dev_major = major(st->st_rdev);
		it->e.dev_minor = minor(st->st_rdev);
	}
	it->e.path = memcpy(it->text, s->path, path_len + 1);
	it->e.path_len = path_len;
	if (type == AY_ENTRY_SYMLINK) {
		it->e.target = memcpy(it->text + path_len + 1, target, target_len + 1);
		it->e.target_len = target_len;
	}
	*s->last = it;
	s->last = &it->next;
	s->queued++;
	s->queued_bytes += size;
	return it;
}

static int add_xattrs(struct scan *s, struct item *it, int fd, int dirfd, const char *name)
{
	size_t mem;
	int rc = ay__xattrs_read(fd, dirfd, name, s->opts.owner_root ? AY__XATTR_NO_LABELS : 0, &it->e.xattrs,
				 &it->e.n_xattrs, &mem);
	if (rc == AY_EBUSY)
		return fail_changed(s, it->e.path);
	if (rc == AY_ELIMIT)
		return fail(s, rc, it->e.path, "more than %d extended attributes or %d bytes of them",
			    AY_XATTR_COUNT_MAX, AY_XATTRS_MAX);
	if (rc < 0)
		return fail(s, rc, it->e.path, "cannot read its extended attributes%s",
			    fd < 0 && access("/proc/self/fd", X_OK) < 0 ? " (no /proc here)" : "");
	it->mem += mem;
	s->queued_bytes += mem;
	return 0;
}

/* ---- directories ---- */

static struct dir *dir_free(struct dir *d)
{
	struct dir *up = d->up;
	if (d->fd >= 0)
		close(d->fd);
	ay_buf_release(&d->names);
	free(d->order);
	free(d);
	return up;
}

static int cmp_names(const void *a, const void *b, void *names)
{
	const char *base = names;
	return strcmp(base + *(const uint32_t *)a, base + *(const uint32_t *)b);
}

/* All names in @d, in the manifest's order: among siblings that is the order of strcmp(). */
static int read_names(struct dir *d)
{
	int fd = fcntl(d->fd, F_DUPFD_CLOEXEC, 0);
	AY_CLOSEDIR DIR *stream = fd < 0 ? NULL : fdopendir(fd);
	size_t cap = 0;

	if (!stream) {
		int rc = -errno;
		if (fd >= 0)
			close(fd);
		return rc;
	}
	ay_buf_init(&d->names, NAMES_MAX);
	for (;;) {
		errno = 0;
		struct dirent *ent = readdir(stream);
		if (!ent && errno)
			return -errno;
		if (!ent)
			break;
		if (strcmp(ent->d_name, ".") == 0 || strcmp(ent->d_name, "..") == 0)
			continue;
		if (d->n == cap) {
			cap = cap ? 2 * cap : 64;
			uint32_t *order = reallocarray(d->order, cap, sizeof(*order));
			if (!order)
				return -ENOMEM;
			d->order = order;
		}
		d->order[d->n++] = (uint32_t)d->names.len;
		ay_put_bytes(&d->names, ent->d_name, strlen(ent->d_name) + 1);
		if (d->names.failed)
			return ay_buf_status(&d->names);
	}
	if (d->n > 0)
		qsort_r(d->order, d->n, sizeof(*d->order), cmp_names, d->names.data);
	return 0;
}

/* Enter the directory @fd (taken over), whose path is s->path. @empty: leave out what is in it. */
static int enter(struct scan *s, int fd, const struct stat *st, bool empty)
{
	struct dir *d = calloc(1, sizeof(*d));
	if (!d) {
		close(fd);
		return fail(s, -ENOMEM, s->path, "cannot scan it");
	}
	*d = (struct dir){.up = s->dir, .fd = fd, .st = *st, .depth = s->dir ? s->dir->depth + 1 : 0};
	d->path_len = s->dir ? strlen(s->path) : 0;
	s->dir = d;
	if (d->up && d->up->depth >= OPEN_DIRS_MAX) {
		close(d->up->fd);
		d->up->fd = -1;
	}
	struct item *it = item_new(s, AY_ENTRY_DIR, st, NULL, 0);
	if (!it)
		return fail(s, -ENOMEM, s->path, "cannot scan it");
	int rc = add_xattrs(s, it, fd, -1, NULL);
	if (rc < 0)
		return rc;
	rc = empty ? 0 : read_names(d);
	return rc < 0 ? fail(s, rc, s->path, "cannot list it") : 0;
}

/* Find a directory again whose fd was given back; s->path is its path. */
static int reopen(struct scan *s, struct dir *d)
{
	struct stat st;

	int fd = ay__open_beneath(s->root_fd, s->path + 1, O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return fd == -ENOENT || fd == -ELOOP || fd == -ENOTDIR
			       ? fail_changed(s, s->path)
			       : fail(s, fd, s->path, "cannot open it again");
	d->fd = fd;
	if (fstat(d->fd, &st) < 0)
		return fail(s, -errno, s->path, "cannot stat it");
	return ay__stat_same(&d->st, &st) ? 0 : fail_changed(s, s->path);
}

/* All of s->dir is done: it must still be as it was when its names were read. */
static int leave(struct scan *s)
{
	struct dir *d = s->dir;
	struct stat st;

	s->path[d->path_len] = '\0';
	if (fstat(d->fd, &st) < 0)
		return fail(s, -errno, d->path_len ? s->path : "/", "cannot stat it");
	if (!ay__stat_same(&d->st, &st))
		return fail_changed(s, d->path_len ? s->path : "/");
	s->dir = dir_free(d);
	if (!s->dir || s->dir->fd >= 0)
		return 0;
	s->path[s->dir->path_len] = '\0';
	return reopen(s, s->dir);
}

/* ---- entries ---- */

/* Open @name, which @st describes, without following a link or waiting for a fifo put in its place. */
static int open_same(struct scan *s, const char *name, const struct stat *st, int flags, int *out)
{
	struct stat now;
	AY_CLOSE int fd =
		openat(s->dir->fd, name, flags | O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT || errno == ELOOP || errno == ENOTDIR
			       ? fail_changed(s, s->path)
			       : fail(s, -errno, s->path, "cannot open it");
	if (fstat(fd, &now) < 0)
		return fail(s, -errno, s->path, "cannot stat it");
	if (!ay__stat_same(st, &now))
		return fail_changed(s, s->path);
	*out = ay_steal_fd(&fd);
	return 0;
}

/* A job for @it; done already when an earlier scan knew the file. On failure ay_scan() frees what there is. */
static struct ay__hash_job *job_new(struct scan *s, struct item *it, const struct stat *st)
{
	const struct ay_digest *known = s->opts.known ? ay_scan_cache_find(s->opts.known, st) : NULL;
	struct ay__hash_job *job = calloc(1, s->opts.hook ? s->opts.hook->job_size : sizeof(*job));

	if (!job)
		return NULL;
	job->before = *st;
	job->fd = -1;
	job->rc = known ? 0 : -ECANCELED;
	job->done = true; /* not given yet: nobody waits for it */
	if (known)
		job->digest = *known;
	it->job = job;
	it->own_job = true;
	if (st->st_nlink > 1) {
		if (links_add(&s->links, job) < 0)
			return NULL;
		it->own_job = false;
	}
	return job;
}

static int visit_file(struct scan *s, const char *name, const struct stat *st)
{
	AY_CLOSE int fd = -1;
	struct ay__hash_job *known = st->st_nlink > 1 ? links_find(&s->links, st) : NULL;

	struct stat now = *st;

	if (known && s->opts.hook) { /* its job may link it, which moves ctime: then the job says to what */
		ay__hash_pool_done(s->pool, known, true);
		if (fstatat(s->dir->fd, name, &now, AT_SYMLINK_NOFOLLOW) < 0)
			return fail_changed(s, s->path);
	}
	if (known && !ay__stat_same(&known->before, &now))
		return fail_changed(s, s->path);
	struct item *it = item_new(s, AY_ENTRY_FILE, st, NULL, 0);
	if (!it)
		return fail(s, -ENOMEM, s->path, "cannot scan it");
	it->job = known;
	struct ay__hash_job *job = known ? NULL : job_new(s, it, st);
	if (!known && !job)
		return fail(s, -ENOMEM, s->path, "cannot scan it");
	if (known || job->rc == 0) /* under another name it is being read, or an earlier scan did */
		return add_xattrs(s, it, -1, s->dir->fd, name);
	int rc = open_same(s, name, st, 0, &fd);
	if (rc == 0)
		rc = add_xattrs(s, it, fd, -1, NULL);
	if (rc < 0)
		return rc;
	s->totals->read_files++;
	s->totals->read_bytes += it->e.size;
	job->fd = ay_steal_fd(&fd);
	if (s->opts.hook)
		s->opts.hook->job(s->opts.hook->ctx, job, &it->e);
	ay__hash_pool_give(s->pool, job);
	return 0;
}

static int visit_link(struct scan *s, const char *name, const struct stat *st)
{
	ssize_t n = readlinkat(s->dir->fd, name, s->target, sizeof(s->target) - 1);
	if (n < 0)
		return errno == ENOENT || errno == EINVAL ? fail_changed(s, s->path)
							  : fail(s, -errno, s->path, "cannot read the link");
	s->target[n] = '\0';
	struct item *it = item_new(s, AY_ENTRY_SYMLINK, st, s->target, (size_t)n);
	return it ? add_xattrs(s, it, -1, s->dir->fd, name) : fail(s, -ENOMEM, s->path, "cannot scan it");
}

static int visit_special(struct scan *s, enum ay_entry_type type, const char *name, const struct stat *st)
{
	struct item *it = item_new(s, type, st, NULL, 0);
	return it ? add_xattrs(s, it, -1, s->dir->fd, name) : fail(s, -ENOMEM, s->path, "cannot scan it");
}

/* The next name of s->dir. */
static int visit(struct scan *s, const char *name)
{
	size_t len = strlen(name);
	struct stat st;
	int fd = -1;

	memcpy(s->path + s->dir->path_len, "/", 1);
	memcpy(s->path + s->dir->path_len + 1, name, len + 1);
	if (s->dir->path_len + 1 + len > AY_PATH_MAX)
		return fail(s, AY_ELIMIT, s->path, "its path is longer than %d bytes", AY_PATH_MAX);
	if (fstatat(s->dir->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? fail_changed(s, s->path)
				       : fail(s, -errno, s->path, "cannot stat it");
	switch (st.st_mode & S_IFMT) {
	case S_IFREG:
		return visit_file(s, name, &st);
	case S_IFLNK:
		return visit_link(s, name, &st);
	case S_IFCHR:
		return visit_special(s, AY_ENTRY_CHAR, name, &st);
	case S_IFBLK:
		return visit_special(s, AY_ENTRY_BLOCK, name, &st);
	case S_IFIFO:
		return visit_special(s, AY_ENTRY_FIFO, name, &st);
	case S_IFDIR: {
		int rc = s->opts.hook ? s->opts.hook->dir(s->opts.hook->ctx, s->path, &st, s->err) : 0;
		if (rc < 0)
			return ay_err_wrap(s->err, rc, "scan %s", s->name);
		bool empty = rc > 0;
		rc = open_same(s, name, &st, O_DIRECTORY, &fd);
		return rc < 0 ? rc : enter(s, fd, &st, empty);
	}
	default:
		return fail(s, AY_EUNSUPPORTED, s->path,
			    "a socket cannot be shipped; stop the program that listens on it and delete it");
	}
}

static int walk(struct scan *s)
{
	struct stat st;
	int fd = openat(s->root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	memcpy(s->path, "/", 2);
	if (fd < 0)
		return fail(s, -errno, s->path, "cannot open it");
	if (fstat(fd, &st) < 0) {
		int rc = fail(s, -errno, s->path, "cannot stat it");
		close(fd);
		return rc;
	}
	int rc = enter(s, fd, &st, false);
	while (rc == 0 && s->dir) {
		struct dir *d = s->dir;
		rc = d->next == d->n ? leave(s) : visit(s, (char *)d->names.data + d->order[d->next++]);
		if (rc == 0)
			rc = drain(s, QUEUE_ITEMS_MAX, QUEUE_BYTES_MAX);
	}
	if (rc == 0)
		rc = drain(s, 0, 0);
	return rc;
}

int ay_scan(int dirfd, const char *name, const struct ay_scan_options *opts, ay_write_fn write, void *ctx,
	    struct ay_scan_totals *totals, struct ay_err *err)
{
	AY_FREE struct scan *s = calloc(1, sizeof(*s));
	struct ay_scan_totals ignored;

	if (!s)
		return ay_err_set(err, -ENOMEM, "scan %s: out of memory", name);
	s->name = name;
	s->err = err;
	s->root_fd = dirfd;
	s->last = &s->first;
	s->totals = totals ? totals : &ignored;
	memset(s->totals, 0, sizeof(*s->totals));
	if (opts)
		s->opts = *opts;
	if (s->opts.seen)
		ay_scan_cache_begin(s->opts.seen);
	s->pool = s->opts.hook ? s->opts.hook->pool : ay__hash_pool_new(s->opts.threads);
	s->writer = ay_manifest_writer_new(write, ctx);
	int rc = s->pool && s->writer ? walk(s) : ay_err_set(err, -ENOMEM, "scan %s: out of memory", name);
	if (rc == 0) {
		rc = ay_manifest_finish(s->writer, &s->totals->manifest, &s->totals->manifest_size, err);
		if (rc < 0)
			ay_err_wrap(err, rc, "scan %s: manifest", name);
	}
	ay__hash_pool_free(s->pool);
	ay_manifest_writer_free(s->writer);
	while (s->first) {
		struct item *it = s->first;
		s->first = it->next;
		item_free(it);
	}
	while (s->dir)
		s->dir = dir_free(s->dir);
	links_release(&s->links);
	return rc;
}
