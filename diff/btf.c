/* SPDX-License-Identifier: MIT */
/*
 * diff/btf.c - a table of kinds says where in a type its references are.
 */
#include "diff/btf.h"

#include <errno.h>
#include <stdlib.h>

#include "base/error.h"

#define MAGIC     0xeb9f
#define HEAD      24
#define TYPE_HEAD 12
#define NONE      0xff

/* What follows a type's head of 12 bytes: rows, one or as many as it says, and in each where a type and a name stand. */
static const struct kind {
	uint8_t known, refers; /* the head's third word is a type */
	uint8_t row, many;
	uint8_t ref[2];
	uint8_t space[2];
} kinds[] = {
	[1] = {.known = 1, .row = 4, .ref = {NONE, NONE}},                                   /* INT */
	[2] = {.known = 1, .refers = 1, .ref = {NONE, NONE}},                                /* PTR */
	[3] = {.known = 1, .row = 12, .ref = {0, 4}, .space = {AY__BTF_TYPE, AY__BTF_TYPE}}, /* ARRAY */
	[4] = {.known = 1,
	       .row = 12,
	       .many = 1,
	       .ref = {0, 4},
	       .space = {AY__BTF_NAME, AY__BTF_TYPE}}, /* STRUCT */
	[5] = {.known = 1,
	       .row = 12,
	       .many = 1,
	       .ref = {0, 4},
	       .space = {AY__BTF_NAME, AY__BTF_TYPE}},                                      /* UNION */
	[6] = {.known = 1, .row = 8, .many = 1, .ref = {0, NONE}, .space = {AY__BTF_NAME}}, /* ENUM */
	[7] = {.known = 1, .ref = {NONE, NONE}},                                            /* FWD */
	[8] = {.known = 1, .refers = 1, .ref = {NONE, NONE}},                               /* TYPEDEF */
	[9] = {.known = 1, .refers = 1, .ref = {NONE, NONE}},                               /* VOLATILE */
	[10] = {.known = 1, .refers = 1, .ref = {NONE, NONE}},                              /* CONST */
	[11] = {.known = 1, .refers = 1, .ref = {NONE, NONE}},                              /* RESTRICT */
	[12] = {.known = 1, .refers = 1, .ref = {NONE, NONE}},                              /* FUNC */
	[13] = {.known = 1,
		.refers = 1,
		.row = 8,
		.many = 1,
		.ref = {0, 4},
		.space = {AY__BTF_NAME, AY__BTF_TYPE}},                                       /* FUNC_PROTO */
	[14] = {.known = 1, .refers = 1, .row = 4, .ref = {NONE, NONE}},                      /* VAR */
	[15] = {.known = 1, .row = 12, .many = 1, .ref = {0, NONE}, .space = {AY__BTF_TYPE}}, /* DATASEC */
	[16] = {.known = 1, .ref = {NONE, NONE}},                                             /* FLOAT */
	[17] = {.known = 1, .refers = 1, .row = 4, .ref = {NONE, NONE}},                      /* DECL_TAG */
	[18] = {.known = 1, .refers = 1, .ref = {NONE, NONE}},                                /* TYPE_TAG */
	[19] = {.known = 1, .row = 12, .many = 1, .ref = {0, NONE}, .space = {AY__BTF_NAME}}, /* ENUM64 */
};

bool ay__btf_parse(struct ay__source *src, uint64_t at, uint64_t size, struct ay__btf *out)
{
	const uint8_t *p = size >= HEAD ? ay__source_at(src, at, HEAD) : NULL;

	if (!p || (p[0] | p[1] << 8) != MAGIC || p[2] != 1 || ay_get_le32(p + 4) < HEAD)
		return false;
	uint64_t head = ay_get_le32(p + 4), types = ay_get_le32(p + 8), types_len = ay_get_le32(p + 12);
	uint64_t names = ay_get_le32(p + 16), names_len = ay_get_le32(p + 20);
	if (head + types + types_len > size || head + names + names_len > size || types % 4 || types_len % 4)
		return false;
	*out = (struct ay__btf){.at = at, .size = size};
	out->types = at + head + types;
	out->types_end = out->types + types_len;
	out->names = at + head + names;
	out->names_end = out->names + names_len;
	return true;
}

/* Take the type at @w->at in hand. */
static bool type_begin(struct ay__btf_walk *w)
{
	const uint8_t *p = w->end - w->at >= TYPE_HEAD ? ay__source_at(w->src, w->at, TYPE_HEAD) : NULL;
	uint32_t info = p ? ay_get_le32(p + 4) : 0;
	unsigned kind = info >> 24 & 31;

	if (!p || kind >= sizeof(kinds) / sizeof(kinds[0]) || !kinds[kind].known)
		return false;
	uint64_t n = kinds[kind].many ? info & 0xffff : kinds[kind].row != 0;
	if (n * kinds[kind].row > w->end - w->at - TYPE_HEAD)
		return false;
	w->index += w->type != 0;
	w->type = w->at;
	w->kind = kind;
	w->n = (unsigned)n;
	w->step = 0;
	w->at += TYPE_HEAD + n * kinds[kind].row;
	return true;
}

bool ay__btf_next(struct ay__btf_walk *w, uint64_t *at, enum ay__btf_space *space)
{
	for (;;) {
		const struct kind *k = &kinds[w->kind];

		if (w->type == 0 || w->step >= 2 + 2 * w->n) {
			if (!type_begin(w))
				return false;
			continue;
		}
		uint32_t step = w->step++;
		if (step == 0 || (step == 1 && k->refers)) {
			*at = w->type + 8 * step;
			*space = step ? AY__BTF_TYPE : AY__BTF_NAME;
			return true;
		}
		if (step == 1 || k->ref[step % 2] == NONE)
			continue;
		*at = w->type + TYPE_HEAD + (uint64_t)(step / 2 - 1) * k->row + k->ref[step % 2];
		*space = (enum ay__btf_space)k->space[step % 2];
		return true;
	}
}

/* ---- the map */

void ay__btf_map_release(struct ay__btf_map *m)
{
	for (unsigned i = 0; i < AY__BTF_SPACES; i++)
		free(m->rows[i]);
	*m = (struct ay__btf_map){0};
}

uint32_t ay__btf_mapped(const struct ay__btf_map *m, enum ay__btf_space space, uint32_t v)
{
	const struct ay__btf_row *rows = m->rows[space];
	uint32_t lo = 0, hi = m->n[space];

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (rows[mid].from <= v)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo ? v - rows[lo - 1].from + rows[lo - 1].to : v;
}

void ay__btf_map_put(struct ay_buf *out, const struct ay__btf_map *m)
{
	for (unsigned i = 0; i < AY__BTF_SPACES; i++) {
		uint32_t from = 0, to = 0;

		ay_put_varint(out, m->n[i]);
		for (uint32_t r = 0; r < m->n[i]; r++) {
			const struct ay__btf_row *row = &m->rows[i][r];

			/* What would have been without this row, and what is. */
			ay_put_varint(out, row->from - from);
			ay_put_varint(out, ay_zigzag((int32_t)(row->to - (to + (row->from - from)))));
			from = row->from;
			to = row->to;
		}
	}
}

static int rows_get(struct ay_cursor *c, struct ay__btf_map *m, unsigned space)
{
	uint64_t n = ay_get_varint(c), from = 0, to = 0;

	if (c->failed || n > AY__BTF_ROWS_MAX || n > ay_cursor_left(c) / 2)
		return AY_EFORMAT;
	m->rows[space] = malloc((n + 1) * sizeof(*m->rows[space]));
	if (!m->rows[space])
		return -ENOMEM;
	for (uint64_t r = 0; r < n; r++) {
		uint64_t step = ay_get_varint(c);
		int64_t moved = ay_unzigzag(ay_get_varint(c));

		/* Ascending, each row needed, every number of 32 bits. */
		if (c->failed || (r && step == 0) || step > UINT32_MAX - from || moved == 0 ||
		    moved > INT32_MAX || moved < INT32_MIN)
			return AY_EFORMAT;
		from += step;
		to = (to + step + (uint64_t)moved) & UINT32_MAX;
		m->rows[space][m->n[space]++] = (struct ay__btf_row){(uint32_t)from, (uint32_t)to};
	}
	return 0;
}

int ay__btf_map_get(struct ay_cursor *c, struct ay__btf_map *m)
{
	int rc = 0;

	*m = (struct ay__btf_map){0};
	for (unsigned i = 0; i < AY__BTF_SPACES && rc == 0; i++)
		rc = rows_get(c, m, i);
	return rc;
}
