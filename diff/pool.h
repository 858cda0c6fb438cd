/* SPDX-License-Identifier: MIT */
/*
 * diff/pool.h - threads that carry out jobs, in order, within a budget of memory (internal to diff/).
 *
 * One thread owns the pool: it submits, waits for every job that it submitted, and frees. Jobs are started in the order in which they were submitted,
 * packing before diffing, since packing gives memory back. What a job needs is reserved while it runs; a job that
 * needs more than the budget runs alone.
 */
#ifndef AYNI_DIFF_POOL_H
#define AYNI_DIFF_POOL_H

#include <stdbool.h>
#include <stdint.h>

struct ay__pool;

/* Embedded in the caller's own job, which must stay until it is done. */
struct ay__job {
	void (*run)(struct ay__job *job);
	uint64_t memory; /* bytes reserved while it runs */
	struct ay__job *next;
	bool done;
};

enum ay__queue { AY__QUEUE_PACK, AY__QUEUE_DIFF, AY__QUEUES };

/** ay__pool_new() - @threads >= 1; @memory in bytes. NULL: no memory or no threads. */
struct ay__pool *ay__pool_new(unsigned threads, uint64_t memory);
/** ay__pool_free() - NULL is legal. */
void ay__pool_free(struct ay__pool *pool);
void ay__pool_submit(struct ay__pool *pool, enum ay__queue queue, struct ay__job *job);
/** ay__pool_wait() - until @job has run. */
void ay__pool_wait(struct ay__pool *pool, struct ay__job *job);
/** ay__pool_wait_for() - until @job has run, or @ms milliseconds are over. Has it run? */
bool ay__pool_wait_for(struct ay__pool *pool, struct ay__job *job, unsigned ms);

#endif
