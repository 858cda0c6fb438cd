/* SPDX-License-Identifier: MIT */
/*
 * diff/elf.h - as much of an ELF file as predicting its addresses needs: where its sections lie (internal to diff/).
 *
 * Known are ELF64 little-endian files of x86-64 and AArch64: modules (.ko) and other relocatable files, shared
 * objects, executables, a kernel's image. The image may begin anywhere in the bytes (the payload of a packed kernel does not
 * begin with it), and bytes may follow it.
 *
 * **One space of addresses.** What fields point at are addresses; but symbol tables, names and relocations point at things
 * that have none, and in a relocatable file nothing has. So every byte gets an address here: its own in a section that is loaded
 * (SHF_ALLOC, and the file is not relocatable), else AY__FILE_SPACE plus its offset. Sections without bytes
 * (.bss) of a relocatable file are laid one after another from AY__BSS_SPACE on.
 */
#ifndef AYNI_DIFF_ELF_H
#define AYNI_DIFF_ELF_H

#include <stdbool.h>

#include "base/bytes.h"
#include "diff/source.h"

#define AY__ELF_SECTIONS_MAX 4096 /* a kernel module with one section per function has about 1000 */
#define AY__FILE_SPACE       (1ull << 62)
#define AY__BSS_SPACE        (AY__FILE_SPACE | 1ull << 48)

enum ay__elf_machine { AY__ELF_X86_64 = 62, AY__ELF_AARCH64 = 183 };
enum ay__elf_type { AY__ELF_REL = 1, AY__ELF_EXEC = 2, AY__ELF_DYN = 3 };

/* What a section holds, by its type or name: which rules look into it (diff/fields.h). */
enum ay__elf_holds {
	AY__HOLDS_OTHER = 0,
	AY__HOLDS_CODE,
	AY__HOLDS_RELA,
	AY__HOLDS_SYMBOLS,
	AY__HOLDS_GNU_HASH,
	AY__HOLDS_EH_FRAME,
	AY__HOLDS_EH_FRAME_HDR,
	AY__HOLDS_BTF,
	AY__HOLDS_DEBUG, /* DWARF: addresses of 8 bytes anywhere */
	AY__HOLDS_DATA,  /* loaded, not code: pointers, jump tables */
	/* the kernel's tables: rows of a fixed length */
	AY__HOLDS_REL32,           /* 4: .orc_unwind_ip, .retpoline_sites, .smp_locks... */
	AY__HOLDS_KSYMTAB,         /* 12: three */
	AY__HOLDS_EX_TABLE,        /* 12: two, then a number */
	AY__HOLDS_BUG_TABLE,       /* 12: two, then a line and flags */
	AY__HOLDS_ALTINSTRUCTIONS, /* 12 or 14: two, then numbers */
};

struct ay__elf_section {
	uint64_t addr; /* in the space above */
	uint64_t offset, size;
	uint64_t raw_addr, raw_offset,
		raw_size; /* as the section header says; the offset from the beginning of the bytes */
	uint64_t entsize, align;
	uint64_t flags;
	uint32_t type, link, info;
	uint32_t name;  /* offset in section e_shstrndx */
	bool has_bytes; /* it lies in the file, wholly */
	bool addressed; /* it counts when an address is looked up */
	enum ay__elf_holds holds;
};

struct ay__elf {
	uint64_t start; /* where the image begins; all offsets here count from the beginning of the bytes */
	uint64_t end;   /* where its last section or header ends */
	uint64_t size;  /* of all bytes */
	uint64_t shoff; /* of the section headers; absolute */
	enum ay__elf_machine machine;
	enum ay__elf_type type;
	uint32_t n; /* sections, the empty first one too */
	uint32_t shstrndx;
	struct ay__elf_section *sections; /* owned; index as in the file */
	uint16_t *by_offset, *by_addr;    /* owned; sections with bytes, addressed ones; sorted */
	uint64_t *offsets, *addrs;        /* owned; where these begin, in their order */
	uint32_t n_by_offset, n_by_addr;
	uint32_t last_offset, last_addr; /* where look-ups ended last, in by_offset and by_addr */
	uint64_t
		last_entry; /* of a jump table, described last; it is .last_back bytes behind the table's beginning */
	uint32_t last_back;
};

/**
 * ay__elf_parse() - read the section table of the image that begins at @start of @src.
 *
 * Sections that do not fit into the bytes are kept as empty ones. Nothing is believed: a wrong table costs only the prediction.
 *
 * Return: 0, release @elf; AY_EUNSUPPORTED it is nothing that is known here; -ENOMEM; the source's own failure.
 */
int ay__elf_parse(struct ay__source *src, uint64_t start, struct ay__elf *elf);
void ay__elf_release(struct ay__elf *elf);

#define AY__ELF_START_MAX 65536 /* an image is looked for up to there */

/**
 * ay__elf_find() - where the first image of a known machine begins in @len bytes at @data. False: nowhere near the beginning.
 *
 * Only its first bytes are looked at.
 */
bool ay__elf_find(const uint8_t *data, size_t len, uint64_t *start);

/** ay__elf_index() - sort the sections for the look-ups below, after they were changed. 0 or -ENOMEM. */
int ay__elf_index(struct ay__elf *elf);

/** ay__elf_section_of() - the section with bytes that offset @at lies in; NULL: none. */
const struct ay__elf_section *ay__elf_section_of(struct ay__elf *elf, uint64_t at);

/** ay__elf_addr() - the address of offset @at. */
uint64_t ay__elf_addr(struct ay__elf *elf, uint64_t at);

/**
 * ay__elf_section_at() - the addressed section that begins last at or before @addr, so that it ends behind it or is
 * the nearest one. NULL: none, or @addr is in the file space.
 */
const struct ay__elf_section *ay__elf_section_at(struct ay__elf *elf, uint64_t addr);

/** ay__elf_offset() - where the byte of address @addr lies. False: it has no bytes in the file. */
bool ay__elf_offset(struct ay__elf *elf, uint64_t addr, uint64_t *at);

/** ay__elf_loaded() - is @addr inside a loaded section (or, for the end of things, right behind its last byte)? */
bool ay__elf_loaded(struct ay__elf *elf, uint64_t addr);

/** ay__elf_code() - does @addr lie in a section that is executed? */
bool ay__elf_code(struct ay__elf *elf, uint64_t addr);

#endif
