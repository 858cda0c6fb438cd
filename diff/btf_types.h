/* SPDX-License-Identifier: MIT */
/*
 * diff/btf_types.h - all types of one .BTF, for comparing it with another (internal to diff/; publisher's side).
 *
 * A module's section numbers its own types and names behind the kernel's, whose number it does not say. But each type is used by
 * something, except the last ones, and so is each name: the largest reference less what is here is where its own begin.
 */
#ifndef AYNI_DIFF_BTF_TYPES_H
#define AYNI_DIFF_BTF_TYPES_H

#include "diff/btf.h"

struct ay__btf_type {
	uint64_t at;  /* in the section */
	uint64_t key; /* of kind, number of rows and own name: what does not change when numbers do */
};

/* Zero-initialise; release. */
struct ay__btf_types {
	struct ay__source src; /* the section */
	struct ay__btf btf;
	struct ay__btf_type *types; /* owned */
	uint32_t n;
	uint32_t max[AY__BTF_SPACES]; /* the largest reference */
	uint32_t own
		[AY__BTF_SPACES]; /* below: the kernel's; its own first type is this and 1, its first name this */
};

/** ay__btf_types_read() - @section: borrowed for @t's life; what is no .BTF gives no types. 0; -ENOMEM. */
int ay__btf_types_read(struct ay__btf_types *t, struct ay_slice section);
void ay__btf_types_release(struct ay__btf_types *t);

/** ay__btf_value() - the 4 bytes at @at. */
uint32_t ay__btf_value(struct ay__btf_types *t, uint64_t at);

/** ay__btf_mix() - a step of a hash. */
static inline uint64_t ay__btf_mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * 0xff51afd7ed558ccdu;
	return h ^ h >> 32;
}

/** ay__btf_name_hash() - of an own name its text's; of another one only whether there is one. */
uint64_t ay__btf_name_hash(struct ay__btf_types *t, uint32_t name);

#endif
