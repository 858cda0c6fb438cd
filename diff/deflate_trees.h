/* SPDX-License-Identifier: MIT */
/*
 * diff/deflate_trees.h - the codes that nearly every packer gives a block, from how often its symbols occur (internal to diff/).
 *
 * RFC 1951 leaves open which of the optimal codes a packer takes. zlib and GNU gzip build the same ones (a heap that
 * prefers the shallower of equally frequent trees; lengths over the limit are moved up), and write their lengths the
 * same way. What is computed here follows that description; a block whose codes are others carries them along.
 */
#ifndef AYNI_DIFF_DEFLATE_TREES_H
#define AYNI_DIFF_DEFLATE_TREES_H

#include "diff/inflate.h"

/** ay__deflate_codes_make() - @out: a block's codes. @lits, @dists: how often each symbol occurs; may be changed. */
void ay__deflate_codes_make(uint32_t lits[AY__DEFLATE_LITS], uint32_t dists[AY__DEFLATE_DISTS],
			    struct ay__deflate_codes *out);

/** ay__deflate_code_values() - @values: the canonical code of each symbol, its first bit lowest. */
void ay__deflate_code_values(const uint8_t *lens, unsigned n, uint16_t *values);

/** ay__deflate_len_symbol() - of a match's length, 3 to 258: 0 to 28. */
unsigned ay__deflate_len_symbol(unsigned len);
/** ay__deflate_dist_symbol() - of a distance, 1 to 32768: 0 to 29. */
unsigned ay__deflate_dist_symbol(unsigned dist);

#endif
