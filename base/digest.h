/* SPDX-License-Identifier: MIT */
/*
 * base/digest.h - the one name of bytes: the fs-verity SHA-256 digest.
 *
 * Exactly what `fsverity digest FILE` prints (4096-byte blocks, no salt):
 *
 *     leaf 0  leaf 1 ... leaf 127 | leaf 128 ...      each SHA-256 of 4096 bytes, the last zero-padded
 *     [hash block 0: 128 leaves ]  [hash block 1 ]    level 0: 4096 bytes, zero-padded, per 512 KiB of data
 *                 [hash block: 128 of those]          level 1: per 64 MiB ... until one block is left
 *     root hash = SHA-256(the one block)  (a file of at most 4096 bytes: of its only leaf; empty: 32 zeros)
 *     digest = SHA-256(descriptor of 256 bytes: version 1, SHA-256, log2 4096, size, root hash)
 *
 * Source: Linux Documentation/filesystems/fsverity.rst, "Merkle tree" and
 * "fs-verity descriptor".
 */
#ifndef AYNI_BASE_DIGEST_H
#define AYNI_BASE_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AY_DIGEST_LEN            32
#define AY_DIGEST_HEX            64   /* without NUL */
#define AY_LEAF_SIZE             4096 /* bytes under one leaf hash; also the size of a hash block */
#define AY_LEAVES_PER_HASH_BLOCK 128
#define AY_BLOCK_SIZE            65536  /* unit of request, check and relay */
#define AY_PIECE_SIZE            524288 /* bytes under one level-0 hash block */
#define AY_MERKLE_LEVELS_MAX     8      /* 4096 * 128^8 is past 2^64 */

struct ay_digest {
	uint8_t b[AY_DIGEST_LEN];
};

bool ay_digest_eq(const struct ay_digest *a, const struct ay_digest *b);
int ay_digest_cmp(const struct ay_digest *a, const struct ay_digest *b);
bool ay_digest_is_zero(const struct ay_digest *d);

/** ay_digest_hex() - 64 lower-case hex digits and a NUL into @out[65]; returns @out. */
char *ay_digest_hex(const struct ay_digest *d, char out[AY_DIGEST_HEX + 1]);

/** ay_digest_parse() - exactly 64 lower-case hex digits at @s (not NUL-terminated). 0 or AY_EFORMAT. */
int ay_digest_parse(struct ay_digest *d, const char *s, size_t len);

/** ay_sha256() - plain SHA-256 of @len bytes (libcrypto). */
void ay_sha256(const void *data, size_t len, uint8_t out[32]);

/* Streaming digest: memory is one leaf and one hash block per level (about 40 KiB), whatever the size. */
struct ay_hasher;

/** ay_hasher_new() - NULL when out of memory. Free with ay_hasher_free(). */
struct ay_hasher *ay_hasher_new(void);
void ay_hasher_free(struct ay_hasher *h);
void ay_hasher_reset(struct ay_hasher *h);
void ay_hasher_update(struct ay_hasher *h, const void *data, size_t len);
/** ay_hasher_zeros() - as ay_hasher_update() with @len zero bytes: a hole of terabytes takes no time. */
void ay_hasher_zeros(struct ay_hasher *h, uint64_t len);
/** ay_hasher_final() - the digest of all bytes given; the hasher then needs ay_hasher_reset(). */
void ay_hasher_final(struct ay_hasher *h, struct ay_digest *out);

void ay_digest_mem(const void *data, size_t len, struct ay_digest *out);

/**
 * ay_digest_fd() - digest and size of everything from offset 0 of a regular file, by pread; holes are not read.
 * @size: may be NULL.
 *
 * Return: 0, -errno of the read, -ENOMEM.
 */
int ay_digest_fd(int fd, struct ay_digest *out, uint64_t *size);

#endif
