/* SPDX-License-Identifier: MIT */
/*
 * Whose turn it is (store/turn.h). Each change is one durable replacement of the
 * branch's state; where `current` moves too, it moves after (store/switch.c).
 */
#include "store/turn.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "store/switch_internal.h"

/* ---- pins ---- */

bool ay_pins_has(const struct ay_pins *pins, uint32_t serial)
{
	for (unsigned i = 0; i < pins->n; i++) {
		if (pins->serial[i] == serial)
			return true;
	}
	return false;
}

static void pins_drop(struct ay_pins *pins, uint32_t serial)
{
	unsigned n = 0;

	for (unsigned i = 0; i < pins->n; i++) {
		if (pins->serial[i] != serial)
			pins->serial[n++] = pins->serial[i];
	}
	pins->n = n;
}

static int pins_add(struct ay_pins *pins, uint32_t serial)
{
	unsigned at = pins->n;

	if (pins->n == AY_PINS_MAX)
		return AY_ELIMIT;
	for (; at > 0 && pins->serial[at - 1] > serial; at--)
		pins->serial[at] = pins->serial[at - 1];
	pins->serial[at] = serial;
	pins->n++;
	return 0;
}

/* ---- how it stands ---- */

static bool is_here(int dir, uint32_t serial)
{
	char name[AY__SERIAL_NAME_MAX];

	ay__serial_name(serial, name);
	return serial > 0 && dir >= 0 && faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void judge(int dir, const struct ay_branch_state *b, uint32_t current, struct ay_turn *out)
{
	*out = (struct ay_turn){
		.current = current, .bad = b->bad_serial, .pinned = b->pinned, .kept = b->kept};
	if (b->pending != current && is_here(dir, b->pending)) {
		out->ready = b->pending;
		out->back = b->pending < current;
	}
	if (b->unconfirmed != 0 && b->unconfirmed == current) {
		out->unconfirmed = current;
		out->tries = b->tries;
	}
	out->good = is_here(dir, b->good) ? b->good : 0;
	out->stays = current != 0 && ay_pins_has(&b->pinned, current);
}

int ay_turn_read(struct ay_store *s, const char *branch, struct ay_turn *out, struct ay_err *err)
{
	struct ay_branch_state b;
	uint32_t current = 0;
	AY_CLOSE int dir = ay__branch_open(s, branch, false, NULL);

	if (dir < 0 && dir != -ENOENT)
		return ay_err_errno(err, -dir, "cannot open branch %s in %s", branch, ay_store_path(s));
	int r = ay_state_branch(s, branch, &b, err);
	if (r == 0 && dir >= 0)
		r = ay__branch_current_or_0(s, dir, branch, &current, err);
	if (r == 0)
		judge(dir, &b, current, out);
	return r;
}

bool ay_turn_needs(const struct ay_turn *t, const struct ay_branch_state *b, uint32_t serial)
{
	return serial == t->current || serial == t->ready || serial == t->unconfirmed || serial == t->good ||
	       serial == b->pending || serial == b->good || ay_pins_has(&t->pinned, serial) ||
	       ay_pins_has(&t->kept, serial);
}

/* ---- moving on ---- */

int ay_turn_lock(struct ay_store *s, const char *branch, struct ay_err *err)
{
	int r = ay__store_writable(s, err);

	if (r < 0)
		return r;
	AY_CLOSE int dir = ay__branch_open(s, branch, false, err);
	if (dir == -ENOENT)
		return ay_err_set(err, AY_ENOTHING, "branch %s in %s has no tree yet", branch, s->path);
	if (dir < 0)
		return dir;
	r = ay__branch_lock(s, dir, ".turn", LOCK_EX | LOCK_NB, err);
	return r == -EWOULDBLOCK ? ay_err_set(err, AY_EBUSY, "another process switches %s just now", branch)
				 : r;
}

struct change {
	int dir;
	const char *branch;
	uint32_t serial, current;
	bool keep_only;
	int result; /* what to say when nothing was to be written */
};

/* Under .switch, so that `current` stays what it is meanwhile. */
static int change_turn(struct ay_store *s, const char *branch, struct change *c,
		       int (*change)(void *ctx, struct ay_branch_state *b, struct ay_err *err),
		       struct ay_err *err)
{
	AY_CLOSE int dir = -1;
	AY_CLOSE int lock = ay__branch_lock_switch(s, branch, &dir, err);
	int r;

	if (lock < 0)
		return lock;
	c->dir = dir;
	c->branch = branch;
	r = ay__branch_current_or_0(s, dir, branch, &c->current, err);
	if (r == 0)
		r = ay_state_change_branch(s, branch, change, c, err);
	return r < 0 ? r : c->result;
}

static int set_ready(void *ctx, struct ay_branch_state *b, struct ay_err *err)
{
	struct change *c = ctx;

	if (!is_here(c->dir, c->serial))
		return ay_err_set(err, -ENOENT, "%s %u is not here", c->branch, c->serial);
	if (c->serial <= c->current || (b->pending > c->current && c->serial <= b->pending))
		return 1;
	b->pending = c->serial;
	return 0;
}

int ay_turn_ready(struct ay_store *s, const char *branch, uint32_t serial, struct ay_err *err)
{
	return change_turn(s, branch, &(struct change){.serial = serial}, set_ready, err);
}

int ay_turn_trial(struct ay_store *s, const char *branch, uint32_t serial, uint32_t tries, struct ay_err *err)
{
	const struct ay__move move = {.serial = serial, .rollback = true, .trial = true, .tries = tries};

	return ay__switch(s, branch, &move, err);
}

static bool on_trial(const struct change *c, const struct ay_branch_state *b, struct ay_err *err)
{
	if (b->unconfirmed != 0 && b->unconfirmed == c->current)
		return true;
	ay_err_set(err, AY_ENOTHING, "%s %u is not on trial", c->branch, c->current);
	return false;
}

static int count_try(void *ctx, struct ay_branch_state *b, struct ay_err *err)
{
	struct change *c = ctx;

	if (!on_trial(c, b, err))
		return AY_ENOTHING;
	if (b->tries == 0)
		return ay_err_set(err, AY_ENOTHING, "%s %u has no try left", c->branch, c->current);
	c->serial = --b->tries;
	return 0;
}

int ay_turn_try(struct ay_store *s, const char *branch, uint32_t *left, struct ay_err *err)
{
	struct change c = {0};
	int r = change_turn(s, branch, &c, count_try, err);

	*left = c.serial;
	return r;
}

static int confirm(void *ctx, struct ay_branch_state *b, struct ay_err *err)
{
	struct change *c = ctx;

	if (!on_trial(c, b, err))
		return AY_ENOTHING;
	ay__state_good(b, c->current, false);
	return 0;
}

int ay_turn_confirm(struct ay_store *s, const char *branch, uint32_t *which, struct ay_err *err)
{
	struct change c = {0};
	int r = change_turn(s, branch, &c, confirm, err);

	*which = c.current;
	return r;
}

/* There is nothing to go back to. */
static int give_up_trial(void *ctx, struct ay_branch_state *b, struct ay_err *err)
{
	struct change *c = ctx;

	(void)err;
	b->bad_serial = c->current;
	b->unconfirmed = b->tries = 0;
	return 0;
}

static int fail_locked(struct ay_store *s, int dir, const char *branch, uint32_t *from, uint32_t *to,
		       struct ay_err *err)
{
	struct ay_branch_state b;
	struct change c = {.branch = branch, .dir = dir};
	int r = ay_state_branch(s, branch, &b, err);

	if (r == 0)
		r = ay__branch_current(s, dir, branch, &c.current, err);
	if (r < 0)
		return r;
	*from = *to = c.current;
	if (!on_trial(&c, &b, err))
		return AY_ENOTHING;
	r = ay__serial_back(s, dir, branch, c.current, to, err);
	if (r == AY_ENOTHING) {
		*to = c.current;
		r = ay_state_change_branch(s, branch, give_up_trial, &c, err);
		return r < 0 ? r
			     : ay_err_set(err, -ENOENT,
					  "%s %u failed, and no other tree is here to go back to", branch,
					  c.current);
	}
	if (r < 0)
		return r;
	return ay__switch_locked(s, dir, branch, &(struct ay__move){.serial = *to, .rollback = true}, err);
}

int ay_turn_fail(struct ay_store *s, const char *branch, uint32_t *from, uint32_t *to, struct ay_err *err)
{
	AY_CLOSE int dir = -1;
	AY_CLOSE int lock = ay__branch_lock_switch(s, branch, &dir, err);

	return lock < 0 ? lock : fail_locked(s, dir, branch, from, to, err);
}

/* ---- pinning ---- */

static int pin(void *ctx, struct ay_branch_state *b, struct ay_err *err)
{
	struct change *c = ctx;
	struct ay_pins *to = c->keep_only ? &b->kept : &b->pinned;
	struct ay_pins *other = c->keep_only ? &b->pinned : &b->kept;

	if (!is_here(c->dir, c->serial))
		return ay_err_set(err, -ENOENT, "%s %u is not here; `ayni list %s` tells what is", c->branch,
				  c->serial, c->branch);
	if (ay_pins_has(to, c->serial))
		return ay_err_set(err, AY_ENOTHING, "%s %u is %s already", c->branch, c->serial,
				  c->keep_only ? "kept" : "pinned");
	pins_drop(other, c->serial);
	if (pins_add(to, c->serial) < 0)
		return ay_err_set(err, AY_ELIMIT, "%s: %d releases are pinned; unpin one first", c->branch,
				  AY_PINS_MAX);
	return 0;
}

int ay_turn_pin(struct ay_store *s, const char *branch, uint32_t serial, bool keep_only, struct ay_err *err)
{
	return change_turn(s, branch, &(struct change){.serial = serial, .keep_only = keep_only}, pin, err);
}

static int unpin(void *ctx, struct ay_branch_state *b, struct ay_err *err)
{
	struct change *c = ctx;

	if (c->serial == 0 ? b->pinned.n + b->kept.n == 0
			   : !ay_pins_has(&b->pinned, c->serial) && !ay_pins_has(&b->kept, c->serial))
		return c->serial == 0
			       ? ay_err_set(err, AY_ENOTHING, "no release of %s is pinned", c->branch)
			       : ay_err_set(err, AY_ENOTHING, "%s %u is not pinned", c->branch, c->serial);
	if (c->serial == 0) {
		b->pinned = b->kept = (struct ay_pins){0};
	} else {
		pins_drop(&b->pinned, c->serial);
		pins_drop(&b->kept, c->serial);
	}
	return 0;
}

int ay_turn_unpin(struct ay_store *s, const char *branch, uint32_t serial, struct ay_err *err)
{
	return change_turn(s, branch, &(struct change){.serial = serial}, unpin, err);
}
