/* SPDX-License-Identifier: MIT */
/*
 * A branch's way to its newest release: choose, collect, finish, apply, say so.
 *
 *     IDLE/HELD ──► SEARCHING ──► OPENING ──► COLLECTING ──► FINISHING ──► APPLYING ──► IDLE
 *                       ▲                                                     │
 *                       └──────── the way failed: the next one ◄──────────────┘
 *
 * One step of a way is one bundle; after each applied step the way is planned anew.
 * A way that fails because of the bundle or its base, or twice for no reason that we
 * know (a worker that is killed), is left out for an hour; when disk or store fail,
 * everything waits, longer each time.
 */
#include "proto/update.h"

#include "proto/bundles.h"
#include "proto/fetch.h"
#include "proto/links.h"
#include "proto/orders.h"
#include "proto/trace.h"
#include "proto/update_moves.h"
#include "proto/way.h"

#include "base/error.h"

#include <stdio.h>

#define EXCLUDE_STUCK_NS (300 * AY__S)
#define STUCK_NS         (60 * AY__S)  /* nobody has it any more */
#define STUCK_HELD_NS    (300 * AY__S) /* somebody has it, and does not give it */
#define STORE_AGAIN_NS   (60 * AY__S)
#define GO_NS            (300 * AY__S) /* an owner's wish: as long as asking all round may take */
#define SAY_AFTER_NS     (10 * AY__S)  /* searching so long is worth a word to the owner */

/* ---- what may be taken */

/* NULL: it may be taken now; else why not. */
static const char *held(const struct ay_core *c, const struct ay__branch *b)
{
	if (b->stays)
		return "this laptop stays at a pinned release (`ayni unpin`)";
	if (b->force)
		return NULL;
	if (!c->cfg.auto_update && c->now >= b->go_until)
		return "automatic updates are off";
	if (c->cfg.rollout_draw >= b->head.rollout)
		return "its rollout has not reached this laptop";
	if (b->bad_serial == b->head.serial)
		return "it failed here before";
	return NULL;
}

static bool newer_known(const struct ay__branch *b)
{
	if (!b->follow || !b->has_head || b->head.serial <= b->have_serial)
		return false;
	/* At the floor: a switch to it was cut off, unless the owner went back from it. */
	return b->head.serial > b->floor ||
	       (b->head.serial == b->floor && (b->force || b->head.serial != b->bad_serial));
}

/* ---- going a way */

/*
 * The offers of one step come one after the other, and the first need not be the best: is the bundle of @other, for the very same step, so
 * much smaller that what is here of ours may be left? Half, so that nobody goes to and fro.
 */
static bool much_less(const struct ay_core *c, const struct ay__offer *ours, const struct ay__offer *other)
{
	return other != ours && ay_digest_eq(&ours->from, &other->from) &&
	       ay_digest_eq(&ours->to, &other->to) &&
	       2 * ay__way_missing(c, other) < ay__way_missing(c, ours);
}

/* Is the way that we are on still one that may be gone, and no better one known? */
static bool keep_way(const struct ay_core *c, const struct ay__branch *b, const struct ay__way *w)
{
	if (b->offer == AY__NONE || b->release == AY__NONE)
		return false;
	const struct ay__offer *o = &c->offers[b->offer];
	const struct ay__release *r = &c->releases[b->release];
	if (o->refused || o->excluded_until > c->now || !ay__way_may_pass(c, b, r))
		return false;
	if (!ay_digest_is_zero(&o->from) && !ay__way_starts(b, &o->from))
		return false; /* the owner went back meanwhile */
	return !w || (w->target_serial <= b->target_serial && !much_less(c, o, &c->offers[w->offer]));
}

static void say_searching(struct ay_core *c, struct ay__branch *b)
{
	char text[sizeof(b->problem)];

	if (b->problem[0] || c->now - b->searching_since < SAY_AFTER_NS)
		return;
	ay__way_none_text(c, b, text, sizeof(text));
	ay__update_problem(c, b, "%s", text);
}

/* Releases that the store lost; we have them still. */
static void store_lost(struct ay_core *c, const struct ay__branch *b)
{
	for (unsigned i = 0; i < c->n_releases; i++) {
		struct ay__release *r = &c->releases[i];
		if (!r->used || r->branch != ay__branch_index(c, b) || r->stored != AY__STORED_NO ||
		    r->refused || !r->store_at || c->now < r->store_at || !ay__token_room(c))
			continue;
		r->stored = AY__STORED_ASKED;
		r->store_at = c->now + STORE_AGAIN_NS;
		ay__store(c, AY_ORDER_STORE_RELEASE, AY__TOKEN_RELEASE, (int)i, r->data, r->len, NULL);
	}
}

static void evaluate(struct ay_core *c, struct ay__branch *b)
{
	struct ay__way w;
	bool moving = b->update == AY__UP_OPENING || b->update == AY__UP_COLLECTING;

	if (b->update == AY__UP_FINISHING || b->update == AY__UP_APPLYING)
		return;
	if (ay__fetch_wanted(b)) {
		ay__fetch_run(c, b);
		return;
	}
	if (!newer_known(b)) {
		ay__update_leave(c, b);
		b->problem[0] = '\0';
		if (c->now >= b->go_until)
			b->force = false;
		ay__update_move(c, b, AY__UP_IDLE, "nothing newer");
		return;
	}
	const char *why = held(c, b);
	if (why) {
		if (moving || b->update == AY__UP_BACKOFF)
			ay__update_leave(c, b);
		if (b->update != AY__UP_HELD)
			snprintf(b->problem, sizeof(b->problem), "release %u is not taken: %s",
				 b->head.serial, why);
		if (moving)
			ay__update_move(c, b, AY__UP_SEARCHING, why);
		ay__update_move(c, b, AY__UP_HELD, why);
		return;
	}
	if (b->update == AY__UP_BACKOFF && c->now < b->retry_at)
		return;
	if (b->update == AY__UP_HELD)
		b->problem[0] = '\0';
	store_lost(c, b);
	bool found = ay__way_find(c, b, &w);
	if (moving && keep_way(c, b, found ? &w : NULL))
		return;
	if (!moving)
		ay__update_move(c, b, AY__UP_SEARCHING, "a newer release");
	if (!found || !b->way_since)
		b->way_since = found ? c->now : 0;
	if (found && !moving && ay__update_offers_until(c, b))
		return;
	if (found) {
		b->way_since = 0;
		ay__update_start_way(c, b, &w, false);
	} else {
		if (moving) {
			ay__update_leave(c, b);
			ay__update_move(c, b, AY__UP_SEARCHING, "the way is gone");
		}
		say_searching(c, b);
	}
}

/* What the owner wants, even if it waits for something; @force: even if it failed before. */
void ay__update_now(struct ay_core *c, struct ay__branch *b, bool force)
{
	b->go_until = c->now + GO_NS;
	b->force |= force;
	b->retry_at = c->now;
	for (unsigned i = 0; i < c->n_offers; i++)
		if (c->offers[i].used && c->offers[i].branch == ay__branch_index(c, b))
			c->offers[i].excluded_until = 0;
	c->dirty |= AY__DIRTY_PLAN;
}

void ay__update_run(struct ay_core *c)
{
	for (unsigned i = 0; c->root && i < c->n_branches; i++)
		evaluate(c, &c->branches[i]);
}

/* ---- time */

static void check_progress(struct ay_core *c, struct ay__branch *b)
{
	const struct ay__bundle *k = &c->bundles[b->bundle];
	uint64_t since = c->now - k->progress_at;

	if (since < STUCK_NS || (since < STUCK_HELD_NS && ay__link_holder(c, b->bundle)))
		return;
	c->offers[b->offer].excluded_until = c->now + EXCLUDE_STUCK_NS;
	ay__update_problem(c, b, "no progress: nobody gives the rest of bundle %s", ay__short(&k->digest).s);
	ay__update_leave(c, b);
	ay__update_move(c, b, AY__UP_SEARCHING, "no progress");
}

void ay__update_tick(struct ay_core *c)
{
	for (unsigned i = 0; i < c->n_branches; i++) {
		struct ay__branch *b = &c->branches[i];
		if (b->update == AY__UP_COLLECTING)
			check_progress(c, b);
		if (b->update == AY__UP_SEARCHING || (b->update == AY__UP_BACKOFF && c->now >= b->retry_at))
			c->dirty |= AY__DIRTY_PLAN;
	}
}

/* When it seems stuck while somebody has the rest, once a second: not at once, again and again. */
static uint64_t next_look(const struct ay_core *c, const struct ay__branch *b)
{
	uint64_t stuck = c->bundles[b->bundle].progress_at + STUCK_NS;

	return stuck > c->now ? stuck : c->now + AY__S;
}

uint64_t ay__update_next(const struct ay_core *c)
{
	uint64_t next = AY__NEVER;

	for (unsigned i = 0; i < c->n_branches; i++) {
		const struct ay__branch *b = &c->branches[i];
		if (b->update == AY__UP_BACKOFF && b->retry_at < next)
			next = b->retry_at;
		if (b->update == AY__UP_COLLECTING && next_look(c, b) < next)
			next = next_look(c, b);
		/* Excluded ways come back, and the owner is told after a while. */
		if (b->update == AY__UP_SEARCHING && c->now + SAY_AFTER_NS < next)
			next = c->now + SAY_AFTER_NS;
		uint64_t until = b->update == AY__UP_SEARCHING ? ay__update_offers_until(c, b) : 0;
		if (until && until < next)
			next = until;
	}
	return next;
}
