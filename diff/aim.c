/* SPDX-License-Identifier: MIT */
/* diff/aim.c - one field after the other; copies are looked up by pages of the old file. */
#include "diff/aim.h"

#include <errno.h>
#include <stdlib.h>

#define PAGE     4096
#define OVERLAPS 4 /* copies that lie over each other: so many are looked through */

/* ---- copies */

static int by_old(const void *a, const void *b, void *ctx)
{
	const struct ay__copy *c = ctx;
	uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;

	return c[i].old != c[j].old ? (c[i].old < c[j].old ? -1 : 1) : (i > j) - (i < j);
}

int ay__aimer_init(struct ay__aimer *a)
{
	uint32_t done = 0;

	a->n_pages = a->old->size / PAGE + 2;
	a->order = malloc((a->n_copies + 1) * sizeof(*a->order));
	a->page = malloc((a->n_pages + 1) * sizeof(*a->page));
	if (!a->order || !a->page)
		return -ENOMEM;
	for (uint32_t i = 0; i < a->n_copies; i++)
		a->order[i] = i;
	qsort_r(a->order, a->n_copies, sizeof(*a->order), by_old, (void *)(uintptr_t)a->copies);
	for (uint64_t page = 0; page <= a->n_pages; page++) {
		while (done < a->n_copies && a->copies[a->order[done]].old < page * PAGE)
			done++;
		a->page[page] = done;
	}
	return 0;
}

void ay__aimer_release(struct ay__aimer *a)
{
	free(a->order);
	free(a->page);
	*a = (struct ay__aimer){0};
}

/* The copy that the byte at @at lies in, else the nearest one before. */
static const struct ay__copy *copy_of(const struct ay__aimer *a, uint64_t at, bool *inside)
{
	uint64_t page = at / PAGE < a->n_pages ? at / PAGE : a->n_pages - 1;
	uint32_t lo = a->page[page], hi = a->page[page + 1];

	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;

		if (a->copies[a->order[mid]].old <= at)
			lo = mid + 1;
		else
			hi = mid;
	}
	*inside = false;
	if (lo == 0)
		return NULL;
	for (uint32_t i = lo; i > 0 && lo - i < OVERLAPS; i--) {
		const struct ay__copy *over = &a->copies[a->order[i - 1]];

		if (at - over->old < over->len) {
			*inside = true;
			return over;
		}
	}
	return &a->copies[a->order[lo - 1]];
}

/* ---- what they say */

/* The copies' guess at where the target will be. */
static void aim_copy(struct ay__aimer *a, struct ay__aim *o)
{
	const struct ay__copy *c;
	uint64_t at;
	bool inside = false;

	if (!ay__elf_offset(a->old, o->target, &at) || !(c = copy_of(a, at, &inside)))
		return;
	o->has |= AY__AIM_COPY | (inside ? AY__AIM_INSIDE : 0);
	o->copy = (int64_t)(ay__elf_addr(&a->map->image, at + (c->new_ - c->old)) - o->target);
}

static void aim_section(struct ay__aimer *a, struct ay__aim *o)
{
	const struct ay__elf_section *s = o->target - AY__FILE_SPACE < a->old->size
						  ? ay__elf_section_of(a->old, o->target - AY__FILE_SPACE)
						  : ay__elf_section_at(a->old, o->target);
	uint32_t n = s ? a->map->to_new[s - a->old->sections] : 0;

	if (!n)
		return;
	o->has |= AY__AIM_SECTION;
	o->section = (int64_t)(a->map->image.sections[n].addr - s->addr);
}

/* Numbers of .BTF. */
static void aim_number(struct ay__aimer *a, struct ay__aim *o)
{
	enum ay__btf_space space = o->kind == AY__FIELD_BTF_TYPE ? AY__BTF_TYPE : AY__BTF_NAME;
	uint32_t number = (uint32_t)(o->target - o->base), index = 0;
	const struct ay__copy *c;
	uint64_t at = 0;
	bool inside;

	switch (ay__btf_guess_place(a->btf, space, number, &at, &index)) {
	case AY__BTF_THEIRS:
		if (a->btf->map->n[space] == 0)
			return;
		o->has |= AY__AIM_COPY | AY__AIM_INSIDE;
		o->copy = ay__btf_guess_theirs(a->btf, space, number);
		return;
	case AY__BTF_OWN:
		c = copy_of(a, at, &inside);
		if (!c || !inside)
			return;
		o->has |= AY__AIM_OWN;
		o->btf_copy = (uint32_t)(c - a->copies);
		o->btf_index = index;
		return;
	default:
		return;
	}
}

/* Numbers that are not addresses: a section's number, the section headers. */
static uint64_t known(const struct ay__aimer *a, const struct ay__field *d, uint64_t new_at)
{
	const struct ay__elf *image = &a->map->image;
	uint64_t row = (new_at - image->shoff) / 64;
	const struct ay__elf_section *s = row < image->n ? &image->sections[row] : NULL;

	switch (d->kind) {
	case AY__FIELD_SYMBOL_SECTION:
		return d->raw < a->old->n && a->map->to_new[d->raw] ? a->map->to_new[d->raw] : d->raw;
	case AY__FIELD_HEAD_SHOFF:
		return image->shoff - image->start;
	case AY__FIELD_HEAD_ADDR:
		return s ? s->raw_addr : d->raw;
	case AY__FIELD_HEAD_OFFSET:
		return s ? s->raw_offset - image->start : d->raw;
	case AY__FIELD_HEAD_SIZE:
		return s ? s->raw_size : d->raw;
	default:
		return d->raw;
	}
}

/* What the field counts from in the new file, where it is @new_at. */
static uint64_t new_base(const struct ay__aimer *a, const struct ay__field *d, uint64_t new_at)
{
	struct ay__elf *image = &a->map->image;
	uint32_t section;

	switch (d->from) {
	case AY__FROM_FIELD:
		return ay__elf_addr(image, new_at) + d->add;
	case AY__FROM_PAGE:
		return ay__elf_addr(image, new_at) & ~4095ull;
	case AY__FROM_SECTION:
		section = d->section < a->old->n ? a->map->to_new[d->section] : 0;
		return (section ? image->sections[section].addr : d->base - d->add) + d->add;
	case AY__FROM_TABLE:
		return ay__elf_addr(image, new_at - d->back);
	case AY__FROM_TARGET:
	case AY__FROM_SPACE:
		return d->base;
	case AY__FROM_NUMBER:
		return known(a, d, new_at);
	default:
		return 0;
	}
}

static void aim_take(struct ay__aimer *a, uint64_t at, uint64_t new_at, struct ay__aim *o)
{
	struct ay__field d;

	ay__field_describe(a->fields, a->old, a->src, at, &d);
	*o = (struct ay__aim){
		.at = at,
		.raw = d.raw,
		.target = d.target,
		.base = new_base(a, &d, new_at),
		.kind = (uint8_t)d.kind,
		.from = (uint8_t)d.from,
		.width = (uint8_t)d.width,
		/* of a jump table's entry it may be large: there new_base() was the last to want it */
		.back = d.from == AY__FROM_TABLE ? 0 : (uint8_t)d.back};
	if (d.from == AY__FROM_NUMBER)
		return;
	if (d.from == AY__FROM_SPACE) {
		aim_number(a, o);
		return;
	}
	aim_copy(a, o);
	aim_section(a, o);
}

uint32_t ay__aims_take(struct ay__aimer *a, uint64_t *at, uint64_t end, uint64_t moved, struct ay__aim *aims,
		       uint32_t max)
{
	uint64_t field = ay__fields_next(a->fields, *at, end);
	uint32_t n = 0;

	while (field < end && n < max) {
		aim_take(a, field, field + moved, &aims[n]);
		field = ay__fields_next(a->fields, field + aims[n++].width, end);
	}
	*at = field;
	return n;
}
