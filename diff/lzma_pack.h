/* SPDX-License-Identifier: MIT */
/*
 * diff/lzma_pack.h - LZMA2 as liblzma packs it, in two threads (internal to diff/).
 *
 * liblzma 5.2 to 5.4 pack the same bytes to the same stream, with one thread; with several they make another stream. This one
 * makes that very stream, to the last bit, for what nearly all .xz files are made with: match finder bt4, mode normal. More than half of the
 * time goes into finding matches, which is done ahead, in a thread of its own. What it makes never changes: see diff/encoders.h.
 */
#ifndef AYNI_DIFF_LZMA_PACK_H
#define AYNI_DIFF_LZMA_PACK_H

#include "diff/packer.h"

struct ay__lzma_pack;

/** ay__lzma_pack_can() - are these parameters ours? Else they are liblzma's. */
bool ay__lzma_pack_can(const struct ay__xz_params *x);

/** ay__lzma_pack_new() - packed bytes go to @put. NULL: out of memory. */
struct ay__lzma_pack *ay__lzma_pack_new(const struct ay__xz_params *x, ay__put_fn *put, void *ctx);
void ay__lzma_pack_free(struct ay__lzma_pack *p);
/** ay__lzma_pack_write() - 0, or what put() returned. */
int ay__lzma_pack_write(struct ay__lzma_pack *p, const uint8_t *data, size_t len);
int ay__lzma_pack_end(struct ay__lzma_pack *p);

#endif
