/* SPDX-License-Identifier: MIT */
/*
 * diff/fields.h - where in an ELF file numbers stand that point at something (internal to diff/).
 *
 * A *field* is 2, 4 or 8 bytes that hold, in one of the ways listed below, the address of something in the same image: the distance
 * of a call, an entry of a jump table, a symbol's value. When code moves, these are the bytes that change. Fields are found
 * in one pass, by a fixed set of rules, from the bytes alone: whoever has the file finds the same ones. A rule may be
 * wrong (bytes that only look like an instruction): that costs size when a file is predicted, never correctness.
 *
 *     struct ay__source src = ay__source_memory(data, size);
 *     struct ay__elf elf; struct ay__fields f = {0};
 *     ay__elf_parse(&src, 0, &elf); ay__fields_find(&src, &elf, &f);
 *     for (at = ay__fields_next(&f, 0, size); at < size; at = ay__fields_next(&f, at + d.width, size)) {
 *             ay__field_describe(&f, &elf, &src, at, &d);
 *             d.target ... and its offset by ay__elf_offset(&elf, d.target, &offset)
 *     }
 *
 * The rules are numbered by enum ay__field_kind; docs/formats.md, "ELF differences", says each exactly. Both sides of a bundle must find the
 * same fields, so a rule is never changed: a new set of rules is a new method.
 */
#ifndef AYNI_DIFF_FIELDS_H
#define AYNI_DIFF_FIELDS_H

#include "diff/elf.h"

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

/* Where type numbers and name offsets begin, as targets. */
#define AY__BTF_TYPE_SPACE (1ull << 60)
#define AY__BTF_NAME_SPACE (1ull << 60 | 1ull << 40)

#define AY__FIELD_INSIDE 0xff /* a byte of a field, not the first */

/* What a field's number is counted from. */
enum ay__field_from {
	AY__FROM_ZERO = 0,
	AY__FROM_FIELD,   /* its own address, and .add */
	AY__FROM_PAGE,    /* the 4096-byte page of its own address */
	AY__FROM_SECTION, /* the beginning of section .section */
	AY__FROM_TABLE,   /* the address .back bytes before it */
	AY__FROM_TARGET,  /* the target of the field .back bytes before it */
	AY__FROM_ADRP,    /* the page that the ADRP .back bytes before it gives */
	AY__FROM_SPACE, /* the beginning of a space that has nothing to do with addresses: .base, in both files */
	AY__FROM_NUMBER, /* nothing: a section's number, or a value of the section map */
};

struct ay__field {
	uint64_t at;
	enum ay__field_kind kind;
	unsigned width;
	enum ay__field_from from;
	uint32_t section;
	uint32_t back, add;
	uint64_t raw;  /* the field's bytes */
	uint64_t base; /* what it is counted from, as an address */
	uint64_t
		target; /* base and number: what it points at; of an ADRP with the 12 bits that complete it */
	unsigned low12; /* of an ADRP: those */
};

/**
 * ay__fields_find() - find all fields of @elf in @src.
 *
 * Time is linear in the bytes, whatever they are: sections that lie over each other are looked at only until four times the
 * file's size was. Memory: the byte per byte, and 2 for each of at most 2^20 symbols.
 *
 * Return: 0, release @f; -ENOMEM; the source's own failure.
 */
int ay__fields_find(struct ay__source *src, struct ay__elf *elf, struct ay__fields *f);
void ay__fields_release(struct ay__fields *f);

/** ay__field_width() - bytes of a field of @kind; 0: none such. */
unsigned ay__field_width(unsigned kind);

/** ay__field_column() - which column a residue goes to: 0 of instructions, 1 up to 4 bytes, 2 of 8 bytes. */
unsigned ay__field_column(unsigned kind);

/** ay__fields_next() - where the first field begins that lies wholly in [@at, @end); @end: there is none. */
uint64_t ay__fields_next(const struct ay__fields *f, uint64_t at, uint64_t end);

/** ay__field_describe() - look at the field that begins at @at (ay__fields_next() said so). */
void ay__field_describe(const struct ay__fields *f, struct ay__elf *elf, struct ay__source *src, uint64_t at,
			struct ay__field *out);

/** ay__field_number() - the signed number in a field's bytes @raw: target = base + number. */
int64_t ay__field_number(enum ay__field_kind kind, uint64_t raw);

/** ay__field_put() - @raw with its number replaced. What does not fit is cut off. */
uint64_t ay__field_put(enum ay__field_kind kind, uint64_t raw, int64_t number);

/** ay__field_load() - the @width bytes at @p. ay__field_store(): back. */
uint64_t ay__field_load(const uint8_t *p, unsigned width);
void ay__field_store(uint8_t *p, unsigned width, uint64_t raw);

/* ---- between the files of the finder */

/* Set the field at @at unless one of its bytes belongs to another one. */
void ay__field_mark(struct ay__fields *f, uint64_t at, enum ay__field_kind kind);

#define AY__JUMP_TABLE_MAX 8192 /* bytes of a jump table that are looked at */
#define AY__FIELD_POINTED                                                                                    \
	0xfe /* while fields are looked for: code takes this address, perhaps a jump table's */

void ay__fields_x86(struct ay__source *src, struct ay__elf *elf, const struct ay__elf_section *s,
		    struct ay__fields *f);
void ay__fields_a64(struct ay__source *src, struct ay__elf *elf, const struct ay__elf_section *s,
		    struct ay__fields *f);
/* How many bytes behind the ADRP at @p (of @n bytes) what completes it is; 0: nothing near. @low12: its bits. */
unsigned ay__a64_partner(const uint8_t *p, size_t n, unsigned *low12);
void ay__fields_table(struct ay__source *src, struct ay__elf *elf, const struct ay__elf_section *s,
		      struct ay__fields *f);
void ay__fields_data(struct ay__source *src, struct ay__elf *elf, const struct ay__elf_section *s,
		     struct ay__fields *f);
void ay__fields_debug(struct ay__source *src, struct ay__elf *elf, const struct ay__elf_section *s,
		      struct ay__fields *f);
void ay__fields_btf(struct ay__source *src, const struct ay__elf_section *s, struct ay__fields *f);
void ay__fields_eh_frame(struct ay__source *src, const struct ay__elf_section *s, struct ay__fields *f);

#endif
