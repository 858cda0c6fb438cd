/* SPDX-License-Identifier: MIT */
/*
 * base/hasher_sink.h - inside base/: a hasher that hands out its hash blocks.
 *
 * digest.c throws a hash block away as soon as its hash is in the level above;
 * merkle.c wants to keep them. So there is one place that builds the tree.
 */
#ifndef AYNI_BASE_HASHER_SINK_H
#define AYNI_BASE_HASHER_SINK_H

#include "base/digest.h"

/* Called once per hash block, padding included; @block is borrowed for the call. Children come before
 * parents. */
typedef void ay__hash_block_fn(void *arg, unsigned level, uint64_t index, const uint8_t *block);

/** ay__hasher_set_sink() - call @fn for each hash block from now on; survives ay_hasher_reset(). */
void ay__hasher_set_sink(struct ay_hasher *h, ay__hash_block_fn *fn, void *arg);

/** ay__hasher_feed_fd() - all bytes of a regular file, by pread. @size: may be NULL. 0, -errno, -ENOMEM. */
int ay__hasher_feed_fd(struct ay_hasher *h, int fd, uint64_t *size);

/** ay__leaf_hash() - SHA-256 of one leaf, @len at most AY_LEAF_SIZE, zero-padded. */
void ay__leaf_hash(const void *data, size_t len, uint8_t out[AY_DIGEST_LEN]);

/** ay__digest_of_root() - the digest from the tree's root hash and the file's size. */
void ay__digest_of_root(uint64_t size, const uint8_t root[AY_DIGEST_LEN], struct ay_digest *out);

/** ay__merkle_levels() - levels of hash blocks over a file of @size bytes. */
unsigned ay__merkle_levels(uint64_t size);

#endif
