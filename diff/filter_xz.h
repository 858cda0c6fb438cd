/* SPDX-License-Identifier: MIT */
/*
 * diff/filter_xz.h - a recipe's parameters as liblzma wants them (internal to diff/).
 */
#ifndef AYNI_DIFF_FILTER_XZ_H
#define AYNI_DIFF_FILTER_XZ_H

#include <lzma.h>

#include "diff/recipe.h"

struct ay__xz_chain {
	lzma_options_lzma lzma;
	lzma_options_delta delta;
	lzma_filter filters[3]; /* points into this */
};

/** ay__xz_chain_make() - @pack: with what packing needs (a target's @p), else for unpacking. */
void ay__xz_chain_make(struct ay__xz_chain *c, const struct ay__xz_params *p, bool pack);

/** ay__xz_params_of() - the parameters of a block's filters, which are borrowed; those of packing stay 0. False: not ours. */
bool ay__xz_params_of(const lzma_filter *filters, struct ay__xz_params *out);

/** ay__xz_dict() - bytes of the dictionary. */
static inline uint32_t ay__xz_dict(const struct ay__xz_params *p)
{
	return (2u | (p->dict_code & 1u)) << (p->dict_code / 2 + 11);
}

#endif
