/* SPDX-License-Identifier: MIT */
/*
 * tests/unit/diff/elf_kit.h - small ELF images for tests: sections put one behind the other, a header before, a table behind.
 */
#ifndef AYNI_TEST_ELF_KIT_H
#define AYNI_TEST_ELF_KIT_H

#include "base/bytes.h"
#include "diff/elf.h"

#define KIT_SECTIONS 12

struct elf_kit_section {
	const char *name;
	uint32_t type;
	uint64_t flags, addr;
	const void *data;
	size_t len;
	uint32_t link, info;
	uint64_t at; /* set by elf_kit_build(): where it lies */
};

struct elf_kit {
	enum ay__elf_machine machine;
	enum ay__elf_type type;
	struct elf_kit_section
		sections[KIT_SECTIONS]; /* from 1 on, until one without a name; the names' table is added */
};

/* The image's bytes, at the end of @out. */
void elf_kit_build(struct elf_kit *kit, struct ay_buf *out);

/*
 * A program as a compiler and a linker would make it, of @n functions (at most 2000): calls and references to data, a
 * jump table in every 16th, symbols, relocations, unwind table. The same @seed gives the same functions; for each bit set in
 * @variant some of them are larger, so that all behind them moves.
 */
void elf_kit_program(uint64_t seed, unsigned n, unsigned variant, enum ay__elf_machine machine,
		     enum ay__elf_type type, struct ay_buf *out);

#endif
