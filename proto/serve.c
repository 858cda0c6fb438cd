/* SPDX-License-Identifier: MIT */
/*
 * Answering requests.
 *
 * Each session has a queue; two of its answers at most are on their way at once, and
 * sixteen of all sessions together, so that who comes next can still be chosen: the
 * least complete first (all belong to one owner, there is nothing to trade), but
 * nobody waits more than three seconds for others' sake.
 *
 * A school spreads: it gives a block to one laptop and sends the others to ask there
 * (pick.c has the other half of the game).
 */
#include "proto/serve.h"

#include "proto/bundles.h"
#include "proto/orders.h"
#include "proto/session.h"

#include <stdlib.h>
#include <string.h>

#define FAIR_NS  (3 * AY__S)
#define STALE_NS (2 * AY__S) /* an answer so long on its way is the peer's slow link, not our busyness */

static void reject(struct ay_core *c, struct ay__session *s, const struct ay_digest *bundle, uint8_t level,
		   uint32_t index, enum ay_reject_reason reason, uint32_t retry_ms, uint64_t who)
{
	struct ay_wire_reject w = {.bundle = *bundle,
				   .level = level,
				   .index = index,
				   .reason = (uint8_t)reason,
				   .retry_ms = retry_ms,
				   .who = who};

	ay_wire_reject_put(&c->scratch, &w);
	ay__frame(c, s, AY_FRAME_REJECT);
}

static struct ay__queued *queue_at(struct ay__session *s, unsigned i)
{
	return &s->queue[(s->queue_head + i) % AY__QUEUE_MAX];
}

static bool enqueue(struct ay_core *c, struct ay__session *s, const struct ay_digest *digest, int bundle,
		    uint8_t level, uint32_t index)
{
	for (unsigned i = 0; i < s->queue_n; i++) {
		const struct ay__queued *q = queue_at(s, i);
		if (q->bundle == bundle && q->level == level && q->index == index)
			return false; /* asked twice, answered once */
	}
	if (s->queue_n == AY__QUEUE_MAX) {
		reject(c, s, digest, level, index, AY_REJECT_BUSY, 1000, 0);
		ay__session_punish(c, s, AY_SCORE_SLOW, "asks for too much at once");
		return false;
	}
	*queue_at(s, s->queue_n++) =
		(struct ay__queued){.bundle = bundle, .level = level, .index = index, .at_ns = c->now};
	c->dirty |= AY__DIRTY_SERVE;
	return true;
}

/* Whom else the block was given to: a laptop that is still here and can give it on. NULL: nobody. */
static const struct ay__session *given_to(const struct ay_core *c, const struct ay__bundle *b, uint32_t index,
					  const struct ay__session *asker)
{
	const struct ay__session *t;

	if (!b->sent || !b->sent[index].conn || b->sent[index].conn == asker->conn)
		return NULL;
	t = ay__session_find(c, b->sent[index].conn);
	return ay__ready(t) && !t->school && t->session_id != asker->session_id ? t : NULL;
}

/* True: the asker was told to ask its peers. A third ask is always served, and so is who has no peers. */
static bool spread(struct ay_core *c, struct ay__session *s, struct ay__bundle *b,
		   const struct ay_wire_request *r)
{
	const struct ay__session *other;

	if (c->cfg.role != AY_NODE_SCHOOL || s->school)
		return false;
	if (!b->sent)
		b->sent = calloc(b->blocks, sizeof(*b->sent));
	if (!b->sent)
		return false; /* serve all; costs only air */
	other = given_to(c, b, r->index, s);
	if (other && (r->attempt == 0 ||
		      (r->attempt == 1 && c->now - b->sent[r->index].at_ns < AY_SCHOOL_WINDOW_MS * AY__MS))) {
		reject(c, s, &b->digest, AY_REJECT_LEVEL_BLOCK, r->index, AY_REJECT_ASK_PEERS,
		       AY_SCHOOL_RETRY_MS, other->session_id);
		return true;
	}
	b->sent[r->index] = (struct ay__sent){s->conn, c->now};
	return false;
}

int ay__serve_request(struct ay_core *c, struct ay__session *s, struct ay_slice payload)
{
	struct ay_wire_request r;
	int rc = ay_wire_request_get(payload.data, payload.len, &r);

	if (rc)
		return rc;
	int i = ay__bundle_find(c, &r.bundle);
	if (i != AY__NONE && r.index >= c->bundles[i].blocks)
		return AY_EFORMAT;
	if (i == AY__NONE || !ay__bundle_has(&c->bundles[i], r.index)) {
		reject(c, s, &r.bundle, AY_REJECT_LEVEL_BLOCK, r.index, AY_REJECT_NOT_HERE, 0, 0);
		return 0;
	}
	s->their_had = r.had;
	s->their_blocks = c->bundles[i].blocks;
	if (!spread(c, s, &c->bundles[i], &r))
		enqueue(c, s, &r.bundle, i, AY_REJECT_LEVEL_BLOCK, r.index);
	return 0;
}

int ay__serve_hash_request(struct ay_core *c, struct ay__session *s, struct ay_slice payload)
{
	struct ay_wire_hash_request r;
	int rc = ay_wire_hash_request_get(payload.data, payload.len, &r);

	if (rc)
		return rc;
	int i = ay__bundle_find(c, &r.bundle);
	const struct ay_merkle *m = i == AY__NONE ? NULL : c->bundles[i].merkle;
	if (!m || r.level >= ay_merkle_levels(m) || r.index >= ay_merkle_width(m, r.level) ||
	    !ay_merkle_has(m, r.level, r.index))
		reject(c, s, &r.bundle, r.level, r.index, AY_REJECT_NOT_HERE, 0, 0);
	else
		enqueue(c, s, &r.bundle, i, r.level, r.index);
	return 0;
}

static void queue_remove(struct ay__session *s, unsigned i)
{
	for (; i + 1 < s->queue_n; i++)
		*queue_at(s, i) = *queue_at(s, i + 1);
	s->queue_n--;
}

int ay__serve_cancel(struct ay_core *c, struct ay__session *s, struct ay_slice payload)
{
	struct ay_wire_block w;
	int rc = ay_wire_block_get(payload.data, payload.len, &w);

	if (rc)
		return rc;
	int bundle = ay__bundle_find(c, &w.bundle);
	for (unsigned i = 0; bundle != AY__NONE && i < s->queue_n; i++) {
		const struct ay__queued *q = queue_at(s, i);
		if (q->bundle != bundle || q->level != AY_REJECT_LEVEL_BLOCK || q->index != w.index)
			continue;
		queue_remove(s, i);
		struct ay__bundle *b = &c->bundles[bundle];
		if (b->sent && b->sent[w.index].conn == s->conn)
			b->sent[w.index].conn = AY_CONN_NONE; /* it did not get it after all */
		break;
	}
	return 0;
}

void ay__serve_bundle_left(struct ay_core *c, int bundle)
{
	for (unsigned k = 0; k < c->n_sessions; k++) {
		struct ay__session *s = c->sessions[k];
		for (unsigned i = s->queue_n; i-- > 0;) {
			struct ay__queued q = *queue_at(s, i);
			if (q.bundle != bundle)
				continue;
			queue_remove(s, i);
			if (ay__ready(s))
				reject(c, s, &c->bundles[bundle].digest, q.level, q.index, AY_REJECT_NOT_HERE,
				       0, 0);
		}
	}
}

/* ---- sending */

static void send_next(struct ay_core *c, struct ay__session *s)
{
	struct ay__queued q = *queue_at(s, 0);
	const struct ay__bundle *b = &c->bundles[q.bundle];
	uint32_t bytes = 0;

	s->queue_head = (s->queue_head + 1) % AY__QUEUE_MAX;
	s->queue_n--;
	if (q.level == AY_REJECT_LEVEL_BLOCK) {
		struct ay_order *o = ay__order(c, AY_ORDER_SEND_BLOCK);
		o->block.conn = s->conn;
		o->block.bundle = b->digest;
		o->block.index = q.index;
		bytes = ay_block_len(b->size, q.index);
	} else {
		struct ay_order *o = ay__order(c, AY_ORDER_SEND_HASHES);
		o->hashes.conn = s->conn;
		o->hashes.bundle = b->digest;
		o->hashes.level = q.level;
		o->hashes.index = q.index;
	}
	s->sending[s->n_sending++] = (struct ay__sending){c->now, bytes};
	s->served_at = s->said_ns = s->active_ns = c->now;
}

/* Is @a to be served before @b? */
static bool before(const struct ay_core *c, struct ay__session *a, struct ay__session *b)
{
	bool a_waits = c->now - queue_at(a, 0)->at_ns > FAIR_NS,
	     b_waits = c->now - queue_at(b, 0)->at_ns > FAIR_NS;
	uint64_t ah = (uint64_t)a->their_had * b->their_blocks, bh = (uint64_t)b->their_had * a->their_blocks;

	if (a_waits || b_waits)
		return a_waits && (!b_waits || queue_at(a, 0)->at_ns < queue_at(b, 0)->at_ns);
	if (ah != bh)
		return ah < bh;
	return a->served_at < b->served_at;
}

void ay__serve_run(struct ay_core *c)
{
	unsigned sending = 0;

	for (unsigned i = 0; i < c->n_sessions; i++)
		for (unsigned k = 0; k < c->sessions[i]->n_sending; k++)
			sending += c->now - c->sessions[i]->sending[k].at_ns < STALE_NS;
	while (sending < AY__SENDING_ALL) {
		struct ay__session *next = NULL;
		for (unsigned i = 0; i < c->n_sessions; i++) {
			struct ay__session *s = c->sessions[i];
			if (!ay__ready(s) || s->queue_n == 0 || s->n_sending == AY__SENDING_MAX)
				continue;
			if (!next || before(c, s, next))
				next = s;
		}
		if (!next)
			return;
		send_next(c, next);
		sending++;
	}
}

void ay__serve_sent(struct ay_core *c, uint64_t conn)
{
	struct ay__session *s = ay__session_find(c, conn);

	if (!s || s->n_sending == 0)
		return;
	s->bytes_to += s->sending[0].bytes;
	c->bytes_served += s->sending[0].bytes;
	s->n_sending--;
	memmove(s->sending, s->sending + 1, s->n_sending * sizeof(s->sending[0]));
	c->dirty |= AY__DIRTY_SERVE;
}
