/* SPDX-License-Identifier: MIT */
/*
 * The shelf: bundles come onto it and go from it, and who hangs on one is told first.
 *
 * The table (bundles.c) is below, with all who ask it. Here is what a change of the
 * table sets going: peers learn what we have, requests and answers end. What it
 * means for a branch's way is for update.c, which stands above.
 */
#include "proto/shelf.h"

#include "proto/bundles.h"
#include "proto/docs.h"
#include "proto/have.h"
#include "proto/orders.h"
#include "proto/serve.h"
#include "proto/swarm.h"
#include "proto/trace.h"

#include "base/error.h"

/* Nothing may speak of its index any more; without a word to the runner. */
static void take_off(struct ay_core *c, int bundle)
{
	ay__swarm_bundle_left(c, bundle);
	ay__serve_bundle_left(c, bundle);
	ay__bundle_free(c, bundle);
}

int ay__shelf_lose(struct ay_core *c, const struct ay_digest *digest, int status)
{
	int i = ay__bundle_find(c, digest);

	if (i == AY__NONE)
		return AY__NONE;
	AY__TRACE(c, "swarm", "bundle %s: gone (%s)", ay__short(digest).s, ay_error_name(status));
	/* What cannot be opened cannot be given either. */
	for (unsigned k = 0; k < c->n_offers; k++)
		if (c->offers[k].used && ay_digest_eq(&c->offers[k].bundle, digest))
			c->offers[k].local = false;
	take_off(c, i);
	return i;
}

void ay__shelf_drop(struct ay_core *c, int bundle)
{
	struct ay_order *o = ay__order(c, AY_ORDER_DROP_BUNDLE);

	o->bundle.digest = c->bundles[bundle].digest;
	o->bundle.size = c->bundles[bundle].size;
	AY__TRACE(c, "swarm", "bundle %s: dropped", ay__short(&c->bundles[bundle].digest).s);
	take_off(c, bundle);
}

int ay__shelf_put(struct ay_core *c, const struct ay_event *ev, int *bundle, int *gone)
{
	int i = ay__bundle_find(c, &ev->bundle.digest);

	*bundle = AY__NONE;
	*gone = 0;
	if (ev->bundle.size == 0 || ev->bundle.size > AY_BUNDLE_SIZE_MAX)
		return AY_ELIMIT;
	if (i != AY__NONE && c->bundles[i].size != ev->bundle.size) {
		*gone = AY_EDIGEST;
		*bundle = ay__shelf_lose(c, &ev->bundle.digest, *gone);
		return 0;
	}
	if (i == AY__NONE)
		i = ay__bundle_new(c, &ev->bundle.digest, ev->bundle.size);
	if (i == AY__NONE)
		return AY_ELIMIT;
	struct ay__bundle *b = &c->bundles[i];
	if (b->state == AY__B_FINISHING || b->state == AY__B_WHOLE)
		return 0;
	if (b->state == AY__B_PARTIAL && !ev->bundle.whole)
		return 0; /* we know more than this by now */
	b->merkle = ev->bundle.merkle;
	if (ev->bundle.whole) {
		bool collecting = b->state == AY__B_PARTIAL;
		if (collecting)
			ay__swarm_collect(c, i, false);
		ay__bundle_whole(b);
	} else {
		*gone = ay__bundle_partial(b, ev->bundle.bitmap);
		if (*gone) {
			*bundle = ay__shelf_lose(c, &ev->bundle.digest, *gone);
			return *gone;
		}
	}
	AY__TRACE(c, "swarm", "bundle %s: %u of %u blocks are here", ay__short(&b->digest).s, b->n_had,
		  b->blocks);
	ay__have_bundle_here(c, i);
	*bundle = i;
	c->dirty |= AY__DIRTY_PLAN;
	return 0;
}

/* ---- which bundles a laptop keeps: those of its last steps, as far as they cost little */

static const struct ay__offer *offer_of(const struct ay_core *c, const struct ay__bundle *b)
{
	for (unsigned i = 0; i < c->n_offers; i++)
		if (c->offers[i].used && ay_digest_eq(&c->offers[i].bundle, &b->digest))
			return &c->offers[i];
	return NULL;
}

/* The serial that it leads to, 0 if nobody told. */
static uint32_t serial_of(const struct ay_core *c, const struct ay__bundle *b, int *branch)
{
	const struct ay__offer *o = offer_of(c, b);
	int r = o ? ay__release_of(c, o->branch, &o->to) : AY__NONE;

	*branch = o ? o->branch : AY__NONE;
	return r == AY__NONE ? 0 : c->releases[r].serial;
}

static bool busy(const struct ay_core *c, int bundle)
{
	for (unsigned i = 0; i < c->n_branches; i++)
		if (c->branches[i].bundle == bundle)
			return true;
	for (unsigned i = 0; i < c->n_sessions; i++) {
		for (unsigned k = 0; k < AY__LINKS_MAX; k++) {
			const struct ay__link *l = &c->sessions[i]->links[k];
			if (l->used && l->bundle == bundle && l->they_want)
				return true;
		}
	}
	return c->bundles[bundle].state == AY__B_OPENING || c->bundles[bundle].state == AY__B_FINISHING;
}

static bool newest_of_branch(const struct ay_core *c, int bundle, int branch, uint32_t serial)
{
	for (int i = 0; i < AY_CORE_BUNDLES_MAX; i++) {
		int other;
		if (i == bundle || !c->bundles[i].used || c->bundles[i].state != AY__B_WHOLE)
			continue;
		if (serial_of(c, &c->bundles[i], &other) > serial && other == branch)
			return false;
	}
	return true;
}

/* Allowed: 1.3 % of the trees (as the 2007 design had it), or the newest bundles if they are larger. */
static int trim_victim(const struct ay_core *c)
{
	uint64_t trees = 0, total = 0;
	uint32_t lowest = UINT32_MAX;
	int victim = AY__NONE;

	for (unsigned i = 0; i < c->n_branches; i++) {
		int r = ay__release_serial(c, (int)i, c->branches[i].have_serial);
		trees += r == AY__NONE ? 0 : c->releases[r].unpacked;
	}
	for (int i = 0; i < AY_CORE_BUNDLES_MAX; i++) {
		const struct ay__bundle *b = &c->bundles[i];
		int branch;
		if (!b->used)
			continue;
		uint32_t serial = serial_of(c, b, &branch);
		if (b->state == AY__B_PARTIAL) {
			/* A way that was not gone to its end, and leads nowhere any more. */
			if (serial && serial <= c->branches[branch].have_serial && !busy(c, i))
				return i;
			continue;
		}
		total += b->size;
		if (serial && serial < lowest && !busy(c, i) && !newest_of_branch(c, i, branch, serial)) {
			lowest = serial;
			victim = i;
		}
	}
	return total > trees / 1000 * 13 ? victim : AY__NONE;
}

void ay__shelf_trim(struct ay_core *c)
{
	int victim;

	if (c->cfg.role == AY_NODE_SCHOOL)
		return;
	while ((victim = trim_victim(c)) != AY__NONE)
		ay__shelf_drop(c, victim);
}
