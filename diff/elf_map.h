/* SPDX-License-Identifier: MIT */
/*
 * diff/elf_map.h - where the new file's sections will lie, told by how they differ from the old file's (internal to diff/).
 *
 * Who predicts addresses must know the new file's sections before the new file is there. So their table travels first: rows of
 * a few small numbers, mostly zeros. docs/formats.md, "ELF differences", has the coding.
 *
 *     writer                                   reader
 *       ay__elf_map_make(old, ..., new, ...)     ay__elf_map_begin(old, size, cursor, &map)
 *                                                ay__elf_map_row(&map, cursor) until map.done == map.image.n
 *                                                ay__elf_map_end(&map)
 */
#ifndef AYNI_DIFF_ELF_MAP_H
#define AYNI_DIFF_ELF_MAP_H

#include "diff/elf.h"

/* A running end of what was laid out so far, in both files: what is laid out next begins there, rounded up. */
struct ay__elf_ends {
	uint64_t old, new_;
	bool any;
};

struct ay__elf_map {
	const struct ay__elf *old;
	struct ay__elf image; /* of the new file: only what rows tell */
	uint16_t *to_new;     /* owned; the new number of each old section, 0: gone */
	uint16_t *to_old;     /* owned; the other way */
	uint32_t done;        /* rows known; the empty first one counts */
	uint32_t last_old;    /* of the row before */
	struct ay__elf_ends relocations, others, addresses;
	uint64_t bss;
};

/* Takes the coded head, then each coded row; @coded is borrowed, and may have failed for want of memory. */
typedef void (*ay__elf_map_put)(void *ctx, const struct ay_buf *coded);

/**
 * ay__elf_map_make() - the map that leads from @old to @new_, sections matched by name and type, and its coding.
 * @old_src, @new_src: the files, for the names. @new_ stays the caller's.
 *
 * Return: 0, release @map; -ENOMEM.
 */
int ay__elf_map_make(const struct ay__elf *old, struct ay__source *old_src, const struct ay__elf *new_,
		     struct ay__source *new_src, ay__elf_map_put put, void *ctx, struct ay__elf_map *map);

/**
 * ay__elf_map_begin() - take the head from @c. @size: bytes of the new file.
 *
 * Return: 0, release @map; AY_EFORMAT the numbers make no sense; -ENOMEM.
 */
int ay__elf_map_begin(const struct ay__elf *old, uint64_t size, struct ay_cursor *c, struct ay__elf_map *map);
/** ay__elf_map_row() - take one row. 0 or AY_EFORMAT. */
int ay__elf_map_row(struct ay__elf_map *map, struct ay_cursor *c);
/** ay__elf_map_end() - all rows are there: make it ready for look-ups. 0 or -ENOMEM. */
int ay__elf_map_end(struct ay__elf_map *map);
/*
 * For who reads without the old file: take a head (returns the number of rows, the first one too, or 0 for AY_EFORMAT), a row (0 or
 * AY_EFORMAT). What only the old file can refute is let through.
 */
uint32_t ay__elf_map_skip_head(struct ay_cursor *c);
int ay__elf_map_skip_row(struct ay_cursor *c);

void ay__elf_map_release(struct ay__elf_map *map);

#endif
