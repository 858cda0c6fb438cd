/* SPDX-License-Identifier: MIT */
/* diff/output.c - one buffer; no file counts before its own digest was found right. */
#include "diff/output.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int ay__output_init(struct ay__output *o, const struct ay_bundle_sink *sink, bool thread, struct ay_err *err)
{
	*o = (struct ay__output){.sink = sink, .err = err, .again_fd = -1};
	o->hasher = ay_hasher_new();
	o->own = malloc(AY__OUTPUT_BUFFER);
	if (!o->hasher || !o->own)
		return ay_err_errno(err, ENOMEM, "bundle");
	o->queue = thread ? ay__queue_new(sink) : NULL;
	o->size = o->queue ? AY__QUEUE_BLOCK : AY__OUTPUT_BUFFER;
	o->buffer = o->queue ? NULL : o->own;
	return 0;
}

int ay__output_release(struct ay__output *o, int rc, struct ay_err *err)
{
	/* What it was given lies before whatever the caller fell over. */
	int q = o->queue ? ay__queue_free(o->queue, err) : 0;

	ay_hasher_free(o->hasher);
	free(o->own);
	*o = (struct ay__output){0};
	return q ? q : rc;
}

int ay__output_begin(struct ay__output *o, const struct ay_bundle_record *r)
{
	const struct ay_bundle_place *again = o->again;

	o->record = r;
	o->again = NULL;
	o->len = 0;
	if (o->queue) {
		o->kind = AY__QUEUE_OPEN;
		if (again)
			ay__queue_again(o->queue, o->again_fd, again->done);
		return 0;
	}
	ay_hasher_reset(o->hasher);
	int rc = o->sink->open ? o->sink->open(o->sink->ctx, r, o->err) : 0;
	if (rc == 0 && again)
		rc = ay__hash_again(o->hasher, o->again_fd, again->done, o->err);
	return rc;
}

static int give(struct ay__output *o, const uint8_t *data, size_t len)
{
	ay_hasher_update(o->hasher, data, len);
	return o->sink->data(o->sink->ctx, o->record, data, len, o->err);
}

/* The block in hand goes to the other thread. */
static int pass(struct ay__output *o, unsigned kind)
{
	size_t room;

	if (!o->buffer)
		ay__output_room(o, &room);
	if (o->failed)
		return ay_err_set(o->err, -ECANCELED, "the other thread has failed");
	ay__queue_give(o->queue, o->record, o->len, o->kind | kind);
	o->kind = 0;
	o->buffer = NULL;
	o->len = 0;
	return 0;
}

static int flush(struct ay__output *o)
{
	size_t len = o->len;

	if (o->queue)
		return len || o->kind ? pass(o, 0) : 0;
	o->len = 0;
	return len ? give(o, o->buffer, len) : 0;
}

uint8_t *ay__output_room(struct ay__output *o, size_t *n)
{
	if (!o->buffer) {
		o->buffer = ay__queue_room(o->queue);
		o->failed = !o->buffer;
		if (o->failed)
			o->buffer = o->own; /* for nothing; adding to it says so */
	}
	*n = o->size - o->len;
	return o->buffer + o->len;
}

int ay__output_add(struct ay__output *o, size_t n)
{
	o->len += n;
	return o->len == o->size ? flush(o) : 0;
}

int ay__output_put(struct ay__output *o, const uint8_t *data, size_t len)
{
	if (len >= AY__OUTPUT_DIRECT && !o->queue) {
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
	char hex[AY_DIGEST_HEX + 1];
	struct ay_digest digest;
	int rc = o->queue ? pass(o, AY__QUEUE_END) : flush(o);

	if (rc || o->queue)
		return rc;
	ay_hasher_final(o->hasher, &digest);
	if (!ay_digest_eq(&digest, &o->record->target))
		return ay_err_set(o->err, AY_EDIGEST, "gave %s: the bundle is wrong, or the base changed",
				  ay_digest_hex(&digest, hex));
	return o->sink->end(o->sink->ctx, o->record, o->err);
}

int ay__output_place(struct ay__output *o, const struct ay_bundle_place *p)
{
	int rc = p->inside ? flush(o) : 0;

	if (rc)
		return rc;
	if (!o->queue)
		return o->sink->place(o->sink->ctx, p, o->err);
	return ay__queue_place(o->queue, p) < 0
		       ? ay_err_set(o->err, -ECANCELED, "the other thread has failed")
		       : 0;
}
