/* SPDX-License-Identifier: MIT */
/*
 * Releases and offers that a node keeps, each a file named by its digest and
 * checked whenever it is read. They are for passing on and for choosing a way;
 * who acts on one has manifest/trust.h verify it first.
 */
#include "store/state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "store/state_internal.h"
#include "store/store_internal.h"

#define DOCS_MAX 65536 /* documents of one kind; each is at most AY_ENVELOPE_MAX on disk */

static int doc_dir(const struct ay_store *s, enum ay_doc_kind kind, const char **name)
{
	*name = kind == AY_DOC_RELEASE ? "releases" : "offers";
	return kind == AY_DOC_RELEASE ? s->releases : s->offers;
}

int ay_state_get_doc(struct ay_store *s, enum ay_doc_kind kind, const struct ay_digest *digest,
		     uint8_t **data, size_t *len, struct ay_err *err)
{
	const char *dir_name;
	char hex[AY_DIGEST_HEX + 1];
	struct ay_digest got;
	AY_FREE uint8_t *bytes = NULL;

	int dir = doc_dir(s, kind, &dir_name);
	int rc = ay__read_file(dir, ay_digest_hex(digest, hex), AY_ENVELOPE_MAX, &bytes, len, err);
	if (rc < 0)
		return ay_err_wrap(err, rc, "%s/%s", s->path, dir_name);
	ay_digest_mem(bytes, *len, &got);
	if (!ay_digest_eq(&got, digest))
		return ay_err_set(err, AY_EDIGEST, "%s/%s/%s is damaged", s->path, dir_name, hex);
	*data = ay_steal_ptr(&bytes);
	return 0;
}

int ay_state_put_doc(struct ay_store *s, enum ay_doc_kind kind, const void *data, size_t len,
		     struct ay_err *err)
{
	const char *dir_name;
	char hex[AY_DIGEST_HEX + 1];
	struct ay_digest digest;
	AY_FREE uint8_t *kept = NULL;
	size_t kept_len;

	int rc = ay__store_writable(s, err);
	if (rc < 0)
		return rc;
	int dir = doc_dir(s, kind, &dir_name);
	if (len > AY_ENVELOPE_MAX)
		return ay_err_set(err, AY_ELIMIT, "%s/%s: a document of %zu bytes (at most %d)", s->path,
				  dir_name, len, AY_ENVELOPE_MAX);
	ay_digest_mem(data, len, &digest);
	if (ay_state_get_doc(s, kind, &digest, &kept, &kept_len, NULL) == 0)
		return ay__state_sync_found(s, dir, dir_name, err);
	rc = ay__store_replace_file(s->fs, dir, ay_digest_hex(&digest, hex), data, len, err);
	return rc < 0 ? ay_err_wrap(err, rc, "%s/%s", s->path, dir_name) : 0;
}

/* Digests are collected first, so that @each may drop documents. */
int ay_state_each_doc(struct ay_store *s, enum ay_doc_kind kind,
		      int (*each)(void *ctx, const struct ay_digest *d, const uint8_t *data, size_t len),
		      void *ctx, struct ay_err *err)
{
	const char *dir_name;
	struct ay_buf digests;

	int dir = doc_dir(s, kind, &dir_name);
	AY_CLOSEDIR DIR *stream = ay__list_dir(dir);
	int end = 0;
	if (!stream)
		return ay_err_errno(err, errno, "%s/%s", s->path, dir_name);
	ay_buf_init(&digests, DOCS_MAX * AY_DIGEST_LEN);
	for (struct dirent *e; (e = ay__dir_next(stream, &end));) {
		struct ay_digest d;
		if (ay_digest_parse(&d, e->d_name, strlen(e->d_name)) == 0)
			ay_put_bytes(&digests, d.b, sizeof(d.b));
	}
	int rc = end < 0 ? ay_err_errno(err, -end, "cannot list %s/%s", s->path, dir_name)
			 : ay_buf_status(&digests);
	if (rc < 0 && end == 0)
		ay_err_set(err, rc, "%s/%s: more than %d documents", s->path, dir_name, DOCS_MAX);
	for (size_t i = 0; rc == 0 && i < digests.len; i += AY_DIGEST_LEN) {
		AY_FREE uint8_t *data = NULL;
		struct ay_err why = {0};
		struct ay_digest d;
		size_t len;
		memcpy(d.b, digests.data + i, sizeof(d.b));
		rc = ay_state_get_doc(s, kind, &d, &data, &len, &why);
		if (rc == 0)
			rc = each(ctx, &d, data, len);
		else if (rc == -ENOENT || rc == AY_EDIGEST || rc == AY_ELIMIT)
			rc = 0; /* gone meanwhile, or damaged and as good as gone */
		else if (err)
			*err = why;
	}
	ay_buf_release(&digests);
	return rc;
}

int ay_state_drop_doc(struct ay_store *s, enum ay_doc_kind kind, const struct ay_digest *digest,
		      struct ay_err *err)
{
	const char *dir_name;
	char hex[AY_DIGEST_HEX + 1];

	int rc = ay__store_writable(s, err);
	if (rc < 0)
		return rc;
	int dir = doc_dir(s, kind, &dir_name);
	rc = s->fs->ops->unlink(s->fs, dir, ay_digest_hex(digest, hex), 0);
	if (rc < 0 && rc != -ENOENT)
		return ay_err_errno(err, -rc, "%s/%s/%s", s->path, dir_name, hex);
	return 0;
}
