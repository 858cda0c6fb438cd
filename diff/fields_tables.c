/* SPDX-License-Identifier: MIT */
/*
 * diff/fields_tables.c - addresses in tables of rows, and in data.
 *
 * Sources: "System V Application Binary Interface" (relocations, symbols) and its AMD64 and AArch64 supplements; for .gnu.hash the GNU
 * C Library's elf/dl-lookup.c; for the kernel's tables the structures in Linux's include/asm-generic/bug.h,
 * arch/x86/include/asm/extable.h and alternative.h.
 */
#include "base/sparse.h"
#include "diff/fields_parts.h"

#define SHF_WRITE 1
#define SHF_ALLOC 2
#define SYMBOL    24
#define RELA      24
#define STT_TLS   6
#define SHN_ABS   0xfff1
#define CHUNK     65520 /* a multiple of all rows' lengths but 14 and 16 need not be: rows are taken whole */

static bool relative(const struct ay__elf *elf, uint32_t type)
{
	return elf->machine == AY__ELF_X86_64 ? type == 8 || type == 37 : type == 1027 || type == 1032;
}

/* R_X86_64_PC32, PLT32: the addend is 4 less than where it points, as a rule. */
static bool pc_relative(const struct ay__elf *elf, uint32_t type)
{
	return elf->machine == AY__ELF_X86_64 && (type == 2 || type == 4);
}

static void rela_row(struct ay__elf *elf, const uint8_t *p, uint64_t at, struct ay__fields *f)
{
	uint32_t type = ay_get_le32(p + 8), symbol = ay_get_le32(p + 12);
	bool rel = elf->type == AY__ELF_REL;

	ay__field_mark(f, at, rel ? AY__FIELD_RELA_OFFSET : AY__FIELD_ABS64);
	if (symbol)
		ay__field_mark(f, at + 12, AY__FIELD_RELA_SYMBOL);
	if (rel && symbol < f->n_symbols && f->symbol_section[symbol])
		ay__field_mark(f, at + 16,
			       pc_relative(elf, type) ? AY__FIELD_RELA_ADDEND_PC : AY__FIELD_RELA_ADDEND);
	if (!rel && relative(elf, type))
		ay__field_mark(f, at + 16, AY__FIELD_ABS64);
}

static void symbol_row(struct ay__elf *elf, const uint8_t *p, uint64_t at, struct ay__fields *f)
{
	unsigned section = (unsigned)(p[6] | p[7] << 8);

	if (ay_get_le32(p))
		ay__field_mark(f, at, AY__FIELD_SYMBOL_NAME);
	if (section == 0 || section >= elf->n)
		return;
	ay__field_mark(f, at + 6, AY__FIELD_SYMBOL_SECTION);
	if ((p[4] & 15) == STT_TLS)
		return;
	ay__field_mark(f, at + 8, elf->type == AY__ELF_REL ? AY__FIELD_SYMBOL_VALUE : AY__FIELD_ABS64);
	if (ay_get_le64(p + 16))
		ay__field_mark(f, at + 16, AY__FIELD_SYMBOL_SIZE);
}

static void kernel_row(enum ay__elf_holds holds, uint64_t at, struct ay__fields *f)
{
	ay__field_mark(f, at, AY__FIELD_REL32);
	if (holds != AY__HOLDS_REL32)
		ay__field_mark(f, at + 4, AY__FIELD_REL32);
	if (holds == AY__HOLDS_KSYMTAB)
		ay__field_mark(f, at + 8, AY__FIELD_REL32);
}

/* 14 bytes since Linux 6.3, where flags got a place of their own; then two lengths end the row, the second not the larger one. */
static unsigned alternative_length(struct ay__source *src, const struct ay__elf_section *s)
{
	const uint8_t *p = s->size >= 28 ? ay__source_at(src, s->offset, 28) : NULL;

	if (s->size % 12 != 0)
		return 14;
	return s->size % 14 == 0 && p && p[12] <= 32 && p[13] <= p[12] && p[26] <= 32 && p[27] <= p[26] ? 14
													: 12;
}

static unsigned row_length(struct ay__source *src, const struct ay__elf_section *s)
{
	switch (s->holds) {
	case AY__HOLDS_RELA:
		return RELA;
	case AY__HOLDS_SYMBOLS:
		return SYMBOL;
	case AY__HOLDS_REL32:
		return 4;
	case AY__HOLDS_ALTINSTRUCTIONS:
		return alternative_length(src, s);
	default:
		return 12;
	}
}

static void gnu_hash(struct ay__source *src, const struct ay__elf_section *s, struct ay__fields *f)
{
	const uint8_t *p = s->size >= 16 ? ay__source_at(src, s->offset, 16) : NULL;

	if (!p)
		return;
	uint64_t buckets = ay_get_le32(p), at = 16 + 8 * (uint64_t)ay_get_le32(p + 8);
	for (uint64_t i = 0; i < buckets && at + 4 <= s->size; i++, at += 4) {
		p = ay__source_at(src, s->offset + at, 4);
		if (p && ay_get_le32(p))
			ay__field_mark(f, s->offset + at, AY__FIELD_RELA_SYMBOL);
	}
}

/* .eh_frame_hdr: the frames' address, a count, then a sorted table of pairs; only the usual encodings. */
static void eh_frame_hdr(struct ay__source *src, const struct ay__elf_section *s, struct ay__fields *f)
{
	const uint8_t *p = s->size >= 12 ? ay__source_at(src, s->offset, 4) : NULL;

	if (!p || p[0] != 1 || p[1] != 0x1b)
		return;
	ay__field_mark(f, s->offset + 4, AY__FIELD_REL32);
	if (p[2] != 0x03 || p[3] != 0x3b)
		return;
	for (uint64_t at = 12; at + 4 <= s->size; at += 4)
		ay__field_mark(f, s->offset + at, AY__FIELD_SECTION32);
}

void ay__fields_table(struct ay__source *src, struct ay__elf *elf, const struct ay__elf_section *s,
		      struct ay__fields *f)
{
	unsigned row = row_length(src, s);

	if (s->holds == AY__HOLDS_GNU_HASH) {
		gnu_hash(src, s, f);
		return;
	}
	if (s->holds == AY__HOLDS_EH_FRAME_HDR) {
		eh_frame_hdr(src, s, f);
		return;
	}
	for (uint64_t at = 0; s->size - at >= row && at < s->size && src->rc == 0; at += row) {
		const uint8_t *p = ay__source_at(src, s->offset + at, row);

		if (!p)
			return;
		if (s->holds == AY__HOLDS_RELA)
			rela_row(elf, p, s->offset + at, f);
		else if (s->holds == AY__HOLDS_SYMBOLS)
			symbol_row(elf, p, s->offset + at, f);
		else
			kernel_row(s->holds, s->offset + at, f);
	}
}

/* ---- data */

/* A table of distances from its own beginning to code, at a place that code points at. Returns its bytes. */
static uint64_t jump_table(struct ay__elf *elf, const struct ay__elf_section *s, uint64_t at,
			   const uint8_t *p, size_t n, struct ay__fields *f)
{
	uint64_t base = s->addr + at;
	size_t i = 0;

	for (; i + 4 <= n && i < AY__JUMP_TABLE_MAX; i += 4) {
		const uint8_t *kind = f->kind + s->offset + at + i;

		if ((i && kind[0] != 0) || kind[1] || kind[2] || kind[3] ||
		    !ay__elf_code(elf, base + (uint64_t)(int64_t)(int32_t)ay_get_le32(p + i)))
			break;
		ay__field_mark(f, s->offset + at + i, i ? AY__FIELD_JUMP_NEXT : AY__FIELD_JUMP_FIRST);
	}
	return i;
}

/*
 * Pointers of 8 bytes. In files that may be loaded anywhere they need a relocation, which read-only sections do not have, so
 * that numbers there are just numbers.
 */
void ay__fields_data(struct ay__source *src, struct ay__elf *elf, const struct ay__elf_section *s,
		     struct ay__fields *f)
{
	bool pointers = elf->type == AY__ELF_EXEC || s->flags & SHF_WRITE;
	uint64_t at = 0;

	while (at + 4 <= s->size && src->rc == 0) {
		size_t have = s->size - at < CHUNK ? (size_t)(s->size - at) : CHUNK, i = 0;
		const uint8_t *p = ay__source_at(src, s->offset + at, have);

		if (!p)
			return;
		/* A jump table that begins in these bytes ends in them. */
		size_t stop = have == s->size - at ? have : have - AY__JUMP_TABLE_MAX;
		while (i < stop && i + 4 <= have) {
			uint64_t here = s->offset + at + i, n = 0;

			if (f->kind[here] == AY__FIELD_POINTED)
				n = jump_table(elf, s, at + i, p + i, have - i, f);
			if (n == 0 && pointers && (s->addr + at + i) % 8 == 0 && i + 8 <= have) {
				uint64_t v = ay_get_le64(p + i);

				if (v && ay__elf_loaded(elf, v)) {
					ay__field_mark(f, here, AY__FIELD_ABS64);
					n = 8;
				}
			}
			i += n ? n : 4;
		}
		at += i;
	}
}

/*
 * Not an address but a smaller number that begins further on: zeros, it, and as many zeros behind the 8 bytes at @p as
 * before it.
 */
static bool shifted(const uint8_t *p, size_t left)
{
	size_t zeros = 0;

	while (zeros < 8 && p[zeros] == 0)
		zeros++;
	return zeros > 0 && (left < 8 + zeros || ay_is_zero(p + 8, zeros));
}

/*
 * DWARF has its addresses at any place. Where a file may be loaded anywhere they are small numbers like others: there only those
 * of code count, which most are.
 */
void ay__fields_debug(struct ay__source *src, struct ay__elf *elf, const struct ay__elf_section *s,
		      struct ay__fields *f)
{
	bool exec = elf->type == AY__ELF_EXEC;
	uint64_t low = elf->n_by_addr ? elf->sections[elf->by_addr[0]].addr : UINT64_MAX, at = 0;

	while (s->size - at >= 8 && src->rc == 0) {
		size_t have = s->size - at < CHUNK ? (size_t)(s->size - at) : CHUNK, i = 0;
		const uint8_t *p = ay__source_at(src, s->offset + at, have);

		if (!p)
			return;
		size_t stop = have == s->size - at ? have - 7 : have - 16;
		while (i < stop) {
			uint64_t v = ay_get_le64(p + i);

			if (v >= low && v >= 4096 && (exec ? ay__elf_loaded(elf, v) : ay__elf_code(elf, v)) &&
			    !shifted(p + i, (size_t)(s->size - at - i < 16 ? s->size - at - i : 16))) {
				ay__field_mark(f, s->offset + at + i, AY__FIELD_ABS64);
				i += 8;
			} else {
				i++;
			}
		}
		at += i;
	}
}
