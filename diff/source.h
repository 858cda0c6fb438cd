/* SPDX-License-Identifier: MIT */
/*
 * diff/source.h - bytes looked at by offset, whether they lie in memory or are read as they are needed (internal to diff/).
 */
#ifndef AYNI_DIFF_SOURCE_H
#define AYNI_DIFF_SOURCE_H

#include <stddef.h>
#include <stdint.h>

#define AY__SOURCE_WINDOW (256u << 10)
#define AY__SOURCE_AT_MAX (128u << 10) /* bytes that one look may ask for */

/* Exactly @len bytes at @offset to @dst; 0 or a negative code. */
typedef int (*ay__source_read)(void *ctx, uint64_t offset, void *dst, size_t len);

/* Make with ay__source_memory() or ay__source_reader(); release. A failed read gives zeros and stays in @rc. */
struct ay__source {
	uint64_t size;
	const uint8_t *data; /* all of it, borrowed; or NULL, then: */
	ay__source_read read;
	void *ctx;
	uint8_t *window; /* owned */
	uint64_t at;
	size_t len;
	int rc; /* the first failure, or 0; the owner of the source looks at it at the end */
};

/** ay__source_memory() - @size bytes at @data, borrowed. */
struct ay__source ay__source_memory(const void *data, uint64_t size);

/** ay__source_reader() - @size bytes that @read gives. -ENOMEM shows in ->rc. */
struct ay__source ay__source_reader(uint64_t size, ay__source_read read, void *ctx);
void ay__source_release(struct ay__source *s);

/**
 * ay__source_at() - @len bytes (at most AY__SOURCE_AT_MAX) at @offset.
 *
 * Return: a pointer that is good until the next call; NULL when some of them are behind the end.
 */
const uint8_t *ay__source_at(struct ay__source *s, uint64_t offset, size_t len);

/** ay__source_load() - [@offset, @offset + @len) will be looked at: read that, as far as there is so much, and not much more. */
void ay__source_load(struct ay__source *s, uint64_t offset, size_t len);

#endif
