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
#include "proto/docs.h"
#include "proto/links.h"
#include "proto/orders.h"
#include "proto/shelf.h"
#include "proto/sm.h"
#include "proto/swarm.h"
#include "proto/trace.h"
#include "proto/way.h"

#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXCLUDE_FAILED_NS (3600 * AY__S)
#define EXCLUDE_STUCK_NS  (300 * AY__S)
#define STUCK_NS          (60 * AY__S)  /* nobody has it any more */
#define STUCK_HELD_NS     (300 * AY__S) /* somebody has it, and does not give it */
#define BACKOFF_MIN_NS    (60 * AY__S)
#define BACKOFF_MAX_NS    (3600 * AY__S)
#define STORE_AGAIN_NS    (60 * AY__S)
#define FAILURES_MAX      2             /* of one offer, for no reason that we know */
#define GO_NS             (300 * AY__S) /* an owner's wish: as long as asking all round may take */
#define OFFERS_NS         (2 * AY__S)   /* so long a peer's list of offers may take */
#define SAY_AFTER_NS      (10 * AY__S)  /* searching so long is worth a word to the owner */

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

static int index_of(const struct ay_core *c, const struct ay__branch *b)
{
	return (int)(b - c->branches);
}

static void move(struct ay_core *c, struct ay__branch *b, uint8_t to, const char *why)
{
	uint8_t from = b->update;

	ay__sm_move(c, "update", b->name, states, &b->update, to, why);
	if (to == AY__UP_SEARCHING && from != to)
		b->searching_since = c->now;
	if (from != to)
		c->dirty |= AY__DIRTY_LEARN | AY__DIRTY_PEERS | AY__DIRTY_PLAN;
}

static void problem(struct ay_core *c, struct ay__branch *b, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static void problem(struct ay_core *c, struct ay__branch *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(b->problem, sizeof(b->problem), fmt, ap);
	va_end(ap);
	AY__TRACE(c, "update", "%s: problem: %s", b->name, b->problem);
}

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

static bool bundle_in_use(const struct ay_core *c, int bundle)
{
	for (unsigned i = 0; i < c->n_branches; i++)
		if (c->branches[i].bundle == bundle)
			return true;
	return false;
}

static void leave_way(struct ay_core *c, struct ay__branch *b)
{
	int bundle = b->bundle;

	b->offer = b->release = b->bundle = AY__NONE;
	b->target_serial = 0;
	if (bundle != AY__NONE && !bundle_in_use(c, bundle) && c->bundles[bundle].collect)
		ay__swarm_collect(c, bundle, false);
}

static void back_off(struct ay_core *c, struct ay__branch *b, const char *what, int status)
{
	uint64_t ns = BACKOFF_MIN_NS << (b->failures < 6 ? b->failures : 6);

	b->failures++;
	b->retry_at = c->now + (ns < BACKOFF_MAX_NS ? ns : BACKOFF_MAX_NS);
	problem(c, b, "%s: %s", what, ay_strerror(status));
	leave_way(c, b);
	move(c, b, AY__UP_BACKOFF, ay_error_name(status));
}

static void try_apply(struct ay_core *c, struct ay__branch *b)
{
	if (b->update != AY__UP_FINISHING || c->bundles[b->bundle].state != AY__B_WHOLE)
		return;
	const struct ay__offer *o = &c->offers[b->offer];
	const struct ay__release *r = &c->releases[b->release];
	if (r->refused || o->refused) {
		leave_way(c, b);
		move(c, b, AY__UP_SEARCHING, "not believed any more");
		return;
	}
	if (o->stored == AY__STORED_NO) {
		back_off(c, b, "the offer could not be stored", -EIO);
		return;
	}
	if (o->stored != AY__STORED_YES)
		return;
	struct ay_order *order = ay__order(c, AY_ORDER_APPLY);
	order->apply.branch = b->name;
	order->apply.serial = r->serial;
	order->apply.release = r->digest;
	order->apply.offer = o->digest;
	order->apply.bundle = o->bundle;
	order->apply.force = b->force;
	move(c, b, AY__UP_APPLYING, "all is here");
}

static void bundle_full(struct ay_core *c, int bundle)
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
			move(c, &c->branches[i], AY__UP_FINISHING, "all blocks are had");
}

static void begin_collecting(struct ay_core *c, struct ay__branch *b)
{
	struct ay__bundle *bundle = &c->bundles[b->bundle];

	switch (bundle->state) {
	case AY__B_OPENING:
		move(c, b, AY__UP_OPENING, "begin the bundle");
		return;
	case AY__B_PARTIAL:
		move(c, b, AY__UP_COLLECTING, "collect its blocks");
		if (!bundle->collect)
			ay__swarm_collect(c, b->bundle, true);
		if (bundle->n_had == bundle->blocks)
			bundle_full(c, b->bundle);
		return;
	default:
		move(c, b, AY__UP_FINISHING, "the bundle is here");
		try_apply(c, b);
	}
}

static void start_way(struct ay_core *c, struct ay__branch *b, const struct ay__way *w)
{
	struct ay__offer *o = &c->offers[w->offer];

	leave_way(c, b);
	if (o->stored == AY__STORED_NO && !ay__token_room(c))
		return; /* soon */
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
		o->excluded_until = c->now + EXCLUDE_FAILED_NS;
		b->bundle = AY__NONE;
		back_off(c, b, "no room for another bundle", AY_ELIMIT);
		return;
	}
	begin_collecting(c, b);
}

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
	problem(c, b, "%s", text);
}

/* Releases that the store lost; we have them still. */
static void store_lost(struct ay_core *c, const struct ay__branch *b)
{
	for (unsigned i = 0; i < c->n_releases; i++) {
		struct ay__release *r = &c->releases[i];
		if (!r->used || r->branch != index_of(c, b) || r->stored != AY__STORED_NO || r->refused ||
		    !r->store_at || c->now < r->store_at || !ay__token_room(c))
			continue;
		r->stored = AY__STORED_ASKED;
		r->store_at = c->now + STORE_AGAIN_NS;
		ay__store(c, AY_ORDER_STORE_RELEASE, AY__TOKEN_RELEASE, (int)i, r->data, r->len, NULL);
	}
}

/*
 * A peer is telling us its offers, and the best of them may be the last: until when it is waited for; 0: it is not.
 * Nobody is waited for longer than a list may take.
 */
static uint64_t offers_until(const struct ay_core *c, const struct ay__branch *b)
{
	uint64_t until = 0;

	for (unsigned i = 0; i < c->n_sessions; i++) {
		const struct ay__session *s = c->sessions[i];
		const struct ay__ask *a = &s->asks[0];
		if (ay__ready(s) && s->n_asks > 0 && s->n_docs > 0 && a->ask.kind == AY_DOC_TYPE_OFFERS &&
		    a->branch == index_of(c, b) && a->at_ns + OFFERS_NS > c->now &&
		    a->at_ns + OFFERS_NS > until)
			until = a->at_ns + OFFERS_NS;
	}
	return until;
}

static void evaluate(struct ay_core *c, struct ay__branch *b)
{
	struct ay__way w;
	bool moving = b->update == AY__UP_OPENING || b->update == AY__UP_COLLECTING;

	if (b->update == AY__UP_FINISHING || b->update == AY__UP_APPLYING)
		return;
	if (!newer_known(b)) {
		leave_way(c, b);
		b->problem[0] = '\0';
		if (c->now >= b->go_until)
			b->force = false;
		move(c, b, AY__UP_IDLE, "nothing newer");
		return;
	}
	const char *why = held(c, b);
	if (why) {
		if (moving || b->update == AY__UP_BACKOFF)
			leave_way(c, b);
		if (b->update != AY__UP_HELD)
			snprintf(b->problem, sizeof(b->problem), "release %u is not taken: %s",
				 b->head.serial, why);
		if (moving)
			move(c, b, AY__UP_SEARCHING, why);
		move(c, b, AY__UP_HELD, why);
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
		move(c, b, AY__UP_SEARCHING, "a newer release");
	if (found && !moving && offers_until(c, b))
		return;
	if (found) {
		start_way(c, b, &w);
	} else {
		if (moving) {
			leave_way(c, b);
			move(c, b, AY__UP_SEARCHING, "the way is gone");
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
		if (c->offers[i].used && c->offers[i].branch == index_of(c, b))
			c->offers[i].excluded_until = 0;
	c->dirty |= AY__DIRTY_PLAN;
}

void ay__update_run(struct ay_core *c)
{
	for (unsigned i = 0; c->root && i < c->n_branches; i++)
		evaluate(c, &c->branches[i]);
}

/* ---- answers */

static void bundle_open(struct ay_core *c, int bundle)
{
	bool whole = c->bundles[bundle].state == AY__B_WHOLE;

	for (unsigned i = 0; i < c->n_branches; i++) {
		struct ay__branch *b = &c->branches[i];
		if (b->bundle != bundle)
			continue;
		/* While it was collected, the owner may have brought it on a stick. */
		if (b->update == AY__UP_OPENING || (b->update == AY__UP_COLLECTING && whole))
			begin_collecting(c, b);
	}
}

static void bundle_gone(struct ay_core *c, int bundle, int status)
{
	for (unsigned i = 0; i < c->n_branches; i++) {
		struct ay__branch *b = &c->branches[i];
		if (b->bundle != bundle || b->update == AY__UP_APPLYING)
			continue;
		b->bundle = AY__NONE;
		if (status == AY_EDIGEST && b->offer != AY__NONE)
			c->offers[b->offer].excluded_until = c->now + EXCLUDE_FAILED_NS;
		back_off(c, b, "the bundle could not be kept", status ? status : -ENOENT);
	}
}

int ay__update_bundle(struct ay_core *c, const struct ay_event *ev)
{
	int bundle, gone, rc = ay__shelf_put(c, ev, &bundle, &gone);

	if (gone)
		bundle_gone(c, bundle, gone);
	else if (bundle != AY__NONE)
		bundle_open(c, bundle);
	return rc;
}

void ay__update_bundle_gone(struct ay_core *c, const struct ay_digest *digest, int status)
{
	int bundle = ay__shelf_lose(c, digest, status);

	if (bundle != AY__NONE)
		bundle_gone(c, bundle, status);
}

/* A block could not be written: our disk, not the peer. */
static void disk_trouble(struct ay_core *c, int bundle, int status)
{
	for (unsigned i = 0; i < c->n_branches; i++)
		if (c->branches[i].bundle == bundle && c->branches[i].update == AY__UP_COLLECTING)
			back_off(c, &c->branches[i], "a block could not be written", status);
}

void ay__update_written(struct ay_core *c, const struct ay_digest *digest, int status)
{
	int bundle = ay__bundle_find(c, digest);

	if (bundle == AY__NONE || !c->bundles[bundle].collect)
		return;
	if (status == 0 && c->bundles[bundle].n_had == c->bundles[bundle].blocks)
		bundle_full(c, bundle);
	else if (status && status != -EAGAIN && status != AY_EDIGEST && status != AY_EFORMAT)
		disk_trouble(c, bundle, status);
}

void ay__update_bundle_stored(struct ay_core *c, int bundle, int status)
{
	struct ay__bundle *k = &c->bundles[bundle];

	if (status == 0)
		ay__bundle_whole(k);
	else
		k->state = AY__B_PARTIAL;
	for (unsigned i = 0; i < c->n_branches; i++) {
		struct ay__branch *b = &c->branches[i];
		if (b->bundle != bundle || b->update != AY__UP_FINISHING)
			continue;
		if (status)
			back_off(c, b, "the bundle could not be finished", status);
		else
			try_apply(c, b);
	}
}

void ay__update_offer_stored(struct ay_core *c, int offer, int status)
{
	c->offers[offer].stored = status ? AY__STORED_NO : AY__STORED_YES;
	for (unsigned i = 0; i < c->n_branches; i++)
		if (c->branches[i].offer == offer)
			try_apply(c, &c->branches[i]);
}

static void applied(struct ay_core *c, struct ay__branch *b, const struct ay_event *ev)
{
	ay__way_left(b, ev->applied.serial);
	b->have_serial = ev->applied.serial;
	if (!ay_digest_is_zero(&ev->applied.manifest))
		b->have_manifest = ev->applied.manifest;
	else if (b->release != AY__NONE)
		b->have_manifest = c->releases[b->release].manifest;
	if (b->floor < b->have_serial)
		b->floor = b->have_serial;
	b->failures = 0;
	b->problem[0] = '\0';
	AY__TRACE(c, "update", "%s: now at %u", b->name, b->have_serial);
	leave_way(c, b);
	b->n_interest = 0;
	for (unsigned i = 0; i < c->n_sessions; i++) {
		struct ay__peer_branch *p = &c->sessions[i]->branches[index_of(c, b)];
		p->offers_asked = p->releases_asked = 0;
	}
	if (b->update == AY__UP_APPLYING)
		move(c, b, AY__UP_IDLE, "applied");
	c->dirty |= AY__DIRTY_HELLO | AY__DIRTY_PLAN;
	ay__shelf_trim(c);
}

/* What waiting may mend; the bundle has no part in it. */
static bool short_of_something(int status)
{
	return status == -ENOSPC || status == -EDQUOT || status == -ENOMEM || status == -EMFILE ||
	       status == -ENFILE || status == -EROFS || status == -EBUSY || status == -EAGAIN ||
	       status == -ECANCELED;
}

/* It may be the disk, or the worker is killed each time it comes to this bundle. */
static void failed(struct ay_core *c, struct ay__branch *b, int status)
{
	struct ay__offer *o = &c->offers[b->offer];
	struct ay__release *r = &c->releases[b->release];

	if (status == -ENOENT) {
		o->stored = r->stored = AY__STORED_NO;
		r->store_at = c->now;
	}
	if (short_of_something(status) || ++o->failures < FAILURES_MAX) {
		back_off(c, b, "applying failed", status);
		return;
	}
	o->failures = 0;
	o->excluded_until = c->now + EXCLUDE_FAILED_NS;
	problem(c, b, "applying failed twice, another way is looked for: %s", ay_strerror(status));
	leave_way(c, b);
	move(c, b, AY__UP_SEARCHING, ay_error_name(status));
}

void ay__update_applied(struct ay_core *c, const struct ay_event *ev)
{
	int i = ay__branch_find(c, ev->applied.branch), status = ev->status, bundle;

	if (i == AY__NONE)
		return;
	struct ay__branch *b = &c->branches[i];
	if (status == 0 || status == AY_ENOTHING) {
		if (ev->applied.serial >= b->have_serial)
			applied(c, b, ev);
		return;
	}
	if (b->update != AY__UP_APPLYING)
		return;
	bundle = b->bundle;
	switch (status) {
	case AY_EFORMAT:
	case AY_EVERSION:
	case AY_EDIGEST:
	case AY_ELIMIT:
	case AY_EUNSUPPORTED:
	case AY_EBASE:
		problem(c, b, "release %u: this bundle cannot be applied: %s", ev->applied.serial,
			ay_strerror(status));
		c->offers[b->offer].excluded_until = c->now + EXCLUDE_FAILED_NS;
		leave_way(c, b);
		/* Broken for everybody? Then nobody shall get it from us. A base that lacks is our own trouble. */
		if ((status == AY_EFORMAT || status == AY_EDIGEST) && !bundle_in_use(c, bundle))
			ay__shelf_drop(c, bundle);
		move(c, b, AY__UP_SEARCHING, ay_error_name(status));
		break;
	case AY_ESIG:
	case AY_EROLE:
	case AY_EROLLBACK:
		problem(c, b, "release %u: the store refuses it: %s", ev->applied.serial,
			ay_strerror(status));
		c->releases[b->release].refused = true;
		leave_way(c, b);
		move(c, b, AY__UP_SEARCHING, ay_error_name(status));
		break;
	default:
		failed(c, b, status);
	}
}

/* ---- time */

static void check_progress(struct ay_core *c, struct ay__branch *b)
{
	const struct ay__bundle *k = &c->bundles[b->bundle];
	uint64_t since = c->now - k->progress_at;

	if (since < STUCK_NS || (since < STUCK_HELD_NS && ay__link_holder(c, b->bundle)))
		return;
	c->offers[b->offer].excluded_until = c->now + EXCLUDE_STUCK_NS;
	problem(c, b, "no progress: nobody gives the rest of bundle %s", ay__short(&k->digest).s);
	leave_way(c, b);
	move(c, b, AY__UP_SEARCHING, "no progress");
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
		uint64_t until = b->update == AY__UP_SEARCHING ? offers_until(c, b) : 0;
		if (until && until < next)
			next = until;
	}
	return next;
}
