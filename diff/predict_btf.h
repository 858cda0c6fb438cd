/* SPDX-License-Identifier: MIT */
/*
 * diff/predict_btf.h - guesses at numbers in .BTF (internal to diff/).
 *
 * Numbers below a border are the kernel's: the bundle's map (diff/btf.h) tells what they became. Those above it are the section's own, and
 * a type's number is its rank. Types that were copied are in their new place in a known order, so that the ranks of all can
 * be told from the copies alone, except that new types in between are not seen: by how much the last rank was wrong is added. An own name is an offset,
 * and the copies say what became of it, up to a constant.
 */
#ifndef AYNI_DIFF_PREDICT_BTF_H
#define AYNI_DIFF_PREDICT_BTF_H

#include "diff/btf.h"
#include "diff/elf.h"

/* One copy of the record's: @len bytes from @old in the old file to @new_ in the new one. */
struct ay__copy {
	uint64_t old, new_, len;
};

struct ay__btf_guess {
	const struct ay__btf_map *map; /* without rows: none */
	const struct ay__copy *copies;
	struct ay__btf btf;
	uint32_t own[AY__BTF_SPACES];  /* the border */
	uint32_t n;                    /* types whose places are known */
	uint32_t *at;                  /* owned; where they are, from btf.types on */
	uint32_t *before;              /* owned; per copy: types in the copies before it */
	int64_t wrong[AY__BTF_SPACES]; /* by how much the last guess at an own number was */
	int64_t seen[AY__BTF_SPACES];
	int64_t guess; /* at the number asked for last, without that */
};

enum ay__btf_whose { AY__BTF_THEIRS, AY__BTF_OWN, AY__BTF_NOBODYS };

/** ay__btf_guess_init() - for the first .BTF of @elf, if there is one. @copies: borrowed. 0, release @g; -ENOMEM. */
int ay__btf_guess_init(struct ay__btf_guess *g, const struct ay__elf *elf, struct ay__source *src,
		       const struct ay__btf_map *map, const struct ay__copy *copies, uint32_t n_copies);
void ay__btf_guess_release(struct ay__btf_guess *g);

/**
 * ay__btf_guess_place() - where in the old file what number @v stands for lies, when it is the section's own.
 * @index: of a type, its rank.
 */
enum ay__btf_whose ay__btf_guess_place(const struct ay__btf_guess *g, enum ay__btf_space space, uint32_t v,
				       uint64_t *at, uint32_t *index);

/** ay__btf_guess_theirs() - by how much the kernel's number @v changes. */
int64_t ay__btf_guess_theirs(const struct ay__btf_guess *g, enum ay__btf_space space, uint32_t v);

/** ay__btf_guess_own() - by how much own number @v changes; it lies in copy @c, its rank (or offset) as above. */
int64_t ay__btf_guess_own(struct ay__btf_guess *g, enum ay__btf_space space, uint32_t c, uint32_t index);

/** ay__btf_guess_learn() - the own number asked for last changed by @shift. */
void ay__btf_guess_learn(struct ay__btf_guess *g, enum ay__btf_space space, int64_t shift);

#endif
