/* SPDX-License-Identifier: MIT */
/* diff/output.c - one buffer; no file counts before its own digest was found right. */
#include "diff/output.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int ay__output_init(struct ay__output *o, const struct ay_bundle_sink *sink, struct ay_err *err)
{
	*o = (struct ay__output){.sink = sink, .err = err};
	o->hasher = ay_hasher_new();
	o->buffer = malloc(AY__OUTPUT_BUFFER);
	return o->hasher && o->buffer ? 0 : ay_err_errno(err, ENOMEM, "bundle");
}

void ay__output_release(struct ay__output *o)
{
	ay_hasher_free(o->hasher);
	free(o->buffer);
	*o = (struct ay__output){0};
}

void ay__output_begin(struct ay__output *o, const struct ay_bundle_record *r)
{
	o->record = r;
	o->len = 0;
	ay_hasher_reset(o->hasher);
}

static int give(struct ay__output *o, const uint8_t *data, size_t len)
{
	ay_hasher_update(o->hasher, data, len);
	return o->sink->data(o->sink->ctx, o->record, data, len, o->err);
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
	char hex[AY_DIGEST_HEX + 1];
	struct ay_digest digest;
	int rc = flush(o);

	if (rc)
		return rc;
	ay_hasher_final(o->hasher, &digest);
	if (!ay_digest_eq(&digest, &o->record->target))
		return ay_err_set(o->err, AY_EDIGEST, "gave %s: the bundle is wrong, or the base changed",
				  ay_digest_hex(&digest, hex));
	return 0;
}
