/* SPDX-License-Identifier: MIT */
/*
 * diff/lzma_find.h - the bytes that LZMA packs, and for each of them where its like was before (internal to diff/).
 *
 * The match finder is liblzma's bt4 (XZ Utils, Igor Pavlov and Lasse Collin; public domain): a hash of four bytes leads to a
 * binary tree of the places that begin with them, sorted by what follows. What it finds at a place depends on the bytes
 * alone and not on what the packer then makes of it, so it can be found beforehand, by another thread.
 */
#ifndef AYNI_DIFF_LZMA_FIND_H
#define AYNI_DIFF_LZMA_FIND_H

#include "base/bytes.h"

#define AY__LZMA_MATCH_MAX 273
#define AY__LZMA_OPTS      4096       /* bytes that one step of the packer looks at, at most */
#define AY__LZMA_THREAD    (1u << 20) /* with so many bytes a thread pays */

struct ay__lzma_match {
	uint32_t len, dist; /* dist: 0 is the byte before */
};

struct ay__lzma_find;

/**
 * ay__lzma_find_new() - for a dictionary of @dict bytes.
 * @nice, @depth: as liblzma's nice_len (4 to 273) and depth (0: chosen by @nice).
 * NULL: out of memory.
 */
struct ay__lzma_find *ay__lzma_find_new(uint32_t dict, uint32_t nice, uint32_t depth);
void ay__lzma_find_free(struct ay__lzma_find *f);

/**
 * ay__lzma_find_put() - take bytes, as many as there is room for; they are all that came when none is left out.
 *
 * When something was left out the caller packs on to ay__lzma_find_limit(), and comes again.
 * Return: how many were taken.
 */
size_t ay__lzma_find_put(struct ay__lzma_find *f, const uint8_t *data, size_t len);
/** ay__lzma_find_end() - there are no more. */
void ay__lzma_find_end(struct ay__lzma_find *f);

/* What the packer sees; positions count from the first byte of the window, which ay__lzma_find_put() moves. */
struct ay__lzma_view {
	const uint8_t *bytes;
	uint32_t at;    /* the place whose matches come next */
	uint32_t ahead; /* of which the packer has used none yet, in front of @at */
	uint32_t write; /* bytes there are */
	uint32_t limit; /* a step may begin where @at is below this */
	uint32_t nice;
	bool finish;
};

/** ay__lzma_find_view() - borrowed; the packer moves .ahead, the functions here all else. */
struct ay__lzma_view *ay__lzma_find_view(struct ay__lzma_find *f);

/**
 * ay__lzma_find_next() - the matches of the next place, which is passed: .at and .ahead grow.
 * @matches: AY__LZMA_MATCH_MAX + 1 of them, by length.
 * Return: the longest one's length, which may be more than nice; 0: none. *@n: how many.
 */
uint32_t ay__lzma_find_next(struct ay__lzma_find *f, struct ay__lzma_match *matches, uint32_t *n);
/** ay__lzma_find_skip() - pass @n places. */
void ay__lzma_find_skip(struct ay__lzma_find *f, uint32_t n);

#endif
