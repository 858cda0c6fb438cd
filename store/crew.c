/* SPDX-License-Identifier: MIT */
/* A stack of tasks, a mutex and two conditions; wake-ups only for who sleeps, because a task is often shorter than one. */
#include "store/crew.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

struct ay__crew {
	pthread_mutex_t lock;
	pthread_cond_t more; /* a task waits, or stop */
	pthread_cond_t idle; /* no task waits or runs */
	struct ay__task *first;
	unsigned waiting, running, sleeping;
	bool stop, awaited;
	unsigned n_threads;
	pthread_t threads[AY__CREW_THREADS_MAX];
};

/* The lock is held, and held again afterwards. */
static void run_one(struct ay__crew *c)
{
	struct ay__task *t = c->first;

	c->first = t->next;
	c->waiting--;
	c->running++;
	pthread_mutex_unlock(&c->lock);
	t->run(t);
	pthread_mutex_lock(&c->lock);
	c->running--;
	if (c->awaited && c->running == 0 && c->waiting == 0)
		pthread_cond_signal(&c->idle);
}

static void *work(void *arg)
{
	struct ay__crew *c = arg;

	pthread_mutex_lock(&c->lock);
	for (;;) {
		if (c->first) {
			run_one(c);
			continue;
		}
		if (c->stop)
			break;
		c->sleeping++;
		pthread_cond_wait(&c->more, &c->lock);
		c->sleeping--;
	}
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

struct ay__crew *ay__crew_new(unsigned threads)
{
	struct ay__crew *c = threads > 1 ? calloc(1, sizeof(*c)) : NULL;

	if (!c)
		return NULL;
	if (threads > AY__CREW_THREADS_MAX)
		threads = AY__CREW_THREADS_MAX;
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->more, NULL);
	pthread_cond_init(&c->idle, NULL);
	while (c->n_threads < threads - 1 && pthread_create(&c->threads[c->n_threads], NULL, work, c) == 0)
		c->n_threads++;
	if (c->n_threads > 0)
		return c;
	ay__crew_free(c);
	return NULL;
}

void ay__crew_free(struct ay__crew *c)
{
	if (!c)
		return;
	pthread_mutex_lock(&c->lock);
	AY_ASSERT(!c->first);
	c->stop = true;
	pthread_cond_broadcast(&c->more);
	pthread_mutex_unlock(&c->lock);
	for (unsigned i = 0; i < c->n_threads; i++)
		pthread_join(c->threads[i], NULL);
	pthread_cond_destroy(&c->idle);
	pthread_cond_destroy(&c->more);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

void ay__crew_give(struct ay__crew *c, struct ay__task *task)
{
	if (!c) {
		task->run(task);
		return;
	}
	pthread_mutex_lock(&c->lock);
	while (c->waiting >= AY__CREW_QUEUE_MAX)
		run_one(c);
	task->next = c->first;
	c->first = task;
	c->waiting++;
	if (c->sleeping > 0)
		pthread_cond_signal(&c->more);
	pthread_mutex_unlock(&c->lock);
}

void ay__crew_wait(struct ay__crew *c)
{
	if (!c)
		return;
	pthread_mutex_lock(&c->lock);
	c->awaited = true;
	while (c->waiting > 0 || c->running > 0) {
		if (c->first)
			run_one(c);
		else
			pthread_cond_wait(&c->idle, &c->lock);
	}
	c->awaited = false;
	pthread_mutex_unlock(&c->lock);
}

/* ---- the first failure ---- */

struct ay__failure {
	pthread_mutex_t lock;
	int code;
	struct ay_err err;
};

struct ay__failure *ay__failure_new(void)
{
	struct ay__failure *f = calloc(1, sizeof(*f));

	if (f)
		pthread_mutex_init(&f->lock, NULL);
	return f;
}

void ay__failure_free(struct ay__failure *f)
{
	if (!f)
		return;
	pthread_mutex_destroy(&f->lock);
	free(f);
}

void ay__failure_set(struct ay__failure *f, int r, const struct ay_err *why)
{
	pthread_mutex_lock(&f->lock);
	if (f->code == 0) {
		f->code = r;
		if (why)
			f->err = *why;
	}
	pthread_mutex_unlock(&f->lock);
}

int ay__failure_get(struct ay__failure *f, struct ay_err *err)
{
	pthread_mutex_lock(&f->lock);
	int r = f->code;
	if (r < 0 && err)
		*err = f->err;
	pthread_mutex_unlock(&f->lock);
	return r;
}
