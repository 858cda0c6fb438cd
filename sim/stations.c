/* SPDX-License-Identifier: MIT */
/*
 * One heap of events, and a network made of them. An event owns its bytes. A link is a session's two ends; it lives
 * as long as an end is open or an event speaks of it.
 */
#include "sim/medium_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define CONNECT_TIME_NS (5000 * AY__NET_MS)
#define LATER_NS        1000000000u

/* ---- what happens */

static int find_station(const struct ay_medium *m, const struct ay_addr *addr)
{
	for (unsigned i = 0; i < m->n_stations; i++)
		if (memcmp(m->stations[i].addr.ip, addr->ip, sizeof(addr->ip)) == 0 &&
		    m->stations[i].addr.port == addr->port)
			return (int)i;
	return -1;
}

static void on_syn(struct ay_medium *m, struct ay__net_link *l, unsigned to)
{
	unsigned from = l->ends[0].station;
	struct ay__net_station *s = &m->stations[to];

	if (!l->ends[0].open)
		return;
	if (!ay__net_path(m, from, to) || s->state == AY_STATION_ASLEEP) {
		ay__net_push_link(m, AY__NET_CLOSED, m->now + CONNECT_TIME_NS, l, 0)->status = -ETIMEDOUT;
		return;
	}
	if (s->state == AY_STATION_DOWN) {
		ay__net_push_link(m, AY__NET_CLOSED, m->now + ay__net_delay(m), l, 0)->status = -ECONNREFUSED;
		return;
	}
	m->next_conn += 2;
	ay__net_end_open(l, 1, to, m->next_conn);
	ay__net_push_link(m, AY__NET_ACK, ay__net_arrival(m, l, 0, m->now), l, 0);
	struct ay_addr addr = m->stations[from].addr;
	addr.port = (uint16_t)(20000 + m->next_conn % 40000); /* what a client's port looks like */
	s->ops.connected(s->ctx, l->ends[1].conn, &addr, true);
}

static void on_ack(struct ay_medium *m, struct ay__net_link *l)
{
	struct ay__net_station *s = &m->stations[l->ends[0].station];

	if (!l->ends[0].open)
		return;
	if (!ay__net_passes(m, l, 0)) {
		l->dead = true;
		ay__net_push_link(m, AY__NET_CLOSED, m->now + CONNECT_TIME_NS, l, 0)->status = -ETIMEDOUT;
		return;
	}
	s->ops.connected(s->ctx, l->ends[0].conn, &m->stations[l->ends[1].station].addr, false);
}

static void on_heard(const struct ay__net_event *e, struct ay__net_station *s)
{
	struct ay_slice data = {e->parcel->data, e->parcel->len};

	if (s->state == AY_STATION_UP)
		s->ops.heard(s->ctx, e->group, &e->from, data);
	else if (s->state == AY_STATION_ASLEEP && e->group == AY_GROUP_NEWS && s->ops.news_asleep)
		s->ops.news_asleep(s->ctx);
}

static void on_timer(const struct ay__net_event *e, struct ay__net_station *s)
{
	if (e->generation != s->generation)
		return;
	s->wake_at = AY_MEDIUM_NEVER;
	if (s->state == AY_STATION_UP)
		s->ops.timer(s->ctx);
	else if (s->state == AY_STATION_ASLEEP)
		s->overslept = true;
}

/* A sleeper is told when it wakes, for it does nothing now. */
static bool asleep(const struct ay_medium *m, const struct ay__net_link *l, unsigned end)
{
	return l->ends[end].open && m->stations[l->ends[end].station].state == AY_STATION_ASLEEP;
}

static void happen(struct ay_medium *m, struct ay__net_event *e)
{
	struct ay__net_station *s = &m->stations[e->station];
	struct ay__net_link *l = e->link;

	switch (e->kind) {
	case AY__NET_TIMER:
		on_timer(e, s);
		break;
	case AY__NET_HEARD:
		on_heard(e, s);
		free(e->parcel);
		break;
	case AY__NET_SYN:
		on_syn(m, l, e->station);
		break;
	case AY__NET_CHUNK:
		ay__net_on_chunk(m, e);
		break;
	case AY__NET_PART:
		ay__net_on_part(m, e);
		break;
	case AY__NET_ACK:
		on_ack(m, l);
		break;
	case AY__NET_CLOSED:
		if (asleep(m, l, e->end))
			ay__net_push_link(m, AY__NET_CLOSED, m->now + LATER_NS, l, e->end)->status =
				e->status;
		else
			ay__net_tell_closed(m, l, e->end, e->status);
		break;
	case AY__NET_PARCEL:
		ay__net_on_parcel(m, l, e->end, e->parcel);
		break;
	case AY__NET_FLUSH:
		ay__net_on_flush(m, l, e->end);
		break;
	case AY__NET_SENT:
		s = &m->stations[l->ends[e->end].station];
		if (asleep(m, l, e->end))
			ay__net_push_link(m, AY__NET_SENT, m->now + LATER_NS, l, e->end);
		else if (l->ends[e->end].open)
			s->ops.sent(s->ctx, l->ends[e->end].conn);
		break;
	case AY__NET_STALLED:
		ay__net_on_stalled(m, e);
		break;
	case AY__NET_CALL:
		e->fn(e->ctx, e->arg);
		break;
	}
}

/* FNV-1a over what tells one run from another. Of a block its name is enough: its bytes are checked elsewhere. */
static void mix(struct ay_medium *m, const void *data, size_t len)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < len; i++)
		m->hash = (m->hash ^ p[i]) * 0x100000001b3;
}

static void mix_number(struct ay_medium *m, uint64_t v)
{
	for (unsigned i = 0; i < 8; i++)
		m->hash = (m->hash ^ (uint8_t)(v >> 8 * i)) * 0x100000001b3;
}

static void hash_event(struct ay_medium *m, const struct ay__net_event *e)
{
	uint64_t v[6] = {e->at_ns, e->kind, e->station, e->generation, e->end, (uint64_t)e->status};

	if (e->kind == AY__NET_TIMER && e->generation != m->stations[e->station].generation)
		return;
	for (unsigned i = 0; i < sizeof(v) / sizeof(v[0]); i++)
		mix_number(m, v[i]);
	if (e->link)
		mix_number(m, e->link->ends[e->end].conn);
	if (e->parcel) {
		mix(m, &e->parcel->type, 1);
		mix(m, e->parcel->data, e->parcel->len < 512 ? e->parcel->len : AY_HASHES_HEADER);
	}
}

bool ay_medium_step(struct ay_medium *m)
{
	struct ay__net_event *e = ay_heap_pop(&m->heap);

	if (!e)
		return false;
	AY_ASSERT(e->at_ns >= m->now);
	m->now = e->at_ns;
	hash_event(m, e);
	happen(m, e);
	if (e->link)
		ay__net_link_unref(m, e->link);
	free(e);
	return true;
}

/* ---- life */

struct ay_medium *ay_medium_new(const struct ay_medium_config *config)
{
	struct ay_medium *m = calloc(1, sizeof(*m));

	AY_ASSERT(m && config->delay_ns[0] <= config->delay_ns[1]);
	m->config = *config;
	m->hash = 0xcbf29ce484222325;
	m->stations = calloc(AY_STATIONS_MAX, sizeof(*m->stations));
	AY_ASSERT(m->stations);
	ay_prng_init(&m->prng, config->seed);
	return m;
}

void ay_medium_free(struct ay_medium *m)
{
	struct ay__net_event *e;

	if (!m)
		return;
	while ((e = ay_heap_pop(&m->heap))) {
		free(e->parcel);
		free(e);
	}
	for (unsigned i = 0; i < m->n_links; i++) {
		for (unsigned k = 0; k < 2; k++) {
			ay__net_drop_waiting(&m->links[i]->ends[k]);
			ay__net_drop_out(&m->links[i]->ends[k]);
		}
		free(m->links[i]);
	}
	ay_heap_release(&m->heap);
	free(m->links);
	free(m->stations);
	free(m);
}

uint64_t ay_medium_now(const struct ay_medium *m)
{
	return m->now;
}

uint64_t ay_medium_hash(const struct ay_medium *m)
{
	return m->hash;
}

void ay_medium_call(struct ay_medium *m, uint64_t at_ns, void (*fn)(void *ctx, uint64_t arg), void *ctx,
		    uint64_t arg)
{
	struct ay__net_event *e = ay__net_push(m, AY__NET_CALL, at_ns);

	e->fn = fn;
	e->ctx = ctx;
	e->arg = arg;
}

unsigned ay_medium_join(struct ay_medium *m, const struct ay_addr *addr, uint64_t bytes_per_s,
			const struct ay_station_ops *ops, void *ctx)
{
	AY_ASSERT(m->n_stations < AY_STATIONS_MAX && bytes_per_s > 0);
	m->stations[m->n_stations] = (struct ay__net_station){.addr = *addr,
							      .ops = *ops,
							      .ctx = ctx,
							      .ps_per_byte = 1000000000000u / bytes_per_s,
							      .wake_at = AY_MEDIUM_NEVER};
	return m->n_stations++;
}

static void leave_sessions(struct ay_medium *m, unsigned station, bool tell)
{
	for (unsigned i = m->n_links; i-- > 0;) {
		struct ay__net_link *l = m->links[i];
		l->refs++; /* both ends may be this station's */
		for (unsigned k = 0; k < 2; k++) {
			if (!l->ends[k].open || l->ends[k].station != station)
				continue;
			if (tell && l->ends[1 - k].open)
				ay__net_send_parcel(m, l, 1 - k, m->now,
						    ay__net_parcel_new(AY__NET_FIN, (struct ay_slice){0}));
			ay__net_end_close(m, l, k);
		}
		ay__net_link_unref(m, l);
	}
}

void ay_medium_set_state(struct ay_medium *m, unsigned station, enum ay_station_state state)
{
	struct ay__net_station *s = &m->stations[station];
	bool woken = s->state == AY_STATION_ASLEEP && state == AY_STATION_UP;

	if (state == AY_STATION_DOWN || state == AY_STATION_OFF)
		leave_sessions(m, station, state == AY_STATION_DOWN);
	s->state = state;
	if (woken && s->overslept)
		ay_medium_run_at(m, station, m->now);
	s->overslept = false;
	if (woken)
		ay__net_flush_links(m);
}

enum ay_station_state ay_medium_state(const struct ay_medium *m, unsigned station)
{
	return m->stations[station].state;
}

void ay_medium_set_island(struct ay_medium *m, unsigned station, unsigned island)
{
	m->stations[station].island = island;
	ay__net_flush_links(m);
}

void ay_medium_break(struct ay_medium *m, bool silent)
{
	if (m->n_links == 0)
		return;
	struct ay__net_link *l = m->links[ay_prng_below(&m->prng, m->n_links)];
	if (!l->ends[0].open || !l->ends[1].open)
		return;
	l->dead = true;
	for (unsigned k = 0; k < 2 && !silent; k++)
		ay__net_push_link(m, AY__NET_CLOSED, m->now + ay__net_delay(m), l, k)->status = -ECONNRESET;
}

/* ---- what a station does */

void ay_medium_run_at(struct ay_medium *m, unsigned station, uint64_t at_ns)
{
	struct ay__net_station *s = &m->stations[station];

	if (at_ns == s->wake_at)
		return;
	s->wake_at = at_ns;
	s->generation++;
	if (at_ns == AY_MEDIUM_NEVER)
		return;
	struct ay__net_event *e = ay__net_push(m, AY__NET_TIMER, at_ns);
	e->station = station;
	e->generation = s->generation;
}

static void hear(struct ay_medium *m, unsigned station, enum ay_group group, const struct ay_addr *from,
		 struct ay_slice data)
{
	uint64_t at = m->now + ay__net_delay(m);

	if (ay__net_chance(m, m->config.loss_permille))
		return;
	if (ay__net_chance(m, m->config.late_permille))
		at += ay_prng_below(&m->prng, m->config.late_ns + 1);
	struct ay__net_event *e = ay__net_push(m, AY__NET_HEARD, at);
	e->station = station;
	e->group = group;
	e->from = *from;
	e->parcel = ay__net_parcel_new(0, data);
}

void ay_medium_datagram(struct ay_medium *m, unsigned station, enum ay_group group,
			const struct ay_addr *from, const struct ay_addr *to, struct ay_slice data)
{
	struct ay__net_station *s = &m->stations[station];

	s->counts.datagrams++;
	s->counts.datagram_bytes += data.len;
	for (unsigned i = 0; i < m->n_stations; i++) {
		const struct ay__net_station *r = &m->stations[i];
		if (i == station || !ay__net_path(m, station, i) || r->state < AY_STATION_ASLEEP)
			continue;
		if (to && memcmp(to->ip, r->addr.ip, sizeof(to->ip)) != 0)
			continue;
		hear(m, i, group, from ? from : &s->addr, data);
		if (ay__net_chance(m, m->config.twice_permille))
			hear(m, i, group, from ? from : &s->addr, data);
	}
}

void ay_medium_connect(struct ay_medium *m, unsigned station, uint64_t conn, const struct ay_addr *to)
{
	struct ay__net_link *l = ay__net_link_new(m);
	int peer = find_station(m, to);

	ay__net_end_open(l, 0, station, conn);
	if (peer < 0) {
		ay__net_push_link(m, AY__NET_CLOSED, m->now + CONNECT_TIME_NS, l, 0)->status = -EHOSTUNREACH;
		return;
	}
	l->ends[1].station = (unsigned)peer;
	ay__net_push_link(m, AY__NET_SYN, m->now + ay__net_delay(m), l, 1)->station = (unsigned)peer;
}

void ay_medium_close(struct ay_medium *m, unsigned station, uint64_t conn)
{
	unsigned end;
	struct ay__net_link *l = ay__net_link_of(m, station, conn, &end);

	if (!l)
		return;
	if (l->ends[1 - end].open)
		ay__net_send_parcel(m, l, 1 - end, m->now,
				    ay__net_parcel_new(AY__NET_FIN, (struct ay_slice){0}));
	ay__net_end_close(m, l, end);
}

void ay_medium_frame(struct ay_medium *m, unsigned station, uint64_t conn, uint8_t type,
		     struct ay_slice payload)
{
	struct ay__net_station *s = &m->stations[station];
	unsigned end;
	struct ay__net_link *l = ay__net_link_of(m, station, conn, &end);

	if (!l)
		return;
	s->counts.frames++;
	if (type == AY_FRAME_BLOCK) {
		s->counts.blocks++;
		s->counts.block_bytes += payload.len - AY_BLOCK_HEADER;
	}
	if (m->config.fair) {
		ay__net_fair_send(m, l, end, ay__net_parcel_new(type, payload));
		return;
	}
	uint64_t start = s->busy_until > m->now ? s->busy_until : m->now;
	s->busy_until = start + (payload.len + AY__NET_FRAME_OVERHEAD) * s->ps_per_byte / 1000;
	if (type == AY_FRAME_BLOCK || type == AY_FRAME_HASHES)
		ay__net_push_link(m, AY__NET_SENT, s->busy_until, l, end);
	ay__net_send_parcel(m, l, 1 - end, s->busy_until, ay__net_parcel_new(type, payload));
}

const struct ay_station_counts *ay_medium_counts(const struct ay_medium *m, unsigned station)
{
	return &m->stations[station].counts;
}
