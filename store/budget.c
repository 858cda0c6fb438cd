/* SPDX-License-Identifier: MIT */
/*
 * Collecting within budgets (store/budget.h). Whether there is room enough is asked of the file system again after
 * each thing that went, because shared blocks free less than they seem to.
 */
#include "store/budget.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/cleanup.h"
#include "store/gc_bundles.h"
#include "store/gc_internal.h"
#include "store/gc_objects.h"
#include "store/spill.h"
#include "store/staging.h"

void ay_store_set_reserve(struct ay_store *s, uint64_t bytes)
{
	s->reserve = bytes;
}

/* ---- how large it is ---- */

static int add_dir(int dir, uint64_t *bytes)
{
	AY_CLOSEDIR DIR *d = ay__list_dir(dir);
	struct dirent *e;
	int r = d ? 0 : -errno;

	while (d && (e = ay__dir_next(d, &r))) {
		struct stat st;
		if (fstatat(dir, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
			if (!ay__not_there(-errno))
				return -errno;
		} else if (S_ISREG(st.st_mode)) {
			*bytes += (uint64_t)st.st_blocks * 512;
		}
	}
	return r;
}

int ay_store_size(struct ay_store *s, uint64_t *bytes, struct ay_err *err)
{
	char name[8] = AY__SPILL_DIR;
	int r = 0;

	*bytes = 0;
	for (unsigned i = 0; r == 0 && i <= 256; i++) {
		if (i > 0)
			snprintf(name, sizeof(name), "%02x", i - 1);
		AY_CLOSE int dir = ay__open_beneath(s->objects, name, O_RDONLY | O_DIRECTORY);
		if (dir == -ENOENT)
			continue;
		r = dir < 0 ? dir : add_dir(dir, bytes);
	}
	if (r == 0)
		r = add_dir(s->bundles, bytes);
	if (r == 0)
		r = add_dir(s->partial, bytes);
	return r < 0 ? ay_err_errno(err, -r, "how large %s is", s->path) : 0;
}

/* ---- enough? ---- */

struct room {
	struct ay_store *s;
	uint64_t need, over; /* over: what the store had above max_size */
	struct ay_gc_result *res;
	uint64_t before; /* res->bytes when `over` was measured */
};

static bool enough(void *ctx)
{
	const struct room *x = ctx;
	struct statvfs v;

	if (x->over > x->res->bytes - x->before)
		return false;
	if (x->need == 0 || fstatvfs(x->s->dir, &v) < 0)
		return true;
	return (uint64_t)v.f_bavail >= x->need / (v.f_frsize ? v.f_frsize : 4096);
}

static int measure(struct ay_store *s, const struct ay_budget *b, struct room *x, struct ay_err *err)
{
	uint64_t size = 0;
	int r = b->max_size ? ay_store_size(s, &size, err) : 0;

	x->over = size > b->max_size ? size - b->max_size : 0;
	x->before = x->res->bytes;
	return r;
}

/* ---- in the order of how much it is missed ---- */

static int each_branch(struct ay_store *s, const struct ay_budget *b, struct room *short_of,
		       struct ay_gc_result *res, struct ay_err *err)
{
	char **names = NULL;
	size_t n = 0;
	int r = ay_store_branches(s, &names, &n, err);

	for (size_t i = 0; r == 0 && i < n; i++) {
		struct ay__gc_trees how = {.keep = b->keep_of ? b->keep_of(b->ctx, names[i]) : b->keep,
					   .spare_before = true};
		if (short_of)
			how = (struct ay__gc_trees){.enough = enough, .ctx = short_of};
		r = ay__gc_branch(s, names[i], &how, res, err);
	}
	ay_store_names_free(names, n);
	return r;
}

int ay_store_collect(struct ay_store *s, const struct ay_budget *b, uint64_t need, struct ay_gc_result *res,
		     struct ay_err *err)
{
	struct ay_gc_result none = {0};
	int r = ay__store_writable(s, err);

	res = res ? res : &none;
	memset(res, 0, sizeof(*res));
	struct room x = {.s = s, .res = res};
	if (__builtin_add_overflow(need, s->reserve, &x.need))
		x.need = UINT64_MAX;
	if (r == 0) {
		ay__staging_sweep(s, true, res);
		r = each_branch(s, b, NULL, res, err);
	}
	if (r == 0)
		r = ay__gc_objects(s, res, err);
	if (r == 0)
		r = ay__gc_bundles(s, res, err);
	if (r == 0)
		r = ay__gc_shed(s, NULL, NULL, res, err);
	if (r == 0)
		r = measure(s, b, &x, err);
	if (r == 0 && !enough(&x))
		r = ay__gc_shed(s, enough, &x, res, err);
	if (r == 0 && !enough(&x))
		r = each_branch(s, b, &x, res, err);
	return r < 0 ? ay_err_wrap(err, r, "collect in %s", s->path) : 0;
}
