/* SPDX-License-Identifier: MIT */
/*
 * diff/fields.c - which sections are looked into, in which order; what one field says.
 *
 * Order matters, because the first rule to take a byte keeps it: what is known from headers comes before what only looks like
 * a pointer. Code comes before data, because jump tables begin where code points.
 */
#include "diff/fields.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "diff/fields_parts.h"

#define SHF_ALLOC   2
#define SHDR_SIZE   64
#define SYMBOL      24
#define SYMBOLS_MAX (1u << 20)
#define TAIL_OTHERS 256 /* words that are no address end the list behind a kernel image */
#define LOOKS       4   /* so many times the file's size is looked at, however its sections lie */

void ay__fields_release(struct ay__fields *f)
{
	free(f->kind);
	free(f->symbol_section);
	*f = (struct ay__fields){0};
}

/* ---- finding */

static void headers(struct ay__elf *elf, struct ay__fields *f)
{
	ay__field_mark(f, elf->start + 24, AY__FIELD_ABS64); /* e_entry */
	ay__field_mark(f, elf->start + 40, AY__FIELD_HEAD_SHOFF);
	for (uint32_t i = 1; i < elf->n; i++) {
		uint64_t at = elf->shoff + (uint64_t)i * SHDR_SIZE;

		ay__field_mark(f, at, AY__FIELD_HEAD_NAME);
		ay__field_mark(f, at + 16, AY__FIELD_HEAD_ADDR);
		ay__field_mark(f, at + 24, AY__FIELD_HEAD_OFFSET);
		ay__field_mark(f, at + 32, AY__FIELD_HEAD_SIZE);
	}
}

/* Which symbols of a relocatable file stand for a section. */
static int section_symbols(struct ay__source *src, struct ay__elf *elf, struct ay__fields *f)
{
	const struct ay__elf_section *s = elf->sections, *end = s + elf->n;

	while (s < end && !(s->holds == AY__HOLDS_SYMBOLS && s->has_bytes && !(s->flags & SHF_ALLOC)))
		s++;
	if (s == end || elf->type != AY__ELF_REL)
		return 0;
	f->n_symbols = s->size / SYMBOL < SYMBOLS_MAX ? (uint32_t)(s->size / SYMBOL) : SYMBOLS_MAX;
	f->symbol_section = calloc(f->n_symbols + 1, sizeof(*f->symbol_section));
	if (!f->symbol_section)
		return -ENOMEM;
	for (uint32_t i = 0; i < f->n_symbols; i++) {
		const uint8_t *p = ay__source_at(src, s->offset + (uint64_t)i * SYMBOL, SYMBOL);
		unsigned section = p ? (unsigned)(p[6] | p[7] << 8) : 0;

		if (p && (p[4] & 15) == 3 && section < elf->n)
			f->symbol_section[i] = (uint16_t)section;
	}
	return 0;
}

/*
 * The list of a kernel image's own addresses that are to be moved with it, which lies right behind the image. In a packed
 * kernel more bytes follow, so that their number says nothing: it is over where a while no word is an address. (The few of
 * data of each processor are none: where it lies in the image no section says.)
 */
static void relocation_tail(struct ay__source *src, struct ay__elf *elf, struct ay__fields *f)
{
	unsigned others = 0;

	if (elf->type != AY__ELF_EXEC || elf->machine != AY__ELF_X86_64)
		return;
	for (uint64_t at = elf->end; at < elf->size && elf->size - at >= 4 && others < TAIL_OTHERS; at += 4) {
		const uint8_t *p = ay__source_at(src, at, 4);

		if (p && ay__elf_loaded(elf, (uint64_t)(int64_t)(int32_t)ay_get_le32(p))) {
			ay__field_mark(f, at, AY__FIELD_ABS32);
			others = 0;
		} else {
			others++;
		}
	}
}

/* 0: what headers describe, 1: code, 2: data */
static unsigned turn_of(const struct ay__elf_section *s)
{
	return s->holds == AY__HOLDS_CODE ? 1 : s->holds == AY__HOLDS_DATA ? 2 : 0;
}

/* False: begin anew, without @second. */
static bool section_find(struct ay__source *src, struct ay__source *second, struct ay__elf *elf,
			 const struct ay__elf_section *s, struct ay__fields *f)
{
	switch (s->holds) {
	case AY__HOLDS_OTHER:
		break;
	case AY__HOLDS_CODE:
		if (elf->machine == AY__ELF_X86_64)
			return ay__fields_x86(src, second, elf, s, f);
		ay__fields_a64(src, elf, s, f);
		break;
	case AY__HOLDS_DEBUG:
		if (elf->type != AY__ELF_REL)
			ay__fields_debug(src, elf, s, f);
		break;
	case AY__HOLDS_BTF:
		ay__fields_btf(src, s, f);
		break;
	case AY__HOLDS_EH_FRAME:
		if (elf->type != AY__ELF_REL)
			ay__fields_eh_frame(src, s, f);
		break;
	case AY__HOLDS_DATA:
		if (elf->type != AY__ELF_REL)
			ay__fields_data(src, elf, s, f);
		break;
	case AY__HOLDS_RELA:
	case AY__HOLDS_SYMBOLS:
	case AY__HOLDS_GNU_HASH:
		ay__fields_table(src, elf, s, f);
		break;
	default: /* in a relocatable file these are zeros, and relocations say what will be there */
		if (elf->type != AY__ELF_REL)
			ay__fields_table(src, elf, s, f);
		break;
	}
	return true;
}

#define OUT_OF_STEP 1

static int find(struct ay__source *src, struct ay__source *second, struct ay__elf *elf, struct ay__fields *f)
{
	uint64_t looked = 0;
	int rc;

	*f = (struct ay__fields){.kind = calloc(1, src->size + 1), .size = src->size};
	rc = f->kind ? section_symbols(src, elf, f) : -ENOMEM;
	if (rc == 0)
		headers(elf, f);
	for (unsigned turn = 0; turn < 3 && rc == 0; turn++) {
		for (uint32_t i = 1; i < elf->n && rc == 0; i++) {
			const struct ay__elf_section *s = &elf->sections[i];

			if (!s->has_bytes || turn_of(s) != turn || s->size > LOOKS * src->size - looked)
				continue;
			looked += s->size;
			if (!section_find(src, second, elf, s, f))
				rc = OUT_OF_STEP;
		}
	}
	if (rc == 0) {
		relocation_tail(src, elf, f);
		rc = src->rc;
	}
	if (rc)
		ay__fields_release(f);
	return rc;
}

int ay__fields_find_by_two(struct ay__source *src, struct ay__source *second, struct ay__elf *elf,
			   struct ay__fields *f)
{
	int rc = find(src, second, elf, f);

	return rc == OUT_OF_STEP ? find(src, NULL, elf, f) : rc;
}

int ay__fields_find(struct ay__source *src, struct ay__elf *elf, struct ay__fields *f)
{
	return find(src, NULL, elf, f);
}

/* Of 8 bytes of kinds those where a field begins, by their highest bit: neither 0 nor INSIDE nor POINTED. */
static inline uint64_t begins(uint64_t eight)
{
	const uint64_t low = 0x7f7f7f7f7f7f7f7full;

	return ((eight & low) + low) & ~eight & ~low;
}

uint64_t ay__fields_next(const struct ay__fields *f, uint64_t at, uint64_t end)
{
	_Static_assert(AY__FIELD_KINDS < 128 && AY__FIELD_POINTED >= 128, "kinds are told by a bit");
	const uint8_t *kind = f->kind;

	for (; at < end && end - at >= 8; at += 8) {
		uint64_t b = begins(ay_get_le64(kind + at));

		if (b) {
			at += (unsigned)__builtin_ctzll(b) / 8;
			return ay__field_width(kind[at]) <= end - at ? at : end;
		}
	}
	for (; at < end; at++) {
		if (begins(kind[at]))
			return ay__field_width(kind[at]) <= end - at ? at : end;
	}
	return end;
}

/* ---- one field */

static uint64_t section_addr(const struct ay__elf *elf, uint32_t section)
{
	return section < elf->n ? elf->sections[section].addr : 0;
}

/* The section that section @s names by sh_link (or sh_info). */
static uint32_t linked(const struct ay__elf_section *s, const struct ay__elf *elf, bool info)
{
	uint32_t i = s ? info ? s->info : s->link : 0;

	return i < elf->n ? i : 0;
}

static uint64_t load_at(struct ay__source *src, uint64_t at, unsigned width)
{
	const uint8_t *p = ay__source_at(src, at, width);

	return p ? ay__field_load(p, width) : 0;
}

/* The symbol table's field before this one in the same row; 0 where it is none. */
static uint64_t symbol_target(struct ay__elf *elf, struct ay__source *src, uint64_t at)
{
	uint64_t value = load_at(src, at - 8, 8), section = load_at(src, at - 10, 2);

	return elf->type == AY__ELF_REL ? section_addr(elf, (uint32_t)section) + value : value;
}

/* Who goes through a table asks for one entry after the other. */
static uint32_t jump_table_back(const struct ay__fields *f, struct ay__elf *elf, uint64_t at)
{
	uint32_t back = 0;

	if (at == elf->last_entry + 4)
		back = elf->last_back + 4;
	while (back < AY__JUMP_TABLE_MAX && back + 4 <= at && f->kind[at - back] == AY__FIELD_JUMP_NEXT)
		back += 4;
	elf->last_entry = at;
	elf->last_back = back;
	return back;
}

/* The section from whose beginning a field counts. */
static uint32_t section_from(const struct ay__fields *f, struct ay__elf *elf, struct ay__source *src,
			     const struct ay__field *o)
{
	const struct ay__elf_section *own = ay__elf_section_of(elf, o->at);
	uint64_t symbol;

	switch (o->kind) {
	case AY__FIELD_SECTION32:
		return own ? (uint32_t)(own - elf->sections) : 0;
	case AY__FIELD_RELA_ADDEND:
	case AY__FIELD_RELA_ADDEND_PC:
		symbol = load_at(src, o->at - 4, 4);
		return symbol < f->n_symbols ? f->symbol_section[symbol] : 0;
	case AY__FIELD_SYMBOL_VALUE:
		return (uint32_t)load_at(src, o->at - 2, 2);
	case AY__FIELD_HEAD_NAME:
		return elf->shstrndx;
	default:
		return linked(own, elf, o->kind == AY__FIELD_RELA_OFFSET);
	}
}

static const uint8_t immediate_behind[AY__FIELD_KINDS] = {
	[AY__FIELD_RIP1] = 1, [AY__FIELD_RIP2] = 2, [AY__FIELD_RIP4] = 4};

/* From where a field of an instruction or a row counts: .from and what belongs to it. */
static void describe_from(const struct ay__fields *f, struct ay__elf *elf, struct ay__source *src,
			  struct ay__field *o)
{
	switch (o->kind) {
	case AY__FIELD_BRANCH:
	case AY__FIELD_RIP0:
	case AY__FIELD_RIP1:
	case AY__FIELD_RIP2:
	case AY__FIELD_RIP4:
		o->from = AY__FROM_FIELD;
		o->add = 4 + immediate_behind[o->kind];
		break;
	case AY__FIELD_A64_BRANCH26:
	case AY__FIELD_A64_IMM19:
	case AY__FIELD_A64_IMM14:
	case AY__FIELD_A64_ADR:
	case AY__FIELD_REL32:
	case AY__FIELD_EH_CIE:
		o->from = AY__FROM_FIELD;
		break;
	case AY__FIELD_A64_ADRP:
		o->from = AY__FROM_PAGE;
		break;
	case AY__FIELD_JUMP_FIRST:
	case AY__FIELD_JUMP_NEXT:
		o->from = AY__FROM_TABLE;
		o->back = o->kind == AY__FIELD_JUMP_NEXT ? jump_table_back(f, elf, o->at) : 0;
		break;
	case AY__FIELD_SECTION32:
	case AY__FIELD_RELA_OFFSET:
	case AY__FIELD_RELA_SYMBOL:
	case AY__FIELD_RELA_ADDEND:
	case AY__FIELD_RELA_ADDEND_PC:
	case AY__FIELD_SYMBOL_NAME:
	case AY__FIELD_SYMBOL_VALUE:
	case AY__FIELD_HEAD_NAME:
		o->from = AY__FROM_SECTION;
		o->section = section_from(f, elf, src, o);
		o->add = o->kind == AY__FIELD_RELA_ADDEND_PC ? 4 : 0;
		break;
	case AY__FIELD_EH_LENGTH:
	case AY__FIELD_SYMBOL_SIZE:
		o->from = AY__FROM_TARGET;
		o->back = o->kind == AY__FIELD_EH_LENGTH ? 4 : 8;
		break;
	case AY__FIELD_BTF_TYPE:
	case AY__FIELD_BTF_NAME:
		o->from = AY__FROM_SPACE;
		o->base = o->kind == AY__FIELD_BTF_TYPE ? AY__BTF_TYPE_SPACE : AY__BTF_NAME_SPACE;
		break;
	case AY__FIELD_SYMBOL_SECTION:
	case AY__FIELD_HEAD_SHOFF:
	case AY__FIELD_HEAD_ADDR:
	case AY__FIELD_HEAD_OFFSET:
	case AY__FIELD_HEAD_SIZE:
		o->from = AY__FROM_NUMBER;
		break;
	default:
		o->from = AY__FROM_ZERO;
		break;
	}
}

/* The ADRP that the field at @o->at completes: the nearest one before it of the same register. */
static void describe_low12(struct ay__elf *elf, struct ay__source *src, struct ay__field *o)
{
	unsigned reg = o->raw >> 5 & 31;

	o->from = AY__FROM_ADRP;
	for (uint32_t back = 4; back <= 32 && back <= o->at; back += 4) {
		uint64_t word = load_at(src, o->at - back, 4);

		if ((word & 0x9f00001f) != (0x90000000 | reg))
			continue;
		o->back = back;
		o->base = (ay__elf_addr(elf, o->at - back) & ~4095ull) +
			  (uint64_t)ay__field_number(AY__FIELD_A64_ADRP, word);
		return;
	}
}

void ay__field_describe(const struct ay__fields *f, struct ay__elf *elf, struct ay__source *src, uint64_t at,
			struct ay__field *out)
{
	*out = (struct ay__field){.at = at, .kind = (enum ay__field_kind)f->kind[at]};
	out->width = ay__field_width(out->kind);
	out->raw = load_at(src, at, out->width);
	if (out->kind == AY__FIELD_A64_LOW12)
		describe_low12(elf, src, out);
	else
		describe_from(f, elf, src, out);
	switch (out->from) {
	case AY__FROM_FIELD:
		out->base = ay__elf_addr(elf, at) + out->add;
		break;
	case AY__FROM_PAGE:
		out->base = ay__elf_addr(elf, at) & ~4095ull;
		break;
	case AY__FROM_SECTION:
		out->base = section_addr(elf, out->section) + out->add;
		break;
	case AY__FROM_TABLE:
		out->base = ay__elf_addr(elf, at - out->back);
		break;
	case AY__FROM_TARGET:
		out->base = out->kind == AY__FIELD_SYMBOL_SIZE
				    ? symbol_target(elf, src, at)
				    : ay__elf_addr(elf, at - 4) + (uint64_t)(int32_t)load_at(src, at - 4, 4);
		break;
	default:
		break;
	}
	out->target = out->base + (uint64_t)ay__field_number(out->kind, out->raw);
	if (out->kind == AY__FIELD_A64_ADRP) {
		size_t left = f->size - at < 36 ? (size_t)(f->size - at) : 36;
		const uint8_t *p = ay__source_at(src, at, left);

		if (p && ay__a64_partner(p, left, &out->low12))
			out->target += out->low12;
	}
}
