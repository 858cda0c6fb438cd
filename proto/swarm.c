/* SPDX-License-Identifier: MIT */
/*
 * Collecting: requests out, verdicts in, HAVE to all who want to know.
 *
 * A block is asked of one peer at a time (of two at the very end), so that nothing
 * crosses the air twice. A request that is not answered goes back into the pot;
 * if its block comes all the same, it counts.
 */
#include "proto/swarm.h"
#include "proto/core_internal.h"
#include "proto/session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- requests */

static void remember_late(struct ay__session *s, int bundle, uint32_t index, uint64_t now)
{
	s->late[s->late_at++ % AY__LATE_MAX] = (struct ay__request){bundle, index, now};
}

/* A request is over, however: answered, refused, timed out, cancelled. */
static void request_end(struct ay_core *c, struct ay__session *s, unsigned k)
{
	struct ay__request r = s->requests[k];
	struct ay__bundle *b = &c->bundles[r.bundle];
	bool others = false;

	s->requests[k] = s->requests[--s->n_requests];
	for (unsigned i = 0; b->n_twice && i < c->n_sessions; i++)
		for (unsigned m = 0; m < c->sessions[i]->n_requests; m++)
			others |= c->sessions[i]->requests[m].bundle == r.bundle &&
				  c->sessions[i]->requests[m].index == r.index;
	if (others) {
		b->n_twice--;
	} else if (b->asked && ay__bit(b->asked, r.index)) {
		ay__bit_clear(b->asked, r.index);
		b->n_asked--;
	}
	if (!s->school && --b->laptop_requests == 0)
		b->laptop_idle_since = c->now;
}

static void cancel(struct ay_core *c, struct ay__session *s, unsigned k)
{
	struct ay__request r = s->requests[k];
	struct ay_wire_block w = {.bundle = c->bundles[r.bundle].digest, .index = r.index};

	ay_wire_block_put(&c->scratch, &w);
	ay__frame(c, s, AY_FRAME_CANCEL);
	remember_late(s, r.bundle, r.index, c->now);
	request_end(c, s, k);
}

/* Hash blocks that the piece still lacks, from the top down, so that each can be checked when it comes. */
static void ask_hashes(struct ay_core *c, struct ay__session *s, int bundle, uint32_t piece)
{
	struct ay__bundle *b = &c->bundles[bundle];
	unsigned levels = b->merkle ? ay_merkle_levels(b->merkle) : 0;

	for (unsigned level = levels; level-- > 0;) {
		uint32_t index = (uint32_t)(level ? (uint64_t)piece >> (7 * level) : piece);
		bool asked = false;
		if (ay_merkle_has(b->merkle, level, index))
			continue;
		for (unsigned i = 0; i < s->n_hash_requests; i++)
			asked |= s->hash_requests[i].bundle == bundle && s->hash_requests[i].level == level &&
				 s->hash_requests[i].index == index;
		if (asked || s->n_hash_requests == AY__HASH_REQS_MAX)
			continue;
		s->hash_requests[s->n_hash_requests++] =
			(struct ay__hash_request){bundle, (uint8_t)level, index, c->now};
		struct ay_wire_hash_request w = {
			.bundle = b->digest, .level = (uint8_t)level, .index = index};
		ay_wire_hash_request_put(&c->scratch, &w);
		ay__frame(c, s, AY_FRAME_HASH_REQUEST);
	}
}

static void request(struct ay_core *c, struct ay__session *s, const struct ay__pick *p)
{
	struct ay__bundle *b = &c->bundles[p->bundle];
	struct ay_wire_request w = {
		.bundle = b->digest, .index = p->index, .had = b->n_had, .attempt = p->attempt};

	ask_hashes(c, s, p->bundle, p->index / 8);
	if (ay__bit(b->asked, p->index)) {
		b->n_twice++;
	} else {
		ay__bit_set(b->asked, p->index);
		b->n_asked++;
	}
	if (!s->school)
		b->laptop_requests++;
	s->requests[s->n_requests++] = (struct ay__request){p->bundle, p->index, c->now};
	ay_wire_request_put(&c->scratch, &w);
	ay__frame(c, s, AY_FRAME_REQUEST);
}

void ay__swarm_fill(struct ay_core *c, struct ay__session *s)
{
	struct ay__pick p;

	if (!ay__ready(s) || c->now < s->hold_until)
		return;
	while (s->n_requests < s->depth && ay__pick(c, s, &p))
		request(c, s, &p);
}

/* Laptops first: the school is for what they do not have. */
void ay__swarm_run(struct ay_core *c)
{
	for (int school = 0; school <= 1; school++)
		for (unsigned i = 0; i < c->n_sessions; i++)
			if (c->sessions[i]->school == school)
				ay__swarm_fill(c, c->sessions[i]);
}

/* ---- time */

static void time_outs(struct ay_core *c, struct ay__session *s)
{
	bool late = false;

	for (unsigned k = s->n_requests; k-- > 0;) {
		const struct ay__request *r = &s->requests[k];
		uint64_t since = r->at_ns > s->block_at ? r->at_ns : s->block_at;
		if (c->now - since < s->patience_ns && c->now - r->at_ns < AY_SWARM_PATIENCE_MAX * AY__MS)
			continue;
		cancel(c, s, k);
		late = true;
	}
	for (unsigned k = s->n_hash_requests; k-- > 0;)
		if (c->now - s->hash_requests[k].at_ns > s->patience_ns)
			s->hash_requests[k] = s->hash_requests[--s->n_hash_requests];
	if (!late)
		return;
	s->depth = s->depth > 2 ? s->depth / 2 : 1;
	s->patience_ns *= 2;
	if (s->patience_ns > AY_SWARM_PATIENCE_MAX * AY__MS)
		s->patience_ns = AY_SWARM_PATIENCE_MAX * AY__MS;
	s->hold_until = c->now + AY__S;
	if (++s->time_outs >= AY_SWARM_TIME_OUTS) {
		ay__session_punish(c, s, AY_SCORE_SLOW, "does not deliver");
		ay__session_close(c, s, -ETIMEDOUT, "does not deliver");
		ay__peer_avoid(c, s, AY__BAN_NS);
	}
}

void ay__swarm_tick(struct ay_core *c)
{
	struct ay__pick p;

	for (unsigned i = 0; i < c->n_sessions; i++)
		if (ay__ready(c->sessions[i]))
			time_outs(c, c->sessions[i]);
	ay__swarm_run(c);
	for (unsigned i = 0; i < c->n_sessions; i++) {
		struct ay__session *s = c->sessions[i];
		if (ay__ready(s) && c->now >= s->hold_until && s->n_requests < AY_SWARM_DEPTH_MIN &&
		    ay__pick_again(c, s, &p))
			request(c, s, &p);
	}
}

/* ---- blocks */

static void tell_have(struct ay_core *c, int bundle, uint32_t index)
{
	struct ay_wire_block w = {.bundle = c->bundles[bundle].digest, .index = index};

	for (unsigned i = 0; i < c->n_sessions; i++) {
		struct ay__session *s = c->sessions[i];
		const struct ay__link *l = ay__ready(s) ? ay__link_of(s, bundle) : NULL;
		if (!l || !l->they_want || l->whole || (l->bits && ay__bit(l->bits, index)))
			continue;
		ay_wire_block_put(&c->scratch, &w);
		ay__frame(c, s, AY_FRAME_HAVE);
	}
}

static void cancel_others(struct ay_core *c, int bundle, uint32_t index)
{
	for (unsigned i = 0; i < c->n_sessions; i++)
		for (unsigned k = c->sessions[i]->n_requests; k-- > 0;)
			if (c->sessions[i]->requests[k].bundle == bundle &&
			    c->sessions[i]->requests[k].index == index)
				cancel(c, c->sessions[i], k);
}

/* How fast is this peer? Requests shall cover half a second at its rate; four usual gaps of silence are odd. */
static void measure(struct ay_core *c, struct ay__session *s, struct ay__bundle *b, uint64_t asked_ns)
{
	uint64_t from = s->block_at > asked_ns ? s->block_at : asked_ns;
	uint64_t gap = c->now - from;

	s->gap_ns = s->gap_ns ? (7 * s->gap_ns + gap) / 8 : gap;
	s->block_at = c->now;
	s->time_outs = 0;
	uint64_t depth = AY_SWARM_DEPTH_MIN + AY_SWARM_AHEAD_MS * AY__MS / (s->gap_ns + 1);
	s->depth = depth < AY__REQUESTS_MAX ? (unsigned)depth : AY__REQUESTS_MAX;
	s->patience_ns = 4 * s->gap_ns;
	if (s->patience_ns < AY_SWARM_PATIENCE_MIN * AY__MS)
		s->patience_ns = AY_SWARM_PATIENCE_MIN * AY__MS;
	if (s->patience_ns > AY_SWARM_PATIENCE_MAX * AY__MS)
		s->patience_ns = AY_SWARM_PATIENCE_MAX * AY__MS;
	if (!s->school) {
		gap = c->now - b->laptop_block_at;
		b->laptop_gap = b->laptop_gap ? (7 * b->laptop_gap + gap) / 8 : gap;
		b->laptop_block_at = c->now;
	}
}

static void block_had(struct ay_core *c, struct ay__session *s, int bundle, uint32_t index)
{
	struct ay__bundle *b = &c->bundles[bundle];
	uint32_t bytes = ay_block_len(b->size, index);

	if (s) {
		s->good_blocks++;
		s->useful = true;
		s->bytes_from += bytes;
	}
	*(s && s->school ? &c->bytes_from_school : &c->bytes_from_peers) += bytes;
	if (!b->had || ay__bit(b->had, index)) {
		c->bytes_twice += bytes;
		return;
	}
	ay__bit_set(b->had, index);
	b->n_had++;
	b->progress_at = c->now;
	cancel_others(c, bundle, index);
	tell_have(c, bundle, index);
	if (b->n_had == b->blocks && b->collect)
		ay__update_bundle_full(c, bundle);
}

/* Did we ask for it once, and not any more? */
static bool was_late(struct ay__session *s, int bundle, uint32_t index)
{
	for (unsigned i = 0; i < AY__LATE_MAX; i++) {
		struct ay__request *r = &s->late[i];
		if (r->at_ns && r->index == index && (r->bundle == bundle || r->bundle == AY__NONE)) {
			r->at_ns = 0;
			return true;
		}
	}
	return false;
}

/* Ask for the bundle's hash blocks once more, and not without end. */
static void hashes_lost(struct ay_core *c, struct ay__session *s, int bundle)
{
	for (unsigned k = s->n_hash_requests; k-- > 0;)
		if (s->hash_requests[k].bundle == bundle)
			s->hash_requests[k] = s->hash_requests[--s->n_hash_requests];
	s->hold_until = c->now + AY__S;
	if (++s->without_hashes > AY_SWARM_TIME_OUTS)
		ay__session_punish(c, s, AY_SCORE_SLOW, "blocks without their hash blocks");
}

/* @s: NULL when its session is gone already. */
int ay__swarm_block(struct ay_core *c, struct ay__session *s, const struct ay_event *ev)
{
	int bundle = ay__bundle_find(c, &ev->block.bundle), status = ev->status;
	uint32_t index = ev->block.index;
	bool asked = false;
	uint64_t asked_ns = c->now;

	for (unsigned k = 0; s && k < s->n_requests; k++) {
		if (s->requests[k].bundle == bundle && s->requests[k].index == index) {
			asked_ns = s->requests[k].at_ns;
			request_end(c, s, k);
			asked = true;
			break;
		}
	}
	if (s && !asked && !was_late(s, bundle, index))
		ay__session_punish(c, s, AY_SCORE_UNSOLICITED, "a block that nobody asked for");
	if (s && s->state == AY__SE_CLOSED)
		s = NULL;
	if (status == AY_EFORMAT && s)
		return AY_EFORMAT;
	if (bundle == AY__NONE || index >= c->bundles[bundle].blocks ||
	    c->bundles[bundle].state == AY__B_OPENING)
		return s && !asked ? AY_EPEER : 0;
	if (status == 0) {
		if (s && asked && c->bundles[bundle].had)
			measure(c, s, &c->bundles[bundle], asked_ns);
		block_had(c, s, bundle, index);
	} else if (status == AY_EDIGEST) {
		c->packets_refused++;
		if (s)
			ay__session_punish(c, s, AY_SCORE_BAD_BLOCK, "a wrong block");
	} else if (status == -EAGAIN) {
		/* Its hash block did not come before it, as it should have. */
		if (s)
			hashes_lost(c, s, bundle);
	} else {
		ay__update_disk_trouble(c, bundle, status);
	}
	if (s)
		ay__swarm_fill(c, s);
	return status == AY_EDIGEST || (s && !asked) ? AY_EPEER : 0;
}

int ay__swarm_hashes(struct ay_core *c, struct ay__session *s, const struct ay_event *ev)
{
	int bundle = ay__bundle_find(c, &ev->hashes.bundle);
	bool asked = false;

	for (unsigned k = 0; k < s->n_hash_requests; k++) {
		const struct ay__hash_request *h = &s->hash_requests[k];
		if (h->bundle == bundle && h->level == ev->hashes.level && h->index == ev->hashes.index) {
			s->hash_requests[k] = s->hash_requests[--s->n_hash_requests];
			asked = true;
			break;
		}
	}
	if (ev->status == AY_EDIGEST) {
		c->packets_refused++;
		ay__session_punish(c, s, AY_SCORE_BAD_BLOCK, "a wrong hash block");
		return AY_EPEER;
	}
	if (ev->status == AY_EFORMAT)
		return AY_EFORMAT;
	if (ev->status && ev->status != -EAGAIN && bundle != AY__NONE)
		ay__update_disk_trouble(c, bundle, ev->status);
	/* Not asked for, or not any more: right all the same, so no harm was done. */
	if (ev->status == 0 && asked)
		ay__swarm_fill(c, s);
	return 0;
}

int ay__swarm_reject(struct ay_core *c, struct ay__session *s, struct ay_slice payload)
{
	struct ay_wire_reject w;
	int rc = ay_wire_reject_get(payload.data, payload.len, &w);
	uint64_t pause;

	if (rc)
		return rc;
	int bundle = ay__bundle_find(c, &w.bundle);
	if (w.level != AY_REJECT_LEVEL_BLOCK) {
		for (unsigned k = s->n_hash_requests; k-- > 0;)
			if (s->hash_requests[k].bundle == bundle && s->hash_requests[k].level == w.level &&
			    s->hash_requests[k].index == w.index)
				s->hash_requests[k] = s->hash_requests[--s->n_hash_requests];
		s->hold_until = c->now + AY__S;
		return 0;
	}
	unsigned k = 0;
	while (k < s->n_requests && (s->requests[k].bundle != bundle || s->requests[k].index != w.index))
		k++;
	if (k == s->n_requests)
		return 0; /* cancelled meanwhile */
	request_end(c, s, k);
	pause = w.retry_ms < 100 ? 100 : w.retry_ms > 10000 ? 10000 : w.retry_ms;
	if (w.reason == AY_REJECT_BUSY) {
		s->hold_until = c->now + pause * AY__MS;
		return 0;
	}
	return ay__swarm_refused(c, s, bundle, w.index, w.reason == AY_REJECT_ASK_PEERS, (uint32_t)pause);
}

/* What came to @bundle from our asking ends: it is full, dropped, or another way is taken. */
static void end_requests(struct ay_core *c, int bundle, bool say)
{
	for (unsigned i = 0; i < c->n_sessions; i++) {
		struct ay__session *s = c->sessions[i];
		for (unsigned k = s->n_requests; k-- > 0;) {
			if (s->requests[k].bundle != bundle)
				continue;
			if (say && s->state == AY__SE_READY)
				cancel(c, s, k);
			else
				request_end(c, s, k);
		}
		for (unsigned k = s->n_hash_requests; k-- > 0;)
			if (s->hash_requests[k].bundle == bundle)
				s->hash_requests[k] = s->hash_requests[--s->n_hash_requests];
	}
}

static void want(struct ay_core *c, struct ay__session *s, int bundle, bool on)
{
	struct ay__bundle *b = &c->bundles[bundle];
	struct ay__link *l = ay__link_make(c, s, &b->digest, b->size);
	struct ay_wire_want w = {.bundle = b->digest, .size = b->size, .had = b->n_had, .on = on};

	if (!l)
		return;
	l->bundle = bundle;
	l->we_want = on;
	ay_wire_want_put(&c->scratch, &w);
	ay__frame(c, s, AY_FRAME_WANT);
}

void ay__swarm_collect(struct ay_core *c, int bundle, bool on)
{
	struct ay__bundle *b = &c->bundles[bundle];

	b->collect = on;
	if (on) {
		b->since_ns = b->progress_at = b->laptop_block_at = b->laptop_idle_since = c->now;
		b->laptop_gap = 0;
	} else {
		end_requests(c, bundle, true);
	}
	for (unsigned i = 0; i < c->n_sessions; i++) {
		struct ay__session *s = c->sessions[i];
		struct ay__link *l = ay__link_of(s, bundle);
		if (!ay__ready(s) || (!on && !(l && l->we_want)))
			continue;
		want(c, s, bundle, on);
		if (!on)
			ay__link_unwant(c, s, ay__link_of(s, bundle));
	}
}

/* A new session: say at once what we want. */
void ay__swarm_greet(struct ay_core *c, struct ay__session *s)
{
	for (int i = 0; i < AY_CORE_BUNDLES_MAX; i++)
		if (c->bundles[i].used && c->bundles[i].collect)
			want(c, s, i, true);
}

void ay__swarm_session_gone(struct ay_core *c, struct ay__session *s)
{
	while (s->n_requests)
		request_end(c, s, s->n_requests - 1);
	s->n_hash_requests = 0;
	s->queue_n = s->n_sending = 0;
	for (unsigned k = 0; k < AY__LINKS_MAX; k++)
		if (s->links[k].used)
			ay__link_clear(c, s, &s->links[k]);
}

/* The bundle leaves the table: nothing may speak of its index any more. */
void ay__swarm_bundle_left(struct ay_core *c, int bundle)
{
	end_requests(c, bundle, true);
	for (unsigned i = 0; i < c->n_sessions; i++) {
		struct ay__session *s = c->sessions[i];
		struct ay__link *l = ay__link_of(s, bundle);
		for (unsigned k = 0; k < AY__LATE_MAX; k++)
			if (s->late[k].bundle == bundle)
				s->late[k].bundle = AY__NONE;
		if (l)
			ay__link_lose(c, s, l);
	}
}
