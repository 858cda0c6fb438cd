/* SPDX-License-Identifier: MIT */
/*
 * diff/fields_code.c - addresses in instructions.
 *
 * A section's code is taken from its beginning, one instruction after the other. What is no instruction is passed over, by a byte on
 * x86-64, by a word on AArch64.
 *
 * Source for AArch64: Arm Architecture Reference Manual for A-profile, C4.1 (encoding index).
 */
#include "diff/fields_parts.h"
#include "diff/x86.h"

#define CHUNK  65536
#define PAIRED 8 /* an ADRP is completed at most so many instructions later */

/* A number that could be an absolute address: only where the code is not independent of its place. */
static bool absolute(struct ay__elf *elf, const uint8_t *p)
{
	int32_t v = (int32_t)ay_get_le32(p);

	return v != 0 && ay__elf_loaded(elf, (uint64_t)(int64_t)v);
}

static void x86_fields(struct ay__elf *elf, const struct ay__x86 *x, const uint8_t *p, uint64_t at,
		       uint64_t addr, struct ay__fields *f)
{
	static const enum ay__field_kind rip[5] = {AY__FIELD_RIP0, AY__FIELD_RIP1, AY__FIELD_RIP2,
						   AY__FIELD_NONE, AY__FIELD_RIP4};
	bool rel = elf->type == AY__ELF_REL, exec = elf->type == AY__ELF_EXEC;

	/* A zero in a relocatable file is filled in later. */
	if (x->is_rel && !(rel && ay_get_le32(p + x->imm_at) == 0))
		ay__field_mark(f, at + x->imm_at, AY__FIELD_BRANCH);
	if (x->disp == AY__DISP_RIP && !(rel && ay_get_le32(p + x->disp_at) == 0) && x->imm_len <= 4 &&
	    rip[x->imm_len]) {
		uint64_t target, to;

		ay__field_mark(f, at + x->disp_at, rip[x->imm_len]);
		target = addr + x->len + (uint64_t)(int64_t)(int32_t)ay_get_le32(p + x->disp_at);
		/* LEA: perhaps of a jump table */
		if (x->opcode == 0x8d && x->map == 0 && ay__elf_offset(elf, target, &to) && to < f->size)
			ay__field_point(f, to);
	} else if (exec && x->disp >= AY__DISP_ABS && absolute(elf, p + x->disp_at)) {
		ay__field_mark(f, at + x->disp_at, AY__FIELD_ABS32);
	}
	if (exec && !x->is_rel && x->imm_len == 4 && absolute(elf, p + x->imm_at))
		ay__field_mark(f, at + x->imm_at, AY__FIELD_ABS32);
	if (exec && x->imm_len == 8 && ay__elf_loaded(elf, ay_get_le64(p + x->imm_at)))
		ay__field_mark(f, at + x->imm_at, AY__FIELD_ABS64);
}

uint64_t ay__fields_x86_walk(struct ay__source *src, struct ay__elf *elf, const struct ay__elf_section *s,
			     struct ay__fields *f, uint64_t at, uint64_t to)
{
	while (at < to && src->rc == 0) {
		size_t have = s->size - at < CHUNK ? (size_t)(s->size - at) : CHUNK, i = 0;
		/* An instruction that begins in the chunk may end behind it. */
		size_t stop = have == s->size - at ? have : have - AY__X86_MAX;
		const uint8_t *p = ay__source_at(src, s->offset + at, have);

		if (!p)
			break;
		stop = to - at < stop ? (size_t)(to - at) : stop;
		while (i < stop) {
			struct ay__x86 x;

			if (ay__x86_decode(p + i, have - i, &x) == 0) {
				i++;
				continue;
			}
			if (f && (x.is_rel || x.disp || x.imm_len >= 4))
				x86_fields(elf, &x, p + i, s->offset + at + i, s->addr + at + i, f);
			i += x.len;
		}
		at += i;
	}
	return at;
}

/* ADD (immediate), LDR and STR (unsigned immediate) to or from an address in @reg. */
static bool completes(uint32_t word, unsigned reg)
{
	bool add = (word & 0xffc00000) == 0x91000000;
	bool load = (word & 0x3b000000) == 0x39000000;

	return (add || load) && (word >> 5 & 31) == reg;
}

unsigned ay__a64_partner(const uint8_t *p, size_t n, unsigned *low12)
{
	unsigned reg = ay_get_le32(p) & 31;

	for (size_t i = 4; i + 4 <= n && i <= 4 * PAIRED; i += 4) {
		uint32_t word = ay_get_le32(p + i);

		if (completes(word, reg)) {
			*low12 = (unsigned)ay__field_number(AY__FIELD_A64_LOW12, word);
			return (unsigned)i;
		}
		if ((word & 0x9f00001f) == (0x90000000 | reg))
			break; /* another ADRP of the same register */
	}
	*low12 = 0;
	return 0;
}

static enum ay__field_kind a64_kind(uint32_t w)
{
	if ((w & 0x7c000000) == 0x14000000)
		return AY__FIELD_A64_BRANCH26; /* B, BL */
	if ((w & 0xff000010) == 0x54000000 || (w & 0x7e000000) == 0x34000000 ||
	    (w & 0x3b000000) == 0x18000000)
		return AY__FIELD_A64_IMM19; /* B.cond; CBZ, CBNZ; LDR literal */
	if ((w & 0x7e000000) == 0x36000000)
		return AY__FIELD_A64_IMM14; /* TBZ, TBNZ */
	if ((w & 0x1f000000) == 0x10000000)
		return w >> 31 ? AY__FIELD_A64_ADRP : AY__FIELD_A64_ADR;
	return AY__FIELD_NONE;
}

void ay__fields_a64(struct ay__source *src, struct ay__elf *elf, const struct ay__elf_section *s,
		    struct ay__fields *f)
{
	uint32_t since[32]; /* words since an ADRP of each register */

	for (unsigned i = 0; i < 32; i++)
		since[i] = PAIRED + 1;
	for (uint64_t at = 0; s->size - at >= 4 && at < s->size && src->rc == 0; at += 4) {
		const uint8_t *p = ay__source_at(src, s->offset + at, 4);

		if (!p)
			return;
		uint32_t word = ay_get_le32(p);
		enum ay__field_kind kind = a64_kind(word);
		unsigned reg = word >> 5 & 31;

		for (unsigned i = 0; i < 32; i++)
			since[i]++;
		if (kind == AY__FIELD_NONE && completes(word, reg) && since[reg] <= PAIRED)
			kind = AY__FIELD_A64_LOW12;
		if (kind == AY__FIELD_A64_ADRP)
			since[word & 31] = 0;
		/* In a relocatable file a number of zero is filled in later. */
		if (kind != AY__FIELD_NONE &&
		    !(elf->type == AY__ELF_REL && ay__field_number(kind, word) == 0))
			ay__field_mark(f, s->offset + at, kind);
	}
}
