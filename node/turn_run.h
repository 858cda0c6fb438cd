/* SPDX-License-Identifier: MIT */
/*
 * node/turn_run.h - step 5 of the data's way, with the owner's hooks around it.
 *
 *     pre-switch.d ──► current, on trial ──► post-switch.d ──► health.d ──► good
 *          │ fails                                                │ fails, or no try is left
 *          ▼                                                      ▼
 *     it stays ready                                     back to the last good one; the serial is bad
 *
 * For a process of its own (`ayni switch`, `import`, `rollback`): hooks may take minutes, and the one that runs them
 * waits. What each step leaves behind is durable (store/turn.h), so that after a kill anywhere ay_turn_run_due()
 * goes on. What happened goes into the branch's journal.
 */
#ifndef AYNI_NODE_TURN_RUN_H
#define AYNI_NODE_TURN_RUN_H

#include "node/config.h"
#include "store/turn.h"

enum ay_turn_end {
	AY_TURN_NOTHING,     /* there was nothing to do */
	AY_TURN_SWITCHED,    /* current, and good */
	AY_TURN_TRIAL,       /* current, and on trial until `ayni confirm` */
	AY_TURN_REFUSED,     /* a pre-switch hook said no; it stays ready */
	AY_TURN_ROLLED_BACK, /* its trial failed: what was good is current again */
	AY_TURN_STUCK,       /* its trial failed, and there is nothing to go back to */
};

struct ay_turn_result {
	enum ay_turn_end end;
	uint32_t from, to;            /* current before and now */
	uint32_t tried;               /* the one that it was about */
	char message[AY_ERR_MSG_MAX]; /* a sentence */
};

const char *ay_turn_end_name(enum ay_turn_end e);

/**
 * ay_turn_run_switch() - make @serial (0: what is ready) current now, whatever the setting says.
 * A serial below the current one is a rollback. @reason: for the hooks: update, owner, boot.
 *
 * Return: 0 and @out->end SWITCHED or TRIAL; AY_EHOOK refused; AY_EHEALTH rolled back, or stuck; AY_ENOTHING it is
 *   current already, or none is ready; AY_EBUSY another process is at it; -ENOENT it is not here; -errno.
 */
int ay_turn_run_switch(struct ay_store *s, const struct ay_config *c, const char *branch, uint32_t serial,
		       const char *reason, struct ay_turn_result *out, struct ay_err *err);

/** ay_turn_run_rollback() - the owner goes back to @serial (0: to what was good before). Hooks may not stop it. */
int ay_turn_run_rollback(struct ay_store *s, const struct ay_config *c, const char *branch, uint32_t serial,
			 struct ay_turn_result *out, struct ay_err *err);

/**
 * ay_turn_run_due() - what is to be done with the branch now by itself: finish what was interrupted, begin a trial
 * anew that was not ended, switch to what is ready if it is time. @booting: see ay_when_due(). Errors as above.
 */
int ay_turn_run_due(struct ay_store *s, const struct ay_config *c, const char *branch, bool booting,
		    struct ay_turn_result *out, struct ay_err *err);

/**
 * ay_turn_run_boot() - a boot begins into the current one: count it; with none left, go back. Of branches with
 * confirm = boot, or (@named) of any. Errors as above; AY_ENOTHING not on trial.
 */
int ay_turn_run_boot(struct ay_store *s, const struct ay_config *c, const char *branch, bool named,
		     struct ay_turn_result *out, struct ay_err *err);

/** ay_turn_when() - when what is ready becomes current. AY_DUE_NOW: it is time. @wait_min as in ay_when_due(). */
enum ay_due ay_turn_when(const struct ay_config *c, const struct ay_turn *t, const struct ay_branch_state *b,
			 bool booting, unsigned *wait_min);
/** ay_turn_words() - "ready, switches at the next boot"; "" when nothing waits. */
void ay_turn_words(const struct ay_config *c, const struct ay_turn *t, const struct ay_branch_state *b,
		   char *out, size_t size);

#endif
