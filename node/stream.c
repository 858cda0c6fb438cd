/* SPDX-License-Identifier: MIT */
/*
 * The frame parser. It decides nothing but where a frame ends; what lengths and types there may be is
 * proto/frame's to say. A cut frame's buffer grows with what has come, not with what was announced.
 */
#include "node/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define FIRST_CAP 4096 /* most frames are smaller; a block's buffer doubles four times */

void ay_stream_release(struct ay_stream *s)
{
	free(s->payload);
	memset(s, 0, sizeof(*s));
}

static int fail(struct ay_stream *s, int code)
{
	free(s->payload);
	s->payload = NULL;
	s->cap = 0;
	s->failed = code;
	return code;
}

/* Take up to a header's bytes. 1: the header is complete and good. */
static int take_header(struct ay_stream *s, const uint8_t *data, size_t len, size_t *used)
{
	size_t n = AY_FRAME_HEADER - s->head_len;
	if (n > len)
		n = len;
	memcpy(s->head + s->head_len, data, n);
	s->head_len += n;
	*used += n;
	if (s->head_len < AY_FRAME_HEADER)
		return 0;
	s->got = 0;
	int r = ay_frame_header_get(s->head, &s->need, &s->type);
	if (r < 0)
		return fail(s, r);
	AY_ASSERT(s->need < AY_FRAME_MAX); /* proto/frame's promise; our buffers hang on it */
	return 1;
}

static int grow(struct ay_stream *s, uint32_t want)
{
	if (want <= s->cap)
		return 0;
	uint32_t cap = s->cap ? s->cap : FIRST_CAP;
	while (cap < want)
		cap *= 2;
	if (cap > s->need)
		cap = s->need > want ? s->need : want;
	uint8_t *p = realloc(s->payload, cap);
	if (!p)
		return fail(s, -ENOMEM);
	s->payload = p;
	s->cap = cap;
	return 0;
}

static int whole(struct ay_stream *s, const uint8_t *payload, struct ay_stream_frame *frame)
{
	frame->type = s->type;
	frame->payload = (struct ay_slice){payload, s->need};
	s->head_len = 0;
	return 1;
}

int ay_stream_next(struct ay_stream *s, const uint8_t *data, size_t len, size_t *used,
		   struct ay_stream_frame *frame)
{
	*used = 0;
	if (s->failed)
		return s->failed;
	if (s->head_len < AY_FRAME_HEADER) {
		/* The frame handed out before was borrowed from this buffer until now. */
		if (s->payload) {
			free(s->payload);
			s->payload = NULL;
			s->cap = 0;
		}
		int r = take_header(s, data, len, used);
		if (r != 1)
			return r;
	}
	size_t left = len - *used, want = s->need - s->got;
	if (s->got == 0 && left >= want) {
		const uint8_t *payload = data + *used;
		*used += want;
		return whole(s, payload, frame);
	}
	size_t n = left < want ? left : want;
	if (n == 0)
		return 0;
	int r = grow(s, s->got + (uint32_t)n);
	if (r < 0)
		return r;
	memcpy(s->payload + s->got, data + *used, n);
	s->got += (uint32_t)n;
	*used += n;
	return s->got == s->need ? whole(s, s->payload, frame) : 0;
}
