/* SPDX-License-Identifier: MIT */
/*
 * What nodes shout: NEWS, CHAT, questions, and the heads that answer them.
 *
 * Anybody may shout, so nothing that is heard costs us more than it cost the
 * sender: a head is compared with what we know before its signature is looked at,
 * signatures are looked at out of a token bucket, answers are sent out of another,
 * after a random pause in which somebody else's answer makes ours superfluous.
 * Only a validly signed newer head resets a timer.
 */
#include "proto/announce.h"
#include "proto/core_internal.h"

#include "base/error.h"

#include <math.h>
#include <string.h>

static const uint64_t train_offset_ns[AY_TRAINS] = {0, 30 * AY__S, 300 * AY__S};

/* Neighbours and we; what random pauses are made for. */
static unsigned speakers(const struct ay_core *c)
{
	return ay__neighbours(c) + 1;
}

static uint64_t pause_ns(struct ay_core *c, uint64_t within_ms)
{
	double lambda = log((double)speakers(c)) + 1;

	return (uint64_t)(ay_prng_truncated_exp(&c->prng, (double)within_ms, lambda) * 1e6);
}

/* ---- out */

static void send(struct ay_core *c, enum ay_group group, const struct ay_wire_datagram *d)
{
	const uint8_t *data;

	ay_wire_datagram_put(&c->scratch, d);
	data = ay_buf_status(&c->scratch) ? NULL : ay__lend(c, c->scratch.data, c->scratch.len);
	if (data) {
		struct ay_order *o = ay__order(c, AY_ORDER_DATAGRAM);
		o->datagram.group = group;
		o->data = (struct ay_slice){data, c->scratch.len};
	}
	ay_buf_reset(&c->scratch);
}

static void send_head(struct ay_core *c, enum ay_group group, const struct ay__branch *b)
{
	struct ay_wire_datagram d = {.type = AY_DATAGRAM_HEAD,
				     .port = c->cfg.tcp_port,
				     .school = c->cfg.role == AY_NODE_SCHOOL,
				     .session_id = c->cfg.session_id,
				     .head = b->head_bytes};

	send(c, group, &d);
}

static uint32_t tag_of(const struct ay_branch_id *id)
{
	return ay_get_le32(id->b);
}

static struct ay__branch *branch_by_tag(struct ay_core *c, uint32_t tag)
{
	for (unsigned i = 0; i < c->n_branches; i++)
		if (c->branches[i].id_known && tag_of(&c->branches[i].id) == tag)
			return &c->branches[i];
	return NULL;
}

static uint32_t head_serial(const struct ay__branch *b)
{
	return b->has_head ? b->head.serial : 0;
}

/* Insert by tag; of two branches with one tag (once in 10^8) only the first is spoken of. */
static void add_summary(struct ay_wire_datagram *d, const struct ay__branch *b)
{
	uint32_t tag = tag_of(&b->id);
	unsigned at = 0;

	while (at < d->n && d->summaries[at].tag < tag)
		at++;
	if (at < d->n && d->summaries[at].tag == tag)
		return;
	memmove(&d->summaries[at + 1], &d->summaries[at], (d->n - at) * sizeof(d->summaries[0]));
	d->summaries[at] = (struct ay_wire_summary){tag, head_serial(b), b->have_serial};
	d->n++;
}

static void send_chat(struct ay_core *c, bool question)
{
	struct ay_wire_datagram d = {.type = AY_DATAGRAM_CHAT,
				     .port = c->cfg.tcp_port,
				     .school = c->cfg.role == AY_NODE_SCHOOL,
				     .incomplete = ay__core_incomplete(c),
				     .question = question,
				     .session_id = c->cfg.session_id,
				     .root_version = c->root->version};
	unsigned neighbours = ay__neighbours(c);

	d.neighbours = (uint16_t)(neighbours < UINT16_MAX ? neighbours : UINT16_MAX);
	for (unsigned i = 0; i < c->n_branches && d.n < AY_WIRE_SUMMARIES_MAX; i++) {
		/* With more branches than fit, each datagram begins with another one. */
		const struct ay__branch *b = &c->branches[(i + c->chat_rotation) % c->n_branches];
		if (b->follow || b->has_head)
			add_summary(&d, b);
	}
	if (c->n_branches > AY_WIRE_SUMMARIES_MAX)
		c->chat_rotation = (c->chat_rotation + AY_WIRE_SUMMARIES_MAX) % c->n_branches;
	send(c, AY_GROUP_CHAT, &d);
}

/* ---- heads */

static void hush(struct ay_core *c, struct ay__branch *b, bool news)
{
	b->answer_at = AY__NEVER;
	if (news && b->train < AY_TRAINS && c->now + 2 * AY__S >= b->train_base + train_offset_ns[b->train])
		b->train_heard++;
}

static bool refused_before(struct ay_core *c, const uint8_t *hash)
{
	for (unsigned i = 0; i < AY__HEARD_MAX; i++)
		if (memcmp(c->refused_heads[i], hash, sizeof(c->refused_heads[i])) == 0)
			return true;
	return false;
}

/* The newest that was verified, durable or on its way to be. */
static const struct ay_head *newest(const struct ay__branch *b)
{
	return b->has_next ? &b->next : b->has_head ? &b->head : NULL;
}

static bool is_newer(const struct ay__branch *b, const struct ay_head *h)
{
	const struct ay_head *mine = newest(b);
	int cmp = mine ? ay_head_cmp(h, mine) : 1;

	return cmp > 0 || (cmp == 0 && h->signed_at_s > mine->signed_at_s);
}

int ay__head_heard(struct ay_core *c, struct ay_slice data, enum ay__head_source source)
{
	bool news = source == AY__HEAD_NEWS;
	struct ay_head h;
	uint8_t hash[32];
	uint32_t serial;
	int rc, i;

	rc = ay_head_parse(data.data, data.len, &h, NULL);
	if (rc)
		return rc;
	i = ay__branch_find_id(c, &h.branch);
	if (i == AY__NONE)
		return 0;
	struct ay__branch *b = &c->branches[i];
	if (b->has_head && memcmp(b->head_bytes, data.data, AY_HEAD_SIZE) == 0) {
		hush(c, b, news);
		return 0;
	}
	if (!b->follow || !is_newer(b, &h))
		return 0;
	ay_sha256(data.data, data.len, hash);
	if (refused_before(c, hash))
		return AY_ESIG;
	/* A session is accountable: it is punished for lies, and told us only what we asked. */
	if (!ay__token_room(c) || (source != AY__HEAD_SESSION && !ay_bucket_take(&c->verify_bucket, c->now)))
		return 0;
	serial = h.serial;
	rc = ay_trust_head(c->root, data.data, data.len, &h, NULL);
	if (rc == AY_EROLLBACK) {
		/* Perhaps true: who sent it may have the root that says so. Nothing is believed yet. */
		c->root_hint_until = c->now + 60 * AY__S;
		c->dirty |= AY__DIRTY_PEERS;
		return 0;
	}
	if (rc) {
		memcpy(c->refused_heads[c->refused_at++ % AY__HEARD_MAX], hash, sizeof(c->refused_heads[0]));
		AY__TRACE(c, "announce", "%s: head %u refused: %s", b->name, serial, ay_error_name(rc));
		return rc;
	}
	AY__TRACE(c, "announce", "%s: head %u verified, storing", b->name, h.serial);
	memcpy(b->next_bytes, data.data, AY_HEAD_SIZE);
	b->next = h;
	b->has_next = true;
	b->next_heard = news;
	b->next_token = ay__store(c, AY_ORDER_STORE_HEAD, AY__TOKEN_HEAD, i, data.data, data.len, b->name);
	return 0;
}

static void start_trains(struct ay_core *c, struct ay__branch *b, bool heard)
{
	b->train = 0;
	b->train_base = c->now;
	b->train_heard = heard ? 1 : 0;
	b->copies = AY_TRAIN_COPIES;
	b->train_at = c->now + pause_ns(c, AY_TRAIN_SPREAD_MS);
}

/* @head is durable: from now on it may be spoken of. */
static void take_head(struct ay_core *c, struct ay__branch *b, const uint8_t *bytes,
		      const struct ay_head *head, bool announce, bool heard)
{
	bool newer = !b->has_head || ay_head_cmp(head, &b->head) > 0;

	memcpy(b->head_bytes, bytes, AY_HEAD_SIZE);
	b->head = *head;
	b->has_head = true;
	c->dirty |= AY__DIRTY_HELLO | AY__DIRTY_PLAN | AY__DIRTY_LEARN;
	if (!newer)
		return;
	AY__TRACE(c, "announce", "%s: head %u is the newest", b->name, head->serial);
	b->answer_at = AY__NEVER;
	ay__learn_new_head(c, b);
	if (announce) {
		start_trains(c, b, heard);
		ay_trickle_reset(&c->trickle, c->now, speakers(c), &c->prng);
	}
}

void ay__head_stored(struct ay_core *c, struct ay__branch *b, uint64_t token, int status)
{
	if (!b->has_next || b->next_token != token)
		return; /* an even newer one is being stored */
	b->has_next = false;
	if (status) {
		/* Not durable, so not spoken of. It will be heard again. */
		AY__TRACE(c, "announce", "%s: head %u not stored: %s", b->name, b->next.serial,
			  ay_error_name(status));
		return;
	}
	take_head(c, b, b->next_bytes, &b->next, true, b->next_heard);
}

/*
 * From our own store or repository: durable already. A head found at start is old
 * news; one that comes later, or replaces another, was just published here.
 */
int ay__head_local(struct ay_core *c, struct ay_slice data)
{
	struct ay_head h;
	int rc, i;

	if (!c->root)
		return AY_EROLE;
	rc = ay_trust_head(c->root, data.data, data.len, &h, NULL);
	if (rc)
		return rc;
	i = ay__branch_find_id(c, &h.branch);
	if (i == AY__NONE)
		return AY_EFORMAT;
	struct ay__branch *b = &c->branches[i];
	const struct ay_head *mine = newest(b);
	if (mine && ay_head_cmp(&h, mine) < 0)
		return AY_EROLLBACK;
	if (b->has_head && !is_newer(b, &h))
		return 0;
	b->has_next = false;
	take_head(c, b, data.data, &h, b->has_head || c->now - c->started_ns > 10 * AY__S, false);
	return 0;
}

/* ---- in */

/* A summary from the air is a hint, never a reason to reset anything. */
static bool hear_summary(struct ay_core *c, const struct ay_wire_datagram *d, const struct ay_wire_summary *s,
			 bool *newer)
{
	struct ay__branch *b = branch_by_tag(c, s->tag);

	if (!b || (!b->follow && !b->has_head))
		return true;
	if (s->head_serial == head_serial(b)) {
		/* Who lacks the blocks asks for company: a head from who has them says where that is. */
		if (d->question && d->incomplete && b->has_head && b->answer_at == AY__NEVER &&
		    (!b->follow || b->have_serial >= b->head.serial))
			b->answer_at = c->now + pause_ns(c, AY_ANSWER_SPREAD_MS / 2);
		return true;
	}
	if (s->head_serial > head_serial(b)) {
		*newer |= b->follow;
	} else if (b->answer_at == AY__NEVER) {
		b->answer_at =
			c->now + pause_ns(c, d->question ? AY_ANSWER_SPREAD_MS / 2 : AY_ANSWER_SPREAD_MS);
	}
	return false;
}

static void hear_chat(struct ay_core *c, const struct ay_addr *from, const struct ay_wire_datagram *d)
{
	bool consistent = true, newer = d->root_version > c->root->version;
	int peer = ay__peer_heard(c, from, d);

	if (d->incomplete)
		c->incomplete_heard_ns = c->now;
	for (unsigned i = 0; i < d->n; i++)
		consistent &= hear_summary(c, d, &d->summaries[i], &newer);
	if (consistent && !newer) {
		ay_trickle_hear(&c->trickle);
		/* Somebody who knows as much as we asks: the answer will do for both. */
		if (d->question && c->question_at != AY__NEVER)
			c->question_at = c->now + 2 * AY__S;
	}
	if (newer) {
		if (peer != AY__NONE)
			c->peers[peer].newer = true;
		if (c->question_at == AY__NEVER)
			ay__announce_ask(c, AY__S);
		c->dirty |= AY__DIRTY_PEERS;
	}
}

int ay__announce_datagram(struct ay_core *c, enum ay_group group, const struct ay_addr *from,
			  struct ay_slice data)
{
	struct ay_wire_datagram d;
	int rc = ay_wire_datagram_get(data.data, data.len, &d);

	if (!rc && group == AY_GROUP_NEWS && d.type != AY_DATAGRAM_HEAD)
		rc = AY_EFORMAT;
	if (!rc && d.session_id == c->cfg.session_id)
		return 0;
	if (!rc && ay__host_banned(c, from))
		return AY_EPEER;
	if (!c->root)
		return rc;
	if (!rc && d.type == AY_DATAGRAM_HEAD) {
		ay__peer_heard(c, from, &d);
		rc = ay__head_heard(c, (struct ay_slice){d.head, AY_HEAD_SIZE},
				    group == AY_GROUP_NEWS ? AY__HEAD_NEWS : AY__HEAD_CHAT);
	} else if (!rc) {
		hear_chat(c, from, &d);
	}
	if (rc)
		c->packets_refused++;
	return rc;
}

/* ---- time */

/* Ask the room within @within_ns, and once more in case that it was not heard. */
void ay__announce_ask(struct ay_core *c, uint64_t within_ns)
{
	c->question_at = c->now + (uint64_t)(ay_prng_unit(&c->prng) * (double)within_ns);
	c->questions_left = 2;
}

void ay__announce_start(struct ay_core *c)
{
	if (c->trickle.running || !c->root || c->n_branches == 0)
		return;
	ay_trickle_start(&c->trickle, c->now, AY_CHAT_IMIN_MS * AY__MS, AY_CHAT_IMAX_MS * AY__MS, AY_CHAT_K,
			 speakers(c), &c->prng);
	ay__announce_ask(c, AY__S);
}

static void run_train(struct ay_core *c, struct ay__branch *b)
{
	if (b->train_at > c->now)
		return;
	bool begin = b->copies == AY_TRAIN_COPIES;
	if (begin && b->train_heard >= AY_TRAIN_SUPPRESS) {
		AY__TRACE(c, "announce", "%s: train %u of head %u left to others", b->name, b->train,
			  b->head.serial);
		b->copies = 0;
	} else {
		if (begin)
			AY__TRACE(c, "announce", "%s: train %u of head %u", b->name, b->train,
				  b->head.serial);
		send_head(c, AY_GROUP_NEWS, b);
		b->copies--;
		b->train_at = c->now + AY_TRAIN_GAP_MS * AY__MS;
	}
	if (b->copies > 0)
		return;
	b->train++;
	b->train_heard = 0;
	b->copies = AY_TRAIN_COPIES;
	b->train_at = b->train >= AY_TRAINS
			      ? AY__NEVER
			      : b->train_base + train_offset_ns[b->train] + pause_ns(c, AY_TRAIN_SPREAD_MS);
}

static void run_answer(struct ay_core *c, struct ay__branch *b)
{
	if (b->answer_at > c->now)
		return;
	b->answer_at = AY__NEVER;
	if (b->has_head && ay_bucket_take(&c->answer_bucket, c->now))
		send_head(c, AY_GROUP_CHAT, b);
}

static void run_question(struct ay_core *c)
{
	if (c->question_at > c->now)
		return;
	if (ay_bucket_take(&c->question_bucket, c->now))
		send_chat(c, true);
	c->question_at = --c->questions_left > 0 ? c->now + 2 * AY__S : AY__NEVER;
}

void ay__announce_run(struct ay_core *c)
{
	ay__announce_start(c);
	if (!c->trickle.running)
		return;
	bool busy = ay__core_incomplete(c) ||
		    (c->incomplete_heard_ns &&
		     c->now - c->incomplete_heard_ns < 2 * AY_CHAT_IMAX_BUSY_MS * AY__MS);
	ay_trickle_limits(&c->trickle, c->now, (busy ? AY_CHAT_IMAX_BUSY_MS : AY_CHAT_IMAX_MS) * AY__MS,
			  busy ? AY_CHAT_K_BUSY : AY_CHAT_K, speakers(c), &c->prng);
	for (unsigned i = 0; i < c->n_branches; i++) {
		run_train(c, &c->branches[i]);
		run_answer(c, &c->branches[i]);
	}
	run_question(c);
	if (ay_trickle_run(&c->trickle, c->now, speakers(c), &c->prng))
		send_chat(c, false);
}

uint64_t ay__announce_next(const struct ay_core *c)
{
	uint64_t next = ay_trickle_next(&c->trickle);

	if (c->question_at < next)
		next = c->question_at;
	for (unsigned i = 0; i < c->n_branches; i++) {
		if (c->branches[i].train_at < next)
			next = c->branches[i].train_at;
		if (c->branches[i].answer_at < next)
			next = c->branches[i].answer_at;
	}
	return next;
}
