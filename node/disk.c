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
#include "store/state.h"

#define BRANCH_RETRIES 3     /* somebody else (the applier, the owner) changed the branch's state meanwhile */
#define PROBLEM_LOG_MS 60000 /* the same problem is logged once a minute */

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

/* ---- documents ---- */

static int store_head(struct ay_store *s, const char *branch, const uint8_t *head, struct ay_err *err)
{
	int r = AY_EROLLBACK;
	for (int i = 0; r == AY_EROLLBACK && i < BRANCH_RETRIES; i++) {
		struct ay_branch_state b;
		r = ay_state_branch(s, branch, &b, err);
		if (r < 0)
			return r;
		b.has_head = true;
		memcpy(b.head, head, AY_HEAD_SIZE);
		r = ay_state_set_branch(s, &b, err);
	}
	return r;
}

static void work_store(struct ay__job *j)
{
	struct ay_store *s = j->disk->store;
	if (!s) {
		j->status = ay_err_set(&j->err, -EROFS, "this school has no store");
		return;
	}
	switch (j->order) {
	case AY_ORDER_STORE_ROOT:
		j->status = ay_state_add_root(s, j->data, j->len, &j->err);
		if (j->status == AY_ENOTHING)
			j->status = 0;
		break;
	case AY_ORDER_STORE_RELEASE:
		j->status = ay_state_put_doc(s, AY_DOC_RELEASE, j->data, j->len, &j->err);
		break;
	case AY_ORDER_STORE_OFFER:
		j->status = ay_state_put_doc(s, AY_DOC_OFFER, j->data, j->len, &j->err);
		break;
	default:
		j->status = j->len == AY_HEAD_SIZE
				    ? store_head(s, j->branch, j->data, &j->err)
				    : ay_err_set(&j->err, AY_EFORMAT, "a head of %zu bytes", j->len);
	}
}

void ay_disk_order(struct ay_disk *d, const struct ay_order *order)
{
	if (order->type == AY_ORDER_OPEN_BUNDLE) {
		ay_disk_open(d, &order->bundle.digest, order->bundle.size, true);
		return;
	}
	if (order->type == AY_ORDER_DROP_BUNDLE) {
		ay__disk_drop_bundle(d, &order->bundle.digest);
		return;
	}
	if (order->type == AY_ORDER_FINISH_BUNDLE) {
		ay__disk_finish_bundle(d, order);
		return;
	}
	struct ay__job *j = ay__job_new(d, order->data.data, order->data.len);
	AY_ASSERT(j);
	j->order = order->type;
	j->token = order->token;
	if (order->type == AY_ORDER_STORE_HEAD)
		snprintf(j->branch, sizeof(j->branch), "%s", order->branch.branch);
	j->work = work_store;
	j->done = ay__job_stored;
	ay__job_push(j, NULL);
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

void ay_disk_free(struct ay_disk *d)
{
	if (!d)
		return;
	AY_ASSERT(!d->running);
	ay__disk_close_bundles(d);
	free(d);
}
