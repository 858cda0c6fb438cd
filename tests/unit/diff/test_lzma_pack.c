/* SPDX-License-Identifier: MIT */
/*
 * Our packer makes liblzma's streams to the last bit: all parameters that it takes, contents that are packed well, badly and not at
 * all, in pieces of any size, with its window moved and its matches found in another thread.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/prng.h"
#include "diff/filter_xz.h"
#include "diff/lzma_find.h"
#include "diff/lzma_pack.h"

#define PARAMS(props_, nice_, depth_)                                                                        \
	{                                                                                                    \
		.dict_code = 16, .props = props_, .mode = 2, .finder = 0x14, .nice = nice_, .depth = depth_  \
	}

static int to_buf(void *ctx, const uint8_t *data, size_t len)
{
	ay_put_bytes(ctx, data, len);
	return 0;
}

/* The dictionary is smaller than ay__lzma_pack_can() wants it: so that the window moves and numbers run out with little to pack. */
static void pack_ours(const struct ay__xz_params *x, const uint8_t *data, size_t len, size_t piece,
		      struct ay_buf *out)
{
	struct ay__lzma_pack *p = ay__lzma_pack_new(x, to_buf, out);

	assert_non_null(p);
	for (size_t at = 0; at < len; at += piece)
		assert_int_equal(ay__lzma_pack_write(p, data + at, len - at < piece ? len - at : piece), 0);
	assert_int_equal(ay__lzma_pack_end(p), 0);
	ay__lzma_pack_free(p);
}

static void pack_theirs(const struct ay__xz_params *x, const uint8_t *data, size_t len, struct ay_buf *out)
{
	lzma_stream z = LZMA_STREAM_INIT;
	struct ay__xz_chain chain;
	uint8_t buf[65536];
	lzma_ret ret = LZMA_OK;

	ay__xz_chain_make(&chain, x, true);
	assert_int_equal(lzma_raw_encoder(&z, chain.filters), LZMA_OK);
	z.next_in = data;
	z.avail_in = len;
	while (ret == LZMA_OK) {
		z.next_out = buf;
		z.avail_out = sizeof(buf);
		ret = lzma_code(&z, LZMA_FINISH);
		ay_put_bytes(out, buf, sizeof(buf) - z.avail_out);
	}
	assert_int_equal(ret, LZMA_STREAM_END);
	lzma_end(&z);
}

static void compare(const struct ay__xz_params *x, const uint8_t *data, size_t len, size_t piece)
{
	AY_CLEANUP(ay_buf_release) struct ay_buf ours, theirs;

	ay_buf_init(&ours, 64u << 20);
	ay_buf_init(&theirs, 64u << 20);
	pack_ours(x, data, len, piece, &ours);
	pack_theirs(x, data, len, &theirs);
	size_t same = 0;
	while (same < ours.len && same < theirs.len && ours.data[same] == theirs.data[same])
		same++;
	if (ours.len != theirs.len || same != ours.len)
		fail_msg("%zu bytes, nice %u, props %u: %zu packed bytes, liblzma %zu, the same up to %zu",
			 len, x->nice, x->props, ours.len, theirs.len, same);
}

enum content { WORDS, RANDOM, ZEROS, CODE, MIXED };

static uint8_t *content_make(enum content what, size_t len, uint64_t seed)
{
	static const char *const words[] = {"mov",     "call ", "ret\n",      "\xe8\x10\x20\0\0",
					    "struct ", "the",   "\0\0\0\0\0", "today "};
	uint8_t *out = calloc(1, len + 4096);
	struct ay_prng r;
	enum content now = what;

	assert_non_null(out);
	ay_prng_init(&r, seed);
	for (size_t at = 0; at < len;) {
		const uint64_t v = ay_prng_next(&r);
		size_t n = 8;

		if (what == MIXED && v >> 40 < 40)
			now = (enum content)(v % 4);
		if (now == RANDOM) {
			memcpy(out + at, &v, 8);
		} else if (now == ZEROS) {
			n = 1 + v % 4000;
		} else if (now == CODE) {
			out[at] = v & 1 ? 0xe8 : v & 2 ? 0xe9 : (uint8_t)(v >> 8);
			out[at + 1] = (uint8_t)(v >> 16);
			out[at + 2] = (uint8_t)(v >> 24 & 3);
			out[at + 4] = v & 4 ? 0xff : 0;
			n = 1 + (v >> 32) % 6;
		} else if (v % 7 == 0 && at > 64) {
			const size_t back = 1 + (v >> 8) % (v & 1u << 30 ? at : at < 300 ? at : 300);

			n = 2 + (v >> 40) % (v & 1u << 31 ? 700 : 20);
			for (size_t i = 0; i < n; i++)
				out[at + i] = out[at + i - back];
		} else {
			const char *w = words[v >> 8 & 7];

			n = 3 + (v >> 16) % 3;
			memcpy(out + at, w, strnlen(w, n));
		}
		at += n;
	}
	return out;
}

/* Short ones: where a stream begins and ends is all there is. */
static void short_contents(void **state)
{
	const struct ay__xz_params x = PARAMS(93, 64, 0);

	(void)state;
	for (size_t len = 0; len < 600; len += len < 40 ? 1 : 37) {
		for (unsigned what = WORDS; what <= MIXED; what++) {
			AY_FREE uint8_t *data = content_make((enum content)what, len, len);

			compare(&x, data, len, 7);
		}
	}
}

static void parameters(void **state)
{
	static const struct ay__xz_params params[] = {
		PARAMS(93, 64, 0),    PARAMS(93, 273, 0),
		PARAMS(93, 273, 512), PARAMS(93, 4, 0),
		PARAMS(93, 5, 3),     PARAMS(0, 32, 0),
		PARAMS(4, 128, 0),    PARAMS(9 * 4, 64, 0),
		PARAMS(180, 64, 0),   PARAMS(9 * (5 * 2 + 2) + 2, 100, 0),
		PARAMS(93, 16, 1),
	};

	(void)state;
	for (size_t i = 0; i < sizeof(params) / sizeof(params[0]); i++) {
		AY_FREE uint8_t *data = content_make(MIXED, 400000, i);

		compare(&params[i], data, 400000, 65536);
	}
}

/* Everything that is not packed is stored, and the states begin anew behind it. */
static void stored_chunks(void **state)
{
	const struct ay__xz_params x = PARAMS(93, 64, 0);

	(void)state;
	for (unsigned seed = 0; seed < 6; seed++) {
		AY_FREE uint8_t *data = content_make(seed & 1 ? MIXED : RANDOM, 700000, 70 + seed);

		compare(&x, data, 700000 - seed, 100000);
	}
}

/* Longer than the window, so that it moves, and long enough for the thread. */
static void long_contents(void **state)
{
	const struct ay__xz_params x = PARAMS(93, 64, 0);
	const size_t len = 9u << 20;

	(void)state;
	assert_true(len > 3 * AY__LZMA_THREAD);
	for (unsigned what = WORDS; what <= MIXED; what += 2) {
		AY_FREE uint8_t *data = content_make((enum content)what, len, what);

		compare(&x, data, len, 256u << 10);
	}
}

static void branch_filter(void **state)
{
	struct ay__xz_params x = PARAMS(93, 64, 0);

	(void)state;
	x.branch = 1;
	for (unsigned i = 0; i < 12; i++) {
		const size_t len = i < 8 ? i : 150000 + i;
		AY_FREE uint8_t *data = content_make(CODE, len, i);

		compare(&x, data, len, i & 1 ? 1 + 13 * i : 65536);
	}
}

static int stop(void *ctx, const uint8_t *data, size_t len)
{
	(void)data;
	(void)len;
	return --*(int *)ctx < 0 ? -ENOSPC : 0;
}

/* Whoever gets the bytes may refuse them at any time; the thread ends with it. */
static void refused(void **state)
{
	const struct ay__xz_params x = PARAMS(93, 64, 0);
	AY_FREE uint8_t *data = content_make(MIXED, 4u << 20, 3);

	(void)state;
	for (int after = 0; after < 8; after += 3) {
		int left = after;
		struct ay__lzma_pack *p = ay__lzma_pack_new(&x, stop, &left);

		assert_non_null(p);
		int rc = ay__lzma_pack_write(p, data, 4u << 20);
		assert_int_equal(rc ? rc : ay__lzma_pack_end(p), -ENOSPC);
		ay__lzma_pack_free(p);
	}
}

static void not_ours(void **state)
{
	struct ay__xz_params good = PARAMS(93, 64, 0), x;

	(void)state;
	good.dict_code = 22;
	assert_true(ay__lzma_pack_can(&good));
	x = good;
	x.mode = 1;
	assert_false(ay__lzma_pack_can(&x));
	x = good;
	x.finder = 4;
	assert_false(ay__lzma_pack_can(&x));
	x = good;
	x.nice = 3;
	assert_false(ay__lzma_pack_can(&x));
	x = good;
	x.branch = 7;
	assert_false(ay__lzma_pack_can(&x));
	x = good;
	x.dict_code = 20;
	assert_false(ay__lzma_pack_can(&x));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(short_contents), cmocka_unit_test(parameters),
		cmocka_unit_test(stored_chunks),  cmocka_unit_test(long_contents),
		cmocka_unit_test(branch_filter),  cmocka_unit_test(refused),
		cmocka_unit_test(not_ours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
