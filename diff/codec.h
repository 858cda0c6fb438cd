/* SPDX-License-Identifier: MIT */
/*
 * diff/codec.h - one stream packed on its own: as it is, by zstd, or by xz's LZMA2.
 *
 * The unpacked size is known to the reader before (it stands in the section's head), so neither codec is
 * asked for it and none can surprise: the bytes given must unpack to exactly so many and be used up.
 */
#ifndef AYNI_DIFF_CODEC_H
#define AYNI_DIFF_CODEC_H

#include "base/bytes.h"
#include "base/error.h"

enum ay_codec {
	AY_CODEC_NONE = 0, /* the bytes themselves */
	AY_CODEC_ZSTD = 1, /* one zstd frame with content size, without dictionary */
	AY_CODEC_XZ = 2,   /* raw LZMA2 (no .xz container); dictionary: ay_codec_xz_dict() */
	/*
	 * Noise apart: varint n, how much; varint p, how many bytes the pairs have (diff/sift.h); the n bytes; then as AY_CODEC_XZ,
	 * as if they were the stream, pairs and the rest of it.
	 */
	AY_CODEC_SIFTED = 3,
	/* Digests in hexadecimal apart: varint k, their number; 32 k bytes; then as AY_CODEC_XZ the rest (diff/hex_apart.h). */
	AY_CODEC_HEX = 4,
	AY_CODECS,
};

#define AY_CODEC_BIT(codec) (1u << (codec))
#define AY_CODECS_ALL       (AY_CODEC_BIT(AY_CODECS) - AY_CODEC_BIT(AY_CODEC_ZSTD))

/*
 * What the bytes are, for xz's model of which byte comes next (it travels in the stream, so only who packs has to know): what of
 * the byte before and of the place within a number is looked at. On seven pairs of kernels and libraries, x86-64 and arm64,
 * right for its column each took 0.2 to 7 % off, and wrong put on as much.
 */
enum ay_values {
	AY_VALUES_TEXT,    /* or code: the byte before says much */
	AY_VALUES_DIFFS,   /* the byte before says nothing */
	AY_VALUES_VARINTS, /* that it goes on, or not */
	AY_VALUES_4,       /* numbers of 4 bytes */
	AY_VALUES_8,
};

/** ay_codec_name() - "none", "zstd", "xz", "sifted", "hex"; "?" for others. Static storage. */
const char *ay_codec_name(unsigned codec);

/** ay_codec_xz_dict() - LZMA2's dictionary for a stream of @len bytes; not in the bundle, so both sides ask here. */
uint32_t ay_codec_xz_dict(size_t len);

/**
 * ay_codec_pack() - pack @len bytes (at least 1, below 2^31) the smallest way and append them to @out.
 * @level: zstd's. @codecs: AY_CODEC_BIT()s of those that may be used. @values: what xz is to expect. A codec is used only
 *   where it makes the stream smaller, xz (slower to unpack) only where it is smaller than zstd by one in five hundred.
 *
 * The bytes depend on the arguments (and the version of the libraries) alone.
 *
 * Return: 0 and @codec; -ENOMEM.
 */
int ay_codec_pack(const void *data, size_t len, int level, unsigned codecs, enum ay_values values,
		  struct ay_buf *out, enum ay_codec *codec);

/** ay_codec_estimate() - about how many bytes @len bytes pack to; quick. 0 or -ENOMEM. */
int ay_codec_estimate(const void *data, size_t len, size_t *packed);

/**
 * ay_codec_unpack() - unpack all of @packed to exactly @out_len bytes at @out.
 *
 * Memory besides the arguments: zstd at most 256 KiB (no window: @out is the window), xz at most
 * ay_codec_xz_dict(@out_len) and 64 KiB, sifted 128 KiB more.
 *
 * Return: 0; AY_EFORMAT with the reason in @err; AY_EUNSUPPORTED unknown @codec; -ENOMEM.
 */
int ay_codec_unpack(unsigned codec, struct ay_slice packed, void *out, size_t out_len, struct ay_err *err);

#endif
