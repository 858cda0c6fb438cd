/* SPDX-License-Identifier: MIT */
/* A session's bytes cut into frames: however they come in pieces, the same frames come out; broken ones end it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "node/stream.h"
#include "proto/wire.h"

static void put_frame(struct ay_buf *b, uint8_t type, size_t len, uint8_t fill)
{
	uint8_t head[AY_FRAME_HEADER];
	ay_frame_header_put(head, (uint32_t)len, type);
	ay_put_bytes(b, head, sizeof(head));
	for (size_t i = 0; i < len; i++)
		ay_put_u8(b, (uint8_t)(fill + i));
}

static const struct {
	uint8_t type;
	size_t len;
} frames[] = {{AY_FRAME_HELLO, AY_WIRE_HELLO_FIXED},
	      {AY_FRAME_PING, 0},
	      {AY_FRAME_BLOCK, AY_BLOCK_HEADER + AY_BLOCK_SIZE},
	      {AY_FRAME_HAVE, AY_WIRE_BLOCK_SIZE},
	      {AY_FRAME_NONE, AY_WIRE_ASK_SIZE},
	      {AY_FRAME_HASHES, AY_HASHES_HEADER + AY_LEAF_SIZE},
	      {AY_FRAME_BLOCK, AY_BLOCK_HEADER + 1}};
#define N_FRAMES (sizeof(frames) / sizeof(frames[0]))

static void make_stream(struct ay_buf *b)
{
	ay_buf_init(b, 0);
	for (size_t i = 0; i < N_FRAMES; i++)
		put_frame(b, frames[i].type, frames[i].len, (uint8_t)i);
	assert_int_equal(ay_buf_status(b), 0);
}

static void check_frame(size_t i, const struct ay_stream_frame *f)
{
	assert_true(i < N_FRAMES);
	assert_int_equal(f->type, frames[i].type);
	assert_int_equal(f->payload.len, frames[i].len);
	for (size_t k = 0; k < frames[i].len; k++) {
		if (f->payload.data[k] != (uint8_t)(i + k))
			fail_msg("frame %zu byte %zu", i, k);
	}
}

/* Feed @piece bytes at a time, each piece in memory of exactly its size. */
static size_t feed(const struct ay_buf *b, size_t len, size_t piece)
{
	struct ay_stream s = {0};
	size_t n = 0;
	for (size_t pos = 0; pos < len; pos += piece) {
		size_t part = len - pos < piece ? len - pos : piece;
		uint8_t *copy = malloc(part);
		memcpy(copy, b->data + pos, part);
		for (size_t done = 0; done < part;) {
			struct ay_stream_frame f;
			size_t used;
			int r = ay_stream_next(&s, copy + done, part - done, &used, &f);
			assert_true(r >= 0 && used <= part - done);
			done += used;
			if (r == 1)
				check_frame(n++, &f);
			else
				assert_int_equal(done, part);
		}
		free(copy);
	}
	ay_stream_release(&s);
	return n;
}

static void test_any_pieces(void **state)
{
	(void)state;
	static const size_t pieces[] = {1, 2, 3, 4, 5, 6, 7, 100, 4095, 4096, 65536, 65577, 70000, 1000000};
	struct ay_buf b;
	make_stream(&b);
	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++)
		assert_int_equal(feed(&b, b.len, pieces[i]), N_FRAMES);
	ay_buf_release(&b);
}

/* Cut at every byte of the small frames: as many frames as are whole. */
static void test_truncated(void **state)
{
	(void)state;
	struct ay_buf b;
	make_stream(&b);
	for (size_t n = 0; n <= 200; n++) {
		const size_t hello = AY_FRAME_HEADER + AY_WIRE_HELLO_FIXED, ping = AY_FRAME_HEADER;
		size_t whole = n < hello ? 0 : n < hello + ping ? 1 : 2;
		assert_int_equal(feed(&b, n, 7), whole);
		assert_int_equal(feed(&b, n, 1000), whole);
	}
	assert_int_equal(feed(&b, b.len - 1, 1000), N_FRAMES - 1);
	ay_buf_release(&b);
}

static int one_header(uint32_t length, uint8_t type)
{
	uint8_t head[AY_FRAME_HEADER] = {(uint8_t)length, (uint8_t)(length >> 8), (uint8_t)(length >> 16),
					 (uint8_t)(length >> 24), type};
	struct ay_stream s = {0};
	struct ay_stream_frame f;
	size_t used;
	int r = ay_stream_next(&s, head, sizeof(head), &used, &f);
	if (r < 0) {
		/* For good, whatever comes then. */
		assert_int_equal(ay_stream_next(&s, head, sizeof(head), &used, &f), r);
		assert_int_equal(used, 0);
	}
	assert_true(s.cap == 0); /* an announced length alone costs nothing */
	ay_stream_release(&s);
	return r;
}

static void test_hostile_lengths(void **state)
{
	(void)state;
	assert_int_equal(one_header(0, AY_FRAME_PING), AY_EFORMAT);
	assert_int_equal(one_header(1, AY_FRAME_PING), 1);
	assert_int_equal(one_header(AY_FRAME_MAX, AY_FRAME_BLOCK), 0);
	assert_int_equal(one_header(AY_FRAME_MAX + 1, AY_FRAME_BLOCK), AY_EFORMAT);
	assert_int_equal(one_header(0x7fffffff, AY_FRAME_BLOCK), AY_EFORMAT);
	assert_int_equal(one_header(0xffffffff, AY_FRAME_BLOCK), AY_EFORMAT);
}

/* The buffer of a cut frame follows what came and goes when the frame is done. */
static void test_memory(void **state)
{
	(void)state;
	struct ay_stream s = {0};
	struct ay_stream_frame f;
	struct ay_buf b;
	size_t used;
	ay_buf_init(&b, 0);
	put_frame(&b, AY_FRAME_BLOCK, AY_BLOCK_HEADER + 65536, 0);
	put_frame(&b, AY_FRAME_PING, 0, 0);
	assert_int_equal(ay_stream_next(&s, b.data, 1000, &used, &f), 0);
	assert_true(s.cap <= 4096);
	size_t pos = used;
	assert_int_equal(ay_stream_next(&s, b.data + pos, b.len - pos, &used, &f), 1);
	assert_true(s.cap <= AY_FRAME_MAX);
	pos += used;
	assert_int_equal(ay_stream_next(&s, b.data + pos, b.len - pos, &used, &f), 1);
	assert_true(s.cap == 0 && !s.payload);
	ay_stream_release(&s);
	ay_buf_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_any_pieces), cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_hostile_lengths), cmocka_unit_test(test_memory)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
