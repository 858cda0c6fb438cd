/* SPDX-License-Identifier: MIT */
/*
 * manifest/delta.c - the entries that changed between two manifests.
 *
 * Both sides are sorted, so all three operations are one merge. A delta says
 * nothing about unchanged entries, which is what makes it small; that the merge
 * met the right old manifest and gave the right new one only the two digests can
 * prove, so nothing counts before both were seen.
 */
#include "manifest/delta.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "manifest/entry.h"
#include "manifest/lines.h"
#include "manifest/text.h"

#define HEAD_LINE "ayni-manifest-delta 1\n"

int ay_manifest_compare(struct ay_manifest_reader *old, struct ay_manifest_reader *new_, ay_change_fn each,
			void *ctx, struct ay_err *err)
{
	struct ay_entry o, n;
	int have_o = old ? ay_manifest_next(old, &o, err) : 0;
	int have_n = have_o < 0 || !new_ ? 0 : ay_manifest_next(new_, &n, err);

	while (have_o > 0 || have_n > 0) {
		if (have_o < 0 || have_n < 0)
			break;
		int c = !have_o ? 1 : !have_n ? -1 : ay_path_cmp(o.path, o.path_len, n.path, n.path_len);
		int r;
		if (c < 0)
			r = each(ctx, AY_CHANGE_REMOVED, &o, NULL, err);
		else if (c > 0)
			r = each(ctx, AY_CHANGE_ADDED, NULL, &n, err);
		else
			r = each(ctx, ay_entry_same(&o, &n) ? AY_CHANGE_KEPT : AY_CHANGE_REPLACED, &o, &n,
				 err);
		if (r)
			return r;
		if (c <= 0)
			have_o = ay_manifest_next(old, &o, err);
		if (c >= 0 && have_o >= 0)
			have_n = ay_manifest_next(new_, &n, err);
	}
	return have_o < 0 ? have_o : have_n < 0 ? have_n : 0;
}

struct maker {
	struct ay_buf out;
	ay_write_fn write;
	void *ctx;
};

static int maker_flush(struct maker *m, struct ay_err *err)
{
	int r = ay_buf_status(&m->out);

	if (!r)
		r = m->write(m->ctx, m->out.data, m->out.len);
	ay_buf_reset(&m->out);
	return r ? ay_err_set(err, r, "writing a manifest delta: %s", ay_strerror(r)) : 0;
}

static int maker_change(void *ctx, enum ay_change change, const struct ay_entry *old,
			const struct ay_entry *new_, struct ay_err *err)
{
	struct maker *m = ctx;

	switch (change) {
	case AY_CHANGE_KEPT:
		return 0;
	case AY_CHANGE_REMOVED:
		ay_put_u8(&m->out, '-');
		ay_percent_put(&m->out, old->path, old->path_len);
		ay_put_u8(&m->out, '\n');
		break;
	case AY_CHANGE_ADDED:
	case AY_CHANGE_REPLACED:
		ay_put_u8(&m->out, '+');
		int r = ay_entry_encode(&m->out, new_, err);
		if (r)
			return r;
		break;
	}
	return m->out.len >= 65536 ? maker_flush(m, err) : 0;
}

/* Is the manifest that @r has read to its end (NULL: nothing) the one named @want? */
static bool is_at(struct ay_manifest_reader *r, const struct ay_digest *want)
{
	struct ay_digest d = {{0}};

	if (r)
		ay_manifest_reader_digest(r, &d, NULL);
	return ay_digest_eq(&d, want);
}

int ay_delta_make(struct ay_manifest_reader *old, const struct ay_digest *from,
		  struct ay_manifest_reader *new_, const struct ay_digest *to, ay_write_fn write, void *ctx,
		  struct ay_err *err)
{
	struct maker m = {.write = write, .ctx = ctx};
	char a[AY_DIGEST_HEX + 1], b[AY_DIGEST_HEX + 1];

	ay_buf_init(&m.out, 0);
	ay_put_fmt(&m.out, HEAD_LINE "from %s\nto %s\n", ay_digest_hex(from, a), ay_digest_hex(to, b));
	int r = ay_manifest_compare(old, new_, maker_change, &m, err);
	if (!r && !is_at(old, from))
		r = ay_err_set(err, AY_EDIGEST, "the old manifest's digest is not the one given, %s", a);
	if (!r && !is_at(new_, to))
		r = ay_err_set(err, AY_EDIGEST, "the new manifest's digest is not the one given, %s", b);
	if (!r)
		r = maker_flush(&m, err);
	ay_buf_release(&m.out);
	return r;
}

struct delta_reader {
	struct ay__lines lines;
	struct ay__entry_store store;
	char prev[AY_PATH_MAX + 1]; /* path of the line before */
	size_t prev_len;
	bool add;              /* the current line is '+' */
	struct ay_entry e;     /* of '-' only the path */
	struct ay_slice entry; /* of '+': the manifest line with its newline */
};

static int delta_bad(const struct delta_reader *d, struct ay_err *err, const char *what)
{
	return ay_err_set(err, AY_EFORMAT, "delta line %llu: %s", (unsigned long long)d->lines.line, what);
}

/* 1, 0 at the end, or an error. */
static int delta_next(struct delta_reader *d, struct ay_err *err)
{
	struct ay_slice line;
	int r = ay__lines_next(&d->lines, &line, err);

	if (r <= 0)
		return r < 0 ? ay_err_wrap(err, r, "delta") : 0;
	if (line.len == 0 || (line.data[0] != '+' && line.data[0] != '-'))
		return delta_bad(d, err, "does not begin with + or -");
	d->add = line.data[0] == '+';
	struct ay_slice rest = {line.data + 1, line.len - 1};
	if (d->add) {
		d->entry = (struct ay_slice){rest.data, rest.len + 1};
		r = ay__entry_decode(&d->store, &rest, &d->e, err);
	} else {
		r = ay__path_decode(&d->store, rest.data, rest.len, err);
		d->e.path = (const char *)d->store.path.data;
		d->e.path_len = d->store.path.len;
	}
	if (r)
		return ay_err_wrap(err, r, "delta line %llu", (unsigned long long)d->lines.line);
	if (d->prev_len && ay_path_cmp(d->prev, d->prev_len, d->e.path, d->e.path_len) >= 0)
		return delta_bad(d, err, "path out of order, or it comes twice");
	memcpy(d->prev, d->e.path, d->e.path_len);
	d->prev_len = d->e.path_len;
	return 1;
}

/* "from DIGEST" or "to DIGEST". */
static int delta_digest_line(struct delta_reader *d, const char *key, struct ay_digest *got,
			     struct ay_err *err)
{
	struct ay_slice line, word;
	int r = ay__lines_next(&d->lines, &line, err);

	if (r < 0)
		return ay_err_wrap(err, r, "delta");
	if (r == 0)
		return delta_bad(d, err, "ends in its header");
	if (!ay__word(&line, &word) || !ay__word_is(&word, key) || !ay__word(&line, &word) || line.data ||
	    ay_digest_parse(got, (const char *)word.data, word.len))
		return delta_bad(d, err, "expected \"from DIGEST\" and \"to DIGEST\"");
	return 0;
}

/* The line must name @want. */
static int delta_digest_is(struct delta_reader *d, const char *key, const struct ay_digest *want,
			   int mismatch, struct ay_err *err)
{
	char a[AY_DIGEST_HEX + 1], b[AY_DIGEST_HEX + 1];
	struct ay_digest got;
	int r = delta_digest_line(d, key, &got, err);

	if (r || ay_digest_eq(&got, want))
		return r;
	return ay_err_set(err, mismatch, "delta line %llu: %s is %s, wanted %s",
			  (unsigned long long)d->lines.line, key, ay_digest_hex(&got, a),
			  ay_digest_hex(want, b));
}

static int delta_first_line(struct delta_reader *d, struct ay_err *err)
{
	struct ay_slice line, word;
	uint64_t version;
	int r = ay__lines_next(&d->lines, &line, err);

	if (r < 0)
		return ay_err_wrap(err, r, "delta");
	if (r == 0 || !ay__word(&line, &word) || !ay__word_is(&word, "ayni-manifest-delta") ||
	    !ay__word(&line, &word) || line.data || ay__parse_u64(word.data, word.len, UINT32_MAX, &version))
		return ay_err_set(err, AY_EFORMAT, "delta line 1: not a manifest delta");
	if (version != 1)
		return ay_err_set(err, AY_EVERSION,
				  "manifest delta version %u is not known here; upgrade ayni",
				  (unsigned)version);
	return 0;
}

static int delta_head(struct delta_reader *d, const struct ay_digest *from, const struct ay_digest *to,
		      struct ay_err *err)
{
	int r = delta_first_line(d, err);

	if (!r)
		r = delta_digest_is(d, "from", from, AY_EBASE, err);
	return r ? r : delta_digest_is(d, "to", to, AY_EDIGEST, err);
}

int ay_delta_read(ay_read_fn read, void *read_ctx, struct ay_digest *from, struct ay_digest *to,
		  int (*each)(void *ctx, bool added, const struct ay_entry *e, struct ay_err *err), void *ctx,
		  struct ay_err *err)
{
	struct delta_reader *d = calloc(1, sizeof(*d));

	if (!d)
		return ay_err_set(err, -ENOMEM, "out of memory for reading a manifest delta");
	ay__entry_store_init(&d->store);
	int r = ay__lines_init(&d->lines, read, read_ctx, AY_MANIFEST_LINE_MAX + 1);
	if (r)
		ay_err_set(err, r, "out of memory for reading a manifest delta");
	if (!r)
		r = delta_first_line(d, err);
	if (!r)
		r = delta_digest_line(d, "from", from, err);
	if (!r)
		r = delta_digest_line(d, "to", to, err);
	while (!r && (r = delta_next(d, err)) > 0)
		r = each(ctx, d->add, &d->e, err);
	ay__lines_release(&d->lines);
	ay__entry_store_release(&d->store);
	free(d);
	return r;
}

struct merge {
	struct ay_manifest_reader *old;
	struct delta_reader delta;
	struct ay_manifest_writer *result;
	ay_change_fn each;
	void *each_ctx;
	struct ay_entry o;
	int have_o, have_d;
	bool stopped; /* by @each, whose code is not ours to judge */
};

static int report(struct merge *m, enum ay_change change, const struct ay_entry *old,
		  const struct ay_entry *new_, struct ay_err *err)
{
	int r = m->each ? m->each(m->each_ctx, change, old, new_, err) : 0;

	m->stopped = r != 0;
	return r;
}

/* A broken or unreadable old manifest is a base that is not what it should be: the delta is not to blame. */
static int next_old(struct merge *m, struct ay_err *err)
{
	m->have_o = m->old ? ay_manifest_next(m->old, &m->o, err) : 0;
	if (m->have_o >= 0)
		return 0;
	bool ours = m->have_o == AY_EFORMAT || m->have_o == AY_EVERSION || m->have_o == AY_ELIMIT;
	ay_err_wrap(err, m->have_o, "old manifest");
	if (ours && err)
		err->code = AY_EBASE;
	return ours ? AY_EBASE : m->have_o;
}

static int next_delta(struct merge *m, struct ay_err *err)
{
	m->have_d = delta_next(&m->delta, err);
	return m->have_d < 0 ? m->have_d : 0;
}

/* One path of the merge; @c says on which side it stands. */
static int merge_step(struct merge *m, int c, struct ay_err *err)
{
	struct delta_reader *d = &m->delta;
	int r;

	if (c < 0) {
		r = ay__manifest_add_raw(m->result, &m->o, ay__manifest_reader_raw(m->old), err);
		return r ? r : report(m, AY_CHANGE_KEPT, &m->o, &m->o, err);
	}
	if (!d->add) {
		if (c > 0)
			return delta_bad(d, err, "removes a path that is not there");
		return report(m, AY_CHANGE_REMOVED, &m->o, NULL, err);
	}
	if (c == 0 && ay_entry_same(&m->o, &d->e))
		return delta_bad(d, err, "replaces an entry by itself");
	r = ay__manifest_add_raw(m->result, &d->e, d->entry, err);
	if (r)
		return r;
	return report(m, c ? AY_CHANGE_ADDED : AY_CHANGE_REPLACED, c ? NULL : &m->o, &d->e, err);
}

static int merge_all(struct merge *m, struct ay_err *err)
{
	int r = next_old(m, err);

	if (!r)
		r = next_delta(m, err);
	while (!r && (m->have_o || m->have_d)) {
		const struct ay_entry *o = &m->o, *d = &m->delta.e;
		int c = !m->have_o   ? 1
			: !m->have_d ? -1
				     : ay_path_cmp(o->path, o->path_len, d->path, d->path_len);
		r = merge_step(m, c, err);
		if (!r && c <= 0)
			r = next_old(m, err);
		if (!r && c >= 0)
			r = next_delta(m, err);
	}
	return r;
}

/*
 * The merge refused the delta: was it because @old is not at @from? Then the way out is
 * another base, not another delta. Reads @old to its end.
 */
static int blame_base(struct merge *m, const struct ay_digest *from, int r, struct ay_err *err)
{
	struct ay_err ignored = {0};

	if (r != AY_EFORMAT || m->stopped || !m->old || m->have_o < 0)
		return r;
	while (m->have_o > 0)
		m->have_o = ay_manifest_next(m->old, &m->o, &ignored);
	if (m->have_o == 0 && is_at(m->old, from))
		return r;
	return ay_err_set(err, AY_EBASE, "the old manifest is not the one that the delta starts from");
}

int ay_delta_apply(struct ay_manifest_reader *old, ay_read_fn read, void *read_ctx,
		   const struct ay_digest *from, const struct ay_digest *to, ay_change_fn each,
		   void *each_ctx, ay_write_fn write, void *write_ctx, struct ay_err *err)
{
	struct ay_digest got;
	char a[AY_DIGEST_HEX + 1], b[AY_DIGEST_HEX + 1];

	if (!old != ay_digest_is_zero(from))
		return ay_err_set(err, AY_EBASE,
				  old ? "this delta starts from nothing" : "no old manifest given");
	struct merge *m = calloc(1, sizeof(*m));
	if (!m)
		return ay_err_set(err, -ENOMEM, "out of memory for applying a manifest delta");
	m->old = old;
	m->each = each;
	m->each_ctx = each_ctx;
	ay__entry_store_init(&m->delta.store);
	int r = ay__lines_init(&m->delta.lines, read, read_ctx, AY_MANIFEST_LINE_MAX + 1);
	m->result = ay_manifest_writer_new(write, write_ctx);
	if (r || !m->result)
		r = ay_err_set(err, -ENOMEM, "out of memory for applying a manifest delta");
	if (!r)
		r = delta_head(&m->delta, from, to, err);
	if (!r) {
		r = merge_all(m, err);
		if (r)
			r = blame_base(m, from, r, err);
	}
	if (!r && !is_at(old, from))
		r = ay_err_set(err, AY_EBASE, "the old manifest is not the one that the delta starts from");
	if (!r)
		r = ay_manifest_finish(m->result, &got, NULL, err);
	if (!r && !ay_digest_eq(&got, to))
		r = ay_err_set(err, AY_EDIGEST, "the merge gives manifest %s, wanted %s",
			       ay_digest_hex(&got, a), ay_digest_hex(to, b));
	ay_manifest_writer_free(m->result);
	ay__lines_release(&m->delta.lines);
	ay__entry_store_release(&m->delta.store);
	free(m);
	return r;
}
