/* SPDX-License-Identifier: MIT */
/*
 * One bundle of a repository: what it could give, and taking that out of it.
 *
 * Three readings, three tables over diff/bundle's reader: the record table alone,
 * to see which wanted contents are in it; the same again for the bases that were
 * missing; and the decoding, in which all other records are skipped and which
 * ends with the last record that is wanted.
 */
#include "store/retrieve_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "store/scratch.h"

#define SPOILT_MAX 4 /* wrong records before a bundle is given up: each costs a reading from its start */
#define ENOUGH     1 /* all that was wanted has come: stops the reader */

struct pass {
	struct ay__retrieval *t;
	struct ay__way *w;
	int (*lacks)(void *ctx, const struct ay_digest *base, uint64_t size);
	void *ctx;
	/* decoding */
	size_t now, left; /* the record that is being written; how many are to come */
	struct ay__fd_writer *out;
	int failed; /* a failure that is ours and not the bundle's */
};

/* Sets @why and returns its code: the bundle is not what its offer says, or is not there. */
static void close_way(struct pass *p, int code, struct ay_err *why)
{
	char hex[AY_DIGEST_HEX + 1];

	p->w->closed = true;
	ay_err_wrap(why, code, "%s/bundles/%s", ay__retrieve_where(p->t), ay_digest_hex(&p->w->bundle, hex));
	ay__retrieve_note(p->t, code, why);
}

static int on_header(void *ctx, const struct ay_bundle_header *h, struct ay_err *err)
{
	const struct pass *p = ctx;

	if (!ay_digest_eq(&h->from, &p->w->from) || !ay_digest_eq(&h->to, &p->w->to))
		return ay_err_set(err, AY_EFORMAT, "its header is not what its offer says");
	return 0;
}

/* Which wanted content is this record? n: none, or one that is no longer missing. */
static size_t missing_index(const struct pass *p, const struct ay_bundle_record *r)
{
	const struct ay__retrieval *t = p->t;
	size_t i = ay__wanted_find(t->wanted, t->n, &r->target);

	return i < t->n && !t->wanted[i].got && t->wanted[i].size == r->size ? i : t->n;
}

/* Named by a number of a manifest that is not here: not even by which digest to ask for it is known. */
static bool base_is_unknown(const struct ay_bundle_record *r, unsigned i)
{
	return r->base_numbers[i] && ay_digest_is_zero(&r->bases[i]);
}

static void note_unknown(struct pass *p)
{
	char from[AY_DIGEST_HEX + 1], bundle[AY_DIGEST_HEX + 1];
	struct ay_err why = {0};

	ay_err_set(&why, AY_EBASE,
		   "%s/bundles/%s names its bases by their places in manifest %.16s…, which is not here",
		   ay__retrieve_where(p->t), ay_digest_hex(&p->w->bundle, bundle),
		   ay_digest_hex(&p->w->from, from));
	ay__retrieve_note(p->t, AY_EBASE, &why);
}

/* 1, 0, or a lack of ours. */
static int base_is_here(struct pass *p, const struct ay_bundle_record *r)
{
	for (unsigned i = 0; i < r->n_bases; i++) {
		if (base_is_unknown(r, i))
			return 0;
		AY_CLOSE int fd = ay__retrieve_base(p->t, &r->bases[i], r->base_sizes[i]);
		if (fd < 0)
			return ay__own_lack(fd) ? fd : 0;
	}
	return 1;
}

static int on_table(void *ctx, const struct ay_bundle_record *r, bool *skip, struct ay_err *err)
{
	struct pass *p = ctx;
	size_t i = missing_index(p, r);

	(void)skip;
	if (i == p->t->n)
		return 0;
	int here = base_is_here(p, r);
	if (here < 0)
		return ay_err_errno(err, -here, "a base");
	if (!here && base_is_unknown(r, 0))
		note_unknown(p);
	*(here ? &p->w->can[i / 8] : &p->w->lack[i / 8]) |= (uint8_t)(1u << (i % 8));
	return 0;
}

static int on_table_lack(void *ctx, const struct ay_bundle_record *r, bool *skip, struct ay_err *err)
{
	struct pass *p = ctx;
	size_t i = missing_index(p, r);
	int rc = 0;

	(void)skip;
	(void)err;
	if (i == p->t->n || !ay__bit(p->w->lack, i))
		return 0;
	for (unsigned b = 0; rc == 0 && b < r->n_bases; b++) {
		AY_CLOSE int fd = ay__retrieve_base(p->t, &r->bases[b], r->base_sizes[b]);
		if (ay__own_lack(fd))
			rc = fd;
		else if (fd < 0 && !base_is_unknown(r, b))
			rc = p->lacks(p->ctx, &r->bases[b], r->base_sizes[b]);
	}
	p->failed = rc;
	return rc;
}

/* 0: @r is 0 and @fd is @from, which is then @out's; else what is wrong with this source. @fd is closed or handed over. */
static int check_manifest(int r, int fd, const struct ay_digest *from, int *out)
{
	AY_CLOSE int f = fd;
	struct ay_digest d;

	if (r == 0)
		r = ay_digest_fd(f, &d, NULL);
	if (r == 0 && !ay_digest_eq(&d, from))
		r = AY_EDIGEST;
	if (r == 0)
		*out = ay_steal_fd(&f);
	return r;
}

/*
 * The manifest that the bundle starts from, by whose numbers it names bases: the repository's, or of a tree that is here. Each is
 * asked in turn until one has the digest: a damaged copy says nothing of the others.
 * 1; 0: it cannot be had; a lack of ours, which says nothing of it; an error of the manifest.
 */
static int open_old(struct pass *p, struct ay_old_files *old, struct ay_err *why)
{
	const struct ay_retrieve *how = p->t->how;
	const struct ay_digest *from = &p->w->from;
	AY_FREE struct ay_tree_info *trees = NULL;
	AY_CLOSE int fd = -1;
	int r = -ENOENT, f = -1;
	size_t n = 0;

	if (how->repo) {
		r = ay_repo_manifest_open(how->repo, from, &f, NULL);
		r = check_manifest(r, f, from, &fd);
	}
	if (r < 0 && !ay__own_lack(r)) {
		int listed = ay_store_trees(how->s, how->branch, &trees, &n, NULL);
		r = ay__own_lack(listed) ? listed : r;
	}
	for (size_t i = 0; i < n && r < 0 && !ay__own_lack(r); i++) {
		if (!ay_digest_eq(&trees[i].release.manifest, from))
			continue;
		f = -1;
		r = ay_store_manifest(how->s, how->branch, trees[i].serial, &f, NULL);
		r = check_manifest(r, f, from, &fd);
	}
	if (ay__own_lack(r))
		return ay_err_errno(why, -r, "the manifest that the bundle starts from");
	if (r < 0)
		return 0;
	r = ay_old_files_open_fd(old, ay_steal_fd(&fd), why);
	return r < 0 ? r : 1;
}

static int read_bundle(struct pass *p, struct ay_bundle_sink *sink, bool records, struct ay_err *why)
{
	AY_CLEANUP(ay_old_files_release) struct ay_old_files old = {0};
	const struct ay_bundle_limits limits = {.memory = p->w->memory, .unpacked_size = p->w->unpacked_size};
	const struct ay_retrieve *how = p->t->how;
	char hex[AY_DIGEST_HEX + 1];
	AY_CLOSE int fd = -1;
	int r = 0;

	ay_digest_hex(&p->w->bundle, hex);
	if (how->repo)
		r = ay_repo_bundle_open(how->repo, &p->w->bundle, &fd, why);
	else if ((fd = ay__open_beneath(how->s->bundles, hex, O_RDONLY | O_NONBLOCK)) < 0)
		r = ay_err_errno(why, -fd, "%.16s…", hex);

	if (r == 0 && (ay_digest_is_zero(&p->w->from) || (r = open_old(p, &old, why)) > 0))
		sink->old = &old;
	return r < 0 ? r : ay_bundle_read(fd, &limits, sink, records, why);
}

int ay__way_scan(struct ay__retrieval *t, struct ay__way *w, struct ay_err *err)
{
	struct pass p = {.t = t, .w = w};
	struct ay_bundle_sink sink = {.ctx = &p, .header = on_header, .begin = on_table};
	size_t bytes = (t->n + 7) / 8;
	struct ay_err why = {0};

	free(w->can);
	free(w->lack);
	w->can = calloc(1, bytes);
	w->lack = calloc(1, bytes);
	if (!w->can || !w->lack)
		return ay_err_errno(err, ENOMEM, "retrieve");
	int r = read_bundle(&p, &sink, false, &why);
	if (ay__own_lack(r))
		return ay_err_errno(err, -r, "retrieve");
	if (r < 0)
		close_way(&p, r, &why);
	return 0;
}

int ay__way_lacks(struct ay__retrieval *t, struct ay__way *w,
		  int (*each)(void *ctx, const struct ay_digest *base, uint64_t size), void *ctx)
{
	struct pass p = {.t = t, .w = w, .lacks = each, .ctx = ctx};
	struct ay_bundle_sink sink = {.ctx = &p, .header = on_header, .begin = on_table_lack};
	struct ay_err why = {0};
	int r = read_bundle(&p, &sink, false, &why);

	if (p.failed || ay__own_lack(r))
		return p.failed ? p.failed : r;
	if (r < 0)
		close_way(&p, r, &why);
	return 0;
}

/* ---- decoding ---- */

static int fail(struct pass *p, int r, const char *what, struct ay_err *err)
{
	p->failed = ay_err_errno(err, -r, "%s", what);
	return p->failed;
}

static int on_begin(void *ctx, const struct ay_bundle_record *r, bool *skip, struct ay_err *err)
{
	struct pass *p = ctx;
	const struct ay_retrieve *how = p->t->how;
	char hex[AY_DIGEST_HEX + 1];
	size_t i = missing_index(p, r);

	if (p->left == 0)
		return ENOUGH;
	*skip = i == p->t->n || !ay__bit(p->w->can, i);
	if (*skip)
		return 0;
	ay_digest_hex(&r->target, hex);
	p->now = i;
	int fd = ay__retrieve_create(p->t, hex);
	if (fd < 0)
		return fail(p, fd, "cannot make a file for what is retrieved", err);
	p->out->fs = how->s->fs;
	p->out->fd = fd;
	p->out->sparse = true;
	p->out->pos = p->out->held = 0;
	return 0;
}

static int on_base(void *ctx, const struct ay_bundle_record *r, unsigned base, int *fd, struct ay_err *err)
{
	struct pass *p = ctx;
	char hex[AY_DIGEST_HEX + 1];
	int f = ay__retrieve_base(p->t, &r->bases[base], r->base_sizes[base]);

	if (ay__own_lack(f))
		return fail(p, f, "cannot open a base", err);
	if (f < 0)
		return ay_err_set(err, AY_EBASE, "base %.16s… is not here",
				  ay_digest_hex(&r->bases[base], hex));
	*fd = f;
	return 0;
}

static int on_data(void *ctx, const struct ay_bundle_record *r, const void *data, size_t len,
		   struct ay_err *err)
{
	struct pass *p = ctx;
	int rc = ay__fd_write(p->out, data, len);

	(void)r;
	return rc < 0 ? fail(p, rc, "cannot write what is retrieved", err) : 0;
}

static int on_end(void *ctx, const struct ay_bundle_record *r, struct ay_err *err)
{
	struct pass *p = ctx;
	int rc = ay__fd_end_sparse(p->out);

	(void)r;
	close(p->out->fd);
	p->out->fd = -1;
	if (rc < 0)
		return fail(p, rc, "cannot write what is retrieved", err);
	p->left--;
	rc = ay__retrieve_got(p->t, p->now);
	if (rc)
		p->failed = ay_err_set(err, rc < 0 ? rc : -ECANCELED, "stopped");
	return p->failed;
}

/* The file of a record that did not come to its end. */
static void drop_half(struct pass *p)
{
	const struct ay_retrieve *how = p->t->how;
	char hex[AY_DIGEST_HEX + 1];

	if (p->out->fd < 0)
		return;
	close(p->out->fd);
	p->out->fd = -1;
	ay_digest_hex(&p->t->wanted[p->now].digest, hex);
	how->s->fs->ops->unlink(how->s->fs, how->dirfd, hex, 0);
}

static size_t count_left(const struct ay__retrieval *t, const struct ay__way *w)
{
	size_t n = 0;

	for (size_t i = 0; i < t->n; i++)
		n += !t->wanted[i].got && ay__bit(w->can, i);
	return n;
}

int ay__way_decode(struct ay__retrieval *t, struct ay__way *w, struct ay_err *err)
{
	AY_FREE struct ay__fd_writer *out = calloc(1, sizeof(*out));
	AY_CLEANUP(ay__scratch_release) struct ay__scratch scratch;
	struct pass p = {.t = t, .w = w, .out = out};
	struct ay_bundle_sink sink = {.ctx = &p,
				      .scratch = &scratch.ops,
				      .header = on_header,
				      .begin = on_begin,
				      .base = on_base,
				      .data = on_data,
				      .end = on_end};

	ay__scratch_init(&scratch, t->how->s->fs, t->how->dirfd);
	if (!out)
		return ay_err_errno(err, ENOMEM, "retrieve");
	out->fd = -1;
	t->out->bundles++;
	while (!w->closed && (p.left = count_left(t, w)) > 0) {
		struct ay_err why = {0};
		int r = read_bundle(&p, &sink, true, &why);
		bool in_record = out->fd >= 0;
		drop_half(&p);
		if (p.failed || ay__own_lack(r)) {
			if (err)
				*err = why;
			return p.failed ? p.failed : r;
		}
		/* One record gave wrong bytes, or its base has gone: the others may be good. */
		if ((r == AY_EDIGEST || r == AY_EBASE) && in_record && ++w->spoilt < SPOILT_MAX) {
			w->can[p.now / 8] &= (uint8_t) ~(1u << (p.now % 8));
			ay__retrieve_note(t, r, &why);
		} else if (r < 0) {
			close_way(&p, r, &why);
		} else {
			return 0;
		}
	}
	return 0;
}
