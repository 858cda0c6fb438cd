/* SPDX-License-Identifier: MIT */
/*
 * manifest/manifest_writer.c - a manifest into bytes.
 *
 * It refuses what the reader would refuse: a manifest that we wrote and cannot
 * read would be found out in the field only, by a million laptops.
 */
#include <errno.h>
#include <stdlib.h>

#include "manifest/entry.h"

#define FLUSH_AT 65536 /* one write call's worth */

struct ay_manifest_writer {
	ay_write_fn write;
	void *ctx;
	struct ay_buf out;
	struct ay_hasher *hasher;
	struct ay__order order;
	uint64_t size;
	int failed; /* sticky */
};

struct ay_manifest_writer *ay_manifest_writer_new(ay_write_fn write, void *ctx)
{
	struct ay_manifest_writer *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->write = write;
	w->ctx = ctx;
	ay_buf_init(&w->out, 0);
	w->hasher = ay_hasher_new();
	ay_put_str(&w->out, "ayni-manifest 1\n");
	if (!w->hasher || ay_buf_status(&w->out)) {
		ay_manifest_writer_free(w);
		return NULL;
	}
	return w;
}

void ay_manifest_writer_free(struct ay_manifest_writer *w)
{
	if (!w)
		return;
	ay_buf_release(&w->out);
	ay_hasher_free(w->hasher);
	free(w);
}

static int flush(struct ay_manifest_writer *w, struct ay_err *err)
{
	int r = ay_buf_status(&w->out);

	if (r)
		return ay_err_set(err, r, "out of memory while writing a manifest");
	ay_hasher_update(w->hasher, w->out.data, w->out.len);
	w->size += w->out.len;
	r = w->write ? w->write(w->ctx, w->out.data, w->out.len) : 0;
	ay_buf_reset(&w->out);
	if (r)
		return ay_err_set(err, r, "writing a manifest: %s", ay_strerror(r));
	return 0;
}

static int add(struct ay_manifest_writer *w, const struct ay_entry *e, const struct ay_slice *raw,
	       struct ay_err *err)
{
	int r = 0;

	if (raw)
		ay_put_bytes(&w->out, raw->data, raw->len);
	else
		r = ay_entry_encode(&w->out, e, err);
	if (!r)
		r = ay__order_step(&w->order, e, err);
	if (!r && w->out.len >= FLUSH_AT)
		r = flush(w, err);
	return r;
}

static int add_once(struct ay_manifest_writer *w, const struct ay_entry *e, const struct ay_slice *raw,
		    struct ay_err *err)
{
	if (w->failed)
		return ay_err_set(err, w->failed, "the manifest could not be written before");
	w->failed = add(w, e, raw, err);
	return w->failed;
}

int ay_manifest_add(struct ay_manifest_writer *w, const struct ay_entry *e, struct ay_err *err)
{
	return add_once(w, e, NULL, err);
}

int ay__manifest_add_raw(struct ay_manifest_writer *w, const struct ay_entry *e, struct ay_slice line,
			 struct ay_err *err)
{
	return add_once(w, e, &line, err);
}

int ay_manifest_finish(struct ay_manifest_writer *w, struct ay_digest *d, uint64_t *size, struct ay_err *err)
{
	struct ay_digest digest;

	if (w->failed)
		return ay_err_set(err, w->failed, "the manifest could not be written before");
	if (w->order.len == 0)
		return ay_err_set(err, AY_EFORMAT, "a manifest needs at least the entry /");
	w->failed = flush(w, err);
	if (w->failed)
		return w->failed;
	w->failed = AY_EUSAGE; /* nothing may follow */
	ay_hasher_final(w->hasher, &digest);
	if (d)
		*d = digest;
	if (size)
		*size = w->size;
	return 0;
}

int ay_write_to_buf(void *buf, const void *data, size_t len)
{
	ay_put_bytes(buf, data, len);
	return ay_buf_status(buf);
}
