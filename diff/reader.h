/* SPDX-License-Identifier: MIT */
/*
 * diff/reader.h - the reading of one bundle, shared by the files that carry it out (internal to diff/).
 *
 *     bundle_reader.c      all of it, in order
 *     reader_parts.c       header, manifest delta, parts; values out of columns
 *     reader_record.c      a record: head, operations, digest
 *     reader_operation.c   one operation out of the columns
 *     reader_inside.c      recipes, bases unpacked
 *     reader_elf.c         the same of method elf
 *     scout.c, aim.c       who goes ahead through its copies
 *     several.c            small ones, several at once
 *     view.c               what a base's bytes are read from
 *     output.c             where a record's bytes go
 */
#ifndef AYNI_DIFF_READER_H
#define AYNI_DIFF_READER_H

#include "diff/ahead.h"
#include "diff/btf.h"
#include "diff/output.h"
#include "diff/recipe.h"
#include "diff/section.h"
#include "diff/targets.h"
#include "diff/view.h"

struct ay__reader {
	int fd;
	uint64_t size, at;
	struct ay_bundle_header header;
	const struct ay_bundle_sink *sink;
	bool records; /* are decoded */
	struct ay__section section;
	struct ay__ahead *ahead;        /* reads the next part meanwhile; NULL: nobody does */
	struct ay__several *several;    /* makes small records besides; NULL: none yet */
	bool no_several;                /* nor ever */
	bool here;                      /* what is read lies in the part in hand */
	uint32_t next_part, first_part; /* the first that was, or is to be read */
	uint64_t sizes;                 /* of the records so far */
	uint64_t work;                  /* ay__record_work() of these */
	/* the sequence of differences: what is left of the pair in hand */
	uint64_t zeros, literals;
	uint32_t index; /* of the next record */
	/* the record in hand */
	struct ay_bundle_record r;
	bool skip;
	bool inside;   /* it has begun and is not at its end */
	uint64_t done; /* bytes of it written */
	uint64_t last_old;
	struct ay__btf_map map;
	struct ay__targets targets;
	uint64_t next_target, next_base;
	double cost;             /* packed bytes of what it has taken out of the columns, up to */
	size_t told[AY_STREAMS]; /* these places of the part in hand */
	uint64_t view_size;      /* of the target */
	uint64_t base_size;      /* of the base's view */
	struct ay_buf recipe;    /* with filters: the base's, then the target's */
	struct ay_slice base_recipe, target_recipe;
	uint64_t pack_memory; /* that packing the target needs */
	uint64_t hold; /* bytes of the target's view, if it waits in a temporary file to be packed; else 0 */
	struct ay__view file; /* the base itself, while it is unpacked */
	uint8_t *unpacked;    /* AY__VIEW_IN_MEMORY bytes, when there was a need */
	struct ay__view base; /* as the record sees it */
	struct ay__output out;
	struct ay_err *err;
};

/* All return 0 or a negative code with @r->err set; what went wrong is named, where is for the caller to wrap. */

int ay__reader_header(struct ay__reader *r, const struct ay_bundle_limits *limits);
int ay__reader_delta(struct ay__reader *r);
int ay__reader_map(struct ay__reader *r);

/** ay__reader_account() - what was taken out of the columns since the last time falls to the record in hand. */
void ay__reader_account(struct ay__reader *r);

/** ay__reader_part_done() - the part in hand must be used up to the last byte. */
int ay__reader_part_done(struct ay__reader *r);
int ay__reader_part_next(struct ay__reader *r);

/**
 * ay__reader_part_for() - make sure that @stream, from which the next unit begins, has bytes.
 *
 * A part without them but with others is refused when it is left; only where the record table alone is read are such
 * parts passed over.
 */
int ay__reader_part_for(struct ay__reader *r, enum ay_stream stream);

static inline struct ay_cursor *ay__reader_col(struct ay__reader *r, enum ay_stream stream)
{
	return &r->section.col[stream];
}

/** ay__reader_bad() - AY_EFORMAT: @what, at this byte of this stream. */
int ay__reader_bad(struct ay__reader *r, enum ay_stream stream, const char *what);
/** ay__reader_number() - the stream's next varint. */
int ay__reader_number(struct ay__reader *r, enum ay_stream stream, uint64_t *v);

/** ay__reader_head() - the next record's head to @r->r. */
int ay__reader_head(struct ay__reader *r);
/** ay__reader_recipes() - what is inside of base and target; sizes of the views. Also when the record is skipped. */
int ay__reader_recipes(struct ay__reader *r);
/** ay__reader_base() - open the base, as the record sees it. */
int ay__reader_base(struct ay__reader *r);
/**
 * ay__reader_operation() - take the next operation, which writes the record's bytes from @at on: @diff bytes copied from
 * @old on, then @extra others. It stays inside the record and its base.
 */
int ay__reader_operation(struct ay__reader *r, uint64_t at, uint64_t *old, uint64_t *diff, uint64_t *extra);
/** ay__reader_differences() - add the sequence's next @n differences to @dst; NULL: the record is skipped. */
int ay__reader_differences(struct ay__reader *r, uint8_t *dst, uint64_t n);
/** ay__reader_literal() - the next @len bytes are LITERAL's. */
int ay__reader_literal(struct ay__reader *r, uint64_t len);
/** ay__reader_elf() - the bytes of a record of AY_METHOD_ELF, whose base is open unless it is skipped. */
int ay__reader_elf(struct ay__reader *r);

/** ay__reader_bytes() - the record's bytes, from @r->done and @r->last_old on; also when they are skipped. */
int ay__reader_bytes(struct ay__reader *r);
/** ay__reader_place() - tell the sink where it stands, between two parts. @record: the one that is next, or in hand. */
int ay__reader_place(struct ay__reader *r, uint32_t record);

#endif
