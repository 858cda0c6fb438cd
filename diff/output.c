/* SPDX-License-Identifier: MIT */
/* diff/output.c - one buffer; no file counts before its own digest was found right. */
#include "diff/output.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "diff/section.h"

int ay__output_init(struct ay__output *o, const struct ay_bundle_sink *sink, bool thread, struct ay_err *err)
{
	*o = (struct ay__output){.sink = sink, .err = err, .again_fd = -1};
	o->hasher = ay_hasher_new();
	o->buffer = malloc(AY__OUTPUT_BUFFER);
	if (!o->hasher || !o->buffer)
		return ay_err_errno(err, ENOMEM, "bundle");
	o->queue = thread ? ay__queue_new(sink) : NULL;
	return 0;
}

int ay__output_release(struct ay__output *o, int rc, struct ay_err *err)
{
	/* What it was given lies before whatever the caller fell over. */
	int q = o->queue ? ay__queue_free(o->queue, err) : 0;

	ay__rewrap_free(o->rewrap);
	ay_hasher_free(o->hasher);
	free(o->buffer);
	*o = (struct ay__output){0};
	return q ? q : rc;
}

/* The block in hand goes to the other thread. */
static int pass(struct ay__output *o, unsigned kind)
{
	if (!o->block && !(o->block = ay__queue_room(o->queue)))
		return ay_err_set(o->err, -ECANCELED, "the other thread has failed");
	ay__queue_give(o->queue, o->record, o->block_len, o->kind | kind);
	o->kind = 0;
	o->block = NULL;
	o->block_len = 0;
	return 0;
}

static int to_blocks(struct ay__output *o, const uint8_t *data, size_t len)
{
	while (len > 0) {
		size_t n = AY__QUEUE_BLOCK - o->block_len;

		if (!o->block && !(o->block = ay__queue_room(o->queue)))
			return ay_err_set(o->err, -ECANCELED, "the other thread has failed");
		n = len < n ? len : n;
		memcpy(o->block + o->block_len, data, n);
		o->block_len += n;
		data += n;
		len -= n;
		int rc = o->block_len == AY__QUEUE_BLOCK ? pass(o, 0) : 0;
		if (rc)
			return rc;
	}
	return 0;
}

/* Bytes of the file; with a queue that packs, of its view. */
static int file_bytes(void *ctx, const uint8_t *data, size_t len)
{
	struct ay__output *o = ctx;

	if (o->queue)
		return to_blocks(o, data, len);
	return ay__record_bytes(o->sink, o->record, o->hasher, &o->given, data, len, o->err);
}

/* The file is at its beginning, or where it was left in a reading before. */
static int file_begin(struct ay__output *o, const struct ay_bundle_place *again)
{
	o->given = again ? again->done : 0;
	if (o->queue) {
		o->kind = AY__QUEUE_OPEN;
		if (again)
			ay__queue_again(o->queue, o->again_fd, again->done);
		return 0;
	}
	ay_hasher_reset(o->hasher);
	int rc = o->sink->open ? o->sink->open(o->sink->ctx, o->record, o->err) : 0;
	return rc == 0 && again ? ay__hash_again(o->hasher, o->again_fd, again->done, o->err) : rc;
}

int ay__output_begin(struct ay__output *o, const struct ay_bundle_record *r, struct ay_slice recipe,
		     uint64_t memory, uint64_t hold)
{
	const struct ay_bundle_place *again = o->again;

	o->record = r;
	o->again = NULL;
	o->len = 0;
	o->hold = hold;
	o->held = 0;
	ay__rewrap_free(o->rewrap);
	o->rewrap = NULL;
	bool here = recipe.len && (hold || !o->queue || !ay__queue_pack(o->queue, recipe, memory));
	if (here && !(o->rewrap = ay__rewrap_new(recipe, file_bytes, o, o->err)))
		return ay_err_errno(o->err, ENOMEM, "pack again");
	return file_begin(o, again);
}

/* The view's next bytes, to wait for the rest. */
static int hold_put(struct ay__output *o, const uint8_t *data, size_t len)
{
	const struct ay_bundle_scratch *file = o->sink->scratch;
	int rc = 0;

	if (!file)
		return ay_err_set(o->err, AY_ELIMIT, "needs a temporary file, and there are none here");
	if (o->held == 0)
		rc = file->begin(file->ctx, o->hold, o->err);
	/* Operations were checked to write just the view. */
	AY_ASSERT(len <= o->hold - o->held);
	o->held += len;
	return rc ? rc : file->data(file->ctx, data, len, o->err);
}

/* All of the view is there, and whatever made it is gone. */
static int hold_pack(struct ay__output *o)
{
	const struct ay_bundle_scratch *file = o->sink->scratch;
	AY_CLOSE int fd = -1;
	uint64_t at = 0;
	int rc = file->end(file->ctx, &fd, o->err);

	while (rc == 0 && at < o->held) {
		size_t n = o->held - at < AY__OUTPUT_BUFFER ? (size_t)(o->held - at) : AY__OUTPUT_BUFFER;

		rc = ay__pread_all(fd, o->buffer, n, at, AY_EFORMAT, o->err);
		if (rc)
			return ay_err_wrap(o->err, rc, "the temporary file of what is to be packed");
		rc = ay__rewrap_put(o->rewrap, o->buffer, n);
		at += n;
	}
	return rc;
}

static int give(struct ay__output *o, const uint8_t *data, size_t len)
{
	if (o->hold)
		return hold_put(o, data, len);
	return o->rewrap ? ay__rewrap_put(o->rewrap, data, len) : file_bytes(o, data, len);
}

static int flush(struct ay__output *o)
{
	size_t len = o->len;

	o->len = 0;
	return len ? give(o, o->buffer, len) : 0;
}

uint8_t *ay__output_room(struct ay__output *o, size_t *n)
{
	*n = AY__OUTPUT_BUFFER - o->len;
	return o->buffer + o->len;
}

int ay__output_add(struct ay__output *o, size_t n)
{
	o->len += n;
	return o->len == AY__OUTPUT_BUFFER ? flush(o) : 0;
}

int ay__output_put(struct ay__output *o, const uint8_t *data, size_t len)
{
	if (o->memory) {
		/* Operations were checked to write just the file. */
		AY_ASSERT(len <= o->record->size - o->given);
		memcpy(o->memory + o->given, data, len);
		o->given += len;
		return 0;
	}
	if (len >= AY__OUTPUT_DIRECT) {
		int rc = flush(o);

		return rc ? rc : give(o, data, len);
	}
	while (len > 0) {
		size_t room;
		uint8_t *dst = ay__output_room(o, &room);
		size_t n = len < room ? len : room;

		memcpy(dst, data, n);
		data += n;
		len -= n;
		int rc = ay__output_add(o, n);
		if (rc)
			return rc;
	}
	return 0;
}

int ay__output_end(struct ay__output *o)
{
	int rc = flush(o);

	if (rc == 0 && o->hold)
		rc = hold_pack(o);
	if (rc == 0 && o->rewrap)
		rc = ay__rewrap_end(o->rewrap);
	if (rc == 0)
		rc = o->queue ? pass(o, AY__QUEUE_END)
			      : ay__record_end(o->sink, o->record, o->hasher, o->err);
	o->record = NULL; /* it was lent until now */
	return rc;
}

int ay__output_place(struct ay__output *o, const struct ay_bundle_place *p)
{
	int rc = p->inside ? flush(o) : 0;

	if (rc == 0 && o->queue && p->inside && (o->block_len > 0 || o->kind))
		rc = pass(o, 0);
	if (rc)
		return rc;
	if (!o->queue)
		return o->sink->place(o->sink->ctx, p, o->err);
	return ay__queue_place(o->queue, p) < 0
		       ? ay_err_set(o->err, -ECANCELED, "the other thread has failed")
		       : 0;
}
