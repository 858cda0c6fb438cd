/* SPDX-License-Identifier: MIT */
/*
 * diff/encode.c - a table of methods; all are tried, since what one is worth only its own streams can say, until one is
 * good or far ahead: it is the search for copies that costs time.
 */
#include "diff/encode.h"

#include <errno.h>

#include "base/cleanup.h"
#include "diff/codec.h"
#include "diff/elf_columns.h"
#include "diff/mask.h"

/* 0; CLEAR; NOT_FOR_THIS; -ENOMEM. @c is empty. */
typedef int encoder(const struct ay__span *base, const struct ay__span *target,
		    const struct ay__encode_options *options, struct ay_columns *c);

#define NOT_FOR_THIS 1
#define CLEAR        2 /* 0, and so good that the methods behind it need not be tried */

/* Of files from this size on (others cost no time) a result below this share is good: the methods come in the order of what they promise. */
#define GOOD_FROM  (256u << 10)
#define GOOD_SHARE 16

/* Masked, everything that is alike is alike: where so large a share of a file (in quarters) resembles nothing, unmasked matching finds no more. */
#define UNLIKE 3

/*
 * How much better a match elsewhere must be than going on (bsdiff's threshold) has its best value per file: 8 for most, kernels
 * among them; 12 gives 1 to 2 % less for node and php. Tried where that is worth the walk.
 */
#define SECOND_THRESHOLD 12
#define SECOND_FROM      (64u << 10) /* bytes of columns, not packed yet */
#define SECOND_MOST      (4u << 20)  /* what would be packed three times for a hundredth */
#define SECOND_NEAR      50 /* an estimate that is a 50th above the first one's does not turn out to be less */

static int encode_literal(const struct ay__span *base, const struct ay__span *target,
			  const struct ay__encode_options *options, struct ay_columns *c)
{
	struct ay_bsdiff_op all = {.extra_len = target->bytes.len};
	struct ay_bsdiff_ops ops = {.ops = &all, .n = target->bytes.len > 0};

	(void)base;
	return ay_columns_encode(c, (struct ay_slice){0}, 0, target->bytes, &ops, false, options->piece_max);
}

static int encode_bsdiff(const struct ay__span *base, const struct ay__span *target,
			 const struct ay__encode_options *options, struct ay_columns *c)
{
	struct ay_bsdiff_params params = {.threshold = options->threshold, .shortcut = AY_BSDIFF_SHORTCUT};
	struct ay_bsdiff_ops ops = {0};

	if (!base)
		return NOT_FOR_THIS;
	int rc = ay_bsdiff(base->bytes, target->bytes, &params, &ops);
	if (rc == 0)
		rc = ay_columns_encode(c, base->bytes, base->at, target->bytes, &ops, true,
				       options->piece_max);
	ay_bsdiff_ops_release(&ops);
	return rc;
}

/* The operations for two ELF files, found where code that only moved is equal. */
static int elf_bsdiff(struct ay_slice old, struct ay_slice new_, const struct ay__encode_options *o,
		      const struct ay_bsdiff_params *params, struct ay_bsdiff_ops *ops)
{
	AY_FREE uint8_t *a = NULL;
	AY_FREE uint8_t *b = NULL;

	if (o->unmasked)
		return ay_bsdiff(old, new_, params, ops);
	int rc = ay__mask_bytes(old, o->btf, true, &a);
	if (rc == 0)
		rc = ay__mask_bytes(new_, o->btf, false, &b);
	return rc ? rc
		  : ay_bsdiff((struct ay_slice){a, old.len}, (struct ay_slice){b, new_.len}, params, ops);
}

/* Would these operations cost more than twice as much without prediction? Then a search of its own will not help method bsdiff. */
static int clear(const struct ay__span *base, const struct ay__span *target, const struct ay_bsdiff_ops *ops,
		 const struct ay__encode_options *options, const struct ay_columns *c)
{
	AY_CLEANUP(ay_columns_release) struct ay_columns plain = {0};
	int rc = ay_columns_encode(&plain, base->bytes, 0, target->bytes, ops, true, options->piece_max);

	return rc ? rc : 2 * ay_columns_size(c) < ay_columns_size(&plain) ? CLEAR : 0;
}

/* Whole ELF files only: a window's addresses say nothing without its headers. */
static int encode_elf(const struct ay__span *base, const struct ay__span *target,
		      const struct ay__encode_options *options, struct ay_columns *c)
{
	struct ay_bsdiff_params params = {.threshold = options->threshold, .shortcut = AY_BSDIFF_SHORTCUT};
	struct ay_bsdiff_ops ops = {0};

	if (!base || base->bytes.len != base->size || target->bytes.len != target->size ||
	    !ay__elf_pair(base->bytes, target->bytes) ||
	    ay__elf_extra_memory(base->size) > options->extra_max || base->size > options->work_max)
		return NOT_FOR_THIS;
	int rc = elf_bsdiff(base->bytes, target->bytes, options, &params, &ops);
	if (rc == 0)
		rc = ay__elf_columns_encode(c, base->bytes, target->bytes, &ops, options->btf,
					    options->piece_max);
	if (rc == 0)
		rc = clear(base, target, &ops, options, c);
	ay_bsdiff_ops_release(&ops);
	return rc == AY_EUNSUPPORTED ? NOT_FOR_THIS : rc;
}

static const struct {
	enum ay_bundle_method method;
	encoder *encode;
} methods[] = {
	{AY_METHOD_ELF, encode_elf},
	{AY_METHOD_BSDIFF, encode_bsdiff},
	{AY_METHOD_LITERAL, encode_literal},
};

int ay__encoded_cost(struct ay__encoded *e, uint64_t *bytes)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < AY_STREAMS && e->cost == 0; i++) {
		const struct ay_buf *col = &e->columns.col[i];
		size_t packed = 0;
		int rc = col->len ? ay_codec_estimate(col->data, col->len, &packed) : 0;

		if (rc)
			return rc;
		sum += packed;
	}
	if (e->cost == 0)
		e->cost = sum;
	*bytes = e->cost;
	return 0;
}

/* Keep the smaller of @best and @e in @best. */
static int keep_smaller(struct ay__encoded *best, struct ay__encoded *e)
{
	uint64_t a, b;
	int rc = ay__encoded_cost(best, &a);

	if (rc == 0)
		rc = ay__encoded_cost(e, &b);
	if (rc == 0 && b < a) {
		ay__encoded_release(best);
		*best = *e;
		*e = (struct ay__encoded){0};
	}
	return rc;
}

/* What all columns pack to by xz, about as a part will have them: what differs by a hundredth no estimate tells. */
static int packed_cost(const struct ay__encoded *e, uint64_t *bytes)
{
	for (unsigned i = 0; i < AY_STREAMS; i++) {
		AY_CLEANUP(ay_buf_release) struct ay_buf packed = {0};
		const struct ay_buf *col = &e->columns.col[i];
		enum ay_codec codec;
		int rc = col->len ? ay_codec_pack(col->data, col->len, 1, AY_CODEC_BIT(AY_CODEC_XZ),
						  ay__stream_values(i), &packed, &codec)
				  : 0;

		if (rc)
			return rc;
		*bytes += packed.len;
	}
	return 0;
}

static int keep_packed(struct ay__encoded *best, struct ay__encoded *e)
{
	uint64_t a = 0, b = 0;
	int rc = ay__encoded_cost(best, &a);

	if (rc == 0)
		rc = ay__encoded_cost(e, &b);
	if (rc || b > a + a / SECOND_NEAR)
		return rc;
	a = b = 0;
	rc = packed_cost(best, &a);
	if (rc == 0)
		rc = packed_cost(e, &b);
	if (rc == 0 && b < a) {
		ay__encoded_release(best);
		*best = *e;
		*e = (struct ay__encoded){0};
	}
	return rc;
}

/* The method that was best, once more with the other threshold. */
static int second_try(const struct ay__span *base, const struct ay__span *target,
		      const struct ay__encode_options *options, struct ay__encoded *best)
{
	AY_CLEANUP(ay__encoded_release) struct ay__encoded e = {.method = best->method};
	struct ay__encode_options other = *options;

	if (!options->thorough || best->method == AY_METHOD_LITERAL ||
	    ay_columns_size(&best->columns) < SECOND_FROM || ay_columns_size(&best->columns) > SECOND_MOST)
		return 0;
	other.threshold = SECOND_THRESHOLD;
	int rc = (best->method == AY_METHOD_ELF ? encode_elf : encode_bsdiff)(base, target, &other,
									      &e.columns);
	if (rc == 0 || rc == CLEAR)
		rc = keep_packed(best, &e);
	return rc == NOT_FOR_THIS ? 0 : rc;
}

int ay__encode(const struct ay__span *base, const struct ay__span *target,
	       const struct ay__encode_options *options, struct ay__encoded *out)
{
	AY_CLEANUP(ay__encoded_release) struct ay__encoded best = {0};
	bool any = false;

	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		AY_CLEANUP(ay__encoded_release) struct ay__encoded e = {.method = methods[i].method};

		if (!(options->methods & AY__METHOD_BIT(e.method)))
			continue;
		if (any && e.method == AY_METHOD_BSDIFF &&
		    best.columns.col[AY_STREAM_LITERAL].len > target->bytes.len / 4 * UNLIKE)
			continue;
		int rc = methods[i].encode(base, target, options, &e.columns);
		bool last = rc == CLEAR;
		if (rc == NOT_FOR_THIS)
			continue;
		if (rc == CLEAR)
			rc = 0;
		if (rc == 0 && any) {
			rc = keep_smaller(&best, &e);
		} else if (rc == 0) {
			best = e;
			e = (struct ay__encoded){0};
		}
		if (rc)
			return rc;
		any = true;
		if (last || (target->bytes.len >= GOOD_FROM &&
			     ay_columns_size(&best.columns) <= target->bytes.len / GOOD_SHARE))
			break;
	}
	if (!any)
		return AY_EUNSUPPORTED;
	int rc = second_try(base, target, options, &best);
	if (rc)
		return rc;
	ay__encoded_release(out);
	*out = best;
	best = (struct ay__encoded){0};
	return 0;
}

void ay__encoded_release(struct ay__encoded *e)
{
	ay_columns_release(&e->columns);
}
