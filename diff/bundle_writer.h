/* SPDX-License-Identifier: MIT */
/*
 * diff/bundle_writer.h - writing a bundle: records in, sections out (diff/bundle_format.h).
 *
 *     ay_bundle_writer_new(fd, ...)
 *     ay_bundle_writer_delta() ...                    the manifest delta, in any portions
 *     ay_bundle_writer_record(), _columns() ...       per record, in order
 *     ay_bundle_writer_finish()                       the header, last
 */
#ifndef AYNI_DIFF_BUNDLE_WRITER_H
#define AYNI_DIFF_BUNDLE_WRITER_H

#include "diff/btf.h"
#include "diff/columns.h"

struct ay_bundle_writer;
struct ay__pool;

struct ay_bundle_writer_options {
	struct ay_digest from, to;
	uint32_t part_limit;
	int level;             /* of zstd */
	unsigned codecs;       /* AY_CODEC_BIT()s of those to try */
	unsigned parts_ahead;  /* parts that may wait for being packed; >= 1 */
	bool targets;          /* records refer to the manifest delta for their digests */
	bool bases;            /* and to the old manifest for their bases, where base_numbers says which */
	struct ay__pool *pool; /* packs streams; borrowed; NULL: packed where they are written */
};

/** ay_bundle_piece_max() - the piece size for ay_columns_encode() that suits a part limit. */
uint32_t ay_bundle_piece_max(uint32_t part_limit);

/** ay_bundle_writer_new() - @fd: a new empty file, borrowed. NULL: out of memory. */
struct ay_bundle_writer *ay_bundle_writer_new(int fd, const struct ay_bundle_writer_options *options);

/** ay_bundle_writer_free() - what the pool still packs is waited for. NULL is legal. */
void ay_bundle_writer_free(struct ay_bundle_writer *w);

/** ay_bundle_writer_delta() - the next bytes of the manifest delta; none after the first record. */
int ay_bundle_writer_delta(struct ay_bundle_writer *w, const void *data, size_t len, struct ay_err *err);

/**
 * ay_bundle_writer_map() - the table of type numbers that records of AY_METHOD_ELF were coded with; behind the delta, before the first
 * record. Nothing is written of one without rows.
 */
int ay_bundle_writer_map(struct ay_bundle_writer *w, const struct ay__btf_map *map, struct ay_err *err);

/** ay_bundle_writer_tables() - bytes of memory that a reader needs for what delta and map said, besides any record's. */
uint64_t ay_bundle_writer_tables(const struct ay_bundle_writer *w);

/** ay_bundle_writer_record() - a record begins (the one before is complete); @r->index is not looked at. */
int ay_bundle_writer_record(struct ay_bundle_writer *w, const struct ay_bundle_record *r, struct ay_err *err);

/** ay_bundle_writer_columns() - the next window of the record's file; @c is the caller's, and may go. */
int ay_bundle_writer_columns(struct ay_bundle_writer *w, const struct ay_columns *c, struct ay_err *err);

/** ay_bundle_writer_needs() - what applying what was written so far needs: bytes, encoders. The offer declares both. */
void ay_bundle_writer_needs(const struct ay_bundle_writer *w, uint64_t *memory, uint32_t *encoders);

/**
 * ay_bundle_writer_finish() - pack and write what is left, then the header.
 *
 * Return (of this and those above): 0; AY_ELIMIT too many records; -errno, -ENOMEM: the file is to be thrown away.
 */
int ay_bundle_writer_finish(struct ay_bundle_writer *w, struct ay_err *err);

#endif
