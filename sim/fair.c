/* SPDX-License-Identifier: MIT */
/*
 * A slow channel that all share: each session that has something to send gets 4 KiB in turn, as TCP's streams do, so that a block to
 * each of six on 1 Mbit/s takes 3 s, and longer when they give to each other. Whoever waits for one is told now and then that it comes, as node/ does (AY_EV_BLOCK_PART).
 */
#include "sim/medium_internal.h"

#define CHUNK   4096               /* what a part of a block is at least (proto/event.h) */
#define PART_NS (500 * AY__NET_MS) /* told twice a second at most */

/* The next chunk of the next session that has one. */
static void go_on(struct ay_medium *m)
{
	unsigned n = 2 * m->n_links;

	m->sending = false;
	for (unsigned i = 1; i <= n; i++) {
		unsigned at = (m->turn + i) % n;
		struct ay__net_end *e = &m->links[at / 2]->ends[at % 2];
		if (!e->open || !e->out)
			continue;
		size_t left = e->out->len + AY__NET_FRAME_OVERHEAD - e->out_done;
		size_t len = left < CHUNK ? left : CHUNK;
		if (e->out_done == 0)
			e->part_ns = m->now;
		m->turn = at;
		m->sending = true;
		ay__net_push_link(m, AY__NET_CHUNK, m->now + len * m->stations[e->station].ps_per_byte / 1000,
				  m->links[at / 2], at % 2);
		return;
	}
}

void ay__net_fair_send(struct ay_medium *m, struct ay__net_link *l, unsigned end, struct ay__net_parcel *p)
{
	struct ay__net_end *e = &l->ends[end];

	if (e->out)
		e->out_last->next = p;
	else
		e->out = p;
	e->out_last = p;
	if (!m->sending)
		go_on(m);
}

static void chunk_left(struct ay_medium *m, struct ay__net_link *l, unsigned end)
{
	struct ay__net_end *e = &l->ends[end];
	struct ay__net_parcel *p = e->out;

	e->out_done += CHUNK;
	if (e->out_done < p->len + AY__NET_FRAME_OVERHEAD) {
		if (p->type != AY_FRAME_BLOCK || m->config.no_parts || m->now - e->part_ns < PART_NS)
			return;
		e->part_ns = m->now;
		ay__net_push_link(m, AY__NET_PART, ay__net_arrival(m, l, 1 - end, m->now), l, 1 - end);
		return;
	}
	e->out = p->next;
	if (!e->out)
		e->out_last = NULL;
	e->out_done = 0;
	p->next = NULL;
	if (p->type == AY_FRAME_BLOCK || p->type == AY_FRAME_HASHES)
		ay__net_push_link(m, AY__NET_SENT, m->now, l, end);
	ay__net_send_parcel(m, l, 1 - end, m->now, p);
}

void ay__net_on_chunk(struct ay_medium *m, const struct ay__net_event *e)
{
	const struct ay__net_end *from = &e->link->ends[e->end];

	if (from->open && from->out)
		chunk_left(m, e->link, e->end);
	go_on(m);
}

void ay__net_on_part(struct ay_medium *m, const struct ay__net_event *e)
{
	const struct ay__net_end *to = &e->link->ends[e->end];
	const struct ay__net_station *s = &m->stations[to->station];

	if (to->open && !to->waiting && ay__net_passes(m, e->link, e->end) && s->ops.part)
		s->ops.part(s->ctx, to->conn);
}
