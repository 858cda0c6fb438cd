/* SPDX-License-Identifier: MIT */
/*
 * diff/reader_elf.c - a record of method ELF: the map, all operations, then the bytes, addresses predicted.
 *
 * Hostile numbers cost size or are refused: the map's rows and the operations are checked as they come. Fields are found in
 * the base, and that may be as hostile as the bundle: where the image begins in it the bundle says, with filters a recipe chooses what is seen of it,
 * and whoever made the bundle may have made the release before as well. So nothing that is read there is believed either. What finding them costs counts
 * as the record's work (diff/recipe.h), and a wrong prediction ends at the record's digest.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "diff/elf_columns.h"
#include "diff/predict.h"
#include "diff/reader.h"
#include "diff/scout.h"

#define ALONE (256u << 10) /* a base of fewer bytes is not worth a thread */
#define SOON  12           /* fields: so far ahead is fetched what was learned */

/* What a number takes in FIELD_CODE, FIELD_DATA, FIELD_WIDE. */
static const uint8_t bytes_of[3] = {4, 4, 8};

struct elf_record {
	struct ay__reader *r;
	struct ay__source src;
	struct ay__elf old;
	struct ay__elf_map map;
	bool has_map;
	struct ay__fields fields;
	struct ay__copy *copies;
	uint32_t n_copies, cap_copies;
	struct ay__predict *predict;
	struct ay__scout *scout;
	struct ay_err *read_err, scout_err; /* where a failed read of the base leaves its sentence */
	/* where in the copies */
	uint32_t copy;
	struct ay__scouted *block; /* the scout's; NULL: none yet */
	uint32_t in_block, aim;    /* bytes, fields of it that were used */
	/* the run in hand */
	uint64_t run_left, zeros, numbers;
	uint64_t wrong[3];
	uint64_t pending; /* numbers of the run whose pair was not read yet */
};

static int read_base(void *ctx, uint64_t offset, void *dst, size_t len)
{
	struct elf_record *e = ctx;

	return ay__view_read_once(&e->r->base, offset, dst, len, e->read_err);
}

/* ---- map and operations */

static int map_bad(struct elf_record *e, int rc)
{
	return rc == AY_EFORMAT ? ay__reader_bad(e->r, AY_STREAM_ELF_MAP, "a section map that makes no sense")
	       : rc == -ENOMEM  ? ay_err_errno(e->r->err, ENOMEM, "a section map")
				: rc;
}

/* The base's sections, and the head of the map. */
static int map_begin(struct elf_record *e, uint64_t *rows)
{
	struct ay__reader *r = e->r;
	uint64_t start;
	int rc = ay__reader_part_for(r, AY_STREAM_ELF_MAP);

	if (rc == 0)
		rc = ay__reader_number(r, AY_STREAM_ELF_MAP, &start);
	if (rc)
		return rc;
	if (r->skip) {
		*rows = ay__elf_map_skip_head(ay__reader_col(r, AY_STREAM_ELF_MAP));
		return *rows ? 0 : map_bad(e, AY_EFORMAT);
	}
	e->src = ay__source_reader(r->base_size, read_base, e);
	rc = ay__elf_parse(&e->src, start, &e->old);
	if (rc == AY_EUNSUPPORTED)
		return ay__reader_bad(r, AY_STREAM_ELF_MAP, "the base is no ELF image of a known kind there");
	if (rc)
		return rc == -ENOMEM ? ay_err_errno(r->err, ENOMEM, "a base's sections") : rc;
	rc = ay__elf_map_begin(&e->old, r->view_size, ay__reader_col(r, AY_STREAM_ELF_MAP), &e->map);
	e->has_map = rc == 0;
	*rows = e->has_map ? e->map.image.n : 0;
	return map_bad(e, rc);
}

static int map_read(struct elf_record *e)
{
	uint64_t rows = 0;
	int rc = map_begin(e, &rows);

	for (uint64_t i = 1; rc == 0 && i < rows; i++) {
		rc = ay__reader_part_for(e->r, AY_STREAM_ELF_MAP);
		struct ay_cursor *c = ay__reader_col(e->r, AY_STREAM_ELF_MAP);
		if (rc == 0)
			rc = map_bad(e, e->r->skip ? ay__elf_map_skip_row(c) : ay__elf_map_row(&e->map, c));
	}
	return rc || e->r->skip ? rc : map_bad(e, ay__elf_map_end(&e->map));
}

static int copy_push(struct elf_record *e, uint64_t old, uint64_t new_, uint64_t len)
{
	if (e->n_copies == e->cap_copies) {
		uint32_t cap = e->cap_copies ? 2 * e->cap_copies : 64;
		struct ay__copy *c = realloc(e->copies, cap * sizeof(*c));

		if (!c)
			return ay_err_errno(e->r->err, ENOMEM, "a record's operations");
		e->copies = c;
		e->cap_copies = cap;
	}
	e->copies[e->n_copies++] = (struct ay__copy){old, new_, len};
	return 0;
}

static int operations_read(struct elf_record *e)
{
	struct ay__reader *r = e->r;
	uint64_t n = 0, at = 0, diff, extra, old;
	int rc = ay__reader_part_for(r, AY_STREAM_ELF_RUN);

	if (rc == 0)
		rc = ay__reader_number(r, AY_STREAM_ELF_RUN, &n);
	if (rc == 0 && n > ay__copies_max(r->base_size))
		rc = ay__reader_bad(r, AY_STREAM_ELF_RUN, "more operations than a record may have");
	for (uint64_t i = 0; rc == 0 && i < n; i++) {
		rc = ay__reader_part_for(r, AY_STREAM_EXTRA_LEN);
		if (rc == 0)
			rc = ay__reader_operation(r, at, &old, &diff, &extra);
		if (rc == 0 && diff > 0)
			rc = copy_push(e, old, at, diff);
		at += rc ? 0 : diff + extra;
	}
	if (rc == 0 && at != r->view_size)
		rc = ay__reader_bad(r, AY_STREAM_EXTRA_LEN, "the operations end before the record does");
	return rc;
}

/* ---- runs */

static int run_begin(struct elf_record *e)
{
	struct ay__reader *r = e->r;
	uint64_t len, left = r->view_size - r->done;
	int rc = ay__reader_part_for(r, AY_STREAM_ELF_RUN);

	if (rc == 0)
		rc = ay__reader_number(r, AY_STREAM_ELF_RUN, &len);
	for (unsigned i = 0; rc == 0 && i < 3; i++)
		rc = ay__reader_number(r, AY_STREAM_ELF_RUN, &e->wrong[i]);
	if (rc)
		return rc;
	if (len >= left)
		return ay__reader_bad(r, AY_STREAM_ELF_RUN, "a run goes on behind the record's end");
	e->run_left = len ? len : left;
	e->pending = 0;
	for (unsigned i = 0; i < 3; i++) {
		if (e->wrong[i] > ay_cursor_left(ay__reader_col(r, AY_STREAM_FIELD_CODE + i)) / bytes_of[i])
			return ay__reader_bad(r, AY_STREAM_ELF_RUN, "more numbers than there are");
		e->pending += e->wrong[i];
	}
	e->zeros = e->numbers = 0;
	return 0;
}

/* The next pair of field runs, unless the rest of the run is as predicted. */
static int pair_next(struct elf_record *e, bool first)
{
	struct ay__reader *r = e->r;
	int rc = ay__reader_number(r, AY_STREAM_FIELD_ZERO, &e->zeros);

	if (rc == 0)
		rc = ay__reader_number(r, AY_STREAM_FIELD_RUN, &e->numbers);
	if (rc)
		return rc;
	if (e->numbers == 0 || e->numbers > e->pending || (e->zeros == 0 && !first))
		return ay__reader_bad(r, AY_STREAM_FIELD_RUN, "a pair that does not fit the run's numbers");
	e->pending -= e->numbers;
	return 0;
}

static int residue_next(struct elf_record *e, unsigned kind, unsigned width, uint64_t *residue)
{
	struct ay__reader *r = e->r;
	unsigned which = ay__field_column(kind);
	const uint8_t *p;

	*residue = 0;
	if (e->zeros > 0) {
		e->zeros--;
		return 0;
	}
	if (e->numbers == 0)
		return 0; /* as predicted up to the run's end */
	if (e->wrong[which] == 0)
		return ay__reader_bad(r, AY_STREAM_FIELD_CODE + which, "fewer numbers than fields need");
	p = ay_get_bytes(ay__reader_col(r, AY_STREAM_FIELD_CODE + which), bytes_of[which]);
	e->wrong[which]--;
	*residue = ay__field_load(p, bytes_of[which]);
	if (*residue == 0 || (width == 2 && *residue > 0xffff))
		return ay__reader_bad(r, AY_STREAM_FIELD_CODE + which, "a number that no field needs");
	if (--e->numbers == 0 && e->pending)
		return pair_next(e, false);
	return 0;
}

/* The next @n bytes of the block in hand: differences, then the fields that lie wholly in them. */
static int portion_make(struct elf_record *e, uint32_t n)
{
	struct ay__reader *r = e->r;
	struct ay__scouted *b = e->block;
	const uint32_t from = e->in_block, end = from + n;
	int rc = ay__reader_differences(r, b->bytes + from, n);

	/* One may have been cut by the end of the run before. */
	while (e->aim < b->n && b->aims[e->aim].offset < from)
		e->aim++;
	for (; rc == 0 && e->aim < b->n; e->aim++) {
		const struct ay__aim *a = &b->aims[e->aim];
		uint8_t *field = b->bytes + a->offset;
		uint64_t residue, raw;

		if (a->offset + a->width > end)
			break;
		if (e->aim + SOON < b->n)
			ay__predict_prefetch(e->predict, a + SOON);
		raw = ay__predict_aim(e->predict, a);
		rc = residue_next(e, a->kind, a->width, &residue);
		ay__field_store(field, a->width, raw + residue);
		ay__predict_learn(e->predict, ay__field_load(field, a->width));
	}
	if (rc == 0)
		rc = ay__output_put(&r->out, b->bytes + from, n);
	r->done += n;
	e->in_block = end;
	return rc;
}

/* The next @len bytes of the copy in hand. */
static int copy_bytes(struct elf_record *e, uint64_t len)
{
	int rc = 0;

	while (rc == 0 && len > 0) {
		if (!e->block || e->in_block == e->block->len) {
			e->block = ay__scout_next(e->scout);
			e->in_block = e->aim = 0;
			if (e->block->rc && e->r->err)
				*e->r->err = e->block->err;
			rc = e->block->rc;
			continue;
		}
		uint32_t left = e->block->len - e->in_block, n = len < left ? (uint32_t)len : left;

		rc = portion_make(e, n);
		len -= n;
	}
	return rc;
}

static int run_bytes(struct elf_record *e)
{
	struct ay__reader *r = e->r;
	int rc = 0;

	while (rc == 0 && e->run_left > 0) {
		const struct ay__copy *c = e->copy < e->n_copies ? &e->copies[e->copy] : NULL;
		uint64_t n = e->run_left;

		if (c && r->done >= c->new_) {
			uint64_t in = r->done - c->new_;

			n = n < c->len - in ? n : c->len - in;
			if (in + n == c->len)
				e->copy++;
			rc = r->skip ? ay__reader_differences(r, NULL, n) : copy_bytes(e, n);
			r->done += r->skip ? n : 0;
		} else {
			if (c && n > c->new_ - r->done)
				n = c->new_ - r->done;
			rc = ay__reader_literal(r, n);
			r->done += n;
		}
		e->run_left -= n;
	}
	return rc;
}

/* What a run's numbers are, without a base to say what for. */
static int run_skip_numbers(struct elf_record *e)
{
	struct ay__reader *r = e->r;
	int rc = 0;

	for (bool first = true; rc == 0 && e->pending; first = false)
		rc = pair_next(e, first);
	/* run_begin() saw that the columns have so many */
	for (unsigned i = 0; rc == 0 && i < 3; i++)
		ay_get_bytes(ay__reader_col(r, AY_STREAM_FIELD_CODE + i), (size_t)e->wrong[i] * bytes_of[i]);
	return rc;
}

static int run_read(struct elf_record *e)
{
	struct ay__reader *r = e->r;
	int rc = run_begin(e);

	if (rc)
		return rc;
	if (r->skip) {
		rc = run_skip_numbers(e);
		return rc ? rc : run_bytes(e);
	}
	if (e->pending)
		rc = pair_next(e, true);
	if (rc == 0)
		rc = run_bytes(e);
	if (rc == 0 && (e->numbers || e->pending))
		rc = ay__reader_bad(r, AY_STREAM_FIELD_RUN, "more numbers than the run has fields");
	return rc;
}

/* For the second thread of finding fields, whose failures have a place of their own. */
static int read_base_too(void *ctx, uint64_t offset, void *dst, size_t len)
{
	struct elf_record *e = ctx;

	return ay__view_read_once(&e->r->base, offset, dst, len, &e->scout_err);
}

static int fields_find(struct elf_record *e, bool threads)
{
	struct ay__source second = {0};

	if (threads)
		second = ay__source_reader(e->r->base_size, read_base_too, e);
	int rc = ay__fields_find_by_two(&e->src, second.window ? &second : NULL, &e->old, &e->fields);
	if (rc && rc == second.rc && e->r->err)
		*e->r->err = e->scout_err;
	ay__source_release(&second);
	return rc;
}

static int ready(struct elf_record *e)
{
	struct ay__reader *r = e->r;
	bool thread = r->out.queue && r->base_size >= ALONE;
	int rc = fields_find(e, thread);

	if (rc == 0) {
		e->predict = ay__predict_new(&e->old, &e->src, &e->fields, &e->map, e->copies, e->n_copies,
					     &r->map);
		e->read_err = &e->scout_err;
		e->scout = e->predict ? ay__scout_new(ay__predict_aimer(e->predict), &e->scout_err, thread)
				      : NULL;
		rc = e->scout ? 0 : -ENOMEM;
	}
	return rc == -ENOMEM ? ay_err_errno(r->err, ENOMEM, "predicting a file's addresses") : rc;
}

int ay__reader_elf(struct ay__reader *r)
{
	struct elf_record e = {.r = r, .read_err = r->err};
	int rc = 0;

	if (ay__elf_extra_memory(r->base_size) > r->header.extra_memory)
		rc = ay__reader_bad(r, AY_STREAM_RECORD, "needs more memory than the header says");
	if (rc == 0)
		rc = map_read(&e);
	if (rc == 0)
		rc = operations_read(&e);
	if (rc == 0 && !r->skip)
		rc = ready(&e);
	while (rc == 0 && r->done < r->view_size)
		rc = run_read(&e);
	ay__scout_free(e.scout);
	ay__predict_free(e.predict);
	ay__fields_release(&e.fields);
	if (e.has_map)
		ay__elf_map_release(&e.map);
	ay__elf_release(&e.old);
	ay__source_release(&e.src);
	free(e.copies);
	return rc;
}
