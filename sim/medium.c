/* SPDX-License-Identifier: MIT */
/*
 * One heap of events, and a network made of them. An event owns its bytes. A link is a session's two ends; it lives
 * as long as an end is open or an event speaks of it.
 */
#include "sim/medium.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define MS              ((uint64_t)1000000)
#define CONNECT_TIME_NS (5000 * MS)
#define LATER_NS        1000000000u
#define PARCEL_FIN      255 /* beside the frame types: the other end has closed */
#define FRAME_OVERHEAD  60  /* bytes on the wire beside the payload */

struct link {
	unsigned refs, slot; /* slot: in the medium's table */
	bool dead;           /* carries nothing any more, and nobody was told */
	struct end {
		unsigned station;
		uint64_t conn;
		bool open;
		uint64_t last_ns;              /* nothing arrives here before */
		struct parcel *waiting, *last; /* arrived, but the path was cut */
		uint64_t waiting_since;
	} ends[2];
};

struct parcel {
	struct parcel *next;
	uint8_t type;
	size_t len;
	uint8_t data[];
};

enum kind {
	EV_TIMER,
	EV_HEARD,
	EV_SYN,
	EV_ACK,
	EV_CLOSED,
	EV_PARCEL,
	EV_FLUSH,
	EV_SENT,
	EV_STALLED,
	EV_CALL
};

struct event {
	uint64_t at_ns, seq;
	enum kind kind;
	unsigned station;
	uint64_t generation; /* of a timer; stalled: since when */
	struct link *link;
	unsigned end; /* that it concerns: receiver, or who is told */
	int status;
	enum ay_group group;
	struct ay_addr from;
	struct parcel *parcel;
	void (*fn)(void *ctx, uint64_t arg);
	void *ctx;
	uint64_t arg;
};

struct station {
	struct ay_addr addr;
	struct ay_station_ops ops;
	void *ctx;
	enum ay_station_state state;
	unsigned island;
	uint64_t ps_per_byte; /* picoseconds: a rate need not divide 10^9 */
	uint64_t busy_until;
	uint64_t wake_at, generation;
	bool overslept;
	struct ay_station_counts counts;
};

struct ay_medium {
	struct ay_medium_config config;
	struct ay_prng prng;
	uint64_t now, seq, next_conn, hash;
	struct event **heap;
	size_t n, cap;
	struct station *stations;
	unsigned n_stations;
	struct link **links;
	unsigned n_links, cap_links;
};

/* ---- the heap */

static bool before(const struct event *a, const struct event *b)
{
	return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->seq < b->seq;
}

static struct event *push(struct ay_medium *m, enum kind kind, uint64_t at_ns)
{
	struct event *e = calloc(1, sizeof(*e));

	if (m->n == m->cap) {
		m->cap = m->cap ? 2 * m->cap : 1024;
		m->heap = reallocarray(m->heap, m->cap, sizeof(*m->heap));
	}
	AY_ASSERT(e && m->heap);
	e->kind = kind;
	e->at_ns = at_ns > m->now ? at_ns : m->now;
	e->seq = m->seq++;
	size_t i = m->n++;
	for (; i > 0 && before(e, m->heap[(i - 1) / 2]); i = (i - 1) / 2)
		m->heap[i] = m->heap[(i - 1) / 2];
	m->heap[i] = e;
	return e;
}

static struct event *pop(struct ay_medium *m)
{
	struct event *top, *last;
	size_t i = 0, child;

	if (m->n == 0)
		return NULL;
	top = m->heap[0];
	last = m->heap[--m->n];
	while ((child = 2 * i + 1) < m->n) {
		if (child + 1 < m->n && before(m->heap[child + 1], m->heap[child]))
			child++;
		if (!before(m->heap[child], last))
			break;
		m->heap[i] = m->heap[child];
		i = child;
	}
	if (m->n)
		m->heap[i] = last;
	return top;
}

static struct parcel *parcel_new(uint8_t type, struct ay_slice data)
{
	struct parcel *p = malloc(sizeof(*p) + data.len);

	AY_ASSERT(p);
	p->next = NULL;
	p->type = type;
	p->len = data.len;
	if (data.len)
		memcpy(p->data, data.data, data.len);
	return p;
}

/* ---- links */

static struct event *push_link(struct ay_medium *m, enum kind kind, uint64_t at_ns, struct link *l,
			       unsigned end)
{
	struct event *e = push(m, kind, at_ns);

	e->link = l;
	e->end = end;
	l->refs++;
	return e;
}

static struct link *link_new(struct ay_medium *m)
{
	struct link *l = calloc(1, sizeof(*l));

	if (m->n_links == m->cap_links) {
		m->cap_links = m->cap_links ? 2 * m->cap_links : 64;
		m->links = reallocarray(m->links, m->cap_links, sizeof(*m->links));
	}
	AY_ASSERT(l && m->links);
	l->slot = m->n_links;
	m->links[m->n_links++] = l;
	return l;
}

static void drop_waiting(struct end *e)
{
	while (e->waiting) {
		struct parcel *p = e->waiting;
		e->waiting = p->next;
		free(p);
	}
	e->last = NULL;
}

static void link_unref(struct ay_medium *m, struct link *l)
{
	AY_ASSERT(l->refs > 0);
	if (--l->refs > 0)
		return;
	m->links[l->slot] = m->links[--m->n_links];
	m->links[l->slot]->slot = l->slot;
	drop_waiting(&l->ends[0]);
	drop_waiting(&l->ends[1]);
	free(l);
}

static void end_open(struct link *l, unsigned i, unsigned station, uint64_t conn)
{
	l->ends[i].station = station;
	l->ends[i].conn = conn;
	l->ends[i].open = true;
	l->refs++;
}

/* The last word about this end; may free the link. */
static void end_close(struct ay_medium *m, struct link *l, unsigned i)
{
	if (!l->ends[i].open)
		return;
	l->ends[i].open = false;
	drop_waiting(&l->ends[i]);
	link_unref(m, l);
}

static struct link *find(const struct ay_medium *m, unsigned station, uint64_t conn, unsigned *end)
{
	for (unsigned i = 0; i < m->n_links; i++) {
		for (unsigned k = 0; k < 2; k++) {
			const struct end *e = &m->links[i]->ends[k];
			if (e->open && e->station == station && e->conn == conn) {
				*end = k;
				return m->links[i];
			}
		}
	}
	return NULL;
}

/* ---- ways through the air */

static uint64_t delay(struct ay_medium *m)
{
	const uint64_t *d = m->config.delay_ns;

	return d[0] + ay_prng_below(&m->prng, d[1] - d[0] + 1);
}

static bool chance(struct ay_medium *m, unsigned permille)
{
	return ay_prng_below(&m->prng, 1000) < permille;
}

static bool powered(const struct station *s)
{
	return s->state != AY_STATION_OFF;
}

static bool path(const struct ay_medium *m, unsigned a, unsigned b)
{
	return powered(&m->stations[a]) && powered(&m->stations[b]) &&
	       m->stations[a].island == m->stations[b].island;
}

/* Can it be given to that end now? A sleeper's sessions wait. */
static bool passes(const struct ay_medium *m, const struct link *l, unsigned end)
{
	return !l->dead && path(m, l->ends[0].station, l->ends[1].station) &&
	       m->stations[l->ends[end].station].state != AY_STATION_ASLEEP;
}

/* After all that is on its way to that end already. */
static uint64_t arrival(struct ay_medium *m, struct link *l, unsigned end, uint64_t leaves_ns)
{
	struct end *e = &l->ends[end];
	uint64_t at = leaves_ns + delay(m);

	/* Lost on the air and sent again by the link: late, and all behind it too. */
	if (chance(m, m->config.loss_permille))
		at += ay_prng_below(&m->prng, 200 * MS);
	e->last_ns = at > e->last_ns ? at : e->last_ns + 1;
	return e->last_ns;
}

static void send_parcel(struct ay_medium *m, struct link *l, unsigned end, uint64_t leaves_ns,
			struct parcel *p)
{
	struct event *e = push_link(m, EV_PARCEL, arrival(m, l, end, leaves_ns), l, end);

	e->parcel = p;
}

static void flush_links(struct ay_medium *m)
{
	for (unsigned i = 0; i < m->n_links; i++)
		for (unsigned k = 0; k < 2; k++)
			if (m->links[i]->ends[k].waiting && passes(m, m->links[i], k))
				push_link(m, EV_FLUSH, m->now + delay(m), m->links[i], k);
}

/* ---- what happens */

static void tell_closed(struct ay_medium *m, struct link *l, unsigned end, int status)
{
	struct station *s = &m->stations[l->ends[end].station];
	uint64_t conn = l->ends[end].conn;

	if (!l->ends[end].open)
		return;
	end_close(m, l, end);
	s->ops.closed(s->ctx, conn, status);
}

static void give(struct ay_medium *m, struct link *l, unsigned end, struct parcel *p)
{
	struct station *s = &m->stations[l->ends[end].station];

	if (p->type == PARCEL_FIN)
		tell_closed(m, l, end, 0);
	else
		s->ops.frame(s->ctx, l->ends[end].conn, p->type, (struct ay_slice){p->data, p->len});
	free(p);
}

static void on_parcel(struct ay_medium *m, struct link *l, unsigned end, struct parcel *p)
{
	struct end *to = &l->ends[end];

	if (!to->open) {
		/* Nobody there: a reset comes back, if it can. */
		free(p);
		if (l->ends[1 - end].open && passes(m, l, 1 - end))
			push_link(m, EV_CLOSED, m->now + delay(m), l, 1 - end)->status = -ECONNRESET;
		return;
	}
	if (!to->waiting && passes(m, l, end)) {
		give(m, l, end, p);
		return;
	}
	if (!to->waiting) {
		to->waiting_since = m->now;
		push_link(m, EV_STALLED, m->now + AY_MEDIUM_STALL_NS, l, end)->generation = m->now;
		to->waiting = p;
	} else {
		to->last->next = p;
	}
	to->last = p;
}

static void on_flush(struct ay_medium *m, struct link *l, unsigned end)
{
	struct end *to = &l->ends[end];

	while (to->open && to->waiting && passes(m, l, end)) {
		struct parcel *p = to->waiting;
		to->waiting = p->next;
		if (!to->waiting)
			to->last = NULL;
		give(m, l, end, p);
	}
	if (to->waiting) {
		to->waiting_since = m->now;
		push_link(m, EV_STALLED, m->now + AY_MEDIUM_STALL_NS, l, end)->generation = m->now;
	}
}

static int find_station(const struct ay_medium *m, const struct ay_addr *addr)
{
	for (unsigned i = 0; i < m->n_stations; i++)
		if (memcmp(m->stations[i].addr.ip, addr->ip, sizeof(addr->ip)) == 0 &&
		    m->stations[i].addr.port == addr->port)
			return (int)i;
	return -1;
}

static void on_syn(struct ay_medium *m, struct link *l, unsigned to)
{
	unsigned from = l->ends[0].station;
	struct station *s = &m->stations[to];

	if (!l->ends[0].open)
		return;
	if (!path(m, from, to) || s->state == AY_STATION_ASLEEP) {
		push_link(m, EV_CLOSED, m->now + CONNECT_TIME_NS, l, 0)->status = -ETIMEDOUT;
		return;
	}
	if (s->state == AY_STATION_DOWN) {
		push_link(m, EV_CLOSED, m->now + delay(m), l, 0)->status = -ECONNREFUSED;
		return;
	}
	m->next_conn += 2;
	end_open(l, 1, to, m->next_conn);
	push_link(m, EV_ACK, arrival(m, l, 0, m->now), l, 0);
	struct ay_addr addr = m->stations[from].addr;
	addr.port = (uint16_t)(20000 + m->next_conn % 40000); /* what a client's port looks like */
	s->ops.connected(s->ctx, l->ends[1].conn, &addr, true);
}

static void on_ack(struct ay_medium *m, struct link *l)
{
	struct station *s = &m->stations[l->ends[0].station];

	if (!l->ends[0].open)
		return;
	if (!passes(m, l, 0)) {
		l->dead = true;
		push_link(m, EV_CLOSED, m->now + CONNECT_TIME_NS, l, 0)->status = -ETIMEDOUT;
		return;
	}
	s->ops.connected(s->ctx, l->ends[0].conn, &m->stations[l->ends[1].station].addr, false);
}

static void on_heard(const struct event *e, struct station *s)
{
	struct ay_slice data = {e->parcel->data, e->parcel->len};

	if (s->state == AY_STATION_UP)
		s->ops.heard(s->ctx, e->group, &e->from, data);
	else if (s->state == AY_STATION_ASLEEP && e->group == AY_GROUP_NEWS && s->ops.news_asleep)
		s->ops.news_asleep(s->ctx);
}

static void on_timer(const struct event *e, struct station *s)
{
	if (e->generation != s->generation)
		return;
	s->wake_at = AY_MEDIUM_NEVER;
	if (s->state == AY_STATION_UP)
		s->ops.timer(s->ctx);
	else if (s->state == AY_STATION_ASLEEP)
		s->overslept = true;
}

static void on_stalled(struct ay_medium *m, const struct event *e)
{
	struct end *to = &e->link->ends[e->end];

	if (to->waiting && to->waiting_since == e->generation)
		push_link(m, EV_CLOSED, m->now, e->link, 1 - e->end)->status = -ETIMEDOUT;
}

/* A sleeper is told when it wakes, for it does nothing now. */
static bool asleep(const struct ay_medium *m, const struct link *l, unsigned end)
{
	return l->ends[end].open && m->stations[l->ends[end].station].state == AY_STATION_ASLEEP;
}

static void happen(struct ay_medium *m, struct event *e)
{
	struct station *s = &m->stations[e->station];
	struct link *l = e->link;

	switch (e->kind) {
	case EV_TIMER:
		on_timer(e, s);
		break;
	case EV_HEARD:
		on_heard(e, s);
		free(e->parcel);
		break;
	case EV_SYN:
		on_syn(m, l, e->station);
		break;
	case EV_ACK:
		on_ack(m, l);
		break;
	case EV_CLOSED:
		if (asleep(m, l, e->end))
			push_link(m, EV_CLOSED, m->now + LATER_NS, l, e->end)->status = e->status;
		else
			tell_closed(m, l, e->end, e->status);
		break;
	case EV_PARCEL:
		on_parcel(m, l, e->end, e->parcel);
		break;
	case EV_FLUSH:
		on_flush(m, l, e->end);
		break;
	case EV_SENT:
		s = &m->stations[l->ends[e->end].station];
		if (asleep(m, l, e->end))
			push_link(m, EV_SENT, m->now + LATER_NS, l, e->end);
		else if (l->ends[e->end].open)
			s->ops.sent(s->ctx, l->ends[e->end].conn);
		break;
	case EV_STALLED:
		on_stalled(m, e);
		break;
	case EV_CALL:
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

static void hash_event(struct ay_medium *m, const struct event *e)
{
	uint64_t v[6] = {e->at_ns, e->kind, e->station, e->generation, e->end, (uint64_t)e->status};

	if (e->kind == EV_TIMER && e->generation != m->stations[e->station].generation)
		return;
	mix(m, v, sizeof(v));
	if (e->link)
		mix(m, &e->link->ends[e->end].conn, sizeof(uint64_t));
	if (e->parcel) {
		mix(m, &e->parcel->type, 1);
		mix(m, e->parcel->data, e->parcel->len < 512 ? e->parcel->len : AY_HASHES_HEADER);
	}
}

bool ay_medium_step(struct ay_medium *m)
{
	struct event *e = pop(m);

	if (!e)
		return false;
	AY_ASSERT(e->at_ns >= m->now);
	m->now = e->at_ns;
	hash_event(m, e);
	happen(m, e);
	if (e->link)
		link_unref(m, e->link);
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
	if (!m)
		return;
	for (size_t i = 0; i < m->n; i++) {
		free(m->heap[i]->parcel);
		free(m->heap[i]);
	}
	for (unsigned i = 0; i < m->n_links; i++) {
		drop_waiting(&m->links[i]->ends[0]);
		drop_waiting(&m->links[i]->ends[1]);
		free(m->links[i]);
	}
	free(m->heap);
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
	struct event *e = push(m, EV_CALL, at_ns);

	e->fn = fn;
	e->ctx = ctx;
	e->arg = arg;
}

unsigned ay_medium_join(struct ay_medium *m, const struct ay_addr *addr, uint64_t bytes_per_s,
			const struct ay_station_ops *ops, void *ctx)
{
	AY_ASSERT(m->n_stations < AY_STATIONS_MAX && bytes_per_s > 0);
	m->stations[m->n_stations] = (struct station){.addr = *addr,
						      .ops = *ops,
						      .ctx = ctx,
						      .ps_per_byte = 1000000000000u / bytes_per_s,
						      .wake_at = AY_MEDIUM_NEVER};
	return m->n_stations++;
}

static void leave_sessions(struct ay_medium *m, unsigned station, bool tell)
{
	for (unsigned i = m->n_links; i-- > 0;) {
		struct link *l = m->links[i];
		l->refs++; /* both ends may be this station's */
		for (unsigned k = 0; k < 2; k++) {
			if (!l->ends[k].open || l->ends[k].station != station)
				continue;
			if (tell && l->ends[1 - k].open)
				send_parcel(m, l, 1 - k, m->now,
					    parcel_new(PARCEL_FIN, (struct ay_slice){0}));
			end_close(m, l, k);
		}
		link_unref(m, l);
	}
}

void ay_medium_set_state(struct ay_medium *m, unsigned station, enum ay_station_state state)
{
	struct station *s = &m->stations[station];
	bool woken = s->state == AY_STATION_ASLEEP && state == AY_STATION_UP;

	if (state == AY_STATION_DOWN || state == AY_STATION_OFF)
		leave_sessions(m, station, state == AY_STATION_DOWN);
	s->state = state;
	if (woken && s->overslept)
		ay_medium_run_at(m, station, m->now);
	s->overslept = false;
	if (woken)
		flush_links(m);
}

enum ay_station_state ay_medium_state(const struct ay_medium *m, unsigned station)
{
	return m->stations[station].state;
}

void ay_medium_set_island(struct ay_medium *m, unsigned station, unsigned island)
{
	m->stations[station].island = island;
	flush_links(m);
}

void ay_medium_set_loss(struct ay_medium *m, unsigned permille)
{
	m->config.loss_permille = permille;
}

void ay_medium_break(struct ay_medium *m, bool silent)
{
	if (m->n_links == 0)
		return;
	struct link *l = m->links[ay_prng_below(&m->prng, m->n_links)];
	if (!l->ends[0].open || !l->ends[1].open)
		return;
	l->dead = true;
	for (unsigned k = 0; k < 2 && !silent; k++)
		push_link(m, EV_CLOSED, m->now + delay(m), l, k)->status = -ECONNRESET;
}

/* ---- what a station does */

void ay_medium_run_at(struct ay_medium *m, unsigned station, uint64_t at_ns)
{
	struct station *s = &m->stations[station];

	if (at_ns == s->wake_at)
		return;
	s->wake_at = at_ns;
	s->generation++;
	if (at_ns == AY_MEDIUM_NEVER)
		return;
	struct event *e = push(m, EV_TIMER, at_ns);
	e->station = station;
	e->generation = s->generation;
}

static void hear(struct ay_medium *m, unsigned station, enum ay_group group, const struct ay_addr *from,
		 struct ay_slice data)
{
	uint64_t at = m->now + delay(m);

	if (chance(m, m->config.loss_permille))
		return;
	if (chance(m, m->config.late_permille))
		at += ay_prng_below(&m->prng, m->config.late_ns + 1);
	struct event *e = push(m, EV_HEARD, at);
	e->station = station;
	e->group = group;
	e->from = *from;
	e->parcel = parcel_new(0, data);
}

void ay_medium_datagram(struct ay_medium *m, unsigned station, enum ay_group group,
			const struct ay_addr *from, const struct ay_addr *to, struct ay_slice data)
{
	struct station *s = &m->stations[station];

	s->counts.datagrams++;
	s->counts.datagram_bytes += data.len;
	for (unsigned i = 0; i < m->n_stations; i++) {
		const struct station *r = &m->stations[i];
		if (i == station || !path(m, station, i) || r->state < AY_STATION_ASLEEP)
			continue;
		if (to && memcmp(to->ip, r->addr.ip, sizeof(to->ip)) != 0)
			continue;
		hear(m, i, group, from ? from : &s->addr, data);
		if (chance(m, m->config.twice_permille))
			hear(m, i, group, from ? from : &s->addr, data);
	}
}

void ay_medium_connect(struct ay_medium *m, unsigned station, uint64_t conn, const struct ay_addr *to)
{
	struct link *l = link_new(m);
	int peer = find_station(m, to);

	end_open(l, 0, station, conn);
	if (peer < 0) {
		push_link(m, EV_CLOSED, m->now + CONNECT_TIME_NS, l, 0)->status = -EHOSTUNREACH;
		return;
	}
	l->ends[1].station = (unsigned)peer;
	push_link(m, EV_SYN, m->now + delay(m), l, 1)->station = (unsigned)peer;
}

void ay_medium_close(struct ay_medium *m, unsigned station, uint64_t conn)
{
	unsigned end;
	struct link *l = find(m, station, conn, &end);

	if (!l)
		return;
	if (l->ends[1 - end].open)
		send_parcel(m, l, 1 - end, m->now, parcel_new(PARCEL_FIN, (struct ay_slice){0}));
	end_close(m, l, end);
}

void ay_medium_frame(struct ay_medium *m, unsigned station, uint64_t conn, uint8_t type,
		     struct ay_slice payload)
{
	struct station *s = &m->stations[station];
	unsigned end;
	struct link *l = find(m, station, conn, &end);

	if (!l)
		return;
	uint64_t start = s->busy_until > m->now ? s->busy_until : m->now;
	s->busy_until = start + (payload.len + FRAME_OVERHEAD) * s->ps_per_byte / 1000;
	s->counts.frames++;
	if (type == AY_FRAME_BLOCK) {
		s->counts.blocks++;
		s->counts.block_bytes += payload.len - AY_BLOCK_HEADER;
	}
	if (type == AY_FRAME_BLOCK || type == AY_FRAME_HASHES)
		push_link(m, EV_SENT, s->busy_until, l, end);
	send_parcel(m, l, 1 - end, s->busy_until, parcel_new(type, payload));
}

const struct ay_station_counts *ay_medium_counts(const struct ay_medium *m, unsigned station)
{
	return &m->stations[station].counts;
}
