/* SPDX-License-Identifier: MIT */
/*
 * diff/predict_btf.c - ranks of types, before and after.
 *
 * The border between the kernel's numbers and a module's own is not written anywhere. The map's last row tells it; without a map
 * the largest reference does nearly, as diff/btf_types.h says. Whoever has the file and the map finds the same border.
 */
#include "diff/predict_btf.h"

#include <errno.h>
#include <stdlib.h>

#define TYPES_MAX (1u << 19)
#define STEP      16
#define CLOSE     64 /* the kernel's own .BTF has as many types as the map's border says, or a few less */

void ay__btf_guess_release(struct ay__btf_guess *g)
{
	free(g->at);
	free(g->before);
	*g = (struct ay__btf_guess){0};
}

/* How many types begin before @at. */
static uint32_t rank(const struct ay__btf_guess *g, uint64_t at)
{
	uint32_t lo = 0, hi = g->n;

	if (at <= g->btf.types)
		return 0;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (g->btf.types + g->at[mid] < at)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* Where the section's own numbers begin; the beginning of its last name is where the largest reference to one leads. */
static void borders(struct ay__btf_guess *g, struct ay__source *src, const uint32_t max[AY__BTF_SPACES])
{
	uint64_t len = g->btf.names_end - g->btf.names, last = len ? len - 1 : 0;
	const uint8_t *p;

	while (last > 0 && (p = ay__source_at(src, g->btf.names + last - 1, 1)) != NULL && *p)
		last--;
	g->own[AY__BTF_TYPE] = max[AY__BTF_TYPE] > g->n ? max[AY__BTF_TYPE] - g->n : 0;
	g->own[AY__BTF_NAME] = max[AY__BTF_NAME] > last ? max[AY__BTF_NAME] - (uint32_t)last : 0;
	uint32_t rows = g->map->n[AY__BTF_TYPE];
	if (rows == 0 || g->n + CLOSE >= g->map->rows[AY__BTF_TYPE][rows - 1].from)
		return; /* no map, or this is the kernel's own .BTF */
	for (unsigned s = 0; s < AY__BTF_SPACES; s++) {
		if (g->map->n[s])
			g->own[s] = g->map->rows[s][g->map->n[s] - 1].from;
	}
}

static int types_find(struct ay__btf_guess *g, struct ay__source *src)
{
	struct ay__btf_walk w = {.src = src, .at = g->btf.types, .end = g->btf.types_end};
	uint64_t cap = (w.end - w.at) / 12 + 1, at, last = 0;
	uint32_t max[AY__BTF_SPACES] = {0};
	enum ay__btf_space space;

	cap = cap < TYPES_MAX ? cap : TYPES_MAX;
	g->at = malloc(cap * sizeof(*g->at));
	if (!g->at)
		return -ENOMEM;
	while (ay__btf_next(&w, &at, &space)) {
		const uint8_t *p = ay__source_at(src, at, 4);
		uint32_t v = p ? ay_get_le32(p) : 0;

		max[space] = v > max[space] ? v : max[space];
		if (w.type != last && g->n < cap)
			g->at[g->n++] = (uint32_t)(w.type - g->btf.types);
		last = w.type;
	}
	borders(g, src, max);
	return src->rc;
}

int ay__btf_guess_init(struct ay__btf_guess *g, const struct ay__elf *elf, struct ay__source *src,
		       const struct ay__btf_map *map, const struct ay__copy *copies, uint32_t n_copies)
{
	uint32_t before = 0, i = 1;

	*g = (struct ay__btf_guess){.map = map, .copies = copies};
	while (i < elf->n && !(elf->sections[i].holds == AY__HOLDS_BTF && elf->sections[i].has_bytes))
		i++;
	if (i == elf->n || !ay__btf_parse(src, elf->sections[i].offset, elf->sections[i].size, &g->btf))
		return src->rc;
	int rc = types_find(g, src);
	g->before = malloc((n_copies + 1) * sizeof(*g->before));
	if (rc || !g->before)
		return rc ? rc : -ENOMEM;
	for (uint32_t c = 0; c < n_copies; c++) {
		g->before[c] = before;
		before += rank(g, copies[c].old + copies[c].len) - rank(g, copies[c].old);
	}
	return 0;
}

enum ay__btf_whose ay__btf_guess_place(const struct ay__btf_guess *g, enum ay__btf_space space, uint32_t v,
				       uint64_t *at, uint32_t *index)
{
	if (v < g->own[space])
		return AY__BTF_THEIRS;
	*index = v - g->own[space];
	if (space == AY__BTF_NAME) {
		*at = g->btf.names + *index;
		return *at < g->btf.names_end ? AY__BTF_OWN : AY__BTF_NOBODYS;
	}
	*index -= *index > 0; /* the first has number own + 1 */
	if (*index >= g->n)
		return AY__BTF_NOBODYS;
	*at = g->btf.types + g->at[*index];
	return AY__BTF_OWN;
}

int64_t ay__btf_guess_theirs(const struct ay__btf_guess *g, enum ay__btf_space space, uint32_t v)
{
	return (int32_t)(ay__btf_mapped(g->map, space, v) - v);
}

int64_t ay__btf_guess_own(struct ay__btf_guess *g, enum ay__btf_space space, uint32_t c, uint32_t index)
{
	const struct ay__copy *copy = &g->copies[c];

	g->guess = g->own[space] ? ay__btf_guess_theirs(g, space, g->own[space]) : 0;
	if (space == AY__BTF_NAME)
		g->guess += (int64_t)(copy->new_ - copy->old);
	else
		g->guess += (int64_t)g->before[c] + (index - rank(g, copy->old)) - index;
	return g->guess + g->wrong[space];
}

void ay__btf_guess_learn(struct ay__btf_guess *g, enum ay__btf_space space, int64_t shift)
{
	int64_t wrong = shift - g->guess, step = wrong - g->wrong[space];

	/* A reference that was exchanged for another one says nothing: a great change counts when it is seen twice. */
	if (wrong == g->seen[space] || (step >= -STEP && step <= STEP))
		g->wrong[space] = wrong;
	g->seen[space] = wrong;
}
