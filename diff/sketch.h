/* SPDX-License-Identifier: MIT */
/*
 * diff/sketch.h - a file's content in a few numbers, and which files have some of them in common (internal to diff/).
 *
 * Of the hashes of all strings of 16 bytes in a file the smallest few are kept. Two files have as many of these in common as
 * they have strings in common, wherever in the files they stand, whatever the files are called.
 * Source: A. Broder, "On the resemblance and containment of documents", 1997.
 */
#ifndef AYNI_DIFF_SKETCH_H
#define AYNI_DIFF_SKETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AY__SKETCH_MAX    32 /* features of one file; estimates are good to about a sixth of the truth */
#define AY__SKETCH_STRING 16 /* bytes of a string; 64 bits of hash, moved on by 4 per byte */

/* Random numbers for rolling hashes, one per byte value. */
extern const uint64_t ay__gear[256];

struct ay__sketch {
	uint32_t n;
	uint32_t feature[AY__SKETCH_MAX]; /* ascending, all different */
};

/* Zero-initialise; feed the file in any portions; its sketch is ready at any time. */
struct ay__sketcher {
	uint64_t hash;
	uint64_t bytes; /* of a string so far: no feature before one is full */
	struct ay__sketch sketch;
};

void ay__sketch_update(struct ay__sketcher *s, const void *data, size_t len);
/** ay__sketch_skip() - a hole: what comes before it and what comes behind make no string. */
void ay__sketch_skip(struct ay__sketcher *s);

/** ay__sketch_common() - features that both have. */
unsigned ay__sketch_common(const struct ay__sketch *a, const struct ay__sketch *b);

/**
 * ay__sketch_related() - have they enough in common that it is no chance?
 *
 * A sixteenth of their features: below that a difference is hardly smaller than the file.
 */
bool ay__sketch_related(const struct ay__sketch *a, const struct ay__sketch *b);

/* ---- many files ---- */

struct ay__sketch_index;

/**
 * ay__sketch_index_new() - for @files files at most, in @memory bytes at most (about): where that is little, each file
 * has fewer features and is found less surely. NULL: out of memory.
 */
struct ay__sketch_index *ay__sketch_index_new(size_t files, uint64_t memory);
void ay__sketch_index_free(struct ay__sketch_index *x);

/** ay__sketch_index_add() - file @id. None more once something was looked up. */
void ay__sketch_index_add(struct ay__sketch_index *x, uint32_t id, const struct ay__sketch *s);

/**
 * ay__sketch_index_find() - files that have most in common with @s, at most @max (of 8), the best first; the lower id
 *   first where they are equal.
 * Files that have too little in common to be ay__sketch_related() do not count, nor do features that are everywhere.
 *
 * Return: how many; @ids.
 */
size_t ay__sketch_index_find(struct ay__sketch_index *x, const struct ay__sketch *s, uint32_t *ids,
			     size_t max);

#endif
