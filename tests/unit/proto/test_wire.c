/* SPDX-License-Identifier: MIT */
/*
 * Each datagram and message: what goes in comes out; cut, lengthened or with any bit flipped it is refused, or
 * is another message in its one form.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "proto/frame.h"
#include "proto/wire.h"

static struct ay_digest digest(uint8_t v)
{
	struct ay_digest d;

	memset(d.b, v, sizeof(d.b));
	return d;
}

/* One kind of message: decode @data and encode what came out. */
struct kind {
	const char *name;
	int (*again)(const uint8_t *data, size_t len, struct ay_buf *out);
};

#define KIND(what)                                                                                           \
	static int again_##what(const uint8_t *data, size_t len, struct ay_buf *out)                         \
	{                                                                                                    \
		struct ay_wire_##what v;                                                                     \
		int rc = ay_wire_##what##_get(data, len, &v);                                                \
		if (rc == 0)                                                                                 \
			ay_wire_##what##_put(out, &v);                                                       \
		return rc;                                                                                   \
	}
KIND(datagram)
KIND(hello)
KIND(ask)
KIND(doc)
KIND(want)
KIND(bitmap)
KIND(block)
KIND(request)
KIND(hash_request)
KIND(reject)
KIND(peers)

/* Exactly as many bytes as said, so that a sanitizer sees a read past the end. */
static int try(int (*again)(const uint8_t *, size_t, struct ay_buf *), const uint8_t *data, size_t len,
	       struct ay_buf *out)
{
	uint8_t *copy = malloc(len ? len : 1);

	if (len)
		memcpy(copy, data, len);
	ay_buf_reset(out);
	int rc = again(copy, len, out);
	/* What is accepted has one form. */
	if (rc == 0) {
		assert_int_equal(out->len, len);
		assert_memory_equal(out->data, copy, len);
	}
	free(copy);
	return rc;
}

static void hard(int (*again)(const uint8_t *, size_t, struct ay_buf *), const struct ay_buf *good)
{
	struct ay_buf out = {0};
	uint8_t *work = malloc(good->len + 1);

	memcpy(work, good->data, good->len);
	work[good->len] = 0;
	assert_int_equal(try(again, work, good->len, &out), 0);
	for (size_t len = 0; len < good->len; len++)
		assert_int_not_equal(try(again, work, len, &out), 0);
	assert_int_not_equal(try(again, work, good->len + 1, &out), 0);
	for (size_t bit = 0; bit < good->len * 8; bit++) {
		work[bit / 8] ^= (uint8_t)(1u << bit % 8);
		int rc = try(again, work, good->len, &out);
		assert_true(rc == 0 || rc == AY_EFORMAT || rc == AY_EVERSION);
		work[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	free(work);
	ay_buf_release(&out);
}

static struct ay_wire_datagram chat(unsigned n)
{
	struct ay_wire_datagram d = {.type = AY_DATAGRAM_CHAT,
				     .port = 4444,
				     .incomplete = true,
				     .session_id = 0x1122334455667788,
				     .root_version = 3,
				     .neighbours = 17,
				     .n = n};

	for (unsigned i = 0; i < n; i++)
		d.summaries[i] =
			(struct ay_wire_summary){.tag = i * 10 + 5, .head_serial = i, .have_serial = 7};
	return d;
}

static void test_datagrams(void **state)
{
	uint8_t head[AY_HEAD_SIZE];
	struct ay_wire_datagram h = {
		.type = AY_DATAGRAM_HEAD, .port = 1, .school = true, .session_id = 9, .head = head};
	struct ay_buf out = {0};

	(void)state;
	memset(head, 0xa5, sizeof(head));
	ay_wire_datagram_put(&out, &h);
	assert_int_equal(out.len, AY_WIRE_HEAD_SIZE);
	hard(again_datagram, &out);
	for (unsigned n = 0; n <= AY_WIRE_SUMMARIES_MAX; n += n < 2 ? 1 : 29) {
		struct ay_wire_datagram d = chat(n);
		ay_buf_reset(&out);
		ay_wire_datagram_put(&out, &d);
		assert_true(out.len <= AY_DATAGRAM_MAX);
		hard(again_datagram, &out);
		d.question = true;
		ay_buf_reset(&out);
		ay_wire_datagram_put(&out, &d);
		/* Asking costs as much as answering. */
		assert_true(out.len >= AY_WIRE_HEAD_SIZE && out.len <= AY_DATAGRAM_MAX);
		hard(again_datagram, &out);
	}
	ay_buf_release(&out);
}

static void test_datagram_fields(void **state)
{
	struct ay_wire_datagram d = chat(2), back;
	struct ay_buf out = {0};

	(void)state;
	ay_wire_datagram_put(&out, &d);
	assert_int_equal(ay_wire_datagram_get(out.data, out.len, &back), 0);
	assert_int_equal(back.type, AY_DATAGRAM_CHAT);
	assert_int_equal(back.port, 4444);
	assert_true(back.incomplete && !back.school && !back.question);
	assert_true(back.session_id == d.session_id);
	assert_int_equal(back.root_version, 3);
	assert_int_equal(back.neighbours, 17);
	assert_int_equal(back.summaries[1].tag, 15);
	/* Another version is no garbage: it is somebody newer. */
	out.data[2] = 2;
	assert_int_equal(ay_wire_datagram_get(out.data, out.len, &back), AY_EVERSION);
	/* Nobody has session id 0. */
	out.data[2] = 1;
	memset(out.data + 8, 0, 8);
	assert_int_equal(ay_wire_datagram_get(out.data, out.len, &back), AY_EFORMAT);
	ay_buf_release(&out);
}

static void test_unordered_summaries(void **state)
{
	struct ay_wire_datagram d = chat(2), back;
	struct ay_buf out = {0};

	(void)state;
	d.summaries[1].tag = d.summaries[0].tag;
	ay_wire_datagram_put(&out, &d);
	assert_int_equal(ay_wire_datagram_get(out.data, out.len, &back), AY_EFORMAT);
	ay_buf_release(&out);
}

static void test_hello(void **state)
{
	struct ay_wire_hello h = {
		.incomplete = true, .session_id = 77, .port = 1234, .root_version = 2, .fleet = {1, 2, 3}};
	struct ay_wire_hello back;
	struct ay_buf out = {0};

	(void)state;
	ay_wire_hello_put(&out, &h);
	hard(again_hello, &out);
	h.n = AY_CORE_BRANCHES_MAX;
	for (unsigned i = 0; i < h.n; i++)
		h.summaries[i] = (struct ay_wire_hello_summary){.branch = {{(uint8_t)i, 1}},
								.root_epoch = 1,
								.head_serial = 5 + i,
								.signed_at_s = 1700000000,
								.have_serial = 4};
	ay_buf_reset(&out);
	ay_wire_hello_put(&out, &h);
	assert_int_equal(out.len, AY_WIRE_HELLO_MAX);
	hard(again_hello, &out);
	assert_int_equal(ay_wire_hello_get(out.data, out.len, &back), 0);
	assert_int_equal(back.summaries[3].head_serial, 8);
	out.data[4] = 2;
	assert_int_equal(ay_wire_hello_get(out.data, out.len, &back), AY_EVERSION);
	ay_buf_release(&out);
}

static void test_asks(void **state)
{
	struct ay_wire_ask asks[] = {
		{.kind = AY_DOC_TYPE_ROOT, .number = 2},
		{.kind = AY_DOC_TYPE_HEAD, .branch = {{1}}},
		{.kind = AY_DOC_TYPE_RELEASE, .digest = digest(3)},
		{.kind = AY_DOC_TYPE_RELEASE_OF, .branch = {{1}}, .digest = digest(3)},
		{.kind = AY_DOC_TYPE_RELEASE_OF, .branch = {{1}}, .number = 7},
		{.kind = AY_DOC_TYPE_OFFERS, .branch = {{1}}, .digest = digest(3)},
	};
	struct ay_buf out = {0};

	(void)state;
	for (unsigned i = 0; i < sizeof(asks) / sizeof(asks[0]); i++) {
		ay_buf_reset(&out);
		ay_wire_ask_put(&out, &asks[i]);
		assert_int_equal(out.len, AY_WIRE_ASK_SIZE);
		hard(again_ask, &out);
	}
	/* What a kind does not use is zero. */
	ay_buf_reset(&out);
	ay_wire_ask_put(&out, &asks[1]);
	out.data[41] = 1;
	struct ay_wire_ask back;
	assert_int_equal(ay_wire_ask_get(out.data, out.len, &back), AY_EFORMAT);
	ay_buf_release(&out);
}

static void test_docs(void **state)
{
	static uint8_t text[AY_WIRE_DOC_PART + 10];
	struct ay_wire_doc small = {.kind = AY_DOC_TYPE_RELEASE, .total = 30, .bytes = {text, 30}}, back;
	struct ay_wire_doc tail = {.kind = AY_DOC_TYPE_ROOT,
				   .total = AY_WIRE_DOC_PART + 10,
				   .offset = AY_WIRE_DOC_PART,
				   .bytes = {text, 10}};
	struct ay_buf out = {0};

	(void)state;
	ay_wire_doc_put(&out, &small);
	hard(again_doc, &out);
	ay_buf_reset(&out);
	ay_wire_doc_put(&out, &tail);
	hard(again_doc, &out);
	/* Only a root comes in parts. */
	out.data[0] = AY_DOC_TYPE_RELEASE;
	assert_int_equal(ay_wire_doc_get(out.data, out.len, &back), AY_EFORMAT);
	/* No document is larger than an envelope can be. */
	out.data[0] = AY_DOC_TYPE_ROOT;
	out.data[4] = 1;
	assert_int_equal(ay_wire_doc_get(out.data, out.len, &back), AY_EFORMAT);
	ay_buf_release(&out);
}

static void test_bitmaps(void **state)
{
	const uint8_t bits[2] = {0xff, 0x01};
	struct ay_wire_bitmap some = {.bundle = digest(1),
				      .size = 9 * AY_BLOCK_SIZE,
				      .kind = AY_BITMAP_BITS,
				      .bits = {bits, 2}},
			      back;
	struct ay_buf out = {0};

	(void)state;
	ay_wire_bitmap_put(&out, &some);
	hard(again_bitmap, &out);
	/* A bit behind the last block. */
	out.data[AY_WIRE_BITMAP_FIXED + 1] = 0x03;
	assert_int_equal(ay_wire_bitmap_get(out.data, out.len, &back), AY_EFORMAT);
	/* Whole and none have no bits. */
	for (uint8_t kind = AY_BITMAP_NONE; kind <= AY_BITMAP_WHOLE; kind += 2) {
		struct ay_wire_bitmap b = {.bundle = digest(1), .size = 1, .kind = kind};
		ay_buf_reset(&out);
		ay_wire_bitmap_put(&out, &b);
		hard(again_bitmap, &out);
	}
	/* The largest fits a frame. */
	assert_true(AY_WIRE_BITMAP_FIXED + AY_WIRE_BITMAP_BYTES_MAX < AY_FRAME_MAX);
	assert_int_equal((ay_blocks_of(AY_BUNDLE_SIZE_MAX) + 7) / 8, AY_WIRE_BITMAP_BYTES_MAX);
	ay_buf_release(&out);
}

static void test_small_messages(void **state)
{
	struct ay_wire_want want = {.bundle = digest(1), .size = 1000000, .had = 3, .on = true};
	struct ay_wire_block block = {.bundle = digest(2), .index = 7};
	struct ay_wire_request request = {.bundle = digest(2), .index = 7, .had = 1, .attempt = 2};
	struct ay_wire_hash_request hash = {.bundle = digest(2), .level = 1, .index = 7};
	struct ay_wire_reject reject = {.bundle = digest(2),
					.level = AY_REJECT_LEVEL_BLOCK,
					.index = 7,
					.reason = AY_REJECT_ASK_PEERS,
					.retry_ms = 1000,
					.who = 99};
	struct ay_wire_peers peers = {.n = 2, .addrs = {{.ip = {1}, .port = 2}, {.ip = {3}, .port = 4}}};
	struct ay_buf out = {0};

	(void)state;
#define HARD(what)                                                                                           \
	ay_buf_reset(&out);                                                                                  \
	ay_wire_##what##_put(&out, &what);                                                                   \
	hard(again_##what, &out)
	HARD(want);
	HARD(block);
	HARD(request);
	ay_buf_reset(&out);
	ay_wire_hash_request_put(&out, &hash);
	hard(again_hash_request, &out);
	HARD(reject);
	HARD(peers);
	ay_buf_release(&out);
}

/* More blocks had than there are, a size of nothing or beyond all limits, a busy peer that names another. */
static void test_impossible(void **state)
{
	struct ay_wire_want want = {.bundle = digest(1), .size = AY_BLOCK_SIZE, .had = 2, .on = true}, w;
	struct ay_wire_reject reject = {.bundle = digest(2),
					.level = 255,
					.reason = AY_REJECT_ASK_PEERS,
					.who = 1},
			      r;
	struct ay_buf out = {0};

	(void)state;
	ay_wire_want_put(&out, &want);
	assert_int_equal(ay_wire_want_get(out.data, out.len, &w), AY_EFORMAT);
	want.had = 0;
	want.size = 0;
	ay_buf_reset(&out);
	ay_wire_want_put(&out, &want);
	assert_int_equal(ay_wire_want_get(out.data, out.len, &w), AY_EFORMAT);
	want.size = AY_BUNDLE_SIZE_MAX + 1;
	ay_buf_reset(&out);
	ay_wire_want_put(&out, &want);
	assert_int_equal(ay_wire_want_get(out.data, out.len, &w), AY_EFORMAT);
	ay_buf_reset(&out);
	ay_wire_reject_put(&out, &reject);
	out.data[37] = AY_REJECT_BUSY;
	assert_int_equal(ay_wire_reject_get(out.data, out.len, &r), AY_EFORMAT);
	ay_buf_release(&out);
}

static void test_frame_header(void **state)
{
	uint8_t head[AY_FRAME_HEADER];
	uint32_t len;
	uint8_t type;

	(void)state;
	ay_frame_header_put(head, AY_WIRE_REQUEST_SIZE, AY_FRAME_REQUEST);
	assert_int_equal(ay_frame_header_get(head, &len, &type), 0);
	assert_int_equal(len, AY_WIRE_REQUEST_SIZE);
	assert_int_equal(type, AY_FRAME_REQUEST);
	/* A length that this type cannot have. */
	ay_frame_header_put(head, AY_WIRE_REQUEST_SIZE + 1, AY_FRAME_REQUEST);
	assert_int_equal(ay_frame_header_get(head, &len, &type), AY_EFORMAT);
	ay_frame_header_put(head, 0, AY_FRAME_PING);
	assert_int_equal(ay_frame_header_get(head, &len, &type), 0);
	for (unsigned t = AY_FRAME_TYPES; t < 256 + AY_FRAME_HELLO; t++) {
		ay_frame_header_put(head, 40, (uint8_t)t);
		assert_int_equal(ay_frame_header_get(head, &len, &type), AY_EFORMAT);
	}
	memset(head, 0, 4);
	head[4] = AY_FRAME_PING;
	assert_int_equal(ay_frame_header_get(head, &len, &type), AY_EFORMAT);
	memset(head, 0xff, 4);
	assert_int_equal(ay_frame_header_get(head, &len, &type), AY_EFORMAT);
}

static void test_block_frames(void **state)
{
	static uint8_t payload[AY_HASHES_HEADER + AY_LEAF_SIZE];
	struct ay_digest want = digest(9), d;
	struct ay_slice data;
	const uint8_t *block;
	uint32_t index;
	uint8_t level;

	(void)state;
	ay_frame_block_put(payload, &want, 0x01020304);
	assert_int_equal(ay_frame_block_get(payload, AY_BLOCK_HEADER + 5, &d, &index, &data), 0);
	assert_true(ay_digest_eq(&d, &want));
	assert_int_equal(index, 0x01020304);
	assert_int_equal(data.len, 5);
	assert_ptr_equal(data.data, payload + AY_BLOCK_HEADER);
	assert_int_equal(ay_frame_block_get(payload, AY_BLOCK_HEADER, &d, &index, &data), AY_EFORMAT);
	ay_frame_hashes_put(payload, &want, 3, 77);
	assert_int_equal(ay_frame_hashes_get(payload, sizeof(payload), &d, &level, &index, &block), 0);
	assert_int_equal(level, 3);
	assert_int_equal(index, 77);
	assert_int_equal(ay_frame_hashes_get(payload, sizeof(payload) - 1, &d, &level, &index, &block),
			 AY_EFORMAT);
	payload[AY_DIGEST_LEN] = AY_MERKLE_LEVELS_MAX;
	assert_int_equal(ay_frame_hashes_get(payload, sizeof(payload), &d, &level, &index, &block),
			 AY_EFORMAT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_datagrams),
		cmocka_unit_test(test_datagram_fields),
		cmocka_unit_test(test_unordered_summaries),
		cmocka_unit_test(test_hello),
		cmocka_unit_test(test_asks),
		cmocka_unit_test(test_docs),
		cmocka_unit_test(test_bitmaps),
		cmocka_unit_test(test_small_messages),
		cmocka_unit_test(test_impossible),
		cmocka_unit_test(test_frame_header),
		cmocka_unit_test(test_block_frames),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
