/* SPDX-License-Identifier: MIT */
/* diff/scout.c - one block, or a ring of them that a thread fills; each side wakes the other only when it sleeps. */
#include "diff/scout.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define BLOCKS 5  /* 0.7 MiB: of what AY_BUNDLE_THREADS_MEMORY allows */
#define MARGIN 64 /* around a field, what it is looked at with: rows, pairs of instructions */

struct ay__scout {
	struct ay__aimer *a;
	struct ay_err *err;
	uint32_t copy; /* that comes next, and */
	uint64_t in;   /* bytes of it that went before */
	struct ay__scouted *blocks;
	unsigned n_blocks;
	/* between the threads */
	bool threads, stop, filler_sleeps, taker_sleeps;
	bool taken;        /* the first one is in the taker's hands */
	unsigned first, n; /* blocks that are filled, that one among them */
	pthread_mutex_t lock;
	pthread_cond_t filled, emptied;
	pthread_t thread;
};

/* Bytes of the copy in hand, @n at most, to the end of @b. Returns how many; 0: @b is full. */
static size_t portion_take(struct ay__scout *s, struct ay__scouted *b, size_t n)
{
	const struct ay__copy *c = &s->a->copies[s->copy];
	const uint8_t *kind = s->a->fields->kind;
	uint64_t from = c->old + s->in, at = from;
	const uint8_t *p;

	/* No field is cut by the size of a block. */
	while (n > 0 && s->in + n < c->len && kind[from + n] == AY__FIELD_INSIDE)
		n--;
	if (n == 0)
		return 0;
	ay__source_load(s->a->src, from > MARGIN ? from - MARGIN : 0, n + 2 * (size_t)MARGIN);
	p = ay__source_at(s->a->src, from, n);
	if (!p)
		return 0;
	memcpy(b->bytes + b->len, p, n);
	struct ay__aim *aims = b->aims + b->n;
	uint32_t got = ay__aims_take(s->a, &at, from + n, c->new_ - c->old, aims, AY__SCOUT_AIMS - b->n);
	for (uint32_t i = 0; i < got; i++)
		aims[i].offset = (uint16_t)(b->len + (aims[i].at - from));
	b->n += got;
	b->len += (uint32_t)(at - from);
	return (size_t)(at - from);
}

static void fill(struct ay__scout *s, struct ay__scouted *b)
{
	b->len = b->n = 0;
	b->rc = 0;
	while (s->copy < s->a->n_copies && b->len < AY__SCOUT_BYTES) {
		const struct ay__copy *c = &s->a->copies[s->copy];
		uint64_t left = c->len - s->in, room = AY__SCOUT_BYTES - b->len;
		size_t n = portion_take(s, b, (size_t)(left < room ? left : room));

		if (s->a->src->rc) {
			b->rc = s->a->src->rc;
			b->err = *s->err;
			return;
		}
		if (n == 0)
			return;
		s->in += n;
		if (s->in == c->len) {
			s->copy++;
			s->in = 0;
		}
	}
}

static void *work(void *arg)
{
	struct ay__scout *s = arg;

	pthread_mutex_lock(&s->lock);
	while (!s->stop && s->copy < s->a->n_copies) {
		if (s->n == s->n_blocks) {
			s->filler_sleeps = true;
			pthread_cond_wait(&s->emptied, &s->lock);
			s->filler_sleeps = false;
			continue;
		}
		struct ay__scouted *b = &s->blocks[(s->first + s->n) % s->n_blocks];
		pthread_mutex_unlock(&s->lock);
		fill(s, b);
		bool failed = b->rc != 0;
		pthread_mutex_lock(&s->lock);
		s->n++;
		/* Some at once, or the last ones: to be woken for each block would cost more than to fill it. */
		if (s->taker_sleeps && (failed || s->n > s->n_blocks / 2 || s->copy == s->a->n_copies))
			pthread_cond_signal(&s->filled);
		if (failed)
			break;
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

/* False: no memory for the ring, or no thread. */
static bool thread_start(struct ay__scout *s)
{
	s->blocks = malloc(BLOCKS * sizeof(*s->blocks));
	if (!s->blocks)
		return false;
	s->n_blocks = BLOCKS;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->filled, NULL);
	pthread_cond_init(&s->emptied, NULL);
	if (pthread_create(&s->thread, NULL, work, s) == 0)
		return true;
	pthread_cond_destroy(&s->emptied);
	pthread_cond_destroy(&s->filled);
	pthread_mutex_destroy(&s->lock);
	free(s->blocks);
	s->blocks = NULL;
	return false;
}

struct ay__scout *ay__scout_new(struct ay__aimer *a, struct ay_err *err, bool thread)
{
	struct ay__scout *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->a = a;
	s->err = err;
	s->threads = thread && thread_start(s);
	if (!s->threads)
		s->blocks = malloc(sizeof(*s->blocks));
	if (s->blocks)
		return s;
	free(s);
	return NULL;
}

void ay__scout_free(struct ay__scout *s)
{
	if (!s)
		return;
	if (s->threads) {
		pthread_mutex_lock(&s->lock);
		s->stop = true;
		pthread_cond_signal(&s->emptied);
		pthread_mutex_unlock(&s->lock);
		pthread_join(s->thread, NULL);
		pthread_cond_destroy(&s->emptied);
		pthread_cond_destroy(&s->filled);
		pthread_mutex_destroy(&s->lock);
	}
	free(s->blocks);
	free(s);
}

struct ay__scouted *ay__scout_next(struct ay__scout *s)
{
	if (!s->threads) {
		fill(s, s->blocks);
		return s->blocks;
	}
	pthread_mutex_lock(&s->lock);
	if (s->taken) {
		s->first = (s->first + 1) % s->n_blocks;
		s->n--;
		/* Likewise. */
		if (s->filler_sleeps && s->n <= s->n_blocks / 2)
			pthread_cond_signal(&s->emptied);
	}
	while (s->n == 0) {
		s->taker_sleeps = true;
		pthread_cond_wait(&s->filled, &s->lock);
		s->taker_sleeps = false;
	}
	s->taken = true;
	struct ay__scouted *b = &s->blocks[s->first];
	pthread_mutex_unlock(&s->lock);
	return b;
}
