/* SPDX-License-Identifier: MIT */
/*
 * diff/inside_stream.h - one packed stream that may begin here (internal to diff/).
 */
#ifndef AYNI_DIFF_INSIDE_STREAM_H
#define AYNI_DIFF_INSIDE_STREAM_H

#include "diff/inside.h"

/* Zero-initialise; release. */
struct ay__stream {
	size_t offset, packed; /* where the packed bytes are, from where it was looked */
	struct ay__filter_params params;
	struct ay_buf content;
	struct ay_buf corrections; /* what params.corrections points into */
	bool more;                 /* another stream may begin right behind, without a beginning of its own */
};

/* What was found before, to begin with; zero-initialise. */
struct ay__stream_hints {
	bool has_deflate;
	struct ay__deflate_params deflate;
};

/**
 * ay__stream_try() - does a packed stream begin at @bytes, and can it be used?
 * @more: the stream before said so, and these are the bytes behind it.
 *
 * Return: 1 and @out; 0; -ENOMEM.
 */
int ay__stream_try(struct ay_slice bytes, bool more, const struct ay__inside_options *options,
		   struct ay__stream_hints *hints, struct ay__stream *out);
void ay__stream_release(struct ay__stream *s);

/* The parts of it. Each as above, for bytes that begin with its magic. */
int ay__stream_xz(struct ay_slice bytes, bool more, const struct ay__inside_options *options,
		  struct ay__stream *out);
int ay__stream_zstd(struct ay_slice bytes, const struct ay__inside_options *options, struct ay__stream *out);

/**
 * ay__stream_packs() - does packing @content by @params begin with @packed (@whole: give exactly those bytes)?
 * Else, as soon as one byte differs, no. 1, 0, -ENOMEM.
 */
int ay__stream_packs(const struct ay__filter_params *params, struct ay_slice content, struct ay_slice packed,
		     bool whole);

#endif
