/* SPDX-License-Identifier: MIT */
/*
 * The owner's hooks and the store's turn, in one sequence (node/turn_run.h). Before: store/apply made the tree.
 * After: the node's core tells the others.
 */
#include "node/turn_run.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "node/hooks.h"
#include "node/log.h"
#include "store/journal.h"

/* One run; all borrowed. */
struct run {
	struct ay_store *s;
	const struct ay_config *c;
	const char *branch, *reason;
	struct ay_policy policy;
	struct ay_turn_result *out;
};

const char *ay_turn_end_name(enum ay_turn_end e)
{
	static const char *const names[] = {"nothing", "switched",    "trial",
					    "refused", "rolled-back", "stuck"};
	return names[e];
}

static void note(struct run *r, enum ay_journal_event event, uint32_t serial, uint32_t from, const char *why)
{
	struct ay_err err = {0};
	if (ay_journal_add(r->s, r->branch, event, serial, from, why, &err) < 0)
		ay_log(AY_LOG_WARNING, "%s", err.msg);
}

static void end(struct run *r, enum ay_turn_end how, uint32_t tried, const char *message)
{
	r->out->end = how;
	r->out->tried = tried;
	snprintf(r->out->message, sizeof(r->out->message), "%s", message);
}

/* ---- hooks ---- */

static void tree_path(const struct run *r, uint32_t serial, char *out, size_t size)
{
	struct ay_buf name;
	ay_buf_init(&name, 1024);
	if (ay_percent_name(&name, r->branch) < 0 || !ay_buf_cstr(&name) ||
	    snprintf(out, size, "%s/branches/%s/%u/root", ay_store_path(r->s), ay_buf_cstr(&name), serial) >=
		    (int)size)
		out[0] = 0;
	ay_buf_release(&name);
}

static int run_hooks(const struct run *r, enum ay_hook_phase phase, uint32_t serial, uint32_t from,
		     uint32_t tries_left, struct ay_err *err)
{
	const struct ay_hooks h = {r->c->hooks, r->c->hook_timeout_s, r->c->hooks_timeout_s};
	char tree[AY_CONFIG_PATH_MAX * 2];
	tree_path(r, serial, tree, sizeof(tree));
	const struct ay_hook_call call = {.branch = r->branch,
					  .store = ay_store_path(r->s),
					  .tree = tree,
					  .reason = r->reason,
					  .serial = serial,
					  .from = from,
					  .tries_left = tries_left};
	return ay_hooks_run(&h, phase, &call, err);
}

/* What a hook says no to that cannot be stopped, or that is over, is told. */
static void run_hooks_anyway(const struct run *r, enum ay_hook_phase phase, uint32_t serial, uint32_t from)
{
	struct ay_err err = {0};
	if (run_hooks(r, phase, serial, from, 0, &err) < 0)
		ay_log(AY_LOG_WARNING, "%s: %s; on it goes", r->branch, err.msg);
}

/* ---- going back ---- */

/* The trial of what is current failed for @why. */
static int go_back(struct run *r, const char *why, struct ay_err *err)
{
	char text[AY_ERR_MSG_MAX];
	struct ay_turn t;
	struct ay_err own = {0};
	uint32_t from = 0, to = 0;
	int rc = ay_turn_read(r->s, r->branch, &t, err);
	if (rc < 0)
		return rc;
	ay_log(AY_LOG_ERROR, "%s: release %u does not work here: %s", r->branch, t.current, why);
	r->reason = "rollback";
	if (t.good && t.good != t.current)
		run_hooks_anyway(r, AY_HOOK_PRE, t.good, t.current);
	rc = ay_turn_fail(r->s, r->branch, &from, &to, &own);
	if (rc < 0 && rc != -ENOENT)
		return ay_err_set(err, rc, "%s: release %u failed (%s), and going back too: %s", r->branch,
				  t.current, why, own.msg);
	r->out->to = to;
	note(r, AY_JOURNAL_FAILED, from, 0, why);
	if (rc == -ENOENT) {
		snprintf(text, sizeof(text),
			 "%s: release %u does not work here (%.400s), and there is no other to go back to",
			 r->branch, from, why);
		end(r, AY_TURN_STUCK, from, text);
		return ay_err_set(err, AY_EHEALTH, "%s", text);
	}
	note(r, AY_JOURNAL_ROLLED_BACK, to, from, why);
	run_hooks_anyway(r, AY_HOOK_POST, to, from);
	snprintf(
		text, sizeof(text),
		"%s: release %u does not work here (%.400s): rolled back to %u; %u is not taken again by itself",
		r->branch, from, why, to, from);
	end(r, AY_TURN_ROLLED_BACK, from, text);
	return ay_err_set(err, AY_EHEALTH, "%s", text);
}

/* ---- the trial ---- */

static int found_good(struct run *r, struct ay_err *err)
{
	char text[AY_ERR_MSG_MAX];
	uint32_t which;
	int rc = ay_turn_confirm(r->s, r->branch, &which, err);
	if (rc < 0)
		return rc;
	note(r, AY_JOURNAL_GOOD, which, 0, "its health checks");
	snprintf(text, sizeof(text), "%s: release %u is current, and its health checks are good", r->branch,
		 which);
	end(r, AY_TURN_SWITCHED, which, text);
	return 0;
}

/* What is current is looked at; @left: tries after this one. */
static int trial(struct run *r, uint32_t serial, uint32_t from, uint32_t left, struct ay_err *err)
{
	char text[AY_ERR_MSG_MAX];
	struct ay_err why = {0};
	run_hooks_anyway(r, AY_HOOK_POST, serial, from);
	int rc = run_hooks(r, AY_HOOK_HEALTH, serial, from, left, &why);
	if (rc < 0)
		return go_back(r, why.msg, err);
	if (!r->policy.confirm_by_boot)
		return found_good(r, err);
	snprintf(text, sizeof(text),
		 "%s: release %u is current, on trial until `ayni confirm` (%u boots are left)", r->branch,
		 serial, left);
	end(r, AY_TURN_TRIAL, serial, text);
	return 0;
}

/* A trial that was interrupted begins anew, if it may. */
static int trial_again(struct run *r, const struct ay_turn *t, struct ay_err *err)
{
	uint32_t left = 0;
	struct ay_err why = {0};
	r->reason = "check";
	int rc = ay_turn_try(r->s, r->branch, &left, &why);
	if (rc == AY_ENOTHING)
		return go_back(r, "its trial was interrupted too often", err);
	if (rc < 0)
		return ay_err_set(err, rc, "%s", why.msg);
	ay_log(AY_LOG_NOTICE, "%s: release %u is checked again", r->branch, t->current);
	return trial(r, t->current, t->good, left, err);
}

/* ---- forward ---- */

static int needs_trial(const struct run *r, struct ay_err *err)
{
	const struct ay_hooks h = {r->c->hooks, r->c->hook_timeout_s, r->c->hooks_timeout_s};
	return r->policy.confirm_by_boot ? 1 : ay_hooks_any(&h, AY_HOOK_HEALTH, err);
}

static int forward(struct run *r, const struct ay_turn *t, uint32_t serial, struct ay_err *err)
{
	char text[AY_ERR_MSG_MAX];
	struct ay_err why = {0};
	int on_trial = needs_trial(r, err);
	if (on_trial < 0)
		return on_trial;
	int rc = run_hooks(r, AY_HOOK_PRE, serial, t->current, 0, &why);
	if (rc < 0) {
		note(r, AY_JOURNAL_REFUSED, serial, t->current, why.msg);
		snprintf(text, sizeof(text), "%s: release %u does not become current: %.600s", r->branch,
			 serial, why.msg);
		end(r, AY_TURN_REFUSED, serial, text);
		return ay_err_set(err, rc, "%s", text);
	}
	/* The first try is made at once; boots are counted when they come. */
	uint32_t left = r->policy.confirm_by_boot ? r->policy.tries : r->policy.tries - 1;
	rc = on_trial ? ay_turn_trial(r->s, r->branch, serial, left, err)
		      : ay_store_switch(r->s, r->branch, serial, true, err);
	if (rc < 0)
		return rc;
	r->out->to = serial;
	ay_log(AY_LOG_NOTICE, "%s: serial %u is current%s", r->branch, serial, on_trial ? ", on trial" : "");
	note(r, AY_JOURNAL_SWITCHED, serial, t->current, r->reason);
	if (on_trial)
		return trial(r, serial, t->current, left, err);
	run_hooks_anyway(r, AY_HOOK_POST, serial, t->current);
	snprintf(text, sizeof(text), "%s: release %u is current", r->branch, serial);
	end(r, AY_TURN_SWITCHED, serial, text);
	return 0;
}

/* ---- the owner's way back, which no hook may bar ---- */

static int backward(struct run *r, const struct ay_turn *t, uint32_t serial, struct ay_err *err)
{
	char text[AY_ERR_MSG_MAX];
	uint32_t to = serial;
	r->reason = "rollback";
	if (serial == 0)
		to = t->good && t->good < t->current ? t->good : 0;
	if (to)
		run_hooks_anyway(r, AY_HOOK_PRE, to, t->current);
	int rc = ay_store_rollback(r->s, r->branch, serial, &to, err);
	if (rc < 0)
		return rc;
	r->out->to = to;
	note(r, AY_JOURNAL_ROLLED_BACK, to, t->current, "the owner asked for it");
	run_hooks_anyway(r, AY_HOOK_POST, to, t->current);
	snprintf(text, sizeof(text), "%s: rolled back from release %u to %u", r->branch, t->current, to);
	end(r, AY_TURN_SWITCHED, to, text);
	return 0;
}

/* ---- doors ---- */

/* Alone at it, what was cut off finished, and how it stands now. Return: the lock's fd, or what failed. */
static int begin(struct run *r, struct ay_turn *t, struct ay_err *err)
{
	uint32_t finished = 0;
	*r->out = (struct ay_turn_result){0};
	ay_config_policy(r->c, r->branch, &r->policy);
	AY_CLOSE int lock = ay_turn_lock(r->s, r->branch, err);
	if (lock < 0)
		return lock;
	int rc = ay_store_finish_switch(r->s, r->branch, &finished, err);
	if (rc == 0 && finished)
		ay_log(AY_LOG_NOTICE, "%s: the switch to serial %u was cut off; it is current now", r->branch,
		       finished);
	if (rc == 0)
		rc = ay_turn_read(r->s, r->branch, t, err);
	r->out->from = r->out->to = t->current;
	return rc < 0 ? rc : ay_steal_fd(&lock);
}

int ay_turn_run_switch(struct ay_store *s, const struct ay_config *c, const char *branch, uint32_t serial,
		       const char *reason, struct ay_turn_result *out, struct ay_err *err)
{
	struct run r = {.s = s, .c = c, .branch = branch, .reason = reason, .out = out};
	struct ay_turn t = {0};
	AY_CLOSE int lock = begin(&r, &t, err);
	if (lock < 0)
		return lock;
	if (serial == 0 && t.ready == 0)
		return ay_err_set(err, AY_ENOTHING, "%s: no release is ready; %u is current", branch,
				  t.current);
	if (serial == 0)
		serial = t.ready;
	if (serial == t.current)
		return ay_err_set(err, AY_ENOTHING, "%s: release %u is the current one", branch, serial);
	return serial < t.current ? backward(&r, &t, serial, err) : forward(&r, &t, serial, err);
}

int ay_turn_run_rollback(struct ay_store *s, const struct ay_config *c, const char *branch, uint32_t serial,
			 struct ay_turn_result *out, struct ay_err *err)
{
	struct run r = {.s = s, .c = c, .branch = branch, .reason = "rollback", .out = out};
	struct ay_turn t = {0};
	AY_CLOSE int lock = begin(&r, &t, err);
	if (lock < 0)
		return lock;
	if (serial && serial == t.current)
		return ay_err_set(err, AY_ENOTHING, "%s: release %u is the current one", branch, serial);
	return backward(&r, &t, serial, err);
}

int ay_turn_run_due(struct ay_store *s, const struct ay_config *c, const char *branch, bool booting,
		    struct ay_turn_result *out, struct ay_err *err)
{
	struct run r = {.s = s, .c = c, .branch = branch, .reason = booting ? "boot" : "update", .out = out};
	struct ay_branch_state b;
	struct ay_turn t = {0};
	AY_CLOSE int lock = begin(&r, &t, err);
	if (lock < 0)
		return lock;
	int rc = ay_state_branch(s, branch, &b, err);
	if (rc < 0)
		return rc;
	/* Early at boot what the checks look at is not up yet: the node does it later. */
	if (t.unconfirmed && !r.policy.confirm_by_boot && !booting) {
		rc = trial_again(&r, &t, err);
		if (rc < 0 || t.ready == 0)
			return rc;
		if ((rc = ay_turn_read(s, branch, &t, err)) < 0)
			return rc;
	}
	if (t.ready == 0 || ay_turn_when(c, &t, &b, booting, NULL) != AY_DUE_NOW)
		return 0;
	return forward(&r, &t, t.ready, err);
}

int ay_turn_run_boot(struct ay_store *s, const struct ay_config *c, const char *branch, bool named,
		     struct ay_turn_result *out, struct ay_err *err)
{
	struct run r = {.s = s, .c = c, .branch = branch, .reason = "boot", .out = out};
	struct ay_turn t = {0};
	char text[AY_ERR_MSG_MAX];
	uint32_t left = 0;
	AY_CLOSE int lock = begin(&r, &t, err);
	if (lock < 0)
		return lock;
	if (!t.unconfirmed || (!r.policy.confirm_by_boot && !named))
		return ay_err_set(err, AY_ENOTHING, "%s %u is not on trial", branch, t.current);
	if (t.tries == 0)
		return go_back(&r, "it was never confirmed in all the boots that it had", err);
	int rc = ay_turn_try(s, branch, &left, err);
	if (rc < 0)
		return rc;
	snprintf(text, sizeof(text), "%s: release %u is on trial; after this boot it has %u left", branch,
		 t.current, left);
	end(&r, AY_TURN_TRIAL, t.current, text);
	return 0;
}

/* ---- when ---- */

/* What the clock is surely past: when the newest head was signed. */
static int64_t clock_floor(const struct ay_branch_state *b)
{
	struct ay_head h;
	return b->has_head && ay_head_parse(b->head, AY_HEAD_SIZE, &h, NULL) == 0 ? (int64_t)h.signed_at_s
										  : 0;
}

enum ay_due ay_turn_when(const struct ay_config *c, const struct ay_turn *t, const struct ay_branch_state *b,
			 bool booting, unsigned *wait_min)
{
	struct ay_policy p;
	struct ay_clock clock;
	if (wait_min)
		*wait_min = 0;
	if (t->stays)
		return AY_DUE_ASK;
	ay_config_policy(c, b->branch, &p);
	ay_clock_now(clock_floor(b), &clock);
	return ay_when_due(&p.when, &clock, booting, wait_min);
}

void ay_turn_words(const struct ay_config *c, const struct ay_turn *t, const struct ay_branch_state *b,
		   char *out, size_t size)
{
	struct ay_policy p;
	char text[AY_WHEN_TEXT];
	ay_config_policy(c, b->branch, &p);
	out[0] = 0;
	if (t->ready == 0)
		return;
	switch (ay_turn_when(c, t, b, false, NULL)) {
	case AY_DUE_NOW:
		snprintf(out, size, "ready, switches now");
		break;
	case AY_DUE_WINDOW:
		snprintf(out, size, "ready, switches at %02u:%02u (%s)", p.when.from_min / 60u,
			 p.when.from_min % 60u, ay_when_text(&p.when, text));
		break;
	case AY_DUE_BOOT:
		snprintf(out, size, "ready, switches at the next boot%s",
			 p.when.kind == AY_WHEN_WINDOW ? " (the clock is wrong, so no window can be kept)"
						       : "");
		break;
	case AY_DUE_ASK:
		if (t->stays)
			snprintf(out, size,
				 "ready, but release %u is pinned: `ayni unpin %s`, or `ayni switch %s`",
				 t->current, b->branch, b->branch);
		else
			snprintf(out, size, "ready, switches when asked: `ayni switch %s`", b->branch);
	}
}
