/* SPDX-License-Identifier: MIT */
/*
 * diff/technique.h - what makes a bundle small, by name, so that each can be left out and its worth measured.
 *
 * Leaving one out changes what the encoder looks for, never the format: every such bundle is applied as any other.
 */
#ifndef AYNI_DIFF_TECHNIQUE_H
#define AYNI_DIFF_TECHNIQUE_H

#include "base/error.h"

/* Name (as `ayni delta make --without` takes it), and what is left out. */
#define AY_TECHNIQUES(X)                                                                                     \
	X(RENAME, "rename", "bases at other paths than the file's own, chosen by names")                     \
	X(SKETCH, "sketch", "bases chosen by content, and the order of files without one")                   \
	X(SEVERAL, "several", "a second base, where the first one is not good")                              \
	X(ELF, "elf", "predicted addresses in ELF files, with mask and btf")                                 \
	X(MASK, "mask", "matching of ELF files in which addresses do not count")                             \
	X(BTF, "btf", "the map of the kernel's type numbers")                                                \
	X(DEFLATE, "deflate", "looking into gzip, zip and zlib")                                             \
	X(XZ, "xz", "looking into xz")                                                                       \
	X(ZSTD, "zstd", "looking into zstd")                                                                 \
	X(PACK_XZ, "pack-xz", "packing a bundle's own parts by xz where that is smaller than zstd")          \
	X(THRESHOLD, "threshold", "a second threshold of matching, where a file costs much")

enum ay__technique_number {
#define AY__NUMBER(id, name, what) AY__TECHNIQUE_##id,
	AY_TECHNIQUES(AY__NUMBER)
#undef AY__NUMBER
		AY_TECHNIQUES_N
};

/* One bit each, for struct ay_make_options. */
enum ay_technique {
#define AY__BIT(id, name, what) AY_TECHNIQUE_##id = 1 << AY__TECHNIQUE_##id,
	AY_TECHNIQUES(AY__BIT)
#undef AY__BIT
};

/**
 * ay_techniques_parse() - the bits of @text, names with commas between them, are added to @mask.
 *
 * Return: 0; AY_EUSAGE with the name that is none, and all that there are; @mask is as it was then.
 */
int ay_techniques_parse(const char *text, unsigned *mask, struct ay_err *err);

#endif
