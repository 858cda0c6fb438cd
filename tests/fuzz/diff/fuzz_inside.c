/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as a file that is looked into: what is found must give the file back, and as a base the same view again. Byte 0: bit i:
 * encoder i may be used.
 */
#include <stdlib.h>
#include <string.h>

#include "diff/inside.h"
#include "diff/rewrap.h"
#include "diff/unwrap.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct compare {
	struct ay_slice want;
	size_t at;
};

static int compare_put(void *ctx, const uint8_t *data, size_t len)
{
	struct compare *c = ctx;

	AY_ASSERT(len <= c->want.len - c->at && memcmp(data, c->want.data + c->at, len) == 0);
	c->at += len;
	return 0;
}

static void back(const struct ay__inside *in, struct ay_slice file, bool target)
{
	struct ay_slice recipe = {in->recipe.data, in->recipe.len}, view = {in->view.data, in->view.len};
	struct compare c = {.want = target ? file : view};
	struct ay_err err = {0};
	int rc;

	if (target) {
		struct ay__rewrap *w = ay__rewrap_new(recipe, compare_put, &c, &err);
		AY_ASSERT(w);
		rc = ay__rewrap_put(w, view.data, view.len);
		if (rc == 0)
			rc = ay__rewrap_end(w);
		ay__rewrap_free(w);
	} else {
		struct ay__view v = {0};
		ay__view_open_mem(&v, file.data, file.len);
		rc = ay__unwrap(&v, recipe, view.len, compare_put, &c, &err);
	}
	AY_ASSERT(rc == 0 && c.at == c.want.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (len < 1)
		return 0;
	for (unsigned target = 0; target < 2; target++) {
		const struct ay__inside_options o = {.target = target,
						     .view_max = len + (256u << 10),
						     .memory_max = 10u << 20,
						     .encoders = data[0]};
		struct ay__inside in = {0};
		struct ay_slice file = {data + 1, len - 1};

		AY_ASSERT(ay__inside(file, &o, &in) == 0);
		AY_ASSERT(in.view.len <= o.view_max && in.sums.memory <= o.memory_max);
		if (in.recipe.len)
			back(&in, file, target);
		ay__inside_release(&in);
	}
	return 0;
}
