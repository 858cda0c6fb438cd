/* SPDX-License-Identifier: MIT */
/*
 * diff/columns.c - operations to columns.
 *
 * The differences of a copy are nearly all zero (a kernel pair: 400 MB of them, 5 MB not zero). Written out as runs
 * they take a sixtieth of the memory, so that a part holds many more files, and are smaller packed as well.
 */
#include "diff/columns.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Room that an operation's numbers take at most. */
#define NUMBERS_MAX 64

struct encoder {
	struct ay_columns *c;
	struct ay_slice old, new_;
	uint64_t old_at;
	uint64_t at;    /* in new_ */
	uint64_t zeros; /* differences not written yet */
	uint64_t piece_start;
	uint32_t piece_max;
	bool copies;
	struct ay__columns_mark mark; /* where the piece began */
};

void ay_columns_release(struct ay_columns *c)
{
	for (unsigned i = 0; i < AY_STREAMS; i++)
		ay_buf_release(&c->col[i]);
	free(c->pieces);
	*c = (struct ay_columns){0};
}

uint64_t ay_columns_size(const struct ay_columns *c)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < AY_STREAMS; i++)
		sum += c->col[i].len;
	return sum;
}

void ay__columns_mark(const struct ay_columns *c, struct ay__columns_mark *m)
{
	for (unsigned i = 0; i < AY_STREAMS; i++)
		m->before[i] = c->col[i].len;
}

int ay__columns_piece(struct ay_columns *c, struct ay__columns_mark *m)
{
	if (c->n_pieces == c->cap_pieces) {
		size_t cap = c->cap_pieces ? 2 * c->cap_pieces : 4;
		struct ay_piece *p = realloc(c->pieces, cap * sizeof(*p));

		if (!p)
			return -ENOMEM;
		c->pieces = p;
		c->cap_pieces = cap;
	}
	struct ay_piece *p = &c->pieces[c->n_pieces++];
	for (unsigned i = 0; i < AY_STREAMS; i++) {
		int rc = ay_buf_status(&c->col[i]);

		if (rc)
			return rc;
		p->len[i] = (uint32_t)(c->col[i].len - m->before[i]);
		m->before[i] = c->col[i].len;
	}
	return 0;
}

static int piece_end(struct encoder *e)
{
	struct ay_columns *c = e->c;

	if (e->zeros) {
		ay_put_varint(&c->col[AY_STREAM_ZERO_RUN], e->zeros);
		ay_put_varint(&c->col[AY_STREAM_DIFF_RUN], 0);
		e->zeros = 0;
	}
	e->piece_start = ay_columns_size(c);
	return ay__columns_piece(c, &e->mark);
}

static bool piece_empty(const struct encoder *e)
{
	return e->zeros == 0 && ay_columns_size(e->c) == e->piece_start;
}

static uint64_t piece_room(const struct encoder *e)
{
	uint64_t used = ay_columns_size(e->c) - e->piece_start + NUMBERS_MAX;

	return used < e->piece_max ? e->piece_max - used : 0;
}

static void put_op(struct encoder *e, uint64_t old_pos, uint64_t diff_len, uint64_t extra_len)
{
	struct ay_columns *c = e->c;

	if (e->copies)
		ay_put_varint(&c->col[AY_STREAM_DIFF_LEN], diff_len);
	if (diff_len) {
		uint64_t from = e->old_at + old_pos;

		if (c->has_copy) {
			ay_put_varint(&c->col[AY_STREAM_SEEK], ay_zigzag((int64_t)(from - c->last_old)));
		} else {
			c->first_old = from;
			c->first_copy_piece = c->n_pieces;
		}
		c->has_copy = true;
		c->last_old = from + diff_len;
	}
	ay_put_varint(&c->col[AY_STREAM_EXTRA_LEN], extra_len);
}

/* Differences of up to @n bytes, as far as the piece has room; at least one. Returns how many. */
static uint64_t put_differences(struct encoder *e, uint64_t old_pos, uint64_t n)
{
	const uint8_t *o = e->old.data + old_pos, *w = e->new_.data + e->at;
	uint64_t i = 0;

	while (i < n) {
		uint64_t start = i, run, room;

		while (i + 8 <= n && memcmp(o + i, w + i, 8) == 0)
			i += 8;
		while (i < n && o[i] == w[i])
			i++;
		e->zeros += i - start;
		room = piece_room(e);
		if (i == n || (room == 0 && i > 0))
			break;
		for (run = 0; i + run < n && o[i + run] != w[i + run] && (run < room || run == 0); run++)
			ay_put_u8(&e->c->col[AY_STREAM_DIFF], (uint8_t)(w[i + run] - o[i + run]));
		ay_put_varint(&e->c->col[AY_STREAM_ZERO_RUN], e->zeros);
		ay_put_varint(&e->c->col[AY_STREAM_DIFF_RUN], run);
		e->zeros = 0;
		i += run;
	}
	return i;
}

static int put_copy_and_extra(struct encoder *e, const struct ay_bsdiff_op *op)
{
	uint64_t diff = op->diff_len, extra = op->extra_len, old_pos = op->old_pos;

	while (diff + extra > 0) {
		uint64_t d = 0, x = 0;

		if (diff)
			d = put_differences(e, old_pos, diff);
		e->at += d;
		diff -= d;
		uint64_t room = piece_room(e);
		if (diff == 0 && extra > 0 && (room > 0 || d == 0)) {
			x = extra < room ? extra : room ? room : 1;
			ay_put_bytes(&e->c->col[AY_STREAM_LITERAL], e->new_.data + e->at, x);
			e->at += x;
			extra -= x;
		}
		put_op(e, old_pos, d, x);
		old_pos += d;
		if (diff + extra > 0 || piece_room(e) == 0) {
			int rc = piece_end(e);

			if (rc)
				return rc;
		}
	}
	return 0;
}

int ay_columns_encode(struct ay_columns *c, struct ay_slice old, uint64_t old_at, struct ay_slice new_,
		      const struct ay_bsdiff_ops *ops, bool copies, uint32_t piece_max)
{
	struct encoder e = {
		.c = c, .old = old, .new_ = new_, .old_at = old_at, .piece_max = piece_max, .copies = copies};

	for (size_t i = 0; i < ops->n; i++) {
		int rc = put_copy_and_extra(&e, &ops->ops[i]);

		if (rc)
			return rc;
	}
	AY_ASSERT(e.at == new_.len);
	return piece_empty(&e) ? 0 : piece_end(&e);
}

enum ay_values ay__stream_values(unsigned id)
{
	switch (id) {
	case AY_STREAM_DELTA:
	case AY_STREAM_LITERAL:
		return AY_VALUES_TEXT;
	case AY_STREAM_DIGEST:
	case AY_STREAM_DIFF:
		return AY_VALUES_DIFFS;
	case AY_STREAM_FIELD_CODE:
	case AY_STREAM_FIELD_DATA:
		return AY_VALUES_4;
	case AY_STREAM_FIELD_WIDE:
		return AY_VALUES_8;
	default:
		return AY_VALUES_VARINTS;
	}
}
