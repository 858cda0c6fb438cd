/* SPDX-License-Identifier: MIT */
/* diff/compare.c - see compare.h. Nothing is kept: the first byte that differs ends the packing. */
#include "diff/compare.h"

#include <string.h>

#include "base/error.h"

int ay__compare_put(void *ctx, const uint8_t *data, size_t len)
{
	struct ay__compare *c = ctx;

	if (len > c->want.len - c->at || memcmp(c->want.data + c->at, data, len) != 0)
		return AY_EDIGEST;
	c->at += len;
	return 0;
}
