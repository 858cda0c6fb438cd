/* SPDX-License-Identifier: MIT */
/*
 * Step 2 of the data's way: the cheapest way from the tree that we have to the release.
 *
 * Dijkstra over trees. The start is settled with price 0; "nothing" is a second
 * start, because a bundle from nothing can be applied whatever we have.
 */
#include "proto/plan.h"

#define UNREACHED UINT64_MAX

struct node {
	uint64_t price;
	size_t first; /* first edge of the whole way */
	size_t first_tree;
	unsigned steps;
	bool settled;
};

static uint64_t add_sat(uint64_t a, uint64_t b)
{
	return a > UNREACHED - 1 - b ? UNREACHED - 1 : a + b;
}

static uint64_t edge_price(const struct ay_plan_edge *e)
{
	uint64_t bytes = e->missing_bytes;

	if (bytes > (UINT64_MAX >> 8) / e->price)
		return UINT64_MAX >> 8;
	return add_sat(bytes * e->price, AY_PRICE_STEP);
}

static size_t tree_of(const struct ay_plan_input *in, size_t n, const struct ay_digest *manifest,
		      uint32_t above)
{
	for (size_t i = 0; i < n; i++)
		if (in->trees[i].serial > above && ay_digest_eq(&in->trees[i].manifest, manifest))
			return i;
	return SIZE_MAX;
}

/* Go along every edge that starts at @from, of serial @serial, which is reached as @by (NULL: a start). */
static void relax(const struct ay_plan_input *in, struct node *nodes, size_t n, const struct ay_digest *from,
		  uint32_t serial, const struct node *by)
{
	for (size_t i = 0; i < in->n_edges; i++) {
		const struct ay_plan_edge *e = &in->edges[i];
		if (e->price == 0 || !ay_digest_eq(&e->from, from))
			continue;
		size_t to = tree_of(in, n, &e->to, serial);
		if (to == SIZE_MAX || nodes[to].settled)
			continue;
		uint64_t price = add_sat(by ? by->price : 0, edge_price(e));
		if (price >= nodes[to].price)
			continue;
		nodes[to].price = price;
		nodes[to].first = by ? by->first : i;
		nodes[to].first_tree = by ? by->first_tree : to;
		nodes[to].steps = by ? by->steps + 1 : 1;
	}
}

bool ay_plan_find(const struct ay_plan_input *in, struct ay_plan_way *out)
{
	static const struct ay_digest nothing;
	struct node nodes[AY_PLAN_TREES_MAX];
	size_t n = in->n_trees < AY_PLAN_TREES_MAX ? in->n_trees : AY_PLAN_TREES_MAX;
	size_t best = SIZE_MAX;

	for (size_t i = 0; i < n; i++)
		nodes[i] = (struct node){.price = UNREACHED};
	relax(in, nodes, n, &nothing, in->have_serial, NULL);
	if (!ay_digest_is_zero(&in->have))
		relax(in, nodes, n, &in->have, in->have_serial, NULL);
	for (;;) {
		size_t next = SIZE_MAX;
		for (size_t i = 0; i < n; i++)
			if (!nodes[i].settled && nodes[i].price != UNREACHED &&
			    (next == SIZE_MAX || nodes[i].price < nodes[next].price))
				next = i;
		if (next == SIZE_MAX)
			break;
		nodes[next].settled = true;
		relax(in, nodes, n, &in->trees[next].manifest, in->trees[next].serial, &nodes[next]);
	}
	for (size_t i = 0; i < n; i++)
		if (in->trees[i].goal && nodes[i].settled &&
		    (best == SIZE_MAX || in->trees[i].serial > in->trees[best].serial))
			best = i;
	if (best == SIZE_MAX)
		return false;
	*out = (struct ay_plan_way){.goal = best,
				    .first_edge = nodes[best].first,
				    .first_tree = nodes[best].first_tree,
				    .steps = nodes[best].steps,
				    .price = nodes[best].price};
	return true;
}
