/* SPDX-License-Identifier: MIT */
/*
 * diff/inside_zstd.c - a zstd frame (RFC 8878). Its level is tried: those that are used most first.
 */
#include "diff/inside_zstd.h"

#include <errno.h>
#include <string.h>
#include <zstd.h>

#define STEP (256u << 10)

/* What the frame's header says; false: not for us. */
static bool head_parse(struct ay_slice b, struct ay__zstd_params *z)
{
	unsigned flags = b.data[4], log;
	bool single = flags & 32;
	unsigned long long size = ZSTD_getFrameContentSize(b.data, b.len);

	if (size == ZSTD_CONTENTSIZE_ERROR || flags & 3 || flags & 8)
		return false;
	z->checksum = flags & 4;
	z->sized = size != ZSTD_CONTENTSIZE_UNKNOWN;
	z->size = z->sized ? size : 0;
	if (single) {
		for (log = 10; log <= AY__ZSTD_WINDOW_MAX && 1ull << log < size;)
			log++;
	} else {
		log = 10 + (b.data[5] >> 3);
		log += (b.data[5] & 7) != 0;
	}
	z->window_log = (uint8_t)log;
	return log <= AY__ZSTD_WINDOW_MAX;
}

static int unpack(struct ay_slice packed, uint64_t max, struct ay_buf *out, size_t *used)
{
	ZSTD_DStream *d = ZSTD_createDStream();
	ZSTD_inBuffer in = {.src = packed.data, .size = packed.len};
	size_t left = 1, before;

	if (!d)
		return -ENOMEM;
	do {
		uint8_t *room = ay_buf_reserve(out, STEP);
		ZSTD_outBuffer o = {.dst = room, .size = STEP};

		if (!room) {
			ZSTD_freeDStream(d);
			return -ENOMEM;
		}
		before = in.pos;
		left = ZSTD_decompressStream(d, &o, &in);
		out->len += o.pos;
		if (o.pos == 0 && in.pos == before)
			break;
	} while (left != 0 && !ZSTD_isError(left) && out->len <= max);
	ZSTD_freeDStream(d);
	*used = in.pos;
	return left == 0 && out->len <= max;
}

static int params_find(struct ay_slice packed, struct ay_slice content, uint64_t memory_max,
		       struct ay__filter_params *p)
{
	static const int8_t levels[] = {3,  19, 1,  9,  6,  15, 12, 18, 2,  4,  5,  7,  8,
					10, 11, 13, 14, 16, 17, -1, -2, -3, -4, -5, -6, -7};

	/* The command packs in a thread of its own, which cuts blocks elsewhere; libraries do not. */
	for (unsigned variant = 0; variant < 8; variant++) {
		p->zstd.worker = !(variant & 1);
		p->zstd.window_set = variant & 2;
		p->zstd.long_ = variant & 4;
		for (unsigned i = 0; i < sizeof(levels); i++) {
			p->zstd.level = levels[i];
			if (ay__filter_memory(p, true) > memory_max)
				continue;
			int rc = ay__stream_packs(p, content, packed, false);
			if (rc == 1)
				rc = ay__stream_packs(p, content, packed, true);
			if (rc)
				return rc;
		}
	}
	return 0;
}

int ay__stream_zstd(struct ay_slice b, const struct ay__inside_options *o, struct ay__stream *out)
{
	struct ay_slice packed = {.data = b.data}, content;

	out->params.id = AY__FILTER_ZSTD;
	if (!(o->encoders & 1u << AY__FILTER_ZSTD) || !head_parse(b, &out->params.zstd) ||
	    out->params.zstd.size > o->view_max)
		return 0;
	int rc = unpack(b, o->view_max, &out->content, &packed.len);
	out->packed = packed.len;
	content = (struct ay_slice){.data = out->content.data, .len = out->content.len};
	if (rc == 1 && o->target)
		rc = params_find(packed, content, o->memory_max, &out->params);
	else if (rc == 1)
		rc = ay__filter_memory(&out->params, false) <= o->memory_max;
	return rc;
}
