/* SPDX-License-Identifier: MIT */
/*
 * store/hash_pool.h - inside store/: threads that hash open files, or do what else is to be done with each.
 *
 * Jobs are given by one thread, finish in any order, and are waited for one by one.
 */
#ifndef AYNI_STORE_HASH_POOL_H
#define AYNI_STORE_HASH_POOL_H

#include <limits.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "base/digest.h"

#define AY__HASH_THREADS_MAX 64
#define AY__HASH_QUEUE_MAX   128      /* open files that wait: far below the usual limit of 1024 */
#define AY__HASH_INLINE      UINT_MAX /* as number of threads: none, the giver works itself, job after job */

/* What a thread has for its jobs. */
struct ay__hash_tools {
	struct ay_hasher *hasher;
	uint8_t *buf; /* AY__HASH_READ_SIZE bytes */
	const atomic_bool *stop;
};
#define AY__HASH_READ_SIZE (256u * 1024)

struct ay__hash_job {
	int fd;             /* the pool closes it */
	struct stat before; /* fstat() of it by whoever gives the job */
	/* What is done with it, in any thread; NULL: ay__hash_job_read(). Its return is the job's rc. */
	int (*work)(struct ay__hash_job *job, struct ay__hash_tools *tools);
	struct ay_digest digest;
	int rc;    /* 0; AY_EBUSY the file changed while it was read; -errno; -ECANCELED the pool was freed */
	bool done; /* the pool's, under its lock */
	struct ay__hash_job *next; /* the pool's */
};

struct ay__hash_pool;

/** ay__hash_pool_new() - @threads 0: one per core that we may use. NULL: out of memory. */
struct ay__hash_pool *ay__hash_pool_new(unsigned threads);
/** ay__hash_pool_free() - jobs that nobody began are cancelled, those begun are cut short and awaited. */
void ay__hash_pool_free(struct ay__hash_pool *p);
/** ay__hash_pool_give() - waits while AY__HASH_QUEUE_MAX jobs wait. @job lives until it is done. */
void ay__hash_pool_give(struct ay__hash_pool *p, struct ay__hash_job *job);
/** ay__hash_pool_done() - is it done? @wait: first wait until it is. */
bool ay__hash_pool_done(struct ay__hash_pool *p, struct ay__hash_job *job, bool wait);

/**
 * ay__hash_job_read() - the digest of the job's file, if it did not change since @job->before was taken.
 * 0 and @job->digest; AY_EBUSY; -errno; -ECANCELED.
 */
int ay__hash_job_read(struct ay__hash_job *job, struct ay__hash_tools *tools);
/** ay__hash_job_wait() - wait until each later write to the file would show in its ctime. */
void ay__hash_job_wait(const struct ay__hash_job *job);

/** ay__stat_same() - the same inode with the same content, as far as stat(2) can tell. */
bool ay__stat_same(const struct stat *a, const struct stat *b);
/** ay__cpu_count() - cores that this process may use, 1..AY__HASH_THREADS_MAX. */
unsigned ay__cpu_count(void);

#endif
