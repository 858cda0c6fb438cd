/* SPDX-License-Identifier: MIT */
/*
 * diff/make_btf.c - reads nothing of a module but its headers and its .BTF.
 */
#include "diff/make_btf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "diff/btf_learn.h"
#include "diff/elf.h"
#include "diff/section.h"

#define BTF_MAX (16u << 20) /* of one module; the whole kernel has 4 MiB */

struct section {
	uint8_t *data;
	size_t len;
};

static void section_free(struct section *s)
{
	free(s->data);
}

static int fd_read(void *ctx, uint64_t offset, void *dst, size_t len)
{
	return ay__pread_all(*(const int *)ctx, dst, len, offset, AY_EFORMAT, NULL);
}

static int copy(int fd, const struct ay__elf *elf, struct section *out)
{
	for (uint32_t i = 1; i < elf->n; i++) {
		const struct ay__elf_section *s = &elf->sections[i];

		if (s->holds != AY__HOLDS_BTF || !s->has_bytes || s->size > BTF_MAX)
			continue;
		out->data = malloc(s->size);
		if (!out->data)
			return -ENOMEM;
		if (ay__pread_all(fd, out->data, s->size, s->offset, AY_EFORMAT, NULL) == 0)
			out->len = s->size;
		break;
	}
	return 0;
}

/* The .BTF of file @e; nothing when it has none. */
static int section_read(const struct ay_make_tree *tree, const struct ay_entry *e, struct section *out)
{
	AY_CLOSE int fd = -1;
	struct ay_err err;
	struct ay__elf elf;

	if (tree->open(tree->ctx, e, &fd, &err))
		return 0;
	struct ay__source src = ay__source_reader(e->size, fd_read, &fd);
	int rc = ay__elf_parse(&src, 0, &elf);
	if (rc == 0) {
		rc = copy(fd, &elf, out);
		ay__elf_release(&elf);
	}
	ay__source_release(&src);
	return rc == -ENOMEM ? rc : 0;
}

static bool is_module(const struct ay_entry *e)
{
	size_t len = strlen(e->path);

	return len > 3 && strcmp(e->path + len - 3, ".ko") == 0;
}

static int coded_size(const struct ay__btf_map *map, size_t *size)
{
	struct ay_buf coded = {0};

	ay__btf_map_put(&coded, map);
	*size = coded.len;
	int rc = ay_buf_status(&coded);
	ay_buf_release(&coded);
	return rc;
}

int ay__make_btf(const struct ay_make_tree *old, const struct ay_make_tree *new_, const struct ay__plan *plan,
		 size_t size_max, struct ay__btf_map *map)
{
	AY_CLEANUP(ay__btf_learner_release) struct ay__btf_learner learner = {0};
	size_t size = 0;
	int rc = 0;

	*map = (struct ay__btf_map){0};
	for (size_t i = 0; i < plan->n_records && rc == 0; i++) {
		const struct ay__plan_record *r = &plan->records[i];
		struct ay_entry e = ay__plan_entry(&plan->new_.files[r->file]), base;
		AY_CLEANUP(section_free) struct section a = {0};
		AY_CLEANUP(section_free) struct section b = {0};

		if (r->match.n == 0 || !is_module(&e))
			continue;
		base = ay__plan_entry(&plan->old.files[r->match.base[0]]);
		rc = section_read(old, &base, &a);
		if (rc == 0 && a.len)
			rc = section_read(new_, &e, &b);
		if (rc == 0 && b.len)
			rc = ay__btf_learn(&learner, (struct ay_slice){a.data, a.len},
					   (struct ay_slice){b.data, b.len});
	}
	if (rc == 0)
		rc = ay__btf_learned(&learner, map);
	if (rc == 0)
		rc = coded_size(map, &size);
	if (rc == 0 && size > size_max)
		ay__btf_map_release(map);
	return rc;
}
