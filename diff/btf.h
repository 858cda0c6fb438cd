/* SPDX-License-Identifier: MIT */
/*
 * diff/btf.h - the numbers of types and names in a kernel's type descriptions, .BTF (internal to diff/).
 *
 * A module's types refer to each other and to the kernel's own types by number, and to names by offset; the kernel's come first. When
 * a kernel is built anew its types are numbered anew, and every module's description changes in nearly every reference, always from
 * the same old number to the same new one. So a bundle carries one table for all modules (struct ay__btf_map), from which old
 * numbers are turned into new ones.
 *
 * Source: Linux, Documentation/bpf/btf.rst and include/uapi/linux/btf.h.
 */
#ifndef AYNI_DIFF_BTF_H
#define AYNI_DIFF_BTF_H

#include "base/bytes.h"
#include "diff/source.h"

enum ay__btf_space { AY__BTF_TYPE = 0, AY__BTF_NAME, AY__BTF_SPACES };

struct ay__btf {
	uint64_t at, size;         /* the section, in the source */
	uint64_t types, types_end; /* offsets in the source */
	uint64_t names, names_end;
};

/** ay__btf_parse() - the header of the section at @at. False: it is not one that is known here. */
bool ay__btf_parse(struct ay__source *src, uint64_t at, uint64_t size, struct ay__btf *out);

/* Goes through all references, in the order of the file. Zero-initialise, set .src, .at (the first type) and .end. */
struct ay__btf_walk {
	struct ay__source *src;
	uint64_t at, end; /* of types */
	/* the type in hand */
	uint64_t type;  /* where it begins */
	uint32_t index; /* counted from 0 in this section */
	unsigned kind, n;
	uint32_t step; /* the next reference in it */
};

/**
 * ay__btf_next() - the next reference: 4 bytes at *@at, little-endian.
 *
 * Return: false: there is none, or the rest is nothing that is known.
 */
bool ay__btf_next(struct ay__btf_walk *w, uint64_t *at, enum ay__btf_space *space);

/* Old numbers and what they became: a row holds from its .from to the next row's. */
struct ay__btf_row {
	uint32_t from, to;
};
struct ay__btf_map {
	struct ay__btf_row *rows[AY__BTF_SPACES]; /* owned; ascending */
	uint32_t n[AY__BTF_SPACES];
	uint32_t own
		[AY__BTF_SPACES]
		[2]; /* where modules' own numbers begin, in old and new; who learned the map knows, else 0 */
};

#define AY__BTF_ROWS_MAX                                                                                     \
	65536 /* of a space: half a MiB. The kernel has 100,000 types; one in five moves by itself */

#define AY__BTF_MAP_MEMORY_MAX (AY__BTF_SPACES * AY__BTF_ROWS_MAX * 8u) /* of a map at most */

/** ay__btf_map_memory() - bytes that a map of @size coded bytes needs at most: a row has two of them, and eight in memory. */
static inline uint64_t ay__btf_map_memory(uint64_t size)
{
	return 4 * size < AY__BTF_MAP_MEMORY_MAX ? 4 * size : AY__BTF_MAP_MEMORY_MAX;
}

void ay__btf_map_release(struct ay__btf_map *m);

/** ay__btf_mapped() - what old number @v became. Without rows: @v itself. */
uint32_t ay__btf_mapped(const struct ay__btf_map *m, enum ay__btf_space space, uint32_t v);

/** ay__btf_map_put() - append the map's bytes (docs/formats.md, "BTF map"). */
void ay__btf_map_put(struct ay_buf *out, const struct ay__btf_map *m);

/** ay__btf_map_get() - read them. 0; AY_EFORMAT; -ENOMEM. Release @m in any case. */
int ay__btf_map_get(struct ay_cursor *c, struct ay__btf_map *m);

#endif
