/* SPDX-License-Identifier: MIT */
/* Any bytes as a manifest: what is read encodes to the very same bytes, in whatever steps it came. */
#include <string.h>

#include "manifest/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct source {
	const uint8_t *data;
	size_t len, step;
};

static long read_some(void *ctx, void *buf, size_t len)
{
	struct source *s = ctx;
	size_t n = s->len < s->step ? s->len : s->step;

	n = n < len ? n : len;
	if (n)
		memcpy(buf, s->data, n);
	s->data += n;
	s->len -= n;
	return (long)n;
}

static int copy(struct ay_manifest_reader *r, struct ay_buf *out)
{
	struct ay_manifest_writer *w = ay_manifest_writer_new(ay_write_to_buf, out);
	struct ay_err err = {0};
	struct ay_entry e;
	int n;

	AY_ASSERT(r && w);
	while ((n = ay_manifest_next(r, &e, &err)) > 0)
		AY_ASSERT(ay_manifest_add(w, &e, &err) == 0);
	AY_ASSERT(n == 0 || (n == err.code && err.msg[0]));
	if (n == 0) {
		struct ay_digest a, b;
		uint64_t size_a, size_b;
		AY_ASSERT(ay_manifest_finish(w, &a, &size_a, &err) == 0);
		ay_manifest_reader_digest(r, &b, &size_b);
		AY_ASSERT(ay_digest_eq(&a, &b) && size_a == size_b);
	}
	ay_manifest_writer_free(w);
	ay_manifest_reader_free(r);
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct ay_buf a = {0}, b = {0}, mtree = {0};
	struct source s = {data, len, 1 + len / 7};
	int r = copy(ay_manifest_reader_new_mem(data, len), &a);

	AY_ASSERT(copy(ay_manifest_reader_new(read_some, &s), &b) == r);
	if (r == 0) {
		AY_ASSERT(a.len == len && memcmp(a.data, data, len) == 0);
		AY_ASSERT(b.len == len && memcmp(b.data, data, len) == 0);
	}
	struct ay_manifest_reader *reader = ay_manifest_reader_new_mem(data, len);
	AY_ASSERT(reader && ay_manifest_mtree(reader, ay_write_to_buf, &mtree, NULL) == r);
	ay_manifest_reader_free(reader);
	ay_buf_release(&a);
	ay_buf_release(&b);
	ay_buf_release(&mtree);
	return 0;
}
