/* SPDX-License-Identifier: MIT */
/*
 * The machine's disk. Orders become jobs in one queue; a job runs on a thread of libuv's pool while the loop goes
 * on, and only one at a time, so that the store needs no locks and orders keep their sequence.
 *
 * The one exception is the data path: a block that came is checked and written at once by the loop's thread, because
 * the core must know at once whether to ask somebody else. That is a copy into the page cache; the sync that makes it
 * durable is a job.
 */
#include "node/disk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "node/log.h"
#include "store/state.h"

#define SYNC_CHECK_MS  500
#define BRANCH_RETRIES 3     /* somebody else (the applier, the owner) changed the branch's state meanwhile */
#define PROBLEM_LOG_MS 60000 /* the same problem is logged once a minute */

enum bundle_state { OPENING, OPEN, FINISHING };

struct ay_disk_bundle {
	struct ay_disk *disk;
	struct ay_disk_bundle *next;
	struct ay_digest digest;
	uint64_t size;
	struct ay_bundle_file *file;
	enum bundle_state state;
	bool dropped;   /* no longer in the table */
	bool elsewhere; /* in a repository; not ours to remove */
	unsigned refs;
	uint64_t dirty_bytes, dirty_since_ms;
	bool syncing;
};

struct job {
	struct job *next;
	struct ay_disk *disk;
	/* On the disk's thread; sets status and err. */
	void (*work)(struct job *j);
	/* On the loop's thread. */
	void (*done)(struct job *j);
	int status;
	struct ay_err err;
	enum ay_order_type order;
	uint64_t token;
	struct ay_disk_bundle *bundle; /* referenced */
	struct ay_digest digest;
	uint64_t size;
	bool create;
	struct ay_bundle_file *file;
	char branch[AY_BRANCH_NAME_MAX + 1];
	void (*ctx_work)(void *ctx);
	void (*ctx_done)(void *ctx, bool cancelled);
	void *ctx;
	size_t len;
	uint8_t data[];
};

struct ay_disk {
	uv_loop_t *loop;
	struct ay_store *store;
	struct ay_events events;
	uv_work_t work;
	uv_timer_t timer;
	struct job *first, *last, *running;
	struct ay_disk_bundle *bundles;
	bool closed;
	char problem[AY_ERR_MSG_MAX];
	uint64_t logged_ms;
};

/* ---- the queue ---- */

static void start_next(struct ay_disk *d);

static void on_work(uv_work_t *w)
{
	struct ay_disk *d = w->data;
	d->running->work(d->running);
}

static void job_end(struct job *j)
{
	if (j->bundle)
		ay_disk_bundle_unref(j->bundle);
	free(j);
}

static void on_done(uv_work_t *w, int status)
{
	struct ay_disk *d = w->data;
	struct job *j = d->running;
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

static struct job *job_new(struct ay_disk *d, const void *data, size_t len)
{
	struct job *j = calloc(1, sizeof(*j) + len);
	if (!j)
		return NULL;
	j->disk = d;
	j->len = len;
	if (len)
		memcpy(j->data, data, len);
	return j;
}

static void job_push(struct job *j, struct ay_disk_bundle *b)
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

static void set_problem(struct ay_disk *d, const char *text)
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

static void post(struct ay_disk *d, const struct ay_event *ev)
{
	if (!d->closed)
		ay_events_post(&d->events, ev);
}

/* ---- bundles ---- */

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

static struct ay_disk_bundle *table_find(struct ay_disk *d, const struct ay_digest *digest)
{
	for (struct ay_disk_bundle *b = d->bundles; b; b = b->next) {
		if (ay_digest_eq(&b->digest, digest))
			return b;
	}
	return NULL;
}

struct ay_disk_bundle *ay_disk_find(struct ay_disk *d, const struct ay_digest *digest)
{
	struct ay_disk_bundle *b = table_find(d, digest);
	return b && b->state != OPENING ? b : NULL;
}

/* The table holds one reference. */
static struct ay_disk_bundle *table_add(struct ay_disk *d, const struct ay_digest *digest, uint64_t size)
{
	struct ay_disk_bundle *b = calloc(1, sizeof(*b));
	if (!b)
		return NULL;
	b->disk = d;
	b->digest = *digest;
	b->size = size;
	b->refs = 1;
	b->next = d->bundles;
	d->bundles = b;
	return b;
}

static void table_remove(struct ay_disk *d, struct ay_disk_bundle *b)
{
	struct ay_disk_bundle **p = &d->bundles;
	while (*p != b)
		p = &(*p)->next;
	*p = b->next;
	b->dropped = true;
	ay_disk_bundle_unref(b);
}

static void tell_bundle(struct ay_disk *d, struct ay_disk_bundle *b)
{
	bool whole = ay_bundle_file_whole(b->file);
	struct ay_event ev = {.type = AY_EV_BUNDLE,
			      .bundle = {.digest = b->digest,
					 .size = b->size,
					 .whole = whole,
					 .bitmap = whole ? NULL : ay_bundle_file_bitmap(b->file),
					 .merkle = ay_bundle_file_merkle(b->file)}};
	post(d, &ev);
}

static void tell_gone(struct ay_disk *d, const struct ay_digest *digest, int status)
{
	struct ay_event ev = {.type = AY_EV_BUNDLE_GONE, .status = status, .bundle = {.digest = *digest}};
	post(d, &ev);
}

static void work_open(struct job *j)
{
	j->status = j->disk->store ? ay_bundle_file_open(j->disk->store, &j->digest, j->size, j->create,
							 &j->file, &j->err)
				   : ay_err_set(&j->err, -EROFS, "this school has no store");
}

static void done_open(struct job *j)
{
	struct ay_disk *d = j->disk;
	struct ay_disk_bundle *b = j->bundle;
	if (j->status == 0) {
		b->file = j->file;
		b->state = OPEN;
	}
	if (b->dropped)
		return;
	if (j->status == 0) {
		set_problem(d, "");
		tell_bundle(d, b);
		return;
	}
	if (j->status != -ENOENT || j->create) {
		ay_err_wrap(&j->err, j->status, "open bundle");
		set_problem(d, j->err.msg);
	}
	struct ay_digest digest = b->digest;
	table_remove(d, b);
	tell_gone(d, &digest, j->status);
}

/* A job that only keeps its place in the sequence. */
static void work_none(struct job *j)
{
	(void)j;
}

/* Tell what is open; in its turn, because an order's answer never comes inside the order. */
static void done_tell(struct job *j)
{
	if (!j->bundle->dropped && j->bundle->state != OPENING)
		tell_bundle(j->disk, j->bundle);
}

static void done_no_memory(struct job *j)
{
	tell_gone(j->disk, &j->digest, -ENOMEM);
}

void ay_disk_open(struct ay_disk *d, const struct ay_digest *digest, uint64_t size, bool create)
{
	struct job *j = job_new(d, NULL, 0);
	if (!j) {
		ay_log(AY_LOG_ERROR, "out of memory: cannot open a bundle");
		return;
	}
	j->digest = *digest;
	j->size = size;
	j->create = create;
	struct ay_disk_bundle *b = table_find(d, digest);
	if (b && b->state == OPENING) {
		free(j); /* the answer is on its way */
		return;
	}
	if (b) {
		j->work = work_none;
		j->done = done_tell;
		job_push(j, b);
		return;
	}
	b = table_add(d, digest, size);
	j->work = b ? work_open : work_none;
	j->done = b ? done_open : done_no_memory;
	job_push(j, b);
}

void ay_disk_adopt(struct ay_disk *d, const struct ay_digest *digest, struct ay_bundle_file *file)
{
	struct ay_disk_bundle *b = table_find(d, digest);
	if (b || d->closed || !(b = table_add(d, digest, ay_merkle_size(ay_bundle_file_merkle(file))))) {
		ay_bundle_file_close(file);
		return;
	}
	b->file = file;
	b->state = OPEN;
	b->elsewhere = true;
	tell_bundle(d, b);
}

void ay_disk_forget(struct ay_disk *d, bool elsewhere, const struct ay_digest *keep, size_t n)
{
	struct ay_disk_bundle *b = d->bundles;
	while (b) {
		bool kept = b->state != OPEN || b->elsewhere != elsewhere;
		for (size_t i = 0; i < n && !kept; i++)
			kept = ay_digest_eq(&b->digest, &keep[i]);
		struct ay_digest digest = b->digest;
		struct ay_disk_bundle *next = b->next;
		if (!kept) {
			table_remove(d, b);
			tell_gone(d, &digest, -ENOENT);
			next = d->bundles; /* the core may have dropped others meanwhile */
		}
		b = next;
	}
}

static void work_drop(struct job *j)
{
	if (j->disk->store)
		j->status = ay_bundles_drop(j->disk->store, &j->digest, &j->err);
}

static void done_drop(struct job *j)
{
	if (j->status < 0 && j->status != -ENOENT) {
		ay_err_wrap(&j->err, j->status, "remove bundle");
		set_problem(j->disk, j->err.msg);
	}
}

/* The name goes at once, the file when nobody reads it any more. */
static void drop_bundle(struct ay_disk *d, const struct ay_digest *digest)
{
	struct ay_disk_bundle *b = table_find(d, digest);
	bool elsewhere = b && b->elsewhere;
	if (b)
		table_remove(d, b);
	struct job *j = elsewhere ? NULL : job_new(d, NULL, 0);
	if (!j)
		return;
	j->digest = *digest;
	j->work = work_drop;
	j->done = done_drop;
	job_push(j, NULL);
}

/* ---- data ---- */

static void work_sync(struct job *j)
{
	j->status = ay_bundle_file_sync(j->bundle->file, &j->err);
}

/* After a failed sync nobody knows what is on the disk: throw it away, begin again, never sync again. */
static void done_sync(struct job *j)
{
	struct ay_disk_bundle *b = j->bundle;
	b->syncing = false;
	if (j->status == 0 || b->dropped)
		return;
	ay_err_wrap(&j->err, j->status, "sync bundle");
	set_problem(j->disk, j->err.msg);
	struct ay_digest digest = b->digest;
	drop_bundle(j->disk, &digest);
	tell_gone(j->disk, &digest, j->status);
}

static void sync_bundle(struct ay_disk_bundle *b)
{
	struct job *j = job_new(b->disk, NULL, 0);
	if (!j)
		return; /* the timer tries again */
	b->dirty_bytes = 0;
	b->syncing = true;
	j->work = work_sync;
	j->done = done_sync;
	job_push(j, b);
}

static void on_timer(uv_timer_t *t)
{
	struct ay_disk *d = t->data;
	uint64_t now = uv_now(d->loop);
	bool dirty = false;
	for (struct ay_disk_bundle *b = d->bundles; b; b = b->next) {
		if (b->dirty_bytes == 0)
			continue;
		if (!b->syncing && b->state == OPEN &&
		    now - b->dirty_since_ms >= AY_DISK_SYNC_MS - SYNC_CHECK_MS / 2)
			sync_bundle(b);
		else
			dirty = true;
	}
	if (!dirty)
		uv_timer_stop(t);
}

static void note_written(struct ay_disk_bundle *b, size_t len)
{
	struct ay_disk *d = b->disk;
	if (b->dirty_bytes == 0)
		b->dirty_since_ms = uv_now(d->loop);
	b->dirty_bytes += len;
	if (b->dirty_bytes >= AY_DISK_SYNC_BYTES && !b->syncing)
		sync_bundle(b);
	else if (!uv_is_active((uv_handle_t *)&d->timer))
		uv_timer_start(&d->timer, on_timer, SYNC_CHECK_MS, SYNC_CHECK_MS);
}

static int write_status(struct ay_disk_bundle *b, int r, size_t len, struct ay_err *err)
{
	if (r == 0) {
		note_written(b, len);
		if (b->disk->problem[0])
			set_problem(b->disk, "");
	} else if (r > -5000 && r != -EAGAIN) {
		ay_err_wrap(err, r, "write bundle");
		set_problem(b->disk, err->msg);
	}
	return r;
}

int ay_disk_write_block(struct ay_disk *d, const struct ay_digest *digest, uint32_t index, const void *data,
			size_t len)
{
	struct ay_disk_bundle *b = ay_disk_find(d, digest);
	struct ay_err err = {0};
	if (!b)
		return -ENOENT;
	/* The disk's thread may be naming it right now; everything is here anyway. */
	if (b->state == FINISHING || b->elsewhere || ay_bundle_file_whole(b->file))
		return ay_merkle_check(ay_bundle_file_merkle(b->file), (uint64_t)index * AY_BLOCK_SIZE, data,
				       len);
	return write_status(b, ay_bundle_file_write(b->file, index, data, len, &err), len, &err);
}

int ay_disk_write_hashes(struct ay_disk *d, const struct ay_digest *digest, unsigned level, uint32_t index,
			 const uint8_t *block)
{
	struct ay_disk_bundle *b = ay_disk_find(d, digest);
	struct ay_err err = {0};
	if (!b)
		return -ENOENT;
	if (b->state == FINISHING || b->elsewhere || ay_bundle_file_whole(b->file))
		return ay_merkle_add(ay_bundle_file_merkle(b->file), level, index, block);
	return write_status(b, ay_bundle_file_add_hashes(b->file, level, index, block, &err), AY_LEAF_SIZE,
			    &err);
}

static void work_finish(struct job *j)
{
	j->status = ay_bundle_file_finish(j->bundle->file, &j->err);
}

static void tell_stored(struct job *j)
{
	struct ay_event ev = {.type = AY_EV_STORED, .status = j->status, .token = j->token};
	if (j->status < 0) {
		ay_err_wrap(&j->err, j->status, "store");
		set_problem(j->disk, j->err.msg);
	}
	post(j->disk, &ev);
}

static void done_finish(struct job *j)
{
	j->bundle->state = OPEN;
	tell_stored(j);
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

static void work_store(struct job *j)
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

static void finish_bundle(struct ay_disk *d, const struct ay_order *order)
{
	struct ay_disk_bundle *b = ay_disk_find(d, &order->bundle.digest);
	struct job *j = job_new(d, NULL, 0);
	AY_ASSERT(j); /* an order that cannot be answered would stall the core for good */
	j->token = order->token;
	j->work = work_finish;
	j->done = done_finish;
	if (!b) {
		j->status = -ENOENT;
		j->work = work_none;
		j->done = tell_stored;
	} else {
		b->state = FINISHING;
		b->dirty_bytes = 0;
	}
	job_push(j, b);
}

void ay_disk_order(struct ay_disk *d, const struct ay_order *order)
{
	if (order->type == AY_ORDER_OPEN_BUNDLE) {
		ay_disk_open(d, &order->bundle.digest, order->bundle.size, true);
		return;
	}
	if (order->type == AY_ORDER_DROP_BUNDLE) {
		drop_bundle(d, &order->bundle.digest);
		return;
	}
	if (order->type == AY_ORDER_FINISH_BUNDLE) {
		finish_bundle(d, order);
		return;
	}
	struct job *j = job_new(d, order->data.data, order->data.len);
	AY_ASSERT(j);
	j->order = order->type;
	j->token = order->token;
	if (order->type == AY_ORDER_STORE_HEAD)
		snprintf(j->branch, sizeof(j->branch), "%s", order->branch.branch);
	j->work = work_store;
	j->done = tell_stored;
	job_push(j, NULL);
}

/* ---- others' jobs ---- */

static void work_ctx(struct job *j)
{
	j->ctx_work(j->ctx);
}

static void done_ctx(struct job *j)
{
	j->ctx_done(j->ctx, j->disk->closed);
}

int ay_disk_job(struct ay_disk *d, void (*work)(void *ctx), void (*done)(void *ctx, bool cancelled),
		void *ctx)
{
	struct job *j = job_new(d, NULL, 0);
	if (!j)
		return -ENOMEM;
	j->work = work_ctx;
	j->done = done_ctx;
	j->ctx_work = work;
	j->ctx_done = done;
	j->ctx = ctx;
	job_push(j, NULL);
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
	struct job *j = d->first;
	d->first = d->last = NULL;
	while (j) {
		struct job *next = j->next;
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
	while (d->bundles)
		table_remove(d, d->bundles);
	free(d);
}
