/* SPDX-License-Identifier: MIT */
/*
 * diff/predict.c - guesses, weighed; the truth, learned.
 *
 * All tables have fixed sizes that depend on the old file's size alone; a place in them that another key has is simply taken over.
 * Whatever the numbers are, a field costs a bounded time.
 */
#include "diff/predict.h"

#include <stdlib.h>
#include <string.h>

#define NEAR       5 /* neighbourhoods, the first one of one address */
#define PAGE       4096
#define OVERLAPS   4 /* copies that lie over each other: so many are looked through */
#define WEIGHT_ONE 4096
#define RATE       4 /* a weight moves by a 16th of what is missing */
#define SHF_EXEC   4
#define COPY_SPACE (1ull << 59) /* numbers of copies, where targets are looked up */

/* The guesses, from the most special on: of two of equal weight the first one is taken. */
enum guess {
	GUESS_SAME = 0,
	GUESS_NEAR, /* 1 to 4 */
	GUESS_COPY = NEAR,
	GUESS_SECTION,
	GUESS_LAST,
	GUESSES,
};

static const uint8_t near_bits[NEAR] = {0, 4, 7, 11, 16};
static const uint16_t weight_start[GUESSES] = {3200, 2800, 2400, 2000, 1600, 3000, 1200, 1000};

/* Numbers of .BTF that the bundle's map knows: it is hardly ever wrong, and what happened to the next number says nothing. */
static const uint16_t weight_start_mapped[GUESSES] = {4000, 1500, 1200, 1000, 800, 3950, 0, 500};

/* A section's own: GUESS_NEAR is what was learned of the same copy, GUESS_COPY what ranks say. */
static const uint16_t weight_start_own[GUESSES] = {3900, 3400, 1500, 1000, 800, 3300, 0, 700};

struct learned {
	uint32_t key;
	int32_t shift;
};

struct context {
	uint16_t weight[GUESSES];
	bool has_last;
	int64_t last;
};

/* What ay__predict_field() leaves for ay__predict_learn(). */
struct pending {
	struct ay__field field;
	uint64_t new_at, base, predicted;
	unsigned available;          /* bit i: guess i */
	struct learned *place[NEAR]; /* of the target, in each table */
	uint32_t key[NEAR];
	int64_t shift[GUESSES];
	struct context *context;
	bool counts;       /* it is learned */
	bool own;          /* a number of .BTF that is its section's own */
	uint64_t near_key; /* what stands for the target in the first neighbourhood */
};

struct ay__predict {
	struct ay__elf *old;
	struct ay__source *src;
	const struct ay__fields *fields;
	struct ay__elf_map *map;
	struct ay__btf_guess btf;
	const struct ay__copy *copies;
	uint32_t n_copies;
	uint32_t *order; /* copies by their place in the old file */
	uint32_t *page;  /* per page of the old file: how many copies begin before it */
	uint64_t n_pages;
	struct learned *near[NEAR];
	uint32_t mask[NEAR];
	struct context contexts[AY__FIELD_KINDS][2][2][2];
	struct pending now;
	/* the field learned last, for those that count from it */
	uint64_t last_at, last_target;
	/* per register, the last ADRP: where it was in the old file, the page it gives in the new one */
	uint64_t adrp_at[32], adrp_page[32];
};

/*
 * Per byte: tables of what was learned 1.4, twice that where a size is just above a power of two; copies 4; types 0.3. At
 * most: tables 15.4 MiB, copies 16 (and half as much more while they grow, before there are tables); types 2, symbols 2, sections 1, buffers 1.
 */
uint64_t ay__predict_memory(uint64_t base_size)
{
	return base_size < (36u << 20) / 8 ? (2u << 20) + 8 * base_size : 38u << 20;
}

/* ---- tables */

static int by_old(const void *a, const void *b, void *ctx)
{
	const struct ay__copy *c = ctx;
	uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;

	return c[i].old != c[j].old ? (c[i].old < c[j].old ? -1 : 1) : (i > j) - (i < j);
}

static int copies_index(struct ay__predict *p, uint64_t size)
{
	uint32_t done = 0;

	p->n_pages = size / PAGE + 2;
	p->order = malloc((p->n_copies + 1) * sizeof(*p->order));
	p->page = malloc((p->n_pages + 1) * sizeof(*p->page));
	if (!p->order || !p->page)
		return -1;
	for (uint32_t i = 0; i < p->n_copies; i++)
		p->order[i] = i;
	qsort_r(p->order, p->n_copies, sizeof(*p->order), by_old, (void *)(uintptr_t)p->copies);
	for (uint64_t page = 0; page <= p->n_pages; page++) {
		while (done < p->n_copies && p->copies[p->order[done]].old < page * PAGE)
			done++;
		p->page[page] = done;
	}
	return 0;
}

static uint32_t table_size(uint64_t file, unsigned per, uint32_t max)
{
	uint32_t n = 64;

	while (n < max && n < file / per)
		n *= 2;
	return n;
}

struct ay__predict *ay__predict_new(struct ay__elf *old, struct ay__source *src, const struct ay__fields *f,
				    struct ay__elf_map *map, const struct ay__copy *copies, uint32_t n_copies,
				    const struct ay__btf_map *btf)
{
	static const struct ay__btf_map none;
	static const uint8_t per[NEAR] = {16, 16, 32, 128, 255};
	static const uint32_t max[NEAR] = {1u << 20, 1u << 19, 1u << 18, 1u << 16, 1u << 14};
	struct ay__predict *p = calloc(1, sizeof(*p));
	bool ok = p != NULL;

	if (!p)
		return NULL;
	p->old = old;
	p->src = src;
	p->fields = f;
	p->map = map;
	p->copies = copies;
	p->n_copies = n_copies;
	p->last_at = UINT64_MAX;
	for (unsigned i = 0; i < 32; i++)
		p->adrp_at[i] = UINT64_MAX;
	for (unsigned i = 0; i < NEAR; i++) {
		uint32_t n = table_size(old->size, per[i], max[i]);

		p->near[i] = calloc(n, sizeof(**p->near));
		p->mask[i] = n - 1;
		ok = ok && p->near[i];
	}
	for (size_t i = 0; i < sizeof(p->contexts) / sizeof(struct context); i++)
		memcpy((&p->contexts[0][0][0][0])[i].weight, weight_start, sizeof(weight_start));
	for (unsigned same = 0; same < 2; same++) {
		memcpy(p->contexts[AY__FIELD_BTF_TYPE][1][same][0].weight, weight_start_mapped,
		       sizeof(weight_start));
		memcpy(p->contexts[AY__FIELD_BTF_NAME][1][same][0].weight, weight_start_mapped,
		       sizeof(weight_start));
		memcpy(p->contexts[AY__FIELD_BTF_TYPE][0][same][0].weight, weight_start_own,
		       sizeof(weight_start));
		memcpy(p->contexts[AY__FIELD_BTF_NAME][0][same][0].weight, weight_start_own,
		       sizeof(weight_start));
	}
	if (!ok || copies_index(p, old->size) ||
	    ay__btf_guess_init(&p->btf, old, src, btf ? btf : &none, copies, n_copies)) {
		ay__predict_free(p);
		return NULL;
	}
	return p;
}

void ay__predict_free(struct ay__predict *p)
{
	if (!p)
		return;
	for (unsigned i = 0; i < NEAR; i++)
		free(p->near[i]);
	ay__btf_guess_release(&p->btf);
	free(p->order);
	free(p->page);
	free(p);
}

static struct learned *slot(struct ay__predict *p, unsigned i, uint64_t target, uint32_t *key)
{
	uint64_t h = (target >> near_bits[i]) * 0x9e3779b97f4a7c15ull;

	*key = (uint32_t)h | 1; /* 0: an empty place */
	return &p->near[i][h >> 40 & p->mask[i]];
}

/* ---- guesses */

static void guess(struct pending *now, unsigned which, int64_t shift)
{
	now->available |= 1u << which;
	now->shift[which] = shift;
}

/* The copy that the byte at @at lies in, else the nearest one before. */
static const struct ay__copy *copy_of(const struct ay__predict *p, uint64_t at, bool *inside)
{
	uint64_t page = at / PAGE < p->n_pages ? at / PAGE : p->n_pages - 1;
	uint32_t lo = p->page[page], hi = p->page[page + 1];

	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;

		if (p->copies[p->order[mid]].old <= at)
			lo = mid + 1;
		else
			hi = mid;
	}
	*inside = false;
	if (lo == 0)
		return NULL;
	for (uint32_t i = lo; i > 0 && lo - i < OVERLAPS; i--) {
		const struct ay__copy *over = &p->copies[p->order[i - 1]];

		if (at - over->old < over->len) {
			*inside = true;
			return over;
		}
	}
	return &p->copies[p->order[lo - 1]];
}

/* The copies' guess at where @target will be. Returns whether @target lies inside a copy. */
static bool guess_copy(struct ay__predict *p, uint64_t target, struct pending *now)
{
	const struct ay__copy *c;
	uint64_t at;
	bool inside = false;

	if (ay__elf_offset(p->old, target, &at) && (c = copy_of(p, at, &inside)) != NULL)
		guess(now, GUESS_COPY,
		      (int64_t)(ay__elf_addr(&p->map->image, at + (c->new_ - c->old)) - target));
	return inside;
}

static void guess_section(struct ay__predict *p, uint64_t target, struct pending *now)
{
	const struct ay__elf_section *s = target - AY__FILE_SPACE < p->old->size
						  ? ay__elf_section_of(p->old, target - AY__FILE_SPACE)
						  : ay__elf_section_at(p->old, target);
	uint32_t n = s ? p->map->to_new[s - p->old->sections] : 0;

	if (n)
		guess(now, GUESS_SECTION, (int64_t)(p->map->image.sections[n].addr - s->addr));
}

/* Numbers of .BTF. Returns whether it is one of the kernel's. */
static bool guess_number(struct ay__predict *p, const struct ay__field *d, struct pending *now)
{
	enum ay__btf_space space = d->kind == AY__FIELD_BTF_TYPE ? AY__BTF_TYPE : AY__BTF_NAME;
	uint32_t number = (uint32_t)(d->target - d->base), index = 0;
	uint64_t at = 0;
	bool inside;

	now->own = false;
	switch (ay__btf_guess_place(&p->btf, space, number, &at, &index)) {
	case AY__BTF_THEIRS:
		if (p->btf.map->n[space] == 0)
			return false;
		guess(now, GUESS_COPY, ay__btf_guess_theirs(&p->btf, space, number));
		return true;
	case AY__BTF_OWN: {
		const struct ay__copy *c = copy_of(p, at, &inside);

		if (!c || !inside)
			return false;
		now->own = true;
		/* Neighbours are those of the same copy. */
		now->near_key = COPY_SPACE + d->base + ((uint64_t)(c - p->copies) << near_bits[1]);
		guess(now, GUESS_COPY, ay__btf_guess_own(&p->btf, space, (uint32_t)(c - p->copies), index));
		return false;
	}
	default:
		return false;
	}
}

static int64_t weigh(const struct pending *now)
{
	const int64_t *shift = now->shift;
	int best = -1;
	unsigned top = 0;
	bool agree = true;

	for (int i = 0; i < GUESSES; i++) {
		if (!(now->available & 1u << i))
			continue;
		best = best < 0 ? i : best;
		agree = agree && shift[i] == shift[best];
	}
	if (best < 0 || agree)
		return best < 0 ? 0 : shift[best];
	for (int i = best; i < GUESSES; i++) {
		unsigned sum = 0;

		if (!(now->available & 1u << i))
			continue;
		for (unsigned j = 0; j < GUESSES; j++) {
			if (now->available & 1u << j && shift[j] == shift[i])
				sum += (unsigned)now->context->weight[j] * now->context->weight[j] /
				       WEIGHT_ONE;
		}
		if (sum > top) {
			top = sum;
			best = i;
		}
	}
	return shift[best];
}

/* What @now's field counts from in the new file. */
static uint64_t new_base(struct ay__predict *p, struct pending *now, uint64_t new_target)
{
	const struct ay__field *d = &now->field;
	struct ay__elf *image = &p->map->image;
	unsigned reg = d->raw >> 5 & 31;
	uint32_t section;

	switch (d->from) {
	case AY__FROM_FIELD:
		return ay__elf_addr(image, now->new_at) + d->add;
	case AY__FROM_PAGE:
		return ay__elf_addr(image, now->new_at) & ~4095ull;
	case AY__FROM_SECTION:
		section = d->section < p->old->n ? p->map->to_new[d->section] : 0;
		return (section ? image->sections[section].addr : d->base - d->add) + d->add;
	case AY__FROM_TABLE:
		return ay__elf_addr(image, now->new_at - d->back);
	case AY__FROM_TARGET:
		return p->last_target;
	case AY__FROM_ADRP:
		return p->adrp_at[reg] == d->at - d->back ? p->adrp_page[reg] : new_target & ~4095ull;
	case AY__FROM_SPACE:
		return d->base;
	default:
		return 0;
	}
}

/* Numbers that are not addresses: a section's number, the section headers. */
static uint64_t known(struct ay__predict *p, const struct ay__field *d, uint64_t new_at)
{
	const struct ay__elf *image = &p->map->image;
	uint64_t row = (new_at - image->shoff) / 64;
	const struct ay__elf_section *s = row < image->n ? &image->sections[row] : NULL;

	switch (d->kind) {
	case AY__FIELD_SYMBOL_SECTION:
		return d->raw < p->old->n && p->map->to_new[d->raw] ? p->map->to_new[d->raw] : d->raw;
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

uint64_t ay__predict_field(struct ay__predict *p, uint64_t at, uint64_t new_at, unsigned *width)
{
	struct pending *now = &p->now;
	const struct ay__field *d = &now->field;

	ay__field_describe(p->fields, p->old, p->src, at, &now->field);
	*width = d->width;
	now->new_at = new_at;
	now->available = 0;
	now->counts = d->from != AY__FROM_NUMBER;
	if (!now->counts)
		return known(p, d, new_at);
	bool number = d->from == AY__FROM_SPACE;
	now->near_key = d->target;
	bool inside = number && guess_number(p, d, now);
	for (unsigned i = 0; i < NEAR; i++) {
		now->place[i] = slot(p, i, i == 1 ? now->near_key : d->target, &now->key[i]);
		__builtin_prefetch(now->place[i]); /* while the copies are looked through */
	}
	if (!number) {
		inside = guess_copy(p, d->target, now);
		guess_section(p, d->target, now);
	}
	/* What happened to other numbers of the kernel's says nothing when there is a map, and to own ones only in the same copy. */
	bool told = number && now->available & 1u << GUESS_COPY;
	unsigned near = !told ? NEAR : now->own ? 2 : 1;
	for (unsigned i = 0; i < near; i++) {
		if (now->place[i]->key == now->key[i])
			guess(now, i, now->place[i]->shift);
	}
	if (told && now->available & 1u << GUESS_SAME)
		now->available = 1u << GUESS_SAME; /* a type is one type all through a file */
	bool same = now->available & 1u << GUESS_SAME;
	now->context = &p->contexts[d->kind][inside][same][0];
	if (now->context->has_last && !told)
		guess(now, GUESS_LAST, now->context->last);
	uint64_t target = d->target + (uint64_t)weigh(now);
	if (d->from == AY__FROM_TARGET && p->last_at != at - d->back)
		p->last_target = d->base + (target - d->target);
	now->base = new_base(p, now, target);
	if (d->kind == AY__FIELD_A64_ADRP)
		target &= ~4095ull;
	now->predicted = ay__field_put(d->kind, d->raw, (int64_t)(target - now->base));
	return now->predicted;
}

static void weights_move(struct pending *now, int64_t shift, uint64_t drop)
{
	for (unsigned i = 0; i < GUESSES; i++) {
		uint16_t *w = &now->context->weight[i];

		if (!(now->available & 1u << i))
			continue;
		if (((uint64_t)now->shift[i] + now->field.target) >> drop ==
		    ((uint64_t)shift + now->field.target) >> drop)
			*w = (uint16_t)(*w + ((WEIGHT_ONE - *w) >> RATE));
		else
			*w = (uint16_t)(*w - (*w >> RATE));
	}
}

void ay__predict_learn(struct ay__predict *p, uint64_t raw)
{
	struct pending *now = &p->now;
	const struct ay__field *d = &now->field;

	if (!now->counts)
		return;
	uint64_t target = now->base + (uint64_t)ay__field_number(d->kind, raw);
	if (d->kind == AY__FIELD_A64_ADRP) {
		unsigned reg = d->raw & 31;

		p->adrp_at[reg] = d->at;
		p->adrp_page[reg] = target;
		weights_move(now, (int64_t)(target - (d->target & ~4095ull)), 12);
		return; /* of the target only the page is known; the field that completes it learns */
	}
	int64_t shift = (int64_t)(target - d->target);
	p->last_at = d->at;
	p->last_target = target;
	weights_move(now, shift, 0);
	now->context->has_last = true;
	now->context->last = shift;
	if (d->from == AY__FROM_SPACE && now->own)
		ay__btf_guess_learn(&p->btf, d->kind == AY__FIELD_BTF_TYPE ? AY__BTF_TYPE : AY__BTF_NAME,
				    shift);
	if (shift != (int32_t)shift)
		return;
	for (unsigned i = 0; i < NEAR; i++) {
		struct learned *l = now->place[i];

		l->key = now->key[i];
		l->shift = (int32_t)shift;
	}
}
