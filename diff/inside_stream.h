/* SPDX-License-Identifier: MIT */
/*
 * diff/inside_stream.h - one packed stream that may begin here (internal to diff/).
 */
#ifndef AYNI_DIFF_INSIDE_STREAM_H
#define AYNI_DIFF_INSIDE_STREAM_H

#include "diff/inside.h"
#include "diff/inside_proof.h"

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

#endif
