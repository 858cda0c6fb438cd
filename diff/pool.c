/* SPDX-License-Identifier: MIT */
/*
 * diff/pool.c - a mutex, two conditions and two queues.
 */
#include "diff/pool.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/error.h"

struct ay__pool {
	pthread_mutex_t lock;
	pthread_cond_t work; /* something to take, or memory came back, or stopping */
	pthread_cond_t done;
	struct ay__job *first[AY__QUEUES], *last[AY__QUEUES];
	uint64_t memory, used;
	unsigned running;
	bool stop;
	unsigned n_threads;
	pthread_t threads[];
};

/* The next job, if its memory is free; the lock is held. */
static struct ay__job *take(struct ay__pool *p)
{
	for (unsigned q = 0; q < AY__QUEUES; q++) {
		struct ay__job *job = p->first[q];

		if (!job)
			continue;
		if (p->running && (job->memory > p->memory || p->used > p->memory - job->memory))
			return NULL;
		p->first[q] = job->next;
		p->used += job->memory;
		p->running++;
		return job;
	}
	return NULL;
}

static void *worker(void *arg)
{
	struct ay__pool *p = arg;

	pthread_mutex_lock(&p->lock);
	while (!p->stop) {
		struct ay__job *job = take(p);

		if (!job) {
			pthread_cond_wait(&p->work, &p->lock);
			continue;
		}
		pthread_mutex_unlock(&p->lock);
		job->run(job);
		pthread_mutex_lock(&p->lock);
		p->used -= job->memory;
		p->running--;
		job->done = true;
		pthread_cond_broadcast(&p->work);
		pthread_cond_broadcast(&p->done);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

struct ay__pool *ay__pool_new(unsigned threads, uint64_t memory)
{
	struct ay__pool *p = calloc(1, sizeof(*p) + threads * sizeof(p->threads[0]));

	AY_ASSERT(threads > 0);
	if (!p)
		return NULL;
	p->memory = memory;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->work, NULL);
	pthread_cond_init(&p->done, NULL);
	while (p->n_threads < threads && pthread_create(&p->threads[p->n_threads], NULL, worker, p) == 0)
		p->n_threads++;
	/* Fewer threads than asked for are slower, none is nothing. */
	if (p->n_threads == 0) {
		ay__pool_free(p);
		return NULL;
	}
	return p;
}

void ay__pool_free(struct ay__pool *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->stop = true;
	pthread_cond_broadcast(&p->work);
	pthread_mutex_unlock(&p->lock);
	for (unsigned i = 0; i < p->n_threads; i++)
		pthread_join(p->threads[i], NULL);
	pthread_cond_destroy(&p->work);
	pthread_cond_destroy(&p->done);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

void ay__pool_submit(struct ay__pool *p, enum ay__queue queue, struct ay__job *job)
{
	job->next = NULL;
	job->done = false;
	pthread_mutex_lock(&p->lock);
	if (p->first[queue])
		p->last[queue]->next = job;
	else
		p->first[queue] = job;
	p->last[queue] = job;
	pthread_cond_signal(&p->work);
	pthread_mutex_unlock(&p->lock);
}

void ay__pool_wait(struct ay__pool *p, struct ay__job *job)
{
	pthread_mutex_lock(&p->lock);
	while (!job->done)
		pthread_cond_wait(&p->done, &p->lock);
	pthread_mutex_unlock(&p->lock);
}

bool ay__pool_wait_for(struct ay__pool *p, struct ay__job *job, unsigned ms)
{
	struct timespec until;
	int rc = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += ms / 1000;
	until.tv_nsec += ms % 1000 * 1000000L;
	if (until.tv_nsec >= 1000000000L) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000L;
	}
	pthread_mutex_lock(&p->lock);
	while (!job->done && rc == 0)
		rc = pthread_cond_clockwait(&p->done, &p->lock, CLOCK_MONOTONIC, &until);
	bool done = job->done;
	pthread_mutex_unlock(&p->lock);
	return done;
}
