/* SPDX-License-Identifier: MIT */
/*
 * diff/deflate_learn.h - how a deflate stream was packed (the publisher's side; internal to diff/).
 */
#ifndef AYNI_DIFF_DEFLATE_LEARN_H
#define AYNI_DIFF_DEFLATE_LEARN_H

#include "diff/deflate_pack.h"

/* Zero-initialise; release. */
struct ay__deflate_recipe {
	struct ay__deflate_params params;
	struct ay_buf content, corrections;
	size_t packed; /* bytes that the stream has */
};

/**
 * ay__deflate_learn() - unpack the stream at the beginning of @packed and find out how to pack it again.
 * @hint: parameters to try first; may be NULL. @content_max: of its content. @repack: false: content only.
 *
 * With @repack, packing was carried out and gave the same bytes.
 *
 * Return: 1 it can be packed again; 0 it cannot, or no deflate stream begins here, or it is too large; -ENOMEM.
 */
int ay__deflate_learn(struct ay_slice packed, const struct ay__deflate_params *hint, size_t content_max,
		      bool repack, struct ay__deflate_recipe *out);
void ay__deflate_recipe_release(struct ay__deflate_recipe *r);

#endif
