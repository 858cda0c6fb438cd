/* SPDX-License-Identifier: MIT */
/*
 * Step 5 of the data's way, its end: the new tree becomes current. After: proto/announce tells it.
 *
 * Which tree is current: one symbolic link, replaced by one rename.
 *
 *     state/ first (floor up; or, rolling back, what is bad), durable
 *     symlink .tmp-… -> SERIAL/root;  rename over `current`;  fsync the branch's directory
 *
 * A power cut between the two lines leaves the old tree current and the state a
 * step ahead: `pending` tells what was meant (store/turn.h), and ay_store_finish_switch()
 * goes on there. The other way round, a laptop could come back to an older release with its new
 * floor forgotten.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

#include "base/cleanup.h"
#include "store/switch_internal.h"

/* Temporary links of switches that died: nobody else makes one while we hold .switch. */
void ay__switch_sweep(struct ay_fs *fs, int branch_dir)
{
	int fd = openat(branch_dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AY_CLOSEDIR DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!d && fd >= 0)
		close(fd);
	while (d && (e = readdir(d))) {
		if (strncmp(e->d_name, AY__TMP_PREFIX, sizeof(AY__TMP_PREFIX) - 1) == 0)
			fs->ops->unlink(fs, branch_dir, e->d_name, 0);
	}
}

static int point_current(struct ay_store *s, int branch_dir, const char *branch, uint32_t serial,
			 struct ay_err *err)
{
	struct ay_fs *fs = s->fs;
	char rnd[17], tmp[sizeof(AY__TMP_PREFIX) + 17], target[AY__SERIAL_NAME_MAX + 8];

	ay__switch_sweep(fs, branch_dir);
	ay__random_name(rnd);
	snprintf(tmp, sizeof(tmp), AY__TMP_PREFIX "%s", rnd);
	snprintf(target, sizeof(target), "%u/root", serial);
	int r = fs->ops->symlink(fs, target, branch_dir, tmp);
	if (r == 0 && (r = fs->ops->rename(fs, branch_dir, tmp, branch_dir, "current", false)) < 0)
		fs->ops->unlink(fs, branch_dir, tmp, 0);
	if (r < 0)
		return ay_err_errno(err, -r, "cannot make %s %u current", branch, serial);
	r = fs->ops->fsync(fs, branch_dir);
	return r < 0 ? ay_err_errno(err, -r, "cannot sync branch %s: %u may not be current after a power cut",
				    branch, serial)
		     : 0;
}

struct step {
	uint32_t now;
	const struct ay__move *move;
};

/* @serial is good; what was so before it is remembered, unless we went back from that. */
void ay__state_good(struct ay_branch_state *b, uint32_t serial, bool back)
{
	if (b->good != serial)
		b->before = back ? 0 : b->good;
	b->good = serial;
	b->unconfirmed = b->tries = 0;
}

/* In what a switch may change. */
static bool same_state(const struct ay_branch_state *a, const struct ay_branch_state *b)
{
	return a->floor == b->floor && a->bad_serial == b->bad_serial && a->pending == b->pending &&
	       a->unconfirmed == b->unconfirmed && a->tries == b->tries && a->good == b->good &&
	       a->before == b->before;
}

/* What the branch remembers once step->move->serial is current. */
static int next_state(void *ctx, struct ay_branch_state *state, struct ay_err *err)
{
	const struct step *step = ctx;
	const struct ay__move *m = step->move;
	const uint32_t now = step->now, serial = m->serial;
	const struct ay_branch_state old = *state;

	if (serial < state->floor && !m->rollback)
		return ay_err_set(
			err, AY_EROLLBACK,
			"%s %u is below the floor %u: only a rollback goes there, and only the owner asks for it",
			state->branch, serial, state->floor);
	if (serial > state->floor)
		state->floor = serial;
	/* Of a store that an older ayni made nothing is known but this: it worked. */
	if (state->good == 0 && state->pending == 0 && now > 0 && now != state->bad_serial)
		state->good = now;
	if (m->rollback && serial < now && now > state->bad_serial)
		state->bad_serial = now;
	if (serial >= state->bad_serial) /* a newer one, or the owner takes it after all */
		state->bad_serial = 0;
	state->pending = serial;
	if (!m->trial) {
		ay__state_good(state, serial, serial < now);
	} else {
		state->unconfirmed = serial;
		state->tries = m->tries;
	}
	return same_state(&old, state);
}

int ay__switch_locked(struct ay_store *s, int dir, const char *branch, const struct ay__move *move,
		      struct ay_err *err)
{
	struct step step = {.move = move};
	char path[AY__SERIAL_NAME_MAX + 8];

	snprintf(path, sizeof(path), "%u/root", move->serial);
	AY_CLOSE int root = ay__open_beneath(dir, path, O_PATH | O_DIRECTORY);
	if (root == -ENOENT)
		return ay_err_set(err, -ENOENT, "%s %u is not in %s: apply it first, or see `ayni list`",
				  branch, move->serial, s->path);
	if (root < 0)
		return ay_err_errno(err, -root, "cannot open %s %u", branch, move->serial);
	int r = ay__branch_current_or_0(s, dir, branch, &step.now, NULL);
	if (r < 0 && r != AY_ESTORE) /* a broken link is what this repairs */
		return ay_err_errno(err, -r, "cannot read `current` of branch %s", branch);
	if ((r = ay_state_change_branch(s, branch, next_state, &step, err)) < 0)
		return r;
	return point_current(s, dir, branch, move->serial, err);
}

int ay__switch(struct ay_store *s, const char *branch, const struct ay__move *move, struct ay_err *err)
{
	AY_CLOSE int dir = -1;
	AY_CLOSE int lock = ay__branch_lock_switch(s, branch, &dir, err);

	return lock < 0 ? lock : ay__switch_locked(s, dir, branch, move, err);
}

int ay_store_switch(struct ay_store *s, const char *branch, uint32_t serial, bool rollback,
		    struct ay_err *err)
{
	return ay__switch(s, branch, &(struct ay__move){.serial = serial, .rollback = rollback}, err);
}

/*
 * Is the state a step ahead of `current`? What is only ready to become current lies above the floor, or is still
 * remembered as bad; a switch that was begun does not. In a state of version 1 only the floor tells. 0: no, else the serial.
 */
static uint32_t begun(const struct ay_branch_state *b, uint32_t now)
{
	if (b->pending)
		return b->pending != now && b->pending <= b->floor && b->pending != b->bad_serial ? b->pending
												  : 0;
	return b->floor > now && b->floor != b->bad_serial ? b->floor : 0;
}

/*
 * The branch is where its state says; is that durable? Whoever moved `current` may have been killed before his sync, or been told
 * that it failed. After a failed one another fsync promises nothing, so the link is made anew; where there is no
 * room for that, the sync alone is what can be had.
 */
static int sync_current(struct ay_store *s, int dir, const char *branch, const struct ay_branch_state *state,
			uint32_t now, struct ay_err *err)
{
	if (now == 0 || state->pending != now)
		return 0;
	int r = point_current(s, dir, branch, now, err);
	if (r != -ENOSPC && r != -EDQUOT)
		return r;
	r = s->fs->ops->fsync(s->fs, dir);
	return r < 0 ? ay_err_errno(err, -r, "cannot sync branch %s", branch) : 0;
}

static int finish_locked(struct ay_store *s, int dir, const char *branch, uint32_t *serial,
			 struct ay_err *err)
{
	struct ay_branch_state state;
	struct ay__move move = {0};
	char path[AY__SERIAL_NAME_MAX + 8];
	uint32_t now = 0;
	int r = ay_state_branch(s, branch, &state, err);

	if (r < 0)
		return r;
	r = ay__branch_current_or_0(s, dir, branch, &now, NULL);
	if (r < 0 && r != AY_ESTORE) /* a link that was not finished either */
		return ay_err_errno(err, -r, "cannot read `current` of branch %s", branch);
	move.serial = begun(&state, now);
	snprintf(path, sizeof(path), "%u/root", move.serial);
	AY_CLOSE int root = move.serial ? ay__open_beneath(dir, path, O_PATH | O_DIRECTORY) : -ENOENT;
	if (root < 0 && !ay__not_there(root))
		return ay_err_errno(err, -root, "cannot open %s %u", branch, move.serial);
	if (root < 0) /* it may have moved just before its mover was killed */
		return sync_current(s, dir, branch, &state, now, err);
	move.rollback = move.serial < now;
	move.trial = move.serial == state.unconfirmed;
	move.tries = state.tries;
	if ((r = ay__switch_locked(s, dir, branch, &move, err)) == 0)
		*serial = move.serial;
	return r;
}

int ay_store_finish_switch(struct ay_store *s, const char *branch, uint32_t *serial, struct ay_err *err)
{
	struct ay_err why = {0};

	*serial = 0;
	if (s->readonly)
		return 0;
	AY_CLOSE int dir = ay__branch_open(s, branch, false, &why);
	if (dir == -ENOENT)
		return 0; /* it has no tree yet */
	AY_CLOSE int lock = dir < 0 ? dir : ay__branch_lock(s, dir, ".switch", LOCK_EX | LOCK_NB, &why);
	if (lock == -EWOULDBLOCK)
		return 0; /* whoever holds it is alive and switches */
	if (lock < 0)
		return ay_err_set(err, lock, "%s", why.msg);
	return finish_locked(s, dir, branch, serial, err);
}

static bool tree_here(int dir, uint32_t serial)
{
	char name[AY__SERIAL_NAME_MAX];

	ay__serial_name(serial, name);
	return serial > 0 && faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

int ay__serial_back(struct ay_store *s, int dir, const char *branch, uint32_t now, uint32_t *back,
		    struct ay_err *err)
{
	AY_FREE struct ay_tree_info *trees = NULL;
	struct ay_branch_state state;
	size_t n = 0;
	int r = ay_state_branch(s, branch, &state, err);

	*back = 0;
	if (r < 0)
		return r;
	const uint32_t known[] = {state.good, state.before};
	for (size_t i = 0; i < 2; i++) {
		if (known[i] < now && known[i] != state.bad_serial && tree_here(dir, known[i])) {
			*back = known[i];
			return 0;
		}
	}
	r = ay_store_trees(s, branch, &trees, &n, err);
	for (size_t i = 0; r == 0 && i < n; i++) {
		if (trees[i].serial < now && trees[i].serial != state.bad_serial)
			*back = trees[i].serial;
	}
	if (r == 0 && *back == 0)
		return ay_err_set(err, AY_ENOTHING,
				  "%s %u is the oldest tree in %s: there is none to go back to", branch, now,
				  s->path);
	return r;
}

int ay_store_rollback(struct ay_store *s, const char *branch, uint32_t serial, uint32_t *to,
		      struct ay_err *err)
{
	AY_CLOSE int dir = -1;
	AY_CLOSE int lock = ay__branch_lock_switch(s, branch, &dir, err);
	int r;

	if (lock < 0)
		return lock;
	if (serial == 0) {
		uint32_t now;
		if ((r = ay__branch_current(s, dir, branch, &now, err)) < 0 ||
		    (r = ay__serial_back(s, dir, branch, now, &serial, err)) < 0)
			return r;
	}
	r = ay__switch_locked(s, dir, branch, &(struct ay__move){.serial = serial, .rollback = true}, err);
	if (r == 0 && to)
		*to = serial;
	return r;
}
