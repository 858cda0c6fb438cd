/* SPDX-License-Identifier: MIT */
/*
 * diff/mask.c - three passes over the fields: numbers away; what each points at, hashed without its own numbers; the hashes in.
 *
 * Hashing before anything is put in makes the order of fields irrelevant. A window of a few instructions says well enough what is there:
 * it need not be unique, only mostly the same in both files and mostly different for different things.
 */
#include "diff/mask.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "diff/btf_keys.h"

#define WINDOW   24 /* bytes of code or data that are hashed */
#define TEXT_MAX 64 /* of a string */
#define SYMBOL   24
#define RELA     24

/* A place that is filled in when the file is loaded, and what with. */
struct slot {
	uint64_t addr;
	uint64_t target; /* or 0, then: */
	uint32_t name;
};

struct masker {
	struct ay__source *src;
	struct ay__elf *elf;
	const struct ay__fields *f;
	uint8_t *copy;
	struct slot *slots; /* sorted; owned */
	size_t n_slots;
	struct ay__btf_keys btf;
};

static uint32_t hash_bytes(const uint8_t *p, size_t n)
{
	uint64_t h = 0x9e3779b97f4a7c15u ^ n;

	for (; n >= 8; p += 8, n -= 8)
		h = (h ^ ay_get_le64(p)) * 0xff51afd7ed558ccdu, h ^= h >> 32;
	for (; n > 0; p++, n--)
		h = (h ^ *p) * 0xff51afd7ed558ccdu, h ^= h >> 29;
	return (uint32_t)(h >> 32 ^ h);
}

/* The string at @at, with its length; nothing behind @end. */
static uint32_t hash_text(const uint8_t *data, uint64_t at, uint64_t end)
{
	size_t max = end - at < TEXT_MAX ? (size_t)(end - at) : TEXT_MAX;

	return hash_bytes(data + at, strnlen((const char *)data + at, max));
}

/* A symbol is its name; one that stands for a section is that section's name. */
static uint32_t hash_symbol(struct masker *m, const struct ay__elf_section *table, uint64_t at)
{
	struct ay__elf *elf = m->elf;
	const uint8_t *p = m->src->data + at;
	const struct ay__elf_section *names = table->link < elf->n ? &elf->sections[table->link] : NULL;
	uint32_t name = ay_get_le32(p);

	if (name == 0) {
		unsigned section = (unsigned)(p[6] | p[7] << 8);

		if (section >= elf->n)
			return 1;
		name = elf->sections[section].name;
		names = &elf->sections[elf->shstrndx];
	}
	if (!names || !names->has_bytes || name >= names->size)
		return 1;
	return hash_text(m->src->data, names->offset + name, names->offset + names->size);
}

/* ---- what a loader fills in: the slots that calls to other files go through, pointers in data */

static int order(const void *a, const void *b)
{
	const struct slot *x = a, *y = b;

	return (x->addr > y->addr) - (x->addr < y->addr);
}

static void slots_of(struct masker *m, const struct ay__elf_section *s)
{
	const struct ay__elf_section *symbols = s->link < m->elf->n ? &m->elf->sections[s->link] : NULL;

	for (uint64_t at = s->offset; at + RELA <= s->offset + s->size; at += RELA) {
		const uint8_t *p = m->src->data + at;
		struct slot *slot = &m->slots[m->n_slots];
		uint64_t symbol = (uint64_t)ay_get_le32(p + 12) * SYMBOL;

		*slot = (struct slot){.addr = ay_get_le64(p)};
		if (symbol == 0)
			slot->target = ay_get_le64(p + 16);
		else if (symbols && symbols->holds == AY__HOLDS_SYMBOLS && symbols->has_bytes &&
			 symbol + SYMBOL <= symbols->size)
			slot->name = hash_symbol(m, symbols, symbols->offset + symbol);
		else
			continue;
		m->n_slots++;
	}
}

static int slots_find(struct masker *m)
{
	struct ay__elf *elf = m->elf;
	uint64_t n = 0;

	if (elf->type == AY__ELF_REL)
		return 0;
	for (uint32_t i = 1; i < elf->n; i++)
		n += elf->sections[i].holds == AY__HOLDS_RELA ? elf->sections[i].size / RELA : 0;
	/* Sections may lie over each other; no more rows than the file has bytes for. */
	if (n > m->src->size / RELA)
		return 0;
	m->slots = malloc((n + 1) * sizeof(*m->slots));
	if (!m->slots)
		return -ENOMEM;
	for (uint32_t i = 1; i < elf->n; i++) {
		if (elf->sections[i].holds == AY__HOLDS_RELA && elf->sections[i].has_bytes)
			slots_of(m, &elf->sections[i]);
	}
	qsort(m->slots, m->n_slots, sizeof(*m->slots), order);
	return 0;
}

static const struct slot *slot_at(const struct masker *m, uint64_t addr)
{
	struct slot key = {.addr = addr};

	return m->n_slots ? bsearch(&key, m->slots, m->n_slots, sizeof(key), order) : NULL;
}

/* A stub that only jumps to where a slot says: x86-64 jmp *slot, AArch64 adrp x16, ldr x17. The slot's address, or 0. */
static uint64_t stub_slot(struct masker *m, uint64_t at, uint64_t end)
{
	static const uint8_t endbr[4] = {0xf3, 0x0f, 0x1e, 0xfa};
	const uint8_t *p = m->src->data;
	struct ay__field d;

	if (end - at < 16)
		return 0;
	if (m->elf->machine == AY__ELF_AARCH64) {
		if ((ay_get_le32(p + at) & 0x9f00001f) != 0x90000010 ||
		    (ay_get_le32(p + at + 4) & 0xffc003ff) != 0xf9400211)
			return 0;
		at += 4;
	} else {
		at += memcmp(p + at, endbr, 4) == 0 ? 4 : 0;
		at += p[at] == 0xf2; /* bnd */
		if (p[at] != 0xff || p[at + 1] != 0x25)
			return 0;
		at += 2;
	}
	if (m->f->kind[at] == 0 || m->f->kind[at] >= AY__FIELD_KINDS)
		return 0;
	ay__field_describe(m->f, m->elf, m->src, at, &d);
	return d.target;
}

/* A stub's own fields: in a table of stubs each stands beside its slot, whatever they are for. */
static bool in_stub(const struct masker *m, uint64_t at, enum ay__field_kind kind)
{
	const uint8_t *p = m->src->data + at;

	switch (kind) {
	case AY__FIELD_RIP0:
		return at >= 2 && p[-2] == 0xff && p[-1] == 0x25;
	case AY__FIELD_A64_ADRP:
		return (ay_get_le32(p) & 31) == 16;
	case AY__FIELD_A64_LOW12:
		return (ay_get_le32(p) >> 5 & 31) == 16;
	default:
		return false;
	}
}

/* ---- targets */

static bool is_text(uint8_t c)
{
	return (c >= ' ' && c < 127) || c == '\n' || c == '\t';
}

static uint32_t hash_target(struct masker *m, uint64_t target)
{
	uint64_t at;

	for (unsigned hops = 0; hops < 2; hops++) {
		const struct slot *slot = slot_at(m, target);

		if (slot && slot->name)
			return slot->name;
		if (slot)
			target = slot->target;
		if (!ay__elf_offset(m->elf, target, &at) || at >= m->src->size)
			return 0;
		const struct ay__elf_section *s = ay__elf_section_of(m->elf, at);
		if (!s)
			return 0;
		uint64_t end = s->offset + s->size, next;
		if (s->holds == AY__HOLDS_CODE && m->n_slots && (next = stub_slot(m, at, end)) != 0) {
			target = next;
			continue;
		}
		if (s->holds == AY__HOLDS_SYMBOLS && (at - s->offset) % SYMBOL == 0 && end - at >= SYMBOL)
			return hash_symbol(m, s, at);
		if (s->holds != AY__HOLDS_CODE && is_text(m->copy[at]))
			return hash_text(m->copy, at, end);
		return hash_bytes(m->copy + at, end - at < WINDOW ? (size_t)(end - at) : WINDOW);
	}
	return 0;
}

static uint32_t hash_field(struct masker *m, uint64_t at)
{
	struct ay__field d;

	ay__field_describe(m->f, m->elf, m->src, at, &d);
	switch (d.from) {
	case AY__FROM_SPACE:
		return ay__btf_key(&m->btf, d.kind == AY__FIELD_BTF_TYPE ? AY__BTF_TYPE : AY__BTF_NAME,
				   (uint32_t)d.raw);
	case AY__FROM_NUMBER:
	case AY__FROM_TARGET: /* a length: the place it ends at says little */
		return 0;
	default:
		break;
	}
	if (d.kind == AY__FIELD_RELA_OFFSET || in_stub(m, at, d.kind))
		return 0;
	return hash_target(m, d.target);
}

/* The first .BTF; a file has one. */
static int btf_find(struct masker *m, const struct ay__btf_map *map, bool old)
{
	for (uint32_t i = 1; i < m->elf->n; i++) {
		const struct ay__elf_section *s = &m->elf->sections[i];
		struct ay_slice section = {.data = m->src->data + s->offset, .len = s->size};

		if (s->holds == AY__HOLDS_BTF && s->has_bytes)
			return ay__btf_keys_make(&m->btf, section, map, old);
	}
	return 0;
}

static void masker_release(struct masker *m)
{
	free(m->copy);
	free(m->slots);
	ay__btf_keys_release(&m->btf);
}

/* Fields without their numbers: what is hashed. Returns how many there are. */
static uint64_t numbers_away(struct masker *m)
{
	uint64_t size = m->src->size, n = 0;

	for (uint64_t at = ay__fields_next(m->f, 0, size); at < size; n++) {
		enum ay__field_kind kind = (enum ay__field_kind)m->f->kind[at];
		unsigned width = ay__field_width(kind);
		uint64_t raw = ay__field_load(m->copy + at, width);

		ay__field_store(m->copy + at, width, ay__field_put(kind, raw, 0));
		at = ay__fields_next(m->f, at + width, size);
	}
	return n;
}

static void hashes_in(struct masker *m, const uint32_t *hash, uint64_t n)
{
	uint64_t size = m->src->size, at = ay__fields_next(m->f, 0, size);

	for (uint64_t i = 0; i < n; i++) {
		enum ay__field_kind kind = (enum ay__field_kind)m->f->kind[at];
		unsigned width = ay__field_width(kind);
		uint64_t raw = ay__field_load(m->copy + at, width);

		/* Spread, so that the bits of an instruction's short number are filled, too. */
		ay__field_store(m->copy + at, width,
				ay__field_put(kind, raw, (int64_t)((uint64_t)hash[i] << 12 ^ hash[i])));
		at = ay__fields_next(m->f, at + width, size);
	}
}

int ay__mask(struct ay__source *src, struct ay__elf *elf, const struct ay__fields *f,
	     const struct ay__btf_map *map, bool old, uint8_t **out)
{
	AY_CLEANUP(masker_release) struct masker m = {.src = src, .elf = elf, .f = f};
	AY_FREE uint32_t *hash = NULL;

	m.copy = malloc(src->size + 1);
	if (!m.copy)
		return -ENOMEM;
	memcpy(m.copy, src->data, src->size);
	uint64_t n = numbers_away(&m), at = ay__fields_next(f, 0, src->size);
	hash = calloc(n + 1, sizeof(*hash));
	int rc = hash ? slots_find(&m) : -ENOMEM;
	if (rc == 0)
		rc = btf_find(&m, map, old);
	if (rc)
		return rc;
	for (uint64_t i = 0; i < n; i++) {
		hash[i] = hash_field(&m, at);
		at = ay__fields_next(f, at + ay__field_width(f->kind[at]), src->size);
	}
	hashes_in(&m, hash, n);
	*out = ay_steal_ptr(&m.copy);
	return 0;
}

int ay__mask_bytes(struct ay_slice file, const struct ay__btf_map *map, bool old, uint8_t **out)
{
	struct ay__source src = ay__source_memory(file.data, file.len);
	struct ay__elf elf;
	struct ay__fields f;
	uint64_t start;

	if (!ay__elf_find(file.data, file.len, &start))
		return AY_EUNSUPPORTED;
	int rc = ay__elf_parse(&src, start, &elf);
	if (rc)
		return rc;
	rc = ay__fields_find(&src, &elf, &f);
	if (rc == 0) {
		rc = ay__mask(&src, &elf, &f, map, old, out);
		ay__fields_release(&f);
	}
	ay__elf_release(&elf);
	return rc;
}
