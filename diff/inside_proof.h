/* SPDX-License-Identifier: MIT */
/*
 * diff/inside_proof.h - one packed stream that was found in a file, whatever its format (internal to diff/).
 */
#ifndef AYNI_DIFF_INSIDE_PROOF_H
#define AYNI_DIFF_INSIDE_PROOF_H

#include "diff/recipe.h"

/* Zero-initialise; release. */
struct ay__stream {
	size_t offset, packed; /* where the packed bytes are, from where it was looked */
	struct ay__filter_params params;
	struct ay_buf content;
	struct ay_buf corrections; /* what params.corrections points into */
	bool more;                 /* another stream may begin right behind, without a beginning of its own */
};

void ay__stream_release(struct ay__stream *s);

/**
 * ay__stream_packs() - does packing @content by @params begin with @packed (@whole: give exactly those bytes)?
 * Else, as soon as one byte differs, no. 1, 0, -ENOMEM.
 */
int ay__stream_packs(const struct ay__filter_params *params, struct ay_slice content, struct ay_slice packed,
		     bool whole);

#endif
