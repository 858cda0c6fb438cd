/* SPDX-License-Identifier: MIT */
/*
 * diff/make_plan.c - both manifests read, contents counted once, files put into an order in which like is with like.
 *
 * Streams are packed over many files: the second of two similar files costs little if it comes soon after the first.
 * Kind (the name's ending) first, then path, brings them together.
 */
#include "diff/make_plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

#define KIND_MAX 12 /* bytes of a name's ending that say what the file is */

static int tree_grow(struct ay__plan_tree *t, size_t *cap)
{
	size_t n = *cap ? *cap + *cap / 2 : 1024;
	struct ay_match_file *f = realloc(t->files, n * sizeof(*f));

	if (!f)
		return -ENOMEM;
	t->files = f;
	*cap = n;
	return 0;
}

/* The regular files of @reader's manifest; paths in one piece of memory. */
static int files_read(struct ay_manifest_reader *reader, struct ay__plan_tree *t, struct ay_buf *paths,
		      struct ay_err *err)
{
	struct ay_entry e;
	size_t cap = 0;
	int rc;

	while ((rc = ay_manifest_next(reader, &e, err)) > 0) {
		if (e.type != AY_ENTRY_FILE)
			continue;
		if (t->n == cap && (rc = tree_grow(t, &cap)) < 0)
			break;
		ay_put_bytes(paths, e.path, e.path_len + 1);
		t->files[t->n++] = (struct ay_match_file){.size = e.size, .digest = e.digest};
	}
	return rc < 0 ? rc : ay_buf_status(paths);
}

static int tree_read(const struct ay_make_tree *tree, struct ay__plan_tree *t, struct ay_err *err)
{
	struct ay_buf paths = {0};
	int rc = -ENOMEM;

	if (!tree || !tree->manifest)
		return 0;
	struct ay_manifest_reader *reader = ay_manifest_reader_new_mem(tree->manifest, tree->manifest_len);
	if (reader)
		rc = files_read(reader, t, &paths, err);
	ay_manifest_reader_free(reader);
	t->paths = (char *)paths.data;
	char *path = t->paths;
	for (size_t i = 0; path && i < t->n && rc == 0; i++) {
		t->files[i].path = path;
		path += strlen(path) + 1;
	}
	return rc == -ENOMEM ? ay_err_errno(err, ENOMEM, "a manifest's files") : rc;
}

struct ay_entry ay__plan_entry(const struct ay_match_file *file)
{
	return (struct ay_entry){.type = AY_ENTRY_FILE,
				 .size = file->size,
				 .digest = file->digest,
				 .path = file->path,
				 .path_len = strlen(file->path)};
}

static int by_digest(const void *a, const void *b)
{
	const struct ay_match_file *const *x = a, *const *y = b;
	int c = ay_digest_cmp(&(*x)->digest, &(*y)->digest);

	/* Of equal contents the first in the tree's order comes first. */
	return c ? c : (*x > *y) - (*x < *y);
}

/* The files of @t by digest. */
static const struct ay_match_file **sorted(const struct ay__plan_tree *t)
{
	const struct ay_match_file **s = malloc((t->n + 1) * sizeof(const struct ay_match_file *));

	for (size_t i = 0; s && i < t->n; i++)
		s[i] = &t->files[i];
	if (s)
		qsort(s, t->n, sizeof(const struct ay_match_file *), by_digest);
	return s;
}

/* One record for each content of the new tree that the old one has not. */
static int records_find(struct ay__plan *plan, const struct ay_match *matches)
{
	AY_FREE const struct ay_match_file **old = sorted(&plan->old), **new_ = sorted(&plan->new_);
	size_t j = 0;

	plan->records = malloc((plan->new_.n + 1) * sizeof(*plan->records));
	if (!old || !new_ || !plan->records)
		return -ENOMEM;
	for (size_t i = 0; i < plan->new_.n; i++) {
		uint32_t file = (uint32_t)(new_[i] - plan->new_.files);

		if (i > 0 && ay_digest_eq(&new_[i]->digest, &new_[i - 1]->digest))
			continue;
		while (j < plan->old.n && ay_digest_cmp(&old[j]->digest, &new_[i]->digest) < 0)
			j++;
		if (j < plan->old.n && ay_digest_eq(&old[j]->digest, &new_[i]->digest))
			continue;
		plan->records[plan->n_records++] =
			(struct ay__plan_record){.file = file, .match = matches[file]};
		plan->unpacked_size += new_[i]->size;
	}
	return 0;
}

/* What a name's ending says: "ko" of a.ko, "so" of libx.so.1.2, "" of most programs. At most KIND_MAX bytes. */
static size_t kind_of(const char *path, const char **kind)
{
	const char *name = strrchr(path, '/') + 1, *so = strstr(name, ".so."), *dot = strrchr(name, '.');

	*kind = so ? so + 1 : dot && dot > name ? dot + 1 : "";
	size_t len = so ? 2 : strlen(*kind);
	return len <= KIND_MAX ? len : 0;
}

static int by_kind(const void *a, const void *b, void *files)
{
	const struct ay_match_file *f = files;
	uint32_t i = ((const struct ay__plan_record *)a)->file, j = ((const struct ay__plan_record *)b)->file;
	const char *x, *y;
	size_t x_len = kind_of(f[i].path, &x), y_len = kind_of(f[j].path, &y);
	int c = memcmp(x, y, x_len < y_len ? x_len : y_len);

	if (c == 0)
		c = (x_len > y_len) - (x_len < y_len);
	return c ? c : (i > j) - (i < j);
}

int ay__plan_make(const struct ay_make_tree *old, const struct ay_make_tree *new_, struct ay__plan *plan,
		  struct ay_err *err)
{
	*plan = (struct ay__plan){0};
	int rc = tree_read(old, &plan->old, err);
	if (rc)
		return ay_err_wrap(err, rc, "old manifest");
	rc = tree_read(new_, &plan->new_, err);
	if (rc)
		return ay_err_wrap(err, rc, "new manifest");
	if (plan->old.n >= UINT32_MAX || plan->new_.n >= UINT32_MAX)
		return ay_err_set(err, AY_ELIMIT, "more than %u files in one tree", UINT32_MAX);
	AY_FREE struct ay_match *matches = calloc(plan->new_.n + 1, sizeof(*matches));
	rc = matches ? ay_match(plan->old.files, plan->old.n, plan->new_.files, plan->new_.n, matches)
		     : -ENOMEM;
	if (rc == 0)
		rc = records_find(plan, matches);
	if (rc)
		return ay_err_set(err, rc, "choose bases: %s", ay_strerror(rc));
	qsort_r(plan->records, plan->n_records, sizeof(*plan->records), by_kind, plan->new_.files);
	return 0;
}

void ay__plan_same_paths(struct ay__plan *plan)
{
	for (size_t i = 0; i < plan->n_records; i++) {
		const char *path = plan->new_.files[plan->records[i].file].path;
		struct ay_match *m = &plan->records[i].match, all = *m;

		m->n = 0;
		for (unsigned k = 0; k < all.n; k++) {
			if (strcmp(plan->old.files[all.base[k]].path, path) == 0)
				m->base[m->n++] = all.base[k];
		}
	}
}

void ay__plan_one_base(struct ay__plan *plan)
{
	for (size_t i = 0; i < plan->n_records; i++) {
		if (plan->records[i].match.n > 1)
			plan->records[i].match.n = 1;
	}
}

static void tree_release(struct ay__plan_tree *t)
{
	free(t->files);
	free(t->paths);
}

void ay__plan_release(struct ay__plan *plan)
{
	tree_release(&plan->old);
	tree_release(&plan->new_);
	free(plan->records);
	*plan = (struct ay__plan){0};
}
