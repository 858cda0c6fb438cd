/* SPDX-License-Identifier: MIT */
/*
 * store/crew.h - inside store/: many small changes of the disk, carried out by several threads.
 *
 * Making and removing names is mostly waiting: for locks of directories, for blocks, for a disk that discards what was
 * freed. So tasks are given in any number, done in any order, and waited for all together, before a sync or a rename that
 * rests on them. Whoever gives tasks, or waits, takes part in the work. No crew (NULL) means: each task is done at once by
 * who gives it, in one order; so the fault tests know which system call is the next.
 */
#ifndef AYNI_STORE_CREW_H
#define AYNI_STORE_CREW_H

#include "base/error.h"

#define AY__CREW_THREADS_MAX 16
#define AY__CREW_QUEUE_MAX   256 /* tasks that wait; who gives more does one itself first */

struct ay__crew;

/* Embedded in the caller's own; @run may free it. */
struct ay__task {
	void (*run)(struct ay__task *task);
	struct ay__task *next; /* the crew's */
};

/** ay__crew_new() - @threads, the caller's own among them; below 2, or when none can be made: NULL, which is legal. */
struct ay__crew *ay__crew_new(unsigned threads);
/** ay__crew_free() - after ay__crew_wait(), or when no task was given. NULL is legal. */
void ay__crew_free(struct ay__crew *c);
/** ay__crew_give() - from any thread, a task's too. The newest is taken first: so what is begun comes to its end. */
void ay__crew_give(struct ay__crew *c, struct ay__task *task);
/** ay__crew_wait() - until no task waits or runs. Not from within a task. */
void ay__crew_wait(struct ay__crew *c);

/* The first failure of many tasks. */
struct ay__failure;
struct ay__failure *ay__failure_new(void);
void ay__failure_free(struct ay__failure *f);
/** ay__failure_set() - @r negative; only the first counts. @why: its sentence, may be NULL. */
void ay__failure_set(struct ay__failure *f, int r, const struct ay_err *why);
/** ay__failure_get() - 0: none so far; else its code, and the sentence in @err (may be NULL). */
int ay__failure_get(struct ay__failure *f, struct ay_err *err);

#endif
