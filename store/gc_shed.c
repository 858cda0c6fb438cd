/* SPDX-License-Identifier: MIT */
/*
 * The bundles that brought us here are a cache: neighbours who are behind take them from us, and the school has them
 * all the same. So they are the first to go, in the order of how few will still want them.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>

#include "base/cleanup.h"
#include "store/bundles.h"
#include "store/gc_internal.h"
#include "store/state.h"

#define SHARE_PERMILLE 13 /* of the trees; the 2007 design's cost of hosting file and difference */

struct here {
	struct ay_digest manifest;
	uint32_t serial;
	size_t branch;
};

struct cached {
	struct ay_digest digest;
	uint64_t size;
	uint32_t serial; /* that it leads to; 0: none that is here */
	size_t branch;
	bool from_nothing, forward; /* forward: an offer says that it leads to what is not here */
	bool newest;                /* of its branch; the smallest such */
	bool spare;                 /* from nothing, and another leads to the same tree */
};

struct shed {
	struct ay_store *s;
	struct here *here;
	size_t n_here;
	struct cached *cached;
	size_t n_cached;
	uint64_t trees; /* bytes of the largest tree of each branch */
};

static int add_branch(struct shed *x, const char *branch, size_t index, struct ay_err *err)
{
	AY_FREE struct ay_tree_info *trees = NULL;
	size_t n = 0;
	uint64_t largest = 0;
	int r = ay_store_trees(x->s, branch, &trees, &n, err);

	if (r < 0 || n == 0)
		return r;
	struct here *grown = reallocarray(x->here, x->n_here + n, sizeof(*grown));
	if (!grown)
		return ay_err_errno(err, ENOMEM, "bundles");
	x->here = grown;
	for (size_t i = 0; i < n; i++) {
		x->here[x->n_here++] = (struct here){trees[i].release.manifest, trees[i].serial, index};
		if (trees[i].release.unpacked_size > largest)
			largest = trees[i].release.unpacked_size;
	}
	x->trees += largest;
	return 0;
}

static int list_trees(struct shed *x, struct ay_err *err)
{
	char **names = NULL;
	size_t n = 0;
	int r = ay_store_branches(x->s, &names, &n, err);

	for (size_t i = 0; r == 0 && i < n; i++)
		r = add_branch(x, names[i], i, err);
	ay_store_names_free(names, n);
	return r;
}

static int list_whole(struct shed *x, struct ay_err *err)
{
	AY_FREE struct ay_bundle_entry *list = NULL;
	size_t n = 0;
	int r = ay_bundles_list(x->s, &list, &n, err);

	if (r < 0)
		return r;
	x->cached = calloc(n ? n : 1, sizeof(*x->cached));
	if (!x->cached)
		return ay_err_errno(err, ENOMEM, "bundles");
	for (size_t i = 0; i < n; i++) {
		if (list[i].whole)
			x->cached[x->n_cached++] =
				(struct cached){.digest = list[i].digest, .size = list[i].size};
	}
	return 0;
}

/* By its form only, as in gc_bundles.c. */
static int each_offer(void *ctx, const struct ay_digest *d, const uint8_t *data, size_t len)
{
	struct shed *x = ctx;
	struct ay_envelope env;
	struct ay_offer o;

	(void)d;
	if (ay_envelope_parse(data, len, &env, NULL) < 0 ||
	    ay_offer_parse(env.text.data, env.text.len, &o, NULL) < 0)
		return 0;
	for (size_t i = 0; i < x->n_cached; i++) {
		struct cached *c = &x->cached[i];
		bool found = false;
		if (!ay_digest_eq(&c->digest, &o.bundle))
			continue;
		for (size_t k = 0; k < x->n_here; k++) {
			if (!ay_digest_eq(&x->here[k].manifest, &o.to))
				continue;
			found = true;
			if (x->here[k].serial > c->serial) {
				c->serial = x->here[k].serial;
				c->branch = x->here[k].branch;
			}
		}
		c->forward |= !found;
		c->from_nothing = ay_digest_is_zero(&o.from);
	}
	return 0;
}

/* Which may go comes first, in the order in which it does. */
static int order(const void *a, const void *b)
{
	const struct cached *x = a, *y = b;

	if (x->newest != y->newest)
		return x->newest ? 1 : -1;
	if (x->spare != y->spare)
		return x->spare ? -1 : 1;
	return x->serial == y->serial ? 0 : x->serial < y->serial ? -1 : 1;
}

static void sort(struct shed *x)
{
	size_t n = 0;

	for (size_t i = 0; i < x->n_cached; i++) {
		if (x->cached[i].serial && !x->cached[i].forward)
			x->cached[n++] = x->cached[i];
	}
	x->n_cached = n;
	for (size_t i = 0; i < n; i++) {
		struct cached *c = &x->cached[i];
		c->newest = true;
		for (size_t k = 0; k < n; k++) {
			const struct cached *o = &x->cached[k];
			if (k == i || o->branch != c->branch)
				continue;
			c->spare |= c->from_nothing && o->serial == c->serial && !o->from_nothing;
			if (o->serial > c->serial ||
			    (o->serial == c->serial && (o->size < c->size || (o->size == c->size && k < i))))
				c->newest = false;
		}
	}
	if (n > 0)
		qsort(x->cached, n, sizeof(x->cached[0]), order);
}

static int drop(struct shed *x, bool (*enough)(void *ctx), void *ctx, struct ay_gc_result *res,
		struct ay_err *err)
{
	uint64_t total = 0, newest = 0, share = x->trees / 1000 * SHARE_PERMILLE;

	for (size_t i = 0; i < x->n_cached; i++) {
		total += x->cached[i].size;
		newest += x->cached[i].newest ? x->cached[i].size : 0;
	}
	if (share < newest)
		share = newest;
	for (size_t i = 0; i < x->n_cached; i++) {
		const struct cached *c = &x->cached[i];
		if (enough ? enough(ctx) : total <= share || c->newest)
			return 0;
		int r = ay_bundles_drop(x->s, &c->digest, err);
		if (r < 0)
			return r;
		total -= c->size;
		res->bundles++;
		res->bytes += c->size;
	}
	return 0;
}

int ay__gc_shed(struct ay_store *s, bool (*enough)(void *ctx), void *ctx, struct ay_gc_result *res,
		struct ay_err *err)
{
	struct shed x = {.s = s};
	int r = list_trees(&x, err);

	if (r == 0)
		r = list_whole(&x, err);
	if (r == 0)
		r = ay_state_each_doc(s, AY_DOC_OFFER, each_offer, &x, err);
	if (r == 0) {
		sort(&x);
		r = drop(&x, enough, ctx, res, err);
	}
	free(x.here);
	free(x.cached);
	return r < 0 ? ay_err_wrap(err, r, "bundles") : 0;
}
