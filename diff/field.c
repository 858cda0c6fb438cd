/* SPDX-License-Identifier: MIT */
/* diff/field.c - one field by its kind: where its number stands in its bytes, and to whom bytes belong. */
#include "diff/field.h"

#define SYMBOL 24

static const uint8_t widths[AY__FIELD_KINDS] = {
	[AY__FIELD_BRANCH] = 4,         [AY__FIELD_RIP0] = 4,           [AY__FIELD_RIP1] = 4,
	[AY__FIELD_RIP2] = 4,           [AY__FIELD_RIP4] = 4,           [AY__FIELD_ABS32] = 4,
	[AY__FIELD_ABS64] = 8,          [AY__FIELD_A64_BRANCH26] = 4,   [AY__FIELD_A64_IMM19] = 4,
	[AY__FIELD_A64_IMM14] = 4,      [AY__FIELD_A64_ADR] = 4,        [AY__FIELD_A64_ADRP] = 4,
	[AY__FIELD_A64_LOW12] = 4,      [AY__FIELD_REL32] = 4,          [AY__FIELD_JUMP_FIRST] = 4,
	[AY__FIELD_JUMP_NEXT] = 4,      [AY__FIELD_SECTION32] = 4,      [AY__FIELD_EH_CIE] = 4,
	[AY__FIELD_EH_LENGTH] = 4,      [AY__FIELD_RELA_OFFSET] = 8,    [AY__FIELD_RELA_SYMBOL] = 4,
	[AY__FIELD_RELA_ADDEND] = 8,    [AY__FIELD_RELA_ADDEND_PC] = 8, [AY__FIELD_SYMBOL_NAME] = 4,
	[AY__FIELD_SYMBOL_SECTION] = 2, [AY__FIELD_SYMBOL_VALUE] = 8,   [AY__FIELD_SYMBOL_SIZE] = 8,
	[AY__FIELD_HEAD_SHOFF] = 8,     [AY__FIELD_HEAD_NAME] = 4,      [AY__FIELD_HEAD_ADDR] = 8,
	[AY__FIELD_HEAD_OFFSET] = 8,    [AY__FIELD_HEAD_SIZE] = 8,      [AY__FIELD_BTF_TYPE] = 4,
	[AY__FIELD_BTF_NAME] = 4,
};

unsigned ay__field_width(unsigned kind)
{
	return kind < AY__FIELD_KINDS ? widths[kind] : 0;
}

unsigned ay__field_column(unsigned kind)
{
	return ay__field_width(kind) == 8 ? 2 : kind <= AY__FIELD_A64_LOW12 ? 0 : 1;
}

void ay__field_mark(struct ay__fields *f, uint64_t at, enum ay__field_kind kind)
{
	unsigned width = widths[kind];

	if (at > f->size || width > f->size - at)
		return;
	uint8_t *k = f->kind + at;

	for (unsigned i = 0; i < width; i++) {
		uint8_t there = __atomic_load_n(&k[i], __ATOMIC_RELAXED);

		if (there != 0 && there != AY__FIELD_POINTED)
			return;
	}
	__atomic_store_n(&k[0], (uint8_t)kind, __ATOMIC_RELAXED);
	for (unsigned i = 1; i < width; i++)
		__atomic_store_n(&k[i], AY__FIELD_INSIDE, __ATOMIC_RELAXED);
}

void ay__field_point(struct ay__fields *f, uint64_t at)
{
	uint8_t *k = f->kind + at, nothing = 0;

	/* A field that the other thread marks meanwhile stays. */
	if (__atomic_load_n(k, __ATOMIC_RELAXED) == 0)
		__atomic_compare_exchange_n(k, &nothing, AY__FIELD_POINTED, false, __ATOMIC_RELAXED,
					    __ATOMIC_RELAXED);
}

/* Bits [@low, @low + @n) of @raw, sign-extended. */
static int64_t bits(uint64_t raw, unsigned low, unsigned n)
{
	return (int64_t)(raw << (64 - low - n)) >> (64 - n);
}

static uint64_t put_bits(uint64_t raw, unsigned low, unsigned n, uint64_t v)
{
	uint64_t mask = ((1ull << n) - 1) << low;

	return (raw & ~mask) | (v << low & mask);
}

/* LDR and STR count in units of what they load. */
static unsigned low12_shift(uint64_t word)
{
	if ((word & 0x1f000000) == 0x11000000)
		return 0; /* ADD */
	return (word & 0x04800000) == 0x04800000 ? 4 : (unsigned)(word >> 30 & 3);
}

int64_t ay__field_number(enum ay__field_kind kind, uint64_t raw)
{
	switch (kind) {
	case AY__FIELD_ABS64:
	case AY__FIELD_RELA_OFFSET:
	case AY__FIELD_RELA_ADDEND:
	case AY__FIELD_RELA_ADDEND_PC:
	case AY__FIELD_SYMBOL_VALUE:
	case AY__FIELD_SYMBOL_SIZE:
	case AY__FIELD_SYMBOL_SECTION:
	case AY__FIELD_SYMBOL_NAME:
	case AY__FIELD_EH_LENGTH:
		return (int64_t)raw;
	case AY__FIELD_A64_BRANCH26:
		return bits(raw, 0, 26) * 4;
	case AY__FIELD_A64_IMM19:
		return bits(raw, 5, 19) * 4;
	case AY__FIELD_A64_IMM14:
		return bits(raw, 5, 14) * 4;
	case AY__FIELD_A64_ADR:
		return bits(raw, 5, 19) * 4 + (int64_t)(raw >> 29 & 3);
	case AY__FIELD_A64_ADRP:
		return (bits(raw, 5, 19) * 4 + (int64_t)(raw >> 29 & 3)) * 4096;
	case AY__FIELD_A64_LOW12:
		return (int64_t)((raw >> 10 & 0xfff) << low12_shift(raw));
	case AY__FIELD_EH_CIE:
		return -(int64_t)raw;
	case AY__FIELD_RELA_SYMBOL:
		return (int64_t)(raw * SYMBOL);
	default:
		return (int32_t)raw;
	}
}

uint64_t ay__field_put(enum ay__field_kind kind, uint64_t raw, int64_t number)
{
	uint64_t v = (uint64_t)number;

	switch (kind) {
	case AY__FIELD_A64_BRANCH26:
		return put_bits(raw, 0, 26, v >> 2);
	case AY__FIELD_A64_IMM19:
		return put_bits(raw, 5, 19, v >> 2);
	case AY__FIELD_A64_IMM14:
		return put_bits(raw, 5, 14, v >> 2);
	case AY__FIELD_A64_ADR:
		return put_bits(put_bits(raw, 5, 19, v >> 2), 29, 2, v);
	case AY__FIELD_A64_ADRP:
		return put_bits(put_bits(raw, 5, 19, v >> 14), 29, 2, v >> 12);
	case AY__FIELD_A64_LOW12:
		return put_bits(raw, 10, 12, v >> low12_shift(raw));
	case AY__FIELD_EH_CIE:
		v = 0 - v;
		break;
	case AY__FIELD_RELA_SYMBOL:
		v /= SYMBOL;
		break;
	default:
		break;
	}
	return widths[kind] == 8 ? v : v & ((1ull << 8 * widths[kind]) - 1);
}
