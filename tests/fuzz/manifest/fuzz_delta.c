/* SPDX-License-Identifier: MIT */
/*
 * Input: an old manifest, a NUL byte, the lines of a delta behind its header. The
 * header is made here with the right "from", so that the merge is reached. If the
 * merge goes through, the delta is the one that ay_delta_make() writes: there is no
 * second one. Also any bytes as a whole delta.
 */
#include <string.h>

#include "manifest/delta.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct source {
	const uint8_t *data;
	size_t len;
};

static long read_all(void *ctx, void *buf, size_t len)
{
	struct source *s = ctx;
	size_t n = s->len < len ? s->len : len;

	if (n)
		memcpy(buf, s->data, n);
	s->data += n;
	s->len -= n;
	return (long)n;
}

static struct ay_manifest_reader *reader(const uint8_t *data, size_t len)
{
	return len ? ay_manifest_reader_new_mem(data, len) : NULL;
}

static int apply(const uint8_t *old, size_t old_len, const uint8_t *delta, size_t delta_len,
		 const struct ay_digest *from, const struct ay_digest *to, struct ay_buf *out)
{
	struct source s = {delta, delta_len};
	struct ay_err err = {0};
	struct ay_manifest_reader *r = reader(old, old_len);
	int rc = ay_delta_apply(r, read_all, &s, from, to, NULL, NULL, ay_write_to_buf, out, &err);

	AY_ASSERT(rc == 0 || (rc == err.code && err.msg[0]));
	ay_manifest_reader_free(r);
	return rc;
}

static void header(struct ay_buf *b, const struct ay_digest *from, const struct ay_digest *to)
{
	char x[AY_DIGEST_HEX + 1], y[AY_DIGEST_HEX + 1];

	ay_put_fmt(b, "ayni-manifest-delta 1\nfrom %s\nto %s\n", ay_digest_hex(from, x),
		   ay_digest_hex(to, y));
}

/* The merge went through and gave @result: then everything must fit. */
static void check(const uint8_t *old, size_t old_len, const uint8_t *body, size_t body_len,
		  const struct ay_digest *from, const struct ay_buf *result)
{
	struct ay_digest to;
	struct ay_buf delta = {0}, again = {0}, made = {0};
	struct ay_manifest_reader *a = reader(old, old_len), *b = reader(result->data, result->len);

	ay_digest_mem(result->data, result->len, &to);
	header(&delta, from, &to);
	ay_put_bytes(&delta, body, body_len);
	AY_ASSERT(apply(old, old_len, delta.data, delta.len, from, &to, &again) == 0);
	AY_ASSERT(again.len == result->len && memcmp(again.data, result->data, again.len) == 0);
	AY_ASSERT(ay_delta_make(a, from, b, &to, ay_write_to_buf, &made, NULL) == 0);
	AY_ASSERT(made.len == delta.len && memcmp(made.data, delta.data, made.len) == 0);
	ay_manifest_reader_free(a);
	ay_manifest_reader_free(b);
	ay_buf_release(&delta);
	ay_buf_release(&again);
	ay_buf_release(&made);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const uint8_t *nul = len ? memchr(data, 0, len) : NULL;
	size_t old_len = nul ? (size_t)(nul - data) : 0;
	const uint8_t *body = nul ? nul + 1 : data;
	size_t body_len = nul ? len - old_len - 1 : len;
	struct ay_digest from = {{0}}, to = {{1}};
	struct ay_buf delta = {0}, result = {0};

	if (old_len)
		ay_digest_mem(data, old_len, &from);
	header(&delta, &from, &to);
	ay_put_bytes(&delta, body, body_len);
	/* Nothing has the digest 01000..., so a merge that goes through ends with AY_EDIGEST. */
	int r = apply(data, old_len, delta.data, delta.len, &from, &to, &result);
	AY_ASSERT(r != 0);
	if (r == AY_EDIGEST)
		check(data, old_len, body, body_len, &from, &result);
	ay_buf_reset(&result);
	AY_ASSERT(apply(data, old_len, body, body_len, &from, &to, &result) != 0);
	ay_buf_release(&delta);
	ay_buf_release(&result);
	return 0;
}
