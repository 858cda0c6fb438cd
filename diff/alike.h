/* SPDX-License-Identifier: MIT */
/*
 * diff/alike.h - how far two stretches of bytes are equal (internal to diff/). Eight bytes at a time: it is where the search
 * spends its time.
 */
#ifndef AYNI_DIFF_ALIKE_H
#define AYNI_DIFF_ALIKE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t ay__load8(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* Bytes that are equal at the beginning of @a and @b, of @n at most. */
static inline size_t ay__common(const uint8_t *a, const uint8_t *b, size_t n)
{
	size_t i = 0;

	for (; i + 8 <= n; i += 8) {
		if (ay__load8(a + i) != ay__load8(b + i))
			break;
	}
	while (i < n && a[i] == b[i])
		i++;
	return i;
}

/* Bytes of the next @n that are equal. */
static inline unsigned ay__equal_bytes(const uint8_t *a, const uint8_t *b, size_t n)
{
	unsigned equal = 0;
	size_t i = 0;

	for (; i + 8 <= n; i += 8) {
		uint64_t x = ay__load8(a + i) ^ ay__load8(b + i);

		/* one bit per byte that is not zero, then count */
		x |= x >> 4;
		x |= x >> 2;
		x |= x >> 1;
		x &= 0x0101010101010101u;
		equal += 8 - (unsigned)((x * 0x0101010101010101u) >> 56);
	}
	for (; i < n; i++)
		equal += a[i] == b[i];
	return equal;
}

static inline size_t ay__min(size_t a, size_t b)
{
	return a < b ? a : b;
}

#endif
