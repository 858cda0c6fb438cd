/* SPDX-License-Identifier: MIT */
/*
 * diff/bundle_format.h - a bundle's bytes. docs/formats.md, "Bundle", says the same at length.
 *
 *     header | delta section ... | map section | part ... |       nothing behind the last part
 *
 *   header, 144 bytes (version 1: 112, without the five fields before the check; they then count as 0)
 *      0  "AyniBn" 0x00 version(1)
 *      8  from         32  manifest digest; zeros: from nothing
 *     40  to           32
 *     72  delta size   u64 unpacked bytes of the manifest delta
 *     80  unpacked     u64 sum of the records' sizes
 *     88  records      u32
 *     92  parts        u32
 *     96  part limit   u32 bytes that one section's streams unpack to at most
 *    100  flags        u32 AY_BUNDLE_TARGETS, AY_BUNDLE_BASES, or 0
 *    104  extra        u64 bytes of memory that a record needs at most besides what the parts do
 *    112  scratch      u64 bytes of the largest temporary file
 *    120  encoders     u32 bit i: a record's output is packed by encoder i (diff/encoders.h)
 *    124  map          u32 bytes of the map section's stream; 0: there is none (diff/btf.h)
 *    128  zero         u64
 *    136  check        8   the first 8 bytes of SHA-256 of all before
 *
 *   section (of the delta, kind 'D'; the map, kind 'M'; or a part, kind 'P')
 *      0  kind u8, streams u8 (n), zero u16
 *      4  n times 12 bytes: id u8, codec u8, zero u16, packed u32, unpacked u32; ids ascending
 *         the packed streams
 *         check 8: as above, of the whole section before it
 *
 *   A delta section has one stream, AY_STREAM_DELTA, of part-limit bytes (the last one: the rest). So has a map section.
 *   The streams of a part are columns, from which a reader takes values in the order in which it needs them:
 *
 *     RECORD  method u8, bases u8, filters u8, [filter id varint]..., size varint, [base size - size zigzag]...,
 *             [with AY_BUNDLE_TARGETS: target varint], [with AY_BUNDLE_BASES: per base: varint]
 *     DIGEST  the target's digest, unless it is in the manifest delta, then each base's, unless it is in the old manifest
 *     RECIPE  with filters: bytes of the base's recipe varint (with a base), of the target's varint; then both, in
 *             chunks: varint n, n bytes (diff/recipe.h)
 *     and then, until the size of the target's view is reached (without filters: the record's), operations:
 *     DIFF_LEN  varint d  (method bsdiff only)  d bytes are copied from the base, differences added
 *     SEEK      zigzag    (when d > 0)          where from, less the end of the record's last copy (0 at first)
 *     EXTRA_LEN varint e                        then e bytes come from LITERAL; d + e > 0
 *     LITERAL   those bytes
 *
 *   Method elf (docs/formats.md, "ELF differences") is: the section map; all operations, as above, without LITERAL; then runs
 *     ELF_MAP   varint: where the base's image begins; the map's head; its rows
 *     ELF_RUN   varint: number of operations; then per run: varint bytes (0: all that is left), three varints: how many numbers
 *               of FIELD_CODE, FIELD_DATA, FIELD_WIDE it has
 *     LITERAL   those of the run; of the copies' differences those that are in no field (0 in fields)
 *     FIELD_ZERO, FIELD_RUN  pairs of varints: so many fields are as predicted, so many are not; as long as numbers are left
 *     FIELD_CODE, FIELD_DATA, FIELD_WIDE  by how much fields are not as predicted: 4 bytes; 4; 8
 *
 *   The differences of all copies of a part, in order, are one sequence, coded as pairs:
 *     ZERO_RUN  varint z  so many differences are 0
 *     DIFF_RUN  varint l  so many are the next bytes of DIFF; z + l > 0
 *     DIFF      those bytes
 *
 *   A part ends where a record, an operation, a row of the map or a run needs a value and the column is empty; all of the part's columns are then empty,
 *   and the sequence of differences is at the end of a pair. Empty columns are left out.
 *
 * Version history: 1 (first); 2 (recipes; a longer header: extra, scratch, encoders, map; within it later the flags, and the
 * codecs sifted and hex: diff/codec.h).
 */
#ifndef AYNI_DIFF_BUNDLE_FORMAT_H
#define AYNI_DIFF_BUNDLE_FORMAT_H

#include "diff/bundle.h"

#define AY_BUNDLE_MAGIC        "AyniBn\0\2"
#define AY_BUNDLE_MAGIC_LEN    7 /* the version follows */
#define AY_BUNDLE_VERSION      2 /* the newest; 1 is read, too */
#define AY_BUNDLE_HEADER_SIZE  144
#define AY_BUNDLE_TARGETS      1          /* flag: records say which content of the manifest delta they are */
#define AY_BUNDLE_BASES        2          /* flag: records say which file of the old manifest their base is */
#define AY_BUNDLE_OLD_MAX      (1u << 24) /* files that a manifest of 1 GiB has at most, and more */
#define AY_BUNDLE_HEADER_V1    112
#define AY_BUNDLE_CHECK_SIZE   8
#define AY_SECTION_HEAD_SIZE   4
#define AY_SECTION_STREAM_SIZE 12
#define AY_BUNDLE_PART_MIN     16384 /* holds any record's head and a piece of its streams */
#define AY_RECORD_HEAD_MAX     512   /* bytes that a record adds to RECORD and DIGEST at most */

#define AY_RECIPE_CHUNK_MAX 4096 /* bytes that a chunk has when we write */

enum ay_section_kind { AY_SECTION_DELTA = 'D', AY_SECTION_MAP = 'M', AY_SECTION_PART = 'P' };

enum ay_stream {
	AY_STREAM_RECORD = 0,
	AY_STREAM_DIGEST,
	AY_STREAM_DIFF_LEN,
	AY_STREAM_SEEK,
	AY_STREAM_EXTRA_LEN,
	AY_STREAM_ZERO_RUN,
	AY_STREAM_DIFF_RUN,
	AY_STREAM_DIFF,
	AY_STREAM_LITERAL,
	/* of AY_METHOD_ELF */
	AY_STREAM_ELF_MAP,
	AY_STREAM_ELF_RUN,
	AY_STREAM_FIELD_ZERO,
	AY_STREAM_FIELD_RUN,
	AY_STREAM_FIELD_CODE,
	AY_STREAM_FIELD_DATA,
	AY_STREAM_FIELD_WIDE,
	/* of any method, with filters */
	AY_STREAM_RECIPE,
	AY_STREAMS, /* of a part */
	AY_STREAM_DELTA = 255,
};

/**
 * ay_bundle_memory() - bytes that reading a bundle of this part limit needs at most.
 *
 * A section as it is packed, its streams unpacked, xz's dictionary of one of them; buffers, contexts, hash state.
 */
static inline uint64_t ay_bundle_memory(uint32_t part_limit)
{
	return 3 * (uint64_t)part_limit + (2u << 20);
}

/** ay_bundle_header_size() - of a version that is known. */
static inline size_t ay_bundle_header_size(unsigned version)
{
	return version == 1 ? AY_BUNDLE_HEADER_V1 : AY_BUNDLE_HEADER_SIZE;
}

/** ay_stream_name() - for messages. Static storage. */
const char *ay_stream_name(unsigned id);

#endif
