/* SPDX-License-Identifier: MIT */
/*
 * diff/elf.c - the section table, checked; offsets to addresses and back.
 *
 * Source: "System V Application Binary Interface", chapters 4 and 5 (generic ABI).
 */
#include "diff/elf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define MAGIC     "\177ELF\2\1\1"
#define EHDR_SIZE 64
#define SHDR_SIZE 64
#define NAME_MAX_ 32 /* bytes of a section's name that are looked at */

#define SHT_SYMTAB     2
#define SHT_RELA       4
#define SHT_NOBITS     8
#define SHT_DYNSYM     11
#define SHT_GNUHASH    0x6ffffff6u
#define SHF_COMPRESSED 0x800
#define SHF_ALLOC      2
#define SHF_EXEC       4
#define SHF_TLS        0x400

static const struct {
	const char *name;
	enum ay__elf_holds holds;
} by_name[] = {
	{".eh_frame", AY__HOLDS_EH_FRAME},    {".eh_frame_hdr", AY__HOLDS_EH_FRAME_HDR},
	{".orc_unwind_ip", AY__HOLDS_REL32},  {".retpoline_sites", AY__HOLDS_REL32},
	{".return_sites", AY__HOLDS_REL32},   {".call_sites", AY__HOLDS_REL32},
	{".ibt_endbr_seal", AY__HOLDS_REL32}, {".cfi_sites", AY__HOLDS_REL32},
	{".smp_locks", AY__HOLDS_REL32},      {".static_call_sites", AY__HOLDS_REL32},
	{"__jump_table", AY__HOLDS_REL32},    {"__ksymtab", AY__HOLDS_KSYMTAB},
	{"__ksymtab_gpl", AY__HOLDS_KSYMTAB}, {"__ex_table", AY__HOLDS_EX_TABLE},
	{"__bug_table", AY__HOLDS_BUG_TABLE}, {".altinstructions", AY__HOLDS_ALTINSTRUCTIONS},
};

static enum ay__elf_holds what_holds(const struct ay__elf_section *s, const char *name)
{
	if (s->type == SHT_RELA)
		return AY__HOLDS_RELA;
	if (s->type == SHT_SYMTAB || s->type == SHT_DYNSYM)
		return AY__HOLDS_SYMBOLS;
	if (s->type == SHT_GNUHASH)
		return AY__HOLDS_GNU_HASH;
	if (strcmp(name, ".BTF") == 0)
		return AY__HOLDS_BTF;
	if (!(s->flags & SHF_ALLOC))
		return strncmp(name, ".debug_", 7) == 0 && !(s->flags & SHF_COMPRESSED) ? AY__HOLDS_DEBUG
											: AY__HOLDS_OTHER;
	for (size_t i = 0; i < sizeof(by_name) / sizeof(by_name[0]); i++) {
		if (strcmp(name, by_name[i].name) == 0)
			return by_name[i].holds;
	}
	return s->flags & SHF_EXEC ? AY__HOLDS_CODE : AY__HOLDS_DATA;
}

/* The header. @table: the section headers, where they are. */
static int header_parse(struct ay__source *src, struct ay__elf *elf, uint64_t *entries)
{
	const uint8_t *h = ay__source_at(src, elf->start, EHDR_SIZE);
	uint64_t left, shoff;

	if (src->rc)
		return src->rc;
	if (!h || memcmp(h, MAGIC, sizeof(MAGIC) - 1) != 0)
		return AY_EUNSUPPORTED;
	elf->type = (enum ay__elf_type)(h[16] | h[17] << 8);
	elf->machine = (enum ay__elf_machine)(h[18] | h[19] << 8);
	left = src->size - elf->start;
	shoff = ay_get_le64(h + 40);
	elf->n = (uint32_t)(h[60] | h[61] << 8);
	elf->shstrndx = (uint32_t)(h[62] | h[63] << 8);
	if (elf->machine != AY__ELF_X86_64 && elf->machine != AY__ELF_AARCH64)
		return AY_EUNSUPPORTED;
	if (elf->type < AY__ELF_REL || elf->type > AY__ELF_DYN || (h[58] | h[59] << 8) != SHDR_SIZE)
		return AY_EUNSUPPORTED;
	if (elf->n < 2 || elf->n > AY__ELF_SECTIONS_MAX || elf->shstrndx >= elf->n)
		return AY_EUNSUPPORTED;
	if (shoff < EHDR_SIZE || shoff > left || (uint64_t)elf->n * SHDR_SIZE > left - shoff)
		return AY_EUNSUPPORTED;
	elf->shoff = elf->start + shoff;
	elf->end = elf->shoff + (uint64_t)elf->n * SHDR_SIZE;
	*entries = left;
	return 0;
}

static void section_parse(const uint8_t *h, struct ay__elf *elf, uint64_t left, uint64_t *bss,
			  struct ay__elf_section *s)
{
	uint64_t offset = ay_get_le64(h + 24);

	s->name = ay_get_le32(h);
	s->type = ay_get_le32(h + 4);
	s->flags = ay_get_le64(h + 8);
	s->raw_addr = ay_get_le64(h + 16);
	s->size = s->raw_size = ay_get_le64(h + 32);
	s->raw_offset = elf->start + offset;
	s->link = ay_get_le32(h + 40);
	s->info = ay_get_le32(h + 44);
	s->align = ay_get_le64(h + 48);
	s->entsize = ay_get_le64(h + 56);
	s->has_bytes = s->type != 0 && s->type != SHT_NOBITS;
	if (s->has_bytes && (offset > left || s->size > left - offset || s->size == 0))
		s->has_bytes = false;
	s->offset = elf->start + (s->has_bytes ? offset : 0);
	if (s->type == 0 || (!s->has_bytes && s->type != SHT_NOBITS) || s->size >> 40)
		s->size = 0;
	bool loaded = s->flags & SHF_ALLOC && s->size > 0 && s->type != 0;
	if (loaded && elf->type != AY__ELF_REL) {
		s->addr = s->raw_addr;
		/* .tbss lies where the next section does, which it shadows nobody wants. */
		s->addressed = !(s->flags & SHF_TLS && !s->has_bytes);
	} else if (s->has_bytes) {
		s->addr = AY__FILE_SPACE + s->offset;
	} else {
		s->addr = AY__BSS_SPACE + *bss;
		*bss += (s->size + 4095) / 4096 * 4096;
		s->addressed = loaded;
	}
	if (s->has_bytes && s->offset + s->size > elf->end)
		elf->end = s->offset + s->size;
}

static void names_read(struct ay__source *src, struct ay__elf *elf)
{
	const struct ay__elf_section *names = &elf->sections[elf->shstrndx];

	for (uint32_t i = 1; i < elf->n; i++) {
		struct ay__elf_section *s = &elf->sections[i];
		char name[NAME_MAX_ + 1] = {0};

		if (!s->has_bytes)
			continue;
		if (names->has_bytes && s->name < names->size) {
			uint64_t left = names->size - s->name;
			size_t len = left < NAME_MAX_ ? (size_t)left : NAME_MAX_;
			const uint8_t *p = ay__source_at(src, names->offset + s->name, len);

			if (p)
				memcpy(name, p, len);
		}
		s->holds = what_holds(s, name);
	}
}

bool ay__elf_find(const uint8_t *data, size_t len, uint64_t *start)
{
	for (size_t at = 0; at <= AY__ELF_START_MAX && at < len; at++) {
		const uint8_t *p = memchr(data + at, 0x7f, len - at);

		if (!p || (size_t)(p - data) > AY__ELF_START_MAX || len - (size_t)(p - data) < EHDR_SIZE)
			return false;
		at = (size_t)(p - data);
		if (memcmp(p, MAGIC, sizeof(MAGIC) - 1) == 0 && p[19] == 0 &&
		    (p[18] == AY__ELF_X86_64 || p[18] == AY__ELF_AARCH64)) {
			*start = at;
			return true;
		}
	}
	return false;
}

int ay__elf_parse(struct ay__source *src, uint64_t start, struct ay__elf *elf)
{
	uint64_t left = 0, bss = 0;

	*elf = (struct ay__elf){.start = start, .size = src->size};
	int rc = header_parse(src, elf, &left);
	if (rc)
		return rc;
	elf->sections = calloc(elf->n, sizeof(*elf->sections));
	if (!elf->sections)
		return -ENOMEM;
	for (uint32_t i = 0; i < elf->n; i++) {
		const uint8_t *h = ay__source_at(src, elf->shoff + (uint64_t)i * SHDR_SIZE, SHDR_SIZE);

		if (h)
			section_parse(h, elf, left, &bss, &elf->sections[i]);
	}
	names_read(src, elf);
	rc = src->rc ? src->rc : ay__elf_index(elf);
	if (rc)
		ay__elf_release(elf);
	return rc;
}

void ay__elf_release(struct ay__elf *elf)
{
	free(elf->sections);
	free(elf->by_offset);
	free(elf->by_addr);
	free(elf->offsets);
	free(elf->addrs);
	*elf = (struct ay__elf){0};
}

/* ---- look-ups ---- */

static int order(const void *a, const void *b, void *ctx)
{
	const struct ay__elf_section *s = ctx;
	uint16_t i = *(const uint16_t *)a, j = *(const uint16_t *)b;

	return s[i].offset != s[j].offset ? (s[i].offset < s[j].offset ? -1 : 1) : (i > j) - (i < j);
}

static int order_addr(const void *a, const void *b, void *ctx)
{
	const struct ay__elf_section *s = ctx;
	uint16_t i = *(const uint16_t *)a, j = *(const uint16_t *)b;

	return s[i].addr != s[j].addr ? (s[i].addr < s[j].addr ? -1 : 1) : (i > j) - (i < j);
}

int ay__elf_index(struct ay__elf *elf)
{
	free(elf->by_offset);
	free(elf->by_addr);
	free(elf->offsets);
	free(elf->addrs);
	elf->by_offset = calloc(elf->n + 1, sizeof(uint16_t));
	elf->by_addr = calloc(elf->n + 1, sizeof(uint16_t));
	elf->offsets = calloc(elf->n + 1, sizeof(uint64_t));
	elf->addrs = calloc(elf->n + 1, sizeof(uint64_t));
	elf->n_by_offset = elf->n_by_addr = elf->last_offset = elf->last_addr = 0;
	if (!elf->by_offset || !elf->by_addr || !elf->offsets || !elf->addrs)
		return -ENOMEM;
	for (uint32_t i = 1; i < elf->n; i++) {
		const struct ay__elf_section *s = &elf->sections[i];

		if (s->has_bytes)
			elf->by_offset[elf->n_by_offset++] = (uint16_t)i;
		if (s->addressed)
			elf->by_addr[elf->n_by_addr++] = (uint16_t)i;
	}
	qsort_r(elf->by_offset, elf->n_by_offset, sizeof(uint16_t), order, elf->sections);
	qsort_r(elf->by_addr, elf->n_by_addr, sizeof(uint16_t), order_addr, elf->sections);
	for (uint32_t i = 0; i < elf->n_by_offset; i++)
		elf->offsets[i] = elf->sections[elf->by_offset[i]].offset;
	for (uint32_t i = 0; i < elf->n_by_addr; i++)
		elf->addrs[i] = elf->sections[elf->by_addr[i]].addr;
	return 0;
}

/*
 * The last of @n sections that begins at or before @v; -1: none does. @begin: where they begin, sorted. *@last is where the search
 * ended last time. Sections may lie over each other: the answer must not depend on what was asked before.
 */
static inline int32_t find(const uint64_t *begin, uint32_t n, uint64_t v, uint32_t *last)
{
	uint32_t lo = 0, hi = n;

	if (*last < n && begin[*last] <= v && (*last + 1 == n || begin[*last + 1] > v))
		return (int32_t)*last;
	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;

		if (begin[mid] <= v)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo > 0)
		*last = lo - 1;
	return (int32_t)lo - 1;
}

const struct ay__elf_section *ay__elf_section_of(struct ay__elf *elf, uint64_t at)
{
	int32_t i = find(elf->offsets, elf->n_by_offset, at, &elf->last_offset);
	const struct ay__elf_section *s = i < 0 ? NULL : &elf->sections[elf->by_offset[i]];

	return s && at - s->offset < s->size ? s : NULL;
}

uint64_t ay__elf_addr(struct ay__elf *elf, uint64_t at)
{
	const struct ay__elf_section *s = ay__elf_section_of(elf, at);

	return s ? s->addr + (at - s->offset) : AY__FILE_SPACE + at;
}

const struct ay__elf_section *ay__elf_section_at(struct ay__elf *elf, uint64_t addr)
{
	int32_t i = find(elf->addrs, elf->n_by_addr, addr, &elf->last_addr);

	return i < 0 ? NULL : &elf->sections[elf->by_addr[i]];
}

bool ay__elf_offset(struct ay__elf *elf, uint64_t addr, uint64_t *at)
{
	if (addr - AY__FILE_SPACE < elf->size) {
		*at = addr - AY__FILE_SPACE;
		return true;
	}
	const struct ay__elf_section *s = ay__elf_section_at(elf, addr);
	if (!s || !s->has_bytes || addr - s->addr > s->size)
		return false;
	*at = s->offset + (addr - s->addr);
	return true;
}

bool ay__elf_loaded(struct ay__elf *elf, uint64_t addr)
{
	const struct ay__elf_section *s = ay__elf_section_at(elf, addr);

	return s && addr - s->addr <= s->size;
}

bool ay__elf_code(struct ay__elf *elf, uint64_t addr)
{
	const struct ay__elf_section *s;
	uint64_t at = addr - AY__FILE_SPACE;

	s = at < elf->size ? ay__elf_section_of(elf, at) : ay__elf_section_at(elf, addr);
	return s && s->flags & SHF_EXEC && (at < elf->size || addr - s->addr < s->size);
}
