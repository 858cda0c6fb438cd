/* SPDX-License-Identifier: MIT */
/*
 * diff/inside.h - what is packed inside of a file, and how (the publisher's side; internal to diff/).
 *
 * Nothing is known of containers: wherever a packed stream may begin (.gz, .xz, .zst, a .zip member, a zlib header) it is tried
 * to unpack one. A kernel image, a .deb, a .jar, an .odt, a tar of .gz files, all are raw bytes with packed streams in between,
 * and so is what those unpack to.
 */
#ifndef AYNI_DIFF_INSIDE_H
#define AYNI_DIFF_INSIDE_H

#include "diff/recipe.h"

struct ay__proof_aside;

struct ay__inside_options {
	bool target; /* must be packed again to the same bytes; else a base, which only has to be unpacked */
	uint64_t view_max;   /* bytes of the view at most */
	uint64_t memory_max; /* bytes that applying may use for it at most */
	uint32_t encoders;   /* bit i: encoder i may be used */
	struct ay__proof_aside
		*aside; /* may take a proof over: what comes out holds only if that does; NULL: none */
};

/* Zero-initialise; release. */
struct ay__inside {
	struct ay_buf view, recipe; /* both empty: nothing was found */
	struct ay__recipe_sums sums;
};

/** ay__inside_maybe() - is there any beginning of a packed stream in these bytes? Quick; may be wrong either way. */
bool ay__inside_maybe(struct ay_slice bytes);

/**
 * ay__inside() - the view and the recipe of @file.
 *
 * The result depends on nothing but the arguments (and the libraries). Streams that cannot be packed again within the
 * options stay raw.
 *
 * Return: 0; -ENOMEM.
 */
int ay__inside(struct ay_slice file, const struct ay__inside_options *options, struct ay__inside *out);
void ay__inside_release(struct ay__inside *in);

#endif
