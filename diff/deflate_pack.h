/* SPDX-License-Identifier: MIT */
/*
 * diff/deflate_pack.h - content back into the deflate stream that it came from (internal to diff/).
 *
 * The recipe says where blocks end and where the true token was not the guessed one (diff/deflate_match.h), or a block's codes
 * not the usual ones (diff/deflate_trees.h):
 *
 *     corrections   gap, then blocks until one is the last
 *     gap           varint: 0 all further tokens are as guessed; g: after g - 1 more comes a stated one, then a gap again
 *     block         varint: bits 0-1 type, 2 last, 3 own codes, above: tokens (of a stored block: bytes, at most 65535)
 *     own codes     u8 literal codes - 257, u8 distance codes - 1, u8 lengths of lengths - 4, these u8 each, then
 *                   symbols u8, behind 16, 17 and 18 the extra bits u8, until all lengths are there
 *     stated token  varint: 0 a literal; l - 2 a match, then its distance varint
 *
 * Values stand in the order in which packing needs them. One byte for each block and none for a token is the rule.
 */
#ifndef AYNI_DIFF_DEFLATE_PACK_H
#define AYNI_DIFF_DEFLATE_PACK_H

#include "base/bytes.h"
#include "diff/deflate_match.h"

#define AY__DEFLATE_BLOCK_MAX   (1u << 18)    /* tokens of a block; zlib's have 32767 at most */
#define AY__DEFLATE_PACK_MEMORY (2560u << 10) /* bytes that a packer needs at most */

struct ay__deflate_pack;

/**
 * ay__deflate_pack_new() - pack by @params and @corrections (borrowed), giving the bytes to @put.
 *
 * Return: the packer, or NULL when out of memory. @params must be ok.
 */
struct ay__deflate_pack *ay__deflate_pack_new(const struct ay__deflate_params *params,
					      struct ay_slice corrections,
					      int (*put)(void *ctx, const uint8_t *data, size_t len),
					      void *ctx);
void ay__deflate_pack_free(struct ay__deflate_pack *p);

/** ay__deflate_pack_put() - the next content. 0; AY_EFORMAT with _why(); -ENOMEM; what put() returned. */
int ay__deflate_pack_put(struct ay__deflate_pack *p, const uint8_t *data, size_t len);
/** ay__deflate_pack_end() - that was all of it. As above. */
int ay__deflate_pack_end(struct ay__deflate_pack *p);
/** ay__deflate_pack_why() - what was wrong; NULL: nothing of ours. Static storage. */
const char *ay__deflate_pack_why(const struct ay__deflate_pack *p);

#endif
