/* SPDX-License-Identifier: MIT */
/*
 * Two halves: what an event taught the node (it has this block, this is durable), and what each order says or does
 * (it may say that, it may ask for that). The rules are those of DESIGN section 12 and of proto/core.h.
 */
#include "sim/monitor_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "proto/wire.h"

#define MINUTE_NS ((uint64_t)60000000000)
/* A block older than this was synced when the power went: 2 s, and the time that a sync waits for its turn. */
#define SYNCED_NS ((uint64_t)3000000000)

void ay__mon_broken(struct ay_monitor *m, const char *fmt, ...)
{
	va_list ap;

	if (m->is_broken)
		return;
	m->is_broken = true;
	m->who = m->node;
	va_start(ap, fmt);
	vsnprintf(m->broken, sizeof(m->broken), fmt, ap);
	va_end(ap);
}

struct ay__mon_watch *ay__mon_watch_of(struct ay_monitor *m)
{
	return &m->nodes[m->node];
}

const struct ay_fakebranch *ay__mon_branch_of(const struct ay_monitor *m)
{
	return ay_fakenode_branch(m->fake, AY_WORLD_BRANCH);
}

const char *ay__mon_hex8(const struct ay_digest *d, char out[9])
{
	char all[AY_DIGEST_HEX + 1];

	ay_digest_hex(d, all);
	memcpy(out, all, 8);
	out[8] = '\0';
	return out;
}

/* ---- bundles and requests */

struct ay__mon_watched *ay__mon_watched_find(struct ay__mon_watch *w, const struct ay_digest *digest)
{
	struct ay__mon_watched *b = w->bundles;

	while (b && !ay_digest_eq(&b->digest, digest))
		b = b->next;
	return b;
}

static struct ay__mon_watched *bundle_get(struct ay__mon_watch *w, const struct ay_digest *digest,
					  uint64_t size)
{
	struct ay__mon_watched *b = ay__mon_watched_find(w, digest);

	if (b)
		return b;
	b = calloc(1, sizeof(*b));
	AY_ASSERT(b);
	b->digest = *digest;
	b->blocks = (uint32_t)ay_blocks_of(size);
	b->had_ns = calloc(b->blocks + 1, sizeof(*b->had_ns));
	b->asks = calloc(b->blocks + 1, sizeof(*b->asks));
	AY_ASSERT(b->had_ns && b->asks);
	b->next = w->bundles;
	w->bundles = b;
	return b;
}

void ay__mon_watched_forget(struct ay__mon_watch *w, const struct ay_digest *digest)
{
	struct ay__mon_watched **p = &w->bundles;

	while (*p && !ay_digest_eq(&(*p)->digest, digest))
		p = &(*p)->next;
	if (!*p)
		return;
	struct ay__mon_watched *b = *p;
	*p = b->next;
	free(b->had_ns);
	free(b->asks);
	free(b->asked);
	free(b);
}

unsigned ay__mon_askers(const struct ay__mon_watched *b, uint32_t index)
{
	unsigned n = 0;

	for (unsigned i = 0; i < b->n_asked; i++)
		n += b->asked[i].index == index;
	return n;
}

void ay__mon_asked_add(struct ay__mon_watched *b, uint64_t conn, uint32_t index)
{
	b->asked = reallocarray(b->asked, b->n_asked + 1, sizeof(*b->asked));
	AY_ASSERT(b->asked);
	b->asked[b->n_asked++] = (struct ay__mon_asked){conn, index};
}

void ay__mon_asked_end(struct ay__mon_watch *w, const struct ay_digest *digest, uint64_t conn, uint32_t index)
{
	struct ay__mon_watched *b = ay__mon_watched_find(w, digest);

	for (unsigned i = 0; b && i < b->n_asked; i++) {
		if (b->asked[i].conn == conn && b->asked[i].index == index) {
			b->asked[i] = b->asked[--b->n_asked];
			return;
		}
	}
}

void ay__mon_conn_begin(struct ay_monitor *m, uint64_t conn, const struct ay_addr *addr)
{
	struct ay__mon_watch *w = ay__mon_watch_of(m);

	for (unsigned i = 0; i < m->n; i++) {
		if (memcmp(m->addrs[i].ip, addr->ip, sizeof(addr->ip)) != 0)
			continue;
		w->conns = reallocarray(w->conns, w->n_conns + 1, sizeof(*w->conns));
		AY_ASSERT(w->conns);
		w->conns[w->n_conns++] = (struct ay__mon_conn){conn, i};
		return;
	}
}

void ay__mon_conn_end(struct ay__mon_watch *w, uint64_t conn)
{
	for (unsigned i = w->n_conns; i-- > 0;)
		if (w->conns[i].id == conn)
			w->conns[i] = w->conns[--w->n_conns];
	for (struct ay__mon_watched *b = w->bundles; b; b = b->next)
		for (unsigned i = b->n_asked; i-- > 0;)
			if (b->asked[i].conn == conn)
				b->asked[i] = b->asked[--b->n_asked];
}

/* ---- what an event teaches */

static void on_bundle(struct ay_monitor *m, const struct ay_event *ev)
{
	struct ay__mon_watched *b = bundle_get(ay__mon_watch_of(m), &ev->bundle.digest, ev->bundle.size);

	/* What the power cut might have taken, and did not. */
	for (uint32_t i = 0; i < b->blocks; i++) {
		bool had = ev->bundle.whole || (ev->bundle.bitmap[i / 8] >> (i % 8) & 1);
		if (had && !b->had_ns[i]) {
			b->had_ns[i] = m->now_ns;
			b->n_had++;
		}
	}
}

static void on_block(struct ay_monitor *m, const struct ay_event *ev)
{
	struct ay__mon_watched *b = ay__mon_watched_find(ay__mon_watch_of(m), &ev->block.bundle);
	char name[9];

	ay__mon_asked_end(ay__mon_watch_of(m), &ev->block.bundle, ev->block.conn, ev->block.index);
	if (!b || ev->status || ev->block.index >= b->blocks)
		return;
	ay__mon_watch_of(m)->counts.blocks++;
	if (b->had_ns[ev->block.index]) {
		ay__mon_watch_of(m)->counts.blocks_twice++;
		if (b->asks[ev->block.index] < 2)
			ay__mon_broken(m, "was given block %u of %s twice, and asked once", ev->block.index,
				       ay__mon_hex8(&b->digest, name));
		return;
	}
	b->had_ns[ev->block.index] = m->now_ns;
	b->n_had++;
	const struct ay_world_bundle *bundle = ay_world_bundle_of(m->world, &b->digest);
	if (bundle)
		ay__mon_watch_of(m)->counts.useful_bytes += ay_block_len(bundle->size, ev->block.index);
}

static void on_frame(struct ay_monitor *m, const struct ay_event *ev)
{
	struct ay_wire_reject r;

	if (ev->frame.type == AY_FRAME_REJECT && ay_wire_reject_get(ev->data.data, ev->data.len, &r) == 0 &&
	    r.level == AY_REJECT_LEVEL_BLOCK)
		ay__mon_asked_end(ay__mon_watch_of(m), &r.bundle, ev->frame.conn, r.index);
}

static void on_stored(struct ay_monitor *m, const struct ay_event *ev)
{
	struct ay__mon_watch *w = ay__mon_watch_of(m);
	unsigned i = 0;

	while (i < w->n_tokens && w->tokens[i].token != ev->token)
		i++;
	if (i == w->n_tokens)
		return;
	struct ay__mon_promise t = w->tokens[i];
	w->tokens[i] = w->tokens[--w->n_tokens];
	if (ev->status)
		return;
	switch (t.type) {
	case AY_ORDER_STORE_ROOT:
		if (t.serial > w->root_version)
			w->root_version = t.serial;
		break;
	case AY_ORDER_STORE_HEAD:
		if (t.root_epoch > w->head_epoch ||
		    (t.root_epoch == w->head_epoch && t.serial > w->head_serial)) {
			w->head_epoch = t.root_epoch;
			w->head_serial = t.serial;
		}
		break;
	case AY_ORDER_FINISH_BUNDLE:
		break;
	default:
		w->promises = reallocarray(w->promises, w->n_promises + 1, sizeof(*w->promises));
		AY_ASSERT(w->promises);
		w->promises[w->n_promises++] = t;
	}
}

static void on_applied(struct ay_monitor *m, const struct ay_event *ev)
{
	const struct ay_world_release *r = ay_world_serial(m->world, ev->applied.serial);
	struct ay__mon_watch *w = ay__mon_watch_of(m);

	if (ev->status)
		return;
	w->counts.installs++;
	if (!r || !ay_digest_eq(&r->manifest, &ev->applied.manifest))
		ay__mon_broken(m, "installed a tree of serial %u that the publisher never released",
			       ev->applied.serial);
	if (ev->applied.serial < w->installed)
		ay__mon_broken(m, "installed serial %u after %u", ev->applied.serial, w->installed);
	if (ev->applied.serial > w->installed)
		w->installed = ev->applied.serial;
}

void ay__mon_learn(struct ay_monitor *m, const struct ay_event *ev)
{
	switch (ev->type) {
	case AY_EV_BUNDLE:
		on_bundle(m, ev);
		break;
	case AY_EV_BUNDLE_GONE:
		ay__mon_watched_forget(ay__mon_watch_of(m), &ev->bundle.digest);
		break;
	case AY_EV_BLOCK:
		on_block(m, ev);
		break;
	case AY_EV_FRAME:
		on_frame(m, ev);
		break;
	case AY_EV_CONNECTED:
		if (ev->conn.incoming)
			ay__mon_conn_begin(m, ev->conn.id, &ev->conn.addr);
		break;
	case AY_EV_CLOSED:
		ay__mon_conn_end(ay__mon_watch_of(m), ev->conn.id);
		break;
	case AY_EV_STORED:
		on_stored(m, ev);
		break;
	case AY_EV_APPLIED:
		on_applied(m, ev);
		break;
	case AY_EV_TICK:
		if (++ay__mon_watch_of(m)->minute.ticks == AY_MONITOR_TICKS_MAX)
			ay__mon_broken(m, "asked for %u ticks within a minute: it spins",
				       AY_MONITOR_TICKS_MAX);
		break;
	default:
		break;
	}
}

void ay__mon_new_minute(struct ay__mon_watch *w, uint64_t now_ns)
{
	if (now_ns - w->minute.began_ns >= MINUTE_NS)
		w->minute = (struct ay__mon_minute){.began_ns = now_ns};
}

void ay_monitor_datagram(struct ay_monitor *m, unsigned node, uint64_t now_ns)
{
	struct ay__mon_watch *w = &m->nodes[node];

	m->node = node;
	ay__mon_new_minute(w, now_ns);
	w->counts.datagrams++;
	w->counts.silence_datagrams += m->silence;
	if (++w->minute.datagrams == AY_MONITOR_DATAGRAMS_MAX)
		ay__mon_broken(m, "sent %u datagrams within a minute", AY_MONITOR_DATAGRAMS_MAX);
}

/* ---- stop and start */

void ay_monitor_stopped(struct ay_monitor *m, unsigned node, enum ay_fakenode_end how, uint64_t now_ns)
{
	struct ay__mon_watch *w = &m->nodes[node];

	w->n_tokens = w->n_conns = 0;
	for (struct ay__mon_watched *b = w->bundles; b; b = b->next) {
		b->n_asked = 0;
		memset(b->asks, 0, b->blocks * sizeof(*b->asks));
		for (uint32_t i = 0; i < b->blocks && how == AY_END_POWER; i++) {
			if (!b->had_ns[i] || now_ns - b->had_ns[i] >= SYNCED_NS)
				continue;
			b->had_ns[i] = 0;
			b->n_had--;
		}
	}
}

void ay_monitor_start(struct ay_monitor *m, unsigned node, const struct ay_fakenode *fake)
{
	struct ay__mon_watch *w = &m->nodes[node];
	struct ay_head durable = {.serial = 0},
		       promised = {.root_epoch = w->head_epoch, .serial = w->head_serial};

	m->node = node;
	m->fake = fake;
	w->counts.starts++;
	if (ay__mon_branch_of(m) && ay__mon_branch_of(m)->has_head)
		ay_head_parse(ay__mon_branch_of(m)->head, AY_HEAD_SIZE, &durable, NULL);
	if (ay_head_cmp(&durable, &promised) < 0)
		ay__mon_broken(m, "comes up with head %u; head %u was promised to be durable", durable.serial,
			       promised.serial);
	if (ay_fakenode_root_version(fake) < w->root_version)
		ay__mon_broken(m, "comes up with root %u; root %u was promised to be durable",
			       ay_fakenode_root_version(fake), w->root_version);
	if (ay__mon_branch_of(m) && ay__mon_branch_of(m)->have_serial < w->installed)
		ay__mon_broken(m, "comes up with release %u; %u was installed",
			       ay__mon_branch_of(m)->have_serial, w->installed);
	else if (ay__mon_branch_of(m))
		w->installed = ay__mon_branch_of(m)->have_serial;
	for (unsigned i = 0; i < w->n_promises; i++) {
		enum ay_event_type type =
			w->promises[i].type == AY_ORDER_STORE_RELEASE ? AY_EV_RELEASE : AY_EV_OFFER;
		if (!ay_fakenode_has_doc(fake, type, &w->promises[i].digest))
			ay__mon_broken(m, "comes up without a document that was promised to be durable");
	}
}

/* ---- life */

struct ay_monitor *ay_monitor_new(const struct ay_world *world, const struct ay_addr *addrs, unsigned n)
{
	struct ay_monitor *m = calloc(1, sizeof(*m));

	AY_ASSERT(m);
	m->world = world;
	m->n = n;
	m->nodes = calloc(n, sizeof(*m->nodes));
	m->addrs = calloc(n, sizeof(*m->addrs));
	AY_ASSERT(m->nodes && m->addrs);
	memcpy(m->addrs, addrs, n * sizeof(*addrs));
	ay_branch_id(AY_WORLD_FLEET, AY_WORLD_BRANCH, &m->branch);
	return m;
}

void ay_monitor_free(struct ay_monitor *m)
{
	if (!m)
		return;
	for (unsigned i = 0; i < m->n; i++) {
		struct ay__mon_watch *w = &m->nodes[i];
		while (w->bundles)
			ay__mon_watched_forget(w, &w->bundles->digest);
		free(w->promises);
		free(w->conns);
		free(w->tokens);
	}
	free(m->nodes);
	free(m->addrs);
	free(m);
}

void ay_monitor_silence(struct ay_monitor *m)
{
	m->silence = true;
	for (unsigned i = 0; i < m->n; i++)
		m->nodes[i].counts.silence_datagrams = 0;
}

uint64_t ay_monitor_needed(const struct ay_monitor *m)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < m->world->n_bundles; i++)
		bytes += m->used[i] ? m->world->bundles[i].size : 0;
	return bytes;
}

const char *ay_monitor_broken(const struct ay_monitor *m, unsigned *node)
{
	*node = m->who;
	return m->is_broken ? m->broken : NULL;
}

const struct ay_monitor_counts *ay_monitor_counts(const struct ay_monitor *m, unsigned node)
{
	return &m->nodes[node].counts;
}
