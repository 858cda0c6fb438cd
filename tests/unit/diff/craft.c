/* SPDX-License-Identifier: MIT */
/* Bundles put together byte by byte: only their checks are computed. */
#include "tests/unit/diff/craft.h"

#include "diff/section.h"

const uint8_t base_bytes[] = "The quick brown fox jumps over the lazy dog.";
_Static_assert(sizeof(base_bytes) - 1 == BASE_LEN, "its length");

static void put_section(struct ay_buf *out, uint8_t kind, uint8_t codec, struct ay_buf *streams, unsigned n,
			unsigned id)
{
	size_t start = out->len;
	unsigned used = 0;

	for (unsigned i = 0; i < n; i++)
		used += streams[i].len > 0;
	if (!used)
		return;
	ay_put_u8(out, kind);
	ay_put_u8(out, (uint8_t)used);
	ay_put_u16(out, 0);
	for (unsigned i = 0; i < n; i++) {
		if (!streams[i].len)
			continue;
		ay_put_u8(out, (uint8_t)(id + i));
		ay_put_u8(out, codec);
		ay_put_u16(out, 0);
		ay_put_u32(out, (uint32_t)streams[i].len);
		ay_put_u32(out, (uint32_t)streams[i].len);
	}
	for (unsigned i = 0; i < n; i++)
		ay_put_bytes(out, streams[i].data, streams[i].len);
	uint8_t check[8];
	ay__check(out->data + start, out->len - start, check);
	ay_put_bytes(out, check, 8);
}

struct ay_buf craft_bytes(struct craft *c)
{
	struct ay_buf b = {0};
	uint8_t digests[64] = {0}, check[8];

	memset(digests + 32, 7, 32);
	ay_put_bytes(&b, "AyniBn", 7);
	ay_put_u8(&b, c->version ? c->version : AY_BUNDLE_VERSION);
	ay_put_bytes(&b, digests, 64);
	ay_put_u64(&b, c->delta_size ? c->delta_size : c->delta.len);
	ay_put_u64(&b, c->unpacked);
	ay_put_u32(&b, c->n_records);
	ay_put_u32(&b, c->n_parts);
	ay_put_u32(&b, c->part_limit ? c->part_limit : AY_BUNDLE_PART_MIN);
	ay_put_u32(&b, c->flags);
	if (c->version != 1) {
		ay_put_u64(&b, c->extra);
		ay_put_u64(&b, c->scratch);
		ay_put_u32(&b, c->encoders);
		ay_put_u32(&b, c->map_size ? c->map_size : (uint32_t)c->map.len);
		ay_put_u64(&b, c->zero64);
	}
	ay__check(b.data, b.len, check);
	ay_put_bytes(&b, check, 8);
	put_section(&b, 'D', 0, &c->delta, 1, AY_STREAM_DELTA);
	put_section(&b, 'M', 0, &c->map, 1, AY_STREAM_DELTA);
	put_section(&b, 'P', c->codec, c->col, AY_STREAMS, 0);
	put_section(&b, 'P', c->codec, c->more, AY_STREAMS, 0);
	ay_put_bytes(&b, c->behind.data, c->behind.len);
	assert_int_equal(ay_buf_status(&b), 0);
	return b;
}

void craft_release(struct craft *c)
{
	for (unsigned i = 0; i < AY_STREAMS; i++) {
		ay_buf_release(&c->col[i]);
		ay_buf_release(&c->more[i]);
	}
	ay_buf_release(&c->delta);
	ay_buf_release(&c->map);
	ay_buf_release(&c->behind);
}

void put_digest(struct ay_buf *b, const void *data, size_t len)
{
	struct ay_digest d;

	ay_digest_mem(data, len, &d);
	ay_put_bytes(b, d.b, sizeof(d.b));
}

void craft_good(struct craft *c)
{
	struct ay_buf *col = c->col;

	*c = (struct craft){.unpacked = 15, .n_records = 2, .n_parts = 1};
	ay_put_bytes(&c->delta, "delta", 5);
	ay_put_bytes(&col[AY_STREAM_RECORD], "\0\0\0\5", 4);
	put_digest(&col[AY_STREAM_DIGEST], "hello", 5);
	ay_put_varint(&col[AY_STREAM_EXTRA_LEN], 5);
	ay_put_bytes(&col[AY_STREAM_LITERAL], "hello", 5);

	ay_put_bytes(&col[AY_STREAM_RECORD], "\1\1\0\12", 4);
	ay_put_varint(&col[AY_STREAM_RECORD], ay_zigzag((int64_t)BASE_LEN - 10));
	put_digest(&col[AY_STREAM_DIGEST], "brown box!", 10);
	put_digest(&col[AY_STREAM_DIGEST], base_bytes, BASE_LEN);
	/* "brown " from 10 */
	ay_put_varint(&col[AY_STREAM_DIFF_LEN], 6);
	ay_put_varint(&col[AY_STREAM_SEEK], ay_zigzag(10));
	ay_put_varint(&col[AY_STREAM_EXTRA_LEN], 0);
	/* "fox" goes on, 'f' - 4 */
	ay_put_varint(&col[AY_STREAM_DIFF_LEN], 3);
	ay_put_varint(&col[AY_STREAM_SEEK], ay_zigzag(0));
	ay_put_varint(&col[AY_STREAM_EXTRA_LEN], 1);
	ay_put_u8(&col[AY_STREAM_LITERAL], '!');
	ay_put_bytes(&col[AY_STREAM_ZERO_RUN], "\6\2", 2);
	ay_put_bytes(&col[AY_STREAM_DIFF_RUN], "\1\0", 2);
	ay_put_u8(&col[AY_STREAM_DIFF], (uint8_t)('b' - 'f'));
}

struct tree *craft_tree(void)
{
	struct tree *t = tree_new();

	tree_add(t, "/base", base_bytes, BASE_LEN);
	tree_seal(t);
	return t;
}

int craft_read(struct craft *c, const struct ay_bundle_limits *limits, struct ay_err *err)
{
	struct ay_buf b = craft_bytes(c);
	struct tree *old = craft_tree();
	struct applied a = {0};
	int fd = bundle_fd(b.data, b.len);
	int rc = bundle_apply(fd, old, NULL, limits, &a, err);

	if (rc == 0) {
		assert_int_equal(a.records, c->n_records);
		assert_int_equal(a.bytes, c->unpacked);
	}
	close(fd);
	ay_buf_release(&a.delta);
	ay_buf_release(&b);
	tree_free(old);
	return rc;
}

void refused(struct craft *c, int code, const char *word)
{
	struct ay_err err = {0};
	int rc = craft_read(c, NULL, &err);

	if (rc != code || !strstr(err.msg, word))
		fail_msg("%d \"%s\" instead of %d \"%s\"", rc, err.msg, code, word);
	craft_release(c);
}
