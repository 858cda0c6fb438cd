/* SPDX-License-Identifier: MIT */
/*
 * diff/columns.h - a record's operations as columns (diff/bundle_format.h), cut into pieces.
 *
 * Pieces exist because a part has a limit: a piece is small and the sequence of differences ends with it, so a
 * part may end behind any piece, and the writer only ever moves whole pieces.
 */
#ifndef AYNI_DIFF_COLUMNS_H
#define AYNI_DIFF_COLUMNS_H

#include "diff/bsdiff.h"
#include "diff/bundle_format.h"
#include "diff/codec.h"

struct ay_piece {
	uint32_t len[AY_STREAMS]; /* bytes that the piece has of each column */
};

/* What one window of a file was coded to. Zero-initialise; release. */
struct ay_columns {
	struct ay_buf col[AY_STREAMS]; /* RECORD and DIGEST stay empty */
	struct ay_piece *pieces;       /* owned */
	size_t n_pieces, cap_pieces;
	bool has_copy;           /* then: */
	size_t first_copy_piece; /* which piece the first copy is in */
	uint64_t
		first_old; /* the first copy's place; its SEEK is the writer's to put, who knows what came before */
	uint64_t last_old; /* the end of the last copy */
};

void ay_columns_release(struct ay_columns *c);
/** ay_columns_size() - bytes of all columns. */
uint64_t ay_columns_size(const struct ay_columns *c);

/**
 * ay_columns_encode() - append the operations that write @new_.
 * @old: the base's bytes from @old_at on. @ops: positions relative to @old. @copies: false for
 *   AY_METHOD_LITERAL (no DIFF_LEN column).
 * @piece_max: bytes of a piece, about.
 *
 * Return: 0, -ENOMEM.
 */
int ay_columns_encode(struct ay_columns *c, struct ay_slice old, uint64_t old_at, struct ay_slice new_,
		      const struct ay_bsdiff_ops *ops, bool copies, uint32_t piece_max);

/* Where a piece began: the columns' lengths there. */
struct ay__columns_mark {
	size_t before[AY_STREAMS];
};

/** ay__columns_mark() - the next piece begins here. */
void ay__columns_mark(const struct ay_columns *c, struct ay__columns_mark *m);
/** ay__columns_piece() - all behind @m is a piece; the next one begins here. 0, -ENOMEM. */
int ay__columns_piece(struct ay_columns *c, struct ay__columns_mark *m);

/** ay__stream_values() - what the bytes of stream @id (enum ay_stream) are. */
enum ay_values ay__stream_values(unsigned id);

#endif
