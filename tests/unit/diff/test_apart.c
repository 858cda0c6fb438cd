/* SPDX-License-Identifier: MIT */
/* Noise and digests taken out of a stream and put back: which bytes, what it is worth, and what is refused. */
#include "tests/unit/diff/trees.h"

#include <stdio.h>

#include "base/cleanup.h"
#include "diff/codec.h"
#include "diff/hex_apart.h"
#include "diff/sift.h"

#define MODULES   100
#define SIGNATURE 512

/* Like code and tables: few bytes often, zeros between. Free them. */
static uint8_t *bytes_skewed(struct ay_prng *r, size_t len)
{
	static const uint8_t often[] = {0x48, 0x89, 0x8b, 0xe8, 0x0f, 0x85,
					0xff, 0x24, 0xc0, 0x5b, 0x41, 0x5d};
	uint8_t *b = malloc(len);

	assert_non_null(b);
	for (size_t i = 0; i < len; i++) {
		uint64_t v = ay_prng_next(r);

		b[i] = v % 3 == 0   ? 0
		       : v % 3 == 1 ? often[(v >> 8) % sizeof(often)]
				    : (uint8_t)(v >> 16 & 31);
	}
	return b;
}

/* Like the literals of a kernel's modules: some code and text each, a signature behind it. */
static struct ay_buf modules(struct ay_prng *r, unsigned n)
{
	struct ay_buf b = {0};

	for (unsigned i = 0; i < n; i++) {
		size_t len = 40 + ay_prng_next(r) % 300;
		uint8_t *code = bytes_skewed(r, len), *noise = bytes_random(r, SIGNATURE);

		ay_put_bytes(&b, code, len);
		ay_put_bytes(&b, noise, SIGNATURE);
		ay_put_str(&b, "~Module signature appended~\n");
		free(code);
		free(noise);
	}
	return b;
}

static struct ay_buf manifest_lines(struct ay_prng *r, unsigned n)
{
	struct ay_buf b = {0};
	char hex[AY_DIGEST_HEX + 1], line[200];

	for (unsigned i = 0; i < n; i++) {
		struct ay_digest d;
		uint64_t v = ay_prng_next(r);

		ay_digest_mem(&v, sizeof(v), &d);
		int len = snprintf(line, sizeof(line), "+f 0644 0 0 1.000000000 %u %s /lib/modules/%u.ko\n",
				   (unsigned)(v % 100000), ay_digest_hex(&d, hex), i);
		ay_put_bytes(&b, line, (size_t)len);
	}
	return b;
}

static void test_sift(void **state)
{
	(void)state;
	struct ay_prng r;
	size_t pairs;

	ay_prng_init(&r, 11);
	struct ay_buf b = modules(&r, MODULES), inner = {0}, noise = {0};
	assert_int_equal(ay__sift(b.data, b.len, &inner, &pairs, &noise), 0);
	/* All of the signatures but a few bytes, and hardly anything else. */
	assert_in_range(noise.len, MODULES * (SIGNATURE - 8), MODULES * (SIGNATURE + 4));
	assert_int_equal(inner.len - pairs + noise.len, b.len);
	uint8_t *out = malloc(b.len);
	memcpy(out + noise.len, inner.data + pairs, b.len - noise.len);
	assert_int_equal(ay__unsift((struct ay_slice){inner.data, pairs},
				    (struct ay_slice){noise.data, noise.len}, out, b.len),
			 0);
	assert_memory_equal(out, b.data, b.len);
	free(out);
	ay_buf_release(&inner);
	ay_buf_release(&noise);
	/* Only text, only noise, a run of one rare byte, or too little: left as it is. */
	uint8_t *code = bytes_skewed(&r, 60000), *only = bytes_random(&r, 60000);
	assert_int_equal(ay__sift(code, 60000, &inner, &pairs, &noise), 1);
	assert_int_equal(ay__sift(only, 60000, &inner, &pairs, &noise), 1);
	memset(code + 20000, 0xa7, 8000);
	assert_int_equal(ay__sift(code, 60000, &inner, &pairs, &noise), 1);
	assert_int_equal(ay__sift(b.data, 5000, &inner, &pairs, &noise), 1);
	assert_true(inner.len == 0 && noise.len == 0);
	free(code);
	free(only);
	ay_buf_release(&b);
}

static void refuse_pairs(const void *pairs, size_t pairs_len)
{
	uint8_t out[16] = "----abcdefghijkl", noise[4] = "1234";

	assert_int_equal(ay__unsift((struct ay_slice){pairs, pairs_len}, (struct ay_slice){noise, 4}, out,
				    sizeof(out)),
			 AY_EFORMAT);
}

static void test_unsift(void **state)
{
	(void)state;
	uint8_t out[16] = "----abcdefghijkl", noise[4] = "1234";

	assert_int_equal(ay__unsift((struct ay_slice){(const uint8_t *)"\2\1\5\3", 4},
				    (struct ay_slice){noise, 4}, out, sizeof(out)),
			 0);
	assert_memory_equal(out, "ab1cdefg234hijkl", 16);
	refuse_pairs("\2\1", 2);     /* noise is left */
	refuse_pairs("\2\5", 2);     /* more than there is */
	refuse_pairs("\15\4", 2);    /* more rest than there is */
	refuse_pairs("\2\0\2\4", 4); /* none */
	refuse_pairs("\2\1\0\3", 4); /* which would be one with the pair before */
	refuse_pairs("\2\4\1", 3);   /* half a pair */
	refuse_pairs("\202\0\4", 3); /* not the shortest form */
	refuse_pairs("", 0);
}

static void test_hex(void **state)
{
	(void)state;
	struct ay_prng r;
	struct ay_buf rest = {0}, digests = {0};

	ay_prng_init(&r, 12);
	struct ay_buf b = manifest_lines(&r, 50);
	/* 63, 65 and 128 digits, and upper case, are no digests. */
	for (unsigned n = 63; n < 129; n += n == 63 ? 2 : 63) {
		for (unsigned i = 0; i < n; i++)
			ay_put_u8(&b, 'a');
		ay_put_u8(&b, ' ');
	}
	assert_int_equal(ay__hex_apart(b.data, b.len, &rest, &digests), 0);
	assert_int_equal(digests.len, 50 * 32);
	assert_int_equal(rest.len, b.len - 50 * 63);
	uint8_t *out = malloc(b.len);
	struct ay_slice d = {digests.data, digests.len};
	memcpy(out + b.len - rest.len, rest.data, rest.len);
	assert_int_equal(ay__hex_back(d, out, b.len, rest.len), 0);
	assert_memory_equal(out, b.data, b.len);
	/* One mark more, one less. */
	memcpy(out + b.len - rest.len, rest.data, rest.len);
	out[b.len - 1] = AY__HEX_MARK;
	assert_int_equal(ay__hex_back(d, out, b.len, rest.len), AY_EFORMAT);
	memcpy(out + b.len - rest.len, rest.data, rest.len);
	*(uint8_t *)memchr(out + b.len - rest.len, AY__HEX_MARK, rest.len) = 'x';
	assert_int_equal(ay__hex_back(d, out, b.len, rest.len), AY_EFORMAT);
	/* A text with the mark in it stays whole. */
	ay_buf_reset(&rest);
	ay_buf_reset(&digests);
	ay_put_u8(&b, AY__HEX_MARK);
	assert_int_equal(ay__hex_apart(b.data, b.len, &rest, &digests), 0);
	assert_int_equal(digests.len, 0);
	free(out);
	ay_buf_release(&b);
	ay_buf_release(&rest);
	ay_buf_release(&digests);
}

/* What the codec makes of @b is @want, comes back, is smaller than without, and no cut or damage of it passes for it. */
static void packed_as(const struct ay_buf *b, enum ay_codec want, size_t gain)
{
	AY_CLEANUP(ay_buf_release) struct ay_buf packed = {0};
	AY_CLEANUP(ay_buf_release) struct ay_buf plain = {0};
	enum ay_codec codec;
	struct ay_err err;
	uint8_t *out = malloc(b->len + 1);
	unsigned others = AY_CODEC_BIT(AY_CODEC_ZSTD) | AY_CODEC_BIT(AY_CODEC_XZ);

	assert_int_equal(ay_codec_pack(b->data, b->len, 19, others, AY_VALUES_TEXT, &plain, &codec), 0);
	assert_int_equal(ay_codec_pack(b->data, b->len, 19, AY_CODECS_ALL, AY_VALUES_TEXT, &packed, &codec),
			 0);
	assert_int_equal(codec, want);
	assert_true(packed.len + gain < plain.len);
	struct ay_slice s = {packed.data, packed.len};
	assert_int_equal(ay_codec_unpack(codec, s, out, b->len, &err), 0);
	assert_memory_equal(out, b->data, b->len);
	assert_int_equal(ay_codec_unpack(codec, s, out, b->len - 1, &err), AY_EFORMAT);
	assert_int_equal(ay_codec_unpack(codec, s, out, b->len + 1, &err), AY_EFORMAT);
	for (size_t len = 0; len < packed.len; len += len < 64 ? 1 : 997) {
		s.len = len;
		assert_int_equal(ay_codec_unpack(codec, s, out, b->len, &err), AY_EFORMAT);
	}
	free(out);
}

static void test_codecs(void **state)
{
	(void)state;
	struct ay_prng r;

	ay_prng_init(&r, 13);
	struct ay_buf m = modules(&r, MODULES), d = manifest_lines(&r, 200);
	packed_as(&m, AY_CODEC_SIFTED, 400);
	packed_as(&d, AY_CODEC_HEX, 300);
	ay_buf_release(&m);
	ay_buf_release(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_sift), cmocka_unit_test(test_unsift),
					   cmocka_unit_test(test_hex), cmocka_unit_test(test_codecs)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
