/* SPDX-License-Identifier: MIT */
/* diff/several.c - a ring of jobs, each with its own reader; threads take them in order, the reader gives them on in order. */
#include "diff/several.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "diff/elf_columns.h"

#define JOBS    16
#define WORKERS 4 /* at most */
#define SMALL                                                                                                \
	(1u << 20) /* bytes of a base, of a file; larger ones have threads of their own (diff/scout.h) */
#define SLACK (320u << 10) /* of a job, besides tables and bytes: a view's buffer, a copy of the reader */

struct job {
	struct ay__reader r; /* as @r was where the record's bytes begin */
	struct ay_err err;
	uint8_t *bytes; /* of the file */
	uint64_t memory;
	int rc;
	bool done;
};

struct ay__several {
	pthread_mutex_t lock;
	pthread_cond_t given, made;
	bool stop;
	unsigned first, n, taken; /* jobs that are not given on yet; of these so many were begun */
	uint64_t memory;          /* of all */
	int failed;               /* what giving on came to: behind that nothing is */
	unsigned n_threads;
	pthread_t threads[WORKERS];
	struct job jobs[JOBS];
};

/* ---- the threads */

static void *work(void *arg)
{
	struct ay__several *s = arg;

	pthread_mutex_lock(&s->lock);
	for (;;) {
		while (s->taken == s->n && !s->stop)
			pthread_cond_wait(&s->given, &s->lock);
		if (s->stop)
			break;
		struct job *j = &s->jobs[(s->first + s->taken++) % JOBS];
		pthread_mutex_unlock(&s->lock);
		int rc = ay__reader_elf(&j->r);
		ay__view_release(&j->r.base);
		pthread_mutex_lock(&s->lock);
		j->rc = rc;
		j->done = true;
		pthread_cond_signal(&s->made);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

static unsigned cores(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;
}

static struct ay__several *several_new(void)
{
	struct ay__several *s = calloc(1, sizeof(*s));
	unsigned n = cores() < WORKERS ? cores() : WORKERS;

	if (!s)
		return NULL;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->given, NULL);
	pthread_cond_init(&s->made, NULL);
	while (s->n_threads < n && pthread_create(&s->threads[s->n_threads], NULL, work, s) == 0)
		s->n_threads++;
	return s;
}

/* ---- giving on */

static int record_wrap(struct ay__reader *r, int rc, const struct ay_bundle_record *rec)
{
	char hex[AY_DIGEST_HEX + 1];

	return ay_err_wrap(r->err, rc, "record %u (%.12s...)", rec->index, ay_digest_hex(&rec->target, hex));
}

/* The oldest job, once it is done. */
static int give_on(struct ay__reader *r)
{
	struct ay__several *s = r->several;
	struct job *j = &s->jobs[s->first];

	pthread_mutex_lock(&s->lock);
	while (!j->done)
		pthread_cond_wait(&s->made, &s->lock);
	pthread_mutex_unlock(&s->lock);
	int rc = j->rc;
	if (rc && r->err)
		*r->err = j->err;
	if (rc == 0)
		rc = ay__output_begin(&r->out, &j->r.r, (struct ay_slice){0}, 0, 0);
	if (rc == 0)
		rc = ay__output_put(&r->out, j->bytes, (size_t)j->r.r.size);
	if (rc == 0)
		rc = ay__output_end(&r->out);
	if (rc)
		s->failed = record_wrap(r, rc, &j->r.r);
	free(j->bytes);
	pthread_mutex_lock(&s->lock);
	s->memory -= j->memory;
	s->first = (s->first + 1) % JOBS;
	s->n--;
	s->taken--;
	pthread_mutex_unlock(&s->lock);
	return rc;
}

int ay__several_finish(struct ay__reader *r)
{
	int rc = r->several ? r->several->failed : 0;

	while (rc == 0 && r->several && r->several->n > 0)
		rc = give_on(r);
	return rc;
}

int ay__several_end(struct ay__reader *r, int rc)
{
	struct ay__several *s = r->several;

	if (!s)
		return rc;
	int q = ay__several_finish(r);
	pthread_mutex_lock(&s->lock);
	s->stop = true;
	pthread_cond_broadcast(&s->given);
	pthread_mutex_unlock(&s->lock);
	for (unsigned i = 0; i < s->n_threads; i++)
		pthread_join(s->threads[i], NULL);
	for (unsigned i = 0; i < s->n; i++) {
		struct job *j = &s->jobs[(s->first + i) % JOBS];

		ay__view_release(&j->r.base);
		free(j->bytes);
	}
	pthread_cond_destroy(&s->made);
	pthread_cond_destroy(&s->given);
	pthread_mutex_destroy(&s->lock);
	free(s);
	r->several = NULL;
	return q ? q : rc;
}

/* ---- the reader's side */

static bool wanted(struct ay__reader *r)
{
	const struct ay_bundle_record *rec = &r->r;

	if (r->skip || !r->out.queue || r->sink->cost || r->out.again || rec->method != AY_METHOD_ELF ||
	    rec->filters || rec->size > SMALL || rec->base_sizes[0] > SMALL)
		return false;
	if (!r->several && !r->no_several) {
		r->several = cores() > 1 ? several_new() : NULL;
		r->no_several = !r->several || r->several->n_threads == 0;
	}
	return !r->no_several;
}

/* A free job, and memory for it; 1: there is never so much. */
static int room(struct ay__reader *r, uint64_t memory)
{
	struct ay__several *s = r->several;
	uint64_t map = ay__btf_map_memory(r->header.map_size);
	uint64_t max = r->header.extra_memory > map ? r->header.extra_memory - map : 0;
	int rc = memory > max ? 1 : 0;

	while (rc == 0 && (s->n == JOBS || s->memory > max - memory))
		rc = give_on(r);
	return rc;
}

/* The record's bytes are passed over, so that @r stands behind them. Not 0: that goes not so, within this part. */
static int pass_over(struct ay__reader *r)
{
	int rc = ay__reader_recipes(r);

	r->skip = r->here = true;
	if (rc == 0)
		rc = ay__reader_elf(r);
	r->skip = r->here = false;
	return rc;
}

/* The copy of the reader becomes one of its own, which gives its bytes to memory. */
static int job_ready(struct ay__reader *r, struct job *j, uint64_t memory)
{
	struct ay__reader *own = &j->r;

	own->here = true;
	own->ahead = NULL;
	own->several = NULL;
	own->base = (struct ay__view){0};
	own->file = (struct ay__view){0};
	own->recipe = (struct ay_buf){0};
	own->out = (struct ay__output){.sink = r->sink, .record = &own->r, .err = &j->err};
	j->done = false;
	j->rc = 0;
	j->memory = memory;
	j->err = (struct ay_err){0};
	j->bytes = malloc((size_t)own->r.size + 1);
	if (!j->bytes)
		return ay_err_errno(r->err, ENOMEM, "a file's bytes");
	own->out.memory = j->bytes;
	int rc = ay__reader_base(own);
	own->err = &j->err;
	if (rc) {
		ay__view_release(&own->base);
		free(j->bytes);
	}
	return rc;
}

int ay__several_record(struct ay__reader *r)
{
	const uint64_t memory = ay__elf_extra_memory(r->r.base_sizes[0]) + r->r.size + SLACK;
	int rc = wanted(r) ? room(r, memory) : 1;

	if (rc == 0) {
		struct ay__several *s = r->several;
		struct job *j = &s->jobs[(s->first + s->n) % JOBS];

		j->r = *r;
		if (pass_over(r)) {
			*r = j->r;
			rc = 1;
		} else {
			rc = ay__reader_recipes(&j->r); /* nothing but its sizes; what it costs was counted */
			rc = rc ? rc : job_ready(r, j, memory);
			if (rc)
				return record_wrap(r, rc, &r->r);
			pthread_mutex_lock(&s->lock);
			s->memory += memory;
			s->n++;
			pthread_cond_signal(&s->given);
			pthread_mutex_unlock(&s->lock);
		}
	}
	if (rc != 1)
		return rc;
	rc = ay__several_finish(r);
	return rc ? rc : 1;
}
