/* SPDX-License-Identifier: MIT */
/*
 * diff/reader_inside.c - a record that looks into what is packed: its recipes, and the base unpacked by them.
 *
 * A base's view is read at any offset, so it is unpacked first: a small one to memory, a large one to a temporary file. What
 * all of it may cost was said in the header, before anything was read.
 */
#include "diff/reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "diff/elf_columns.h"
#include "diff/unwrap.h"

/* @n bytes of recipe, which come in chunks. */
static int chunks_read(struct ay__reader *r, uint64_t n)
{
	/* Exactly so many bytes, as they are counted. */
	if (r->recipe.cap > n + 1)
		ay_buf_release(&r->recipe);
	ay_buf_reset(&r->recipe);
	r->recipe.limit = (size_t)n;
	if (!ay_buf_reserve(&r->recipe, (size_t)n))
		return ay_err_errno(r->err, ENOMEM, "a recipe of %llu bytes", (unsigned long long)n);
	while (r->recipe.len < n) {
		struct ay_cursor *c;
		uint64_t len = 0;
		int rc = ay__reader_part_for(r, AY_STREAM_RECIPE);

		if (rc == 0)
			rc = ay__reader_number(r, AY_STREAM_RECIPE, &len);
		if (rc)
			return rc;
		c = ay__reader_col(r, AY_STREAM_RECIPE);
		if (len == 0 || len > n - r->recipe.len || len > ay_cursor_left(c))
			return ay__reader_bad(r, AY_STREAM_RECIPE, "a chunk that is too long, or empty");
		ay_put_bytes(&r->recipe, ay_get_bytes(c, (size_t)len), (size_t)len);
	}
	return 0;
}

/* A view's size against the size of what it is the view of. */
static int share_check(struct ay__reader *r, const char *whose, uint64_t view, uint64_t size)
{
	/* Both are below 2^62, so that the division rather than the product is compared. */
	uint64_t beyond = view > AY__VIEW_FREE ? view - AY__VIEW_FREE : 0;

	if (beyond / AY__VIEW_SHARE <= size)
		return 0;
	return ay_err_set(r->err, AY_ELIMIT, "the %s's %llu bytes would unpack to %llu: too many", whose,
			  (unsigned long long)size, (unsigned long long)view);
}

/* Does the record need no more than the header said? */
static int costs_check(struct ay__reader *r, const struct ay__recipe_sums *base,
		       const struct ay__recipe_sums *target)
{
	bool elf = r->r.method == AY_METHOD_ELF;
	uint64_t memory =
		ay__recipes_memory(r->recipe.len, base, target, elf ? ay__elf_extra_memory(r->base_size) : 0);
	uint64_t scratch = ay__recipes_scratch(base, target, elf);

	if (memory > r->header.extra_memory)
		return ay_err_set(r->err, AY_EFORMAT, "needs %llu bytes of memory, the header says %llu",
				  (unsigned long long)memory, (unsigned long long)r->header.extra_memory);
	if (scratch > r->header.scratch_size)
		return ay_err_set(r->err, AY_EFORMAT,
				  "needs temporary files of %llu bytes, the header says %llu",
				  (unsigned long long)scratch, (unsigned long long)r->header.scratch_size);
	if (target->encoders & ~r->header.encoders)
		return ay_err_set(r->err, AY_EFORMAT,
				  "is packed by an encoder that the header does not name");
	if ((base->encoders | target->encoders) != r->r.filters)
		return ay_err_set(r->err, AY_EFORMAT, "its recipes have other filters than its head");
	return 0;
}

/* All records together may not make anybody go through bytes without end; those that are skipped count as well, so that everybody says the same. */
static int work_check(struct ay__reader *r, const struct ay__recipe_sums *base,
		      const struct ay__recipe_sums *target)
{
	uint64_t work = ay__record_work(r->r.base_sizes[0], base, target,
					r->r.method == AY_METHOD_ELF ? r->base_size : 0);
	uint64_t max = ay__work_max(r->header.unpacked_size);

	if (work > max - r->work)
		return ay_err_set(r->err, AY_ELIMIT,
				  "needs %llu bytes to be gone through, after %llu for the records before: "
				  "a bundle that unpacks to %llu bytes may take %llu",
				  (unsigned long long)work, (unsigned long long)r->work,
				  (unsigned long long)r->header.unpacked_size, (unsigned long long)max);
	r->work += work;
	return 0;
}

/* The recipes' lengths, then the recipes. */
static int recipes_read(struct ay__reader *r)
{
	uint64_t n_base = 0, n_target = 0;
	int rc = ay__reader_part_for(r, AY_STREAM_RECIPE);

	if (rc == 0 && r->r.n_bases)
		rc = ay__reader_number(r, AY_STREAM_RECIPE, &n_base);
	if (rc == 0)
		rc = ay__reader_number(r, AY_STREAM_RECIPE, &n_target);
	if (rc)
		return rc;
	if (n_base > AY__RECIPE_MAX || n_target > AY__RECIPE_MAX - n_base)
		return ay__reader_bad(r, AY_STREAM_RECIPE, "recipes that are too long");
	if (n_base + n_target == 0)
		return ay__reader_bad(r, AY_STREAM_RECIPE, "filters, but no recipe");
	/* Before any of it is kept; the rest of what the record needs is compared when they are known. */
	if (n_base + n_target > r->header.extra_memory)
		return ay_err_set(
			r->err, AY_EFORMAT, "has %llu bytes of recipes, the header declares %llu of memory",
			(unsigned long long)(n_base + n_target), (unsigned long long)r->header.extra_memory);
	rc = chunks_read(r, n_base + n_target);
	r->base_recipe = (struct ay_slice){.data = r->recipe.data, .len = (size_t)n_base};
	r->target_recipe = (struct ay_slice){.data = r->recipe.data + n_base, .len = (size_t)n_target};
	return rc;
}

int ay__reader_recipes(struct ay__reader *r)
{
	struct ay__recipe_sums base = {0}, target = {0};

	r->hold = r->pack_memory = 0;
	r->view_size = r->r.size;
	r->base_size = r->r.n_bases ? r->r.base_sizes[0] : 0;
	r->base_recipe = r->target_recipe = (struct ay_slice){0};
	if (r->r.filters == 0)
		return work_check(r, &base, &target);
	int rc = recipes_read(r);
	if (rc == 0 && r->base_recipe.len) {
		rc = ay__recipe_check(r->base_recipe, false, &base, r->err);
		r->base_size = base.view_size;
		if (rc == 0)
			rc = share_check(r, "base", base.view_size, r->r.base_sizes[0]);
		else
			ay_err_wrap(r->err, rc, "the base's recipe");
	}
	if (rc == 0 && r->target_recipe.len) {
		rc = ay__recipe_check(r->target_recipe, true, &target, r->err);
		r->view_size = target.view_size;
		r->pack_memory = target.memory;
		r->hold = r->r.method == AY_METHOD_ELF && ay__recipe_held(&target) ? target.view_size : 0;
		if (rc == 0)
			rc = share_check(r, "file", target.view_size, r->r.size);
		else
			ay_err_wrap(r->err, rc, "the file's recipe");
	}
	if (rc == 0)
		rc = costs_check(r, &base, &target);
	return rc ? rc : work_check(r, &base, &target);
}

struct unpacking {
	struct ay__reader *r;
	uint64_t at;
	bool in_file;
};

static int unpacked_put(void *ctx, const uint8_t *data, size_t len)
{
	struct unpacking *u = ctx;
	const struct ay_bundle_scratch *file = u->r->sink->scratch;

	/* Recipes were checked to add up to the view. */
	AY_ASSERT(len <= u->r->base_size - u->at);
	if (u->in_file) {
		int rc = file->data(file->ctx, data, len, u->r->err);

		if (rc)
			return rc;
	} else {
		memcpy(u->r->unpacked + u->at, data, len);
	}
	u->at += len;
	return 0;
}

static int unpack(struct ay__reader *r)
{
	struct unpacking u = {.r = r, .in_file = r->base_size > AY__VIEW_IN_MEMORY};
	const struct ay_bundle_scratch *file = r->sink->scratch;
	int rc = 0, fd = -1;

	if (u.in_file && !file)
		return ay_err_set(r->err, AY_ELIMIT, "needs a temporary file, and there are none here");
	if (!u.in_file && !r->unpacked) {
		r->unpacked = malloc(AY__VIEW_IN_MEMORY);
		if (!r->unpacked)
			return ay_err_errno(r->err, ENOMEM, "base");
	}
	if (u.in_file)
		rc = file->begin(file->ctx, r->base_size, r->err);
	if (rc == 0)
		rc = ay__unwrap(&r->file, r->base_recipe, r->base_size, unpacked_put, &u, r->err);
	if (rc)
		return rc;
	if (!u.in_file) {
		ay__view_open_mem(&r->base, r->unpacked, r->base_size);
		return 0;
	}
	rc = file->end(file->ctx, &fd, r->err);
	return rc ? rc : ay__view_open_fd(&r->base, fd, r->base_size, r->err);
}

int ay__reader_base(struct ay__reader *r)
{
	struct ay__view *v = r->base_recipe.len ? &r->file : &r->base;
	int fd = -1, rc;

	if (r->r.base_numbers[0] && !r->sink->old)
		rc = ay_err_set(
			r->err, AY_EBASE,
			"its base is file %llu of the manifest that the bundle starts from, which is not here",
			(unsigned long long)r->r.base_numbers[0] - 1);
	else
		rc = r->sink->base(r->sink->ctx, &r->r, 0, &fd, r->err);
	if (rc == 0)
		rc = ay__view_open_fd(v, fd, r->r.base_sizes[0], r->err);
	if (rc == 0 && r->base_recipe.len)
		rc = unpack(r);
	ay__view_close(&r->file);
	return rc;
}
