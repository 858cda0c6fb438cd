/* SPDX-License-Identifier: MIT */
/*
 * diff/mask.h - a file with its addresses replaced by what they point at, for finding matches only (internal to diff/).
 *
 * When code moves, every call in it and every pointer to it changes, and what is the same to a reader is different to a search for
 * equal bytes. So, before old and new file are searched, each field of either (diff/fields.h) is overwritten with a hash of
 * the bytes that it points at, of the name, where it points at a symbol: code that only moved *is* equal then. The
 * operations found are carried out on the real files. Nobody who reads a bundle knows of this: it costs no byte of the format, and
 * two different targets with one hash cost a worse match and nothing else.
 */
#ifndef AYNI_DIFF_MASK_H
#define AYNI_DIFF_MASK_H

#include "diff/btf.h"
#include "diff/fields.h"

/**
 * ay__mask() - a masked copy of the bytes of @src.
 * @src: in memory (ay__source_memory()). @elf, @f: what was parsed and found in it.
 * @map: what the kernel's type numbers became; NULL: there is none. @old: this is the old file.
 * @out: its size is the source's; the caller frees it.
 *
 * Equal files give equal copies. Memory: the copy, and 4 bytes per field while it is made.
 *
 * Return: 0; -ENOMEM.
 */
int ay__mask(struct ay__source *src, struct ay__elf *elf, const struct ay__fields *f,
	     const struct ay__btf_map *map, bool old, uint8_t **out);

/**
 * ay__mask_bytes() - the same for the bytes of a file of which nothing is known yet.
 *
 * Return: 0; AY_EUNSUPPORTED it is no ELF file that is known here; -ENOMEM.
 */
int ay__mask_bytes(struct ay_slice file, const struct ay__btf_map *map, bool old, uint8_t **out);

#endif
