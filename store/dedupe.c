/* SPDX-License-Identifier: MIT */
/*
 * Sort by size: who is alone is done with. Hash the others on all cores. Sort by digest: what stands together is
 * equal, as far as a digest and a moment can tell; the last word has the kernel (blocks) or a comparison
 * under leases (inodes).
 */
#include "store/dedupe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "store/dedupe_internal.h"
#include "store/file.h"
#include "store/hash_pool.h"

#define IN_FLIGHT 256 /* files being hashed */

#define ORDER(a, b)                                                                                          \
	if ((a) != (b))                                                                                      \
	return (a) < (b) ? -1 : 1

static int by_size(const void *x, const void *y)
{
	const struct ay__dup *a = x, *b = y;

	ORDER(a->st.st_dev, b->st.st_dev);
	ORDER(a->st.st_size, b->st.st_size);
	ORDER(a->st.st_ino, b->st.st_ino);
	return strcmp(a->path, b->path);
}

static int by_content(const void *x, const void *y)
{
	const struct ay__dup *a = x, *b = y;
	int c;

	ORDER(b->usable, a->usable);
	ORDER(a->st.st_dev, b->st.st_dev);
	ORDER(a->st.st_size, b->st.st_size);
	if ((c = ay_digest_cmp(&a->digest, &b->digest)) != 0)
		return c;
	/* The oldest first: it is kept. */
	ORDER(a->st.st_mtim.tv_sec, b->st.st_mtim.tv_sec);
	ORDER(a->st.st_mtim.tv_nsec, b->st.st_mtim.tv_nsec);
	ORDER(b->st.st_nlink, a->st.st_nlink); /* and of those the one with most names, which stay */
	ORDER(a->st.st_ino, b->st.st_ino);
	return strcmp(a->path, b->path);
}

static bool same_inode(const struct ay__dup *a, const struct ay__dup *b)
{
	return a->st.st_ino == b->st.st_ino && a->st.st_dev == b->st.st_dev;
}

/* ---- hashing ---- */

struct hashing {
	struct ay__dedupe *d;
	struct ay__hash_pool *pool;
	struct ay__hash_job jobs[IN_FLIGHT]; /* a ring */
	size_t files[IN_FLIGHT];
	size_t given, done;
	uint64_t bytes, total;
};

static int finish_oldest(struct hashing *h)
{
	size_t slot = h->done++ % IN_FLIGHT;
	struct ay__hash_job *job = &h->jobs[slot];
	struct ay__dup *f = &h->d->list[h->files[slot]];

	ay__hash_pool_done(h->pool, job, true);
	h->bytes += (uint64_t)f->st.st_size;
	if (job->rc < 0)
		return ay__dedupe_unopened(h->d, job->rc, f);
	f->digest = job->digest;
	f->usable = true;
	const struct ay_dedupe *how = h->d->how;
	int r = how->progress ? how->progress(how->ctx, h->bytes, h->total) : 0;
	return r == 0 ? 0 : ay_err_set(h->d->err, r < 0 ? r : -ECANCELED, "stopped");
}

static int hash_file(struct hashing *h, size_t i)
{
	struct ay__dup *f = &h->d->list[i];

	if (h->given - h->done == IN_FLIGHT) {
		int r = finish_oldest(h);
		if (r < 0)
			return r;
	}
	int fd = ay__dedupe_open(f);
	if (fd < 0)
		return ay__dedupe_unopened(h->d, fd, f);
	if (ay__dedupe_immutable(fd)) {
		ay__dedupe_skip(h->d, AY_DEDUPE_IMMUTABLE, f->root, f->path);
		close(fd);
		return 0;
	}
	size_t slot = h->given++ % IN_FLIGHT;
	h->jobs[slot] = (struct ay__hash_job){.fd = fd, .before = f->st};
	h->files[slot] = i;
	h->d->out->read_files++;
	h->d->out->read_bytes += (uint64_t)f->st.st_size;
	ay__hash_pool_give(h->pool, &h->jobs[slot]);
	return 0;
}

/* Of one device and size, [from, to): each inode once, if there are several. */
static int hash_size(struct hashing *h, size_t from, size_t to)
{
	struct ay__dup *list = h->d->list;
	int r = 0;

	if (same_inode(&list[from], &list[to - 1]))
		return 0;
	for (size_t i = from; r == 0 && i < to; i++) {
		if (i == from || !same_inode(&list[i - 1], &list[i]))
			r = hash_file(h, i);
	}
	return r;
}

/* The end of the run of one device and size that begins at @i. */
static size_t size_end(const struct ay__dedupe *d, size_t i)
{
	size_t end = i + 1;

	while (end < d->n && d->list[end].st.st_dev == d->list[i].st.st_dev &&
	       d->list[end].st.st_size == d->list[i].st.st_size)
		end++;
	return end;
}

static int hash_all(struct ay__dedupe *d)
{
	AY_FREE struct hashing *h = calloc(1, sizeof(*h));
	int r = 0;

	if (!h || !(h->pool = ay__hash_pool_new(d->how->threads)))
		return ay_err_errno(d->err, ENOMEM, "hash");
	h->d = d;
	for (size_t i = 0, end; i < d->n; i = end) {
		end = size_end(d, i);
		for (size_t k = i; k < end; k++) {
			if (k > i && same_inode(&d->list[k - 1], &d->list[k]))
				continue;
			d->out->files++;
			d->out->bytes += (uint64_t)d->list[k].st.st_size;
			if (!same_inode(&d->list[i], &d->list[end - 1]))
				h->total += (uint64_t)d->list[k].st.st_size;
		}
	}
	for (size_t i = 0, end; r == 0 && i < d->n; i = end) {
		end = size_end(d, i);
		r = hash_size(h, i, end);
	}
	while (r == 0 && h->done < h->given)
		r = finish_oldest(h);
	ay__hash_pool_free(h->pool);
	/* The other names of each inode. */
	for (size_t i = 1; i < d->n; i++) {
		if (same_inode(&d->list[i - 1], &d->list[i])) {
			d->list[i].usable = d->list[i - 1].usable;
			d->list[i].digest = d->list[i - 1].digest;
		}
	}
	return r;
}

/* ---- sharing ---- */

static int share(struct ay__dedupe *d, size_t from, size_t to)
{
	if (same_inode(&d->list[from], &d->list[to - 1]))
		return 0;
	d->out->groups++;
	if (d->how->read_only)
		return ay__dedupe_inodes(d, &d->list[from], to - from);
	AY_FREE struct ay__dup **files = calloc(to - from, sizeof(struct ay__dup *));
	size_t n = 0;
	if (!files)
		return ay_err_errno(d->err, ENOMEM, "share");
	for (size_t i = from; i < to; i++) {
		if (i == from || !same_inode(&d->list[i - 1], &d->list[i]))
			files[n++] = &d->list[i];
	}
	return ay__dedupe_blocks(d, files, n);
}

static int share_all(struct ay__dedupe *d)
{
	int r = 0;

	qsort(d->list, d->n, sizeof(*d->list), by_content);
	for (size_t i = 0, end; r == 0 && i < d->n && d->list[i].usable; i = end) {
		for (end = i + 1; end < d->n && d->list[end].usable &&
				  d->list[end].st.st_dev == d->list[i].st.st_dev &&
				  d->list[end].st.st_size == d->list[i].st.st_size &&
				  ay_digest_eq(&d->list[end].digest, &d->list[i].digest);)
			end++;
		r = share(d, i, end);
	}
	return r;
}

/* A directory named twice, or inside another, would give each name twice. */
static int check_apart(struct ay__dedupe *d, const int *roots)
{
	for (unsigned i = 0; i < d->how->n_dirs; i++) {
		for (unsigned k = 0; k < d->how->n_dirs; k++) {
			int r = i == k ? 0 : ay__lies_in(roots[i], roots[k]);
			if (r < 0)
				return ay_err_errno(d->err, -r, "cannot find out where %s lies",
						    d->how->dirs[i]);
			if (r > 0)
				return ay_err_set(d->err, AY_EUSAGE, "%s lies in %s: name only one of them",
						  d->how->dirs[i], d->how->dirs[k]);
		}
	}
	return 0;
}

static void forget(struct ay__dedupe *d)
{
	for (size_t i = 0; i < d->n; i++)
		free(d->list[i].path);
	d->n = 0;
}

static int run(struct ay__dedupe *d, const int *roots)
{
	int r = check_apart(d, roots);

	d->roots = roots;
	if (r < 0 || (r = ay__dedupe_walk(d, roots)) < 0)
		return r;
	/* What a killed run had left took a name from an inode that was listed before: its ctime is another now. */
	if (d->swept) {
		forget(d);
		*d->out = (struct ay_deduped){0};
		if ((r = ay__dedupe_walk(d, roots)) < 0)
			return r;
	}
	if (d->n > 0) {
		qsort(d->list, d->n, sizeof(*d->list), by_size);
		if ((r = hash_all(d)) < 0 || (r = share_all(d)) < 0)
			return r;
	}
	return d->out->shared_files > 0
		       ? 0
		       : ay_err_set(d->err, AY_ENOTHING, "nothing is equal that is not one already");
}

int ay_dedupe(struct ay_fs *fs, const struct ay_dedupe *how, struct ay_deduped *out, struct ay_err *err)
{
	struct ay__dedupe d = {.fs = fs, .how = how, .out = out, .err = err};
	AY_FREE int *roots = malloc(how->n_dirs * sizeof(*roots));
	unsigned n = 0;
	int r = roots ? 0 : ay_err_errno(err, ENOMEM, "dedupe");

	*out = (struct ay_deduped){0};
	for (; r == 0 && n < how->n_dirs; n++) {
		roots[n] = open(how->dirs[n], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (roots[n] < 0) {
			r = ay_err_errno(err, errno, "cannot open %s", how->dirs[n]);
			break;
		}
	}
	if (r == 0)
		r = run(&d, roots);
	while (n > 0)
		close(roots[--n]);
	forget(&d);
	free(d.list);
	return r;
}
