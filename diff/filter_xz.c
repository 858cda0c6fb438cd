/* SPDX-License-Identifier: MIT */
/* diff/filter_xz.c - one branch filter or none, then LZMA2. */
#include "diff/filter_xz.h"

#include <string.h>

static const lzma_vli branches[9] = {LZMA_VLI_UNKNOWN,  LZMA_FILTER_X86,   LZMA_FILTER_POWERPC,
				     LZMA_FILTER_IA64,  LZMA_FILTER_ARM,   LZMA_FILTER_ARMTHUMB,
				     LZMA_FILTER_SPARC, LZMA_FILTER_ARM64, LZMA_FILTER_DELTA};

void ay__xz_chain_make(struct ay__xz_chain *c, const struct ay__xz_params *p, bool pack)
{
	unsigned n = 0;

	memset(c, 0, sizeof(*c));
	lzma_lzma_preset(&c->lzma, 6);
	c->lzma.dict_size = ay__xz_dict(p);
	if (pack) {
		c->lzma.lc = p->props % 9;
		c->lzma.lp = p->props / 9 % 5;
		c->lzma.pb = p->props / 45;
		c->lzma.mode = (lzma_mode)p->mode;
		c->lzma.mf = (lzma_match_finder)p->finder;
		c->lzma.nice_len = p->nice;
		c->lzma.depth = p->depth;
	}
	if (p->branch) {
		c->delta = (lzma_options_delta){.type = LZMA_DELTA_TYPE_BYTE, .dist = p->delta + 1u};
		c->filters[n++] = (lzma_filter){.id = branches[p->branch],
						.options = p->branch == 8 ? &c->delta : NULL};
	}
	c->filters[n++] = (lzma_filter){.id = LZMA_FILTER_LZMA2, .options = &c->lzma};
	c->filters[n] = (lzma_filter){.id = LZMA_VLI_UNKNOWN};
}

bool ay__xz_params_of(const lzma_filter *filters, struct ay__xz_params *out)
{
	const lzma_options_lzma *lzma;

	*out = (struct ay__xz_params){0};
	for (unsigned i = 1; i < 9; i++) {
		if (filters->id == branches[i])
			out->branch = (uint8_t)i;
	}
	if (out->branch == 8) {
		out->delta = (uint8_t)(((const lzma_options_delta *)filters->options)->dist - 1);
	} else if (out->branch && filters->options &&
		   ((const lzma_options_bcj *)filters->options)->start_offset != 0) {
		return false;
	}
	filters += out->branch ? 1 : 0;
	if (filters->id != LZMA_FILTER_LZMA2 || filters[1].id != LZMA_VLI_UNKNOWN)
		return false;
	lzma = filters->options;
	while (out->dict_code <= AY__XZ_DICT_CODE_MAX && ay__xz_dict(out) < lzma->dict_size)
		out->dict_code++;
	return out->dict_code <= AY__XZ_DICT_CODE_MAX;
}
