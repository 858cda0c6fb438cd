/* SPDX-License-Identifier: MIT */
/*
 * diff/fields_parts.h - the finder's parts, a set of rules each: between the files of the finder (internal to diff/).
 */
#ifndef AYNI_DIFF_FIELDS_PARTS_H
#define AYNI_DIFF_FIELDS_PARTS_H

#include "diff/elf.h"
#include "diff/field.h"

#define AY__JUMP_TABLE_MAX 8192 /* bytes of a jump table that are looked at */

/*
 * The instructions of a section of code from byte @at of it on, up to the first one that begins at @to or behind it. Returns where
 * that is. @f: NULL: they are only passed over.
 */
uint64_t ay__fields_x86_walk(struct ay__source *src, struct ay__elf *elf, const struct ay__elf_section *s,
			     struct ay__fields *f, uint64_t at, uint64_t to);
/*
 * All of them. @second: the same bytes as @src, for a second thread; NULL: there is none. False: the threads were out of step, and
 * what was marked is worth nothing: begin anew without.
 */
bool ay__fields_x86(struct ay__source *src, struct ay__source *second, struct ay__elf *elf,
		    const struct ay__elf_section *s, struct ay__fields *f);
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
