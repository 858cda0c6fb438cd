/* SPDX-License-Identifier: MIT */
/* The states of a branch's way to its newest release, and the moves between them; the picture is in proto/update.c. */
#include "proto/update_moves.h"

#include "proto/bundles.h"
#include "proto/orders.h"
#include "proto/sm.h"
#include "proto/swarm.h"
#include "proto/trace.h"
#include "proto/way.h"

#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#define BACKOFF_MIN_NS (60 * AY__S)
#define BACKOFF_MAX_NS (3600 * AY__S)
#define OFFERS_NS      (2 * AY__S) /* so long a peer's list of offers may take, */
#define OFFERS_ALL_NS  (5 * AY__S) /* and all lists together from the first way on */

#define ANY_BUT_APPLYING                                                                                     \
	(AY__TO(AY__UP_IDLE) | AY__TO(AY__UP_HELD) | AY__TO(AY__UP_SEARCHING) | AY__TO(AY__UP_OPENING) |     \
	 AY__TO(AY__UP_COLLECTING) | AY__TO(AY__UP_FINISHING) | AY__TO(AY__UP_BACKOFF))

static const struct ay__sm_state states[] = {
	[AY__UP_IDLE] = {"idle", AY__TO(AY__UP_HELD) | AY__TO(AY__UP_SEARCHING)},
	[AY__UP_HELD] = {"held", AY__TO(AY__UP_IDLE) | AY__TO(AY__UP_SEARCHING)},
	[AY__UP_SEARCHING] = {"searching", ANY_BUT_APPLYING},
	[AY__UP_OPENING] = {"opening", ANY_BUT_APPLYING},
	[AY__UP_COLLECTING] = {"collecting", ANY_BUT_APPLYING},
	[AY__UP_FINISHING] = {"finishing", AY__TO(AY__UP_APPLYING) | AY__TO(AY__UP_SEARCHING) |
						   AY__TO(AY__UP_BACKOFF) | AY__TO(AY__UP_IDLE)},
	[AY__UP_APPLYING] = {"applying",
			     AY__TO(AY__UP_IDLE) | AY__TO(AY__UP_SEARCHING) | AY__TO(AY__UP_BACKOFF)},
	[AY__UP_BACKOFF] = {"waiting", AY__TO(AY__UP_IDLE) | AY__TO(AY__UP_HELD) | AY__TO(AY__UP_SEARCHING)},
};

void ay__update_move(struct ay_core *c, struct ay__branch *b, uint8_t to, const char *why)
{
	uint8_t from = b->update;

	ay__sm_move(c, "update", b->name, states, &b->update, to, why);
	if (to == AY__UP_SEARCHING && from != to)
		b->searching_since = c->now;
	if (from != to)
		c->dirty |= AY__DIRTY_LEARN | AY__DIRTY_PEERS | AY__DIRTY_PLAN;
}

void ay__update_problem(struct ay_core *c, struct ay__branch *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(b->problem, sizeof(b->problem), fmt, ap);
	va_end(ap);
	AY__TRACE(c, "update", "%s: problem: %s", b->name, b->problem);
}

bool ay__update_uses(const struct ay_core *c, int bundle)
{
	for (unsigned i = 0; i < c->n_branches; i++)
		if (c->branches[i].bundle == bundle)
			return true;
	return false;
}

void ay__update_leave(struct ay_core *c, struct ay__branch *b)
{
	int bundle = b->bundle;

	b->offer = b->release = b->bundle = AY__NONE;
	b->fetching = false;
	b->target_serial = 0;
	if (bundle != AY__NONE && !ay__update_uses(c, bundle) && c->bundles[bundle].collect)
		ay__swarm_collect(c, bundle, false);
}

void ay__update_back_off(struct ay_core *c, struct ay__branch *b, const char *what, int status)
{
	uint64_t ns = BACKOFF_MIN_NS << (b->failures < 6 ? b->failures : 6);

	b->failures++;
	b->retry_at = c->now + (ns < BACKOFF_MAX_NS ? ns : BACKOFF_MAX_NS);
	ay__update_problem(c, b, "%s: %s", what, ay_strerror(status));
	ay__update_leave(c, b);
	ay__update_move(c, b, AY__UP_BACKOFF, ay_error_name(status));
}

/* A bundle that was wanted for what is in it (proto/fetch.h) is whole, and its offer stored. */
static void fetched(struct ay_core *c, struct ay__branch *b)
{
	AY__TRACE(c, "fetch", "%s: bundle %s is here", b->name, ay__short(&c->offers[b->offer].bundle).s);
	b->fetch = (struct ay_digest){0};
	b->fetched++;
	b->fetched_bytes += c->offers[b->offer].bundle_size;
	b->problem[0] = '\0';
	ay__update_leave(c, b);
	ay__update_move(c, b, AY__UP_IDLE, "what was wanted is here");
}

void ay__update_try_apply(struct ay_core *c, struct ay__branch *b)
{
	if (b->update != AY__UP_FINISHING || c->bundles[b->bundle].state != AY__B_WHOLE)
		return;
	const struct ay__offer *o = &c->offers[b->offer];
	const struct ay__release *r = &c->releases[b->release];
	if (r->refused || o->refused) {
		ay__update_leave(c, b);
		ay__update_move(c, b, AY__UP_SEARCHING, "not believed any more");
		return;
	}
	if (o->stored == AY__STORED_NO) {
		ay__update_back_off(c, b, "the offer could not be stored", -EIO);
		return;
	}
	if (o->stored != AY__STORED_YES)
		return;
	if (b->fetching) {
		fetched(c, b);
		return;
	}
	struct ay_order *order = ay__order(c, AY_ORDER_APPLY);
	order->apply.branch = b->name;
	order->apply.serial = r->serial;
	order->apply.release = r->digest;
	order->apply.offer = o->digest;
	order->apply.bundle = o->bundle;
	order->apply.force = b->force;
	ay__update_move(c, b, AY__UP_APPLYING, "all is here");
}

void ay__update_full(struct ay_core *c, int bundle)
{
	struct ay__bundle *b = &c->bundles[bundle];

	if (b->state != AY__B_PARTIAL || !ay__token_room(c))
		return;
	ay__swarm_collect(c, bundle, false);
	b->state = AY__B_FINISHING;
	uint64_t token = ay__token_new(c, AY__TOKEN_BUNDLE, bundle);
	struct ay_order *o = ay__order(c, AY_ORDER_FINISH_BUNDLE);
	o->token = token;
	o->bundle.digest = b->digest;
	o->bundle.size = b->size;
	AY__TRACE(c, "swarm", "bundle %s: all %u blocks are had", ay__short(&b->digest).s, b->blocks);
	for (unsigned i = 0; i < c->n_branches; i++)
		if (c->branches[i].bundle == bundle && c->branches[i].update == AY__UP_COLLECTING)
			ay__update_move(c, &c->branches[i], AY__UP_FINISHING, "all blocks are had");
}

void ay__update_collect(struct ay_core *c, struct ay__branch *b)
{
	struct ay__bundle *bundle = &c->bundles[b->bundle];

	switch (bundle->state) {
	case AY__B_OPENING:
		ay__update_move(c, b, AY__UP_OPENING, "begin the bundle");
		return;
	case AY__B_PARTIAL:
		ay__update_move(c, b, AY__UP_COLLECTING, "collect its blocks");
		if (!bundle->collect)
			ay__swarm_collect(c, b->bundle, true);
		if (bundle->n_had == bundle->blocks)
			ay__update_full(c, b->bundle);
		return;
	default:
		ay__update_move(c, b, AY__UP_FINISHING, "the bundle is here");
		ay__update_try_apply(c, b);
	}
}

void ay__update_start_way(struct ay_core *c, struct ay__branch *b, const struct ay__way *w, bool fetch)
{
	struct ay__offer *o = &c->offers[w->offer];

	ay__update_leave(c, b);
	/* Collections take offers that lead to no newer tree, and we are not told: without its offer the bundle heals nothing. */
	if (fetch && o->stored == AY__STORED_YES)
		o->stored = AY__STORED_NO;
	if (o->stored == AY__STORED_NO && !ay__token_room(c))
		return; /* soon */
	b->fetching = fetch;
	b->offer = w->offer;
	b->release = w->release;
	b->target_serial = w->target_serial;
	b->problem[0] = '\0';
	AY__TRACE(c, "plan", "%s: %u -> %u%s by bundle %s of %llu bytes from %s", b->name, b->have_serial,
		  c->releases[w->release].serial, w->steps > 1 ? " (a step)" : "", ay__short(&o->bundle).s,
		  (unsigned long long)o->bundle_size,
		  o->laptops   ? "laptops"
		  : o->schools ? "a school"
			       : "here");
	if (o->stored == AY__STORED_NO) {
		o->stored = AY__STORED_ASKED;
		ay__store(c, AY_ORDER_STORE_OFFER, AY__TOKEN_OFFER, w->offer, o->data, o->len, NULL);
	}
	b->bundle = ay__bundle_find(c, &o->bundle);
	if (b->bundle == AY__NONE)
		b->bundle = ay__bundle_open(c, &o->bundle, o->bundle_size);
	if (b->bundle == AY__NONE || c->bundles[b->bundle].size != o->bundle_size) {
		o->excluded_until = c->now + AY__EXCLUDE_FAILED_NS;
		b->bundle = AY__NONE;
		ay__update_back_off(c, b, "no room for another bundle", AY_ELIMIT);
		return;
	}
	ay__update_collect(c, b);
}

/*
 * A peer is telling us its offers, and the best of them may be the last: until when it is waited for; 0: it is not.
 * Nobody is waited for longer than a list may take, nor many, one after the other.
 */
uint64_t ay__update_offers_until(const struct ay_core *c, const struct ay__branch *b)
{
	uint64_t until = 0;

	for (unsigned i = 0; i < c->n_sessions; i++) {
		const struct ay__session *s = c->sessions[i];
		const struct ay__ask *a = &s->asks[0];
		if (ay__ready(s) && s->n_asks > 0 && s->n_docs > 0 && a->ask.kind == AY_DOC_TYPE_OFFERS &&
		    a->branch == ay__branch_index(c, b) && a->at_ns + OFFERS_NS > c->now &&
		    a->at_ns + OFFERS_NS > until)
			until = a->at_ns + OFFERS_NS;
	}
	if (b->way_since && until > b->way_since + OFFERS_ALL_NS)
		until = b->way_since + OFFERS_ALL_NS;
	return until > c->now ? until : 0;
}
