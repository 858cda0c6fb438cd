/* SPDX-License-Identifier: MIT */
/*
 * diff/elf_columns.c - the writer's side of method ELF. diff/reader_elf.c is the other one; both walk alike.
 */
#include "diff/elf_columns.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "diff/predict.h"

#define AIMS 64 /* fields looked at before they are predicted */

struct encoder {
	struct ay_columns *c;
	struct ay__columns_mark mark; /* where the piece in hand began */
	struct ay_slice old, new_;
	uint32_t piece_max;
	uint32_t used; /* bytes that the piece has, about */
	struct ay__fields fields;
	const struct ay__btf_map *btf;
	struct ay__predict *predict;
	uint64_t at, run_at; /* in the new file: here, and where the run in hand began */
	uint64_t zeros;      /* plain differences not written yet */
	uint64_t field_zeros, field_run;
	uint64_t wrong[3]; /* residues of the run, per column */
	int rc;
};

uint64_t ay__elf_extra_memory(uint64_t base_size)
{
	return base_size + ay__predict_memory(base_size);
}

bool ay__elf_pair(struct ay_slice old, struct ay_slice new_)
{
	uint64_t a, b;

	return ay__elf_find(old.data, old.len, &a) && ay__elf_find(new_.data, new_.len, &b) &&
	       old.data[a + 18] == new_.data[b + 18];
}

static struct ay_buf *col(struct encoder *e, enum ay_stream stream)
{
	return &e->c->col[stream];
}

static void piece_end(struct encoder *e)
{
	if (e->rc == 0)
		e->rc = ay__columns_piece(e->c, &e->mark);
	e->used = 0;
}

/* ---- section map and control */

static void map_put(void *ctx, const struct ay_buf *coded)
{
	struct encoder *e = ctx;

	if (e->rc == 0)
		e->rc = ay_buf_status(coded);
	ay_put_bytes(col(e, AY_STREAM_ELF_MAP), coded->data, coded->len);
	e->used += (uint32_t)coded->len;
	if (e->used >= e->piece_max)
		piece_end(e);
}

/* The operations; @copies has room for each. Returns the number of copies. */
static uint32_t control_put(struct encoder *e, const struct ay_bsdiff_ops *ops, struct ay__copy *copies)
{
	uint64_t last_old = 0, at = 0;
	uint32_t n = 0;

	ay_put_varint(col(e, AY_STREAM_ELF_RUN), ops->n);
	for (size_t i = 0; i < ops->n; i++) {
		const struct ay_bsdiff_op *op = &ops->ops[i];

		ay_put_varint(col(e, AY_STREAM_DIFF_LEN), op->diff_len);
		if (op->diff_len) {
			ay_put_varint(col(e, AY_STREAM_SEEK), ay_zigzag((int64_t)(op->old_pos - last_old)));
			last_old = op->old_pos + op->diff_len;
			copies[n++] = (struct ay__copy){op->old_pos, at, op->diff_len};
		}
		ay_put_varint(col(e, AY_STREAM_EXTRA_LEN), op->extra_len);
		at += op->diff_len + op->extra_len;
		e->used += 8;
		if (e->used >= e->piece_max)
			piece_end(e);
	}
	if (e->used)
		piece_end(e);
	return n;
}

/* ---- runs */

static void run_end(struct encoder *e)
{
	uint64_t len = e->at - e->run_at;

	if (len == 0)
		return;
	if (e->field_run)
		ay_put_varint(col(e, AY_STREAM_FIELD_RUN), e->field_run);
	if (e->zeros) {
		ay_put_varint(col(e, AY_STREAM_ZERO_RUN), e->zeros);
		ay_put_varint(col(e, AY_STREAM_DIFF_RUN), 0);
	}
	ay_put_varint(col(e, AY_STREAM_ELF_RUN), e->at == e->new_.len ? 0 : len);
	for (unsigned i = 0; i < 3; i++) {
		ay_put_varint(col(e, AY_STREAM_ELF_RUN), e->wrong[i]);
		e->wrong[i] = 0;
	}
	e->zeros = e->field_zeros = e->field_run = 0;
	e->run_at = e->at;
	piece_end(e);
}

static void field_put(struct encoder *e, const struct ay__aim *a)
{
	const unsigned width = a->width;
	uint64_t guess = ay__predict_aim(e->predict, a);
	uint64_t raw = ay__field_load(e->new_.data + e->at, width);
	uint64_t residue = raw - guess;
	uint8_t bytes[8];

	ay__predict_learn(e->predict, raw);
	ay__field_store(bytes, width, residue);
	e->zeros += width;
	e->at += width;
	if (ay__field_load(bytes, width) == 0) {
		if (e->field_run)
			ay_put_varint(col(e, AY_STREAM_FIELD_RUN), e->field_run);
		e->field_run = 0;
		e->field_zeros++;
		return;
	}
	unsigned which = ay__field_column(a->kind);
	if (e->field_run++ == 0) {
		ay_put_varint(col(e, AY_STREAM_FIELD_ZERO), e->field_zeros);
		e->field_zeros = 0;
		e->used += 4;
	}
	ay__field_store(bytes, 8, ay__field_load(bytes, width));
	ay_put_bytes(col(e, AY_STREAM_FIELD_CODE + which), bytes, which == 2 ? 8 : 4);
	e->wrong[which]++;
	e->used += 8;
}

/* Bytes [@old_at, @old_end) of no field. */
static void plain_put(struct encoder *e, uint64_t old_at, uint64_t old_end)
{
	const uint8_t *o = e->old.data + old_at, *w = e->new_.data + e->at;
	uint64_t n = old_end - old_at, i = 0;

	while (i < n) {
		uint64_t start = i;

		while (i + 8 <= n && memcmp(o + i, w + i, 8) == 0)
			i += 8;
		while (i < n && o[i] == w[i])
			i++;
		e->zeros += i - start;
		if (i == n)
			break;
		start = i;
		while (i < n && o[i] != w[i] && i - start < 64) {
			ay_put_u8(col(e, AY_STREAM_DIFF), (uint8_t)(w[i] - o[i]));
			i++;
		}
		ay_put_varint(col(e, AY_STREAM_ZERO_RUN), e->zeros);
		ay_put_varint(col(e, AY_STREAM_DIFF_RUN), i - start);
		e->zeros = 0;
		e->used += (uint32_t)(i - start) + 4;
		if (e->used >= e->piece_max) {
			e->at += i;
			run_end(e);
			e->at -= i;
		}
	}
	e->at += n;
}

static void copy_put(struct encoder *e, const struct ay_bsdiff_op *op)
{
	uint64_t old_at = op->old_pos, end = old_at + op->diff_len, ahead = old_at;
	const uint64_t moved = e->at - old_at;
	struct ay__aim aims[AIMS];

	while (old_at < end && e->rc == 0) {
		uint32_t n = ay__aims_take(ay__predict_aimer(e->predict), &ahead, end, moved, aims, AIMS);

		for (uint32_t i = 0; i < n; i++)
			ay__predict_prefetch(e->predict, &aims[i]);
		for (uint32_t i = 0; i < n && e->rc == 0; i++) {
			plain_put(e, old_at, aims[i].at);
			field_put(e, &aims[i]);
			old_at = aims[i].at + aims[i].width;
			if (e->used >= e->piece_max)
				run_end(e);
		}
		if (ahead == end) {
			plain_put(e, old_at, end);
			break;
		}
	}
}

static void extra_put(struct encoder *e, uint64_t len)
{
	while (len > 0) {
		uint64_t room = e->used < e->piece_max ? e->piece_max - e->used : 1;
		uint64_t n = len < room ? len : room;

		ay_put_bytes(col(e, AY_STREAM_LITERAL), e->new_.data + e->at, n);
		e->at += n;
		e->used += (uint32_t)n;
		len -= n;
		if (e->used >= e->piece_max)
			run_end(e);
	}
}

static int files_encode(struct encoder *e, struct ay__elf *old, struct ay__source *src,
			struct ay__elf_map *map, const struct ay_bsdiff_ops *ops)
{
	struct ay__copy *copies = malloc((ops->n + 1) * sizeof(*copies));
	int rc = copies ? ay__fields_find(src, old, &e->fields) : -ENOMEM;

	if (rc == 0) {
		uint32_t n = control_put(e, ops, copies);

		e->predict = ay__predict_new(old, src, &e->fields, map, copies, n, e->btf);
		rc = e->predict ? e->rc : -ENOMEM;
	}
	for (size_t i = 0; rc == 0 && i < ops->n; i++) {
		copy_put(e, &ops->ops[i]);
		extra_put(e, ops->ops[i].extra_len);
		rc = e->rc;
	}
	if (rc == 0)
		run_end(e);
	ay__predict_free(e->predict);
	ay__fields_release(&e->fields);
	free(copies);
	return rc ? rc : e->rc;
}

int ay__elf_columns_encode(struct ay_columns *c, struct ay_slice old, struct ay_slice new_,
			   const struct ay_bsdiff_ops *ops, const struct ay__btf_map *btf, uint32_t piece_max)
{
	struct encoder e = {.c = c, .old = old, .new_ = new_, .btf = btf, .piece_max = piece_max};
	struct ay__source old_src = ay__source_memory(old.data, old.len);
	struct ay__source new_src = ay__source_memory(new_.data, new_.len);
	struct ay__elf old_elf, new_elf;
	struct ay__elf_map map;

	uint64_t old_start, new_start;

	if (ops->n > ay__copies_max(old.len) || !ay__elf_find(old.data, old.len, &old_start) ||
	    !ay__elf_find(new_.data, new_.len, &new_start))
		return AY_EUNSUPPORTED;
	int rc = ay__elf_parse(&old_src, old_start, &old_elf);
	if (rc)
		return rc;
	rc = ay__elf_parse(&new_src, new_start, &new_elf);
	if (rc == 0) {
		ay__columns_mark(c, &e.mark);
		ay_put_varint(col(&e, AY_STREAM_ELF_MAP), old_elf.start);
		rc = ay__elf_map_make(&old_elf, &old_src, &new_elf, &new_src, map_put, &e, &map);
		if (rc == 0) {
			rc = files_encode(&e, &old_elf, &old_src, &map, ops);
			ay__elf_map_release(&map);
		}
		ay__elf_release(&new_elf);
	}
	ay__elf_release(&old_elf);
	return rc;
}
