/* SPDX-License-Identifier: MIT */
/*
 * What plan.c plans with: which releases may be passed and ended at, which bundles
 * lead there, and who in reach has them.
 */
#include "proto/way.h"

#include "proto/bundles.h"
#include "proto/fit.h"
#include "proto/plan.h"
#include "proto/want.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool ay__way_may_pass(const struct ay_core *c, const struct ay__branch *b, const struct ay__release *r)
{
	return r->used && r->branch == ay__branch_index(c, b) && !r->refused && r->stored == AY__STORED_YES &&
	       r->serial > b->have_serial && r->serial >= b->floor && r->serial <= b->head.serial &&
	       (r->serial < b->head.serial || ay_digest_eq(&r->digest, &b->head.release)) &&
	       (b->force || r->serial != b->bad_serial) && r->root_epoch <= c->root->version;
}

/*
 * At the floor as well as above it: that is the release that was being switched to when this laptop died, unless it is
 * the one that was gone back from, and that may not even be passed.
 */
static bool may_end(const struct ay__branch *b, const struct ay__release *r)
{
	return r->serial >= b->head.min_serial && r->serial >= b->floor;
}

struct candidates {
	struct ay_plan_tree trees[AY_PLAN_TREES_MAX];
	int releases[AY_PLAN_TREES_MAX];
	size_t n;
	struct ay_plan_edge *edges;
	int *offers;
	size_t n_edges;
};

static bool gather_trees(struct ay_core *c, struct ay__branch *b, struct candidates *k)
{
	bool goal = false;

	k->n = 0;
	for (unsigned i = 0; i < c->n_releases && k->n < AY_PLAN_TREES_MAX; i++) {
		const struct ay__release *r = &c->releases[i];
		if (!ay__way_may_pass(c, b, r))
			continue;
		k->trees[k->n] = (struct ay_plan_tree){r->manifest, r->serial, may_end(b, r)};
		goal |= k->trees[k->n].goal;
		k->releases[k->n++] = (int)i;
	}
	/* Offers that lead to the head's release are asked for first. */
	for (int first = 1; first >= 0; first--)
		for (size_t i = 0; i < k->n; i++)
			if (k->trees[i].goal && (k->trees[i].serial == b->head.serial) == first)
				ay__interest_add(b, &k->trees[i].manifest, false);
	return goal;
}

static struct ay_plan_edge edge_of(const struct ay_core *c, const struct ay__offer *o)
{
	struct ay_plan_edge e = {.from = o->from, .to = o->to, .missing_bytes = o->bundle_size};
	int i = ay__bundle_find(c, &o->bundle);

	e.price = o->laptops ? AY_PRICE_LAPTOP : o->schools ? AY_PRICE_SCHOOL : 0;
	if (i != AY__NONE && c->bundles[i].state != AY__B_OPENING) {
		const struct ay__bundle *b = &c->bundles[i];
		uint64_t had = (uint64_t)b->n_had * AY_BLOCK_SIZE;
		e.missing_bytes = had < b->size ? b->size - had : 0;
		if (b->n_had == b->blocks)
			e.price = 1; /* all here */
	}
	return e;
}

uint64_t ay__way_missing(const struct ay_core *c, const struct ay__offer *o)
{
	return edge_of(c, o).missing_bytes;
}

static bool gather_edges(struct ay_core *c, const struct ay__branch *b, struct candidates *k)
{
	k->edges = calloc(c->n_offers + 1, sizeof(*k->edges));
	k->offers = calloc(c->n_offers + 1, sizeof(*k->offers));
	if (!k->edges || !k->offers) {
		c->orders.oom = true;
		return false;
	}
	for (unsigned i = 0; i < c->n_offers; i++) {
		const struct ay__offer *o = &c->offers[i];
		if (!o->used || o->refused || o->unfit || o->branch != ay__branch_index(c, b) ||
		    o->excluded_until > c->now)
			continue;
		k->edges[k->n_edges] = edge_of(c, o);
		if (k->edges[k->n_edges].price)
			k->offers[k->n_edges++] = (int)i;
	}
	return true;
}

bool ay__way_starts(const struct ay__branch *b, const struct ay_digest *manifest)
{
	if (ay_digest_eq(&b->have_manifest, manifest))
		return true;
	for (unsigned i = 0; i < b->n_here; i++)
		if (ay_digest_eq(&b->here[i].manifest, manifest))
			return true;
	return false;
}

void ay__way_left(struct ay__branch *b, uint32_t serial)
{
	if (b->have_serial == serial || b->have_serial == 0 || ay_digest_is_zero(&b->have_manifest))
		return;
	if (b->n_here == AY_CORE_HERE_MAX)
		memmove(b->here, b->here + 1, sizeof(b->here[0]) * --b->n_here);
	b->here[b->n_here++] = (struct ay_tree_here){b->have_serial, b->have_manifest};
}

/*
 * From any tree that is here: whoever went back from a release still has it, and a bundle may start from nothing else.
 * The highest goal, then the lowest price. Ways from nothing are found from each start.
 */
static bool plan_from_here(const struct ay__branch *b, struct ay_plan_input *in, struct ay_plan_way *best)
{
	bool found = ay_plan_find(in, best);

	for (unsigned i = 0; i < b->n_here; i++) {
		struct ay_plan_way w;
		bool leads = false;
		for (size_t k = 0; k < in->n_edges && !leads; k++)
			leads = ay_digest_eq(&in->edges[k].from, &b->here[i].manifest);
		in->have = b->here[i].manifest;
		in->have_serial = b->here[i].serial;
		if (!leads || !ay_plan_find(in, &w))
			continue;
		uint32_t goal = in->trees[w.goal].serial, so_far = found ? in->trees[best->goal].serial : 0;
		if (goal > so_far || (goal == so_far && w.price < best->price))
			*best = w;
		found = true;
	}
	return found;
}

bool ay__way_find(struct ay_core *c, struct ay__branch *b, struct ay__way *way)
{
	struct candidates k = {.n_edges = 0};
	struct ay_plan_way w;
	bool found = gather_trees(c, b, &k) && gather_edges(c, b, &k);

	if (found) {
		struct ay_plan_input in = {.have = b->have_manifest,
					   .have_serial = b->have_serial,
					   .trees = k.trees,
					   .n_trees = k.n,
					   .edges = k.edges,
					   .n_edges = k.n_edges};
		found = plan_from_here(b, &in, &w);
	}
	if (found)
		*way = (struct ay__way){.offer = k.offers[w.first_edge],
					.release = k.releases[w.first_tree],
					.target_serial = k.trees[w.goal].serial,
					.steps = w.steps};
	free(k.edges);
	free(k.offers);
	return found;
}

/* A bundle that would lead there, if this machine could apply it: what it is short of. */
static bool unfit_text(struct ay_core *c, struct ay__branch *b, char *text, size_t size)
{
	struct candidates k = {.n_edges = 0};

	gather_trees(c, b, &k);
	for (unsigned i = 0; i < c->n_offers; i++) {
		const struct ay__offer *o = &c->offers[i];
		struct ay_envelope env;
		struct ay_offer offer;
		bool leads = false;
		if (!o->used || !o->unfit || o->refused || o->branch != ay__branch_index(c, b) ||
		    !(o->laptops || o->schools))
			continue;
		for (size_t t = 0; t < k.n && !leads; t++)
			leads = k.trees[t].goal && ay_digest_eq(&k.trees[t].manifest, &o->to);
		if (leads && ay_envelope_parse(o->data, o->len, &env, NULL) == 0 &&
		    ay_offer_parse(env.text.data, env.text.len, &offer, NULL) == 0)
			return ay_offer_fit_text(&c->cfg.apply, &offer, text, size)[0] != '\0';
	}
	return false;
}

void ay__way_none_text(struct ay_core *c, struct ay__branch *b, char *text, size_t size)
{
	char need[128];
	unsigned to = b->head.serial;

	if (c->n_sessions == 0)
		snprintf(text, size, "no other laptop or school is in reach");
	else if (b->learn != AY__LEARN_IDLE)
		snprintf(text, size, "nobody in reach has release %u itself", to);
	else if (unfit_text(c, b, need, sizeof(need)))
		snprintf(text, size, "the bundle to release %u %s", to, need);
	else if (b->have_serial)
		snprintf(text, size, "nobody in reach offers a bundle from release %u to %u", b->have_serial,
			 to);
	else
		snprintf(text, size, "nobody in reach offers a bundle from nothing to release %u", to);
}
