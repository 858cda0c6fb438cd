/* SPDX-License-Identifier: MIT */
/*
 * manifest/release.c - the text of a release: what a tree must be.
 */
#include "manifest/release.h"

#include <errno.h>
#include <string.h>

#include "base/path.h"
#include "manifest/text.h"

static int get_prose(struct ay__text *t, const char *key, char *out, size_t size, bool newlines,
		     struct ay_err *err)
{
	struct ay_slice value;
	int r = ay__text_value(t, key, &value, err);

	if (r)
		return r;
	r = ay__prose_get(&value, out, size, newlines);
	if (r == -ENOMEM)
		return ay_err_set(err, r, "out of memory for a release");
	if (r)
		return ay__text_bad(t, err,
				    "not percent-encoded UTF-8 without control characters, or too long");
	return r;
}

static int get_u32(struct ay__text *t, const char *key, uint64_t min, uint64_t max, uint32_t *out,
		   struct ay_err *err)
{
	uint64_t v;
	int r = ay__text_number(t, key, min, max, &v, err);

	if (!r)
		*out = (uint32_t)v;
	return r;
}

int ay_release_parse(const void *text, size_t len, struct ay_release *out, struct ay_err *err)
{
	struct ay__text t;
	int r = ay__text_open(&t, text, len, "ayni-release", err);

	memset(out, 0, sizeof(*out));
	if (!r)
		r = ay__text_branch(&t, out->branch, err);
	if (!r)
		r = get_u32(&t, "serial", 1, AY_SERIAL_MAX, &out->serial, err);
	if (!r)
		r = get_u32(&t, "root-epoch", 1, UINT32_MAX, &out->root_epoch, err);
	if (!r)
		r = get_prose(&t, "name", out->name, sizeof(out->name), false, err);
	if (!r)
		r = ay__text_number(&t, "date", 0, INT64_MAX, &out->date_s, err);
	if (!r)
		r = ay__text_digest_size(&t, "manifest", AY_MANIFEST_SIZE_MAX, &out->manifest,
					 &out->manifest_size, err);
	if (!r)
		r = ay__text_number(&t, "unpacked", 0, INT64_MAX, &out->unpacked_size, err);
	if (!r)
		r = ay__text_number(&t, "entries", 1, AY_MANIFEST_SIZE_MAX, &out->entries, err);
	if (!r)
		r = get_u32(&t, "min-serial", 0, out->serial, &out->min_serial, err);
	if (!r)
		r = get_prose(&t, "notes", out->notes, sizeof(out->notes), true, err);
	return r ? r : ay__text_end(&t, err);
}

static void put_prose(struct ay_buf *out, const char *key, const char *s)
{
	ay_put_fmt(out, "%s:%s", key, *s ? " " : "");
	ay_percent_put(out, s, strlen(s));
	ay_put_u8(out, '\n');
}

int ay_release_write(const struct ay_release *r, struct ay_buf *out, struct ay_err *err)
{
	char hex[AY_DIGEST_HEX + 1];
	struct ay_release check;
	size_t start = out->len;

	ay_put_fmt(out, "ayni-release 1\nbranch: %s\nserial: %u\nroot-epoch: %u\n", r->branch, r->serial,
		   r->root_epoch);
	put_prose(out, "name", r->name);
	ay_put_fmt(out, "date: %llu\nmanifest: %s %llu\n", (unsigned long long)r->date_s,
		   ay_digest_hex(&r->manifest, hex), (unsigned long long)r->manifest_size);
	ay_put_fmt(out, "unpacked: %llu\nentries: %llu\nmin-serial: %u\n",
		   (unsigned long long)r->unpacked_size, (unsigned long long)r->entries, r->min_serial);
	put_prose(out, "notes", r->notes);
	int rc = ay_buf_status(out);
	if (rc)
		return ay_err_set(err, rc, "writing a release: %s", ay_strerror(rc));
	return ay_release_parse(out->data + start, out->len - start, &check,
				err); /* never sign what none would take */
}
