/* SPDX-License-Identifier: MIT */
/*
 * Steps 1 and 6 of the data's way: a head is heard here (and verified in heads.c, below), and
 * what we now can give is told to others.
 *
 * Shouting: trains of a new head, summaries by Trickle, questions, and heads in answer.
 *
 * One radio channel is everybody's, so we speak seldom, after random pauses in which
 * somebody else's words make ours superfluous, and answer out of a token bucket.
 */
#include "proto/announce.h"

#include "proto/orders.h"
#include "proto/peers.h"
#include "proto/trace.h"
#include "proto/want.h"

#include "base/error.h"

#include <math.h>
#include <string.h>

static const uint64_t train_offset_ns[AY_TRAINS] = {0, 30 * AY__S, 300 * AY__S};

/* Neighbours and we; what random pauses are made for. */
static unsigned speakers(const struct ay_core *c)
{
	return ay__neighbours(c) + 1;
}

uint64_t ay__announce_pause(struct ay_core *c, uint64_t within_ms)
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

/* Insert by tag; of two branches with one tag (once in 10^8) only the first is spoken of. */
static void add_summary(struct ay_wire_datagram *d, const struct ay__branch *b)
{
	uint32_t tag = ay__branch_tag(&b->id);
	unsigned at = 0;

	while (at < d->n && d->summaries[at].tag < tag)
		at++;
	if (at < d->n && d->summaries[at].tag == tag)
		return;
	memmove(&d->summaries[at + 1], &d->summaries[at], (d->n - at) * sizeof(d->summaries[0]));
	d->summaries[at] = (struct ay_wire_summary){tag, ay__head_serial(b), b->have_serial};
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

/* ---- a new head */

static void start_trains(struct ay_core *c, struct ay__branch *b, bool heard)
{
	b->train = 0;
	b->train_base = c->now;
	b->train_heard = heard ? 1 : 0;
	b->copies = AY_TRAIN_COPIES;
	b->train_at = c->now + ay__announce_pause(c, AY_TRAIN_SPREAD_MS);
}

void ay__announce_head(struct ay_core *c, struct ay__branch *b, bool heard)
{
	start_trains(c, b, heard);
	ay_trickle_reset(&c->trickle, c->now, speakers(c), &c->prng);
}

void ay__announce_hush(struct ay_core *c, struct ay__branch *b, bool news)
{
	b->answer_at = AY__NEVER;
	if (news && b->train < AY_TRAINS && c->now + 2 * AY__S >= b->train_base + train_offset_ns[b->train])
		b->train_heard++;
}

/* ---- time */

void ay__announce_ask(struct ay_core *c, uint64_t within_ns)
{
	c->question_at = c->now + (uint64_t)(ay_prng_unit(&c->prng) * (double)within_ns);
	c->questions_left = 2;
}

static void start(struct ay_core *c)
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
	b->train_at = b->train >= AY_TRAINS ? AY__NEVER
					    : b->train_base + train_offset_ns[b->train] +
						      ay__announce_pause(c, AY_TRAIN_SPREAD_MS);
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
	start(c);
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
