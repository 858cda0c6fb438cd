/* SPDX-License-Identifier: MIT */
/*
 * Collecting: old trees, then what only they used.
 *
 * A tree goes in one rename out of its branch into a staging directory, which is
 * then taken apart as any other (store/staging.c): its root first, then the objects
 * of its manifest that have no other link. Killed at any point, what remains is a staging
 * directory that the next open or collection finishes.
 *
 * Never taken: the current tree and the one before it (where a rollback goes), what is ready
 * to become current, what was found good last, what is pinned (store/turn.h), the
 * newest ones as many as asked, and anything of a branch in which a tree is being made (its
 * old tree may be the base). A tree that somebody uses goes out of its branch like any other, so that
 * nobody new finds it, but it is taken apart only when its last user has gone (store/in_use.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "store/gc_bundles.h"
#include "store/gc_internal.h"
#include "store/gc_objects.h"
#include "store/switch_internal.h"
#include "store/turn.h"
#include "store/tree_internal.h"

/* Where a rollback from @current goes: what was good before, if it is here, else the newest below. */
static uint32_t one_before(const struct ay_tree_info *trees, size_t n, uint32_t current, uint32_t known)
{
	uint32_t below = 0;

	for (size_t i = 0; i < n; i++) {
		if (trees[i].serial == known && known != current)
			return known;
		if (trees[i].serial < current)
			below = trees[i].serial;
	}
	return below;
}

/* The newest tree that may go; 0: none. @above: only those above it (the others are in use). */
static int pick(struct ay_store *s, const char *branch, const struct ay__gc_trees *how, uint32_t above,
		uint32_t *serial, struct ay_err *err)
{
	AY_FREE struct ay_tree_info *trees = NULL;
	struct ay_branch_state state;
	struct ay_turn turn;
	uint32_t before = 0;
	unsigned keep = how->keep;
	size_t n;
	int r = ay_turn_read(s, branch, &turn, err);

	*serial = 0;
	if (r < 0)
		return r; /* a broken `current`: better keep everything */
	if ((r = ay_state_branch(s, branch, &state, err)) < 0 ||
	    (r = ay_store_trees(s, branch, &trees, &n, err)) < 0)
		return r;
	if (how->spare_before)
		before = one_before(trees, n, turn.current,
				    turn.good != turn.current ? turn.good : state.before);
	if (turn.current == 0 && keep == 0)
		keep = 1;
	for (size_t i = 0; i + keep < n && *serial == 0; i++) {
		uint32_t t = trees[i].serial;
		if (t > above && t != before && !ay_turn_needs(&turn, &state, t))
			*serial = t;
	}
	return 0;
}

int ay__tree_aside(struct ay_store *s, int dir, const char *branch, uint32_t serial, struct ay__staging *st,
		   struct ay_err *err)
{
	const struct ay_fs_ops *ops = s->fs->ops;
	char name[AY__SERIAL_NAME_MAX];

	ay__serial_name(serial, name);
	int r = ay__staging_begin(s, st, err);
	if (r < 0)
		return r;
	r = ops->rename(s->fs, dir, name, st->dir, "tree", true);
	if (r < 0)
		return ay_err_errno(err, -r, "cannot move %s %u aside", branch, serial);
	if ((r = ops->fsync(s->fs, st->dir)) == 0)
		r = ops->fsync(s->fs, dir);
	if (r < 0) { /* unsure whether it is gone: then it must stay whole */
		ops->rename(s->fs, st->dir, "tree", dir, name, true);
		return ay_err_errno(err, -r, "cannot move %s %u aside durably", branch, serial);
	}
	return 0;
}

int ay_store_remove_tree(struct ay_store *s, const char *branch, uint32_t serial, struct ay_err *err)
{
	struct ay__staging st = AY__STAGING_NONE;
	struct ay_gc_result gone = {0};
	char name[AY__SERIAL_NAME_MAX];
	struct ay_branch_state state;
	struct ay_turn turn;
	struct stat sb;
	int r = ay__store_writable(s, err);

	if (r < 0)
		return r;
	AY_CLOSE int dir = ay__branch_open(s, branch, false, err);
	if (dir == -ENOENT)
		return ay_err_set(err, AY_ENOTHING, "%s %u is not here", branch, serial);
	if (dir < 0)
		return dir;
	AY_CLOSE int busy = ay__branch_lock(s, dir, ".apply", LOCK_EX | LOCK_NB, NULL);
	if (busy < 0)
		return ay_err_set(err, busy == -EWOULDBLOCK ? AY_EBUSY : busy,
				  "remove %s %u: a tree of this branch is being made; try again later",
				  branch, serial);
	AY_CLOSE int lock = ay__branch_lock(s, dir, ".switch", LOCK_EX, err);
	r = lock < 0 ? lock : ay_turn_read(s, branch, &turn, err);
	if (r == 0)
		r = ay_state_branch(s, branch, &state, err);
	if (r < 0)
		return r;
	if (serial == turn.current)
		return ay_err_set(err, AY_EBUSY, "remove %s %u: it is the current tree", branch, serial);
	if (ay_turn_needs(&turn, &state, serial))
		return ay_err_set(
			err, AY_EBUSY,
			"remove %s %u: it is pinned, or ready to become current, or where a trial goes back to",
			branch, serial);
	ay__serial_name(serial, name);
	if (fstatat(dir, name, &sb, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? ay_err_set(err, AY_ENOTHING, "%s %u is not here", branch, serial)
				       : ay_err_errno(err, errno, "%s %u", branch, serial);
	r = ay__tree_aside(s, dir, branch, serial, &st, err);
	ay__staging_end(&st, &gone);
	return r;
}

int ay__gc_branch(struct ay_store *s, const char *branch, const struct ay__gc_trees *how,
		  struct ay_gc_result *res, struct ay_err *err)
{
	AY_CLOSE int dir = ay__branch_open(s, branch, false, err);
	uint32_t above = 0;

	if (dir < 0)
		return dir;
	AY_CLOSE int busy = ay__branch_lock(s, dir, ".apply", LOCK_EX | LOCK_NB, NULL);
	if (busy == -EWOULDBLOCK)
		return 0;
	if (busy < 0)
		return ay_err_errno(err, -busy, "cannot lock branch %s", branch);
	for (;;) {
		struct ay__staging st = AY__STAGING_NONE;
		uint32_t serial = 0;
		if (how->enough && how->enough(how->ctx))
			return 0;
		AY_CLOSE int lock = ay__branch_lock(s, dir, ".switch", LOCK_EX, err);
		if (lock >= 0 && above == 0)
			ay__switch_sweep(s->fs, dir);
		int r = lock < 0 ? lock : pick(s, branch, how, above, &serial, err);
		if (r < 0 || serial == 0)
			return r;
		r = ay__tree_aside(s, dir, branch, serial, &st, err);
		ay__lock(lock, LOCK_UN); /* switching need not wait while files are removed */
		ay__staging_end(&st, res);
		if (r < 0)
			return r;
		res->trees++;
		above = serial;
	}
}

int ay_store_gc(struct ay_store *s, unsigned keep, struct ay_gc_result *res, struct ay_err *err)
{
	const struct ay__gc_trees how = {.keep = keep, .spare_before = true};
	struct ay_gc_result none;
	char **branches = NULL;
	size_t n = 0;
	int r = ay__store_writable(s, err);

	res = res ? res : &none;
	memset(res, 0, sizeof(*res));
	if (r < 0)
		return r;
	ay__staging_sweep(s, true, res);
	r = ay_store_branches(s, &branches, &n, err);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = ay__gc_branch(s, branches[i], &how, res, err);
	ay_store_names_free(branches, n);
	if (r == 0)
		r = ay__gc_objects(s, res, err);
	if (r == 0)
		r = ay__gc_bundles(s, res, err);
	/* A bad moment may have passed. All that is left there is counted anew. */
	if (r == 0 && res->left < 0) {
		res->left = 0;
		res->in_use = 0;
		ay__staging_sweep(s, true, res);
	}
	if (r == 0 && res->left < 0)
		r = ay_err_errno(
			err, -res->left,
			"all else is done, but what was removed and lies in %s/tmp cannot be deleted now: "
			"collect again",
			s->path);
	return r < 0 ? ay_err_wrap(err, r, "collect in %s", s->path) : 0;
}
