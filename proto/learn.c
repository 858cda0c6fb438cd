/* SPDX-License-Identifier: MIT */
/*
 * From a head to a plan's ingredients: peers are asked for what we lack. (What they
 * lack they ask of answer.c.)
 *
 *   root N+1 ──► head ──► its release ──► offers that lead there ──► releases that chains pass
 *
 * Each arrow is one ASK in a session, answered by DOC or NONE in the order of the
 * asking. Nothing depends on one peer: what one does not have or does not answer
 * in time is asked of the next, and whoever answers first is right. A late one is
 * asked for no root or release until it has answered. What comes is believed by
 * docs.c or not at all.
 */
#include "proto/learn.h"

#include "proto/answer.h"
#include "proto/docs.h"
#include "proto/heads.h"
#include "proto/orders.h"
#include "proto/peers.h"
#include "proto/session.h"
#include "proto/sm.h"
#include "proto/told.h"
#include "proto/trace.h"
#include "proto/want.h"
#include "proto/way.h"

#include "base/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define ASK_NS          (15 * AY__S)
#define ASK_MAX_NS      (60 * AY__S) /* no answer for so long, whatever else was heard: it does not want to */
#define ASK_AGAIN_NS    (15 * AY__S) /* what a peer did not have, or we could not store */
#define OFFERS_AGAIN_NS (15 * AY__S) /* while searching */
#define OFFERS_BUSY_NS  (60 * AY__S) /* while collecting: somebody may have something better now */
#define SERIAL_AFTER_NS (5 * AY__S)  /* the head's release cannot be obtained: what do the others have? */

static const struct ay__sm_state states[] = {
	[AY__LEARN_IDLE] = {"idle", AY__TO(AY__LEARN_RELEASE)},
	[AY__LEARN_RELEASE] = {"release", AY__TO(AY__LEARN_IDLE) | AY__TO(AY__LEARN_STORING)},
	[AY__LEARN_STORING] = {"storing", AY__TO(AY__LEARN_IDLE) | AY__TO(AY__LEARN_RELEASE)},
};

static void move(struct ay_core *c, struct ay__branch *b, uint8_t to, const char *why)
{
	ay__sm_move(c, "learn", b->name, states, &b->learn, to, why);
}

/* ---- what is needed */

/* The head changed: other release, other trees of interest. */
static void new_head(struct ay_core *c, struct ay__branch *b)
{
	unsigned index = (unsigned)(b - c->branches);
	int release = b->has_head ? ay__release_find(c, &b->head.release) : AY__NONE;

	b->release_conn = AY_CONN_NONE;
	b->n_interest = 0;
	for (unsigned i = 0; i < c->n_sessions; i++) {
		struct ay__peer_branch *p = &c->sessions[i]->branches[index];
		p->release_asked = false;
		p->offers_asked = p->releases_asked = 0;
	}
	if (!b->has_head || (release != AY__NONE && c->releases[release].stored == AY__STORED_YES))
		move(c, b, AY__LEARN_IDLE, "nothing to ask for");
	else
		move(c, b, AY__LEARN_RELEASE, "a new head");
	c->dirty |= AY__DIRTY_LEARN | AY__DIRTY_PLAN | AY__DIRTY_PEERS;
}

void ay__learn_heads(struct ay_core *c)
{
	for (unsigned i = 0; i < c->n_branches; i++) {
		if (c->branches[i].head_changed)
			new_head(c, &c->branches[i]);
		c->branches[i].head_changed = false;
	}
}

/* ---- asking */

static bool ask(struct ay_core *c, struct ay__session *s, const struct ay_wire_ask *a, int branch)
{
	if (s->n_asks == AY__ASKS_MAX)
		return false;
	s->asks[s->n_asks++] = (struct ay__ask){.ask = *a, .branch = branch, .at_ns = c->now};
	ay_wire_ask_put(&c->scratch, a);
	ay__frame(c, s, AY_FRAME_ASK);
	return true;
}

/* Its answers come in the order of the asking: what it is asked now waits behind what it owes. */
static bool late(const struct ay_core *c, const struct ay__session *s)
{
	return s->n_asks && c->now - s->asks[0].at_ns > ASK_NS;
}

static bool owes(const struct ay__session *s, const struct ay_wire_ask *a)
{
	for (unsigned i = 0; i < s->n_asks; i++)
		if (ay_wire_ask_eq(&s->asks[i].ask, a))
			return true;
	return false;
}

static void ask_root(struct ay_core *c, struct ay__session *s)
{
	struct ay_wire_ask a = {.kind = AY_DOC_TYPE_ROOT, .number = c->root->version + 1};

	if (s->root_version <= c->root->version || s->root_asked || c->root_conn || c->next_root ||
	    late(c, s) || owes(s, &a))
		return;
	if (ask(c, s, &a, AY__NONE)) {
		s->root_asked = true;
		c->root_conn = s->conn;
		c->root_conn_ns = c->now;
	}
}

static bool head_newer(const struct ay__branch *b, const struct ay__peer_branch *p)
{
	const struct ay_head *mine = b->has_next ? &b->next : b->has_head ? &b->head : NULL;

	if (!p->head_serial || !mine)
		return p->head_serial;
	if (p->root_epoch != mine->root_epoch)
		return p->root_epoch > mine->root_epoch;
	if (p->head_serial != mine->serial)
		return p->head_serial > mine->serial;
	return p->signed_at_s > mine->signed_at_s;
}

static void ask_head(struct ay_core *c, struct ay__session *s, struct ay__branch *b,
		     struct ay__peer_branch *p)
{
	struct ay_wire_ask a = {.kind = AY_DOC_TYPE_HEAD, .branch = b->id};

	if (!p->head_asked && p->root_epoch <= c->root->version && head_newer(b, p))
		p->head_asked = ask(c, s, &a, ay__branch_index(c, b));
}

static void ask_release(struct ay_core *c, struct ay__session *s, struct ay__branch *b,
			struct ay__peer_branch *p)
{
	struct ay_wire_ask a = {.kind = AY_DOC_TYPE_RELEASE};

	if (b->learn != AY__LEARN_RELEASE || b->release_conn || p->release_asked ||
	    p->head_serial < b->head.serial || late(c, s))
		return;
	a.digest = b->head.release;
	if (owes(s, &a))
		return;
	if (ask(c, s, &a, ay__branch_index(c, b))) {
		p->release_asked = true;
		b->release_conn = s->conn;
		b->release_conn_ns = c->now;
	}
}

static bool searching(const struct ay__branch *b)
{
	return b->update == AY__UP_SEARCHING || b->update == AY__UP_OPENING || b->update == AY__UP_COLLECTING;
}

static void ask_offers(struct ay_core *c, struct ay__session *s, struct ay__branch *b,
		       struct ay__peer_branch *p)
{
	int branch = ay__branch_index(c, b);

	for (unsigned i = 0; i < b->n_interest && searching(b); i++) {
		uint16_t bit = (uint16_t)(1u << i);
		if (!(p->offers_asked & bit)) {
			struct ay_wire_ask a = {.kind = AY_DOC_TYPE_OFFERS, .branch = b->id};
			a.digest = b->interest[i].manifest;
			if (!ask(c, s, &a, branch))
				return;
			p->offers_asked |= bit;
			p->offers_at = c->now;
		}
		if (b->interest[i].need_release && !(p->releases_asked & bit)) {
			struct ay_wire_ask a = {.kind = AY_DOC_TYPE_RELEASE_OF, .branch = b->id};
			a.digest = b->interest[i].manifest;
			if (!ask(c, s, &a, branch))
				return;
			p->releases_asked |= bit;
		}
	}
}

/* Nobody gives the newest; who has something between ours and the newest installed? */
static void ask_serial(struct ay_core *c, struct ay__session *s, struct ay__branch *b,
		       struct ay__peer_branch *p)
{
	struct ay_wire_ask a = {.kind = AY_DOC_TYPE_RELEASE_OF, .branch = b->id, .number = p->have_serial};
	int branch = ay__branch_index(c, b);

	if (b->update != AY__UP_SEARCHING || c->now - b->searching_since < SERIAL_AFTER_NS ||
	    p->have_serial <= b->have_serial || p->have_serial >= b->head.serial ||
	    p->serial_asked == p->have_serial || ay__release_serial(c, branch, p->have_serial) != AY__NONE)
		return;
	if (ask(c, s, &a, branch))
		p->serial_asked = p->have_serial;
}

void ay__learn_run(struct ay_core *c)
{
	for (unsigned i = 0; c->root && i < c->n_sessions; i++) {
		struct ay__session *s = c->sessions[i];
		if (!ay__ready(s))
			continue;
		ask_root(c, s);
		for (unsigned k = 0; k < c->n_branches; k++) {
			struct ay__branch *b = &c->branches[k];
			struct ay__peer_branch *p = &s->branches[k];
			if (!b->follow || !p->listed)
				continue;
			ask_head(c, s, b, p);
			ask_release(c, s, b, p);
			ask_offers(c, s, b, p);
			ask_serial(c, s, b, p);
		}
	}
}

/* What was asked in vain, or could not be stored, is asked again: slowly, whatever went wrong. */
static void ask_again(struct ay_core *c, struct ay__session *s)
{
	if (c->now - s->asked_again_ns >= ASK_AGAIN_NS) {
		s->asked_again_ns = c->now;
		s->root_asked = false;
		for (unsigned k = 0; k < c->n_branches; k++)
			s->branches[k].head_asked = s->branches[k].release_asked = false;
		c->dirty |= AY__DIRTY_LEARN;
	}
	for (unsigned k = 0; k < c->n_branches; k++) {
		struct ay__branch *b = &c->branches[k];
		struct ay__peer_branch *p = &s->branches[k];
		uint64_t again = b->update == AY__UP_SEARCHING ? OFFERS_AGAIN_NS : OFFERS_BUSY_NS;
		if (!searching(b) || c->now - p->offers_at < again)
			continue;
		p->offers_at = c->now;
		p->offers_asked = p->releases_asked = 0;
		p->serial_asked = 0;
		c->dirty |= AY__DIRTY_LEARN;
	}
}

/* Who was asked alone has had its time; its answer is still good if it comes. */
static void free_slots(struct ay_core *c)
{
	if (c->root_conn && c->now - c->root_conn_ns > ASK_NS) {
		c->root_conn = AY_CONN_NONE;
		c->dirty |= AY__DIRTY_LEARN;
	}
	for (unsigned k = 0; k < c->n_branches; k++) {
		struct ay__branch *b = &c->branches[k];
		if (!b->release_conn || c->now - b->release_conn_ns <= ASK_NS)
			continue;
		b->release_conn = AY_CONN_NONE;
		c->dirty |= AY__DIRTY_LEARN;
	}
}

static void owes_too_long(struct ay_core *c, struct ay__session *s)
{
	ay__session_punish(c, s, AY_SCORE_SLOW, "does not answer, but talks");
	ay__session_close(c, s, -ETIMEDOUT, "does not answer, but talks");
	ay__peer_avoid(c, s, AY__BAN_NS);
}

void ay__learn_tick(struct ay_core *c)
{
	free_slots(c);
	for (unsigned i = 0; i < c->n_sessions; i++) {
		struct ay__session *s = c->sessions[i];
		if (!ay__ready(s))
			continue;
		if (s->n_asks && c->now - s->asks[0].at_ns > ASK_NS && c->now - s->heard_ns > ASK_NS)
			ay__session_close(c, s, -ETIMEDOUT, "does not answer");
		else if (s->n_asks && c->now - s->asks[0].at_ns > ASK_MAX_NS)
			owes_too_long(c, s);
		else
			ask_again(c, s);
	}
}

/* ---- what peers say that they have */

void ay__learn_summary(struct ay_core *c, struct ay__session *s, const struct ay_wire_hello *h)
{
	for (unsigned k = 0; k < c->n_branches; k++)
		s->branches[k].listed = false;
	for (unsigned i = 0; i < h->n; i++) {
		const struct ay_wire_hello_summary *in = &h->summaries[i];
		int k = ay__branch_find_id(c, &in->branch);
		if (k == AY__NONE)
			continue;
		struct ay__peer_branch *p = &s->branches[k];
		if (p->head_serial != in->head_serial || p->root_epoch != in->root_epoch ||
		    p->signed_at_s != in->signed_at_s)
			p->head_asked = p->release_asked = false;
		if (p->have_serial != in->have_serial)
			p->offers_asked = 0;
		p->listed = true;
		p->root_epoch = in->root_epoch;
		p->head_serial = in->head_serial;
		p->signed_at_s = in->signed_at_s;
		p->have_serial = in->have_serial;
	}
	c->dirty |= AY__DIRTY_LEARN;
}

/* ---- answers to us */

static void answered(struct ay_core *c, struct ay__session *s)
{
	const struct ay__ask *a = &s->asks[0];

	if (a->ask.kind == AY_DOC_TYPE_ROOT && c->root_conn == s->conn)
		c->root_conn = AY_CONN_NONE;
	if (a->ask.kind == AY_DOC_TYPE_RELEASE && c->branches[a->branch].release_conn == s->conn)
		c->branches[a->branch].release_conn = AY_CONN_NONE;
	s->n_asks--;
	memmove(s->asks, s->asks + 1, s->n_asks * sizeof(s->asks[0]));
	if (s->n_asks)
		s->asks[0].at_ns = c->now;
	s->n_docs = 0;
	ay_buf_reset(&s->parts);
	c->dirty |= AY__DIRTY_LEARN;
}

/* Codes that say the peer lied; the others are our own limits, or news that we cannot judge yet. */
static int judge(struct ay_core *c, struct ay__session *s, int rc, const char *what)
{
	if (rc == 0) {
		s->useful = true;
		return 0;
	}
	AY__TRACE(c, "learn", "conn %llu: %s refused: %s", (unsigned long long)s->conn, what,
		  ay_error_name(rc));
	if (rc != AY_ESIG && rc != AY_EROLE && rc != AY_EFORMAT && rc != AY_EDIGEST && rc != AY_EVERSION)
		return 0;
	/* Keys change with roots: what a peer with an older one gives was right when it believed it. */
	if ((rc == AY_ESIG || rc == AY_EROLE) && s->root_version < c->root->version)
		return 0;
	ay__session_punish(c, s, AY_SCORE_LIE, what);
	return AY_EPEER;
}

static void store_release(struct ay_core *c, int index)
{
	struct ay__release *r = &c->releases[index];

	if (r->stored != AY__STORED_NO || !ay__token_room(c))
		return;
	r->stored = AY__STORED_ASKED;
	ay__store(c, AY_ORDER_STORE_RELEASE, AY__TOKEN_RELEASE, index, r->data, r->len, NULL);
}

/* The head names a release by digest; do branch, serial, epoch agree as well? */
static int check_named(struct ay_core *c, struct ay__branch *b, int index)
{
	struct ay__release *d = &c->releases[index];
	struct ay_release r;
	int rc = ay_trust_release(c->root, b->name, d->data, d->len, &r, NULL);

	if (!rc)
		rc = ay_trust_head_names(c->root, &b->head, d->data, d->len, &r, NULL);
	if (rc) {
		d->refused = true;
		snprintf(b->problem, sizeof(b->problem), "release %u and its head do not fit together: %s",
			 b->head.serial, ay_strerror(rc));
	}
	return rc;
}

static int got_release(struct ay_core *c, struct ay__session *s, struct ay_slice data)
{
	const struct ay_wire_ask a = s->asks[0].ask;
	struct ay__branch *b = &c->branches[s->asks[0].branch];
	struct ay_digest digest;
	int index = AY__NONE, rc = 0;

	answered(c, s);
	ay_digest_mem(data.data, data.len, &digest);
	if (a.kind == AY_DOC_TYPE_RELEASE && !ay_digest_eq(&digest, &a.digest))
		rc = AY_EDIGEST;
	if (!rc)
		rc = ay__release_add(c, ay__branch_index(c, b), data, false, &index);
	if (rc)
		return judge(c, s, rc, "release");
	const struct ay__release *r = &c->releases[index];
	if (a.kind == AY_DOC_TYPE_RELEASE_OF &&
	    (a.number ? r->serial != a.number : !ay_digest_eq(&r->manifest, &a.digest)))
		return judge(c, s, AY_EDIGEST, "another release than the one asked for");
	if (b->learn == AY__LEARN_RELEASE && ay_digest_eq(&digest, &b->head.release)) {
		if (check_named(c, b, index)) {
			move(c, b, AY__LEARN_IDLE, "the release does not fit its head");
			return 0;
		}
		move(c, b, AY__LEARN_STORING, "release verified");
	}
	store_release(c, index);
	return judge(c, s, 0, "release");
}

static int got_offer(struct ay_core *c, struct ay__session *s, struct ay_slice data)
{
	const struct ay__ask *a = &s->asks[0];
	struct ay__branch *b = &c->branches[a->branch];
	int index, rc;

	if (++s->n_docs > AY_ANSWER_OFFERS_MAX)
		return AY_EFORMAT;
	rc = ay__offer_add(c, a->branch, data, false, &index);
	if (rc)
		return judge(c, s, rc, "offer");
	const struct ay__offer *o = &c->offers[index];
	if (!ay_digest_eq(&o->to, &a->ask.digest))
		return judge(c, s, AY_EDIGEST, "another offer than those asked for");
	ay__told_add(c, s, index);
	/* What is fetched for its own sake goes back by what is here (proto/fetch.c). */
	if (ay_digest_is_zero(&b->fetch) && !ay_digest_is_zero(&o->from) && !ay__way_starts(b, &o->from))
		ay__interest_add(b, &o->from, ay__release_of(c, a->branch, &o->from) == AY__NONE);
	return judge(c, s, 0, "offer");
}

static int got_root(struct ay_core *c, struct ay__session *s, const struct ay_wire_doc *d)
{
	if (d->offset != s->parts.len)
		return AY_EFORMAT;
	ay_put_bytes(&s->parts, d->bytes.data, d->bytes.len);
	if (ay_buf_status(&s->parts))
		return AY_EFORMAT;
	if (s->parts.len < d->total)
		return 0;
	int rc = ay__root_heard(c, (struct ay_slice){s->parts.data, s->parts.len});
	answered(c, s);
	return judge(c, s, rc == AY_ENOTHING || rc == AY_EROLLBACK ? 0 : rc, "root");
}

int ay__learn_doc(struct ay_core *c, struct ay__session *s, struct ay_slice payload)
{
	struct ay_wire_doc d;
	int rc = ay_wire_doc_get(payload.data, payload.len, &d);

	if (rc)
		return rc;
	if (s->n_asks == 0)
		return AY_EFORMAT;
	uint8_t kind = s->asks[0].ask.kind;
	if ((kind == AY_DOC_TYPE_RELEASE_OF ? AY_DOC_TYPE_RELEASE : kind) != d.kind)
		return AY_EFORMAT;
	switch (kind) {
	case AY_DOC_TYPE_ROOT:
		return got_root(c, s, &d);
	case AY_DOC_TYPE_HEAD:
		answered(c, s);
		return judge(c, s, ay__head_heard(c, d.bytes, AY__HEAD_SESSION), "head");
	case AY_DOC_TYPE_OFFERS:
		return got_offer(c, s, d.bytes);
	default:
		return got_release(c, s, d.bytes);
	}
}

int ay__learn_none(struct ay_core *c, struct ay__session *s, struct ay_slice payload)
{
	struct ay_wire_ask a;
	int rc = ay_wire_ask_get(payload.data, payload.len, &a);

	if (rc)
		return rc;
	if (s->n_asks == 0 || !ay_wire_ask_eq(&a, &s->asks[0].ask))
		return AY_EFORMAT;
	answered(c, s);
	c->dirty |= AY__DIRTY_PLAN; /* who waited for all offers need wait no more */
	return 0;
}

void ay__learn_release_stored(struct ay_core *c, int index, int status)
{
	struct ay__release *r = &c->releases[index];
	struct ay__branch *b = &c->branches[r->branch];
	bool heads = b->has_head && ay_digest_eq(&b->head.release, &r->digest);

	r->stored = status ? AY__STORED_NO : AY__STORED_YES;
	if (b->learn == AY__LEARN_STORING && heads) {
		if (status) {
			snprintf(b->problem, sizeof(b->problem), "release %u could not be stored: %s",
				 r->serial, ay_strerror(status));
			move(c, b, AY__LEARN_RELEASE, "could not be stored");
		} else {
			move(c, b, AY__LEARN_IDLE, "release stored");
		}
	}
	c->dirty |= AY__DIRTY_PLAN | AY__DIRTY_LEARN;
}
