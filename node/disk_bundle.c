/* SPDX-License-Identifier: MIT */
/*
 * The bundles that are open, and their data.
 *
 * The one exception from the queue is the data path: a block that came is checked and written at once by the loop's
 * thread, because the core must know at once whether to ask somebody else. That is a copy into the page cache; the
 * sync that makes it durable is a job.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "node/collect.h"
#include "node/disk_internal.h"
#include "node/log.h"

#define SYNC_CHECK_MS 500

/* ---- the table ---- */

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
	return b && b->state != AY__OPENING ? b : NULL;
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
	ay__disk_post(d, &ev);
}

static void tell_gone(struct ay_disk *d, const struct ay_digest *digest, int status)
{
	struct ay_event ev = {.type = AY_EV_BUNDLE_GONE, .status = status, .bundle = {.digest = *digest}};
	ay__disk_post(d, &ev);
}

static void work_open(struct ay__job *j)
{
	struct ay_disk *d = j->disk;
	if (!d->store) {
		j->status = ay_err_set(&j->err, -EROFS, "this school has no store");
		return;
	}
	j->status = ay_bundle_file_open(d->store, &j->digest, j->size, j->create, &j->file, &j->err);
	/* What is only kept for others' sake makes room. */
	if (j->status == 0 || !d->config || !j->create ||
	    !ay_collect_for(d->store, d->config, j->status, j->size + j->size / 32))
		return;
	j->collected = true;
	j->err = (struct ay_err){0};
	j->status = ay_bundle_file_open(d->store, &j->digest, j->size, j->create, &j->file, &j->err);
}

static void done_open(struct ay__job *j)
{
	struct ay_disk *d = j->disk;
	struct ay_disk_bundle *b = j->bundle;
	if (j->collected && d->collected && !d->closed)
		d->collected(d->collected_ctx);
	if (j->status == 0) {
		b->file = j->file;
		b->state = AY__OPEN;
	}
	if (b->dropped)
		return;
	if (j->status == 0) {
		ay__disk_problem(d, "");
		tell_bundle(d, b);
		return;
	}
	if (j->status != -ENOENT || j->create) {
		ay_err_wrap(&j->err, j->status, "open bundle");
		ay__disk_problem(d, j->err.msg);
	}
	struct ay_digest digest = b->digest;
	table_remove(d, b);
	tell_gone(d, &digest, j->status);
}

/* Tell what is open; in its turn, because an order's answer never comes inside the order. */
static void done_tell(struct ay__job *j)
{
	if (!j->bundle->dropped && j->bundle->state != AY__OPENING)
		tell_bundle(j->disk, j->bundle);
}

static void done_no_memory(struct ay__job *j)
{
	tell_gone(j->disk, &j->digest, -ENOMEM);
}

void ay_disk_open(struct ay_disk *d, const struct ay_digest *digest, uint64_t size, bool create)
{
	struct ay__job *j = ay__job_new(d, NULL, 0);
	if (!j) {
		ay_log(AY_LOG_ERROR, "out of memory: cannot open a bundle");
		return;
	}
	j->digest = *digest;
	j->size = size;
	j->create = create;
	struct ay_disk_bundle *b = table_find(d, digest);
	if (b && b->state == AY__OPENING) {
		free(j); /* the answer is on its way */
		return;
	}
	if (b) {
		j->work = ay__job_none;
		j->done = done_tell;
		ay__job_push(j, b);
		return;
	}
	b = table_add(d, digest, size);
	j->work = b ? work_open : ay__job_none;
	j->done = b ? done_open : done_no_memory;
	ay__job_push(j, b);
}

void ay_disk_adopt(struct ay_disk *d, const struct ay_digest *digest, struct ay_bundle_file *file)
{
	struct ay_disk_bundle *b = table_find(d, digest);
	if (b || d->closed || !(b = table_add(d, digest, ay_merkle_size(ay_bundle_file_merkle(file))))) {
		ay_bundle_file_close(file);
		return;
	}
	b->file = file;
	b->state = AY__OPEN;
	b->elsewhere = true;
	tell_bundle(d, b);
}

void ay_disk_forget(struct ay_disk *d, bool elsewhere, const struct ay_digest *keep, size_t n)
{
	struct ay_disk_bundle *b = d->bundles;
	while (b) {
		bool kept = b->state != AY__OPEN || b->elsewhere != elsewhere;
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

static void work_drop(struct ay__job *j)
{
	if (j->disk->store)
		j->status = ay_bundles_drop(j->disk->store, &j->digest, &j->err);
}

static void done_drop(struct ay__job *j)
{
	if (j->status < 0 && j->status != -ENOENT) {
		ay_err_wrap(&j->err, j->status, "remove bundle");
		ay__disk_problem(j->disk, j->err.msg);
	}
}

/* The name goes at once, the file when nobody reads it any more. */
void ay__disk_drop_bundle(struct ay_disk *d, const struct ay_digest *digest)
{
	struct ay_disk_bundle *b = table_find(d, digest);
	bool elsewhere = b && b->elsewhere;
	if (b)
		table_remove(d, b);
	struct ay__job *j = elsewhere ? NULL : ay__job_new(d, NULL, 0);
	if (!j)
		return;
	j->digest = *digest;
	j->work = work_drop;
	j->done = done_drop;
	ay__job_push(j, NULL);
}

/* ---- data ---- */

static void work_sync(struct ay__job *j)
{
	j->status = ay_bundle_file_sync(j->bundle->file, &j->err);
}

/* After a failed sync nobody knows what is on the disk: throw it away, begin again, never sync again. */
static void done_sync(struct ay__job *j)
{
	struct ay_disk_bundle *b = j->bundle;
	b->syncing = false;
	if (j->status == 0 || b->dropped)
		return;
	ay_err_wrap(&j->err, j->status, "sync bundle");
	ay__disk_problem(j->disk, j->err.msg);
	struct ay_digest digest = b->digest;
	ay__disk_drop_bundle(j->disk, &digest);
	tell_gone(j->disk, &digest, j->status);
}

static void sync_bundle(struct ay_disk_bundle *b)
{
	struct ay__job *j = ay__job_new(b->disk, NULL, 0);
	if (!j)
		return; /* the timer tries again */
	b->dirty_bytes = 0;
	b->syncing = true;
	j->work = work_sync;
	j->done = done_sync;
	ay__job_push(j, b);
}

static void on_timer(uv_timer_t *t)
{
	struct ay_disk *d = t->data;
	uint64_t now = uv_now(d->loop);
	bool dirty = false;
	for (struct ay_disk_bundle *b = d->bundles; b; b = b->next) {
		if (b->dirty_bytes == 0)
			continue;
		if (!b->syncing && b->state == AY__OPEN &&
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
			ay__disk_problem(b->disk, "");
	} else if (r > -5000 && r != -EAGAIN) {
		ay_err_wrap(err, r, "write bundle");
		ay__disk_problem(b->disk, err->msg);
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
	if (b->state == AY__FINISHING || b->elsewhere || ay_bundle_file_whole(b->file))
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
	if (b->state == AY__FINISHING || b->elsewhere || ay_bundle_file_whole(b->file))
		return ay_merkle_add(ay_bundle_file_merkle(b->file), level, index, block);
	return write_status(b, ay_bundle_file_add_hashes(b->file, level, index, block, &err), AY_LEAF_SIZE,
			    &err);
}

static void work_finish(struct ay__job *j)
{
	j->status = ay_bundle_file_finish(j->bundle->file, &j->err);
}

static void done_finish(struct ay__job *j)
{
	j->bundle->state = AY__OPEN;
	ay__job_stored(j);
}

void ay__disk_finish_bundle(struct ay_disk *d, const struct ay_order *order)
{
	struct ay_disk_bundle *b = ay_disk_find(d, &order->bundle.digest);
	struct ay__job *j = ay__job_new(d, NULL, 0);
	AY_ASSERT(j); /* an order that cannot be answered would stall the core for good */
	j->token = order->token;
	j->work = work_finish;
	j->done = done_finish;
	if (!b) {
		j->status = -ENOENT;
		j->work = ay__job_none;
		j->done = ay__job_stored;
	} else {
		b->state = AY__FINISHING;
		b->dirty_bytes = 0;
	}
	ay__job_push(j, b);
}

void ay__disk_close_bundles(struct ay_disk *d)
{
	while (d->bundles)
		table_remove(d, d->bundles);
}
