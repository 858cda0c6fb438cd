/* SPDX-License-Identifier: MIT */
/* diff/inside_stream.c - headers read as far as to where the packed bytes begin; deflate. */
#include "diff/inside_stream.h"

#include <errno.h>
#include <string.h>

#include "diff/deflate_learn.h"
#include "diff/inside_xz.h"
#include "diff/inside_zstd.h"

#define SMALL      32  /* content so short is not worth a filter */
#define ZLIB_SMALL 512 /* two bytes are found everywhere */

/* Where deflate begins behind a gzip header (RFC 1952); 0: no such header. */
static size_t gzip_head(struct ay_slice b)
{
	size_t at = 10;

	if (b.len < 20 || b.data[2] != 8 || b.data[3] & 0xe0)
		return 0;
	if (b.data[3] & 4)
		at += 2u + b.data[10] + (b.data[11] << 8);
	for (unsigned flag = 8; flag <= 16; flag *= 2) {
		if (!(b.data[3] & flag))
			continue;
		while (at < b.len && b.data[at])
			at++;
		at++;
	}
	if (b.data[3] & 2)
		at += 2;
	return at < b.len ? at : 0;
}

/* Behind a .zip member's local header. */
static size_t zip_head(struct ay_slice b)
{
	size_t at;

	if (b.len < 30 || b.data[2] != 3 || b.data[3] != 4 || b.data[8] != 8 || b.data[9] != 0 ||
	    b.data[6] & 1)
		return 0;
	at = 30u + b.data[26] + (b.data[27] << 8) + b.data[28] + (b.data[29] << 8);
	return at < b.len ? at : 0;
}

static bool zlib_head(struct ay_slice b)
{
	return b.len > 8 && (b.data[0] & 15) == 8 && b.data[0] >> 4 <= 7 &&
	       (b.data[0] << 8 | b.data[1]) % 31 == 0 && !(b.data[1] & 32);
}

static int deflate_try(struct ay_slice bytes, size_t head, unsigned window_bits, size_t small,
		       const struct ay__inside_options *o, struct ay__stream_hints *hints,
		       struct ay__stream *out)
{
	struct ay_slice packed = {.data = bytes.data + head, .len = bytes.len - head};
	struct ay__deflate_recipe r = {0};
	struct ay__deflate_params hint = hints->has_deflate ? hints->deflate : ay__deflate_level(6);

	hint.window_bits = (uint8_t)window_bits;
	if (!(o->encoders & 1u << AY__FILTER_DEFLATE))
		return 0;
	int rc = ay__deflate_learn(packed, &hint, (size_t)o->view_max, o->target, &r);
	if (rc == 1 && (r.content.len < small || r.content.len > o->view_max))
		rc = 0;
	if (rc == 1) {
		out->offset = head;
		out->packed = r.packed;
		out->params.deflate = r.params;
		out->content = r.content;
		out->corrections = r.corrections;
		r = (struct ay__deflate_recipe){0};
		out->params.id = AY__FILTER_DEFLATE;
		out->params.corrections =
			(struct ay_slice){.data = out->corrections.data, .len = out->corrections.len};
		if (o->target && out->packed > 4096) {
			hints->has_deflate = true;
			hints->deflate = out->params.deflate;
		}
	}
	ay__deflate_recipe_release(&r);
	return rc;
}

int ay__stream_try(struct ay_slice b, bool more, const struct ay__inside_options *o,
		   struct ay__stream_hints *hints, struct ay__stream *out)
{
	size_t head = 0;

	if (more)
		return ay__stream_xz(b, true, o, out);
	if (b.len < 16)
		return 0;
	switch (b.data[0]) {
	case 0x1f:
		head = b.data[1] == 0x8b ? gzip_head(b) : 0;
		return head ? deflate_try(b, head, 15, SMALL, o, hints, out) : 0;
	case 'P':
		head = b.data[1] == 'K' ? zip_head(b) : 0;
		return head ? deflate_try(b, head, 15, SMALL, o, hints, out) : 0;
	case 0x78:
		return zlib_head(b) ? deflate_try(b, 2, 15, ZLIB_SMALL, o, hints, out) : 0;
	case 0xfd:
		return memcmp(b.data,
			      "\xfd"
			      "7zXZ",
			      6) == 0
			       ? ay__stream_xz(b, false, o, out)
			       : 0;
	case 0x28:
		return memcmp(b.data, "\x28\xb5\x2f\xfd", 4) == 0 ? ay__stream_zstd(b, o, out) : 0;
	default:
		return 0;
	}
}
