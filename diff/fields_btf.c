/* SPDX-License-Identifier: MIT */
/*
 * diff/fields_btf.c - the references in .BTF as fields.
 */
#include "diff/btf.h"
#include "diff/fields_parts.h"

void ay__fields_btf(struct ay__source *src, const struct ay__elf_section *s, struct ay__fields *f)
{
	struct ay__btf btf;
	enum ay__btf_space space;
	uint64_t at;

	if (!ay__btf_parse(src, s->offset, s->size, &btf))
		return;
	struct ay__btf_walk w = {.src = src, .at = btf.types, .end = btf.types_end};
	while (src->rc == 0 && ay__btf_next(&w, &at, &space)) {
		const uint8_t *p = ay__source_at(src, at, 4);

		if (p && ay_get_le32(p))
			ay__field_mark(f, at,
				       space == AY__BTF_TYPE ? AY__FIELD_BTF_TYPE : AY__FIELD_BTF_NAME);
	}
}
