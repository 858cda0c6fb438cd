/* SPDX-License-Identifier: MIT */
/*
 * diff/hex_apart.h - digests written in hexadecimal taken out of a text (internal to diff/).
 *
 * A manifest delta is mostly digests: 64 digits that say 32 bytes, which no packer quite finds out, and between which it
 * loses the thread of the paths (13 kB of a kernel's bundle). Apart, they are their 32 bytes, and the text is shorter.
 *
 *     text:  f 0644 0 0 1.0 7 e3b0c4…b855 /a    ->   f 0644 0 0 1.0 7 \1 /a   and 32 bytes
 */
#ifndef AYNI_DIFF_HEX_APART_H
#define AYNI_DIFF_HEX_APART_H

#include "base/bytes.h"

#define AY__HEX_BYTES  32
#define AY__HEX_DIGITS 64
#define AY__HEX_MARK   1 /* stands in the text for the digits */

/**
 * ay__hex_apart() - @len bytes to @rest and @digests (both empty). Runs of exactly 64 lower case digits go; a text that has the mark
 * itself stays as it is, and @digests empty. 0; -ENOMEM.
 */
int ay__hex_apart(const uint8_t *text, size_t len, struct ay_buf *rest, struct ay_buf *digests);

/**
 * ay__hex_back() - the other way round, in place: @out has @out_len bytes, of which the last @rest_len are the text without digits.
 * 0; AY_EFORMAT not as many marks as digests, or another length.
 */
int ay__hex_back(struct ay_slice digests, uint8_t *out, size_t out_len, size_t rest_len);

#endif
