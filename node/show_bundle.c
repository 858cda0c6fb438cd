/* SPDX-License-Identifier: MIT */
/*
 * `ayni show` of a bundle: which file costs what, and why.
 *
 * Records name contents, the manifest delta in the same bundle names the paths that have them. What a record costs is its
 * share of the packed columns (diff/bundle.h): many files are packed together, so no byte of a bundle belongs to one
 * file alone, but the shares, the manifest delta and the rest add up to the bundle.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "manifest/delta.h"
#include "manifest/release.h"
#include "node/cmd.h"
#include "node/show_bundle_print.h"
#include "store/scan.h"

/* ---- which path has which content ---- */

static int name_line(void *ctx, bool added, const struct ay_entry *e, struct ay_err *err)
{
	struct ay__bundle_shown *b = ctx;
	return added && e->type == AY_ENTRY_FILE ? ay__names_add(&b->new_, e, err) : 0;
}

static long read_delta(void *ctx, void *buf, size_t len)
{
	struct ay_slice *rest = ctx;
	size_t n = len < rest->len ? len : rest->len;
	memcpy(buf, rest->data, n);
	rest->data += n;
	rest->len -= n;
	return (long)n;
}

/* The manifest of the tree that the bundle starts from, out of a file or of the tree itself. */
static int from_manifest(const char *path, struct ay_buf *out, struct ay_err *err)
{
	AY_CLOSE int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir >= 0) {
		ay_buf_init(out, (size_t)AY_MANIFEST_SIZE_MAX);
		return ay_scan(dir, path, NULL, ay_write_to_buf, out, NULL, err);
	}
	char *data = NULL;
	int r = ay_read_input(path, AY_MANIFEST_SIZE_MAX, &data, &out->len, err);
	out->data = (uint8_t *)data;
	return r;
}

/* --from: it names the contents that are bases. */
static int read_from(struct ay__bundle_shown *b, struct ay_err *err)
{
	struct ay_buf *m = &b->from;
	struct ay_digest d;
	struct ay_entry e;
	int r = from_manifest(b->s->from_path, m, err);
	if (r < 0)
		return r;
	ay_digest_mem(m->data, m->len, &d);
	if (!ay_digest_eq(&d, &b->h.from))
		return ay_err_set(err, AY_EBASE, "--from %s: not what the bundle starts from",
				  b->s->from_path);
	struct ay_manifest_reader *reader = ay_manifest_reader_new_mem(m->data, m->len);
	r = reader ? 1 : ay_err_set(err, -ENOMEM, "out of memory");
	while (r > 0 && (r = ay_manifest_next(reader, &e, err)) > 0) {
		int q = e.type == AY_ENTRY_FILE ? ay__names_add(&b->old, &e, err) : 0;
		r = q < 0 ? q : r;
	}
	ay_manifest_reader_free(reader);
	ay__names_sort(&b->old);
	return r < 0 ? r : ay_old_files_open_mem(&b->numbers, m->data, m->len, err);
}

/* ---- what the reader tells ---- */

static int on_header(void *ctx, const struct ay_bundle_header *h, struct ay_err *err)
{
	struct ay__bundle_shown *b = ctx;
	b->h = *h;
	return b->s->from_path ? read_from(b, err) : 0;
}

static int on_delta(void *ctx, const void *data, size_t len, struct ay_err *err)
{
	struct ay__bundle_shown *b = ctx;
	ay_put_bytes(&b->delta, data, len);
	return b->delta.failed ? ay_err_set(err, ay_buf_status(&b->delta), "a manifest delta too large") : 0;
}

static int on_delta_end(void *ctx, struct ay_err *err)
{
	struct ay__bundle_shown *b = ctx;
	struct ay_slice rest = {b->delta.data, b->delta.len};
	struct ay_digest from, to;
	int r = ay_delta_read(read_delta, &rest, &from, &to, name_line, b, err);
	ay_buf_release(&b->delta);
	ay__names_sort(&b->new_);
	return r < 0 ? ay_err_wrap(err, r, "manifest delta") : 0;
}

static int on_begin(void *ctx, const struct ay_bundle_record *rec, bool *skip, struct ay_err *err)
{
	(void)ctx;
	(void)rec;
	(void)err;
	*skip = true;
	return 0;
}

static int on_part(void *ctx, uint32_t part, uint64_t packed, uint64_t unpacked, struct ay_err *err)
{
	struct ay__bundle_shown *b = ctx;
	(void)part;
	(void)err;
	json_array_append_new(b->parts, json_pack("{s:I, s:I}", "bytes", (json_int_t)packed, "unpacked",
						  (json_int_t)unpacked));
	return 0;
}

static int on_stream(void *ctx, uint32_t part, unsigned stream, unsigned codec, uint32_t packed,
		     uint32_t unpacked, struct ay_err *err)
{
	struct ay__bundle_shown *b = ctx;
	(void)part;
	(void)err;
	if (stream == AY_STREAM_DELTA) {
		b->delta_packed += packed;
		return 0;
	}
	b->streams[stream].packed += packed;
	b->streams[stream].unpacked += unpacked;
	b->streams[stream].by_codec[codec] += packed;
	return 0;
}

static int on_cost(void *ctx, const struct ay_bundle_record *rec, double cost, struct ay_err *err)
{
	struct ay__bundle_shown *b = ctx;
	if (b->n == b->cap) {
		size_t cap = b->cap ? 2 * b->cap : 256;
		struct ay__bundle_row *grown = reallocarray(b->rows, cap, sizeof(*grown));
		if (!grown)
			return ay_err_set(err, -ENOMEM, "out of memory");
		b->rows = grown;
		b->cap = cap;
	}
	b->rows[b->n++] = (struct ay__bundle_row){*rec, cost};
	return 0;
}

/* ---- the whole ---- */

static void bundle_release(struct ay__bundle_shown *b)
{
	ay__names_release(&b->new_);
	ay__names_release(&b->old);
	ay_buf_release(&b->delta);
	ay_buf_release(&b->from);
	ay_old_files_release(&b->numbers);
	free(b->rows);
	json_decref(b->parts);
}

static int cmp_rows(const void *a, const void *b)
{
	const struct ay__bundle_row *x = a, *y = b;
	return x->cost > y->cost ? -1 : x->cost < y->cost ? 1 : x->r.index < y->r.index ? -1 : 1;
}

int ay_show_bundle(const struct ay_show *s, int fd, struct ay_err *err)
{
	AY_CLEANUP(bundle_release) struct ay__bundle_shown b = {.s = s, .parts = json_array()};
	const struct ay_bundle_sink sink = {.ctx = &b,
					    .header = on_header,
					    .delta = on_delta,
					    .delta_end = on_delta_end,
					    .old = s->from_path ? &b.numbers : NULL,
					    .begin = on_begin,
					    .part = on_part,
					    .stream = on_stream,
					    .cost = on_cost};
	const struct ay_bundle_limits limits = {.memory = UINT64_MAX, .look_only = true};
	ay_buf_init(&b.delta, (size_t)AY_MANIFEST_SIZE_MAX);
	int r = ay_bundle_read(fd, &limits, &sink, true, err);
	if (r < 0)
		return r;
	if ((r = ay_digest_fd(fd, &b.digest, &b.size)) < 0)
		return ay_err_errno(err, -r, "cannot read it");
	if (b.n > 1)
		qsort(b.rows, b.n, sizeof(*b.rows), cmp_rows);
	return s->json ? ay__bundle_json(&b, err) : ay__bundle_words(&b, err);
}
