/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as a deflate stream: unpacked; and when how it was packed can be found out, packed again, which must give its
 * bytes. And any bytes as corrections for any content. Byte 0: which of the two, and parameters.
 */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "diff/deflate_learn.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define CONTENT_MAX (64u << 10)

static int count_put(void *ctx, const uint8_t *data, size_t len)
{
	size_t *left = ctx;

	(void)data;
	AY_ASSERT(len > 0);
	if (len > *left)
		return AY_ELIMIT;
	*left -= len;
	return 0;
}

static void corrected(const uint8_t *data, size_t len)
{
	struct ay__deflate_params params = ay__deflate_level(1 + data[0] / 16 % 9);
	size_t split = len > 3 ? (size_t)(data[1] | data[2] << 8) % (len - 2) : 0, left = CONTENT_MAX;
	struct ay_slice corrections = {.data = data + 3, .len = len > 3 ? split : 0};

	if (len <= 3)
		return;
	params.way = (enum ay__deflate_way)(data[0] >> 1 & 3);
	params.resets = data[0] & 8;
	if (split > len - 3)
		split = corrections.len = len - 3;
	struct ay__deflate_pack *p = ay__deflate_pack_new(&params, corrections, count_put, &left);
	AY_ASSERT(p);
	int rc = ay__deflate_pack_put(p, data + 3 + split, len - 3 - split);
	if (rc == 0)
		rc = ay__deflate_pack_end(p);
	AY_ASSERT(rc == 0 || rc == AY_ELIMIT || (rc == AY_EFORMAT && ay__deflate_pack_why(p)));
	ay__deflate_pack_free(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct ay__deflate_recipe r = {0};

	if (len < 1)
		return 0;
	if (data[0] & 1) {
		corrected(data, len);
		return 0;
	}
	uint8_t *copy = malloc(len); /* its end is the end */
	AY_ASSERT(copy);
	memcpy(copy, data + 1, len - 1);
	int rc = ay__deflate_learn((struct ay_slice){copy, len - 1}, NULL, CONTENT_MAX, data[0] & 2, &r);
	AY_ASSERT(rc == 0 || rc == 1);
	AY_ASSERT(rc == 0 || (r.packed <= len - 1 && r.content.len <= CONTENT_MAX));
	ay__deflate_recipe_release(&r);
	free(copy);
	return 0;
}
