/* SPDX-License-Identifier: MIT */
/*
 * manifest/manifest_reader.c - a manifest from its bytes, one entry at a time.
 *
 * Every rule is checked at the line that breaks it, so that a consumer may act on
 * an entry (open its base, reserve its space) while the rest is still to come. That
 * the whole is the right manifest only the digest at the end can say.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "manifest/entry.h"
#include "manifest/lines.h"
#include "manifest/text.h"

struct mem_source {
	const uint8_t *data;
	size_t left;
};

struct ay_manifest_reader {
	struct ay__lines lines;
	struct ay__entry_store store;
	struct ay__order order;
	struct ay_slice raw;
	struct mem_source mem;
	bool begun, ended, digested;
	int failed; /* sticky: after an error there is no next entry */
	struct ay_digest digest;
};

static long read_mem(void *ctx, void *buf, size_t len)
{
	struct mem_source *m = ctx;
	size_t n = len < m->left ? len : m->left;

	if (n)
		memcpy(buf, m->data, n);
	m->data += n;
	m->left -= n;
	return (long)n;
}

struct ay_manifest_reader *ay_manifest_reader_new(ay_read_fn read, void *ctx)
{
	struct ay_manifest_reader *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	ay__entry_store_init(&r->store);
	if (ay__lines_init(&r->lines, read, ctx, AY_MANIFEST_LINE_MAX)) {
		ay_manifest_reader_free(r);
		return NULL;
	}
	return r;
}

struct ay_manifest_reader *ay_manifest_reader_new_mem(const void *data, size_t len)
{
	struct ay_manifest_reader *r = ay_manifest_reader_new(read_mem, NULL);

	if (r) {
		r->mem = (struct mem_source){data, len};
		r->lines.ctx = &r->mem;
	}
	return r;
}

void ay_manifest_reader_free(struct ay_manifest_reader *r)
{
	if (!r)
		return;
	ay__lines_release(&r->lines);
	ay__entry_store_release(&r->store);
	free(r);
}

/* Line 1: "ayni-manifest 1". */
static int read_head(struct ay_manifest_reader *r, struct ay_err *err)
{
	struct ay_slice line, word;
	uint64_t version;
	int n = ay__lines_next(&r->lines, &line, err);

	if (n < 0)
		return n;
	if (n == 0)
		return ay_err_set(err, AY_EFORMAT, "empty, so not a manifest");
	if (!ay__word(&line, &word) || !ay__word_is(&word, "ayni-manifest") || !ay__word(&line, &word) ||
	    line.data || ay__parse_u64(word.data, word.len, UINT32_MAX, &version))
		return ay_err_set(err, AY_EFORMAT, "line 1: not a manifest");
	if (version != 1)
		return ay_err_set(err, AY_EVERSION, "manifest version %u is not known here; upgrade ayni",
				  (unsigned)version);
	return 0;
}

static int next(struct ay_manifest_reader *r, struct ay_entry *e, struct ay_err *err)
{
	int n;

	if (!r->begun) {
		r->begun = true;
		n = read_head(r, err);
		if (n)
			return n;
	}
	n = ay__lines_next(&r->lines, &r->raw, err);
	if (n < 0)
		return n;
	if (n == 0) {
		if (r->order.len == 0)
			return ay_err_set(err, AY_EFORMAT, "a manifest without the entry /");
		r->ended = true;
		return 0;
	}
	n = ay__entry_decode(&r->store, &r->raw, e, err);
	if (!n)
		n = ay__order_step(&r->order, e, err);
	if (n)
		return ay_err_wrap(err, n, "line %llu", (unsigned long long)r->lines.line);
	return 1;
}

int ay_manifest_next(struct ay_manifest_reader *r, struct ay_entry *e, struct ay_err *err)
{
	if (r->failed)
		return ay_err_set(err, r->failed, "the manifest was refused before");
	if (r->ended)
		return 0;
	int n = next(r, e, err);
	if (n < 0)
		r->failed = n;
	return n;
}

void ay_manifest_reader_digest(struct ay_manifest_reader *r, struct ay_digest *d, uint64_t *size)
{
	AY_ASSERT(r->ended);
	if (!r->digested) {
		ay_hasher_final(r->lines.hasher, &r->digest);
		r->digested = true;
	}
	if (d)
		*d = r->digest;
	if (size)
		*size = r->lines.size;
}

struct ay_slice ay__manifest_reader_raw(const struct ay_manifest_reader *r)
{
	return (struct ay_slice){r->raw.data, r->raw.len + 1};
}
