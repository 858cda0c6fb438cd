/* SPDX-License-Identifier: MIT */
/*
 * Which bundle gives what was lost, nobody can tell before it is here. So the cheapest that leads to the tree and is not here comes
 * first; did that not help, the owner asks again, and the next one comes, the one from nothing last.
 */
#include "proto/fetch.h"

#include "proto/bundles.h"
#include "proto/docs.h"
#include "proto/plan.h"
#include "proto/trace.h"
#include "proto/update_moves.h"
#include "proto/want.h"
#include "proto/way.h"

#define LOOK_NS (60 * AY__S) /* for somebody who has one */

bool ay__fetch_wanted(const struct ay__branch *b)
{
	return !ay_digest_is_zero(&b->fetch);
}

static void give_up(struct ay_core *c, struct ay__branch *b, const char *why)
{
	AY__TRACE(c, "fetch", "%s: given up: %s", b->name, why);
	b->fetch = (struct ay_digest){0};
	if (b->fetching)
		ay__update_leave(c, b);
	c->dirty |= AY__DIRTY_PLAN;
}

void ay__fetch_want(struct ay_core *c, struct ay__branch *b, const struct ay_digest *manifest)
{
	if (ay_digest_is_zero(manifest)) {
		if (ay__fetch_wanted(b) && b->update != AY__UP_FINISHING)
			give_up(c, b, "not wanted any more");
		return;
	}
	b->fetch = *manifest;
	b->fetch_until = c->now + LOOK_NS;
	b->retry_at = c->now;
	/* Who was asked for other trees is asked for this one. */
	b->n_interest = 0;
	for (unsigned i = 0; i < c->n_sessions; i++) {
		struct ay__peer_branch *p = &c->sessions[i]->branches[ay__branch_index(c, b)];
		p->offers_asked = p->releases_asked = 0;
	}
	c->dirty |= AY__DIRTY_PLAN | AY__DIRTY_LEARN;
}

/* Of the offers to the tree the one that costs least and can be had; what is whole here has helped as far as it can. */
static int cheapest(const struct ay_core *c, const struct ay__branch *b)
{
	uint64_t best = UINT64_MAX;
	int found = AY__NONE;

	for (unsigned i = 0; i < c->n_offers; i++) {
		const struct ay__offer *o = &c->offers[i];
		int k = o->used ? ay__bundle_find(c, &o->bundle) : AY__NONE;
		if (!o->used || o->refused || o->unfit || o->branch != ay__branch_index(c, b) ||
		    o->excluded_until > c->now || !ay_digest_eq(&o->to, &b->fetch) ||
		    !(o->laptops || o->schools))
			continue;
		if (k != AY__NONE && c->bundles[k].state != AY__B_PARTIAL)
			continue;
		uint64_t price = ay__way_missing(c, o) * (o->laptops ? AY_PRICE_LAPTOP : AY_PRICE_SCHOOL);
		if (price < best) {
			best = price;
			found = (int)i;
		}
	}
	return found;
}

void ay__fetch_run(struct ay_core *c, struct ay__branch *b)
{
	bool moving = b->update == AY__UP_OPENING || b->update == AY__UP_COLLECTING;
	int release = ay__release_of(c, ay__branch_index(c, b), &b->fetch);
	struct ay__way w = {.release = release, .steps = 1};

	if (release == AY__NONE || c->releases[release].refused ||
	    c->releases[release].stored != AY__STORED_YES) {
		ay__update_problem(c, b, "the release whose bundle is wanted is not known here");
		give_up(c, b, "no such release");
		return;
	}
	if (moving && b->fetching && !c->offers[b->offer].refused &&
	    c->offers[b->offer].excluded_until <= c->now)
		return;
	if ((b->update == AY__UP_BACKOFF && c->now < b->retry_at) || c->now >= b->fetch_until) {
		give_up(c, b, "nobody has one, or it cannot be kept");
		return;
	}
	if (moving)
		ay__update_leave(c, b);
	ay__interest_add(b, &b->fetch, false);
	ay__update_move(c, b, AY__UP_SEARCHING, "a bundle is wanted for what is in it");
	if ((w.offer = cheapest(c, b)) == AY__NONE || ay__update_offers_until(c, b))
		return;
	w.target_serial = c->releases[release].serial;
	ay__update_start_way(c, b, &w, true);
}
