/* SPDX-License-Identifier: MIT */
/*
 * diff/codec.c - packing and unpacking one stream.
 *
 * On a kernel pair's streams xz is 3 to 6 % smaller than zstd -19 and its cost stays bounded, since the streams
 * of a diff are a sixteenth of the files; on literals of compressed files nothing helps, which a first quick
 * pass finds out. Nor do the slow ones help where bytes are skewed but no string comes twice (hexadecimal or base64
 * of random or compressed bytes): diff/hopeless.c finds that out, and counting bytes is all that is done then.
 */
#include "diff/codec.h"

#include <errno.h>
#include <limits.h>
#include <lzma.h>
#include <string.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "base/cleanup.h"
#include "base/sparse.h"
#include "diff/hex_apart.h"
#include "diff/hopeless.h"
#include "diff/sift.h"

#define XZ_DICT_MAX (64u << 20)
#define NOISE_SHARE 8   /* of a stream */
#define XZ_SHARE    500 /* of zstd's size: what xz must gain */
/* Bytes with so little structure that two slow passes over them would be wasted. */
#define QUICK_LEVEL  1
#define ENTROPY_ONLY INT_MIN /* instead of zstd's level */
/* What the slow ones must gain on a sample, as a share of it, to be worth their time. */
#define GAIN_SHARE  64
#define SAMPLE_LEN  (64u << 10) /* a sample, at a third and at two thirds of the stream */
#define SURE_SHARE  25          /* by how much xz must win on samples: more than any whole stream took back */
#define SURE_MIN    (512u << 10)
#define SAMPLED_MIN (1u << 20) /* below, the slow ones are quick enough */

const char *ay_codec_name(unsigned codec)
{
	static const char *const names[AY_CODECS] = {"none", "zstd", "xz", "sifted", "hex"};

	return codec < AY_CODECS ? names[codec] : "?";
}

uint32_t ay_codec_xz_dict(size_t len)
{
	return len < LZMA_DICT_SIZE_MIN ? LZMA_DICT_SIZE_MIN
	       : len < XZ_DICT_MAX      ? (uint32_t)len
					: XZ_DICT_MAX;
}

static void free_cctx(ZSTD_CCtx **cctx)
{
	ZSTD_freeCCtx(*cctx);
}

/* Matches so long only that chance gives none: what is left is to count bytes. */
static size_t set_entropy_only(ZSTD_CCtx *cctx)
{
	size_t rc = ZSTD_CCtx_setParameter(cctx, ZSTD_c_strategy, ZSTD_fast);

	return ZSTD_isError(rc) ? rc : ZSTD_CCtx_setParameter(cctx, ZSTD_c_minMatch, 7);
}

/* 0 when it does not fit in @cap. */
static int zstd_pack(const void *data, size_t len, int level, uint8_t *out, size_t cap, size_t *packed)
{
	AY_CLEANUP(free_cctx) ZSTD_CCtx *cctx = ZSTD_createCCtx();
	bool zeros = ay_is_zero(data, len);
	int window = zeros ? 17 : 10;

	*packed = 0;
	if (!cctx)
		return -ENOMEM;
	/* Zeros, of which a file with holes has gigabytes, are as small with tables that need not be cleared for long. */
	while (!zeros && window < 30 && (size_t)1 << window < len)
		window++;
	if (zeros)
		level = 1;
	/* A window over the whole stream costs the reader nothing: it unpacks into one piece of memory. */
	size_t rc = ZSTD_CCtx_setParameter(cctx, ZSTD_c_compressionLevel,
					   level == ENTROPY_ONLY ? QUICK_LEVEL : level);
	if (!ZSTD_isError(rc))
		rc = ZSTD_CCtx_setParameter(cctx, ZSTD_c_windowLog, window);
	if (!ZSTD_isError(rc) && level == ENTROPY_ONLY)
		rc = set_entropy_only(cctx);
	AY_ASSERT(!ZSTD_isError(rc));
	rc = ZSTD_compress2(cctx, out, cap, data, len);
	if (!ZSTD_isError(rc)) {
		*packed = rc;
		return 0;
	}
	return ZSTD_getErrorCode(rc) == ZSTD_error_dstSize_tooSmall ? 0 : -ENOMEM;
}

int ay_codec_estimate(const void *data, size_t len, size_t *packed)
{
	AY_FREE uint8_t *out = malloc(len + 1);
	int rc = out ? zstd_pack(data, len, QUICK_LEVEL, out, len, packed) : -ENOMEM;

	if (rc == 0 && *packed == 0)
		*packed = len;
	return rc;
}

static void xz_filters(lzma_filter filters[2], lzma_options_lzma *options, enum ay_values values, size_t len)
{
	static const struct {
		uint8_t lc, lp, pb;
	} models[] = {[AY_VALUES_TEXT] = {3, 0, 0},
		      [AY_VALUES_DIFFS] = {0, 0, 0},
		      [AY_VALUES_VARINTS] = {1, 0, 0},
		      [AY_VALUES_4] = {1, 2, 2},
		      [AY_VALUES_8] = {0, 3, 3}};
	bool bad = lzma_lzma_preset(options, 9 | LZMA_PRESET_EXTREME);

	AY_ASSERT(!bad);
	options->dict_size = ay_codec_xz_dict(len);
	options->lc = models[values].lc;
	options->lp = models[values].lp;
	options->pb = models[values].pb;
	filters[0] = (lzma_filter){.id = LZMA_FILTER_LZMA2, .options = options};
	filters[1] = (lzma_filter){.id = LZMA_VLI_UNKNOWN};
}

static int xz_pack(const void *data, size_t len, enum ay_values values, uint8_t *out, size_t cap,
		   size_t *packed)
{
	lzma_options_lzma options;
	lzma_filter filters[2];
	size_t at = 0;

	*packed = 0;
	xz_filters(filters, &options, values, len);
	lzma_ret rc = lzma_raw_buffer_encode(filters, NULL, data, len, out, &at, cap);
	if (rc == LZMA_OK)
		*packed = at;
	return rc == LZMA_OK || rc == LZMA_BUF_ERROR ? 0 : -ENOMEM;
}

/* The smallest that the codecs asked for make of it; 0: none makes it smaller than @cap + 1. */
static int slow_size(const uint8_t *data, size_t len, int level, unsigned codecs, enum ay_values values,
		     uint8_t *out, size_t cap, size_t *packed)
{
	size_t other = 0;
	int rc = 0;

	*packed = 0;
	if (codecs & AY_CODEC_BIT(AY_CODEC_ZSTD))
		rc = zstd_pack(data, len, level, out, cap, packed);
	if (rc == 0 && (codecs & AY_CODEC_BIT(AY_CODEC_XZ)))
		rc = xz_pack(data, len, values, out, cap, &other);
	if (other && (*packed == 0 || other < *packed))
		*packed = other;
	return rc;
}

/* Does no string come twice, and do the slow codecs gain nothing on samples either? @out: @len bytes of scratch. */
static int entropy_only(const uint8_t *data, size_t len, int level, unsigned codecs, enum ay_values values,
			uint8_t *out, bool *yes)
{
	int rc = 0;

	*yes = false;
	if (len < SAMPLED_MIN || !(codecs & AY_CODEC_BIT(AY_CODEC_ZSTD)))
		return 0;
	rc = ay__hopeless(data, len, yes);
	for (unsigned i = 1; i <= 2 && rc == 0 && *yes; i++) {
		const uint8_t *sample = data + len / 3 * i - SAMPLE_LEN / 2;
		size_t quick = 0, slow = 0;

		rc = zstd_pack(sample, SAMPLE_LEN, ENTROPY_ONLY, out, len, &quick);
		if (rc == 0)
			rc = slow_size(sample, SAMPLE_LEN, level, codecs, values, out, len, &slow);
		*yes = quick && (slow == 0 || slow >= quick - quick / GAIN_SHARE);
	}
	return rc;
}

/* On samples xz is so much smaller that it will be on the whole: zstd's slow pass, as long as xz's, is spared. */
static int surely_xz(const uint8_t *data, size_t len, int level, unsigned codecs, enum ay_values values,
		     uint8_t *out, bool *yes)
{
	size_t zstd = 0, xz = 0, one = 0;
	int rc = 0;

	*yes = false;
	if (len < SURE_MIN || !(codecs & AY_CODEC_BIT(AY_CODEC_ZSTD)) ||
	    !(codecs & AY_CODEC_BIT(AY_CODEC_XZ)))
		return 0;
	for (unsigned i = 1; i <= 2 && rc == 0; i++) {
		const uint8_t *sample = data + len / 3 * i - SAMPLE_LEN / 2;

		rc = zstd_pack(sample, SAMPLE_LEN, level, out, len, &one);
		zstd += one ? one : SAMPLE_LEN;
		if (rc == 0)
			rc = xz_pack(sample, SAMPLE_LEN, values, out, len, &one);
		xz += one ? one : SAMPLE_LEN;
	}
	*yes = xz < zstd - zstd / SURE_SHARE;
	return rc;
}

/* Does none of it come twice? Of a stream of @len bytes: of a small one what is smallest is found out by trying. */
static int once_only(const struct ay_buf *b, size_t len, bool *yes)
{
	*yes = b->len > 0;
	return len < SAMPLED_MIN ? 0 : ay__hopeless(b->data, b->len, yes);
}

/* Noise apart, where there is much and none of it comes twice; else @out stays empty. */
static int sifted_pack(const void *data, size_t len, enum ay_values values, struct ay_buf *out)
{
	AY_CLEANUP(ay_buf_release) struct ay_buf inner = {0};
	AY_CLEANUP(ay_buf_release) struct ay_buf noise = {0};
	size_t pairs, packed = 0;
	bool once = false;
	int rc = ay__sift(data, len, &inner, &pairs, &noise);

	if (rc == 0 && noise.len >= len / NOISE_SHARE)
		rc = once_only(&noise, len, &once);
	if (rc || !once)
		return rc < 0 ? rc : 0;
	ay_put_varint(out, noise.len);
	ay_put_varint(out, pairs);
	ay_put_bytes(out, noise.data, noise.len);
	uint8_t *p = ay_buf_reserve(out, inner.len);
	rc = p ? xz_pack(inner.data, inner.len, values, p, inner.len, &packed) : -ENOMEM;
	out->len = packed && out->len + packed < len ? out->len + packed : 0;
	return rc;
}

/* Digests apart, where they are a good part and none comes twice; else @out stays empty. */
static int hex_pack(const void *data, size_t len, struct ay_buf *out)
{
	AY_CLEANUP(ay_buf_release) struct ay_buf rest = {0};
	AY_CLEANUP(ay_buf_release) struct ay_buf digests = {0};
	size_t packed = 0;
	bool once = false;
	int rc = ay__hex_apart(data, len, &rest, &digests);

	if (rc == 0 && digests.len >= len / NOISE_SHARE / 2)
		rc = once_only(&digests, len, &once);
	if (rc || !once || rest.len == 0)
		return rc;
	ay_put_varint(out, digests.len / AY__HEX_BYTES);
	ay_put_bytes(out, digests.data, digests.len);
	uint8_t *p = ay_buf_reserve(out, rest.len);
	rc = p ? xz_pack(rest.data, rest.len, AY_VALUES_TEXT, p, rest.len, &packed) : -ENOMEM;
	out->len = packed && out->len + packed < len ? out->len + packed : 0;
	return rc;
}

/* What only texts have is taken apart first: @out and @codec, else nothing in it. */
static int apart_pack(const void *data, size_t len, unsigned codecs, struct ay_buf *out, enum ay_codec *codec)
{
	int rc = 0;

	if (codecs & AY_CODEC_BIT(AY_CODEC_HEX)) {
		*codec = AY_CODEC_HEX;
		rc = hex_pack(data, len, out);
	}
	if (rc == 0 && out->len == 0 && codecs & AY_CODEC_BIT(AY_CODEC_SIFTED)) {
		*codec = AY_CODEC_SIFTED;
		rc = sifted_pack(data, len, AY_VALUES_TEXT, out);
	}
	return rc;
}

int ay_codec_pack(const void *data, size_t len, int level, unsigned codecs, enum ay_values values,
		  struct ay_buf *out, enum ay_codec *codec)
{
	AY_FREE uint8_t *a = malloc(len), *b = malloc(len);
	AY_CLEANUP(ay_buf_release) struct ay_buf apart = {0};
	enum ay_codec apart_codec = AY_CODEC_NONE;
	size_t a_len = 0, b_len = 0;
	int rc;

	AY_ASSERT(len > 0 && len < INT32_MAX);
	*codec = AY_CODEC_NONE;
	if (!a || !b)
		return -ENOMEM;
	rc = zstd_pack(data, len, QUICK_LEVEL, a, len - 1, &a_len);
	if (rc == 0 && a_len != 0 && (a_len < len - len / 256 || len < 4096)) {
		bool quick = false, xz = false;

		a_len = 0;
		bool zeros = ay_is_zero(data, len);
		if (!zeros && values == AY_VALUES_TEXT)
			rc = apart_pack(data, len, codecs, &apart, &apart_codec);
		if (rc == 0 && apart.len && len >= SAMPLED_MIN)
			goto done;
		if (rc == 0 && !zeros)
			rc = entropy_only(data, len, level, codecs, values, a, &quick);
		if (rc == 0 && !quick && !zeros)
			rc = surely_xz(data, len, level, codecs, values, a, &xz);
		if (rc == 0 && !xz && (codecs & AY_CODEC_BIT(AY_CODEC_ZSTD)))
			rc = zstd_pack(data, len, quick ? ENTROPY_ONLY : level, a, len - 1, &a_len);
		if (rc == 0 && !quick && !(zeros && a_len) && (codecs & AY_CODEC_BIT(AY_CODEC_XZ)))
			rc = xz_pack(data, len, values, b, len - 1, &b_len);
	} else {
		a_len = 0;
	}
done:
	if (rc)
		return rc;
	if (apart.len && (a_len == 0 || apart.len < a_len) && (b_len == 0 || apart.len < b_len)) {
		*codec = apart_codec;
		ay_put_bytes(out, apart.data, apart.len);
	} else if (b_len && (a_len == 0 || b_len < a_len - a_len / XZ_SHARE)) {
		*codec = AY_CODEC_XZ;
		ay_put_bytes(out, b, b_len);
	} else if (a_len) {
		*codec = AY_CODEC_ZSTD;
		ay_put_bytes(out, a, a_len);
	} else {
		ay_put_bytes(out, data, len);
	}
	return ay_buf_status(out);
}

static int zstd_unpack(struct ay_slice packed, void *out, size_t out_len, struct ay_err *err)
{
	/* Skippable frames, several frames, bytes behind the frame: none is the one encoding. */
	if (ZSTD_getFrameContentSize(packed.data, packed.len) != out_len)
		return ay_err_set(err, AY_EFORMAT, "zstd: the frame's size is not the stream's");
	if (ZSTD_findFrameCompressedSize(packed.data, packed.len) != packed.len)
		return ay_err_set(err, AY_EFORMAT, "zstd: the frame does not fill the stream");
	size_t rc = ZSTD_decompress(out, out_len, packed.data, packed.len);
	if (ZSTD_isError(rc)) {
		if (ZSTD_getErrorCode(rc) == ZSTD_error_memory_allocation)
			return ay_err_errno(err, ENOMEM, "zstd");
		return ay_err_set(err, AY_EFORMAT, "zstd: %s", ZSTD_getErrorName(rc));
	}
	if (rc != out_len)
		return ay_err_set(err, AY_EFORMAT, "zstd: %zu bytes instead of %zu", rc, out_len);
	return 0;
}

static int xz_unpack(struct ay_slice packed, void *out, size_t out_len, struct ay_err *err)
{
	lzma_options_lzma options;
	lzma_filter filters[2];
	size_t in_pos = 0, out_pos = 0;

	xz_filters(filters, &options, AY_VALUES_TEXT, out_len); /* what the packer chose is in the stream */
	lzma_ret rc = lzma_raw_buffer_decode(filters, NULL, packed.data, &in_pos, packed.len, out, &out_pos,
					     out_len);
	if (rc == LZMA_MEM_ERROR)
		return ay_err_errno(err, ENOMEM, "xz");
	if (rc != LZMA_OK)
		return ay_err_set(err, AY_EFORMAT, "xz: damaged (code %d)", (int)rc);
	if (in_pos != packed.len || out_pos != out_len)
		return ay_err_set(err, AY_EFORMAT, "xz: %zu bytes from %zu of %zu instead of %zu", out_pos,
				  in_pos, packed.len, out_len);
	return 0;
}

static int sifted_unpack(struct ay_slice packed, uint8_t *out, size_t out_len, struct ay_err *err)
{
	AY_FREE uint8_t *pairs = NULL;
	struct ay_cursor c;

	ay_cursor_init(&c, packed.data, packed.len);
	uint64_t n = ay_get_varint(&c), p = ay_get_varint(&c);
	if (c.failed || n == 0 || n >= out_len || p > n || p > AY__SIFT_PAIRS_MAX)
		return ay_err_set(err, AY_EFORMAT, "sifted: sizes that make no sense");
	const uint8_t *noise = ay_get_bytes(&c, (size_t)n);
	if (!noise)
		return ay_err_set(err, AY_EFORMAT, "sifted: fewer bytes than it says");
	size_t at = ay_cursor_offset(&c), inner = (size_t)(out_len - n + p);
	int rc = xz_unpack((struct ay_slice){packed.data + at, packed.len - at}, out + (n - p), inner, err);
	if (rc)
		return rc;
	pairs = malloc((size_t)p + 1);
	if (!pairs)
		return ay_err_errno(err, ENOMEM, "sifted");
	memcpy(pairs, out + (n - p), (size_t)p);
	rc = ay__unsift((struct ay_slice){pairs, (size_t)p}, (struct ay_slice){noise, (size_t)n}, out,
			out_len);
	return rc ? ay_err_set(err, rc, "sifted: pairs that do not fit") : 0;
}

static int hex_unpack(struct ay_slice packed, uint8_t *out, size_t out_len, struct ay_err *err)
{
	struct ay_cursor c;

	ay_cursor_init(&c, packed.data, packed.len);
	uint64_t n = ay_get_varint(&c);
	if (c.failed || n == 0 || n > out_len / AY__HEX_DIGITS)
		return ay_err_set(err, AY_EFORMAT, "hex: a number of digests that makes no sense");
	const uint8_t *digests = ay_get_bytes(&c, (size_t)n * AY__HEX_BYTES);
	if (!digests)
		return ay_err_set(err, AY_EFORMAT, "hex: fewer bytes than it says");
	size_t at = ay_cursor_offset(&c), rest = out_len - (size_t)n * (AY__HEX_DIGITS - 1);
	int rc = xz_unpack((struct ay_slice){packed.data + at, packed.len - at}, out + (out_len - rest), rest,
			   err);
	if (rc)
		return rc;
	rc = ay__hex_back((struct ay_slice){digests, (size_t)n * AY__HEX_BYTES}, out, out_len, rest);
	return rc ? ay_err_set(err, rc, "hex: marks that do not fit") : 0;
}

int ay_codec_unpack(unsigned codec, struct ay_slice packed, void *out, size_t out_len, struct ay_err *err)
{
	switch (codec) {
	case AY_CODEC_NONE:
		if (packed.len != out_len)
			return ay_err_set(err, AY_EFORMAT, "%zu bytes instead of %zu", packed.len, out_len);
		memcpy(out, packed.data, out_len);
		return 0;
	case AY_CODEC_ZSTD:
		return zstd_unpack(packed, out, out_len, err);
	case AY_CODEC_XZ:
		return xz_unpack(packed, out, out_len, err);
	case AY_CODEC_SIFTED:
		return sifted_unpack(packed, out, out_len, err);
	case AY_CODEC_HEX:
		return hex_unpack(packed, out, out_len, err);
	default:
		return ay_err_set(err, AY_EUNSUPPORTED, "codec %u is unknown to this version", codec);
	}
}
