/* SPDX-License-Identifier: MIT */
/* diff/ahead.c - one thread, one part. */
#include "diff/ahead.h"

#include <pthread.h>
#include <stdlib.h>

struct ay__ahead {
	int fd;
	uint64_t bundle_size, offset;
	uint32_t part_limit;
	pthread_mutex_t lock;
	pthread_cond_t moved;
	enum { IDLE, BEGUN, DONE } state;
	bool stop;
	int rc;
	struct ay_err err;
	struct ay__section section;
	pthread_t thread;
};

static void *work(void *arg)
{
	struct ay__ahead *a = arg;

	pthread_mutex_lock(&a->lock);
	while (!a->stop) {
		if (a->state != BEGUN) {
			pthread_cond_wait(&a->moved, &a->lock);
			continue;
		}
		pthread_mutex_unlock(&a->lock);
		a->err = (struct ay_err){0};
		int rc = ay__section_read(a->fd, a->offset, a->bundle_size, AY_SECTION_PART, a->part_limit,
					  AY__STREAMS_ALL, &a->section, &a->err);
		pthread_mutex_lock(&a->lock);
		a->rc = rc;
		a->state = DONE;
		pthread_cond_broadcast(&a->moved);
	}
	pthread_mutex_unlock(&a->lock);
	return NULL;
}

struct ay__ahead *ay__ahead_new(int fd, uint64_t bundle_size, uint32_t part_limit)
{
	struct ay__ahead *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->fd = fd;
	a->bundle_size = bundle_size;
	a->part_limit = part_limit;
	a->section.threads = true;
	pthread_mutex_init(&a->lock, NULL);
	pthread_cond_init(&a->moved, NULL);
	if (pthread_create(&a->thread, NULL, work, a) == 0)
		return a;
	pthread_cond_destroy(&a->moved);
	pthread_mutex_destroy(&a->lock);
	free(a);
	return NULL;
}

void ay__ahead_free(struct ay__ahead *a)
{
	if (!a)
		return;
	pthread_mutex_lock(&a->lock);
	a->stop = true;
	pthread_cond_broadcast(&a->moved);
	pthread_mutex_unlock(&a->lock);
	pthread_join(a->thread, NULL);
	pthread_cond_destroy(&a->moved);
	pthread_mutex_destroy(&a->lock);
	ay__section_release(&a->section);
	free(a);
}

void ay__ahead_start(struct ay__ahead *a, uint64_t offset)
{
	pthread_mutex_lock(&a->lock);
	a->offset = offset;
	a->state = BEGUN;
	pthread_cond_broadcast(&a->moved);
	pthread_mutex_unlock(&a->lock);
}

int ay__ahead_take(struct ay__ahead *a, uint64_t offset, struct ay__section *s, struct ay_err *err)
{
	int rc = 1;

	pthread_mutex_lock(&a->lock);
	while (a->state == BEGUN)
		pthread_cond_wait(&a->moved, &a->lock);
	if (a->state == DONE && a->offset == offset) {
		struct ay__section held = *s;
		*s = a->section;
		a->section = held;
		rc = a->rc;
		if (rc && err)
			*err = a->err;
	}
	a->state = IDLE;
	pthread_mutex_unlock(&a->lock);
	return rc;
}
