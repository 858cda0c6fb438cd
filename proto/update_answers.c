/* SPDX-License-Identifier: MIT */
/* What the machine answers to what was ordered for a way: the bundle is begun, written, kept; it was applied, or was not. */
#include "proto/update.h"

#include "proto/bundles.h"
#include "proto/docs.h"
#include "proto/shelf.h"
#include "proto/trace.h"
#include "proto/update_moves.h"
#include "proto/way.h"

#include "base/error.h"

#include <errno.h>

#define FAILURES_MAX 2 /* of one offer, for no reason that we know */

static void bundle_open(struct ay_core *c, int bundle)
{
	bool whole = c->bundles[bundle].state == AY__B_WHOLE;

	for (unsigned i = 0; i < c->n_branches; i++) {
		struct ay__branch *b = &c->branches[i];
		if (b->bundle != bundle)
			continue;
		/* While it was collected, the owner may have brought it on a stick. */
		if (b->update == AY__UP_OPENING || (b->update == AY__UP_COLLECTING && whole))
			ay__update_collect(c, b);
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
			c->offers[b->offer].excluded_until = c->now + AY__EXCLUDE_FAILED_NS;
		ay__update_back_off(c, b, "the bundle could not be kept", status ? status : -ENOENT);
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
			ay__update_back_off(c, &c->branches[i], "a block could not be written", status);
}

void ay__update_written(struct ay_core *c, const struct ay_digest *digest, int status)
{
	int bundle = ay__bundle_find(c, digest);

	if (bundle == AY__NONE || !c->bundles[bundle].collect)
		return;
	if (status == 0 && c->bundles[bundle].n_had == c->bundles[bundle].blocks)
		ay__update_full(c, bundle);
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
			ay__update_back_off(c, b, "the bundle could not be finished", status);
		else
			ay__update_try_apply(c, b);
	}
}

void ay__update_offer_stored(struct ay_core *c, int offer, int status)
{
	c->offers[offer].stored = status ? AY__STORED_NO : AY__STORED_YES;
	for (unsigned i = 0; i < c->n_branches; i++)
		if (c->branches[i].offer == offer)
			ay__update_try_apply(c, &c->branches[i]);
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
	ay__update_leave(c, b);
	b->n_interest = 0;
	for (unsigned i = 0; i < c->n_sessions; i++) {
		struct ay__peer_branch *p = &c->sessions[i]->branches[ay__branch_index(c, b)];
		p->offers_asked = p->releases_asked = 0;
	}
	if (b->update == AY__UP_APPLYING)
		ay__update_move(c, b, AY__UP_IDLE, "applied");
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
		ay__update_back_off(c, b, "applying failed", status);
		return;
	}
	o->failures = 0;
	o->excluded_until = c->now + AY__EXCLUDE_FAILED_NS;
	ay__update_problem(c, b, "applying failed twice, another way is looked for: %s", ay_strerror(status));
	ay__update_leave(c, b);
	ay__update_move(c, b, AY__UP_SEARCHING, ay_error_name(status));
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
		ay__update_problem(c, b, "release %u: this bundle cannot be applied: %s", ev->applied.serial,
				   ay_strerror(status));
		c->offers[b->offer].excluded_until = c->now + AY__EXCLUDE_FAILED_NS;
		ay__update_leave(c, b);
		/* Broken for everybody? Then nobody shall get it from us. A base that lacks is our own trouble. */
		if ((status == AY_EFORMAT || status == AY_EDIGEST) && !ay__update_uses(c, bundle))
			ay__shelf_drop(c, bundle);
		ay__update_move(c, b, AY__UP_SEARCHING, ay_error_name(status));
		break;
	case AY_ESIG:
	case AY_EROLE:
	case AY_EROLLBACK:
		ay__update_problem(c, b, "release %u: the store refuses it: %s", ev->applied.serial,
				   ay_strerror(status));
		c->releases[b->release].refused = true;
		ay__update_leave(c, b);
		ay__update_move(c, b, AY__UP_SEARCHING, ay_error_name(status));
		break;
	default:
		failed(c, b, status);
	}
}
