/* SPDX-License-Identifier: MIT */
/*
 * store/base_index.h - inside store/: which contents the from-tree has, and in which variant.
 *
 * 24 bytes per file entry, so that a tree of a million entries costs 24 MB: the
 * first half of the digest and the variant. That is enough to say the whole
 * object name, because who asks knows the whole digest.
 *
 * Only contents of the branch's own from-tree are found: naming a digest does not
 * give one another owner's bytes. Nor does having a content whose digest begins like another's: with 16 bytes
 * nobody makes one (2^128 tries; with 8 it would be 2^64).
 */
#ifndef AYNI_STORE_BASE_INDEX_H
#define AYNI_STORE_BASE_INDEX_H

#include "store/object.h"

struct ay__base_row {
	uint8_t prefix[16];
	uint8_t variant[AY__VARIANT_LEN];
};

/* Zero-initialise; release with ay__base_index_release(). */
struct ay__base_index {
	struct ay__base_row *rows;
	size_t n, cap;
	bool sorted;
};

int ay__base_index_add(struct ay__base_index *x, const struct ay_digest *d, const uint8_t v[AY__VARIANT_LEN]);
/** ay__base_index_sort() - once, after the last add; equal rows become one. */
void ay__base_index_sort(struct ay__base_index *x);
void ay__base_index_release(struct ay__base_index *x);
/** ay__base_index_has() - this content in this variant? */
bool ay__base_index_has(const struct ay__base_index *x, const struct ay_digest *d,
			const uint8_t v[AY__VARIANT_LEN]);
/** ay__base_index_open() - open an object with content @d, of any variant. fd; -ENOENT; -errno. */
int ay__base_index_open(const struct ay__base_index *x, struct ay_store *s, const struct ay_digest *d);
/** ay__base_index_open_in() - the same in another directory of objects. */
int ay__base_index_open_in(const struct ay__base_index *x, int objects, const struct ay_digest *d);

#endif
