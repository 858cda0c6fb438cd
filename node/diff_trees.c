/* SPDX-License-Identifier: MIT */
/*
 * The comparison of two trees: one merge of their manifests gives the paths that differ; then what went and what came
 * with the same content is put together.
 */
#include "node/diff_trees.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "manifest/delta.h"
#include "node/progress.h"

/* What of an entry may differ; the bits of row.what, in this order. */
static const char *const aspects[] = {"type", "content", "size",  "target",    "device",
				      "mode", "owner",   "mtime", "attributes"};
enum { TYPE, CONTENT, SIZE, TARGET, DEVICE, MODE, OWNER, MTIME, ATTRIBUTES, ASPECTS };

/* An entry without what points elsewhere. */
struct fixed {
	enum ay_entry_type type;
	uint16_t mode;
	uint32_t uid, gid, mtime_ns, dev_major, dev_minor;
	int64_t mtime_s;
	uint64_t size;
	struct ay_digest digest; /* of a file's content, or of a link's target */
	struct ay_digest attributes;
};

struct row {
	enum { ADDED, REMOVED, CHANGED, RENAMED, GONE } kind; /* GONE: it is told with the one that came */
	size_t path, from; /* offsets into paths, percent-encoded; from: of one that was renamed */
	unsigned what;
	struct fixed old, new_;
};

struct diff {
	const struct ay_tree_diff_options *o;
	struct row *rows;
	size_t n, cap;
	struct ay_buf paths;
	struct ay_tree_difference *out;
};

static void fix(const struct ay_entry *e, struct fixed *f)
{
	struct ay_buf all = {0};

	*f = (struct fixed){.type = e->type,
			    .mode = e->mode,
			    .uid = e->uid,
			    .gid = e->gid,
			    .mtime_s = e->mtime_s,
			    .mtime_ns = e->mtime_ns};
	if (e->type == AY_ENTRY_FILE) {
		f->size = e->size;
		f->digest = e->digest;
	} else if (e->type == AY_ENTRY_SYMLINK) {
		ay_digest_mem(e->target, e->target_len, &f->digest);
	} else if (e->type == AY_ENTRY_CHAR || e->type == AY_ENTRY_BLOCK) {
		f->dev_major = e->dev_major;
		f->dev_minor = e->dev_minor;
	}
	for (size_t i = 0; i < e->n_xattrs; i++) {
		ay_put_bytes(&all, e->xattrs[i].name, strlen(e->xattrs[i].name) + 1);
		ay_put_u64(&all, e->xattrs[i].value_len);
		ay_put_bytes(&all, e->xattrs[i].value, e->xattrs[i].value_len);
	}
	if (all.len > 0)
		ay_digest_mem(all.data, all.len, &f->attributes);
	ay_buf_release(&all);
}

static unsigned compare(const struct fixed *a, const struct fixed *b, bool ignore_mtime)
{
	bool same_type = a->type == b->type, file = a->type == AY_ENTRY_FILE;
	bool content = !ay_digest_eq(&a->digest, &b->digest);
	unsigned what = 0;

	what |= (unsigned)!same_type << TYPE;
	what |= (unsigned)(same_type && file && content) << CONTENT;
	what |= (unsigned)(same_type && file && a->size != b->size) << SIZE;
	what |= (unsigned)(same_type && !file && content) << TARGET;
	what |= (unsigned)(same_type && (a->dev_major != b->dev_major || a->dev_minor != b->dev_minor))
		<< DEVICE;
	what |= (unsigned)(a->mode != b->mode && same_type) << MODE;
	what |= (unsigned)(a->uid != b->uid || a->gid != b->gid) << OWNER;
	what |= (unsigned)(!ignore_mtime && (a->mtime_s != b->mtime_s || a->mtime_ns != b->mtime_ns))
		<< MTIME;
	what |= (unsigned)!ay_digest_eq(&a->attributes, &b->attributes) << ATTRIBUTES;
	return what;
}

static int each(void *ctx, enum ay_change change, const struct ay_entry *old, const struct ay_entry *new_,
		struct ay_err *err)
{
	struct diff *d = ctx;
	const struct ay_entry *e = new_ ? new_ : old;
	struct row row = {.kind = CHANGED};

	AY_ASSERT(e);
	if (change != AY_CHANGE_KEPT) {
		if (old)
			fix(old, &row.old);
		if (new_)
			fix(new_, &row.new_);
		row.kind = change == AY_CHANGE_ADDED     ? ADDED
			   : change == AY_CHANGE_REMOVED ? REMOVED
							 : CHANGED;
		row.what = old && new_ ? compare(&row.old, &row.new_, d->o->ignore_mtime) : 0;
	}
	if (row.kind == CHANGED && row.what == 0) {
		d->out->same++;
		return 0;
	}
	if (d->n == d->cap) {
		size_t cap = d->cap ? 2 * d->cap : 256;
		struct row *grown = reallocarray(d->rows, cap, sizeof(*grown));
		if (!grown)
			return ay_err_set(err, -ENOMEM, "out of memory");
		d->rows = grown;
		d->cap = cap;
	}
	row.path = d->paths.len;
	ay_percent_put(&d->paths, e->path, e->path_len);
	ay_put_u8(&d->paths, 0);
	d->rows[d->n++] = row;
	return d->paths.failed ? ay_err_set(err, -ENOMEM, "out of memory") : 0;
}

/* ---- renames ---- */

static const struct fixed *of(const struct row *r)
{
	return r->kind == ADDED ? &r->new_ : &r->old;
}

/* By content; of equal contents what went first, each in the order of paths. */
static int cmp_content(const void *a, const void *b)
{
	const struct row *x = *(struct row *const *)a, *y = *(struct row *const *)b;
	int c = ay_digest_cmp(&of(x)->digest, &of(y)->digest);

	if (c == 0)
		c = (x->kind == ADDED) - (y->kind == ADDED);
	return c ? c : x->path < y->path ? -1 : x->path > y->path;
}

static void rename_run(struct diff *d, struct row **run, size_t n)
{
	size_t came = 0;

	while (came < n && run[came]->kind == REMOVED)
		came++;
	for (size_t went = 0; went < came && came + went < n; went++) {
		struct row *a = run[went], *b = run[came + went];
		b->kind = RENAMED;
		b->from = a->path;
		b->old = a->old;
		b->what = compare(&a->old, &b->new_, d->o->ignore_mtime);
		a->kind = GONE;
	}
}

static int find_renames(struct diff *d, struct ay_err *err)
{
	AY_FREE struct row **files = calloc(d->n + 1, sizeof(struct row *));
	size_t n = 0, end;

	if (!files)
		return ay_err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < d->n; i++) {
		struct row *r = &d->rows[i];
		if (r->kind != CHANGED && of(r)->type == AY_ENTRY_FILE && of(r)->size > 0)
			files[n++] = r;
	}
	if (n > 1)
		qsort(files, n, sizeof(struct row *), cmp_content);
	for (size_t i = 0; i < n; i = end) {
		const struct ay_digest digest = of(files[i])->digest;
		for (end = i; end < n && ay_digest_eq(&of(files[end])->digest, &digest); end++)
			;
		rename_run(d, files + i, end - i);
	}
	return 0;
}

/* ---- telling ---- */

static const char *type_name(enum ay_entry_type type)
{
	switch (type) {
	case AY_ENTRY_FILE:
		return "file";
	case AY_ENTRY_DIR:
		return "directory";
	case AY_ENTRY_SYMLINK:
		return "link";
	case AY_ENTRY_CHAR:
		return "character device";
	case AY_ENTRY_BLOCK:
		return "block device";
	case AY_ENTRY_FIFO:
		return "fifo";
	}
	return "?";
}

static const char *path_at(const struct diff *d, size_t offset)
{
	return (const char *)d->paths.data + offset;
}

static void print_aspect(const struct row *r, unsigned what)
{
	const struct fixed *a = &r->old, *b = &r->new_;

	switch (what) {
	case TYPE:
		printf("%s -> %s", type_name(a->type), type_name(b->type));
		break;
	case SIZE:
		printf("size %" PRIu64 " -> %" PRIu64, a->size, b->size);
		break;
	case MODE:
		printf("mode %04o -> %04o", a->mode, b->mode);
		break;
	case OWNER:
		printf("owner %u:%u -> %u:%u", a->uid, a->gid, b->uid, b->gid);
		break;
	case DEVICE:
		printf("device %u:%u -> %u:%u", a->dev_major, a->dev_minor, b->dev_major, b->dev_minor);
		break;
	default:
		fputs(aspects[what], stdout);
	}
}

static void print_row(const struct diff *d, const struct row *r)
{
	char size[32];
	const char *between = "  ";

	switch (r->kind) {
	case ADDED:
	case REMOVED:
		printf("%c %s  %s", r->kind == ADDED ? '+' : '-', path_at(d, r->path),
		       type_name(of(r)->type));
		if (of(r)->type == AY_ENTRY_FILE)
			printf(", %s", ay_human_bytes(of(r)->size, size));
		break;
	case RENAMED:
		printf("> %s -> %s", path_at(d, r->from), path_at(d, r->path));
		break;
	default:
		printf("~ %s", path_at(d, r->path));
	}
	for (unsigned i = 0; i < ASPECTS; i++) {
		if (!(r->what >> i & 1))
			continue;
		fputs(between, stdout);
		print_aspect(r, i);
		between = ", ";
	}
	putchar('\n');
}

static json_t *fixed_json(const struct fixed *f)
{
	char hex[AY_DIGEST_HEX + 1];
	json_t *o = json_pack("{s:s, s:I, s:I, s:I, s:I, s:I}", "type", type_name(f->type), "mode",
			      (json_int_t)f->mode, "uid", (json_int_t)f->uid, "gid", (json_int_t)f->gid,
			      "mtime", (json_int_t)f->mtime_s, "mtime_ns", (json_int_t)f->mtime_ns);
	if (f->type == AY_ENTRY_FILE) {
		json_object_set_new(o, "bytes", json_integer((json_int_t)f->size));
		json_object_set_new(o, "digest", json_string(ay_digest_hex(&f->digest, hex)));
	}
	return o;
}

static json_t *row_json(const struct diff *d, const struct row *r)
{
	static const char *const kinds[] = {"added", "removed", "changed", "renamed"};
	json_t *o = json_pack("{s:s, s:s}", "path", path_at(d, r->path), "kind", kinds[r->kind]);
	json_t *what = json_array();

	if (r->kind == RENAMED)
		json_object_set_new(o, "from", json_string(path_at(d, r->from)));
	for (unsigned i = 0; i < ASPECTS; i++) {
		if (r->what >> i & 1)
			json_array_append_new(what, json_string(aspects[i]));
	}
	json_object_set_new(o, "what", what);
	if (r->kind != ADDED)
		json_object_set_new(o, "old", fixed_json(&r->old));
	if (r->kind != REMOVED)
		json_object_set_new(o, "new", fixed_json(&r->new_));
	return o;
}

static void tell(struct diff *d)
{
	for (size_t i = 0; i < d->n; i++) {
		const struct row *r = &d->rows[i];
		if (r->kind == GONE)
			continue;
		*(r->kind == ADDED     ? &d->out->added
		  : r->kind == REMOVED ? &d->out->removed
		  : r->kind == RENAMED ? &d->out->renamed
				       : &d->out->changed) += 1;
		if (d->o->json)
			json_array_append_new(d->out->json, row_json(d, r));
		else
			print_row(d, r);
	}
}

int ay_tree_diff(struct ay_slice old, struct ay_slice new_, const struct ay_tree_diff_options *options,
		 struct ay_tree_difference *out, struct ay_err *err)
{
	struct diff d = {.o = options, .out = out};
	struct ay_manifest_reader *a = ay_manifest_reader_new_mem(old.data, old.len),
				  *b = ay_manifest_reader_new_mem(new_.data, new_.len);

	*out = (struct ay_tree_difference){.json = options->json ? json_array() : NULL};
	int r = a && b ? ay_manifest_compare(a, b, each, &d, err) : ay_err_set(err, -ENOMEM, "out of memory");
	if (r == 0)
		r = find_renames(&d, err);
	if (r == 0)
		tell(&d);
	ay_manifest_reader_free(a);
	ay_manifest_reader_free(b);
	free(d.rows);
	ay_buf_release(&d.paths);
	return r;
}
