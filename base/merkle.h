/* SPDX-License-Identifier: MIT */
/*
 * base/merkle.h - a digest's hash blocks, known wholly or in part.
 *
 * Who has a whole file builds the tree (ay_merkle_build_fd) and hands out hash
 * blocks. Who knows only digest and size starts with ay_merkle_new(), adds hash
 * blocks from the top down, each checked against the level above, and can then
 * check each 64 KiB block of data alone, as soon as the hash block of its 512 KiB
 * piece is there. Nothing is trusted: a wrong hash block is refused.
 *
 *   level top: one hash block, whose hash with the size gives the digest
 *   ...
 *   level 0: hash block i covers data bytes [i * 512 KiB, (i + 1) * 512 KiB)
 *
 * A file of at most 4096 bytes has no hash blocks (ay_merkle_levels() == 0).
 */
#ifndef AYNI_BASE_MERKLE_H
#define AYNI_BASE_MERKLE_H

#include "base/digest.h"

struct ay_merkle;

/**
 * ay_merkle_new() - a tree of which nothing is known but digest and size.
 *
 * Memory: 4096 bytes per 512 KiB of @size are allocated when hash blocks arrive,
 * not before (5120 per block above level 0); so a stranger's @size costs nothing by itself.
 *
 * Return: the tree, to be freed with ay_merkle_free(); NULL when out of memory.
 */
struct ay_merkle *ay_merkle_new(const struct ay_digest *digest, uint64_t size);
void ay_merkle_free(struct ay_merkle *m);

/**
 * ay_merkle_build_fd() - the whole tree of a regular file, by pread.
 *
 * Return: 0 and @out (free with ay_merkle_free()), -errno, -ENOMEM.
 */
int ay_merkle_build_fd(int fd, struct ay_merkle **out);

/** ay_merkle_build_mem() - the same for bytes in memory. */
int ay_merkle_build_mem(const void *data, size_t len, struct ay_merkle **out);

const struct ay_digest *ay_merkle_digest(const struct ay_merkle *m);
uint64_t ay_merkle_size(const struct ay_merkle *m);

/** ay_merkle_levels() - number of levels of hash blocks; 0 for a file of at most 4096 bytes. */
unsigned ay_merkle_levels(const struct ay_merkle *m);

/** ay_merkle_width() - number of hash blocks at @level. */
uint64_t ay_merkle_width(const struct ay_merkle *m, unsigned level);

/** ay_merkle_has() - is hash block (@level, @index) known and verified? */
bool ay_merkle_has(const struct ay_merkle *m, unsigned level, uint64_t index);

/** ay_merkle_get() - the 4096 bytes of a known hash block, borrowed until the tree is freed; else NULL. */
const uint8_t *ay_merkle_get(const struct ay_merkle *m, unsigned level, uint64_t index);

/**
 * ay_merkle_add() - offer hash block (@level, @index), 4096 bytes.
 *
 * Return: 0 when it is (now or already) known;
 *   AY_EDIGEST  it is not the right one, or its padding is not zero: penalise its sender (the right one
 *               may be known already; the answer is the same);
 *   -EAGAIN     the level above is not there yet: fetch that first;
 *   AY_EFORMAT  no such level or index; -ENOMEM.
 */
int ay_merkle_add(struct ay_merkle *m, unsigned level, uint64_t index, const uint8_t *block);

/**
 * ay_merkle_check() - are the @len bytes at @offset of the file the right ones?
 * @offset: a multiple of 4096. @len: a multiple of 4096, or up to the end of the file.
 *
 * Return: 0 right; AY_EDIGEST wrong; -EAGAIN the piece's hash block is not known;
 *   AY_EFORMAT the range is not aligned or not inside the file.
 * Ranges may cross pieces. No bytes of a file that has some are right, and prove nothing.
 */
int ay_merkle_check(const struct ay_merkle *m, uint64_t offset, const void *data, size_t len);

/** ay_blocks_of() - number of 64 KiB blocks of @size bytes (an empty file has none). */
static inline uint64_t ay_blocks_of(uint64_t size)
{
	return size / AY_BLOCK_SIZE + (size % AY_BLOCK_SIZE != 0);
}

/** ay_block_len() - bytes in block @index of a file of @size bytes; 0 past its end. */
static inline uint32_t ay_block_len(uint64_t size, uint64_t index)
{
	if (index >= ay_blocks_of(size))
		return 0;
	uint64_t left = size - index * AY_BLOCK_SIZE;
	return left < AY_BLOCK_SIZE ? (uint32_t)left : AY_BLOCK_SIZE;
}

#endif
