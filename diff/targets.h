/* SPDX-License-Identifier: MIT */
/*
 * diff/targets.h - the contents that a manifest delta names, in its order (internal to diff/).
 *
 * Every new content stands in the manifest delta already, digest and all. A record that says which of them it is
 * takes a byte where the digest would take 32, which no codec makes smaller.
 */
#ifndef AYNI_DIFF_TARGETS_H
#define AYNI_DIFF_TARGETS_H

#include "base/bytes.h"
#include "diff/file_line.h"

/* So many are held without being declared: 128 KiB, within what every bundle needs. */
#define AY__TARGETS_FREE 4096

/* Zero-initialise; release. */
struct ay__targets {
	struct ay_digest **chunks; /* of AY__TARGETS_FREE each; owned */
	size_t n, n_chunks, cap_chunks;
	struct ay__file_line line; /* in hand */
};

/** ay__targets_feed() - the delta's next bytes, in any portions. 0; -ENOMEM. */
int ay__targets_feed(struct ay__targets *t, const void *delta, size_t len);
void ay__targets_release(struct ay__targets *t);

static inline const struct ay_digest *ay__targets_get(const struct ay__targets *t, uint64_t i)
{
	return i < t->n ? &t->chunks[i / AY__TARGETS_FREE][i % AY__TARGETS_FREE] : NULL;
}

/** ay__targets_memory() - bytes for @n of them that a header must declare. */
static inline uint64_t ay__targets_memory(uint64_t n)
{
	uint64_t chunks = (n + AY__TARGETS_FREE - 1) / AY__TARGETS_FREE;

	return chunks > 1 ? (chunks - 1) * AY__TARGETS_FREE * sizeof(struct ay_digest) + chunks * 16 : 0;
}

/* ---- for who writes ---- */

struct ay__target_row {
	uint64_t key;
	uint32_t index;
};

/** ay__targets_sort() - rows by which ay__targets_find() looks up; free them. NULL: out of memory. */
struct ay__target_row *ay__targets_sort(const struct ay__targets *t);
/** ay__targets_find() - where @d stands first. False: nowhere. */
bool ay__targets_find(const struct ay__targets *t, const struct ay__target_row *rows,
		      const struct ay_digest *d, uint32_t *index);

#endif
