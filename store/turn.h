/* SPDX-License-Identifier: MIT */
/*
 * store/turn.h - whose turn it is: from a complete tree to one that is current, found good, or left again.
 *
 *     (applied) ──► ready ──► current, on trial ──► current, good
 *                     ▲              │
 *                     │              └─ failed, or out of tries ──► the last good one; the serial is bad
 *                     └── a newer one comes: that one is ready
 *
 * All of it is in the branch's state (store/state.h) and durable before `current` moves, so that after any
 * interruption the same question gives the answer that finishes what was begun:
 *
 *     pending differs from current          it waits; or its switch was begun: ay_store_finish_switch() does the rest
 *     unconfirmed equals current            its trial is not over: check it again, or count one boot
 *
 * What decides, runs hooks and waits for the owner's hour is node/turn_run.c. Here is what it may do.
 */
#ifndef AYNI_STORE_TURN_H
#define AYNI_STORE_TURN_H

#include "store/state.h"

/* How a branch stands. */
struct ay_turn {
	uint32_t current;     /* 0: none yet */
	uint32_t ready;       /* complete, and to become current; 0: none */
	bool back;            /* `ready` is where a rollback was going that was interrupted */
	uint32_t unconfirmed; /* current, and on trial; 0: none */
	uint32_t tries;       /* that it has left */
	uint32_t good; /* found good last, and here; where a trial that fails goes back to; 0: nowhere */
	uint32_t bad;  /* not taken again by itself; 0: none */
	bool stays;    /* the current one is pinned: nothing moves by itself */
	struct ay_pins pinned, kept;
};

/** ay_turn_read() - needs no lock. 0; AY_ESTORE a damaged state or `current`; -errno. */
int ay_turn_read(struct ay_store *s, const char *branch, struct ay_turn *out, struct ay_err *err);

/**
 * ay_turn_lock() - one process at a time moves a branch on: branches/B/.turn, taken before any other lock.
 * Return: an fd that holds it (close it); AY_EBUSY another process does; AY_ENOTHING it has no tree; -errno.
 */
int ay_turn_lock(struct ay_store *s, const char *branch, struct ay_err *err);

/**
 * ay_turn_ready() - @serial is complete and is to become current when its time comes; durable.
 * One that is current, or older than what is current or ready, changes nothing. -ENOENT it is not here.
 */
int ay_turn_ready(struct ay_store *s, const char *branch, uint32_t serial, struct ay_err *err);

/**
 * ay_turn_trial() - make @serial current, on trial: good it is only after ay_turn_confirm().
 * @tries: how often its trial may begin again (checks, or boots). Else as ay_store_switch() with @rollback.
 */
int ay_turn_trial(struct ay_store *s, const char *branch, uint32_t serial, uint32_t tries,
		  struct ay_err *err);
/** ay_turn_try() - count one try of the current one, durably, before it is made. AY_ENOTHING: it is not on trial, or
 * has none left; @left: after this one. */
int ay_turn_try(struct ay_store *s, const char *branch, uint32_t *left, struct ay_err *err);
/** ay_turn_confirm() - the current one is good. @which: its serial. AY_ENOTHING it was not on trial; no tree yet. */
int ay_turn_confirm(struct ay_store *s, const char *branch, uint32_t *which, struct ay_err *err);
/**
 * ay_turn_fail() - the trial failed: back to the last good one; the serial is remembered as bad.
 * @from: what failed. @to: what is current now.
 *
 * Return: 0; AY_ENOTHING it was not on trial; -ENOENT there is nothing to go back to: it stays current, but is remembered.
 */
int ay_turn_fail(struct ay_store *s, const char *branch, uint32_t *from, uint32_t *to, struct ay_err *err);

/**
 * ay_turn_pin() - @serial is never collected; unless @keep_only, the branch also stays there while it is current.
 * Return: 0; AY_ENOTHING it was so already; -ENOENT it is not here; AY_ELIMIT AY_PINS_MAX are pinned.
 */
int ay_turn_pin(struct ay_store *s, const char *branch, uint32_t serial, bool keep_only, struct ay_err *err);
/** ay_turn_unpin() - @serial, or 0: all of the branch. AY_ENOTHING: it was not pinned. */
int ay_turn_unpin(struct ay_store *s, const char *branch, uint32_t serial, struct ay_err *err);

/** ay_pins_has() */
bool ay_pins_has(const struct ay_pins *pins, uint32_t serial);
/** ay_turn_needs() - must the tree @serial stay, whatever room is wanted? For the collector. */
bool ay_turn_needs(const struct ay_turn *t, const struct ay_branch_state *state, uint32_t serial);

#endif
