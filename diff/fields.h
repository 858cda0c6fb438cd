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
 * The rules are numbered by enum ay__field_kind (diff/field.h); docs/formats.md, "ELF differences", says each exactly. Both sides of a bundle must find the
 * same fields, so a rule is never changed: a new set of rules is a new method.
 */
#ifndef AYNI_DIFF_FIELDS_H
#define AYNI_DIFF_FIELDS_H

#include "diff/elf.h"
#include "diff/field.h"

/* Where type numbers and name offsets begin, as targets. */
#define AY__BTF_TYPE_SPACE (1ull << 60)
#define AY__BTF_NAME_SPACE (1ull << 60 | 1ull << 40)

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
/**
 * ay__fields_find_by_two() - the same fields, the instructions of large sections in two threads.
 * @second: another source of the same bytes, for the second thread; a failure of it shows in @src too. NULL: one thread.
 */
int ay__fields_find_by_two(struct ay__source *src, struct ay__source *second, struct ay__elf *elf,
			   struct ay__fields *f);

/** ay__fields_next() - where the first field begins that lies wholly in [@at, @end); @end: there is none. */
uint64_t ay__fields_next(const struct ay__fields *f, uint64_t at, uint64_t end);

/** ay__field_describe() - look at the field that begins at @at (ay__fields_next() said so). */
void ay__field_describe(const struct ay__fields *f, struct ay__elf *elf, struct ay__source *src, uint64_t at,
			struct ay__field *out);

#endif
