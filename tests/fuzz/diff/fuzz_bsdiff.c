/* SPDX-License-Identifier: MIT */
/*
 * Any two files: what is found must give the new one, within bounds. Byte 0: bits 0-1 how eagerly sorting is avoided,
 * bits 2-3 the threshold, bits 4-6 how often both files are repeated (long inputs cheaply); bytes 1-2 where the old file ends.
 */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "diff/columns.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static uint8_t *repeated(const uint8_t *data, size_t len, unsigned times)
{
	uint8_t *b = malloc(len * times + 1);

	AY_ASSERT(b);
	for (unsigned i = 0; i < times && len; i++)
		memcpy(b + i * len, data, len);
	return b;
}

static void check(struct ay_slice old, struct ay_slice new_, const struct ay_bsdiff_ops *ops)
{
	size_t at = 0;

	for (size_t i = 0; i < ops->n; i++) {
		const struct ay_bsdiff_op *op = &ops->ops[i];

		AY_ASSERT(op->diff_len + op->extra_len > 0);
		AY_ASSERT(op->diff_len <= old.len && op->old_pos <= old.len - op->diff_len);
		AY_ASSERT(op->diff_len <= new_.len - at && op->extra_len <= new_.len - at - op->diff_len);
		at += op->diff_len + op->extra_len;
	}
	AY_ASSERT(at == new_.len);
}

static void columns(struct ay_slice old, struct ay_slice new_, const struct ay_bsdiff_ops *ops)
{
	struct ay_columns c = {0};
	uint64_t sum[AY_STREAMS] = {0};

	AY_ASSERT(ay_columns_encode(&c, old, 0, new_, ops, true, 256) == 0);
	for (size_t p = 0; p < c.n_pieces; p++) {
		uint64_t piece = 0;

		for (unsigned i = 0; i < AY_STREAMS; i++) {
			sum[i] += c.pieces[p].len[i];
			piece += c.pieces[p].len[i];
		}
		AY_ASSERT(piece > 0 && piece <= 256 + 64);
	}
	for (unsigned i = 0; i < AY_STREAMS; i++)
		AY_ASSERT(sum[i] == c.col[i].len);
	ay_columns_release(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const unsigned shortcuts[4] = {0, 1, 4, 256}, thresholds[4] = {8, 0, 1, 16};

	if (len < 3)
		return 0;
	struct ay_bsdiff_params params = {.shortcut = shortcuts[data[0] & 3],
					  .threshold = thresholds[data[0] >> 2 & 3]};
	unsigned times = 1u << (data[0] >> 4 & 7);
	size_t split = data[1] | (size_t)data[2] << 8;
	data += 3, len -= 3;
	if (split > len)
		split = len;
	uint8_t *a = repeated(data, split, times), *b = repeated(data + split, len - split, times);
	struct ay_slice old = {.data = a, .len = split * times},
			new_ = {.data = b, .len = (len - split) * times};
	struct ay_bsdiff_ops ops = {0};
	AY_ASSERT(ay_bsdiff(old, new_, &params, &ops) == 0);
	check(old, new_, &ops);
	columns(old, new_, &ops);
	ay_bsdiff_ops_release(&ops);
	free(a);
	free(b);
	return 0;
}
