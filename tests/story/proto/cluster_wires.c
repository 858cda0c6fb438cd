/* SPDX-License-Identifier: MIT */
/* What the machines of a cluster order: datagrams, sessions, frames; each is looked at on the way. */
#include "tests/story/proto/cluster_internal.h"

#include "proto/wire.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint8_t *copy_of(struct ay_slice s)
{
	uint8_t *copy = malloc(s.len ? s.len : 1);

	AY_ASSERT(copy);
	if (s.len)
		memcpy(copy, s.data, s.len);
	return copy;
}

static void push(struct cluster *c, struct packet p)
{
	p.seq = ++c->seq;
	p.life = c->nodes[p.node].life;
	packets_push(&c->heap, p);
}

static unsigned index_of(struct cluster *c, const struct ay_fakenode *f)
{
	for (unsigned i = 0; i < c->n; i++)
		if (c->nodes[i].fake == f)
			return i;
	abort();
}

static uint64_t now_ns(void *ctx)
{
	return ((struct cluster *)ctx)->now;
}

static void run_at(void *ctx, struct ay_fakenode *f, uint64_t at_ns)
{
	struct cluster *c = ctx;

	for (unsigned i = 0; i < c->n; i++)
		if (c->nodes[i].fake == f)
			c->nodes[i].run_at = at_ns;
}

/* Sending takes time by its bytes; returns when the last one has left. */
static uint64_t send_time(struct node *n, uint64_t now, size_t bytes)
{
	uint64_t start = n->sending_until > now ? n->sending_until : now;

	n->sending_until = start + bytes * SECOND / n->rate;
	return n->sending_until;
}

void cluster__to_group(struct cluster *c, unsigned from, const struct ay_addr *addr, enum ay_group group,
		       struct ay_slice data, uint64_t at)
{
	c->datagrams[group]++;
	for (unsigned i = 0; i < c->n; i++) {
		if (!c->nodes[i].on || !c->multicast || (from < c->n && c->nodes[from].cut[i]))
			continue;
		push(c, (struct packet){.at = at,
					.what = DATAGRAM,
					.node = i,
					.group = group,
					.from = *addr,
					.data = copy_of(data),
					.len = data.len});
	}
}

/* Nothing may be said that is not durable here. */
static void check_datagram(struct cluster *c, unsigned node, struct ay_slice data)
{
	struct ay_wire_datagram d;
	const struct ay_fakebranch *b = ay_fakenode_branch(c->nodes[node].fake, c->p->branch);

	AY_ASSERT(ay_wire_datagram_get(data.data, data.len, &d) == 0);
	if (d.type == AY_DATAGRAM_HEAD)
		AY_ASSERT(b && b->has_head && memcmp(b->head, d.head, AY_HEAD_SIZE) == 0);
	else
		AY_ASSERT(d.root_version <= ay_fakenode_root_version(c->nodes[node].fake));
	for (unsigned i = 0; i < d.n && b; i++)
		AY_ASSERT(d.summaries[i].have_serial <= b->have_serial);
}

static void check_frame(struct cluster *c, unsigned node, uint8_t type, struct ay_slice payload)
{
	const struct ay_fakebranch *b = ay_fakenode_branch(c->nodes[node].fake, c->p->branch);
	struct ay_wire_hello h;
	struct ay_wire_doc d;

	if (type == AY_FRAME_HELLO) {
		AY_ASSERT(ay_wire_hello_get(payload.data, payload.len, &h) == 0);
		AY_ASSERT(h.root_version <= ay_fakenode_root_version(c->nodes[node].fake));
		AY_ASSERT(h.n == 0 || (b && h.summaries[0].have_serial <= b->have_serial));
	} else if (type == AY_FRAME_DOC) {
		AY_ASSERT(ay_wire_doc_get(payload.data, payload.len, &d) == 0);
		struct ay_digest digest;
		ay_digest_mem(d.bytes.data, d.bytes.len, &digest);
		AY_ASSERT(d.kind != AY_DOC_TYPE_HEAD || memcmp(b->head, d.bytes.data, AY_HEAD_SIZE) == 0);
		AY_ASSERT(d.kind != AY_DOC_TYPE_RELEASE ||
			  ay_fakenode_has_doc(c->nodes[node].fake, AY_EV_RELEASE, &digest));
		AY_ASSERT(d.kind != AY_DOC_TYPE_OFFERS ||
			  ay_fakenode_has_doc(c->nodes[node].fake, AY_EV_OFFER, &digest));
	}
}

static void on_datagram(void *ctx, struct ay_fakenode *f, enum ay_group group, const struct ay_addr *to,
			struct ay_slice data)
{
	struct cluster *c = ctx;
	unsigned i = index_of(c, f);

	(void)to;
	check_datagram(c, i, data);
	cluster__to_group(c, i, &c->nodes[i].addr, group, data,
			  send_time(&c->nodes[i], c->now, data.len) + LATENCY_NS);
}

static void on_connect(void *ctx, struct ay_fakenode *f, uint64_t conn, const struct ay_addr *to)
{
	struct cluster *c = ctx;
	unsigned from = index_of(c, f), i = 0;

	while (i < c->n && memcmp(c->nodes[i].addr.ip, to->ip, 16) != 0)
		i++;
	AY_ASSERT(c->n_wires < WIRES_MAX);
	struct wire *w = &c->wires[c->n_wires];
	bool works = i < c->n && c->nodes[i].on && !c->nodes[from].cut[i];
	*w = (struct wire){.open = works, .node = {from, i}, .conn = {conn, 0}};
	if (!works) {
		push(c, (struct packet){
				.at = c->now + SECOND, .what = REFUSED, .node = from, .wire = c->n_wires++});
		return;
	}
	w->conn[1] = c->nodes[i].next_in += 2;
	push(c, (struct packet){.at = c->now + LATENCY_NS, .what = CONNECT, .node = i, .wire = c->n_wires});
	push(c,
	     (struct packet){
		     .at = c->now + 2 * LATENCY_NS, .what = CONNECTED, .node = from, .wire = c->n_wires++});
}

static struct wire *wire_of(struct cluster *c, unsigned node, uint64_t conn, unsigned *end)
{
	for (unsigned i = c->n_wires; i-- > 0;) {
		struct wire *w = &c->wires[i];
		for (unsigned e = 0; e < 2; e++) {
			if (w->open && w->node[e] == node && w->conn[e] == conn) {
				*end = e;
				return w;
			}
		}
	}
	return NULL;
}

void cluster__close_wire(struct cluster *c, struct wire *w, unsigned from_end)
{
	unsigned other = w->node[!from_end];

	w->open = false;
	if (c->nodes[other].on)
		push(c, (struct packet){.at = c->now + LATENCY_NS,
					.what = CLOSED,
					.node = other,
					.wire = (unsigned)(w - c->wires)});
}

static void on_close(void *ctx, struct ay_fakenode *f, uint64_t conn)
{
	struct cluster *c = ctx;
	unsigned end;
	struct wire *w = wire_of(c, index_of(c, f), conn, &end);

	if (w)
		cluster__close_wire(c, w, end);
}

static void on_frame(void *ctx, struct ay_fakenode *f, uint64_t conn, uint8_t type, struct ay_slice payload)
{
	struct cluster *c = ctx;
	unsigned i = index_of(c, f), end;
	struct node *n = &c->nodes[i];
	struct wire *w = wire_of(c, i, conn, &end);
	bool bulk = type == AY_FRAME_BLOCK || type == AY_FRAME_HASHES;
	uint64_t left = send_time(n, c->now, payload.len + AY_FRAME_HEADER);

	check_frame(c, i, type, payload);
	if (bulk)
		push(c, (struct packet){.at = left,
					.what = SENT,
					.node = i,
					.wire = w ? (unsigned)(w - c->wires) : 0,
					.len = conn});
	if (!w || (n->vice == VICE_SILENCE && bulk))
		return;
	uint8_t *data = copy_of(payload);
	if ((n->vice == VICE_WRONG_BLOCKS && type == AY_FRAME_BLOCK) ||
	    (n->vice == VICE_WRONG_HASHES && type == AY_FRAME_HASHES))
		data[payload.len - 1] ^= 1;
	if (n->vice == VICE_GARBAGE && type == AY_FRAME_BITMAP)
		data[40] = 77;
	if (type == AY_FRAME_BLOCK)
		n->block_bytes += payload.len - AY_BLOCK_HEADER;
	push(c, (struct packet){.at = left + LATENCY_NS,
				.what = FRAME,
				.node = w->node[!end],
				.wire = (unsigned)(w - c->wires),
				.type = type,
				.data = data,
				.len = payload.len});
}

static void on_stepped(void *ctx, struct ay_fakenode *f, const struct ay_event *ev, int rc,
		       const struct ay_orders *out)
{
	struct cluster *c = ctx;
	struct node *n = &c->nodes[index_of(c, f)];
	const char *broken = ay_core_check(ay_fakenode_core(f));

	(void)out;
	c->steps++;
	AY_ASSERT(rc != -ENOMEM);
	if (broken) {
		fprintf(stderr, "%s at %.3f s after event %d: %s\n%s", n->name, (double)c->now / 1e9,
			ev->type, broken, n->trace);
		abort();
	}
}

void cluster__trace(void *ctx, const char *room, const char *line)
{
	struct end *e = ctx;
	struct node *n = &e->c->nodes[e->node];
	size_t room_left = TRACE_MAX - n->trace_len;

	if (getenv("STORY_TRACE"))
		fprintf(stderr, "%9.3f %-8s %s %s\n", (double)e->c->now / 1e9, n->name, room, line);
	if (room_left > strlen(room) + strlen(line) + 3)
		n->trace_len += (size_t)snprintf(n->trace + n->trace_len, room_left, "%s %s\n", room, line);
}

const struct ay_fakenode_ops cluster__ops = {.now_ns = now_ns,
					     .run_at = run_at,
					     .datagram = on_datagram,
					     .connect = on_connect,
					     .close = on_close,
					     .frame = on_frame,
					     .stepped = on_stepped};
