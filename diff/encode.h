/* SPDX-License-Identifier: MIT */
/*
 * diff/encode.h - a file, or a window of one, coded in the ways that there are, the smallest kept (internal to diff/).
 *
 * What a reader can undo is a method (diff/bundle.h); each has one encoder in the table of diff/encode.c. An encoder
 * sees spans, not files: to it, what a filter unpacked looks like any other bytes. It gives columns, or says that it
 * is not for such bytes.
 */
#ifndef AYNI_DIFF_ENCODE_H
#define AYNI_DIFF_ENCODE_H

#include "diff/bundle.h"
#include "diff/columns.h"

#define AY__METHOD_BIT(method) (1u << (method))
#define AY__METHODS_ALL        (~0u)

/* A file's bytes, or what they unpack to, or a window of either. */
struct ay__span {
	struct ay_slice bytes; /* borrowed */
	uint64_t at;           /* where they begin in the whole */
	uint64_t size;         /* of the whole: bytes.len unless this is a window */
};

struct ay__encode_options {
	uint32_t piece_max;            /* ay_bundle_piece_max() */
	const struct ay__btf_map *btf; /* of the bundle; NULL: none */
	uint64_t extra_max;            /* bytes that reading may need besides what parts do: method elf */
	bool unmasked;                 /* method elf: search the files' own bytes for copies */
	unsigned threshold;            /* of struct ay_bsdiff_params; 0: the usual one */
	bool thorough;                 /* where a file costs much, try another threshold too */
	uint64_t work_max;             /* bytes of a base that may be gone through: method elf */
	unsigned methods; /* AY__METHOD_BIT()s of those that may be used; AY_METHOD_LITERAL is one */
};

/* Zero-initialise; release. */
struct ay__encoded {
	enum ay_bundle_method method;
	struct ay_columns columns;
	uint64_t cost; /* ay__encoded_cost() when it was asked for; 0: not yet */
};

/**
 * ay__encode() - code @target against @base in each way allowed, and keep the smallest.
 * @base: NULL: none; then only AY_METHOD_LITERAL is possible.
 * @out: what was in it is released; untouched on failure.
 *
 * The result depends on nothing but the arguments. Safe in any thread.
 *
 * Return: 0; -ENOMEM; AY_EUNSUPPORTED no method allowed can code @target (nothing is wrong with the files).
 */
int ay__encode(const struct ay__span *base, const struct ay__span *target,
	       const struct ay__encode_options *options, struct ay__encoded *out);
void ay__encoded_release(struct ay__encoded *e);

/** ay__encoded_cost() - about how many bytes all columns pack to. 0 and @bytes; -ENOMEM. */
int ay__encoded_cost(struct ay__encoded *e, uint64_t *bytes);

#endif
