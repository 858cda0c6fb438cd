/* SPDX-License-Identifier: MIT */
/*
 * A bundle is worth its room while it leads to where somebody may want to go.
 *
 *     live     the manifests of the trees that are here (a neighbour may need what
 *              brought us here) and of each branch's newest release (where we go)
 *     steps    where a known bundle to a branch's newest release starts: the way there may take two
 *
 * What an offer leads to is read from the offers kept in the store, by their form
 * only: they were verified when they came in, and deciding wrongly costs a download,
 * not trust.
 */
#include "store/gc_bundles.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#include "base/cleanup.h"
#include "store/bundles.h"
#include "store/state.h"
#include "store/store_internal.h"

#define ORPHAN_AGE_S 86400 /* long enough for the offer of a bundle that is being fetched to be written */

struct digests {
	struct ay_digest *d;
	size_t n;
};

struct known {
	struct ay_digest offer, from, to, bundle;
};

struct gc_bundles {
	struct ay_store *s;
	struct digests live, newest, steps, kept;
	struct known *offers;
	size_t n_offers;
};

static int add(struct digests *x, const struct ay_digest *d)
{
	struct ay_digest *grown = reallocarray(x->d, x->n + 1, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	x->d = grown;
	x->d[x->n++] = *d;
	return 0;
}

static bool has(const struct digests *x, const struct ay_digest *d)
{
	for (size_t i = 0; i < x->n; i++) {
		if (ay_digest_eq(&x->d[i], d))
			return true;
	}
	return false;
}

static int add_trees(struct gc_bundles *g, struct ay_err *err)
{
	char **names = NULL;
	size_t n = 0;
	int r = ay_store_branches(g->s, &names, &n, err);

	for (size_t i = 0; r == 0 && i < n; i++) {
		AY_FREE struct ay_tree_info *trees = NULL;
		size_t n_trees = 0;
		r = ay_store_trees(g->s, names[i], &trees, &n_trees, err);
		for (size_t k = 0; r == 0 && k < n_trees; k++)
			r = add(&g->live, &trees[k].release.manifest);
	}
	ay_store_names_free(names, n);
	return r;
}

/* The manifests that the newest heads lead to, as far as their releases are here. */
static int add_newest(struct gc_bundles *g, struct ay_err *err)
{
	AY_FREE struct ay_branch_state *b = NULL;
	AY_FREE struct ay_release *rel = malloc(sizeof(*rel));
	size_t n = 0;
	int r = rel ? ay_state_branches(g->s, &b, &n, err) : -ENOMEM;

	for (size_t i = 0; r == 0 && i < n; i++) {
		AY_FREE uint8_t *data = NULL;
		struct ay_envelope env;
		struct ay_head head;
		size_t len;
		if (!b[i].has_head || ay_head_parse(b[i].head, AY_HEAD_SIZE, &head, NULL) < 0 ||
		    ay_state_get_doc(g->s, AY_DOC_RELEASE, &head.release, &data, &len, NULL) < 0 ||
		    ay_envelope_parse(data, len, &env, NULL) < 0 ||
		    ay_release_parse(env.text.data, env.text.len, rel, NULL) < 0)
			continue;
		r = add(&g->live, &rel->manifest);
		if (r == 0)
			r = add(&g->newest, &rel->manifest);
	}
	return r;
}

static int each_offer(void *ctx, const struct ay_digest *d, const uint8_t *data, size_t len)
{
	struct gc_bundles *g = ctx;
	struct ay_envelope env;
	struct ay_offer o;

	if (ay_envelope_parse(data, len, &env, NULL) < 0 ||
	    ay_offer_parse(env.text.data, env.text.len, &o, NULL) < 0)
		return 0;
	struct known *grown = reallocarray(g->offers, g->n_offers + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	g->offers = grown;
	g->offers[g->n_offers++] =
		(struct known){.offer = *d, .from = o.from, .to = o.to, .bundle = o.bundle};
	return has(&g->newest, &o.to) ? add(&g->steps, &o.from) : 0;
}

static bool wanted(const struct gc_bundles *g, const struct known *k)
{
	return has(&g->live, &k->to) || (has(&g->steps, &k->to) && !ay_digest_is_zero(&k->to));
}

/* A bundle without any offer is left for a day: its offer may be on its way. */
static bool old_orphan(const struct gc_bundles *g, const struct ay_bundle_entry *b)
{
	char hex[AY_DIGEST_HEX + 1];
	struct timespec now;
	struct stat st;

	ay_digest_hex(&b->digest, hex);
	return fstatat(b->whole ? g->s->bundles : g->s->partial, hex, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       clock_gettime(CLOCK_REALTIME, &now) == 0 && now.tv_sec - st.st_mtim.tv_sec > ORPHAN_AGE_S;
}

static bool drops(const struct gc_bundles *g, const struct ay_bundle_entry *b)
{
	bool offered = false;

	for (size_t i = 0; i < g->n_offers; i++) {
		if (!ay_digest_eq(&g->offers[i].bundle, &b->digest))
			continue;
		if (wanted(g, &g->offers[i]))
			return false;
		offered = true;
	}
	return offered || old_orphan(g, b);
}

/* Remove the bundle, unless another process collects it. 1: it does. */
static int drop_unless_held(struct ay_store *s, const struct ay_digest *d, struct ay_err *err)
{
	char hex[AY_DIGEST_HEX + 1];
	AY_CLOSE int held = ay__open_beneath(s->partial, ay_digest_hex(d, hex), O_RDONLY | O_NONBLOCK);

	int r = held < 0 ? held : ay__lock(held, LOCK_EX | LOCK_NB);
	if (r == -EWOULDBLOCK)
		return 1;
	if (r < 0 && !ay__not_there(r))
		return ay_err_errno(err, -r,
				    "cannot find out whether %s/bundles/partial/%s is being collected",
				    s->path, hex);
	return ay_bundles_drop(s, d, err);
}

/* A whole bundle's second name in partial/: a power cut between its two halves of being moved left it. */
static int drop_second_names(struct ay_store *s, const struct ay_bundle_entry *list, size_t n,
			     struct ay_err *err)
{
	for (size_t i = 0; i < n; i++) {
		char hex[AY_DIGEST_HEX + 1];
		if (!list[i].whole)
			continue;
		int r = s->fs->ops->unlink(s->fs, s->partial, ay_digest_hex(&list[i].digest, hex), 0);
		if (r < 0 && r != -ENOENT)
			return ay_err_errno(err, -r, "cannot remove %s/bundles/partial/%s", s->path, hex);
	}
	return 0;
}

static int drop_all(struct gc_bundles *g, struct ay_gc_result *res, struct ay_err *err)
{
	AY_FREE struct ay_bundle_entry *list = NULL;
	size_t n = 0;
	int r = ay_bundles_list(g->s, &list, &n, err);

	if (r == 0)
		r = drop_second_names(g->s, list, n, err);
	for (size_t i = 0; r == 0 && i < n; i++) {
		int kept = drops(g, &list[i]) ? drop_unless_held(g->s, &list[i].digest, err) : 1;
		if (kept == 0)
			res->bytes += list[i].size, res->bundles++;
		r = kept > 0 ? add(&g->kept, &list[i].digest) : kept;
	}
	for (size_t i = 0; r == 0 && i < g->n_offers; i++) {
		if (!wanted(g, &g->offers[i]) && !has(&g->kept, &g->offers[i].bundle))
			r = ay_state_drop_doc(g->s, AY_DOC_OFFER, &g->offers[i].offer, err);
	}
	return r;
}

int ay__gc_bundles(struct ay_store *s, struct ay_gc_result *res, struct ay_err *err)
{
	struct gc_bundles g = {.s = s};
	int r = add_trees(&g, err);

	if (r == 0)
		r = add_newest(&g, err);
	if (r == 0)
		r = ay_state_each_doc(s, AY_DOC_OFFER, each_offer, &g, err);
	if (r == 0)
		r = drop_all(&g, res, err);
	free(g.live.d);
	free(g.newest.d);
	free(g.steps.d);
	free(g.kept.d);
	free(g.offers);
	return r < 0 ? ay_err_wrap(err, r, "bundles") : 0;
}
