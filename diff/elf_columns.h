/* SPDX-License-Identifier: MIT */
/*
 * diff/elf_columns.h - a file as AY_METHOD_ELF codes it: section map, control, then differences and residues (internal to diff/).
 */
#ifndef AYNI_DIFF_ELF_COLUMNS_H
#define AYNI_DIFF_ELF_COLUMNS_H

#include "diff/btf.h"
#include "diff/columns.h"

/** ay__elf_extra_memory() - bytes that reading a record of AY_METHOD_ELF needs besides what reading parts does. */
uint64_t ay__elf_extra_memory(uint64_t base_size);

/** ay__elf_pair() - can AY_METHOD_ELF be used for these files, as far as their headers tell? Quick. */
bool ay__elf_pair(struct ay_slice old, struct ay_slice new_);

/**
 * ay__elf_columns_encode() - append to @c the columns of method AY_METHOD_ELF that write @new_.
 * @old, @new_: whole files. @ops: of both, from whatever matching. @btf: the bundle's map; NULL: none.
 * @piece_max: bytes of a piece, about.
 *
 * Return: 0; AY_EUNSUPPORTED one of the files is nothing that diff/elf.h knows, or there are too many operations
 *   (@c may have been written to); -ENOMEM.
 */
int ay__elf_columns_encode(struct ay_columns *c, struct ay_slice old, struct ay_slice new_,
			   const struct ay_bsdiff_ops *ops, const struct ay__btf_map *btf,
			   uint32_t piece_max);

#endif
