/* SPDX-License-Identifier: MIT */
/*
 * diff/btf_keys.c - in each round a type without a name takes in what it refers to: after three, a pointer to a constant structure is
 * not any pointer. A type with a name is that, whatever became of its members.
 */
#include "diff/btf_keys.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

#define ROUNDS 3
#define CLOSE  64 /* where own numbers begin is known to a few */

void ay__btf_keys_release(struct ay__btf_keys *k)
{
	ay__btf_types_release(&k->types);
	free(k->key);
	*k = (struct ay__btf_keys){0};
}

uint32_t ay__btf_key(struct ay__btf_keys *k, enum ay__btf_space space, uint32_t v)
{
	const struct ay__btf_types *t = &k->types;

	if (v == 0)
		return 0;
	if (space == AY__BTF_NAME && v >= t->own[space])
		return (uint32_t)ay__btf_name_hash(&k->types, v);
	if (space == AY__BTF_TYPE && v > t->own[space])
		return v - t->own[space] <= t->n ? k->key[v - t->own[space] - 1] : 1;
	if (k->map)
		v = ay__btf_mapped(k->map, space, v);
	return (uint32_t)ay__btf_mix(v, space);
}

/* One round: from the keys of the round before. */
static void round_make(struct ay__btf_keys *k, uint32_t *next)
{
	struct ay__btf_types *t = &k->types;
	struct ay__btf_walk w = {.src = &t->src, .at = t->btf.types, .end = t->btf.types_end};
	enum ay__btf_space space;
	uint64_t at;

	memcpy(next, k->key, t->n * sizeof(*next));
	while (ay__btf_next(&w, &at, &space) && w.index < t->n) {
		if (ay__btf_value(t, w.type))
			continue;
		next[w.index] = (uint32_t)ay__btf_mix((uint64_t)next[w.index] << 32 | next[w.index],
						      ay__btf_key(k, space, ay__btf_value(t, at)));
	}
}

int ay__btf_keys_make(struct ay__btf_keys *k, struct ay_slice section, const struct ay__btf_map *map,
		      bool old)
{
	int rc = ay__btf_types_read(&k->types, section);
	AY_FREE uint32_t *next = malloc((k->types.n + 1) * sizeof(*next));

	/* All modules together know better than one; but the kernel's own .BTF has no kernel before it. */
	for (unsigned s = 0; s < AY__BTF_SPACES && map; s++) {
		if (k->types.n + CLOSE < map->own[AY__BTF_TYPE][!old])
			k->types.own[s] = map->own[s][!old];
	}
	k->map = old ? map : NULL;
	k->key = malloc((k->types.n + 1) * sizeof(*k->key));
	if (rc || !next || !k->key)
		return rc ? rc : -ENOMEM;
	for (uint32_t i = 0; i < k->types.n; i++)
		k->key[i] = (uint32_t)k->types.types[i].key;
	for (unsigned r = 0; r < ROUNDS; r++) {
		uint32_t *last = k->key;

		round_make(k, next);
		k->key = next;
		next = last;
	}
	return 0;
}
