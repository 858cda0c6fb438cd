/* SPDX-License-Identifier: MIT */
/*
 * diff/aim.h - what a field aims at, as far as the old file and the record's copies tell (internal to diff/).
 *
 * The first half of a prediction (diff/predict.h is the other one): everything that does not depend on what was learned from the
 * fields before. So it may be done ahead, for many fields at once, or in another thread.
 */
#ifndef AYNI_DIFF_AIM_H
#define AYNI_DIFF_AIM_H

#include "diff/elf_map.h"
#include "diff/fields.h"
#include "diff/predict_btf.h"

/* What is known of a field: bits of .has. */
#define AY__AIM_INSIDE  1u /* its target lies inside a copy, or is a number that the bundle's map knows */
#define AY__AIM_COPY    2u /* .copy */
#define AY__AIM_SECTION 4u /* .section */
#define AY__AIM_OWN     8u /* a number of .BTF that is its section's own: .btf_copy, .btf_index */

struct ay__aim {
	uint64_t at; /* in the old file */
	uint64_t raw, target;
	/*
	 * What its number counts from in the new file. AY__FROM_TARGET: in the old one. AY__FROM_NUMBER: the prediction itself,
	 * there is nothing to learn.
	 */
	uint64_t base;
	union {
		int64_t copy; /* by how much the copies move the target */
		struct {
			uint32_t btf_copy, btf_index; /* the copy that it lies in; of a type, its rank */
		};
	};
	int64_t section; /* by how much its section moves it */
	uint16_t offset; /* the taker's: where the field is in what it has in hand */
	uint8_t kind, from, width, back, has;
};

/* What aims are taken with. Zero-initialise; init; release. One thread at a time. */
struct ay__aimer {
	struct ay__elf *old; /* borrowed, as all below but .order and .page */
	struct ay__source *src;
	const struct ay__fields *fields;
	struct ay__elf_map *map;
	const struct ay__btf_guess *btf;
	const struct ay__copy *copies;
	uint32_t n_copies;
	uint32_t *order; /* copies by their place in the old file */
	uint32_t *page;  /* per page of the old file: how many copies begin before it */
	uint64_t n_pages;
};

/** ay__aimer_init() - sort the copies; all other members but .order and .page are set. 0, release @a; -ENOMEM, likewise. */
int ay__aimer_init(struct ay__aimer *a);
void ay__aimer_release(struct ay__aimer *a);

/**
 * ay__aims_take() - look at the fields that lie wholly in [*@at, @end) of the old file, which in the new one is @moved further on.
 * @max: so many at most; *@at: set to where to go on, @end when that was all.
 *
 * Return: how many there were.
 */
uint32_t ay__aims_take(struct ay__aimer *a, uint64_t *at, uint64_t end, uint64_t moved, struct ay__aim *aims,
		       uint32_t max);

#endif
