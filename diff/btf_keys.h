/* SPDX-License-Identifier: MIT */
/*
 * diff/btf_keys.h - for masking (diff/mask.h): what a number in .BTF stands for, as a hash (internal to diff/; publisher's side).
 */
#ifndef AYNI_DIFF_BTF_KEYS_H
#define AYNI_DIFF_BTF_KEYS_H

#include "diff/btf_types.h"

/* Zero-initialise; release. */
struct ay__btf_keys {
	struct ay__btf_types types;
	uint32_t *key;                 /* owned; per own type */
	const struct ay__btf_map *map; /* old file only */
};

/**
 * ay__btf_keys_make() - hash the types of @section (borrowed for @k's life) by what they are and refer to, a few levels deep.
 * @map: what the kernel's numbers became; NULL: not known. @old: @section is the old file's.
 *
 * Return: 0; -ENOMEM.
 */
int ay__btf_keys_make(struct ay__btf_keys *k, struct ay_slice section, const struct ay__btf_map *map,
		      bool old);
void ay__btf_keys_release(struct ay__btf_keys *k);

/** ay__btf_key() - the hash of what number @v stands for. */
uint32_t ay__btf_key(struct ay__btf_keys *k, enum ay__btf_space space, uint32_t v);

#endif
