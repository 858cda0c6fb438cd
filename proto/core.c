/* SPDX-License-Identifier: MIT */
/*
 * The door: one event in, orders out.
 *
 * An event goes to the room that it concerns, which changes the state and notes in
 * `dirty` what else has to be looked at. Before the step ends each noted room runs
 * once or twice, time-outs that have come are carried out, and the next deadline is
 * told. So a cause and all that follows from it are one step, and the same events
 * give the same orders.
 *
 * The rooms stand on floors; none calls up. What a lower one leaves to a higher one
 * it notes in the state (dirty, head_changed) or returns.
 *
 *     core        one event in, orders out; deadlines         check     status, invariants
 *     talk        sessions: handshake, frames in
 *     update      what to take, by which way; apply           hear      NEWS and CHAT in
 *     connect     whom to connect to                          shelf     bundles come and go
 *     learn       asks for documents                          swarm     collects blocks
 *     way, plan   the cheapest way                            pick      which block from whom
 *     heads       a head is verified, stored, taken           have, serve, answer   give
 *     announce    trains, summaries, questions                session   who is here; penalties
 *     links, requests, told     what we and a peer know, want and say of each other
 *     docs, bundles, peers      tables                        want      questions to the state
 *     orders, sm, trace         what leaves a step
 *     core_state                on event, wire, frame, trickle, bucket, bits
 */
#include "proto/core.h"

#include "proto/announce.h"
#include "proto/bundles.h"
#include "proto/connect.h"
#include "proto/docs.h"
#include "proto/fetch.h"
#include "proto/hear.h"
#include "proto/heads.h"
#include "proto/learn.h"
#include "proto/orders.h"
#include "proto/peers.h"
#include "proto/serve.h"
#include "proto/session.h"
#include "proto/swarm.h"
#include "proto/talk.h"
#include "proto/update.h"

#include "base/error.h"
#include "base/path.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS_MAX 8 /* of consequences in one step; what is left comes with the next tick */

struct ay_core *ay_core_new(const struct ay_core_config *config)
{
	struct ay_core *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->cfg = *config;
	c->sessions_max = config->sessions_max ? config->sessions_max : AY_CORE_SESSIONS_MAX;
	c->sessions = calloc(c->sessions_max, sizeof(struct ay__session *));
	c->releases = calloc(AY__RELEASES_MAX, sizeof(*c->releases));
	c->offers = calloc(AY_CORE_OFFERS_MAX, sizeof(*c->offers));
	if (c->cfg.n_peers > AY__STATIC_MAX)
		c->cfg.n_peers = AY__STATIC_MAX;
	for (unsigned i = 0; i < c->cfg.n_peers; i++)
		c->static_peers[i] = config->peers[i];
	c->cfg.peers = NULL;
	ay_prng_init(&c->prng, config->seed);
	ay_buf_init(&c->scratch, 2 * AY_FRAME_MAX);
	c->last_conn = UINT64_MAX; /* the first is 1 */
	c->deadline_told = c->question_at = AY__NEVER;
	if (!c->sessions || !c->releases || !c->offers || ay__orders_reserve(&c->orders)) {
		ay_core_free(c);
		return NULL;
	}
	return c;
}

void ay_core_free(struct ay_core *c)
{
	if (!c)
		return;
	for (unsigned i = 0; i < c->n_sessions; i++) {
		c->sessions[i]->state = AY__SE_CLOSED;
		for (unsigned k = 0; k < AY__LINKS_MAX; k++) {
			free(c->sessions[i]->links[k].bits);
			c->sessions[i]->links[k].bits = NULL;
		}
	}
	ay__session_sweep(c);
	for (int i = 0; i < AY_CORE_BUNDLES_MAX; i++) {
		ay__bundle_whole(&c->bundles[i]);
		free(c->bundles[i].sent);
	}
	ay__docs_release(c);
	free(c->sessions);
	ay_buf_release(&c->scratch);
	ay__orders_release(&c->orders);
	free(c);
}

/* ---- events */

static int branch_event(struct ay_core *c, const struct ay_event *ev)
{
	const char *name = ev->branch.name;
	int i = ay__branch_find(c, name);

	if (i == AY__NONE && ay_branch_check(name, strlen(name)))
		return AY_EFORMAT;
	if (i == AY__NONE)
		i = ay__branch_add(c, name);
	if (i == AY__NONE)
		return AY_ELIMIT;
	struct ay__branch *b = &c->branches[i];
	b->follow = ev->branch.follow;
	b->have_serial = ev->branch.have_serial;
	b->have_manifest = ev->branch.have_manifest;
	b->floor = ev->branch.floor > b->have_serial ? ev->branch.floor : b->have_serial;
	b->bad_serial = ev->branch.bad_serial;
	b->stays = ev->branch.stays;
	b->n_here = ev->branch.n_here < AY_CORE_HERE_MAX ? ev->branch.n_here : AY_CORE_HERE_MAX;
	for (unsigned k = 0; k < b->n_here; k++)
		b->here[k] = ev->branch.here[k];
	b->owner_floor = b->have_serial;
	c->dirty |= AY__DIRTY_PLAN | AY__DIRTY_LEARN | AY__DIRTY_HELLO;
	return 0;
}

static void stored_event(struct ay_core *c, const struct ay_event *ev)
{
	unsigned i = 0;

	while (i < c->n_tokens && c->tokens[i].token != ev->token)
		i++;
	if (i == c->n_tokens)
		return;
	struct ay__token t = c->tokens[i];
	c->tokens[i] = c->tokens[--c->n_tokens];
	if (t.index == AY__NONE)
		return;
	switch (t.kind) {
	case AY__TOKEN_ROOT:
		ay__root_stored(c, ev->status);
		break;
	case AY__TOKEN_HEAD:
		ay__head_stored(c, &c->branches[t.index], t.token, ev->status);
		break;
	case AY__TOKEN_RELEASE:
		ay__learn_release_stored(c, t.index, ev->status);
		break;
	case AY__TOKEN_OFFER:
		ay__update_offer_stored(c, t.index, ev->status);
		break;
	case AY__TOKEN_BUNDLE:
		ay__update_bundle_stored(c, t.index, ev->status);
		break;
	}
	c->dirty |= AY__DIRTY_PLAN | AY__DIRTY_LEARN;
}

static void wake(struct ay_core *c)
{
	ay__connect_wake(c);
	if (c->trickle.running)
		ay__announce_ask(c, AY__S / 2);
}

static int update_event(struct ay_core *c, const struct ay_event *ev)
{
	const char *name = ev->update.branch ? ev->update.branch : "";

	if (name[0] && ay__branch_find(c, name) == AY__NONE)
		return AY_EUSAGE;
	for (unsigned i = 0; i < c->n_branches; i++)
		if (!name[0] || strcmp(c->branches[i].name, name) == 0)
			ay__update_now(c, &c->branches[i], ev->update.force);
	wake(c);
	return 0;
}

static int fetch_event(struct ay_core *c, const struct ay_event *ev)
{
	int i = ev->fetch.branch ? ay__branch_find(c, ev->fetch.branch) : AY__NONE;

	if (i == AY__NONE)
		return AY_EUSAGE;
	int rc = ay__fetch_want(c, &c->branches[i], &ev->fetch.manifest);
	if (rc == 0 && ay__fetch_wanted(&c->branches[i]))
		wake(c);
	return rc;
}

static int local_doc(struct ay_core *c, const struct ay_event *ev)
{
	int index;

	switch (ev->type) {
	case AY_EV_ROOT:
		return ay__root_local(c, ev->data);
	case AY_EV_HEAD:
		return ay__head_local(c, ev->data);
	case AY_EV_RELEASE:
		return ay__release_add(c, AY__NONE, ev->data, true, &index);
	default:
		return ay__offer_add(c, AY__NONE, ev->data, true, &index);
	}
}

static int dispatch(struct ay_core *c, const struct ay_event *ev)
{
	switch (ev->type) {
	case AY_EV_TICK:
		return 0;
	case AY_EV_ROOT:
	case AY_EV_HEAD:
	case AY_EV_RELEASE:
	case AY_EV_OFFER:
		return local_doc(c, ev);
	case AY_EV_BRANCH:
		return branch_event(c, ev);
	case AY_EV_BUNDLE:
		return ay__update_bundle(c, ev);
	case AY_EV_BUNDLE_GONE:
		ay__update_bundle_gone(c, &ev->bundle.digest, ev->status);
		return 0;
	case AY_EV_DATAGRAM:
		return ay__hear_datagram(c, ev->datagram.group, &ev->datagram.from, ev->data);
	case AY_EV_CONNECTED:
		return ay__talk_connected(c, ev);
	case AY_EV_CLOSED:
		ay__talk_closed(c, ev);
		return 0;
	case AY_EV_FRAME:
		return ay__talk_frame(c, ev);
	case AY_EV_BLOCK_PART:
		ay__talk_block_part(c, ev->block.conn);
		return 0;
	case AY_EV_BLOCK:
	case AY_EV_HASHES:
		return ay__talk_block(c, ev);
	case AY_EV_SENT:
		ay__serve_sent(c, ev->block.conn);
		return 0;
	case AY_EV_STORED:
		stored_event(c, ev);
		return 0;
	case AY_EV_APPLIED:
		ay__update_applied(c, ev);
		return 0;
	case AY_EV_NETWORKS:
		c->n_networks = ev->networks.n < AY_CORE_NETWORKS_MAX ? ev->networks.n : AY_CORE_NETWORKS_MAX;
		memcpy(c->networks, ev->networks.list, c->n_networks * sizeof(c->networks[0]));
		return 0;
	case AY_EV_WAKE:
		wake(c);
		return 0;
	case AY_EV_UPDATE:
		return update_event(c, ev);
	case AY_EV_FETCH:
		return fetch_event(c, ev);
	}
	return AY_EUSAGE;
}

/* ---- consequences */

static bool busy(const struct ay_core *c)
{
	for (unsigned i = 0; i < c->n_sessions; i++) {
		const struct ay__session *s = c->sessions[i];
		if (!ay__ready(s) || s->n_asks || s->queue_n || s->n_requests)
			return true;
		for (unsigned k = 0; k < AY__LINKS_MAX; k++)
			if (s->links[k].used && s->links[k].we_want)
				return true;
	}
	return false;
}

static void run_rooms(struct ay_core *c)
{
	for (unsigned round = 0; c->dirty && round < ROUNDS_MAX; round++) {
		unsigned dirty = c->dirty;
		c->dirty = 0;
		if (dirty & AY__DIRTY_PLAN)
			ay__update_run(c);
		if (dirty & AY__DIRTY_HELLO)
			ay__talk_hello_all(c);
		if (dirty & AY__DIRTY_LEARN)
			ay__learn_run(c);
		if (dirty & AY__DIRTY_PEERS)
			ay__connect_run(c);
		if (dirty & AY__DIRTY_SWARM)
			ay__swarm_run(c);
		if (dirty & AY__DIRTY_SERVE)
			ay__serve_run(c);
	}
}

static void run_time(struct ay_core *c)
{
	if (c->n_sessions && c->now >= c->tick_at) {
		ay__talk_tick(c);
		ay__learn_tick(c);
		ay__swarm_tick(c);
		c->dirty |= AY__DIRTY_SERVE;
		c->tick_at = c->now + (busy(c) ? AY__TICK_NS : 2 * AY__S);
	}
	if (c->now >= c->update_at)
		ay__update_tick(c);
	if (c->now >= c->peers_at)
		c->dirty |= AY__DIRTY_PEERS;
	ay__announce_run(c);
}

static void tell_deadline(struct ay_core *c)
{
	uint64_t next = ay__announce_next(c);

	if (c->n_sessions && busy(c) && c->tick_at > c->now + AY__TICK_NS)
		c->tick_at = c->now + AY__TICK_NS;
	/* Times that are told relative to now must not flee before it; a look too early does no harm. */
	uint64_t update_at = ay__update_next(c);
	if (c->update_at <= c->now || update_at < c->update_at)
		c->update_at = update_at;
	uint64_t peers_at = ay__connect_next(c);
	if (c->peers_at <= c->now || peers_at < c->peers_at)
		c->peers_at = peers_at;
	if (c->update_at < next)
		next = c->update_at;
	if (c->peers_at < next)
		next = c->peers_at;
	if (c->n_sessions && c->tick_at < next)
		next = c->tick_at;
	if (c->dirty || next <= c->now)
		next = c->now + AY__MS;
	if (next == c->deadline_told)
		return;
	c->deadline_told = next;
	ay__order(c, AY_ORDER_DEADLINE)->at_ns = next;
}

int ay_core_step(struct ay_core *c, const struct ay_event *ev, struct ay_orders *out)
{
	int rc = ay__orders_reserve(&c->orders);

	out->list = NULL;
	out->n = 0;
	if (rc)
		return rc;
	ay__orders_reset(&c->orders);
	if (ev->now_ns > c->now)
		c->now = ev->now_ns;
	if (!c->running) {
		c->running = true;
		c->started_ns = c->now;
		ay_bucket_init(&c->verify_bucket, c->now, AY_VERIFY_BURST, AY_VERIFY_EVERY_MS * AY__MS);
		ay_bucket_init(&c->answer_bucket, c->now, AY_ANSWER_BURST, AY_ANSWER_EVERY_MS * AY__MS);
		ay_bucket_init(&c->question_bucket, c->now, AY_QUESTION_BURST, AY_QUESTION_EVERY_MS * AY__MS);
		ay_bucket_init(&c->stranger_bucket, c->now, AY__STRANGER_BURST, AY__STRANGER_NS);
		ay__peers_start(c);
	}
	rc = dispatch(c, ev);
	ay__learn_heads(c);
	run_time(c);
	run_rooms(c);
	ay__session_sweep(c);
	tell_deadline(c);
	out->list = c->orders.list;
	out->n = c->orders.n;
	return c->orders.oom ? -ENOMEM : rc;
}
