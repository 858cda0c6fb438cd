/* SPDX-License-Identifier: MIT */
/* The set-up and the clock of stories. Packets in flight lie in a heap on (time, sequence). */
#include "tests/story/proto/cluster_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- set up */

struct cluster *cluster_new(uint64_t seed, struct publisher *p)
{
	struct cluster *c = calloc(1, sizeof(*c));

	AY_ASSERT(c);
	c->now = 1000 * SECOND;
	c->multicast = true;
	c->p = p;
	ay_prng_init(&c->prng, seed);
	c->wires = calloc(WIRES_MAX, sizeof(*c->wires));
	c->filtered = malloc(TRACE_MAX);
	AY_ASSERT(c->wires && c->filtered);
	return c;
}

void cluster_free(struct cluster *c)
{
	for (unsigned i = 0; i < c->n; i++) {
		const struct ay_fakenode_config *cfg = ay_fakenode_config(c->nodes[i].fake);
		void *end = cfg->core.trace_ctx;
		ay_fakenode_free(c->nodes[i].fake);
		free(end);
		free(c->nodes[i].trace);
	}
	packets_release(&c->heap);
	free(c->wires);
	free(c->filtered);
	free(c);
}

static void put_published(struct cluster *c, struct ay_fakenode *f)
{
	const struct publisher *p = c->p;

	for (unsigned i = 0; i < p->n_roots; i++)
		ay_fakenode_put(f, AY_EV_ROOT, (struct ay_slice){p->roots[i].data, p->roots[i].len});
	for (unsigned i = 0; i < p->n_releases; i++)
		ay_fakenode_put(f, AY_EV_RELEASE,
				(struct ay_slice){p->releases[i].envelope.data, p->releases[i].envelope.len});
	for (unsigned i = 0; i < p->n_bundles; i++) {
		ay_fakenode_put(f, AY_EV_OFFER,
				(struct ay_slice){p->bundles[i].offer.data, p->bundles[i].offer.len});
		ay_fakenode_put_bundle(f, (struct ay_slice){p->bundles[i].data, p->bundles[i].size});
	}
	if (p->n_releases)
		ay_fakenode_put(f, AY_EV_HEAD,
				(struct ay_slice){p->releases[p->n_releases - 1].head, AY_HEAD_SIZE});
}

unsigned cluster_add(struct cluster *c, const char *name, const struct member *m)
{
	struct ay_fakenode_ops ops = cluster__ops;
	unsigned i = c->n++;
	struct node *n = &c->nodes[i];
	struct end *end = malloc(sizeof(*end));

	AY_ASSERT(c->n <= CLUSTER_MAX && end);
	*end = (struct end){c, i};
	*n = (struct node){.m = *m, .rate = RATE_BYTES, .run_at = UINT64_MAX, .trace = calloc(1, TRACE_MAX)};
	snprintf(n->name, sizeof(n->name), "%s", name);
	n->addr = (struct ay_addr){.ip = {[10] = 0xff, [11] = 0xff, [12] = 10, [15] = (uint8_t)(i + 1)},
				   .port = 4444};
	struct ay_fakenode_config cfg = {
		.core = {.role = m->school ? AY_NODE_SCHOOL : AY_NODE_LAPTOP,
			 .tcp_port = 4444,
			 .auto_update = !m->no_auto_update,
			 .rollout_draw = m->rollout_draw,
			 .apply = m->apply,
			 .trace = cluster__trace,
			 .trace_ctx = end},
		.seed = ay_prng_next(&c->prng),
		.addr = n->addr,
		.no_space_permille = m->no_space_permille,
		.bad_base_permille = m->bad_base_permille,
		.store_ns = {2 * MS, 2 * MS},
		.apply_ns = {m->apply_ns ? m->apply_ns : SECOND, m->apply_ns ? m->apply_ns : SECOND}};
	if (m->static_peer) {
		n->static_addr = c->nodes[m->static_peer - 1].addr;
		cfg.core.peers = &n->static_addr;
		cfg.core.n_peers = 1;
	}
	ops.ctx = c;
	n->fake = ay_fakenode_new(&cfg, &ops);
	AY_ASSERT(n->fake);
	const struct published_release *have = m->have ? published(c->p, m->have) : NULL;
	ay_fakenode_put(n->fake, AY_EV_ROOT, (struct ay_slice){c->p->roots[0].data, c->p->roots[0].len});
	ay_fakenode_put_branch(n->fake, c->p->branch, !m->school, m->have, have ? &have->manifest : NULL);
	if (have) {
		ay_fakenode_put(n->fake, AY_EV_RELEASE,
				(struct ay_slice){have->envelope.data, have->envelope.len});
		ay_fakenode_put(n->fake, AY_EV_HEAD, (struct ay_slice){have->head, AY_HEAD_SIZE});
	}
	if (m->school)
		put_published(c, n->fake);
	return i;
}

void cluster_publish(struct cluster *c, unsigned node)
{
	put_published(c, c->nodes[node].fake);
}

void cluster_start(struct cluster *c, unsigned node)
{
	c->nodes[node].on = true;
	c->nodes[node].life++;
	ay_fakenode_start(c->nodes[node].fake, ay_prng_next(&c->prng) | 1);
}

void cluster_start_all(struct cluster *c)
{
	for (unsigned i = 0; i < c->n; i++)
		cluster_start(c, i);
}

void cluster_stop(struct cluster *c, unsigned node, enum ay_fakenode_end how)
{
	struct node *n = &c->nodes[node];

	n->twice += node_status(c, node)->bytes_twice;
	n->on = false;
	n->run_at = UINT64_MAX;
	n->sending_until = c->now;
	ay_fakenode_stop(n->fake, how);
	for (unsigned i = 0; i < c->n_wires; i++)
		for (unsigned e = 0; e < 2; e++)
			if (c->wires[i].open && c->wires[i].node[e] == node)
				cluster__close_wire(c, &c->wires[i], e);
}

struct ay_fakenode *cluster_node(const struct cluster *c, unsigned node)
{
	return c->nodes[node].fake;
}

void cluster_roll_back(struct cluster *c, unsigned node)
{
	c->nodes[node].best = 0;
	ay_fakenode_roll_back(c->nodes[node].fake, c->p->branch);
}

void cluster_cut(struct cluster *c, unsigned a, unsigned b, bool cut)
{
	c->nodes[a].cut[b] = c->nodes[b].cut[a] = cut;
}

void cluster_multicast(struct cluster *c, bool works)
{
	c->multicast = works;
}

void cluster_rate(struct cluster *c, unsigned node, uint64_t bytes_per_s)
{
	c->nodes[node].rate = bytes_per_s;
}

void cluster_vice(struct cluster *c, unsigned node, enum vice vice)
{
	c->nodes[node].vice = vice;
}

void cluster_shout(struct cluster *c, enum ay_group group, const void *data, size_t len)
{
	struct ay_addr nowhere = {.ip = {[10] = 0xff, [11] = 0xff, [12] = 10, [15] = 250}, .port = 9};

	cluster__to_group(c, CLUSTER_MAX, &nowhere, group, (struct ay_slice){data, len}, c->now + LATENCY_NS);
}

/* ---- time */

static void deliver(struct cluster *c, struct packet *p)
{
	struct node *n = &c->nodes[p->node];
	struct wire *w = &c->wires[p->wire];
	unsigned end = w->node[0] == p->node ? 0 : 1;
	struct ay_slice data = {p->data, p->len};

	if (!n->on || p->life != n->life)
		return;
	switch (p->what) {
	case DATAGRAM:
		ay_fakenode_heard(n->fake, p->group, &p->from, data);
		break;
	case CONNECT:
		if (w->open)
			ay_fakenode_connected(n->fake, w->conn[1], &c->nodes[w->node[0]].addr, true);
		break;
	case CONNECTED:
		if (w->open)
			ay_fakenode_connected(n->fake, w->conn[0], &c->nodes[w->node[1]].addr, false);
		break;
	case REFUSED:
		ay_fakenode_closed(n->fake, w->conn[0], -111);
		break;
	case FRAME:
		if (w->open)
			ay_fakenode_frame(n->fake, w->conn[end], p->type, data);
		break;
	case SENT:
		ay_fakenode_sent(n->fake, p->len);
		break;
	case CLOSED:
		ay_fakenode_closed(n->fake, w->conn[end], 0);
		break;
	case RUN:
		break;
	}
}

/* One thing happens; false: nothing more before @until. */
static bool once(struct cluster *c, uint64_t until)
{
	unsigned next = CLUSTER_MAX;
	uint64_t at = packets_next(&c->heap);

	for (unsigned i = 0; i < c->n; i++) {
		if (c->nodes[i].on && c->nodes[i].run_at < at) {
			at = c->nodes[i].run_at;
			next = i;
		}
	}
	if (at > until)
		return false;
	if (at > c->now)
		c->now = at;
	if (next < CLUSTER_MAX) {
		c->nodes[next].run_at = UINT64_MAX;
		ay_fakenode_run(c->nodes[next].fake);
	} else {
		struct packet p = packets_pop(&c->heap);
		deliver(c, &p);
		free(p.data);
	}
	/* No tree goes back, and none is there that was not published. */
	for (unsigned i = 0; i < c->n; i++) {
		uint32_t have = current_of(c, i);
		AY_ASSERT(have >= c->nodes[i].best && (have == 0 || published(c->p, have)));
		c->nodes[i].best = have;
	}
	return true;
}

void cluster_run(struct cluster *c, uint64_t for_ns)
{
	uint64_t until = c->now + for_ns;

	while (once(c, until))
		;
	c->now = until;
}

uint64_t cluster_now(const struct cluster *c)
{
	return c->now;
}

uint32_t current_of(const struct cluster *c, unsigned node)
{
	const struct ay_fakebranch *b = ay_fakenode_branch(c->nodes[node].fake, c->p->branch);

	return b ? b->have_serial : 0;
}

bool wait_all_current(struct cluster *c, uint32_t serial, unsigned limit_s)
{
	uint64_t until = c->now + limit_s * SECOND;

	for (;;) {
		bool all = true;
		for (unsigned i = 0; i < c->n; i++)
			all &= c->nodes[i].m.school || !c->nodes[i].on || current_of(c, i) == serial;
		if (all)
			return true;
		if (!once(c, until))
			return false;
	}
}

bool wait_blocks(struct cluster *c, unsigned node, const struct ay_digest *bundle, uint32_t blocks,
		 unsigned limit_s)
{
	uint64_t until = c->now + limit_s * SECOND;
	bool whole;

	while (ay_fakenode_blocks(c->nodes[node].fake, bundle, &whole) < blocks)
		if (!once(c, until))
			return false;
	return true;
}

/* ---- what was seen */

uint64_t block_bytes_sent(const struct cluster *c, unsigned node)
{
	return c->nodes[node].block_bytes;
}

struct ay_core_status *node_status(struct cluster *c, unsigned node)
{
	ay_core_status(ay_fakenode_core(c->nodes[node].fake), &c->status);
	return &c->status;
}

uint64_t blocks_twice(const struct cluster *c, unsigned node)
{
	struct ay_core_status s = {0};

	if (c->nodes[node].on)
		ay_core_status(ay_fakenode_core(c->nodes[node].fake), &s);
	return c->nodes[node].twice + s.bytes_twice;
}

uint64_t cluster_steps(const struct cluster *c)
{
	return c->steps;
}

uint64_t datagrams(const struct cluster *c, enum ay_group group)
{
	return c->datagrams[group];
}

void cluster_clear_trace(struct cluster *c)
{
	for (unsigned i = 0; i < c->n; i++) {
		c->nodes[i].trace_len = 0;
		c->nodes[i].trace[0] = '\0';
	}
}

const char *trace_of(struct cluster *c, unsigned node, const char *rooms)
{
	const char *p = c->nodes[node].trace;
	size_t len = 0;

	c->filtered[0] = '\0';
	while (*p) {
		const char *end = strchr(p, '\n'), *space = strchr(p, ' ');
		size_t n = (size_t)(end - p) + 1, room = (size_t)(space - p);
		const char *at = strstr(rooms, "");
		bool wanted = false;
		for (; *at; at += strcspn(at, " "), at += strspn(at, " "))
			wanted |= strcspn(at, " ") == room && strncmp(at, p, room) == 0;
		if (wanted) {
			memcpy(c->filtered + len, p, n);
			len += n;
			c->filtered[len] = '\0';
		}
		p = end + 1;
	}
	return c->filtered;
}
