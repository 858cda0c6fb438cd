/* SPDX-License-Identifier: MIT */
/*
 * diff/field.h - the kinds of fields (diff/fields.h), and where they are marked (internal to diff/).
 */
#ifndef AYNI_DIFF_FIELD_H
#define AYNI_DIFF_FIELD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

enum ay__field_kind {
	AY__FIELD_NONE = 0,
	/* x86-64 code */
	AY__FIELD_BRANCH, /* rel32 of call, jmp, jcc */
	AY__FIELD_RIP0,   /* RIP-relative displacement at the instruction's end */
	AY__FIELD_RIP1,   /* with 1 byte of immediate behind it */
	AY__FIELD_RIP2,
	AY__FIELD_RIP4,
	AY__FIELD_ABS32, /* sign-extended; not only in code */
	AY__FIELD_ABS64, /* anywhere */
	/* AArch64 code: the whole word is the field */
	AY__FIELD_A64_BRANCH26,
	AY__FIELD_A64_IMM19, /* B.cond, CBZ, CBNZ, LDR literal */
	AY__FIELD_A64_IMM14, /* TBZ, TBNZ */
	AY__FIELD_A64_ADR,
	AY__FIELD_A64_ADRP,
	AY__FIELD_A64_LOW12, /* ADD, LDR, STR that complete an ADRP */
	/* tables */
	AY__FIELD_REL32,          /* sign-extended, from the field itself */
	AY__FIELD_JUMP_FIRST,     /* rel32 from the first entry of the table: that one */
	AY__FIELD_JUMP_NEXT,      /* the others */
	AY__FIELD_SECTION32,      /* sign-extended, from the beginning of its own section (.eh_frame_hdr) */
	AY__FIELD_EH_CIE,         /* distance back to the CIE */
	AY__FIELD_EH_LENGTH,      /* bytes of code from the REL32 before it */
	AY__FIELD_RELA_OFFSET,    /* offset in the section that sh_info names */
	AY__FIELD_RELA_SYMBOL,    /* number in the symbol table that sh_link names */
	AY__FIELD_RELA_ADDEND,    /* offset in the section whose symbol the relocation has */
	AY__FIELD_RELA_ADDEND_PC, /* the same, 4 less */
	AY__FIELD_SYMBOL_NAME,    /* offset in the string table that sh_link names */
	AY__FIELD_SYMBOL_SECTION, /* 2 bytes: a section's number */
	AY__FIELD_SYMBOL_VALUE,   /* offset in the symbol's section (relocatable files) */
	AY__FIELD_SYMBOL_SIZE,    /* bytes from the symbol's value on */
	/* the ELF header and the section headers: known from the section map */
	AY__FIELD_HEAD_SHOFF,
	AY__FIELD_HEAD_NAME,
	AY__FIELD_HEAD_ADDR,
	AY__FIELD_HEAD_OFFSET,
	AY__FIELD_HEAD_SIZE,
	/* .BTF (diff/btf.h): numbers in a space of their own each */
	AY__FIELD_BTF_TYPE,
	AY__FIELD_BTF_NAME,
	AY__FIELD_KINDS,
};

/* Every byte's kind, where a field begins there. Zero-initialise; release. */
struct ay__fields {
	uint8_t *kind; /* owned; a byte per byte of the file: a kind, or AY__FIELD_INSIDE, or 0 */
	uint64_t size;
	/* relocatable files: for each symbol that stands for a section, that section, else 0 */
	uint16_t *symbol_section; /* owned */
	uint32_t n_symbols;
};

#define AY__FIELD_INSIDE 0xff /* a byte of a field, not the first */
#define AY__FIELD_POINTED                                                                                    \
	0xfe /* while fields are looked for: code takes this address, perhaps a jump table's */

/* Set the field at @at unless one of its bytes belongs to another one. */
void ay__field_mark(struct ay__fields *f, uint64_t at, enum ay__field_kind kind);

/* Code takes the address of the byte at @at. Two threads may mark and point, in fields that are apart: what comes out is the same. */
void ay__field_point(struct ay__fields *f, uint64_t at);

/** ay__field_width() - bytes of a field of @kind; 0: none such. */
unsigned ay__field_width(unsigned kind);

/** ay__field_column() - which column a residue goes to: 0 of instructions, 1 up to 4 bytes, 2 of 8 bytes. */
unsigned ay__field_column(unsigned kind);

/** ay__field_number() - the signed number in a field's bytes @raw: target = base + number. */
int64_t ay__field_number(enum ay__field_kind kind, uint64_t raw);

/** ay__field_put() - @raw with its number replaced. What does not fit is cut off. */
uint64_t ay__field_put(enum ay__field_kind kind, uint64_t raw, int64_t number);

/** ay__field_load() - the @width bytes at @p. ay__field_store(): back. */
static inline uint64_t ay__field_load(const uint8_t *p, unsigned width)
{
	return width == 8 ? ay_get_le64(p) : width == 4 ? ay_get_le32(p) : (uint64_t)(p[0] | p[1] << 8);
}

static inline void ay__field_store(uint8_t *p, unsigned width, uint64_t raw)
{
	for (unsigned i = 0; i < 2; i++)
		p[i] = (uint8_t)(raw >> 8 * i);
	for (unsigned i = 2; i < 4 && width >= 4; i++)
		p[i] = (uint8_t)(raw >> 8 * i);
	for (unsigned i = 4; i < 8 && width == 8; i++)
		p[i] = (uint8_t)(raw >> 8 * i);
}

#endif
