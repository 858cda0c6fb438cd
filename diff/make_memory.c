/* SPDX-License-Identifier: MIT */
/* diff/make_memory.c - the parts come first: all records need them. */
#include "diff/make_memory.h"

#include "diff/bundle_format.h"

#define PACK_KERNEL   (372ull << 20) /* ay__filter_memory() of lzma2 with 32 MiB of dictionary, rounded up */
#define FILTER_MARGIN (2ull << 20)   /* recipes, a view in memory, and its buffer */

uint32_t ay__make_part_limit(uint64_t apply_memory)
{
	uint64_t fixed = ay_bundle_memory(0), limit;

	if (apply_memory == 0)
		return AY_BUNDLE_PART_DEFAULT;
	limit = apply_memory > fixed ? (apply_memory - fixed) / 3 / AY_LEAF_SIZE * AY_LEAF_SIZE : 0;
	if (limit < AY_BUNDLE_PART_MIN)
		return AY_BUNDLE_PART_MIN;
	/*
	 * Parts larger than usual take a quarter: predicting addresses and packing again need memory too. What packing a
	 * kernel image takes they leave, where there is so much.
	 */
	if (limit > AY_BUNDLE_PART_DEFAULT) {
		uint64_t packing = fixed + PACK_KERNEL + FILTER_MARGIN;
		uint64_t left = apply_memory > packing
					? (apply_memory - packing) / 3 / AY_LEAF_SIZE * AY_LEAF_SIZE
					: 0;

		limit = left >= AY_BUNDLE_PART_DEFAULT && left < limit / 4 ? left : limit / 4;
		limit = limit > AY_BUNDLE_PART_DEFAULT ? limit : AY_BUNDLE_PART_DEFAULT;
	}
	return limit < AY_BUNDLE_PART_MAX ? (uint32_t)limit : AY_BUNDLE_PART_MAX;
}

uint64_t ay__make_extra_memory(const struct ay_make_options *o)
{
	uint64_t all = o->apply_memory ? o->apply_memory : AY__APPLY_MEMORY;
	uint64_t parts = ay_bundle_memory(ay__make_part_limit(o->apply_memory));

	return all > parts ? all - parts : 0;
}

uint64_t ay__make_filter_memory(const struct ay_make_options *o)
{
	uint64_t extra = ay__make_extra_memory(o);

	return o->no_filters || o->fast || extra <= FILTER_MARGIN ? 0 : extra - FILTER_MARGIN;
}
