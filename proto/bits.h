/* SPDX-License-Identifier: MIT */
/*
 * proto/bits.h - bitmaps of blocks, 64 to a word.
 */
#ifndef AYNI_PROTO_BITS_H
#define AYNI_PROTO_BITS_H

#include <stdbool.h>
#include <stdint.h>

static inline bool ay__bit(const uint64_t *words, uint32_t i)
{
	return words[i / 64] >> (i % 64) & 1;
}

static inline void ay__bit_set(uint64_t *words, uint32_t i)
{
	words[i / 64] |= (uint64_t)1 << (i % 64);
}

static inline void ay__bit_clear(uint64_t *words, uint32_t i)
{
	words[i / 64] &= ~((uint64_t)1 << (i % 64));
}

#endif
