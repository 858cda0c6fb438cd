/* SPDX-License-Identifier: MIT */
/*
 * The order of a check, and of a healing:
 *
 *     roots       without them no release is believed
 *     objects     read all: the rows
 *     trees       checking: each path held against them, and told
 *                 healing: first a walk that only gathers what is needed; then good copies are made (fsck_heal.c);
 *                 then the walk that puts each path right and tells
 *     current, states, documents, bundles
 *     objects     what came of each; what nothing links
 *     syncfs      before success is told
 *
 * One process heals at a time: it holds flock() on objects/ itself.
 */
#include "store/fsck.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>

#include "base/cleanup.h"
#include "store/fsck_internal.h"

const char *ay_fsck_what_name(enum ay_fsck_what what)
{
	static const char *const names[] = {"object", "path",     "tree",   "current",
					    "state",  "document", "bundle", "leftover"};
	return (unsigned)what < sizeof(names) / sizeof(names[0]) ? names[what] : "?";
}

const char *ay_fsck_outcome_name(enum ay_fsck_outcome outcome)
{
	static const char *const names[] = {"damaged", "healed", "left", "noted"};
	return (unsigned)outcome < sizeof(names) / sizeof(names[0]) ? names[outcome] : "?";
}

/* All trees, once or (healing) twice with the making of good copies between. */
static int trees(struct ay__fsck *k, struct ay_err *err)
{
	if (!k->f->heal)
		return ay__fsck_each_tree(k, true, ay__fsck_walk, err);
	k->collect = true;
	int r = ay__fsck_each_tree(k, true, ay__fsck_walk, err);
	k->collect = false;
	if (r == 0)
		r = ay__fsck_acquire(k, err);
	k->heal = true;
	if (r == 0)
		r = ay__fsck_each_tree(k, false, ay__fsck_walk, err);
	k->heal = false;
	if (r == 0 && k->needs_full)
		ay__fsck_tell(k, &(struct ay_fsck_finding){.what = AY_FSCK_OBJECT, .outcome = AY_FSCK_LEFT},
			      "more than %u contents are damaged: heal again for the others",
			      AY__FSCK_NEEDS_MAX);
	return r;
}

static int sync_all(struct ay__fsck *k, struct ay_err *err)
{
	int r = ay__object_sync(k->s, &k->touched, err);

	if (r == 0 && (r = k->s->fs->ops->syncfs(k->s->fs, k->s->dir)) < 0)
		return ay_err_errno(err, -r,
				    "cannot sync the file system of %s: a power cut may undo what was healed",
				    k->s->path);
	return r;
}

static int all(struct ay__fsck *k, struct ay_err *err)
{
	int r = ay__fsck_roots(k, err);

	if (r == 0)
		r = ay__fsck_branches(k, err);
	if (r == 0)
		r = ay__fsck_objects(k, err);
	if (r == 0)
		r = ay__fsck_spill(k, err);
	if (r == 0)
		r = trees(k, err);
	if (r == 0)
		r = ay__fsck_rest(k, err);
	if (r == 0)
		r = ay__fsck_currents(k, err);
	if (r == 0 && k->failed)
		r = ay_err_errno(err, -k->failed, "not all could be looked at");
	/* Links in staging would make what nothing uses look used. */
	if (k->f->heal && r == 0) {
		r = sync_all(k, err);
		ay__staging_end(&k->st, NULL);
	}
	return r == 0 ? ay__fsck_tell_objects(k, err) : r;
}

int ay_store_fsck(struct ay_store *s, const struct ay_fsck *f, struct ay_fsck_result *res, struct ay_err *err)
{
	AY_FREE struct ay__fsck *k = calloc(1, sizeof(*k));
	AY_CLOSE int lock = -1;
	int r = f->heal ? ay__store_writable(s, err) : 0;

	*res = (struct ay_fsck_result){0};
	if (r < 0)
		return r;
	if (!k)
		return ay_err_errno(err, ENOMEM, "fsck");
	*k = (struct ay__fsck){.s = s, .f = f, .res = res, .st = AY__STAGING_NONE};
	if (f->heal) {
		lock = ay__open_beneath(s->objects, ".", O_RDONLY | O_DIRECTORY);
		r = lock < 0 ? lock : ay__lock(lock, LOCK_EX | LOCK_NB);
		if (r == -EWOULDBLOCK)
			return ay_err_set(err, AY_EBUSY, "another process heals %s", s->path);
		if (r < 0)
			return ay_err_errno(err, -r, "cannot lock %s/objects", s->path);
		r = ay__staging_begin(s, &k->st, err);
	}
	if (r == 0)
		r = all(k, err);
	ay__staging_end(&k->st, NULL);
	free(k->rows);
	free(k->needs);
	free(k->branches);
	return r < 0 ? ay_err_wrap(err, r, "fsck %s", s->path) : 0;
}
