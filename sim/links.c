/* SPDX-License-Identifier: MIT */
/*
 * Sessions: two ends, and parcels between them in order. What cannot be given now waits at the receiver's end; if
 * it waits too long the sender is told, and only the sender, as with TCP.
 */
#include "sim/medium_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

struct ay__net_parcel *ay__net_parcel_new(uint8_t type, struct ay_slice data)
{
	struct ay__net_parcel *p = malloc(sizeof(*p) + data.len);

	AY_ASSERT(p);
	p->next = NULL;
	p->type = type;
	p->len = data.len;
	if (data.len)
		memcpy(p->data, data.data, data.len);
	return p;
}

/* ---- links */

struct ay__net_event *ay__net_push_link(struct ay_medium *m, enum ay__net_kind kind, uint64_t at_ns,
					struct ay__net_link *l, unsigned end)
{
	struct ay__net_event *e = ay__net_push(m, kind, at_ns);

	e->link = l;
	e->end = end;
	l->refs++;
	return e;
}

struct ay__net_link *ay__net_link_new(struct ay_medium *m)
{
	struct ay__net_link *l = calloc(1, sizeof(*l));

	if (m->n_links == m->cap_links) {
		m->cap_links = m->cap_links ? 2 * m->cap_links : 64;
		m->links = reallocarray(m->links, m->cap_links, sizeof(struct ay__net_link *));
	}
	AY_ASSERT(l && m->links);
	l->slot = m->n_links;
	m->links[m->n_links++] = l;
	return l;
}

void ay__net_drop_waiting(struct ay__net_end *e)
{
	while (e->waiting) {
		struct ay__net_parcel *p = e->waiting;
		e->waiting = p->next;
		free(p);
	}
	e->last = NULL;
}

void ay__net_drop_out(struct ay__net_end *e)
{
	while (e->out) {
		struct ay__net_parcel *p = e->out;
		e->out = p->next;
		free(p);
	}
	e->out_last = NULL;
	e->out_done = 0;
}

void ay__net_link_unref(struct ay_medium *m, struct ay__net_link *l)
{
	AY_ASSERT(l->refs > 0);
	if (--l->refs > 0)
		return;
	m->links[l->slot] = m->links[--m->n_links];
	m->links[l->slot]->slot = l->slot;
	for (unsigned i = 0; i < 2; i++) {
		ay__net_drop_waiting(&l->ends[i]);
		ay__net_drop_out(&l->ends[i]);
	}
	free(l);
}

void ay__net_end_open(struct ay__net_link *l, unsigned i, unsigned station, uint64_t conn)
{
	l->ends[i].station = station;
	l->ends[i].conn = conn;
	l->ends[i].open = true;
	l->refs++;
}

/* The last word about this end; may free the link. */
void ay__net_end_close(struct ay_medium *m, struct ay__net_link *l, unsigned i)
{
	if (!l->ends[i].open)
		return;
	l->ends[i].open = false;
	ay__net_drop_waiting(&l->ends[i]);
	ay__net_drop_out(&l->ends[i]);
	ay__net_link_unref(m, l);
}

struct ay__net_link *ay__net_link_of(const struct ay_medium *m, unsigned station, uint64_t conn,
				     unsigned *end)
{
	for (unsigned i = 0; i < m->n_links; i++) {
		for (unsigned k = 0; k < 2; k++) {
			const struct ay__net_end *e = &m->links[i]->ends[k];
			if (e->open && e->station == station && e->conn == conn) {
				*end = k;
				return m->links[i];
			}
		}
	}
	return NULL;
}

/* ---- ways through the air */

uint64_t ay__net_delay(struct ay_medium *m)
{
	const uint64_t *d = m->config.delay_ns;

	return d[0] + ay_prng_below(&m->prng, d[1] - d[0] + 1);
}

bool ay__net_chance(struct ay_medium *m, unsigned permille)
{
	return ay_prng_below(&m->prng, 1000) < permille;
}

static bool powered(const struct ay__net_station *s)
{
	return s->state != AY_STATION_OFF;
}

bool ay__net_path(const struct ay_medium *m, unsigned a, unsigned b)
{
	return powered(&m->stations[a]) && powered(&m->stations[b]) &&
	       m->stations[a].island == m->stations[b].island;
}

/* Can it be given to that end now? A sleeper's sessions wait. */
bool ay__net_passes(const struct ay_medium *m, const struct ay__net_link *l, unsigned end)
{
	return !l->dead && ay__net_path(m, l->ends[0].station, l->ends[1].station) &&
	       m->stations[l->ends[end].station].state != AY_STATION_ASLEEP;
}

/* After all that is on its way to that end already. */
uint64_t ay__net_arrival(struct ay_medium *m, struct ay__net_link *l, unsigned end, uint64_t leaves_ns)
{
	struct ay__net_end *e = &l->ends[end];
	uint64_t at = leaves_ns + ay__net_delay(m);

	/* Lost on the air and sent again by the link: late, and all behind it too. */
	if (ay__net_chance(m, m->config.loss_permille))
		at += ay_prng_below(&m->prng, 200 * AY__NET_MS);
	e->last_ns = at > e->last_ns ? at : e->last_ns + 1;
	return e->last_ns;
}

void ay__net_send_parcel(struct ay_medium *m, struct ay__net_link *l, unsigned end, uint64_t leaves_ns,
			 struct ay__net_parcel *p)
{
	struct ay__net_event *e =
		ay__net_push_link(m, AY__NET_PARCEL, ay__net_arrival(m, l, end, leaves_ns), l, end);

	e->parcel = p;
}

void ay__net_flush_links(struct ay_medium *m)
{
	for (unsigned i = 0; i < m->n_links; i++)
		for (unsigned k = 0; k < 2; k++)
			if (m->links[i]->ends[k].waiting && ay__net_passes(m, m->links[i], k))
				ay__net_push_link(m, AY__NET_FLUSH, m->now + ay__net_delay(m), m->links[i],
						  k);
}

void ay__net_tell_closed(struct ay_medium *m, struct ay__net_link *l, unsigned end, int status)
{
	struct ay__net_station *s = &m->stations[l->ends[end].station];
	uint64_t conn = l->ends[end].conn;

	if (!l->ends[end].open)
		return;
	/* The event that brought us here speaks of the link too, so this is not the last word. */
	AY_ASSERT(l->refs > 1);
	l->refs--;
	l->ends[end].open = false;
	ay__net_drop_waiting(&l->ends[end]);
	ay__net_drop_out(&l->ends[end]);
	s->ops.closed(s->ctx, conn, status);
}

static void give(struct ay_medium *m, struct ay__net_link *l, unsigned end, struct ay__net_parcel *p)
{
	struct ay__net_station *s = &m->stations[l->ends[end].station];

	if (p->type == AY__NET_FIN)
		ay__net_tell_closed(m, l, end, 0);
	else
		s->ops.frame(s->ctx, l->ends[end].conn, p->type, (struct ay_slice){p->data, p->len});
	free(p);
}

void ay__net_on_parcel(struct ay_medium *m, struct ay__net_link *l, unsigned end, struct ay__net_parcel *p)
{
	struct ay__net_end *to = &l->ends[end];

	if (!to->open) {
		/* Nobody there: a reset comes back, if it can. */
		free(p);
		if (l->ends[1 - end].open && ay__net_passes(m, l, 1 - end))
			ay__net_push_link(m, AY__NET_CLOSED, m->now + ay__net_delay(m), l, 1 - end)->status =
				-ECONNRESET;
		return;
	}
	if (!to->waiting && ay__net_passes(m, l, end)) {
		give(m, l, end, p);
		return;
	}
	if (!to->waiting) {
		to->waiting_since = m->now;
		ay__net_push_link(m, AY__NET_STALLED, m->now + AY_MEDIUM_STALL_NS, l, end)->generation =
			m->now;
		to->waiting = p;
	} else {
		to->last->next = p;
	}
	to->last = p;
}

void ay__net_on_flush(struct ay_medium *m, struct ay__net_link *l, unsigned end)
{
	struct ay__net_end *to = &l->ends[end];

	while (to->open && to->waiting && ay__net_passes(m, l, end)) {
		struct ay__net_parcel *p = to->waiting;
		to->waiting = p->next;
		if (!to->waiting)
			to->last = NULL;
		give(m, l, end, p);
	}
	if (to->waiting) {
		to->waiting_since = m->now;
		ay__net_push_link(m, AY__NET_STALLED, m->now + AY_MEDIUM_STALL_NS, l, end)->generation =
			m->now;
	}
}

void ay__net_on_stalled(struct ay_medium *m, const struct ay__net_event *e)
{
	struct ay__net_end *to = &e->link->ends[e->end];

	if (to->waiting && to->waiting_since == e->generation)
		ay__net_push_link(m, AY__NET_CLOSED, m->now, e->link, 1 - e->end)->status = -ETIMEDOUT;
}
