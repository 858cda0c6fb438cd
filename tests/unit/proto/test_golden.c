/* SPDX-License-Identifier: MIT */
/*
 * The golden datagrams and frames: one file per kind in tests/golden/, a frame with its header as it stands on the
 * wire. Both ways: what we say today is the file, and the file decoded and said again is the file.
 *
 * How they are written: tests/support/golden.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "proto/frame.h"
#include "proto/wire.h"
#include "tests/support/golden.h"

#define BUNDLE_SIZE (UINT64_C(9) * AY_BLOCK_SIZE + 5) /* ten blocks, the last of five bytes */

static const struct ay_branch_id branch_a = {{0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17}};
static const struct ay_branch_id branch_b = {{0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7}};

/* Every byte differs from its neighbours, so that a field in the wrong place or order shows. */
static struct ay_digest digest(uint8_t first)
{
	struct ay_digest d;

	for (unsigned i = 0; i < sizeof(d.b); i++)
		d.b[i] = (uint8_t)(first + i);
	return d;
}

/* ---- datagrams */

static struct ay_wire_datagram chat(bool question)
{
	return (struct ay_wire_datagram){
		.type = AY_DATAGRAM_CHAT,
		.port = 24953,
		.school = !question,
		.incomplete = question,
		.question = question,
		.session_id = UINT64_C(0x1122334455667788),
		.root_version = 3,
		.neighbours = 259,
		.n = 2,
		.summaries = {{.tag = 0x01020304, .head_serial = 7, .have_serial = 6},
			      {.tag = 0xf1f2f3f4, .head_serial = 0x01000002, .have_serial = 0}}};
}

static void datagram(const char *name, const struct ay_wire_datagram *d)
{
	struct ay_wire_datagram back;
	struct ay_buf made = {0}, again = {0};

	ay_wire_datagram_put(&made, d);
	golden_check(name, made);
	struct ay_buf file = golden_read(name);
	assert_int_equal(ay_wire_datagram_get(file.data, file.len, &back), 0);
	assert_int_equal(back.type, d->type);
	assert_int_equal(back.question, d->question);
	assert_int_equal(back.session_id, d->session_id);
	ay_wire_datagram_put(&again, &back);
	assert_int_equal(again.len, file.len);
	assert_memory_equal(again.data, file.data, file.len);
	ay_buf_release(&file);
	ay_buf_release(&again);
}

static void test_datagrams(void **state)
{
	struct ay_buf head = golden_read("test.head");
	struct ay_wire_datagram news = {.type = AY_DATAGRAM_HEAD,
					.port = 24953,
					.session_id = UINT64_C(0x1122334455667788),
					.head = head.data};
	struct ay_wire_datagram summary = chat(false), question = chat(true);

	(void)state;
	assert_int_equal(head.len, AY_HEAD_SIZE);
	datagram("datagram-news.bin", &news);
	datagram("datagram-chat.bin", &summary);
	datagram("datagram-question.bin", &question);
	ay_buf_release(&head);
}

/* ---- frames: what is in each golden one */

static void make_hello(struct ay_buf *out)
{
	const struct ay_wire_hello h = {.school = true,
					.incomplete = true,
					.session_id = UINT64_C(0x1122334455667788),
					.port = 24953,
					.root_version = 3,
					.fleet = {1, 2, 3, 4, 5, 6, 7, 8},
					.n = 2,
					.summaries = {{branch_a, .root_epoch = 3, .head_serial = 7,
						       .signed_at_s = 1700000000, .have_serial = 6},
						      {branch_b, .have_serial = 1}}};

	ay_wire_hello_put(out, &h);
}

static void make_ask(struct ay_buf *out)
{
	const struct ay_wire_ask a = {AY_DOC_TYPE_OFFERS, branch_a, digest(1), 0};

	ay_wire_ask_put(out, &a);
}

static void make_none(struct ay_buf *out)
{
	const struct ay_wire_ask a = {
		.kind = AY_DOC_TYPE_RELEASE_OF, .branch = branch_b, .number = 0x01000002};

	ay_wire_ask_put(out, &a);
}

/* The second part of a root. */
static void make_doc(struct ay_buf *out)
{
	const struct ay_wire_doc d = {.kind = AY_DOC_TYPE_ROOT,
				      .total = AY_WIRE_DOC_PART + 5,
				      .offset = AY_WIRE_DOC_PART,
				      .bytes = {(const uint8_t *)"ayni\n", 5}};

	ay_wire_doc_put(out, &d);
}

static void make_want(struct ay_buf *out)
{
	const struct ay_wire_want w = {.bundle = digest(1), .size = BUNDLE_SIZE, .had = 3, .on = true};

	ay_wire_want_put(out, &w);
}

static void make_bitmap(struct ay_buf *out)
{
	static const uint8_t bits[2] = {0x31, 0x02}; /* blocks 0, 4, 5 and the last */
	const struct ay_wire_bitmap b = {digest(1), BUNDLE_SIZE, AY_BITMAP_BITS, {bits, sizeof(bits)}};

	ay_wire_bitmap_put(out, &b);
}

static void make_have(struct ay_buf *out)
{
	const struct ay_wire_block b = {digest(1), 0x01020304};

	ay_wire_block_put(out, &b);
}

static void make_request(struct ay_buf *out)
{
	const struct ay_wire_request r = {digest(1), 9, 4, AY_ATTEMPT_ALONE};

	ay_wire_request_put(out, &r);
}

static void make_block(struct ay_buf *out)
{
	const struct ay_digest bundle = digest(1);
	uint8_t header[AY_BLOCK_HEADER];

	ay_frame_block_put(header, &bundle, 9);
	ay_put_bytes(out, header, sizeof(header));
	ay_put_bytes(out, "ayni\n", 5);
}

static void make_hash_request(struct ay_buf *out)
{
	const struct ay_wire_hash_request r = {digest(1), 1, 2};

	ay_wire_hash_request_put(out, &r);
}

static void make_hashes(struct ay_buf *out)
{
	const struct ay_digest bundle = digest(1);
	uint8_t header[AY_HASHES_HEADER];

	ay_frame_hashes_put(header, &bundle, 1, 2);
	ay_put_bytes(out, header, sizeof(header));
	for (unsigned i = 0; i < AY_LEAF_SIZE / AY_DIGEST_LEN; i++) {
		const struct ay_digest d = digest((uint8_t)i);
		ay_put_bytes(out, d.b, sizeof(d.b));
	}
}

static void make_reject(struct ay_buf *out)
{
	const struct ay_wire_reject r = {.bundle = digest(1),
					 .level = AY_REJECT_LEVEL_BLOCK,
					 .index = 9,
					 .reason = AY_REJECT_ASK_PEERS,
					 .retry_ms = 1000,
					 .who = UINT64_C(0x8877665544332211)};

	ay_wire_reject_put(out, &r);
}

static void make_ping(struct ay_buf *out)
{
	(void)out;
}

static void make_peers(struct ay_buf *out)
{
	const struct ay_wire_peers p = {
		.n = 2,
		.addrs = {{.ip = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 1, 2, 3}, .port = 24953},
			  {.ip = {0xfd, 0x01, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, .port = 1}}};

	ay_wire_peers_put(out, &p);
}

/* ---- frames: decoded and encoded again */

#define AGAIN(what)                                                                                          \
	static void again_##what(struct ay_slice payload, struct ay_buf *out)                                \
	{                                                                                                    \
		struct ay_wire_##what v;                                                                     \
		assert_int_equal(ay_wire_##what##_get(payload.data, payload.len, &v), 0);                    \
		ay_wire_##what##_put(out, &v);                                                               \
	}
AGAIN(hello)
AGAIN(ask)
AGAIN(doc)
AGAIN(want)
AGAIN(bitmap)
AGAIN(block)
AGAIN(request)
AGAIN(hash_request)
AGAIN(reject)
AGAIN(peers)

static void again_bulk(struct ay_slice payload, struct ay_buf *out)
{
	uint8_t header[AY_BLOCK_HEADER];
	struct ay_digest bundle;
	struct ay_slice bytes;
	uint32_t index;

	assert_int_equal(ay_frame_block_get(payload.data, payload.len, &bundle, &index, &bytes), 0);
	ay_frame_block_put(header, &bundle, index);
	ay_put_bytes(out, header, sizeof(header));
	ay_put_bytes(out, bytes.data, bytes.len);
}

static void again_hashes(struct ay_slice payload, struct ay_buf *out)
{
	uint8_t header[AY_HASHES_HEADER], level;
	struct ay_digest bundle;
	const uint8_t *block;
	uint32_t index;

	assert_int_equal(ay_frame_hashes_get(payload.data, payload.len, &bundle, &level, &index, &block), 0);
	ay_frame_hashes_put(header, &bundle, level, index);
	ay_put_bytes(out, header, sizeof(header));
	ay_put_bytes(out, block, AY_LEAF_SIZE);
}

static void again_ping(struct ay_slice payload, struct ay_buf *out)
{
	(void)out;
	assert_int_equal(payload.len, 0);
}

static const struct {
	const char *name;
	void (*make)(struct ay_buf *out);
	void (*again)(struct ay_slice payload, struct ay_buf *out);
} frames[AY_FRAME_TYPES] = {
	[AY_FRAME_HELLO] = {"hello", make_hello, again_hello},
	[AY_FRAME_ASK] = {"ask", make_ask, again_ask},
	[AY_FRAME_DOC] = {"doc", make_doc, again_doc},
	[AY_FRAME_NONE] = {"none", make_none, again_ask},
	[AY_FRAME_WANT] = {"want", make_want, again_want},
	[AY_FRAME_BITMAP] = {"bitmap", make_bitmap, again_bitmap},
	[AY_FRAME_HAVE] = {"have", make_have, again_block},
	[AY_FRAME_REQUEST] = {"request", make_request, again_request},
	[AY_FRAME_BLOCK] = {"block", make_block, again_bulk},
	[AY_FRAME_HASH_REQUEST] = {"hash-request", make_hash_request, again_hash_request},
	[AY_FRAME_HASHES] = {"hashes", make_hashes, again_hashes},
	[AY_FRAME_CANCEL] = {"cancel", make_have, again_block},
	[AY_FRAME_REJECT] = {"reject", make_reject, again_reject},
	[AY_FRAME_PING] = {"ping", make_ping, again_ping},
	[AY_FRAME_PEERS] = {"peers", make_peers, again_peers},
};

static struct ay_buf framed(uint8_t type, const struct ay_buf *payload)
{
	uint8_t head[AY_FRAME_HEADER];
	struct ay_buf out = {0};

	ay_frame_header_put(head, (uint32_t)payload->len, type);
	ay_put_bytes(&out, head, sizeof(head));
	ay_put_bytes(&out, payload->data, payload->len);
	assert_int_equal(ay_buf_status(&out), 0);
	return out;
}

static void frame(uint8_t type)
{
	struct ay_buf payload = {0}, again = {0};
	char name[64];
	uint32_t len;
	uint8_t got;

	assert_non_null(frames[type].name); /* a new type needs its golden file */
	snprintf(name, sizeof(name), "frame-%s.bin", frames[type].name);
	frames[type].make(&payload);
	golden_check(name, framed(type, &payload));
	struct ay_buf file = golden_read(name);
	assert_int_equal(ay_frame_header_get(file.data, &len, &got), 0);
	assert_int_equal(got, type);
	assert_int_equal(len, file.len - AY_FRAME_HEADER);
	frames[type].again((struct ay_slice){file.data + AY_FRAME_HEADER, len}, &again);
	struct ay_buf said = framed(type, &again);
	assert_int_equal(said.len, file.len);
	assert_memory_equal(said.data, file.data, file.len);
	ay_buf_release(&payload);
	ay_buf_release(&again);
	ay_buf_release(&file);
	ay_buf_release(&said);
}

static void test_frames(void **state)
{
	(void)state;
	for (uint8_t type = AY_FRAME_HELLO; type < AY_FRAME_TYPES; type++)
		frame(type);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_datagrams),
		cmocka_unit_test(test_frames),
	};

	return cmocka_run_group_tests_name("proto/golden", tests, NULL, NULL);
}
