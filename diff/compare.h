/* SPDX-License-Identifier: MIT */
/*
 * diff/compare.h - takes packed bytes, as a packer gives them, and says whether they are those wanted (internal to diff/).
 */
#ifndef AYNI_DIFF_COMPARE_H
#define AYNI_DIFF_COMPARE_H

#include "base/bytes.h"

struct ay__compare {
	struct ay_slice want; /* borrowed */
	size_t at;            /* bytes that came and were the same; all have come when it is want.len */
};

/** ay__compare_put() - the next bytes, for a packer's put(); @ctx is a struct ay__compare. 0; AY_EDIGEST: others. */
int ay__compare_put(void *ctx, const uint8_t *data, size_t len);

#endif
