/* SPDX-License-Identifier: MIT */
/*
 * The choice of bundles: which contents each could give now is a row of bits; the
 * one that gives most of what is missing is decoded, and again, until all is
 * there or no bundle gives more. Then the bases that the others lack are wanted in
 * their turn, one level deeper: a chain of differences is walked down to a bundle from
 * nothing and up again, record by record, without ever making a whole tree.
 *
 * Taking the greatest first is the usual approximation of the smallest cover.
 */
#include "store/retrieve_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "base/cleanup.h"

#define BASES_PER_WANTED                                                                                     \
	8 /* alternatives asked for at once: a publisher's bundles mostly agree on the base */

static int cmp_wanted(const void *a, const void *b)
{
	const struct ay_wanted *x = a, *y = b;
	return ay_digest_cmp(&x->digest, &y->digest);
}

/* What lies there from an earlier call. */
static int look_around(struct ay__retrieval *t)
{
	struct ay_fs *fs = t->how->s->fs;
	int r = 0;

	for (size_t i = 0; i < t->n && r == 0; i++) {
		char hex[AY_DIGEST_HEX + 1];
		struct ay_digest d;
		t->wanted[i].got = false;
		ay_digest_hex(&t->wanted[i].digest, hex);
		AY_CLOSE int fd = ay__open_beneath(t->how->dirfd, hex, O_RDONLY | O_NONBLOCK);
		if (fd == -ENOENT)
			continue;
		if (ay__own_lack(fd))
			return fd;
		if (fd >= 0 && ay_digest_fd(fd, &d, NULL) == 0 && ay_digest_eq(&d, &t->wanted[i].digest))
			r = ay__retrieve_got(t, i);
		else
			fs->ops->unlink(fs, t->how->dirfd, hex, 0);
	}
	return r;
}

static size_t missing(const struct ay__retrieval *t)
{
	size_t n = 0;

	for (size_t i = 0; i < t->n; i++)
		n += !t->wanted[i].got;
	return n;
}

/* How many missing contents @bits name. */
static size_t gives(const struct ay__retrieval *t, const uint8_t *bits)
{
	size_t n = 0;

	for (size_t i = 0; i < t->n; i++)
		n += ay__bit(bits, i) && !t->wanted[i].got;
	return n;
}

/* Decode while a bundle gives something, the greatest first; of equals the smaller file. */
static int take_all(struct ay__retrieval *t, struct ay_err *err)
{
	for (;;) {
		struct ay__way *best = NULL;
		size_t most = 0;
		for (size_t i = 0; i < t->n_ways; i++) {
			struct ay__way *w = &t->ways[i];
			if (w->closed)
				continue;
			if (!w->can) {
				int r = ay__way_scan(t, w, err);
				if (r < 0)
					return r;
			}
			size_t n = w->closed ? 0 : gives(t, w->can);
			if (n > most || (n > 0 && n == most && w->unpacked_size < best->unpacked_size)) {
				best = w;
				most = n;
			}
		}
		if (!best)
			return 0;
		int r = ay__way_decode(t, best, err);
		if (r < 0)
			return r;
		if (gives(t, best->can) == most)
			best->closed = true; /* it promised and did not give: never again */
	}
}

/* What lacked a base is looked at again when there is more to be a base; until nothing new comes. */
static int take_until_still(struct ay__retrieval *t, struct ay_err *err)
{
	size_t before;

	do {
		before = missing(t);
		for (size_t i = 0; i < t->n_ways; i++) {
			struct ay__way *w = &t->ways[i];
			if (!w->lack || gives(t, w->lack) == 0)
				continue;
			free(w->can);
			w->can = NULL;
		}
		int r = take_all(t, err);
		if (r < 0)
			return r;
	} while (missing(t) > 0 && missing(t) < before);
	return 0;
}

/* ---- one level deeper ---- */

struct bases {
	const struct ay__retrieval *t;
	struct ay_wanted *list;
	size_t n, cap, max;
};

/* Asked for already, here or above? Then it need not be asked for again; differences may lead in a circle. */
static bool is_asked_for(const struct ay__retrieval *t, const struct ay_digest *d)
{
	for (; t; t = t->above) {
		if (ay__wanted_find(t->wanted, t->n, d) < t->n)
			return true;
	}
	return false;
}

static int add_base(void *ctx, const struct ay_digest *base, uint64_t size)
{
	struct bases *b = ctx;

	/* The usual repetition; the rest goes when it is sorted. */
	for (size_t i = b->n; i > 0 && i + 16 > b->n; i--) {
		if (ay_digest_eq(&b->list[i - 1].digest, base))
			return 0;
	}
	if (b->n == b->max || is_asked_for(b->t, base))
		return 0;
	if (b->n == b->cap) {
		size_t cap = b->cap ? 2 * b->cap : 64;
		struct ay_wanted *grown = reallocarray(b->list, cap, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		b->list = grown;
		b->cap = cap;
	}
	b->list[b->n++] = (struct ay_wanted){.digest = *base, .size = size};
	return 0;
}

static void sort_once(struct ay_wanted *w, size_t *n)
{
	size_t kept = 0;

	if (*n > 1)
		qsort(w, *n, sizeof(*w), cmp_wanted);
	for (size_t i = 0; i < *n; i++) {
		if (kept == 0 || !ay_digest_eq(&w[kept - 1].digest, &w[i].digest))
			w[kept++] = w[i];
	}
	*n = kept;
}

static int gather(struct ay__retrieval *t, struct ay_err *err);

/* The bases that the missing contents lack. @got: how many came. They are for the caller to remove. */
static int get_bases(struct ay__retrieval *t, struct bases *b, size_t *got, struct ay_err *err)
{
	b->max = BASES_PER_WANTED * missing(t) + 64;
	for (size_t i = 0; i < t->n_ways; i++) {
		struct ay__way *w = &t->ways[i];
		if (w->closed || !w->lack || gives(t, w->lack) == 0)
			continue;
		int r = ay__way_lacks(t, w, add_base, b);
		if (r < 0)
			return ay_err_errno(err, -r, "retrieve");
	}
	sort_once(b->list, &b->n);
	if (b->n == 0 || t->depth == AY__RETRIEVE_DEPTH_MAX)
		return 0;
	struct ay__retrieval deeper = {.how = t->how,
				       .above = t,
				       .wanted = b->list,
				       .n = b->n,
				       .depth = t->depth + 1,
				       .out = t->out,
				       .done = t->done,
				       .total = t->total};
	int r = gather(&deeper, err);
	ay__ways_release(&deeper);
	if (deeper.why.code)
		ay__retrieve_note(t, deeper.why.code, &deeper.why);
	for (size_t i = 0; i < b->n; i++)
		*got += b->list[i].got;
	return r;
}

static void drop_bases(struct ay__retrieval *t, const struct bases *b)
{
	struct ay_fs *fs = t->how->s->fs;
	char hex[AY_DIGEST_HEX + 1];

	for (size_t i = 0; i < b->n; i++) {
		if (b->list[i].got)
			fs->ops->unlink(fs, t->how->dirfd, ay_digest_hex(&b->list[i].digest, hex), 0);
	}
}

static int gather(struct ay__retrieval *t, struct ay_err *err)
{
	struct bases b = {.t = t};
	size_t got = 0;
	int r = ay__retrieve_publisher(t, err);

	if (r == 0 && missing(t) > 0 && (r = ay__ways_to(t, &t->how->manifest, err)) == 0)
		r = take_until_still(t, err);
	if (r == 0 && missing(t) > 0 && (r = ay__ways_all(t, err)) == 0)
		r = take_until_still(t, err);
	if (r == 0 && missing(t) > 0 && (r = get_bases(t, &b, &got, err)) == 0 && got > 0)
		r = take_until_still(t, err);
	drop_bases(t, &b);
	free(b.list);
	return r;
}

static int say_missing(const struct ay__retrieval *t, size_t n, struct ay_err *err)
{
	char hex[AY_DIGEST_HEX + 1] = "";

	for (size_t i = 0; i < t->n && !hex[0]; i++) {
		if (!t->wanted[i].got)
			ay_digest_hex(&t->wanted[i].digest, hex);
	}
	if (t->why.code)
		return ay_err_set(err, AY_ENOTHING, "%s does not give %zu of %zu contents (%.16s…): %s",
				  ay__retrieve_where(t), n, t->n, hex, t->why.msg);
	return ay_err_set(err, AY_ENOTHING,
			  "%s has no bundle of branch %s that gives %zu of %zu contents (%.16s…)",
			  ay__retrieve_where(t), t->how->branch, n, t->n, hex);
}

int ay_retrieve(const struct ay_retrieve *how, struct ay_wanted *wanted, size_t n, struct ay_retrieved *out,
		struct ay_err *err)
{
	struct ay_retrieved none;
	uint64_t done = 0;
	struct ay__retrieval t = {
		.how = how, .wanted = wanted, .n = n, .out = out ? out : &none, .done = &done};

	*t.out = (struct ay_retrieved){0};
	if (n > 1)
		qsort(wanted, n, sizeof(*wanted), cmp_wanted);
	for (size_t i = 0; i < n; i++)
		t.total += wanted[i].size;
	int r = look_around(&t);
	if (r)
		r = ay_err_set(err, r < 0 ? r : -ECANCELED, "stopped");
	if (r == 0 && missing(&t) > 0)
		r = gather(&t, err);
	ay__ways_release(&t);
	size_t left = missing(&t);
	if (r < 0)
		return ay_err_wrap(err, r, "retrieve from %s", ay__retrieve_where(&t));
	return left > 0 ? say_missing(&t, left, err) : 0;
}
