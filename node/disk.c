/* SPDX-License-Identifier: MIT */
/*
 * The machine's disk. Orders become jobs in one queue; a job runs on a thread of libuv's pool while the loop goes
 * on, and only one at a time, so that the store needs no locks and orders keep their sequence.
 */
#include "node/disk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "node/disk_internal.h"
#include "node/log.h"
#include "store/budget.h"

#define PROBLEM_LOG_MS 60000 /* the same problem is logged once a minute */

/* ---- an open bundle, as a job holds it ---- */

struct ay_bundle_file *ay_disk_bundle_file(struct ay_disk_bundle *b)
{
	return b->file;
}

uint64_t ay_disk_bundle_size(const struct ay_disk_bundle *b)
{
	return b->size;
}

void ay_disk_bundle_ref(struct ay_disk_bundle *b)
{
	b->refs++;
}

void ay_disk_bundle_unref(struct ay_disk_bundle *b)
{
	AY_ASSERT(b->refs > 0);
	if (--b->refs > 0)
		return;
	ay_bundle_file_close(b->file);
	free(b);
}

/* ---- the queue ---- */

static void start_next(struct ay_disk *d);

static void on_work(uv_work_t *w)
{
	struct ay_disk *d = w->data;
	d->running->work(d->running);
}

static void job_end(struct ay__job *j)
{
	if (j->bundle)
		ay_disk_bundle_unref(j->bundle);
	free(j);
}

static void on_done(uv_work_t *w, int status)
{
	struct ay_disk *d = w->data;
	struct ay__job *j = d->running;
	(void)status; /* nobody cancels */
	d->running = NULL;
	j->done(j);
	job_end(j);
	start_next(d);
}

static void start_next(struct ay_disk *d)
{
	if (d->running || !d->first)
		return;
	d->running = d->first;
	d->first = d->running->next;
	if (!d->first)
		d->last = NULL;
	int r = uv_queue_work(d->loop, &d->work, on_work, on_done);
	AY_ASSERT(r == 0); /* fails only without a work function */
}

struct ay__job *ay__job_new(struct ay_disk *d, const void *data, size_t len)
{
	struct ay__job *j = calloc(1, sizeof(*j) + len);
	if (!j)
		return NULL;
	j->disk = d;
	j->len = len;
	if (len)
		memcpy(j->data, data, len);
	return j;
}

void ay__job_push(struct ay__job *j, struct ay_disk_bundle *b)
{
	struct ay_disk *d = j->disk;
	if (b) {
		j->bundle = b;
		ay_disk_bundle_ref(b);
	}
	if (d->last)
		d->last->next = j;
	else
		d->first = j;
	d->last = j;
	start_next(d);
}

void ay__disk_problem(struct ay_disk *d, const char *text)
{
	uint64_t now = uv_now(d->loop);
	bool same = strcmp(d->problem, text) == 0;
	snprintf(d->problem, sizeof(d->problem), "%s", text);
	if (text[0] && (!same || now - d->logged_ms > PROBLEM_LOG_MS)) {
		ay_log(AY_LOG_ERROR, "%s", text);
		d->logged_ms = now;
	}
}

const char *ay_disk_problem(const struct ay_disk *d)
{
	return d->problem;
}

void ay__disk_post(struct ay_disk *d, const struct ay_event *ev)
{
	if (!d->closed)
		ay_events_post(&d->events, ev);
}

/* A job that only keeps its place in the sequence. */
void ay__job_none(struct ay__job *j)
{
	(void)j;
}

void ay__job_stored(struct ay__job *j)
{
	struct ay_event ev = {.type = AY_EV_STORED, .status = j->status, .token = j->token};
	if (j->status < 0) {
		ay_err_wrap(&j->err, j->status, "store");
		ay__disk_problem(j->disk, j->err.msg);
	}
	ay__disk_post(j->disk, &ev);
}

/* ---- others' jobs ---- */

static void work_ctx(struct ay__job *j)
{
	j->ctx_work(j->ctx);
}

static void done_ctx(struct ay__job *j)
{
	j->ctx_done(j->ctx, j->disk->closed);
}

int ay_disk_job(struct ay_disk *d, void (*work)(void *ctx), void (*done)(void *ctx, bool cancelled),
		void *ctx)
{
	struct ay__job *j = ay__job_new(d, NULL, 0);
	if (!j)
		return -ENOMEM;
	j->work = work_ctx;
	j->done = done_ctx;
	j->ctx_work = work;
	j->ctx_done = done;
	j->ctx = ctx;
	ay__job_push(j, NULL);
	return 0;
}

/* ---- life ---- */

int ay_disk_new(uv_loop_t *loop, struct ay_store *store, const struct ay_events *events, struct ay_disk **out)
{
	struct ay_disk *d = calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	d->loop = loop;
	d->store = store;
	d->events = *events;
	d->work.data = d;
	d->timer.data = d;
	uv_timer_init(loop, &d->timer);
	*out = d;
	return 0;
}

void ay_disk_budget(struct ay_disk *d, const struct ay_config *config, void (*collected)(void *ctx),
		    void *ctx)
{
	d->config = config;
	d->collected = collected;
	d->collected_ctx = ctx;
	if (d->store)
		ay_store_set_reserve(d->store, config->reserve);
}

bool ay_disk_busy(const struct ay_disk *d)
{
	return d->running != NULL;
}

void ay_disk_close(struct ay_disk *d)
{
	d->closed = true;
	uv_close((uv_handle_t *)&d->timer, NULL);
	struct ay__job *j = d->first;
	d->first = d->last = NULL;
	while (j) {
		struct ay__job *next = j->next;
		if (j->ctx_done)
			j->ctx_done(j->ctx, true);
		job_end(j);
		j = next;
	}
}
