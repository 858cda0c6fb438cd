/* SPDX-License-Identifier: MIT */
/*
 * Step 3 of the data's way, between proto/plan and diff/bundle.
 *
 * Collecting: requests out, verdicts in, HAVE to all who want to know.
 *
 * A block is asked of one peer at a time (of two at the very end), so that nothing
 * crosses the air twice. A request that is not answered goes back into the pot;
 * if its block comes all the same, it counts.
 */
#include "proto/swarm.h"

#include "proto/bits.h"
#include "proto/bundles.h"
#include "proto/have.h"
#include "proto/links.h"
#include "proto/orders.h"
#include "proto/peers.h"
#include "proto/pick.h"
#include "proto/requests.h"
#include "proto/session.h"
#include "proto/told.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- asking */

static void fill(struct ay_core *c, struct ay__session *s)
{
	struct ay__pick p;

	if (!ay__ready(s) || c->now < s->hold_until)
		return;
	while (s->n_requests < s->depth && ay__pick(c, s, &p))
		ay__request(c, s, p.bundle, p.index, p.attempt);
}

/* Laptops first: the school is for what they do not have. */
void ay__swarm_run(struct ay_core *c)
{
	for (int school = 0; school <= 1; school++)
		for (unsigned i = 0; i < c->n_sessions; i++)
			if (c->sessions[i]->school == school)
				fill(c, c->sessions[i]);
}

/* ---- time */

/*
 * Is something that was asked for at @at_ns given up? While a block comes, however slowly, what is asked for behind it
 * comes too: asked of another now, it would come twice, and make the link that is slow slower.
 */
static bool is_late(const struct ay_core *c, const struct ay__session *s, uint64_t at_ns)
{
	uint64_t since = at_ns > s->block_at ? at_ns : s->block_at;

	if (since < s->part_at)
		since = s->part_at;
	return c->now - since >= s->patience_ns || c->now - at_ns >= AY_SWARM_PATIENCE_MAX * AY__MS;
}

static void time_outs(struct ay_core *c, struct ay__session *s)
{
	bool late = false;

	for (unsigned k = s->n_requests; k-- > 0;) {
		if (!is_late(c, s, s->requests[k].at_ns))
			continue;
		ay__request_cancel(c, s, k);
		late = true;
	}
	for (unsigned k = s->n_hash_requests; k-- > 0;)
		if (is_late(c, s, s->hash_requests[k].at_ns))
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
			ay__request(c, s, p.bundle, p.index, p.attempt);
	}
}

/* ---- what they have, heard */

int ay__swarm_bitmap(struct ay_core *c, struct ay__session *s, struct ay_slice payload)
{
	struct ay_wire_bitmap w;
	int rc = ay_wire_bitmap_get(payload.data, payload.len, &w);

	if (rc)
		return rc;
	if (!ay_bucket_take(&s->answers, c->now)) {
		ay__session_punish(c, s, AY_SCORE_SLOW, "too many bitmaps");
		return AY_EPEER;
	}
	struct ay__link *l = ay__link_find(s, &w.bundle);
	if (!l || !l->we_want || l->bundle == AY__NONE || w.size != c->bundles[l->bundle].size)
		return 0; /* we lost interest while it was on its way */
	ay__link_unknow(c, s, l);
	if (w.kind == AY_BITMAP_NONE) {
		ay__told_forget(c, s, &w.bundle);
		return 0;
	}
	struct ay__bundle *b = &c->bundles[l->bundle];
	l->whole = w.kind == AY_BITMAP_WHOLE;
	if (!l->whole) {
		l->bits = calloc((b->blocks + 63) / 64, sizeof(*l->bits));
		if (!l->bits) {
			c->orders.oom = true;
			return 0;
		}
		for (uint32_t i = 0; i < b->blocks; i++)
			if (w.bits.data[i / 8] >> (i % 8) & 1)
				ay__bit_set(l->bits, i);
	}
	ay__link_know(c, s, l);
	fill(c, s);
	return 0;
}

int ay__swarm_have(struct ay_core *c, struct ay__session *s, struct ay_slice payload)
{
	struct ay_wire_block w;
	int rc = ay_wire_block_get(payload.data, payload.len, &w);

	if (rc)
		return rc;
	struct ay__link *l = ay__link_find(s, &w.bundle);
	if (!l && !ay_bucket_take(&s->strays, c->now)) {
		ay__session_punish(c, s, AY_SCORE_SLOW, "too many HAVEs of bundles that we do not collect");
		return AY_EPEER;
	}
	if (!l || l->bundle == AY__NONE || !l->known || l->whole)
		return 0;
	struct ay__bundle *b = &c->bundles[l->bundle];
	if (w.index >= b->blocks)
		return AY_EFORMAT;
	if (ay__bit(l->bits, w.index))
		return 0;
	ay__link_block(c, s, l, w.index, true);
	if (b->collect && !ay__bundle_has(b, w.index))
		fill(c, s);
	return 0;
}

/* ---- blocks */

/*
 * How fast is this peer? Requests shall cover half a second at its rate; silence is odd when it is four times as long
 * as the longest gap of late. A gap that was too long for our patience counts too: it is what teaches patience.
 */
static void measure(struct ay_core *c, struct ay__session *s, struct ay__bundle *b, uint64_t asked_ns)
{
	uint64_t from = s->block_at > asked_ns ? s->block_at : asked_ns;
	uint64_t gap = c->now - from;

	s->gap_ns = s->gap_ns ? (7 * s->gap_ns + gap) / 8 : gap;
	s->longest_ns -= s->longest_ns / 8;
	if (s->longest_ns < gap)
		s->longest_ns = gap;
	s->block_at = c->now;
	s->time_outs = 0;
	uint64_t depth = AY_SWARM_DEPTH_MIN + AY_SWARM_AHEAD_MS * AY__MS / (s->gap_ns + 1);
	s->depth = depth < AY__REQUESTS_MAX ? (unsigned)depth : AY__REQUESTS_MAX;
	s->patience_ns = 4 * s->longest_ns;
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
	ay__requests_cancel(c, bundle, index);
	ay__have_tell(c, bundle, index);
}

/* Ask for the bundle's hash blocks once more, and not without end. */
static void hashes_lost(struct ay_core *c, struct ay__session *s, int bundle)
{
	ay__hash_requests_end(s, bundle);
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
			ay__request_end(c, s, k);
			asked = true;
			break;
		}
	}
	bool expected = asked || (s && ay__request_was_late(s, bundle, index, &asked_ns));
	if (s && !expected)
		ay__session_punish(c, s, AY_SCORE_UNSOLICITED, "a block that nobody asked for");
	if (s && s->state == AY__SE_CLOSED)
		s = NULL;
	if (status == AY_EFORMAT && s)
		return AY_EFORMAT;
	if (bundle == AY__NONE || index >= c->bundles[bundle].blocks ||
	    c->bundles[bundle].state == AY__B_OPENING)
		return s && !asked ? AY_EPEER : 0;
	if (status == 0) {
		if (s && expected && c->bundles[bundle].had)
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
		/* Our disk, not the peer's mistake: update.c ends the collection before more is asked for. */
		c->dirty |= AY__DIRTY_SWARM;
		return s && !asked ? AY_EPEER : 0;
	}
	if (s)
		fill(c, s);
	return status == AY_EDIGEST || (s && !asked) ? AY_EPEER : 0;
}

int ay__swarm_hashes(struct ay_core *c, struct ay__session *s, const struct ay_event *ev)
{
	int bundle = ay__bundle_find(c, &ev->hashes.bundle);
	bool asked = ay__hash_request_end(s, bundle, ev->hashes.level, ev->hashes.index);

	if (ev->status == AY_EDIGEST) {
		c->packets_refused++;
		ay__session_punish(c, s, AY_SCORE_BAD_BLOCK, "a wrong hash block");
		return AY_EPEER;
	}
	if (ev->status == AY_EFORMAT)
		return AY_EFORMAT;
	/* Not asked for, or not any more: right all the same, so no harm was done. */
	if (ev->status == 0 && asked)
		fill(c, s);
	return 0;
}

/* It does not give us a block: it has not got it, or another laptop has it from there. */
static int refused(struct ay_core *c, struct ay__session *s, int bundle, uint32_t index, bool ask_peers,
		   uint32_t pause_ms)
{
	struct ay__bundle *b = &c->bundles[bundle];
	struct ay__link *l = ay__link_of(s, bundle);

	if (ask_peers) {
		if (!b->refusals) {
			b->refusals = calloc(b->blocks, sizeof(*b->refusals));
			b->wait_ms = calloc(b->blocks, sizeof(*b->wait_ms));
			b->wait_base = c->now;
		}
		if (!b->refusals || !b->wait_ms) {
			free(b->refusals);
			free(b->wait_ms);
			b->refusals = NULL;
			b->wait_ms = NULL;
			c->orders.oom = true;
			return 0;
		}
		if (b->refusals[index] < AY_ATTEMPT_ALONE - 1)
			b->refusals[index]++;
		b->wait_ms[index] = (uint32_t)((c->now - b->wait_base) / AY__MS) + pause_ms;
	} else if (l && l->known && l->whole) {
		/* It said that it had all of it. Once is a race with its dropping it, more is a habit. */
		if (++l->refused >= 3)
			ay__link_unknow(c, s, l);
		s->hold_until = c->now + AY__S;
	} else if (l && l->known && ay__bit(l->bits, index)) {
		ay__link_block(c, s, l, index, false);
	}
	fill(c, s);
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
		ay__hash_request_end(s, bundle, w.level, w.index);
		s->hold_until = c->now + AY__S;
		return 0;
	}
	unsigned k = 0;
	while (k < s->n_requests && (s->requests[k].bundle != bundle || s->requests[k].index != w.index))
		k++;
	if (k == s->n_requests)
		return 0; /* cancelled meanwhile */
	ay__request_end(c, s, k);
	pause = w.retry_ms < 100 ? 100 : w.retry_ms > 10000 ? 10000 : w.retry_ms;
	if (w.reason == AY_REJECT_BUSY) {
		s->hold_until = c->now + pause * AY__MS;
		return 0;
	}
	return refused(c, s, bundle, w.index, w.reason == AY_REJECT_ASK_PEERS, (uint32_t)pause);
}

/* ---- beginning and ending */

static void want(struct ay_core *c, struct ay__session *s, int bundle, bool on)
{
	struct ay__bundle *b = &c->bundles[bundle];
	struct ay__link *l = ay__link_make(s, &b->digest, b->size);
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
		ay__requests_end(c, bundle);
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

void ay__swarm_greet(struct ay_core *c, struct ay__session *s)
{
	for (int i = 0; i < AY_CORE_BUNDLES_MAX; i++)
		if (c->bundles[i].used && c->bundles[i].collect)
			want(c, s, i, true);
}

void ay__swarm_bundle_left(struct ay_core *c, int bundle)
{
	/* Else its holders would go on telling us of every block. */
	if (c->bundles[bundle].collect)
		ay__swarm_collect(c, bundle, false);
	ay__requests_bundle_left(c, bundle);
	for (unsigned i = 0; i < c->n_sessions; i++) {
		struct ay__link *l = ay__link_of(c->sessions[i], bundle);
		if (l)
			ay__link_lose(c, c->sessions[i], l);
	}
}
