/* SPDX-License-Identifier: MIT */
/*
 * Objects for the changed files of a tree that is applied: what the bundle gave, or a copy of an old object when only mode, owner,
 * mtime or xattrs changed. A crew stages them; which of a content's variants is first is decided under a lock.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdalign.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "manifest/delta.h"
#include "store/apply_internal.h"

/* The bundle's output, for the first of its variants the very inode, for others a copy. 1: it has none. */
static int from_output(struct ay__apply *ap, const struct ay_entry *e, const struct ay__object_name *name,
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
static int from_base(struct ay__apply *ap, const struct ay_entry *e, const struct ay__object_name *name,
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

static int stage_one(struct ay__apply *ap, const struct ay_entry *e, struct ay_err *err)
{
	struct ay__local_entry local;
	struct ay__object_name name;
	uint8_t v[AY__VARIANT_LEN];

	ay__entry_localise(ap->b.s, e, &local);
	int r = ay__object_variant(&local.e, v);
	if (r < 0)
		return ay_err_errno(err, -r, "%s", e->path);
	ay__object_name(&e->digest, v, &name);
	if ((r = ay__build_has(&ap->b, &name, err)) != 0)
		return r < 0 ? r : 0;
	r = from_output(ap, e, &name, err);
	if (r <= 0)
		return r;
	int there = ay__base_index_has(&ap->bases, &e->digest, v) ? ay__there(ap->b.s->objects, name.s) : 0;
	if (there < 0)
		return ay_err_errno(err, -there, "%s: its old object", e->path);
	/* The same inode under another path: linked as it is. */
	return there > 0 ? 0 : from_base(ap, e, &name, err);
}

struct stage_task {
	struct ay__task task;
	struct ay__apply *ap;
	struct ay_entry e; /* its memory behind */
	alignas(max_align_t) uint8_t mem[];
};

static void stage_task(struct ay__task *task)
{
	struct stage_task *t = (struct stage_task *)(void *)task;
	struct ay__apply *ap = t->ap;
	pthread_mutex_t *lock = &ap->content[t->e.digest.b[0] % AY__CONTENT_LOCKS];
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
	struct ay__apply *ap = ctx;

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

int ay__apply_objects(struct ay__apply *ap, struct ay_err *err)
{
	struct ay__fd_reader old_in, new_in = {.fd = ay__open_beneath(ap->b.tree, "manifest", O_RDONLY)};
	struct ay_manifest_reader *old = NULL, *new_ = NULL;
	int r = new_in.fd < 0 ? ay_err_errno(err, -new_in.fd, "cannot read the new manifest") : 0;

	old_in.fd = -1;
	if (r == 0)
		r = ay__apply_open_old(ap, &old_in, &old, err);
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
