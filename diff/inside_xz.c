/* SPDX-License-Identifier: MIT */
/*
 * diff/inside_xz.c - the blocks of an .xz file.
 *
 * Only a block's LZMA2 bytes are taken for packed: its header, padding and check, the index and the footer are raw bytes
 * around them. Thus it does not matter who wrote the container, with sizes in the headers or without, in one block or many.
 *
 * Which preset it was no header says. The dictionary's size and the literal parameters stand in the stream; the rest is tried:
 * the presets' own values, that of the dictionary first.
 */
#include "diff/inside_xz.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "diff/filter_xz.h"
#include "diff/proof_aside.h"

#define HEAD 12 /* of an .xz stream */
#define STEP (256u << 10)

static void filters_free(lzma_filter *filters)
{
	for (unsigned i = 0; i < LZMA_FILTERS_MAX && filters[i].id != LZMA_VLI_UNKNOWN; i++)
		free(filters[i].options);
}

/* Where the packed bytes begin behind the block header at @at; 0: none that is ours. */
static size_t block_head(struct ay_slice b, size_t at, struct ay__xz_params *params)
{
	lzma_filter filters[LZMA_FILTERS_MAX + 1] = {{.id = LZMA_VLI_UNKNOWN}};
	lzma_block block = {.version = 0, .check = LZMA_CHECK_NONE, .filters = filters};

	/* 0 is the index. */
	if (at >= b.len || b.data[at] == 0)
		return 0;
	block.header_size = lzma_block_header_size_decode(b.data[at]);
	if (block.header_size > b.len - at || lzma_block_header_decode(&block, NULL, b.data + at) != LZMA_OK)
		return 0;
	bool ours = ay__xz_params_of(filters, params);
	filters_free(filters);
	return ours ? at + block.header_size : 0;
}

/* 1 unpacked, @used bytes of @packed; 0 not; -ENOMEM. */
static int unpack(struct ay_slice packed, const struct ay__xz_params *params, uint64_t max,
		  struct ay_buf *out, size_t *used)
{
	lzma_stream z = LZMA_STREAM_INIT;
	struct ay__xz_chain chain;
	lzma_ret ret;

	ay__xz_chain_make(&chain, params, false);
	if (lzma_raw_decoder(&z, chain.filters) != LZMA_OK)
		return -ENOMEM;
	z.next_in = packed.data;
	z.avail_in = packed.len;
	do {
		uint8_t *room = ay_buf_reserve(out, STEP);

		if (!room) {
			lzma_end(&z);
			return -ENOMEM;
		}
		z.next_out = room;
		z.avail_out = STEP;
		ret = lzma_code(&z, LZMA_FINISH);
		out->len += STEP - z.avail_out;
	} while (ret == LZMA_OK && out->len <= max);
	*used = packed.len - z.avail_in;
	lzma_end(&z);
	return ret == LZMA_MEM_ERROR ? -ENOMEM : ret == LZMA_STREAM_END && out->len <= max;
}

/* The literal parameters stand in the first LZMA chunk. */
static uint8_t props_of(struct ay_slice packed)
{
	size_t at = 0;

	while (at + 6 < packed.len && packed.data[at] != 0) {
		unsigned control = packed.data[at];

		if (control >= 0xc0)
			return packed.data[at + 5];
		at += control >= 0x80 ? 5 + 1 + (size_t)(packed.data[at + 3] << 8 | packed.data[at + 4])
				      : 3 + 1 + (size_t)(packed.data[at + 1] << 8 | packed.data[at + 2]);
	}
	return 93;
}

/* The parameters that a preset gives. */
static bool preset_of(uint32_t preset, struct ay__xz_params *p, uint32_t *dict)
{
	lzma_options_lzma o;

	if (lzma_lzma_preset(&o, preset))
		return false;
	p->mode = (uint8_t)o.mode;
	p->finder = (uint8_t)o.mf;
	p->nice = (uint16_t)o.nice_len;
	p->depth = (uint16_t)o.depth;
	*dict = o.dict_size;
	return true;
}

/* Find the parameters of packing. 1, 0, -ENOMEM. */
static int params_find(struct ay_slice packed, struct ay_slice content, const struct ay__inside_options *o,
		       struct ay__filter_params *p)
{
	struct ay__xz_params tried[20];
	unsigned n = 0;

	p->xz.props = props_of(packed);
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < 20; i++) {
			/* 6 is what nearly everybody uses. */
			uint32_t level = (6 + i) % 10, preset = level | (i >= 10 ? LZMA_PRESET_EXTREME : 0),
				 dict;
			bool known = false;

			if (!preset_of(preset, &p->xz, &dict) ||
			    (dict == ay__xz_dict(&p->xz)) != (round == 0))
				continue;
			for (unsigned k = 0; k < n && !known; k++)
				known = memcmp(&tried[k], &p->xz, sizeof(p->xz)) == 0;
			if (known || ay__filter_memory(p, true) > o->memory_max)
				continue;
			tried[n++] = p->xz;
			int rc = ay__stream_packs(p, content, packed, false);
			if (rc == 1 && o->aside && ay__proof_aside_begin(o->aside, p, content, packed))
				return 1;
			if (rc == 1)
				rc = ay__stream_packs(p, content, packed, true);
			if (rc)
				return rc;
		}
	}
	return 0;
}

int ay__stream_xz(struct ay_slice b, bool more, const struct ay__inside_options *o, struct ay__stream *out)
{
	struct ay_slice packed, content;
	size_t at = more ? 0 : HEAD, used = 0;

	if (!(o->encoders & 1u << AY__FILTER_LZMA2))
		return 0;
	/* Behind the block before: padding to four bytes and the check, both raw; a header has its own check. */
	for (size_t stop = more ? 72 : HEAD; at <= stop; at++) {
		out->offset = block_head(b, at, &out->params.xz);
		if (out->offset)
			break;
	}
	if (!out->offset)
		return 0;
	out->params.id = AY__FILTER_LZMA2;
	packed = (struct ay_slice){.data = b.data + out->offset, .len = b.len - out->offset};
	int rc = unpack(packed, &out->params.xz, o->view_max, &out->content, &used);
	packed.len = used;
	content = (struct ay_slice){.data = out->content.data, .len = out->content.len};
	if (rc == 1 && o->target)
		rc = params_find(packed, content, o, &out->params);
	else if (rc == 1)
		rc = ay__filter_memory(&out->params, false) <= o->memory_max;
	out->packed = used;
	out->more = true;
	return rc;
}
