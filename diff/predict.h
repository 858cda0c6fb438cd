/* SPDX-License-Identifier: MIT */
/*
 * diff/predict.h - what an address field will hold in the new file (internal to diff/).
 *
 * One predictor, run by the writer and by every reader over the same fields in the same order, so that both have the same
 * guesses; what travels is by how much a guess is wrong. Where the old field pointed at T, the new one will point at
 * T + d for some d, and there are several guesses at d: what was learned for T itself, for addresses near T (four sizes of
 * neighbourhood), what the copies of the record say of the place T, by how much T's section moved, and the last d of such
 * fields. Each guess is weighted by how often it has been right lately in such a case. After each field the true value is learned.
 *
 * No state outlives a record. docs/formats.md, "ELF differences", has the rules exactly.
 */
#ifndef AYNI_DIFF_PREDICT_H
#define AYNI_DIFF_PREDICT_H

#include "diff/aim.h"

#define AY__COPIES_MAX (1u << 19) /* of one record, at most; 28 bytes each */

struct ay__predict;

/** ay__predict_memory() - bytes that predicting needs at most, besides what stands in diff/fields.h per byte of the old file. */
uint64_t ay__predict_memory(uint64_t base_size);

/** ay__copies_max() - how many operations a record may have whose base has @base_size bytes. */
static inline uint32_t ay__copies_max(uint64_t base_size)
{
	return base_size / 8 + 1024 < AY__COPIES_MAX ? (uint32_t)(base_size / 8 + 1024) : AY__COPIES_MAX;
}

/**
 * ay__predict_new() - a predictor for one record.
 * @btf: the bundle's map; NULL: none.
 * @copies: all of them, in the order of the new file; none outside its file. All arguments are borrowed for its life.
 *
 * Return: NULL when out of memory.
 */
struct ay__predict *ay__predict_new(struct ay__elf *old, struct ay__source *src, const struct ay__fields *f,
				    struct ay__elf_map *map, const struct ay__copy *copies, uint32_t n_copies,
				    const struct ay__btf_map *btf);

void ay__predict_free(struct ay__predict *p);

/** ay__predict_aimer() - what takes the aims of @p's fields; goes with it. Another thread may use it than the one that predicts. */
struct ay__aimer *ay__predict_aimer(struct ay__predict *p);

/** ay__predict_prefetch() - @a is asked for soon: have the processor fetch what was learned there. */
void ay__predict_prefetch(const struct ay__predict *p, const struct ay__aim *a);

/** ay__predict_aim() - the bytes that the field @a is expected to have in the new file. @a: borrowed until it is learned. */
uint64_t ay__predict_aim(struct ay__predict *p, const struct ay__aim *a);

/** ay__predict_learn() - the field asked for last has @raw; exactly one for each ay__predict_aim(). */
void ay__predict_learn(struct ay__predict *p, uint64_t raw);

#endif
