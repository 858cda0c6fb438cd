/* SPDX-License-Identifier: MIT */
/* The classic patch format: round trips, and patches that nobody should believe. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <bzlib.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/prng.h"
#include "diff/bsdiff40.h"
#include "tests/unit/diff/trees.h"

static int fd_of(const void *data, size_t len)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), len);
	return fd;
}

static int apply(const struct ay_buf *patch, struct ay_slice old, uint64_t max, struct ay_buf *out,
		 struct ay_err *err)
{
	int fd = fd_of(patch->data, patch->len), old_fd = fd_of(old.data, old.len);
	int r = ay_bsdiff40_apply(fd, old_fd, max, ay_write_to_buf, out, err);

	close(fd);
	close(old_fd);
	return r;
}

static void round_trip(struct ay_slice old, struct ay_slice new_)
{
	struct ay_buf patch = {0}, out = {0};
	struct ay_err err = {0};

	assert_int_equal(
		ay_bsdiff40_write(old, new_, &(struct ay_bsdiff_params){0}, 1, ay_write_to_buf, &patch, &err),
		0);
	assert_int_equal(apply(&patch, old, new_.len, &out, &err), 0);
	assert_int_equal(out.len, new_.len);
	if (new_.len > 0)
		assert_memory_equal(out.data, new_.data, new_.len);
	/* One byte too much is too much. */
	if (new_.len > 0)
		assert_int_equal(apply(&patch, old, new_.len - 1, &out, &err), AY_ELIMIT);
	ay_buf_release(&patch);
	ay_buf_release(&out);
}

static void test_round_trips(void **state)
{
	(void)state;
	struct ay_prng r;

	ay_prng_init(&r, 1);
	for (int i = 0; i < 60; i++) {
		size_t len = ay_prng_below(&r, i % 3 ? 4000 : 200000), new_len;
		uint8_t *a = i % 2 ? bytes_code(&r, len) : bytes_random(&r, len);
		uint8_t *b = bytes_edit(&r, a, len, (unsigned)ay_prng_below(&r, 8), &new_len);

		round_trip((struct ay_slice){a, len}, (struct ay_slice){b, new_len});
		round_trip((struct ay_slice){NULL, 0}, (struct ay_slice){b, new_len});
		round_trip((struct ay_slice){a, len}, (struct ay_slice){NULL, 0});
		round_trip((struct ay_slice){a, len}, (struct ay_slice){a + len / 2, len - len / 2});
		free(a);
		free(b);
	}
	round_trip((struct ay_slice){NULL, 0}, (struct ay_slice){NULL, 0});
}

/* ---- patches put together by hand ---- */

static void put_number(struct ay_buf *b, int64_t v)
{
	ay_put_u64(b, v < 0 ? (uint64_t)-v | 1ull << 63 : (uint64_t)v);
}

static void put_block(struct ay_buf *out, const void *data, size_t len)
{
	unsigned packed = (unsigned)(len + len / 50 + 700);
	uint8_t *room = ay_buf_reserve(out, packed);

	assert_non_null(room);
	char *bytes = malloc(len + 1);
	assert_non_null(bytes);
	memcpy(bytes, data, len);
	assert_int_equal(BZ2_bzBuffToBuffCompress((char *)room, &packed, bytes, (unsigned)len, 1, 0, 0),
			 BZ_OK);
	free(bytes);
	out->len += packed;
}

struct triple {
	int64_t x, y, z;
};

/* @extra bytes of 'e', as many differences of 0 as asked for. */
static void build(struct ay_buf *out, const struct triple *t, size_t n, size_t diff, size_t extra,
		  int64_t new_size)
{
	struct ay_buf control = {0}, blocks[3] = {{0}, {0}, {0}};
	uint8_t *zeros = calloc(1, diff + 1), *e = malloc(extra + 1);

	assert_true(zeros && e);
	memset(e, 'e', extra);
	for (size_t i = 0; i < n; i++) {
		put_number(&control, t[i].x);
		put_number(&control, t[i].y);
		put_number(&control, t[i].z);
	}
	put_block(&blocks[0], n ? (void *)control.data : "", control.len);
	put_block(&blocks[1], zeros, diff);
	put_block(&blocks[2], e, extra);
	ay_buf_reset(out);
	ay_put_str(out, "BSDIFF40");
	put_number(out, (int64_t)blocks[0].len);
	put_number(out, (int64_t)blocks[1].len);
	put_number(out, new_size);
	for (int i = 0; i < 3; i++) {
		ay_put_bytes(out, blocks[i].data, blocks[i].len);
		ay_buf_release(&blocks[i]);
	}
	ay_buf_release(&control);
	free(zeros);
	free(e);
}

static const struct ay_slice ten = {(const uint8_t *)"0123456789", 10};

static void expect(struct ay_buf *patch, int code, const char *says)
{
	struct ay_buf out = {0};
	struct ay_err err = {0};
	int r = apply(patch, ten, UINT64_MAX, &out, &err);

	if (r != code || (code < 0 && !strstr(err.msg, says)))
		fail_msg("%d \"%s\" instead of %d \"%s\"", r, err.msg, code, says);
	if (code == 0) {
		assert_int_equal(out.len, strlen(says));
		assert_memory_equal(out.data, says, out.len);
	}
	ay_buf_release(&out);
}

static void test_by_hand(void **state)
{
	(void)state;
	struct ay_buf p = {0};

	build(&p, (struct triple[]){{0, 0, 4}, {3, 2, -7}, {2, 0, 99}}, 3, 5, 2, 7);
	expect(&p, 0,
	       "456ee01"); /* a first triple that only moves, as bsdiff(1) writes it; the last move leads nowhere */
	build(&p, (struct triple[]){{0, 7, INT64_MIN + 1}}, 1, 0, 7, 7);
	expect(&p, 0, "eeeeeee");
	ay_buf_release(&p);
}

static void test_hostile_numbers(void **state)
{
	(void)state;
	const int64_t big = INT64_MAX;
	struct ay_buf p = {0};
	const struct {
		struct triple t[2];
		size_t n;
		int64_t new_size;
		const char *says;
	} cases[] = {
		{{{11, 0, 0}},
		 1,
		 11,
		 "control triple 0, at byte 0 of the new file: a copy of 11 bytes from 0, outside"},
		{{{0, 1, 9}, {2, 0, 0}},
		 2,
		 3,
		 "control triple 1, at byte 1 of the new file: a copy of 2 bytes from 9"},
		{{{0, 1, -1}, {1, 0, 0}}, 2, 2, "from -1, outside"},
		{{{0, 1, big}, {1, 0, 0}}, 2, 2, "outside the old file's 10"},
		{{{4, 0, 0}}, 1, 3, "4 bytes copied and 0 new where the new file still lacks 3"},
		{{{-1, 4, 0}}, 1, 3, "-1 bytes copied"},
		{{{1, -4, 0}}, 1, 3, "-4 new"},
		{{{big, big, 0}}, 1, 3, "still lacks 3"},
		{{{1, big, 0}}, 1, 3, "still lacks 3"},
		{{{0, 1, big}, {0, 1, big}}, 2, 3, "out of all bounds"},
		{{{1, 1, 0}},
		 1,
		 3,
		 "control triple 1, at byte 2 of the new file: the control block has too few"},
		{{{3, 0, 0}}, 1, 3ll << 30, "the control block has too few bytes"},
		{{{0, 0, 0}}, 1, -1, "offset 24: a new file of -1 bytes"},
		{{{0, 0, 0}},
		 1,
		 INT64_MAX,
		 "offset 24: a new file of 9223372036854775807 bytes makes no sense"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		build(&p, cases[i].t, cases[i].n, 10, 10, cases[i].new_size);
		expect(&p, AY_EFORMAT, cases[i].says);
	}
	/* Block sizes that do not fit the patch: beyond 2 GiB, negative, and only just too long. */
	build(&p, cases[0].t, 1, 10, 10, 3);
	for (int field = 8; field <= 16; field += 8) {
		const uint64_t wrong[] = {1ull << 31,     3ull << 31, 1ull << 62,
					  1ull << 63 | 1, UINT64_MAX, p.len - 31};

		for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
			struct ay_buf bad = {0};

			ay_put_bytes(&bad, p.data, p.len);
			for (int k = 0; k < 8; k++)
				bad.data[field + k] = (uint8_t)(wrong[i] >> 8 * k);
			expect(&bad, AY_EFORMAT, field == 8 ? "offset 8: " : "offset 16: ");
			ay_buf_release(&bad);
		}
	}
	ay_buf_release(&p);
}

static void test_blocks_end_where_the_file_does(void **state)
{
	(void)state;
	struct ay_buf p = {0};
	const struct triple two[] = {{5, 5, 0}, {0, 0, 0}};

	build(&p, two, 1, 5, 5, 10);
	expect(&p, 0, "01234eeeee");
	build(&p, two, 2, 5, 5, 10);
	expect(&p, AY_EFORMAT, "the control block goes on");
	build(&p, two, 1, 6, 5, 10);
	expect(&p, AY_EFORMAT, "the difference block goes on");
	build(&p, two, 1, 5, 6, 10);
	expect(&p, AY_EFORMAT, "the extra block goes on");
	build(&p, two, 1, 4, 5, 10);
	expect(&p, AY_EFORMAT, "the difference block has too few bytes");
	build(&p, two, 1, 5, 4, 10);
	expect(&p, AY_EFORMAT, "the extra block has too few bytes");
	build(&p, two, 1, 5, 5, 10);
	ay_put_u8(&p, 0);
	expect(&p, AY_EFORMAT, "bytes stand behind the extra block");
	ay_buf_release(&p);
}

/* Some of these triples are what bsdiff(1) writes; an endless stream of them is not. */
static void test_triples_that_do_nothing_are_counted(void **state)
{
	(void)state;
	size_t n = 2000000;
	struct triple *t = calloc(n, sizeof(*t));
	struct ay_buf p = {0};

	assert_non_null(t);
	build(&p, t, n, 0, 0, 10);
	assert_true(p.len < 100000);
	expect(&p, AY_EFORMAT, "control triple 27, at byte 0 of the new file: too many that do nothing");
	free(t);
	ay_buf_release(&p);
}

/* bzip2 checks itself, so no cut and no flipped bit gives another file: it is refused, or the bit meant nothing. */
static void test_damage(void **state)
{
	(void)state;
	struct ay_buf p = {0}, out = {0};
	struct ay_err err = {0};

	build(&p, (struct triple[]){{4, 3, 2}, {2, 1, 0}}, 2, 6, 4, 10);
	size_t whole = p.len;
	for (p.len = 0; p.len < whole; p.len++) {
		ay_buf_reset(&out);
		assert_int_equal(apply(&p, ten, 100, &out, &err), AY_EFORMAT);
	}
	for (size_t bit = 0; bit < 8 * whole; bit++) {
		p.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		ay_buf_reset(&out);
		int r = apply(&p, ten, 100, &out, &err);
		assert_true(r == AY_EFORMAT || r == AY_ELIMIT ||
			    (r == 0 && out.len == 10 && memcmp(out.data, "0123eee67e", 10) == 0));
		p.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	ay_buf_release(&p);
	ay_buf_release(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trips),
		cmocka_unit_test(test_by_hand),
		cmocka_unit_test(test_hostile_numbers),
		cmocka_unit_test(test_blocks_end_where_the_file_does),
		cmocka_unit_test(test_triples_that_do_nothing_are_counted),
		cmocka_unit_test(test_damage),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
