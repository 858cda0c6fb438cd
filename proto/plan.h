/* SPDX-License-Identifier: MIT */
/*
 * proto/plan.h - step 2 of the data's way: the cheapest way from the tree that we have to the release.
 *
 * Before: proto/announce and proto/learn gathered releases and offers. After:
 * proto/swarm collects the first bundle of the way.
 *
 *     M ──offer──► X ──offer──► N        trees are nodes, bundles are edges
 *     nothing ──────offer──────► N       a bundle from nothing starts anywhere
 *
 * A pure function: no state, no clock. Price is air and uplink, not hops: bytes
 * that are still missing times what a byte costs from its cheapest holder.
 */
#ifndef AYNI_PROTO_PLAN_H
#define AYNI_PROTO_PLAN_H

#include "base/digest.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AY_PLAN_TREES_MAX 64 /* releases looked at; more than the publisher's longest chain of offers needs */

/*
 * Price of a byte, in crossings of the one radio channel: a laptop's byte goes up to
 * the access point and down again. The school's byte crosses the air once (its box
 * hangs on the access point's wire) but takes of the one link that all share, so that
 * between equal bundles the one that laptops hold is taken.
 */
#define AY_PRICE_LAPTOP 2
#define AY_PRICE_SCHOOL 3
/* What applying costs beside bytes, so that of two ways of equal bytes the shorter one is taken: a MiB. */
#define AY_PRICE_STEP ((uint64_t)1 << 20)

struct ay_plan_edge {
	struct ay_digest from, to; /* manifests; from zeros: from nothing */
	uint64_t missing_bytes;    /* of the bundle; what is here already costs nothing */
	uint32_t price;            /* per byte; 0: nobody has it, the edge does not count */
};

struct ay_plan_tree {
	struct ay_digest manifest;
	uint32_t serial;
	bool goal; /* may the way end here? (else only pass) */
};

struct ay_plan_input {
	struct ay_digest have; /* zeros: nothing */
	uint32_t have_serial;
	const struct ay_plan_tree *trees; /* known releases; at most AY_PLAN_TREES_MAX are looked at */
	size_t n_trees;
	const struct ay_plan_edge *edges;
	size_t n_edges;
};

struct ay_plan_way {
	size_t goal;       /* index into trees */
	size_t first_edge; /* index into edges: collect this now */
	size_t first_tree; /* index into trees: what applying it makes */
	unsigned steps;
	uint64_t price;
};

/**
 * ay_plan_find() - the cheapest way to the goal of the highest serial that can be reached at all.
 *
 * Serials rise along the way, from above have_serial: the store would refuse to go back.
 * Source: Dijkstra's algorithm, on at most AY_PLAN_TREES_MAX nodes.
 *
 * Return: true and @out; false: no goal can be reached.
 */
bool ay_plan_find(const struct ay_plan_input *in, struct ay_plan_way *out);

#endif
