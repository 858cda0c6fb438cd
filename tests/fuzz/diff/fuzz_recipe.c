/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as a recipe, and any as what it is applied to. Byte 0: bit 0 a target's (else a base's); bytes 1-2 its length. A view
 * longer than the bytes are is filled with them again and again.
 */
#include <stdlib.h>
#include <string.h>

#include "diff/rewrap.h"
#include "diff/unwrap.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define OUT_MAX    (256u << 10)
#define MEMORY_MAX (24u << 20)

static int count_put(void *ctx, const uint8_t *data, size_t len)
{
	static volatile uint8_t sum;
	size_t *left = ctx;

	AY_ASSERT(len > 0);
	sum = (uint8_t)(sum + data[0] + data[len - 1]);
	if (len > *left)
		return AY_ELIMIT;
	*left -= len;
	return 0;
}

static void pack(struct ay_slice recipe, uint64_t view, const uint8_t *data, size_t len)
{
	struct ay_err err = {0};
	size_t left = OUT_MAX;
	struct ay__rewrap *w = ay__rewrap_new(recipe, count_put, &left, &err);
	int rc = 0;

	AY_ASSERT(w);
	for (uint64_t at = 0; at < view && rc == 0 && len > 0;) {
		size_t n = view - at < len ? (size_t)(view - at) : len;

		rc = ay__rewrap_put(w, data, n);
		at += n;
	}
	if (rc == 0)
		rc = ay__rewrap_end(w);
	AY_ASSERT(rc == 0 || rc == AY_ELIMIT || (err.code == rc && err.msg[0]));
	ay__rewrap_free(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct ay__recipe_sums sums;
	struct ay_err err = {0};

	if (len < 3)
		return 0;
	bool target = data[0] & 1;
	size_t n = (size_t)(data[1] | data[2] << 8) % (len - 2);
	struct ay_slice recipe = {.data = data + 3, .len = n};
	int rc = ay__recipe_check(recipe, target, &sums, &err);
	AY_ASSERT(rc == 0 || (err.code == rc && err.msg[0]));
	if (rc || sums.memory > MEMORY_MAX || sums.view_size > OUT_MAX || sums.filters > 64)
		return 0;
	if (target) {
		pack(recipe, sums.view_size, data + 3 + n, len - 3 - n);
		return 0;
	}
	struct ay__view v = {0};
	size_t left = (size_t)sums.view_size;
	ay__view_open_mem(&v, data + 3 + n, len - 3 - n);
	rc = ay__unwrap(&v, recipe, sums.view_size, count_put, &left, &err);
	/* A checked recipe never gives more than its view; all of it is only given where the base fits. */
	AY_ASSERT(rc != AY_ELIMIT);
	AY_ASSERT(rc == 0 ? left == 0 : err.code == rc && err.msg[0]);
	return 0;
}
