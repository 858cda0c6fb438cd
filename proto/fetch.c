/* SPDX-License-Identifier: MIT */
/*
 * Which bundle gives what was lost, nobody can tell before it is here. So the cheapest that leads to the tree and is not here comes
 * first; did that not help, the owner asks again, and the next one comes, the one from nothing last. Publishers make one from nothing
 * only now and then, so when all that lead to the tree are here, those that lead to the trees in which they start come, and so on
 * back to one from nothing: what was not changed since lies there.
 *
 *     nothing ──► 1 ──► 2 ──► 3 ──► 4     a content of 4 that is as old as 1: 3►4, 2►3, 1►2, then the one that has it
 */
#include "proto/fetch.h"

#include "proto/bundles.h"
#include "proto/docs.h"
#include "proto/plan.h"
#include "proto/trace.h"
#include "proto/update_moves.h"
#include "proto/want.h"
#include "proto/way.h"

#include "base/error.h"

#define LOOK_NS (60 * AY__S) /* for somebody who has one */
#define ANSWERS_NS                                                                                           \
	(5 * AY__S) /* so long the next step back waits for what peers offer to the trees before it */

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

int ay__fetch_want(struct ay_core *c, struct ay__branch *b, const struct ay_digest *manifest)
{
	if (ay_digest_is_zero(manifest)) {
		if (ay__fetch_wanted(b) && b->update != AY__UP_FINISHING)
			give_up(c, b, "not wanted any more");
		return 0;
	}
	if (ay__fetch_wanted(b))
		return ay_digest_eq(&b->fetch, manifest) ? 0 : AY_EBUSY;
	b->fetch = *manifest;
	b->fetch_until = c->now + LOOK_NS;
	b->retry_at = b->searching_since = c->now;
	/* Who was asked for other trees is asked for this one. */
	b->n_interest = 0;
	for (unsigned i = 0; i < c->n_sessions; i++) {
		struct ay__peer_branch *p = &c->sessions[i]->branches[ay__branch_index(c, b)];
		p->offers_asked = p->releases_asked = 0;
	}
	c->dirty |= AY__DIRTY_PLAN | AY__DIRTY_LEARN;
	return 0;
}

/* ---- which one: back along the chain, as far as it is here */

static bool is_here(const struct ay_core *c, const struct ay__offer *o)
{
	int k = ay__bundle_find(c, &o->bundle);
	return k != AY__NONE && c->bundles[k].state != AY__B_PARTIAL;
}

/* An offer of the branch to the tree @to. */
static bool leads(const struct ay_core *c, const struct ay__branch *b, const struct ay__offer *o,
		  const struct ay_digest *to)
{
	return o->used && !o->refused && o->branch == ay__branch_index(c, b) && ay_digest_eq(&o->to, to);
}

/* Of the offers to a tree the one that costs least and can be had; what is whole here has helped as far as it can. */
static void cheapest(const struct ay_core *c, const struct ay__branch *b, const struct ay_digest *to,
		     uint64_t *best, int *found)
{
	for (unsigned i = 0; i < c->n_offers; i++) {
		const struct ay__offer *o = &c->offers[i];
		if (!leads(c, b, o, to) || o->unfit || o->excluded_until > c->now ||
		    !(o->laptops || o->schools) || is_here(c, o))
			continue;
		uint64_t price = ay__way_missing(c, o) * (o->laptops ? AY_PRICE_LAPTOP : AY_PRICE_SCHOOL);
		if (price < *best) {
			*best = price;
			*found = (int)i;
		}
	}
}

/* The trees in which the bundles to @to that are here start; none when one of them starts from nothing: there all of it is. */
static void step_back(const struct ay_core *c, struct ay__branch *b, const struct ay_digest *to)
{
	unsigned before = b->n_interest;

	for (unsigned i = 0; i < c->n_offers; i++) {
		const struct ay__offer *o = &c->offers[i];
		if (!leads(c, b, o, to) || !is_here(c, o))
			continue;
		if (ay_digest_is_zero(&o->from)) {
			b->n_interest = before;
			return;
		}
		ay__interest_add(b, &o->from, false);
	}
}

/* Has everybody said what he offers to the trees that we asked about? Not for ever. */
static bool all_answered(const struct ay_core *c, const struct ay__branch *b, unsigned n)
{
	uint16_t asked = (uint16_t)((1u << n) - 1);

	if (c->now - b->searching_since >= ANSWERS_NS)
		return true;
	for (unsigned i = 0; i < c->n_sessions; i++) {
		const struct ay__session *s = c->sessions[i];
		const struct ay__peer_branch *p = &s->branches[ay__branch_index(c, b)];
		if (!ay__ready(s) || !p->listed)
			continue;
		if ((p->offers_asked & asked) != asked)
			return false;
		for (unsigned k = 0; k < s->n_asks; k++)
			if (s->asks[k].ask.kind == AY_DOC_TYPE_OFFERS &&
			    s->asks[k].branch == ay__branch_index(c, b))
				return false;
	}
	return true;
}

/*
 * The trees are gone through in the order of their distance, and the list of those whose offers are asked for is the list of those that
 * were reached. AY__NONE: none can be had, or it is to be waited for.
 */
static int choose(struct ay_core *c, struct ay__branch *b)
{
	unsigned before = b->n_interest;

	b->n_interest = 0;
	ay__interest_add(b, &b->fetch, false);
	for (unsigned from = 0; from < b->n_interest;) {
		unsigned to = b->n_interest; /* the trees of one distance are [from, to) */
		uint64_t best = UINT64_MAX;
		int found = AY__NONE;
		for (unsigned i = from; i < to; i++)
			cheapest(c, b, &b->interest[i].manifest, &best, &found);
		if (found != AY__NONE)
			return ay__update_offers_until(c, b) || (from > 0 && !all_answered(c, b, from))
				       ? AY__NONE
				       : found;
		for (unsigned i = from; i < to; i++)
			step_back(c, b, &b->interest[i].manifest);
		from = to;
	}
	if (b->n_interest != before)
		c->dirty |= AY__DIRTY_LEARN;
	return AY__NONE;
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
	/* Each search has its own time: what came so far may have taken longer. */
	if (b->update != AY__UP_SEARCHING && b->update != AY__UP_BACKOFF)
		b->fetch_until = c->now + LOOK_NS;
	if ((b->update == AY__UP_BACKOFF && c->now < b->retry_at) ||
	    (b->update == AY__UP_SEARCHING && c->now >= b->fetch_until)) {
		give_up(c, b, "nobody has one, or it cannot be kept");
		return;
	}
	if (moving)
		ay__update_leave(c, b);
	ay__update_move(c, b, AY__UP_SEARCHING, "a bundle is wanted for what is in it");
	if ((w.offer = choose(c, b)) == AY__NONE)
		return;
	w.target_serial = c->releases[release].serial;
	ay__update_start_way(c, b, &w, true);
}
