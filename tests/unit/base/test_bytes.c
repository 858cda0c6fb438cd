/* SPDX-License-Identifier: MIT */
/* Cursor and buf: every field there and back, every truncation, every limit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"

static void put_all(struct ay_buf *b)
{
	ay_put_u8(b, 0xfe);
	ay_put_u16(b, 0x1234);
	ay_put_u32(b, 0x89abcdef);
	ay_put_u64(b, 0xfedcba9876543210u);
	ay_put_varint(b, 300);
	ay_put_str(b, "xyz");
	ay_put_fmt(b, "%s%d", "n", -1);
}

static const uint8_t all_bytes[] = {0xfe, 0x34, 0x12, 0xef, 0xcd, 0xab, 0x89, 0x10, 0x32, 0x54, 0x76, 0x98,
				    0xba, 0xdc, 0xfe, 0xac, 0x02, 'x',  'y',  'z',  'n',  '-',  '1'};

static void test_there_and_back(void **state)
{
	(void)state;
	struct ay_buf b = {0};
	put_all(&b);
	assert_int_equal(ay_buf_status(&b), 0);
	assert_int_equal(b.len, sizeof(all_bytes));
	assert_memory_equal(b.data, all_bytes, sizeof(all_bytes));
	assert_int_equal(ay_get_le32(b.data + 3), 0x89abcdef);
	assert_true(ay_get_le64(b.data + 7) == 0xfedcba9876543210u);

	struct ay_cursor c;
	ay_cursor_init(&c, b.data, b.len);
	assert_int_equal(ay_get_u8(&c), 0xfe);
	assert_int_equal(ay_get_u16(&c), 0x1234);
	assert_int_equal(ay_get_u32(&c), 0x89abcdef);
	assert_true(ay_get_u64(&c) == 0xfedcba9876543210u);
	assert_int_equal(ay_get_varint(&c), 300);
	assert_ptr_equal(ay_get_bytes(&c, 3), b.data + 17);
	assert_int_equal(ay_cursor_left(&c), 3);
	assert_int_equal(ay_cursor_offset(&c), 20);
	assert_false(ay_cursor_done(&c));
	char rest[4] = "";
	ay_get_copy(&c, rest, 3);
	assert_string_equal(rest, "n-1");
	assert_true(ay_cursor_done(&c));
	ay_buf_release(&b);
	assert_null(b.data);
}

/* Cut at every byte, in memory of exactly that size: zeros, failed, nothing left, offset where it broke. */
static void test_truncated_everywhere(void **state)
{
	(void)state;
	static const size_t starts[] = {0, 1, 3, 7, 15, 17, 20, 23};
	for (size_t len = 0; len < sizeof(all_bytes); len++) {
		uint8_t *data = calloc(1, len ? len : 1);
		memcpy(data, all_bytes, len);
		struct ay_cursor c;
		ay_cursor_init(&c, data, len);
		uint8_t copy[3] = {1, 1, 1};
		uint8_t u8 = ay_get_u8(&c);
		uint16_t u16 = ay_get_u16(&c);
		uint32_t u32 = ay_get_u32(&c);
		uint64_t u64 = ay_get_u64(&c), varint = ay_get_varint(&c);
		const uint8_t *bytes = ay_get_bytes(&c, 3);
		ay_get_copy(&c, copy, 3);

		assert_int_equal(u8, len >= 1 ? 0xfe : 0);
		assert_int_equal(u16, len >= 3 ? 0x1234 : 0);
		assert_int_equal(u32, len >= 7 ? 0x89abcdef : 0);
		assert_true(u64 == (len >= 15 ? 0xfedcba9876543210u : 0));
		assert_int_equal(varint, len >= 17 ? 300 : 0);
		assert_int_equal(bytes != NULL, len >= 20);
		assert_true(copy[0] == 0 && copy[1] == 0 && copy[2] == 0);
		assert_true(c.failed);
		assert_false(ay_cursor_done(&c));
		assert_int_equal(ay_cursor_left(&c), 0);
		size_t broke = 0;
		for (size_t i = 0; i + 1 < sizeof(starts) / sizeof(starts[0]); i++) {
			if (len >= starts[i])
				broke = starts[i];
		}
		assert_int_equal(ay_cursor_offset(&c), broke);
		free(data);
	}
}

static void test_cursor_edges(void **state)
{
	(void)state;
	struct ay_cursor c;
	ay_cursor_init(&c, NULL, 0);
	assert_true(ay_cursor_done(&c));
	assert_non_null(ay_get_bytes(&c, 0));
	assert_true(ay_cursor_done(&c));
	assert_null(ay_get_bytes(&c, 1));
	assert_false(ay_cursor_done(&c));
	assert_null(ay_get_bytes(&c, 0)); /* failed for good */

	uint8_t two[2] = {1, 2};
	ay_cursor_init(&c, two, 2);
	assert_null(ay_get_bytes(&c, SIZE_MAX)); /* pos + len would wrap */
	assert_int_equal(ay_get_u8(&c), 0);
	ay_cursor_init(&c, two, 2);
	ay_get_copy(&c, NULL, 0);
	assert_int_equal(ay_get_u16(&c), 0x0201);
	assert_true(ay_cursor_done(&c));
	ay_cursor_init(&c, NULL, 7); /* bytes that are not there */
	assert_int_equal(ay_get_u8(&c), 0);
}

static uint64_t decode(const void *bytes, size_t len, bool *ok)
{
	struct ay_cursor c;
	ay_cursor_init(&c, bytes, len);
	uint64_t v = ay_get_varint(&c);
	*ok = ay_cursor_done(&c);
	if (c.failed)
		assert_int_equal(ay_cursor_offset(&c), 0);
	return v;
}

static void test_varint(void **state)
{
	(void)state;
	bool ok;
	for (unsigned bit = 0; bit < 64; bit++) {
		for (int off = -1; off <= 1; off++) {
			uint64_t v = ((uint64_t)1 << bit) + (uint64_t)(int64_t)off;
			struct ay_buf b = {0};
			ay_put_varint(&b, v);
			assert_true(b.len <= 10);
			assert_true(decode(b.data, b.len, &ok) == v && ok);
			for (size_t cut = 0; cut < b.len; cut++)
				assert_true(decode(b.data, cut, &ok) == 0 && !ok);
			ay_buf_release(&b);
		}
	}
	static const struct {
		const char *bytes;
		size_t len;
		uint64_t value;
		bool ok;
	} cases[] = {
		{"\x00", 1, 0, true},
		{"\x7f", 1, 127, true},
		{"\x80\x01", 2, 128, true},
		{"\x80\x00", 2, 0, false},             /* 0 in two bytes */
		{"\xff\x00", 2, 0, false},             /* 127 in two bytes */
		{"\x80\x80\x80\x80\x00", 5, 0, false}, /* longer still */
		{"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10, UINT64_MAX, true},
		{"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10, 0, false},     /* 2^64 and more */
		{"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x81\x00", 11, 0, false}, /* eleven bytes */
		{"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00", 10, 0, false},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_true(decode(cases[i].bytes, cases[i].len, &ok) == cases[i].value);
		assert_true(ok == cases[i].ok);
	}
}

/* Every two-byte string that decodes is what encoding gives: one form per value. */
static void test_varint_unique(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 65536; i++) {
		uint8_t bytes[2] = {(uint8_t)i, (uint8_t)(i >> 8)};
		bool ok;
		uint64_t v = decode(bytes, 2, &ok);
		if (!ok)
			continue;
		struct ay_buf b = {0};
		ay_put_varint(&b, v);
		assert_int_equal(b.len, 2);
		assert_memory_equal(b.data, bytes, 2);
		ay_buf_release(&b);
	}
}

static void test_zigzag(void **state)
{
	(void)state;
	assert_true(ay_zigzag(0) == 0 && ay_zigzag(-1) == 1 && ay_zigzag(1) == 2);
	static const int64_t values[] = {0, 1, -1, 63, -64, INT64_MAX, INT64_MIN, 1234567890123};
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		assert_true(ay_unzigzag(ay_zigzag(values[i])) == values[i]);
	assert_true(ay_zigzag(INT64_MIN) == UINT64_MAX);
}

/* At every limit below the whole: refused where it passes, sticky, never a byte more than allowed. */
static void test_limit(void **state)
{
	(void)state;
	for (size_t limit = 1; limit <= sizeof(all_bytes) + 1; limit++) {
		struct ay_buf b;
		ay_buf_init(&b, limit);
		put_all(&b);
		bool fits = limit >= sizeof(all_bytes);
		assert_int_equal(ay_buf_status(&b), fits ? 0 : AY_ELIMIT);
		assert_true(b.len <= limit);
		assert_memory_equal(b.data ? b.data : all_bytes, all_bytes, b.len);
		assert_int_equal(ay_buf_cstr(&b) != NULL, fits);
		if (!fits) {
			size_t len = b.len;
			ay_put_str(&b, ""); /* even nothing, once failed */
			assert_null(ay_buf_reserve(&b, 0));
			assert_int_equal(b.len, len);
			ay_buf_reset(&b);
			assert_int_equal(ay_buf_status(&b), 0);
			ay_put_u8(&b, 1);
			assert_int_equal(b.len, 1);
		}
		ay_buf_release(&b);
		assert_int_equal(b.limit, limit); /* a released buf is an empty one */
	}
}

static void test_limit_and_memory(void **state)
{
	(void)state;
	struct ay_buf b;
	ay_buf_init(&b, 1000);
	for (int i = 0; i < 1000; i++)
		ay_put_u8(&b, (uint8_t)i);
	assert_int_equal(ay_buf_status(&b), 0);
	assert_true(b.cap <= 1001);
	assert_non_null(ay_buf_cstr(&b));
	assert_true(b.cap <= 1001);
	assert_int_equal(b.data[1000], 0);
	ay_put_u8(&b, 0);
	assert_int_equal(ay_buf_status(&b), AY_ELIMIT);
	ay_buf_release(&b);

	ay_buf_init(&b, 0);
	ay_put_u8(&b, 7);
	assert_null(ay_buf_reserve(&b, SIZE_MAX)); /* len + more would wrap */
	assert_int_equal(ay_buf_status(&b), -ENOMEM);
	assert_int_equal(b.len, 1);
	ay_buf_release(&b);
	ay_buf_init(&b, SIZE_MAX);
	ay_put_u8(&b, 7);
	assert_null(ay_buf_reserve(&b, SIZE_MAX));
	assert_int_equal(ay_buf_status(&b), AY_ELIMIT);
	ay_buf_release(&b);
}

static void test_reserve_and_cstr(void **state)
{
	(void)state;
	struct ay_buf b = {0};
	assert_string_equal(ay_buf_cstr(&b), ""); /* of an empty one */
	assert_int_equal(b.len, 0);
	uint8_t *p = ay_buf_reserve(&b, 5000);
	assert_non_null(p);
	assert_int_equal(b.len, 0);
	memset(p, 'q', 5000);
	b.len += 5000;
	ay_put_bytes(&b, NULL, 0);
	assert_int_equal(strlen(ay_buf_cstr(&b)), 5000);
	ay_buf_release(&b);
	ay_buf_release(&b); /* twice is legal */
}

/* Around the size where ay_put_fmt() stops formatting on the stack, and around the limit. */
static void test_fmt(void **state)
{
	(void)state;
	for (int width = 250; width < 262; width++) {
		struct ay_buf b = {0};
		ay_put_str(&b, "ab");
		ay_put_fmt(&b, "%0*d", width, 5);
		assert_int_equal(b.len, 2 + width);
		assert_int_equal(b.data[b.len - 1], '5');
		ay_buf_release(&b);

		ay_buf_init(&b, (size_t)width);
		ay_put_fmt(&b, "%0*d", width, 5);
		assert_int_equal(ay_buf_status(&b), 0);
		assert_int_equal(b.len, width);
		ay_buf_release(&b);

		ay_buf_init(&b, (size_t)width - 1);
		ay_put_fmt(&b, "%0*d", width, 5);
		assert_int_equal(ay_buf_status(&b), AY_ELIMIT);
		assert_int_equal(b.len, 0);
		ay_buf_release(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_truncated_everywhere),
		cmocka_unit_test(test_cursor_edges),
		cmocka_unit_test(test_varint),
		cmocka_unit_test(test_varint_unique),
		cmocka_unit_test(test_zigzag),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_limit_and_memory),
		cmocka_unit_test(test_reserve_and_cstr),
		cmocka_unit_test(test_fmt),
	};
	return cmocka_run_group_tests_name("bytes", tests, NULL, NULL);
}
