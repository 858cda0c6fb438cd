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
	ay__rewrap_free(o->rewrap);
	ay_hasher_free(o->hasher);
	free(o->buffer);
	*o = (struct ay__output){0};
}

/* Bytes of the file. */
static int file_bytes(void *ctx, const uint8_t *data, size_t len)
{
	struct ay__output *o = ctx;

	if (len > o->record->size - o->given)
		return ay_err_set(o->err, AY_EDIGEST,
				  "packs to more than %llu bytes: the bundle is wrong, the base changed, or "
				  "a library here packs differently",
				  (unsigned long long)o->record->size);
	o->given += len;
	ay_hasher_update(o->hasher, data, len);
	return o->sink->data(o->sink->ctx, o->record, data, len, o->err);
}

int ay__output_begin(struct ay__output *o, const struct ay_bundle_record *r, struct ay_slice recipe)
{
	o->record = r;
	o->len = 0;
	o->given = 0;
	ay_hasher_reset(o->hasher);
	ay__rewrap_free(o->rewrap);
	o->rewrap = recipe.len ? ay__rewrap_new(recipe, file_bytes, o, o->err) : NULL;
	return recipe.len && !o->rewrap ? ay_err_errno(o->err, ENOMEM, "pack again") : 0;
}

static int give(struct ay__output *o, const uint8_t *data, size_t len)
{
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

	if (rc == 0 && o->rewrap)
		rc = ay__rewrap_end(o->rewrap);
	if (rc)
		return rc;
	ay_hasher_final(o->hasher, &digest);
	if (!ay_digest_eq(&digest, &o->record->target))
		return ay_err_set(o->err, AY_EDIGEST, "gave %s: the bundle is wrong, or the base changed%s",
				  ay_digest_hex(&digest, hex),
				  o->rewrap ? ", or a library here packs differently" : "");
	return 0;
}
