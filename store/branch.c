/* SPDX-License-Identifier: MIT */
/*
 * Leaving a branch. Its own locks are held from beginning to end, so nobody makes,
 * switches or collects a tree of it meanwhile; each tree goes like any that is
 * collected (store/gc.c): aside in one rename, then apart. The floor stays in the state: who
 * follows the branch again gets nothing older than what was here.
 */
#include "store/branch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "store/state_internal.h"
#include "store/tree_internal.h"

#define LOCKS 3

static int lock_all(struct ay_store *s, int dir, const char *branch, int locks[LOCKS], struct ay_err *err)
{
	static const char *const names[LOCKS] = {".turn", ".apply", ".switch"};

	for (int i = 0; i < LOCKS; i++) {
		locks[i] = ay__branch_lock(s, dir, names[i], LOCK_EX | LOCK_NB, err);
		if (locks[i] == -EWOULDBLOCK)
			return ay_err_set(err, AY_EBUSY,
					  "a tree of %s is being made or switched: try again later", branch);
		if (locks[i] < 0)
			return locks[i];
	}
	return 0;
}

/* @each for every tree in @dir. */
static int each_tree(int dir, int (*each)(void *ctx, const char *name, uint32_t serial), void *ctx)
{
	AY_CLOSEDIR DIR *d = ay__list_dir(dir);
	struct dirent *e;
	uint32_t serial;
	int r = 0, q = 0;

	if (!d)
		return -errno;
	while (r == 0 && (e = ay__dir_next(d, &q))) {
		if (ay__serial_parse(e->d_name, &serial))
			r = each(ctx, e->d_name, serial);
	}
	return r ? r : q;
}

/* The serial of the first tree that somebody uses, plus one; -errno when that cannot be known. */
static int is_used(void *ctx, const char *name, uint32_t serial)
{
	const int *dir = ctx;
	char path[AY__SERIAL_NAME_MAX + 8];

	snprintf(path, sizeof(path), "%s/.ref", name);
	AY_CLOSE int ref = ay__open_beneath(*dir, path, O_RDONLY | O_NONBLOCK);
	int r = ref < 0 ? ref : ay__lock(ref, LOCK_EX | LOCK_NB);
	return r == -EWOULDBLOCK ? (int)(serial & INT32_MAX) + 1 : ay__not_there(r) ? 0 : r;
}

struct next {
	uint32_t current, found;
};

/* Any but the current one, which goes last: until then the branch is one that stands somewhere. */
static int next_tree(void *ctx, const char *name, uint32_t serial)
{
	struct next *n = ctx;

	(void)name;
	if (n->found == 0 || n->found == n->current)
		n->found = serial;
	return 0;
}

static int stop_following(void *ctx, struct ay_branch_state *b, struct ay_err *err)
{
	(void)ctx;
	(void)err;
	bool was = b->follow;
	b->follow = false;
	return !was;
}

static int remove_trees(struct ay_store *s, int dir, const char *branch, struct ay_gc_result *res,
			struct ay_err *err)
{
	for (;;) {
		struct ay__staging st = AY__STAGING_NONE;
		struct next next = {0};
		int r = ay__branch_current_or_0(s, dir, branch, &next.current, NULL);
		if (r < 0 && r > AY_EFORMAT && !ay__not_there(r))
			return ay_err_errno(err, -r, "cannot find out which tree of %s is the current one",
					    branch);
		if (r < 0) /* a link that leads nowhere */
			next.current = 0;
		r = each_tree(dir, next_tree, &next);
		if (r < 0)
			return ay_err_errno(err, -r, "cannot list the trees of %s", branch);
		if (next.found == 0)
			return 0;
		r = ay__tree_aside(s, dir, branch, next.found, &st, err);
		ay__staging_end(&st, res);
		if (r < 0)
			return r;
		res->trees++;
	}
}

/* Nothing but lock files and `current` is left, and we hold them: who waits for one finds the directory gone. */
static int remove_directory(struct ay_store *s, const char *branch, struct ay_err *err)
{
	struct ay__staging st = AY__STAGING_NONE;
	struct ay_buf name;
	int r = ay__staging_begin(s, &st, err);

	if (r < 0)
		return r;
	ay_buf_init(&name, 1024);
	r = ay_percent_name(&name, branch);
	const char *file = r == 0 ? ay_buf_cstr(&name) : NULL;
	if (file)
		r = s->fs->ops->rename(s->fs, s->branches, file, st.dir, "branch", true);
	if (file && r == 0)
		r = s->fs->ops->fsync(s->fs, s->branches);
	ay_buf_release(&name);
	ay__staging_end(&st, NULL);
	return r < 0 ? ay_err_errno(err, -r, "cannot remove branch %s", branch) : 0;
}

static int remove_all(struct ay_store *s, int dir, const char *branch, struct ay_gc_result *res,
		      struct ay_err *err)
{
	int locks[LOCKS] = {-1, -1, -1};
	int r = lock_all(s, dir, branch, locks, err);

	int used = r == 0 ? each_tree(dir, is_used, &dir) : 0;
	if (used > 0)
		r = ay_err_set(err, AY_EBUSY, "somebody uses %s %d: nothing was removed", branch, used - 1);
	else if (used < 0)
		r = ay_err_errno(err, -used,
				 "cannot find out whether somebody uses a tree of %s: nothing was removed",
				 branch);
	if (r == 0)
		r = ay_state_change_branch(s, branch, stop_following, NULL, err);
	if (r == 0)
		r = remove_trees(s, dir, branch, res, err);
	if (r == 0)
		r = remove_directory(s, branch, err);
	for (int i = 0; i < LOCKS; i++) {
		if (locks[i] >= 0)
			close(locks[i]);
	}
	return r;
}

int ay_store_remove_branch(struct ay_store *s, const char *branch, bool forget, struct ay_gc_result *res,
			   struct ay_err *err)
{
	struct ay_branch_state state;
	struct ay_gc_result none;
	bool known = false;
	int r = ay__store_writable(s, err);

	res = res ? res : &none;
	*res = (struct ay_gc_result){0};
	if (r < 0)
		return r;
	AY_CLOSE int dir = ay__branch_open(s, branch, false, NULL);
	if (dir < 0 && dir != -ENOENT)
		return ay_err_errno(err, dir < -5000 ? EINVAL : -dir, "cannot open branch %s in %s", branch,
				    s->path);
	if (dir >= 0) {
		known = true;
		if ((r = remove_all(s, dir, branch, res, err)) < 0)
			return ay_err_wrap(err, r, "remove branch %s", branch);
	}
	/* Followed, and nothing of it came yet. */
	if ((r = ay_state_branch(s, branch, &state, err)) < 0)
		return r;
	if (state.follow) {
		known = true;
		if ((r = ay_state_change_branch(s, branch, stop_following, NULL, err)) < 0)
			return r;
	}
	if (forget) {
		r = ay__state_forget(s, branch, err);
		if (r < 0)
			return r;
		known |= r > 0;
	}
	return known ? 0 : ay_err_set(err, AY_ENOTHING, "%s has no branch %s", s->path, branch);
}
