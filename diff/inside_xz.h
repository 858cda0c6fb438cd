/* SPDX-License-Identifier: MIT */
/*
 * diff/inside_xz.h - the part of ay__stream_try() for bytes that begin an .xz stream (internal to diff/).
 */
#ifndef AYNI_DIFF_INSIDE_XZ_H
#define AYNI_DIFF_INSIDE_XZ_H

#include "diff/inside.h"
#include "diff/inside_proof.h"

/** ay__stream_xz() - as ay__stream_try(), for bytes that begin with its magic (@more: with a block). */
int ay__stream_xz(struct ay_slice bytes, bool more, const struct ay__inside_options *options,
		  struct ay__stream *out);

#endif
