/* SPDX-License-Identifier: MIT */
/*
 * Two passes over both manifests: what keeps an entry's new time may stand before or behind it (__pycache__/ is before
 * x.py and behind Main.py), so the first pass gathers the exceptions and the second writes. An exception is
 * remembered as a hash of its path; should two paths have the same one, a time is new that might have been old.
 */
#include "manifest/carry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/path.h"
#include "manifest/delta.h"

struct keep {
	uint64_t *paths; /* hashes of those whose new time stays */
	size_t n, cap;
};

struct carry {
	struct keep keep;
	struct ay_manifest_writer *writer;
	struct ay_carried *out;
};

static uint64_t hash_path(uint64_t h, const char *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		h = (h ^ (uint8_t)p[i]) * 0x100000001B3u; /* FNV-1a */
	return h;
}
#define HASH_START 0xCBF29CE484222325u

static int keep_hash(struct keep *k, uint64_t h)
{
	if (k->n == k->cap) {
		size_t cap = k->cap ? 2 * k->cap : 256;
		uint64_t *grown = reallocarray(k->paths, cap, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		k->paths = grown;
		k->cap = cap;
	}
	k->paths[k->n++] = h;
	return 0;
}

static int cmp_hash(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static bool kept(const struct keep *k, const char *path, size_t len)
{
	uint64_t h = hash_path(HASH_START, path, len);

	return k->n > 0 && bsearch(&h, k->paths, k->n, sizeof(h), cmp_hash);
}

static bool ends_in(const char *p, size_t len, const char *end)
{
	size_t n = strlen(end);

	return len > n && memcmp(p + len - n, end, n) == 0;
}

/* "a.b.cpython-311.opt-2" -> "a.b": the name without optimisation level and tag. */
static size_t module_len(const char *name, size_t len)
{
	const char *dot = memrchr(name, '.', len);

	if (dot && strncmp(dot, ".opt-", 5) == 0) {
		len = (size_t)(dot - name);
		dot = memrchr(name, '.', len);
	}
	return dot ? (size_t)(dot - name) : len;
}

/* The byte code @path is new: its source keeps its time. */
static int keep_source(struct keep *k, const char *path, size_t len)
{
	static const char cache[] = "/__pycache__";
	size_t dir = ay_path_parent_len(path, len), name = dir + (dir > 1),
	       module = len - name - strlen(".pyc");

	if (dir >= strlen(cache) && memcmp(path + dir - strlen(cache), cache, strlen(cache)) == 0) {
		dir -= strlen(cache);
		module = module_len(path + name, module);
	} else if (dir == 1) {
		dir = 0; /* "/x.pyc" */
	}
	uint64_t h = hash_path(HASH_START, path, dir);
	h = hash_path(h, "/", 1);
	h = hash_path(h, path + name, module);
	return keep_hash(k, hash_path(h, ".py", 3));
}

static int gather(void *ctx, enum ay_change change, const struct ay_entry *old, const struct ay_entry *new_,
		  struct ay_err *err)
{
	struct carry *c = ctx;
	const struct ay_entry *e = new_ ? new_ : old;
	int r = 0;

	AY_ASSERT(e);
	if (change == AY_CHANGE_KEPT)
		return 0;
	if (!old || !new_ || old->type != new_->type)
		r = keep_hash(&c->keep,
			      hash_path(HASH_START, e->path, ay_path_parent_len(e->path, e->path_len)));
	if (r == 0 && new_ && new_->type == AY_ENTRY_FILE && ends_in(new_->path, new_->path_len, ".pyc") &&
	    (!old || old->type != AY_ENTRY_FILE || !ay_digest_eq(&old->digest, &new_->digest)))
		r = keep_source(&c->keep, new_->path, new_->path_len);
	return r < 0 ? ay_err_errno(err, -r, "%s", e->path) : 0;
}

static int put(void *ctx, enum ay_change change, const struct ay_entry *old, const struct ay_entry *new_,
	       struct ay_err *err)
{
	struct carry *c = ctx;
	bool py = false;

	if (!new_)
		return 0;
	struct ay_entry e = *new_;
	if (change == AY_CHANGE_REPLACED) {
		e.mtime_s = old->mtime_s;
		e.mtime_ns = old->mtime_ns;
		py = e.type == AY_ENTRY_FILE && ends_in(e.path, e.path_len, ".py");
	}
	if (change != AY_CHANGE_REPLACED || !ay_entry_same(&e, old))
		return ay_manifest_add(c->writer, new_, err);
	if ((py || e.type == AY_ENTRY_DIR) && kept(&c->keep, e.path, e.path_len)) {
		c->out->py_kept_new += py;
		return ay_manifest_add(c->writer, new_, err);
	}
	c->out->entries++;
	if (e.type == AY_ENTRY_FILE) {
		c->out->files++;
		c->out->bytes += e.size;
	}
	return ay_manifest_add(c->writer, &e, err);
}

static int pass(const void *old, size_t old_len, const void *new_, size_t new_len, ay_change_fn each,
		struct carry *c, struct ay_err *err)
{
	struct ay_manifest_reader *a = ay_manifest_reader_new_mem(old, old_len);
	struct ay_manifest_reader *b = ay_manifest_reader_new_mem(new_, new_len);
	int r = a && b ? ay_manifest_compare(a, b, each, c, err)
		       : ay_err_errno(err, ENOMEM, "compare manifests");

	ay_manifest_reader_free(a);
	ay_manifest_reader_free(b);
	return r;
}

int ay_manifest_carry(const void *old, size_t old_len, const void *new_, size_t new_len, ay_write_fn write,
		      void *ctx, struct ay_digest *digest, uint64_t *size, struct ay_carried *carried,
		      struct ay_err *err)
{
	struct carry c = {.out = carried, .writer = ay_manifest_writer_new(write, ctx)};
	int r = c.writer ? 0 : ay_err_errno(err, ENOMEM, "carry times over");

	*carried = (struct ay_carried){0};
	if (r == 0)
		r = pass(old, old_len, new_, new_len, gather, &c, err);
	if (r == 0 && c.keep.n > 1)
		qsort(c.keep.paths, c.keep.n, sizeof(*c.keep.paths), cmp_hash);
	if (r == 0)
		r = pass(old, old_len, new_, new_len, put, &c, err);
	if (r == 0)
		r = ay_manifest_finish(c.writer, digest, size, err);
	ay_manifest_writer_free(c.writer);
	free(c.keep.paths);
	return r < 0 ? ay_err_wrap(err, r, "carry the last release's times over") : 0;
}
