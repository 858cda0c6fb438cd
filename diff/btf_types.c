/* SPDX-License-Identifier: MIT */
/*
 * diff/btf_types.c - two passes over a .BTF: where its types are and its largest numbers; then, since these say which names are its
 * own, the keys.
 */
#include "diff/btf_types.h"

#include <errno.h>
#include <stdlib.h>

#define TYPES_MAX (1u << 20)

void ay__btf_types_release(struct ay__btf_types *t)
{
	free(t->types);
	*t = (struct ay__btf_types){0};
}

uint32_t ay__btf_value(struct ay__btf_types *t, uint64_t at)
{
	const uint8_t *p = ay__source_at(&t->src, at, 4);

	return p ? ay_get_le32(p) : 0;
}

static void own_find(struct ay__btf_types *t)
{
	const char *names = (const char *)t->src.data + t->btf.names;
	uint64_t last = t->btf.names_end - t->btf.names;

	last -= last > 0; /* the last NUL */
	while (last > 0 && names[last - 1])
		last--;
	t->own[AY__BTF_NAME] = t->max[AY__BTF_NAME] > last ? t->max[AY__BTF_NAME] - (uint32_t)last : 0;
	t->own[AY__BTF_TYPE] = t->max[AY__BTF_TYPE] > t->n ? t->max[AY__BTF_TYPE] - t->n : 0;
}

uint64_t ay__btf_name_hash(struct ay__btf_types *t, uint32_t name)
{
	uint64_t len = t->btf.names_end - t->btf.names, at = name - t->own[AY__BTF_NAME], h = 7;

	if (name < t->own[AY__BTF_NAME] || at >= len)
		return name != 0;
	for (; at < len && t->src.data[t->btf.names + at]; at++)
		h = ay__btf_mix(h, t->src.data[t->btf.names + at]);
	return h;
}

int ay__btf_types_read(struct ay__btf_types *t, struct ay_slice section)
{
	struct ay__btf_walk w = {.src = &t->src};
	enum ay__btf_space space;
	uint64_t at, last = 0;

	t->src = ay__source_memory(section.data, section.len);
	if (!ay__btf_parse(&t->src, 0, section.len, &t->btf))
		return 0;
	w.at = t->btf.types;
	w.end = t->btf.types_end;
	uint64_t cap = (w.end - w.at) / 12 + 1;
	t->types = cap <= TYPES_MAX ? malloc(cap * sizeof(*t->types)) : NULL;
	if (!t->types)
		return cap <= TYPES_MAX ? -ENOMEM : 0;
	while (ay__btf_next(&w, &at, &space)) {
		uint32_t v = ay__btf_value(t, at);

		t->max[space] = v > t->max[space] ? v : t->max[space];
		if (w.type != last)
			t->types[t->n++].at = last = w.type;
	}
	own_find(t);
	for (uint32_t i = 0; i < t->n; i++) {
		uint32_t info = ay__btf_value(t, t->types[i].at + 4);

		t->types[i].key = ay__btf_mix(ay__btf_mix(3, info),
					      ay__btf_name_hash(t, ay__btf_value(t, t->types[i].at)));
	}
	return 0;
}
