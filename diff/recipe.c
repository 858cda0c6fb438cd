/* SPDX-License-Identifier: MIT */
/* diff/recipe.c - recipes read and written, each parameter within its bounds. */
#include "diff/recipe.h"

#include "diff/deflate_pack.h"
#include "diff/view.h"

#define LAYER_MEMORY (128u << 10) /* buffers and state of any filter */

static const char *filter_name(unsigned id)
{
	static const char *const names[AY__FILTERS] = {"end", "deflate", "lzma2", "zstd"};

	return id < AY__FILTERS ? names[id] : "?";
}

static void deflate_get(struct ay_cursor *c, struct ay__filter_params *p, bool *ok)
{
	struct ay__deflate_params *d = &p->deflate;
	unsigned way = ay_get_u8(c), flags;

	*d = ay__deflate_level(6);
	d->way = (enum ay__deflate_way)way;
	if (way == AY__DEFLATE_GREEDY || way == AY__DEFLATE_LAZY) {
		uint16_t *const fields[4] = {&d->good, &d->lazy, &d->nice, &d->chain};

		for (unsigned i = 0; i < 4; i++) {
			uint64_t v = ay_get_varint(c);

			*fields[i] = v <= UINT16_MAX ? (uint16_t)v : 0;
		}
		d->hash_bits = ay_get_u8(c);
		d->window_bits = ay_get_u8(c);
	}
	flags = ay_get_u8(c);
	d->filtered = flags & 1;
	d->resets = flags & 2;
	uint64_t len = ay_get_varint(c);
	p->corrections.len = len <= ay_cursor_left(c) ? (size_t)len : 0;
	p->corrections.data = ay_get_bytes(c, len <= SIZE_MAX ? (size_t)len : SIZE_MAX);
	*ok = ay__deflate_params_ok(d) && flags <= 3;
}

static void xz_get(struct ay_cursor *c, bool target, struct ay__xz_params *x, bool *ok)
{
	x->branch = ay_get_u8(c);
	if (x->branch == 8)
		x->delta = ay_get_u8(c);
	x->dict_code = ay_get_u8(c);
	*ok = x->branch <= 8 && x->dict_code <= AY__XZ_DICT_CODE_MAX;
	if (!target)
		return;
	x->props = ay_get_u8(c);
	x->mode = ay_get_u8(c);
	x->finder = ay_get_u8(c);
	uint64_t nice = ay_get_varint(c), depth = ay_get_varint(c);
	unsigned lc = x->props % 9, lp = x->props / 9 % 5, pb = x->props / 45;
	bool finder = x->finder == 0x03 || x->finder == 0x04 || (x->finder >= 0x12 && x->finder <= 0x14);

	*ok = *ok && lc + lp <= 4 && pb <= 4 && (x->mode == 1 || x->mode == 2) && finder && nice >= 2 &&
	      nice <= 273 && depth <= 4096;
	x->nice = *ok ? (uint16_t)nice : 0;
	x->depth = *ok ? (uint16_t)depth : 0;
}

static void zstd_get(struct ay_cursor *c, bool target, struct ay__zstd_params *z, bool *ok)
{
	z->window_log = ay_get_u8(c);
	*ok = z->window_log >= 10 && z->window_log <= AY__ZSTD_WINDOW_MAX;
	if (!target)
		return;
	int64_t level = ay_unzigzag(ay_get_varint(c));
	unsigned flags = ay_get_u8(c);
	*ok = *ok && level >= -7 && level <= 19 && level != 0 && flags <= 31;
	z->level = *ok ? (int8_t)level : 0;
	z->checksum = flags & 1;
	z->sized = flags & 2;
	z->long_ = flags & 4;
	z->window_set = flags & 8;
	z->worker = flags & 16;
	if (z->sized)
		z->size = ay_get_varint(c);
}

int ay__filter_get(struct ay_cursor *c, bool target, struct ay__filter_params *p, struct ay_err *err)
{
	size_t at = ay_cursor_offset(c);
	unsigned id = ay_get_u8(c);
	bool ok = true;

	*p = (struct ay__filter_params){.id = (enum ay__filter)id};
	if (id >= AY__FILTERS)
		return ay_err_set(err, AY_EUNSUPPORTED, "filter %u is unknown to this version of ayni", id);
	if (id == AY__FILTER_DEFLATE && target)
		deflate_get(c, p, &ok);
	else if (id == AY__FILTER_LZMA2)
		xz_get(c, target, &p->xz, &ok);
	else if (id == AY__FILTER_ZSTD)
		zstd_get(c, target, &p->zstd, &ok);
	if (c->failed)
		return ay_err_set(err, AY_EFORMAT, "byte %zu of the recipe: cut short", at);
	return ok ? 0
		  : ay_err_set(err, AY_EFORMAT,
			       "byte %zu of the recipe: parameters of filter %s that cannot be", at,
			       filter_name(id));
}

void ay__filter_put(struct ay_buf *out, bool target, const struct ay__filter_params *p)
{
	const struct ay__deflate_params *d = &p->deflate;
	const struct ay__xz_params *x = &p->xz;
	const struct ay__zstd_params *z = &p->zstd;

	ay_put_u8(out, (uint8_t)p->id);
	if (p->id == AY__FILTER_DEFLATE && target) {
		ay_put_u8(out, (uint8_t)d->way);
		if (d->way == AY__DEFLATE_GREEDY || d->way == AY__DEFLATE_LAZY) {
			ay_put_varint(out, d->good);
			ay_put_varint(out, d->lazy);
			ay_put_varint(out, d->nice);
			ay_put_varint(out, d->chain);
			ay_put_u8(out, d->hash_bits);
			ay_put_u8(out, d->window_bits);
		}
		ay_put_u8(out, (uint8_t)(d->filtered | d->resets << 1));
		ay_put_varint(out, p->corrections.len);
		ay_put_bytes(out, p->corrections.data, p->corrections.len);
	} else if (p->id == AY__FILTER_LZMA2) {
		ay_put_u8(out, x->branch);
		if (x->branch == 8)
			ay_put_u8(out, x->delta);
		ay_put_u8(out, x->dict_code);
		if (target) {
			ay_put_u8(out, x->props);
			ay_put_u8(out, x->mode);
			ay_put_u8(out, x->finder);
			ay_put_varint(out, x->nice);
			ay_put_varint(out, x->depth);
		}
	} else if (p->id == AY__FILTER_ZSTD) {
		ay_put_u8(out, z->window_log);
		if (target) {
			ay_put_varint(out, ay_zigzag(z->level));
			ay_put_u8(out, (uint8_t)(z->checksum | z->sized << 1 | z->long_ << 2 |
						 z->window_set << 3 | z->worker << 4));
			if (z->sized)
				ay_put_varint(out, z->size);
		}
	}
}

/* What libzstd 1.5 takes for a level where nothing else is asked for: log2 of the window, and of its second table. */
static uint8_t zstd_level_window(int level)
{
	return level <= 1 ? 19 : level == 2 ? 20 : level <= 8 ? 21 : level <= 16 ? 22 : 23;
}

static unsigned zstd_level_chain(int level)
{
	return level <= 4 ? 18 : level <= 8 ? 20 : level <= 11 ? 22 : level <= 18 ? 23 : 24;
}

/* log2 of the window that packing will have: where it is not set, libzstd chooses it, whatever the recipe says. */
static uint8_t zstd_window(const struct ay__zstd_params *z)
{
	uint8_t log = z->long_ ? AY__ZSTD_WINDOW_MAX : zstd_level_window(z->level), need = 10;

	if (z->window_set)
		return z->window_log;
	while (z->sized && need < log && 1ull << need < z->size)
		need++;
	if (z->sized)
		log = need;
	return log > z->window_log ? log : z->window_log;
}

/* MiB. Measured with ZSTD_sizeof_CCtx() for each level (tests/unit/diff/test_rewrap.c compares); the window apart. */
static uint64_t zstd_tables(const struct ay__zstd_params *z)
{
	return z->level <= 4 ? 6 : z->level <= 10 ? 28 : z->level <= 13 ? 50 : z->level <= 15 ? 66 : 90;
}

static uint64_t zstd_pack_memory(const struct ay__zstd_params *z)
{
	uint64_t tables = zstd_tables(z);
	unsigned log = zstd_window(z), chain = zstd_level_chain(z->level), job;

	/* A worker's job: four windows; when it looks far back as well, eight times that table, which a small file makes smaller. */
	if (z->sized && !z->window_set && chain > log + 1)
		chain = log + 1;
	job = z->long_ ? chain + 3 : log + 2;
	if (job < 21)
		job = 21;
	return (tables << 20) + (3ull << log) + (z->long_ ? 32ull << 20 : 0) + (z->worker ? 6ull << job : 0);
}

/*
 * As how many bytes beginning a filter counts. zstd clears tables that its level chooses, unless it knows that there is little to
 * come: of 90 MiB for one byte, 40 ms, in which as many bytes are unpacked as an eighth of that.
 */
static uint64_t begin_work(const struct ay__filter_params *p, bool target)
{
	const struct ay__zstd_params *z = &p->zstd;
	uint64_t tables = (zstd_tables(z) + (z->long_ ? 32 : 0)) << (20 - AY__WORK_TABLES);

	if (p->id == AY__FILTER_DEFLATE)
		return AY__WORK_FILTER;
	if (p->id != AY__FILTER_ZSTD || !target)
		return AY__WORK_HEAVY;
	return AY__WORK_HEAVY + (z->sized && z->size < tables ? z->size : tables);
}

uint64_t ay__filter_memory(const struct ay__filter_params *p, bool target)
{
	uint64_t dict = (2ull | (p->xz.dict_code & 1)) << (p->xz.dict_code / 2 + 11);

	switch (p->id) {
	case AY__FILTER_DEFLATE:
		return LAYER_MEMORY + (target ? AY__DEFLATE_PACK_MEMORY : sizeof(struct ay__inflate));
	case AY__FILTER_LZMA2:
		/*
		 * liblzma's: eleven and a half times the dictionary, and what is there in any case. Its table is as large as for the
		 * next power of two.
		 */
		return LAYER_MEMORY +
		       (target ? 23 * dict / 2 + (p->xz.dict_code & 1 ? dict / 2 : 0) + (3u << 20)
			       : dict + (64u << 10));
	case AY__FILTER_ZSTD:
		return LAYER_MEMORY +
		       (target ? zstd_pack_memory(&p->zstd) : (1ull << p->zstd.window_log) + (512u << 10));
	default:
		return 0;
	}
}

/* Unpacking is over when packing begins. */
static uint64_t work_of(const struct ay__recipe_sums *base, const struct ay__recipe_sums *target)
{
	return base->memory > target->memory ? base->memory : target->memory;
}

uint64_t ay__recipes_memory(size_t len, const struct ay__recipe_sums *base,
			    const struct ay__recipe_sums *target, uint64_t predicting)
{
	uint64_t work = work_of(base, target);
	uint64_t view = base->view_size == 0 || ay__recipe_in_file(base) ? 0 : AY__VIEW_IN_MEMORY;

	if (!ay__recipe_held(target))
		work += predicting;
	else if (predicting > work)
		work = predicting;
	return len + work + view + (base->view_size ? AY__VIEW_BUFFER : 0);
}

uint64_t ay__recipes_predicting_max(uint64_t max, size_t len, const struct ay__recipe_sums *base,
				    const struct ay__recipe_sums *target)
{
	uint64_t least = ay__recipes_memory(len, base, target, 0);

	if (least > max)
		return 0;
	return max - least + (ay__recipe_held(target) ? work_of(base, target) : 0);
}

uint64_t ay__recipes_scratch(const struct ay__recipe_sums *base, const struct ay__recipe_sums *target,
			     bool elf)
{
	return (ay__recipe_in_file(base) ? base->view_size : 0) +
	       (elf && ay__recipe_held(target) ? target->view_size : 0);
}

static uint64_t add(uint64_t a, uint64_t b)
{
	return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

uint64_t ay__record_work(uint64_t base_size, const struct ay__recipe_sums *base,
			 const struct ay__recipe_sums *target, uint64_t elf_size)
{
	uint64_t unpacking = base->filters ? add(base_size, base->work) : 0;
	uint64_t packing = target->filters ? target->work : 0;

	return add(add(unpacking, packing), elf_size);
}

uint64_t ay__work_max(uint64_t unpacked_size)
{
	if (unpacked_size > (UINT64_MAX - AY__WORK_FREE) / AY__WORK_SHARE)
		return UINT64_MAX;
	return AY__WORK_SHARE * unpacked_size + AY__WORK_FREE;
}

int ay__recipe_check(struct ay_slice recipe, bool target, struct ay__recipe_sums *sums, struct ay_err *err)
{
	uint64_t memory[AY__RECIPE_DEPTH + 1] = {0}, raw;
	unsigned depth = 0, heavy = 0;
	struct ay_cursor c;

	*sums = (struct ay__recipe_sums){0};
	ay_cursor_init(&c, recipe.data, recipe.len);
	for (;;) {
		struct ay__filter_params p;

		raw = ay_get_varint(&c);
		if (raw >> 62 || (sums->view_size += raw) >> 62)
			return ay_err_set(err, AY_EFORMAT,
					  "byte %zu of the recipe: a size that makes no sense",
					  ay_cursor_offset(&c));
		int rc = ay__filter_get(&c, target, &p, err);
		if (rc)
			return rc;
		if (p.id == AY__FILTER_END && depth-- == 0)
			break;
		if (p.id == AY__FILTER_END)
			continue;
		if (depth == AY__RECIPE_DEPTH)
			return ay_err_set(err, AY_ELIMIT, "byte %zu of the recipe: nested more than %d deep",
					  ay_cursor_offset(&c), AY__RECIPE_DEPTH);
		heavy += p.id != AY__FILTER_DEFLATE;
		if (++sums->filters > AY__RECIPE_PIECES || heavy > AY__RECIPE_HEAVY)
			return ay_err_set(err, AY_ELIMIT, "byte %zu of the recipe: more than %d filters",
					  ay_cursor_offset(&c),
					  heavy > AY__RECIPE_HEAVY ? AY__RECIPE_HEAVY : AY__RECIPE_PIECES);
		depth++;
		memory[depth] = memory[depth - 1] + ay__filter_memory(&p, target);
		if (memory[depth] > sums->memory)
			sums->memory = memory[depth];
		sums->encoders |= 1u << p.id;
		sums->work += begin_work(&p, target);
	}
	sums->work += sums->view_size;
	return ay_cursor_done(&c) ? 0
				  : ay_err_set(err, AY_EFORMAT, "%zu bytes are left over in the recipe",
					       ay_cursor_left(&c));
}
