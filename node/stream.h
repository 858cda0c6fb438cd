/* SPDX-License-Identifier: MIT */
/*
 * node/stream.h - a session's bytes cut into frames: a pure function over bytes.
 *
 * Frames that lie whole in the bytes given are borrowed from there; only one that
 * is cut is copied, into a buffer of at most AY_FRAME_MAX bytes that lives until
 * the frame is complete. So an idle session costs nothing and a hostile one 64 KiB.
 */
#ifndef AYNI_NODE_STREAM_H
#define AYNI_NODE_STREAM_H

#include "proto/frame.h"

/* Zero-initialise; release with ay_stream_release(). */
struct ay_stream {
	uint8_t head[AY_FRAME_HEADER];
	size_t head_len; /* bytes of the header that are here */
	uint8_t type;
	uint32_t need, got; /* bytes of the payload */
	uint8_t *payload;   /* of a cut frame; cap bytes */
	uint32_t cap;
	int failed; /* sticky */
};

struct ay_stream_frame {
	uint8_t type;
	struct ay_slice payload; /* borrowed until the next call */
};

/**
 * ay_stream_next() - take bytes until one frame is complete.
 * @data, @len: what came. @used: how many of them were taken.
 *
 * Return: 1 a frame is in @frame (call again with what is left); 0 all bytes were taken, more are needed;
 *   AY_EFORMAT a broken frame: drop the session (every later call says the same); -ENOMEM likewise.
 */
int ay_stream_next(struct ay_stream *s, const uint8_t *data, size_t len, size_t *used,
		   struct ay_stream_frame *frame);
void ay_stream_release(struct ay_stream *s);

/** ay_stream_in_block() - has a BLOCK frame begun whose end is not here yet? */
static inline bool ay_stream_in_block(const struct ay_stream *s)
{
	return s->head_len == AY_FRAME_HEADER && s->type == AY_FRAME_BLOCK && !s->failed;
}

#endif
