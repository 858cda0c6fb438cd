/* SPDX-License-Identifier: MIT */
/*
 * The objects of a tree that is gone. Most are in use by another tree and are passed over without a lock: whoever takes that one
 * away looks at them again. What nothing else links is looked at once more, and goes, in slices under the store's exclusive
 * lock; within a slice several threads remove, because on many disks freeing a file is a wait for each (a discard, or bitmaps
 * that must be read).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "store/crew.h"
#include "store/spill.h"

#define SLICE_FILES 128 /* objects removed under the exclusive lock at once: a few milliseconds */
#define TASKS       16

struct drop {
	struct ay_store *s;
	struct ay__crew *crew;
	struct ay__failure *failure;
	atomic_ullong objects, bytes;
	unsigned n; /* of @names */
	struct ay__object_name names[SLICE_FILES];
};

struct drop_task {
	struct ay__task task;
	struct drop *d;
	unsigned first, end;
};

/* How many names the object has: 0 none, it is not here (any more); -errno: that cannot be known. */
static int links(const struct ay_store *s, const struct ay__object_name *name, struct stat *st)
{
	if (fstatat(s->objects, name->s, st, AT_SYMLINK_NOFOLLOW) < 0)
		return ay__not_there(-errno) ? 0 : -errno;
	return st->st_nlink > 1 ? 2 : 1;
}

static void drop_some(struct ay__task *task)
{
	struct drop_task *x = (struct drop_task *)(void *)task;
	struct drop *d = x->d;

	for (unsigned i = x->first; i < x->end; i++) {
		const struct ay__object_name *name = &d->names[i];
		struct ay_err why = {0};
		struct stat st;
		int u = links(d->s, name, &st);
		if (u == 0 || u > 1)
			continue;
		if (u > 0)
			u = ay__object_drop(d->s, name);
		if (u < 0) {
			ay_err_errno(&why, -u, "cannot remove object %s", name->s);
			ay__failure_set(d->failure, u, &why);
		} else if (u > 0) {
			atomic_fetch_add(&d->objects, 1);
			atomic_fetch_add(&d->bytes, (uint64_t)st.st_blocks * 512);
		}
	}
}

static int cmp_names(const void *a, const void *b)
{
	return strcmp(((const struct ay__object_name *)a)->s, ((const struct ay__object_name *)b)->s);
}

/* Each name once, so that no two threads judge the same object by the same look at it. */
static void drop_names(struct drop *d)
{
	struct drop_task tasks[TASKS];
	unsigned kept = 0, at = 0;

	if (d->n > 0)
		qsort(d->names, d->n, sizeof(d->names[0]), cmp_names);
	for (unsigned i = 0; i < d->n; i++) {
		if (kept == 0 || cmp_names(&d->names[kept - 1], &d->names[i]) != 0)
			d->names[kept++] = d->names[i];
	}
	for (unsigned i = 0; i < TASKS; i++) {
		unsigned end = kept * (i + 1) / TASKS;
		tasks[i] = (struct drop_task){{.run = drop_some}, d, at, end};
		if (end > at)
			ay__crew_give(d->crew, &tasks[i].task);
		at = end;
	}
	ay__crew_wait(d->crew);
}

/* Also of one that could not be looked at: it is looked at again, and then it is an error. */
static bool may_go(const struct drop *d, const struct ay__object_name *name)
{
	struct stat st;
	int n = links(d->s, name, &st);

	return n < 0 || n == 1;
}

/* The next objects that nothing seems to link. 1: more; 0: that was all; negative: the manifest ends here. */
static int find_slice(struct drop *d, struct ay_manifest_reader *m, struct ay_err *err)
{
	struct ay_entry e;
	int r = 1;

	d->n = 0;
	while (d->n < SLICE_FILES && (r = ay_manifest_next(m, &e, err)) > 0) {
		struct ay__object_name *name = &d->names[d->n];
		if (e.type == AY_ENTRY_FILE && ay__object_name_of(d->s, &e, name) == 0 && may_go(d, name))
			d->n++;
	}
	return r;
}

static int drop_slice(struct drop *d, struct ay_err *err)
{
	int r = d->n > 0 ? ay__store_lock(d->s, LOCK_EX, err) : 0;

	if (d->n == 0 || r < 0)
		return r;
	drop_names(d);
	ay__store_unlock(d->s);
	return 0;
}

int ay__objects_drop(struct ay_store *s, int manifest_fd, struct ay_gc_result *res, struct ay_err *err)
{
	struct ay__fd_reader reader = {.fd = manifest_fd};
	struct drop d = {.s = s, .failure = ay__failure_new()};
	struct ay_manifest_reader *m = d.failure ? ay_manifest_reader_new(ay__fd_read, &reader) : NULL;
	int r = 1;

	if (!m) {
		ay__failure_free(d.failure);
		return ay_err_errno(err, ENOMEM, "read manifest");
	}
	d.crew = ay__store_removers(s);
	while (r > 0) {
		r = find_slice(&d, m, err);
		/* Also what was found before the manifest turned out to be broken. */
		int q = drop_slice(&d, r < 0 ? NULL : err);
		if (q < 0 && r >= 0)
			r = q;
	}
	ay_manifest_reader_free(m);
	ay__crew_free(d.crew);
	/* What could not be removed stopped nothing. */
	if (r == 0)
		r = ay__failure_get(d.failure, err);
	ay__failure_free(d.failure);
	if (res) {
		res->objects += atomic_load(&d.objects);
		res->bytes += atomic_load(&d.bytes);
	}
	return r;
}
