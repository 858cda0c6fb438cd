/* SPDX-License-Identifier: MIT */
/*
 * The objects of a tree that is gone, looked at in slices under the store's exclusive lock; within a slice several threads
 * remove, because on many disks freeing a file is a wait for each (a discard, or bitmaps that must be read).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "store/crew.h"
#include "store/object.h"

#define SLICE_FILES 256 /* entries looked at under the exclusive lock at once: a few milliseconds */
#define BATCH_FILES 16

struct drop {
	struct ay_store *s;
	struct ay__crew *crew;
	struct ay__failure *failure;
	atomic_ullong objects, bytes;
};

struct drop_batch {
	struct ay__task task;
	struct drop *d;
	unsigned n;
	struct ay__object_name names[BATCH_FILES];
};

static void drop_some(struct ay__task *task)
{
	struct drop_batch *x = (struct drop_batch *)(void *)task;
	struct drop *d = x->d;

	for (unsigned i = 0; i < x->n; i++) {
		struct ay_err why = {0};
		struct stat st;
		if (fstatat(d->s->objects, x->names[i].s, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_nlink > 1)
			continue;
		int u = d->s->fs->ops->unlink(d->s->fs, d->s->objects, x->names[i].s, 0);
		if (u == -ENOENT) /* the same object under another path, by another thread */
			continue;
		if (u < 0) {
			ay_err_errno(&why, -u, "cannot remove object %s", x->names[i].s);
			ay__failure_set(d->failure, u, &why);
			continue;
		}
		atomic_fetch_add(&d->objects, 1);
		atomic_fetch_add(&d->bytes, (uint64_t)st.st_blocks * 512);
	}
	free(x);
}

/* One slice under the lock that the caller holds. 1: more; 0: that was all; negative: the manifest ends here. */
static int drop_slice(struct drop *d, struct ay_manifest_reader *m, struct ay_err *err)
{
	struct drop_batch *x = NULL;
	struct ay_entry e;
	int r = 1;

	for (int i = 0; i < SLICE_FILES && (r = ay_manifest_next(m, &e, err)) > 0; i++) {
		struct ay__object_name name;
		if (e.type != AY_ENTRY_FILE || ay__object_name_of(d->s, &e, &name) < 0)
			continue;
		if (!x) {
			if (!(x = malloc(sizeof(*x)))) {
				r = ay_err_errno(err, ENOMEM, "remove objects");
				break;
			}
			x->task.run = drop_some;
			x->d = d;
			x->n = 0;
		}
		x->names[x->n++] = name;
		if (x->n == BATCH_FILES) {
			ay__crew_give(d->crew, &x->task);
			x = NULL;
		}
	}
	if (x)
		ay__crew_give(d->crew, &x->task);
	ay__crew_wait(d->crew);
	return r;
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
		if ((r = ay__store_lock(s, LOCK_EX, err)) < 0)
			break;
		r = drop_slice(&d, m, err);
		ay__store_unlock(s);
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
