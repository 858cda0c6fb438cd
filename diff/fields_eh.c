/* SPDX-License-Identifier: MIT */
/*
 * diff/fields_eh.c - .eh_frame: for each function where its code is, how long, and where its exception table is.
 *
 * Only the encoding that compilers use is looked into (relative to the field, four bytes, signed); others are left alone.
 *
 * Source: Linux Standard Base Core 5.0, 10.6 "Exception Frames".
 */
#include "diff/fields_parts.h"

#define PCREL4   0x1b
#define INDIRECT 0x80
#define CIES     16 /* remembered; a file has one or two */
#define LOOK     64 /* bytes of a CIE that are looked at */

struct cie {
	uint64_t at; /* 0: none */
	bool pcrel, lsda;
	bool sized; /* has augmentation data */
};

static uint64_t uleb(const uint8_t *p, size_t n, size_t *i)
{
	uint64_t v = 0;

	for (unsigned shift = 0; *i < n && shift < 63; shift += 7) {
		uint8_t b = p[(*i)++];

		v |= (uint64_t)(b & 0x7f) << shift;
		if (!(b & 0x80))
			break;
	}
	return v;
}

/* The CIE whose length field is at @at. */
static void cie_parse(const uint8_t *p, size_t n, uint64_t at, struct ay__fields *f, struct cie *cie)
{
	size_t i = 9, name = 9;
	bool ok = true;

	*cie = (struct cie){.at = at + 1};
	while (i < n && p[i])
		i++;
	i++;
	uleb(p, n, &i);
	uleb(p, n, &i);
	uleb(p, n, &i);
	if (name >= n || p[name] != 'z')
		return;
	cie->sized = true;
	uleb(p, n, &i);
	for (name++; name < n && p[name] && ok && i < n; name++) {
		switch (p[name]) {
		case 'R':
			cie->pcrel = p[i++] == PCREL4;
			break;
		case 'L':
			cie->lsda = p[i++] == PCREL4;
			break;
		case 'P':
			ok = (p[i++] & ~INDIRECT) == PCREL4;
			if (ok)
				ay__field_mark(f, at + i, AY__FIELD_REL32);
			i += 4;
			break;
		case 'S':
		case 'B':
			break;
		default:
			ok = false;
			break;
		}
	}
}

static const struct cie *cie_of(struct ay__source *src, const struct ay__elf_section *s, uint64_t at,
				struct ay__fields *f, struct cie *cies)
{
	struct cie *cie = &cies[at / 4 % CIES];

	if (cie->at != at + 1) {
		uint64_t left = s->offset + s->size - at;
		size_t n = left < LOOK ? (size_t)left : LOOK;
		const uint8_t *p = ay__source_at(src, at, n);

		if (!p || n < 10)
			return NULL;
		cie_parse(p, n, at, f, cie);
	}
	return cie;
}

static void fde(struct ay__source *src, const struct ay__elf_section *s, uint64_t at, uint64_t len,
		struct ay__fields *f, struct cie *cies)
{
	const uint8_t *p = ay__source_at(src, at + 4, 4);
	uint64_t back = p ? ay_get_le32(p) : 0;
	size_t i = 0;

	ay__field_mark(f, at + 4, AY__FIELD_EH_CIE);
	if (back > at + 4 - s->offset || len < 16)
		return;
	const struct cie *cie = cie_of(src, s, at + 4 - back, f, cies);
	if (!cie || !cie->pcrel)
		return;
	ay__field_mark(f, at + 8, AY__FIELD_REL32);
	ay__field_mark(f, at + 12, AY__FIELD_EH_LENGTH);
	if (!cie->lsda || !cie->sized)
		return;
	p = len >= 26 ? ay__source_at(src, at + 16, 10) : NULL;
	if (p && uleb(p, 10, &i) >= 4)
		ay__field_mark(f, at + 16 + i, AY__FIELD_REL32);
}

void ay__fields_eh_frame(struct ay__source *src, const struct ay__elf_section *s, struct ay__fields *f)
{
	struct cie cies[CIES] = {{0}};
	uint64_t at = s->offset, end = s->offset + s->size;

	while (end - at >= 8 && src->rc == 0) {
		const uint8_t *p = ay__source_at(src, at, 8);

		if (!p)
			return;
		uint64_t len = ay_get_le32(p);
		if (len == 0) {
			at += 4; /* the end; linkers put several together */
			continue;
		}
		if (len >= 0xfffffff0 || len > end - at - 4 || len < 4)
			return;
		if (ay_get_le32(p + 4))
			fde(src, s, at, len + 4, f, cies);
		else
			cie_of(src, s, at, f, cies);
		at += 4 + len;
	}
}
