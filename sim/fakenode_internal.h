/* SPDX-License-Identifier: MIT */
/*
 * sim/fakenode_internal.h - what fakemachine.c (the machine) and fakejobs.c (its disk's work, below it) share.
 */
#ifndef AYNI_SIM_FAKENODE_INTERNAL_H
#define AYNI_SIM_FAKENODE_INTERNAL_H

#include "sim/fakedisk.h"

struct ay__fake_job;

/* Jobs, one after the other. */
struct ay__fake_queue {
	struct ay__fake_job *first;
	uint64_t busy_until;
};

struct ay_fakenode {
	struct ay_fakenode_config config;
	struct ay_fakenode_ops ops;
	struct ay_prng prng;
	struct ay_fakedisk disk;
	struct ay_core *core;
	struct ay__fake_queue store, applier, soon; /* soon: answers that wait for nothing but their turn */
	uint64_t deadline_ns;
	bool stepping;
	/* One event into the core, its orders carried out. */
	void (*give)(struct ay_fakenode *n, struct ay_event *ev);
};

static inline uint64_t ay__fake_now(const struct ay_fakenode *n)
{
	return n->ops.now_ns(n->ops.ctx);
}

static inline bool ay__fake_mutant(const struct ay_fakenode *n, enum ay_mutant m)
{
	return n->config.mutants & m;
}

void ay__fake_tell_bundle(struct ay_fakenode *n, const struct ay_fakebundle *b);

/** ay__fake_job_order() - an order for the disk or the applier. */
void ay__fake_job_order(struct ay_fakenode *n, const struct ay_order *o);
void ay__fake_job_open(struct ay_fakenode *n, const struct ay_digest *digest, uint64_t size, bool create);
/** ay__fake_job_closed() - tell the core in its turn that a session is gone. */
void ay__fake_job_closed(struct ay_fakenode *n, uint64_t conn);
/** ay__fake_jobs_next() - when the next one ends; UINT64_MAX: there is none. */
uint64_t ay__fake_jobs_next(const struct ay_fakenode *n);
/** ay__fake_jobs_run() - those whose time has come. */
void ay__fake_jobs_run(struct ay_fakenode *n);
/** ay__fake_jobs_stop() - the process is gone: of those that were running, did they reach the disk? Their answers reached nobody. */
void ay__fake_jobs_stop(struct ay_fakenode *n);
void ay__fake_jobs_release(struct ay_fakenode *n);

#endif
