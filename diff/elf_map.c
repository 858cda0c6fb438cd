/* SPDX-License-Identifier: MIT */
/*
 * diff/elf_map.c - the section map: both sides lay the sections out by the same rule and tell only where it is wrong.
 */
#include "diff/elf_map.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define SHT_RELA   4
#define SHT_NOBITS 8
#define SHF_ALLOC  2
#define SHF_TLS    0x400
#define NAME_LEN   64
/* A row's first number: the section behind the last row's one; none; or the old section's number and NAMED. */
#define FOLLOWS 0
#define UNKNOWN 1
#define NAMED   1

/* What a section without counterpart is. */
#define KIND_BYTES 1
#define KIND_ALLOC 2
#define KIND_TLS   4
#define KIND_RELA  8

static uint64_t round_up(uint64_t v, uint64_t align)
{
	if (align == 0 || align & (align - 1) || align > 1u << 21)
		return v;
	return (v + align - 1) & ~(align - 1);
}

/* Where what begins at @old in the old file begins in the new one, if all that lies between the two ends is the rounding. */
static uint64_t place(const struct ay__elf_ends *ends, uint64_t old, uint64_t align, bool known)
{
	if (!ends->any)
		return known ? old : 0;
	if (!known)
		return round_up(ends->new_, align);
	return round_up(ends->new_, align) + (old - round_up(ends->old, align));
}

static void ends_move(struct ay__elf_ends *ends, const struct ay__elf_section *old, uint64_t old_at,
		      uint64_t new_at, uint64_t new_size)
{
	ends->any = true;
	ends->new_ = new_at + new_size;
	if (old)
		ends->old = old_at + old->size;
}

static uint64_t raw_offset(const struct ay__elf *elf, const struct ay__elf_section *s)
{
	return s->raw_offset - elf->start;
}

struct row {
	uint32_t old;
	unsigned kind;
	uint64_t size, offset, addr; /* offset from the image's beginning */
};

static unsigned kind_of(const struct ay__elf_section *s)
{
	return (s->type != 0 && s->type != SHT_NOBITS ? KIND_BYTES : 0) |
	       (s->flags & SHF_ALLOC ? KIND_ALLOC : 0) | (s->flags & SHF_TLS ? KIND_TLS : 0) |
	       (s->type == SHT_RELA ? KIND_RELA : 0);
}

/* What the row says if it says nothing. */
static struct row expected(const struct ay__elf_map *map, uint32_t old_index, unsigned kind)
{
	const struct ay__elf_section *old = old_index ? &map->old->sections[old_index] : NULL;
	uint64_t align = old ? old->align : 16;
	const struct ay__elf_ends *file = kind & KIND_RELA ? &map->relocations : &map->others;
	struct row r = {.old = old_index, .kind = kind, .size = old ? old->raw_size : 0};

	r.offset = place(file, old ? raw_offset(map->old, old) : 0, align, old != NULL);
	if (old && !(kind & KIND_ALLOC))
		r.addr = old->raw_addr;
	else if (!(old && old->raw_addr == 0))
		r.addr = place(&map->addresses, old ? old->raw_addr : 0, align, old != NULL);
	return r;
}

/* Put row @r into the image; both sides come by here. */
static void accept(struct ay__elf_map *map, const struct row *r)
{
	const struct ay__elf_section *old = r->old ? &map->old->sections[r->old] : NULL;
	struct ay__elf *image = &map->image;
	struct ay__elf_section *s = &image->sections[map->done];

	s->raw_size = s->size = r->size;
	s->raw_addr = r->addr;
	s->raw_offset = s->offset = image->start + r->offset;
	s->name = old ? old->name : 0;
	s->has_bytes = r->kind & KIND_BYTES && r->size && r->offset <= image->size - image->start &&
		       r->size <= image->size - image->start - r->offset;
	if (r->size >> 40)
		s->size = 0;
	bool loaded = r->kind & KIND_ALLOC && s->size > 0;
	if (loaded && image->type != AY__ELF_REL) {
		s->addr = r->addr;
		s->addressed = !(r->kind & KIND_TLS && !s->has_bytes);
	} else if (s->has_bytes) {
		s->addr = AY__FILE_SPACE + s->offset;
	} else {
		s->addr = AY__BSS_SPACE + map->bss;
		map->bss += (s->size + 4095) / 4096 * 4096;
		s->addressed = loaded;
	}
	if (r->kind & KIND_BYTES)
		ends_move(r->kind & KIND_RELA ? &map->relocations : &map->others, old,
			  old ? raw_offset(map->old, old) : 0, r->offset, r->size);
	if (loaded && !(r->kind & KIND_TLS && !(r->kind & KIND_BYTES)))
		ends_move(&map->addresses, old, old ? old->raw_addr : 0, r->addr, r->size);
	if (r->old) {
		map->to_new[r->old] = (uint16_t)map->done;
		map->to_old[map->done] = (uint16_t)r->old;
	}
	map->last_old = r->old ? r->old : map->last_old;
	map->done++;
}

static int map_init(const struct ay__elf *old, uint64_t size, uint32_t n, struct ay__elf_map *map)
{
	*map = (struct ay__elf_map){.old = old, .done = 1};
	map->image = (struct ay__elf){.size = size, .n = n, .machine = old->machine, .type = old->type};
	map->image.sections = calloc(n, sizeof(*map->image.sections));
	map->to_new = calloc(old->n, sizeof(*map->to_new));
	map->to_old = calloc(n, sizeof(*map->to_old));
	if (map->image.sections && map->to_new && map->to_old)
		return 0;
	ay__elf_map_release(map);
	return -ENOMEM;
}

void ay__elf_map_release(struct ay__elf_map *map)
{
	ay__elf_release(&map->image);
	free(map->to_new);
	free(map->to_old);
	*map = (struct ay__elf_map){0};
}

int ay__elf_map_end(struct ay__elf_map *map)
{
	return ay__elf_index(&map->image);
}

/* ---- the writer's side */

static uint64_t name_hash(const struct ay__elf *elf, struct ay__source *src, const struct ay__elf_section *s)
{
	const struct ay__elf_section *names = &elf->sections[elf->shstrndx];
	uint64_t h = 14695981039346656037ull ^ s->type;

	if (!names->has_bytes || s->name >= names->size)
		return 0;
	uint64_t left = names->size - s->name;
	size_t n = left < NAME_LEN ? (size_t)left : NAME_LEN;
	const uint8_t *p = ay__source_at(src, names->offset + s->name, n);
	for (size_t i = 0; p && i < n && p[i]; i++)
		h = (h ^ p[i]) * 1099511628211ull;
	return h;
}

/* The old section of the new one with hash @h: the next one if it is it, else the first not taken. */
static uint32_t counterpart(const struct ay__elf_map *map, const uint64_t *hashes, uint64_t h)
{
	uint32_t next = map->last_old + 1;

	if (next < map->old->n && hashes[next] == h && !map->to_new[next])
		return next;
	for (uint32_t i = 1; i < map->old->n; i++) {
		if (hashes[i] == h && !map->to_new[i])
			return i;
	}
	return 0;
}

static void row_put(const struct ay__elf_map *map, const struct row *r, struct ay_buf *b)
{
	struct row e = expected(map, r->old, r->kind);

	ay_put_varint(b, r->old == map->last_old + 1 ? FOLLOWS : r->old ? r->old + NAMED : UNKNOWN);
	if (!r->old)
		ay_put_varint(b, r->kind);
	ay_put_varint(b, ay_zigzag((int64_t)(r->size - e.size)));
	ay_put_varint(b, ay_zigzag((int64_t)(r->offset - e.offset)));
	ay_put_varint(b, ay_zigzag((int64_t)(r->addr - e.addr)));
}

static void rows_make(const struct ay__elf *new_, struct ay__source *new_src, const uint64_t *hashes,
		      ay__elf_map_put put, void *ctx, struct ay__elf_map *map)
{
	struct ay_buf b = {0};

	map->image.start = new_->start;
	map->image.shoff = new_->shoff;
	ay_put_varint(&b, new_->n);
	ay_put_varint(&b, ay_zigzag((int64_t)(new_->start - map->old->start)));
	ay_put_varint(&b, ay_zigzag((int64_t)(new_->shoff - map->old->shoff)));
	put(ctx, &b);
	for (uint32_t i = 1; i < new_->n; i++) {
		const struct ay__elf_section *s = &new_->sections[i];
		uint32_t o = counterpart(map, hashes, name_hash(new_, new_src, s));

		/* What a row does not say of a section is the old one's. */
		if (o && kind_of(&map->old->sections[o]) != kind_of(s))
			o = 0;
		struct row r = {.old = o,
				.kind = kind_of(s),
				.size = s->raw_size,
				.offset = raw_offset(new_, s),
				.addr = s->raw_addr};
		ay_buf_reset(&b);
		row_put(map, &r, &b);
		put(ctx, &b);
		accept(map, &r);
	}
	ay_buf_release(&b);
}

int ay__elf_map_make(const struct ay__elf *old, struct ay__source *old_src, const struct ay__elf *new_,
		     struct ay__source *new_src, ay__elf_map_put put, void *ctx, struct ay__elf_map *map)
{
	uint64_t *hashes = calloc(old->n, sizeof(*hashes));
	int rc = hashes ? map_init(old, new_->size, new_->n, map) : -ENOMEM;

	if (rc == 0) {
		for (uint32_t i = 1; i < old->n; i++)
			hashes[i] = name_hash(old, old_src, &old->sections[i]);
		rows_make(new_, new_src, hashes, put, ctx, map);
		rc = ay__elf_map_end(map);
		if (rc)
			ay__elf_map_release(map);
	}
	free(hashes);
	return rc;
}

/* ---- the reader's side */

int ay__elf_map_begin(const struct ay__elf *old, uint64_t size, struct ay_cursor *c, struct ay__elf_map *map)
{
	uint64_t n = ay_get_varint(c);
	uint64_t start = old->start + (uint64_t)ay_unzigzag(ay_get_varint(c));
	uint64_t shoff = old->shoff + (uint64_t)ay_unzigzag(ay_get_varint(c));

	if (c->failed || n < 2 || n > AY__ELF_SECTIONS_MAX || start > size)
		return AY_EFORMAT;
	int rc = map_init(old, size, (uint32_t)n, map);
	map->image.start = rc ? 0 : start;
	map->image.shoff = rc ? 0 : shoff;
	return rc;
}

int ay__elf_map_row(struct ay__elf_map *map, struct ay_cursor *c)
{
	uint64_t which = ay_get_varint(c);
	uint64_t old = which == FOLLOWS ? map->last_old + 1 : which == UNKNOWN ? 0 : which - NAMED;
	unsigned kind;

	if (c->failed || old >= map->old->n || (which > NAMED && old == map->last_old + 1))
		return AY_EFORMAT;
	kind = old ? kind_of(&map->old->sections[old]) : (unsigned)ay_get_varint(c);
	struct row r = expected(map, (uint32_t)old, kind);
	r.size += (uint64_t)ay_unzigzag(ay_get_varint(c));
	r.offset += (uint64_t)ay_unzigzag(ay_get_varint(c));
	r.addr += (uint64_t)ay_unzigzag(ay_get_varint(c));
	if (c->failed || kind > 15 || (old && map->to_new[old]))
		return AY_EFORMAT;
	accept(map, &r);
	return 0;
}

uint32_t ay__elf_map_skip_head(struct ay_cursor *c)
{
	uint64_t n = ay_get_varint(c);

	ay_get_varint(c);
	ay_get_varint(c);
	return c->failed || n < 2 || n > AY__ELF_SECTIONS_MAX ? 0 : (uint32_t)n;
}

int ay__elf_map_skip_row(struct ay_cursor *c)
{
	unsigned numbers = ay_get_varint(c) == UNKNOWN ? 4 : 3;

	for (unsigned i = 0; i < numbers; i++)
		ay_get_varint(c);
	return c->failed ? AY_EFORMAT : 0;
}
