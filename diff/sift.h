/* SPDX-License-Identifier: MIT */
/*
 * diff/sift.h - noise taken out of a stream, so that what is around it packs as if it were alone (internal to diff/).
 *
 * A signature, a key, a piece of a compressed file: bytes that nothing makes smaller, among text and code that could be. A packer that
 * goes through both pays twice: it spells the noise at more than eight bits a byte, and forgets over it what it
 * had learned of the rest (of a kernel's modules each ends in 512 bytes of RSA: 2 % of what all of them cost).
 *
 *     stream:  | text text | noise | text | noise | text
 *     pairs:   (9, 5) (4, 5)                how much of the rest, then how much noise; behind the last pair all is rest
 */
#ifndef AYNI_DIFF_SIFT_H
#define AYNI_DIFF_SIFT_H

#include "base/bytes.h"

#define AY__SIFT_PAIRS_MAX 131072 /* bytes */

/**
 * ay__sift() - @len bytes to @noise and @inner (both empty): the pairs, then the rest. @pairs: bytes that these have.
 *
 * Return: 0; 1 there is too little noise, or too little else, to be worth it (then both are empty); -ENOMEM.
 */
int ay__sift(const uint8_t *data, size_t len, struct ay_buf *inner, size_t *pairs, struct ay_buf *noise);

/**
 * ay__unsift() - the other way round, in place: @out has @out_len bytes, of which the last are the rest; @noise goes where @pairs
 * say. 0; AY_EFORMAT pairs that do not fit.
 */
int ay__unsift(struct ay_slice pairs, struct ay_slice noise, uint8_t *out, size_t out_len);

#endif
