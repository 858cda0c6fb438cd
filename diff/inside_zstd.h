/* SPDX-License-Identifier: MIT */
/*
 * diff/inside_zstd.h - the part of ay__stream_try() for bytes that begin a zstd frame (internal to diff/).
 */
#ifndef AYNI_DIFF_INSIDE_ZSTD_H
#define AYNI_DIFF_INSIDE_ZSTD_H

#include "diff/inside.h"
#include "diff/inside_proof.h"

/** ay__stream_zstd() - as ay__stream_try(), for bytes that begin with its magic. */
int ay__stream_zstd(struct ay_slice bytes, const struct ay__inside_options *options, struct ay__stream *out);

#endif
