/* SPDX-License-Identifier: MIT */
/*
 * The six steps of the data's way with a directory in place of the network: the
 * head is read, not heard; the planner is the same; the bundle is there at once.
 */
#include "node/import.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "proto/plan.h"
#include "store/state.h"

/* A release's envelope, owned, and what it says. */
struct known_release {
	struct ay_release release;
	uint8_t *data;
	size_t len;
};

struct work {
	struct ay_store *s;
	struct ay_repo *repo;
	const char *branch;
	const struct ay_root *root;
	struct ay_branch_state state;
	struct ay_head head;
	uint32_t have;
	struct ay_digest have_manifest; /* zeros: nothing */

	struct known_release releases[AY_PLAN_TREES_MAX]; /* the newest that are above what we have */
	size_t n_releases;
	struct ay_offer *offers;
	size_t n_offers, cap_offers;
};

/* ---- what the repository knows ---- */

static int follow_roots(struct work *w, struct ay_err *err)
{
	int r = ay_state_root(w->s, &w->root, err);
	while (r == 0) {
		AY_FREE uint8_t *data = NULL;
		size_t len = 0;
		uint32_t found = 0;
		r = ay_repo_get_root(w->repo, w->root->version + 1, &found, &data, &len, NULL);
		if (r < 0)
			return 0; /* none, or unreadable: what we trust already goes on */
		r = ay_state_add_root(w->s, data, len, err);
		if (r == 0)
			r = ay_state_root(w->s, &w->root, err);
	}
	return r;
}

static int load_head(struct work *w, struct ay_err *err)
{
	uint8_t bytes[AY_HEAD_SIZE];
	struct ay_branch_id id;
	struct ay_head old;
	int r = ay_repo_get_head(w->repo, w->branch, bytes, err);
	if (r == -ENOENT)
		return ay_err_set(err, AY_ENOTHING, "%s has no branch %s", ay_repo_path(w->repo), w->branch);
	if (r == 0)
		r = ay_trust_head(w->root, bytes, sizeof(bytes), &w->head, err);
	if (r < 0)
		return ay_err_wrap(err, r, "head of %s in %s", w->branch, ay_repo_path(w->repo));
	ay_branch_id(w->root->fleet, w->branch, &id);
	if (memcmp(&id, &w->head.branch, sizeof(id)) != 0)
		return ay_err_set(err, AY_EROLE, "head of %s in %s: it is another branch's", w->branch,
				  ay_repo_path(w->repo));
	/* A stick may be older than what was heard by radio: then it still may hold something newer than we have. */
	bool newer = !w->state.has_head || ay_head_parse(w->state.head, AY_HEAD_SIZE, &old, NULL) < 0 ||
		     ay_head_cmp(&w->head, &old) > 0;
	if (!newer)
		return 0;
	w->state.has_head = true;
	memcpy(w->state.head, bytes, sizeof(bytes));
	return ay_state_set_branch(w->s, &w->state, err);
}

static int add_release(void *ctx, const uint8_t *data, size_t len)
{
	struct work *w = ctx;
	struct known_release k = {.len = len};
	/* Another branch's, or not to be believed: not ours to speak of. */
	if (ay_trust_release(w->root, w->branch, data, len, &k.release, NULL) < 0)
		return 0;
	if (k.release.serial <= w->have || k.release.serial > w->head.serial)
		return 0;
	if (k.release.serial == w->head.serial &&
	    ay_trust_head_names(w->root, &w->head, data, len, &k.release, NULL) < 0)
		return 0; /* of two signed releases of one serial the head decides */
	size_t at = w->n_releases;
	if (at == AY_PLAN_TREES_MAX) {
		for (size_t i = at = 0; i < w->n_releases; i++)
			if (w->releases[i].release.serial < w->releases[at].release.serial)
				at = i;
		if (w->releases[at].release.serial >= k.release.serial)
			return 0;
		free(w->releases[at].data);
		w->n_releases--;
		w->releases[at] = w->releases[w->n_releases];
		at = w->n_releases;
	}
	k.data = malloc(len);
	if (!k.data)
		return -ENOMEM;
	memcpy(k.data, data, len);
	w->releases[at] = k;
	w->n_releases++;
	return 0;
}

static int add_offer(void *ctx, const uint8_t *data, size_t len)
{
	struct work *w = ctx;
	if (w->n_offers == w->cap_offers) {
		size_t cap = w->cap_offers ? w->cap_offers * 2 : 16;
		struct ay_offer *grown = realloc(w->offers, cap * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		w->offers = grown;
		w->cap_offers = cap;
	}
	if (ay_trust_offer(w->root, w->branch, data, len, &w->offers[w->n_offers], NULL) == 0)
		w->n_offers++;
	return 0;
}

static int gather(struct work *w, struct ay_err *err)
{
	int r = ay_repo_each_release(w->repo, add_release, w, err);
	for (size_t i = 0; r == 0 && i < w->n_releases; i++)
		r = ay_repo_each_offer(w->repo, &w->releases[i].release.manifest, add_offer, w, err);
	return r;
}

/* ---- the way, one bundle at a time ---- */

static bool find_way(const struct work *w, bool force, struct ay_plan_way *way)
{
	struct ay_plan_tree trees[AY_PLAN_TREES_MAX];
	AY_FREE struct ay_plan_edge *edges = calloc(w->n_offers ? w->n_offers : 1, sizeof(*edges));
	if (!edges)
		return false;
	for (size_t i = 0; i < w->n_releases; i++)
		trees[i] = (struct ay_plan_tree){
			.manifest = w->releases[i].release.manifest,
			.serial = w->releases[i].release.serial,
			.goal = force || w->releases[i].release.serial != w->state.bad_serial,
		};
	for (size_t i = 0; i < w->n_offers; i++)
		edges[i] = (struct ay_plan_edge){.from = w->offers[i].from,
						 .to = w->offers[i].to,
						 .missing_bytes = w->offers[i].bundle_size,
						 .price = AY_PRICE_SCHOOL};
	const struct ay_plan_input in = {.have = w->have_manifest,
					 .have_serial = w->have,
					 .trees = trees,
					 .n_trees = w->n_releases,
					 .edges = edges,
					 .n_edges = w->n_offers};
	return ay_plan_find(&in, way);
}

static int take_step(struct work *w, const struct ay_plan_way *way,
		     int (*progress)(void *ctx, uint64_t done, uint64_t total), void *ctx,
		     struct ay_imported *out, struct ay_err *err)
{
	const struct known_release *k = &w->releases[way->first_tree];
	const struct ay_offer *offer = &w->offers[way->first_edge];
	AY_CLOSE int fd = -1;
	int r = ay_repo_bundle_open(w->repo, &offer->bundle, &fd, err);
	if (r < 0)
		return r;
	const struct ay_apply apply = {.branch = w->branch,
				       .release = k->data,
				       .release_len = k->len,
				       .bundle_fd = fd,
				       .offer = offer,
				       .progress = progress,
				       .ctx = ctx};
	r = ay_store_apply(w->s, &apply, err);
	if (r < 0 && r != AY_ENOTHING)
		return r;
	w->have = k->release.serial;
	w->have_manifest = k->release.manifest;
	out->steps++;
	out->bytes += offer->bundle_size;
	return 0;
}

static int load_have(struct work *w, struct ay_err *err)
{
	int r = ay_state_branch(w->s, w->branch, &w->state, err);
	if (r < 0)
		return r;
	r = ay_store_current(w->s, w->branch, &w->have, err);
	if (r == AY_ENOTHING) {
		w->have = 0;
		return 0;
	}
	AY_FREE uint8_t *data = NULL;
	size_t len = 0;
	struct ay_release release;
	if (r == 0)
		r = ay_store_release(w->s, w->branch, w->have, &data, &len, err);
	if (r == 0)
		r = ay_trust_release(w->root, w->branch, data, len, &release, err);
	if (r == 0)
		w->have_manifest = release.manifest;
	return r;
}

static int bring(struct work *w, bool force, int (*progress)(void *ctx, uint64_t done, uint64_t total),
		 void *ctx, struct ay_imported *out, struct ay_err *err)
{
	int r = follow_roots(w, err);
	if (r == 0)
		r = load_have(w, err);
	if (r == 0)
		r = load_head(w, err);
	if (r == 0)
		r = gather(w, err);
	if (r < 0)
		return r;
	out->from = out->to = w->have;
	struct ay_plan_way way;
	while (r == 0 && find_way(w, force, &way)) {
		r = take_step(w, &way, progress, ctx, out, err);
		if (r == 0 && way.steps == 1)
			break;
	}
	if (r < 0)
		return r;
	if (out->steps == 0)
		return ay_err_set(err, AY_ENOTHING, "%s: %s at release %u; %s holds %u%s", w->branch,
				  w->have ? "here is" : "nothing is here, or it is", w->have,
				  ay_repo_path(w->repo), w->head.serial,
				  w->n_releases ? ", but no bundle leads there from here" : "");
	out->to = w->have;
	return ay_store_switch(w->s, w->branch, w->have, false, err);
}

int ay_import(struct ay_store *s, struct ay_repo *repo, const char *branch, bool force,
	      int (*progress)(void *ctx, uint64_t done_bytes, uint64_t total_bytes), void *ctx,
	      struct ay_imported *out, struct ay_err *err)
{
	*out = (struct ay_imported){0};
	struct work *w = calloc(1, sizeof(*w));
	if (!w)
		return ay_err_set(err, -ENOMEM, "out of memory");
	w->s = s;
	w->repo = repo;
	w->branch = branch;
	int r = bring(w, force, progress, ctx, out, err);
	for (size_t i = 0; i < w->n_releases; i++)
		free(w->releases[i].data);
	free(w->offers);
	free(w);
	return r;
}
