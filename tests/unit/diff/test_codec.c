/* SPDX-License-Identifier: MIT */
/* Codecs: there and back, exactly, and nothing but exactly. */
#include "tests/unit/diff/trees.h"

#include <lzma.h>
#include <stdio.h>
#include <zstd.h>

#include "base/cleanup.h"
#include "diff/codec.h"

#define ZSTD AY_CODEC_BIT(AY_CODEC_ZSTD)
#define XZ   AY_CODEC_BIT(AY_CODEC_XZ)

static void there_and_back(const uint8_t *data, size_t len, int level, unsigned codecs, enum ay_codec want)
{
	struct ay_buf packed = {0};
	struct ay_err err = {0};
	enum ay_codec codec;
	uint8_t *out = malloc(len + 1);

	out[len] = 0xa5;
	assert_int_equal(ay_codec_pack(data, len, level, codecs, AY_VALUES_TEXT, &packed, &codec), 0);
	assert_int_equal(codec, want);
	assert_true(codec == AY_CODEC_NONE ? packed.len == len : packed.len < len);
	assert_int_equal(ay_codec_unpack(codec, (struct ay_slice){packed.data, packed.len}, out, len, &err),
			 0);
	assert_memory_equal(out, data, len);
	assert_int_equal(out[len], 0xa5);
	ay_buf_release(&packed);
	free(out);
}

static void test_there_and_back(void **state)
{
	(void)state;
	struct ay_prng r;

	ay_prng_init(&r, 1);
	uint8_t *noise = bytes_random(&r, 300000), *code = bytes_code(&r, 300000);
	there_and_back(noise, 300000, 19, AY_CODECS_ALL, AY_CODEC_NONE);
	there_and_back(noise, 1, 19, AY_CODECS_ALL, AY_CODEC_NONE);
	there_and_back(code, 300000, 19, XZ, AY_CODEC_XZ);
	there_and_back(code, 300000, 3, ZSTD, AY_CODEC_ZSTD);
	/* Skewed bytes without repetition: here xz is worth its time. */
	for (size_t i = 0; i < 300000; i++)
		code[i] = (uint8_t)(__builtin_ctzll(ay_prng_next(&r) | 1ull << 40) << (i % 2 ? 4 : 0));
	there_and_back(code, 300000, 19, AY_CODECS_ALL, AY_CODEC_XZ);
	memset(code, 0, 300000);
	there_and_back(code, 300000, 19, ZSTD, AY_CODEC_ZSTD);
	/* Structure only at the end of a large stream is still found. */
	uint8_t *mixed = bytes_random(&r, 200000);
	memcpy(mixed + 190000, mixed, 10000);
	there_and_back(mixed, 200000, 19, ZSTD, AY_CODEC_ZSTD);
	free(noise);
	free(code);
	free(mixed);
}

/* What the values are is for who packs: the reader needs not know, and what was said right is smaller. */
static void test_values(void **state)
{
	static const enum ay_values all[] = {AY_VALUES_TEXT, AY_VALUES_DIFFS, AY_VALUES_VARINTS, AY_VALUES_4,
					     AY_VALUES_8};
	struct ay_prng r;
	uint8_t data[40000];
	size_t sizes[5];

	(void)state;
	ay_prng_init(&r, 3);
	for (size_t i = 0; i < sizeof(data);
	     i += 4) { /* numbers of 4 bytes: small, a few bits of the third, nothing */
		uint64_t v = ay_prng_next(&r);

		data[i] = (uint8_t)v;
		data[i + 1] = (uint8_t)(v >> 8 & 3);
		data[i + 2] = v >> 16 & 7 ? 0 : (uint8_t)(v >> 24 | 0x80);
		data[i + 3] = 0;
	}
	for (unsigned i = 0; i < 5; i++) {
		AY_CLEANUP(ay_buf_release) struct ay_buf packed = {0};
		uint8_t out[sizeof(data)];
		enum ay_codec codec;

		assert_int_equal(ay_codec_pack(data, sizeof(data), 19, XZ, all[i], &packed, &codec), 0);
		assert_int_equal(codec, AY_CODEC_XZ);
		assert_int_equal(ay_codec_unpack(codec, (struct ay_slice){packed.data, packed.len}, out,
						 sizeof(out), NULL),
				 0);
		assert_memory_equal(out, data, sizeof(data));
		sizes[i] = packed.len;
	}
	assert_true(sizes[3] < sizes[0] - sizes[0] / 50 && sizes[3] < sizes[1] && sizes[3] < sizes[2]);
}

/*
 * A large stream in which no string comes twice. Of hexadecimal digits half a byte each is all there is to gain, and the
 * quick way gains it; where a slow codec sees more on samples, it gets the stream.
 */
static void test_nothing_twice(void **state)
{
	(void)state;
	size_t len = 3u << 19;
	struct ay_prng r;
	struct ay_buf packed = {0};
	enum ay_codec codec;
	uint8_t *p = malloc(len);

	ay_prng_init(&r, 6);
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t) "0123456789abcdef"[ay_prng_below(&r, 16)];
	there_and_back(p, len, 19, AY_CODECS_ALL, AY_CODEC_ZSTD);
	assert_int_equal(ay_codec_pack(p, len, 19, AY_CODECS_ALL, AY_VALUES_TEXT, &packed, &codec), 0);
	assert_in_range(packed.len, len / 2, len / 2 + len / 200);
	ay_buf_release(&packed);
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)(__builtin_ctzll(ay_prng_next(&r) | 1ull << 40) << (i % 2 ? 4 : 0));
	there_and_back(p, len, 19, AY_CODECS_ALL, AY_CODEC_XZ);
	free(p);
}

static void refused(unsigned codec, const uint8_t *packed, size_t len, size_t out_len, int code)
{
	struct ay_err err = {0};
	uint8_t *exact = malloc(len ? len : 1), *out = malloc(out_len + 1);

	memcpy(exact, packed, len); /* so that ASan sees a read behind it */
	assert_int_equal(ay_codec_unpack(codec, (struct ay_slice){exact, len}, out, out_len, &err), code);
	assert_true(err.msg[0] != 0);
	free(exact);
	free(out);
}

static void test_sizes_exact(void **state)
{
	(void)state;
	struct ay_prng r;

	ay_prng_init(&r, 2);
	uint8_t *code = bytes_code(&r, 20000);
	for (int xz = 0; xz < 2; xz++) {
		struct ay_buf p = {0};
		enum ay_codec codec;

		assert_int_equal(ay_codec_pack(code, 20000, 19, xz ? XZ : ZSTD, AY_VALUES_TEXT, &p, &codec),
				 0);
		assert_int_equal(codec, xz ? AY_CODEC_XZ : AY_CODEC_ZSTD);
		refused(codec, p.data, p.len, 19999, AY_EFORMAT);
		refused(codec, p.data, p.len, 20001, AY_EFORMAT);
		for (size_t len = 0; len < p.len; len += p.len / 97 + 1)
			refused(codec, p.data, len, 20000, AY_EFORMAT);
		refused(codec, p.data, p.len - 1, 20000, AY_EFORMAT);
		ay_put_u8(&p, 0);
		refused(codec, p.data, p.len, 20000, AY_EFORMAT); /* a byte behind */
		ay_buf_release(&p);
	}
	refused(AY_CODEC_NONE, code, 100, 99, AY_EFORMAT);
	refused(AY_CODEC_NONE, code, 100, 101, AY_EFORMAT);
	refused(AY_CODECS, code, 100, 100, AY_EUNSUPPORTED);
	refused(255, code, 100, 100, AY_EUNSUPPORTED);
	free(code);
}

/* Valid zstd, but not the one frame that the format allows. */
static void test_zstd_other_frames(void **state)
{
	(void)state;
	uint8_t zeros[1000] = {0}, packed[2000];
	size_t one = ZSTD_compress(packed, sizeof(packed), zeros, 500, 3);

	assert_false(ZSTD_isError(one));
	size_t two = ZSTD_compress(packed + one, sizeof(packed) - one, zeros, 500, 3);
	assert_false(ZSTD_isError(two));
	refused(AY_CODEC_ZSTD, packed, one + two, 1000, AY_EFORMAT); /* two frames */
	memcpy(packed + one, "\x50\x2a\x4d\x18\x04\0\0\0abcd", 12);
	refused(AY_CODEC_ZSTD, packed, one + 12, 500, AY_EFORMAT); /* a skippable frame behind */
	refused(AY_CODEC_ZSTD, packed + one, 12, 500, AY_EFORMAT); /* nothing but one */
	/* Without content size nobody could know the memory before. */
	ZSTD_CCtx *c = ZSTD_createCCtx();
	ZSTD_CCtx_setParameter(c, ZSTD_c_contentSizeFlag, 0);
	one = ZSTD_compress2(c, packed, sizeof(packed), zeros, 500);
	assert_false(ZSTD_isError(one));
	refused(AY_CODEC_ZSTD, packed, one, 500, AY_EFORMAT);
	ZSTD_freeCCtx(c);
}

/* Damage never gives more than the asked bytes, and mostly an error. */
static void test_damage(void **state)
{
	(void)state;
	struct ay_prng r;
	unsigned unnoticed = 0;

	ay_prng_init(&r, 3);
	uint8_t *code = bytes_code(&r, 3000), *out = malloc(3000);
	for (int xz = 0; xz < 2; xz++) {
		struct ay_buf p = {0};
		struct ay_err err;
		enum ay_codec codec;

		assert_int_equal(ay_codec_pack(code, 3000, 19, xz ? XZ : ZSTD, AY_VALUES_TEXT, &p, &codec),
				 0);
		for (size_t bit = 0; bit < 8 * p.len; bit++) {
			p.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
			int rc = ay_codec_unpack(codec, (struct ay_slice){p.data, p.len}, out, 3000, &err);
			assert_true(rc == 0 || rc == AY_EFORMAT);
			unnoticed += rc == 0 && memcmp(out, code, 3000) == 0;
			p.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		}
		ay_buf_release(&p);
	}
	print_message("%u flips change nothing: why sections have checks\n", unnoticed);
	free(code);
	free(out);
}

static void test_dict_is_bounded(void **state)
{
	(void)state;
	assert_int_equal(ay_codec_xz_dict(1), 4096);
	assert_int_equal(ay_codec_xz_dict(5000), 5000);
	assert_int_equal(ay_codec_xz_dict(1u << 30), 64u << 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back),    cmocka_unit_test(test_values),
		cmocka_unit_test(test_nothing_twice),     cmocka_unit_test(test_sizes_exact),
		cmocka_unit_test(test_zstd_other_frames), cmocka_unit_test(test_damage),
		cmocka_unit_test(test_dict_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
