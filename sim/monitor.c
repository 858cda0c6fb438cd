/* SPDX-License-Identifier: MIT */
/*
 * Two halves: what an event taught the node (it has this block, this is durable), and what each order says or does
 * (it may say that, it may ask for that). The rules are those of DESIGN section 12 and of proto/core.h.
 */
#include "sim/monitor.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/pick.h"
#include "proto/wire.h"

#define MINUTE_NS ((uint64_t)60000000000)
/* A block older than this was synced when the power went: 2 s, and the time that a sync waits for its turn. */
#define SYNCED_NS  ((uint64_t)3000000000)
#define ASKERS_MAX 2 /* of one block at once */

struct asked { /* a request that is open */
	uint64_t conn;
	uint32_t index;
};

struct bundle {
	struct bundle *next;
	struct ay_digest digest;
	uint32_t blocks, n_had;
	uint64_t *had_ns; /* per block: when it was verified; 0: it was not */
	uint32_t *asks;   /* per block: how often it was asked for since the start */
	struct asked *asked;
	unsigned n_asked;
};

struct token {
	uint64_t token;
	enum ay_order_type type;
	struct ay_digest digest; /* of the document, or the bundle */
	uint32_t root_epoch, serial;
};

struct conn { /* with one of ours, not with a liar */
	uint64_t id;
	unsigned with;
};

struct minute {
	uint64_t began_ns;
	unsigned datagrams, ticks, connects;
};

struct watch {
	struct ay_monitor_counts counts;
	uint32_t installed;                             /* the highest serial that ever was */
	uint32_t root_version, head_epoch, head_serial; /* of which it was told that they are durable */
	struct token *promises;                         /* releases and offers likewise */
	unsigned n_promises;
	struct token *tokens; /* not answered yet */
	unsigned n_tokens;
	struct bundle *bundles;
	struct conn *conns;
	unsigned n_conns;
	struct minute minute;
};

struct ay_monitor {
	const struct ay_world *world;
	struct watch *nodes;
	struct ay_addr *addrs;
	unsigned n;
	bool silence, is_broken;
	bool used[AY_WORLD_BUNDLES_MAX]; /* somebody has installed from it */
	unsigned who;
	char broken[400];
	struct ay_branch_id branch;
	/* Of the step that is looked at. */
	unsigned node;
	const struct ay_fakenode *fake;
	uint64_t now_ns;
};

static void broken(struct ay_monitor *m, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void broken(struct ay_monitor *m, const char *fmt, ...)
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

static struct watch *watch(struct ay_monitor *m)
{
	return &m->nodes[m->node];
}

static const struct ay_fakebranch *branch(const struct ay_monitor *m)
{
	return ay_fakenode_branch(m->fake, AY_WORLD_BRANCH);
}

static const char *hex8(const struct ay_digest *d, char out[9])
{
	char all[AY_DIGEST_HEX + 1];

	ay_digest_hex(d, all);
	memcpy(out, all, 8);
	out[8] = '\0';
	return out;
}

/* ---- bundles and requests */

static struct bundle *bundle_find(struct watch *w, const struct ay_digest *digest)
{
	struct bundle *b = w->bundles;

	while (b && !ay_digest_eq(&b->digest, digest))
		b = b->next;
	return b;
}

static struct bundle *bundle_get(struct watch *w, const struct ay_digest *digest, uint64_t size)
{
	struct bundle *b = bundle_find(w, digest);

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

static void bundle_forget(struct watch *w, const struct ay_digest *digest)
{
	struct bundle **p = &w->bundles;

	while (*p && !ay_digest_eq(&(*p)->digest, digest))
		p = &(*p)->next;
	if (!*p)
		return;
	struct bundle *b = *p;
	*p = b->next;
	free(b->had_ns);
	free(b->asks);
	free(b->asked);
	free(b);
}

static unsigned askers(const struct bundle *b, uint32_t index)
{
	unsigned n = 0;

	for (unsigned i = 0; i < b->n_asked; i++)
		n += b->asked[i].index == index;
	return n;
}

static void asked_add(struct bundle *b, uint64_t conn, uint32_t index)
{
	b->asked = reallocarray(b->asked, b->n_asked + 1, sizeof(*b->asked));
	AY_ASSERT(b->asked);
	b->asked[b->n_asked++] = (struct asked){conn, index};
}

static void asked_end(struct watch *w, const struct ay_digest *digest, uint64_t conn, uint32_t index)
{
	struct bundle *b = bundle_find(w, digest);

	for (unsigned i = 0; b && i < b->n_asked; i++) {
		if (b->asked[i].conn == conn && b->asked[i].index == index) {
			b->asked[i] = b->asked[--b->n_asked];
			return;
		}
	}
}

static void conn_begin(struct ay_monitor *m, uint64_t conn, const struct ay_addr *addr)
{
	struct watch *w = watch(m);

	for (unsigned i = 0; i < m->n; i++) {
		if (memcmp(m->addrs[i].ip, addr->ip, sizeof(addr->ip)) != 0)
			continue;
		w->conns = reallocarray(w->conns, w->n_conns + 1, sizeof(*w->conns));
		AY_ASSERT(w->conns);
		w->conns[w->n_conns++] = (struct conn){conn, i};
		return;
	}
}

static void conn_end(struct watch *w, uint64_t conn)
{
	for (unsigned i = w->n_conns; i-- > 0;)
		if (w->conns[i].id == conn)
			w->conns[i] = w->conns[--w->n_conns];
	for (struct bundle *b = w->bundles; b; b = b->next)
		for (unsigned i = b->n_asked; i-- > 0;)
			if (b->asked[i].conn == conn)
				b->asked[i] = b->asked[--b->n_asked];
}

/* ---- what an event teaches */

static void on_bundle(struct ay_monitor *m, const struct ay_event *ev)
{
	struct bundle *b = bundle_get(watch(m), &ev->bundle.digest, ev->bundle.size);

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
	struct bundle *b = bundle_find(watch(m), &ev->block.bundle);
	char name[9];

	asked_end(watch(m), &ev->block.bundle, ev->block.conn, ev->block.index);
	if (!b || ev->status || ev->block.index >= b->blocks)
		return;
	watch(m)->counts.blocks++;
	if (b->had_ns[ev->block.index]) {
		watch(m)->counts.blocks_twice++;
		if (b->asks[ev->block.index] < 2)
			broken(m, "was given block %u of %s twice, and asked once", ev->block.index,
			       hex8(&b->digest, name));
		return;
	}
	b->had_ns[ev->block.index] = m->now_ns;
	b->n_had++;
}

static void on_frame(struct ay_monitor *m, const struct ay_event *ev)
{
	struct ay_wire_reject r;

	if (ev->frame.type == AY_FRAME_REJECT && ay_wire_reject_get(ev->data.data, ev->data.len, &r) == 0 &&
	    r.level == AY_REJECT_LEVEL_BLOCK)
		asked_end(watch(m), &r.bundle, ev->frame.conn, r.index);
}

static void on_stored(struct ay_monitor *m, const struct ay_event *ev)
{
	struct watch *w = watch(m);
	unsigned i = 0;

	while (i < w->n_tokens && w->tokens[i].token != ev->token)
		i++;
	if (i == w->n_tokens)
		return;
	struct token t = w->tokens[i];
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
	struct watch *w = watch(m);

	if (ev->status)
		return;
	w->counts.installs++;
	if (!r || !ay_digest_eq(&r->manifest, &ev->applied.manifest))
		broken(m, "installed a tree of serial %u that the publisher never released",
		       ev->applied.serial);
	if (ev->applied.serial < w->installed)
		broken(m, "installed serial %u after %u", ev->applied.serial, w->installed);
	if (ev->applied.serial > w->installed)
		w->installed = ev->applied.serial;
}

static void on_event(struct ay_monitor *m, const struct ay_event *ev)
{
	switch (ev->type) {
	case AY_EV_BUNDLE:
		on_bundle(m, ev);
		break;
	case AY_EV_BUNDLE_GONE:
		bundle_forget(watch(m), &ev->bundle.digest);
		break;
	case AY_EV_BLOCK:
		on_block(m, ev);
		break;
	case AY_EV_FRAME:
		on_frame(m, ev);
		break;
	case AY_EV_CONNECTED:
		if (ev->conn.incoming)
			conn_begin(m, ev->conn.id, &ev->conn.addr);
		break;
	case AY_EV_CLOSED:
		conn_end(watch(m), ev->conn.id);
		break;
	case AY_EV_STORED:
		on_stored(m, ev);
		break;
	case AY_EV_APPLIED:
		on_applied(m, ev);
		break;
	case AY_EV_TICK:
		if (++watch(m)->minute.ticks == AY_MONITOR_TICKS_MAX)
			broken(m, "asked for %u ticks within a minute: it spins", AY_MONITOR_TICKS_MAX);
		break;
	default:
		break;
	}
}

/* ---- what may be said */

static void check_head(struct ay_monitor *m, const uint8_t *bytes, const char *where)
{
	const struct ay_fakebranch *b = branch(m);
	struct ay_head said, durable = {.serial = 0};
	bool signed_by_us = false;

	for (unsigned i = 0; i < m->world->n_heads; i++)
		signed_by_us |= memcmp(m->world->heads[i], bytes, AY_HEAD_SIZE) == 0;
	if (!signed_by_us) {
		broken(m, "says a head in %s that the publisher never signed", where);
		return;
	}
	ay_head_parse(bytes, AY_HEAD_SIZE, &said, NULL);
	if (b && b->has_head)
		ay_head_parse(b->head, AY_HEAD_SIZE, &durable, NULL);
	if (ay_head_cmp(&said, &durable) > 0)
		broken(m, "says head %u in %s, but only head %u is durable", said.serial, where,
		       durable.serial);
}

static void check_summary(struct ay_monitor *m, const char *where, uint32_t root, uint32_t head,
			  uint32_t have)
{
	const struct ay_fakebranch *b = branch(m);
	struct ay_head durable = {.serial = 0};

	if (b && b->has_head)
		ay_head_parse(b->head, AY_HEAD_SIZE, &durable, NULL);
	if (root > ay_fakenode_root_version(m->fake))
		broken(m, "says root %u in %s, but only root %u is durable", root, where,
		       ay_fakenode_root_version(m->fake));
	if (head > durable.serial)
		broken(m, "says head %u in %s, but only head %u is durable", head, where, durable.serial);
	if (have > (b ? b->have_serial : 0))
		broken(m, "says that it has %u in %s, but only %u is installed", have, where,
		       b ? b->have_serial : 0);
}

static void check_datagram(struct ay_monitor *m, const struct ay_order *o)
{
	struct ay_wire_datagram d;

	if (o->data.len > AY_DATAGRAM_MAX) {
		broken(m, "a datagram of %zu bytes", o->data.len);
		return;
	}
	if (ay_wire_datagram_get(o->data.data, o->data.len, &d)) {
		broken(m, "a datagram that is malformed");
		return;
	}
	if (o->datagram.group == AY_GROUP_NEWS && d.type != AY_DATAGRAM_HEAD)
		broken(m, "something else than a head in NEWS");
	if (d.type == AY_DATAGRAM_HEAD) {
		check_head(m, d.head, o->datagram.group == AY_GROUP_NEWS ? "NEWS" : "CHAT");
		return;
	}
	for (unsigned i = 0; i < d.n; i++)
		if (d.summaries[i].tag == ay_get_le32(m->branch.b))
			check_summary(m, "CHAT", d.root_version, d.summaries[i].head_serial,
				      d.summaries[i].have_serial);
}

static void check_hello(struct ay_monitor *m, struct ay_slice data)
{
	struct ay_wire_hello h;

	if (ay_wire_hello_get(data.data, data.len, &h)) {
		broken(m, "a HELLO that is malformed");
		return;
	}
	for (unsigned i = 0; i < h.n; i++)
		if (memcmp(&h.summaries[i].branch, &m->branch, sizeof(m->branch)) == 0)
			check_summary(m, "HELLO", h.root_version, h.summaries[i].head_serial,
				      h.summaries[i].have_serial);
}

static void check_doc(struct ay_monitor *m, struct ay_slice data)
{
	struct ay_wire_doc d;
	struct ay_digest digest;

	if (ay_wire_doc_get(data.data, data.len, &d)) {
		broken(m, "a DOC that is malformed");
		return;
	}
	ay_digest_mem(d.bytes.data, d.bytes.len, &digest);
	if (d.kind == AY_DOC_TYPE_HEAD)
		check_head(m, d.bytes.data, "a session");
	if (d.kind == AY_DOC_TYPE_RELEASE && !ay_fakenode_has_doc(m->fake, AY_EV_RELEASE, &digest))
		broken(m, "gives a release away that is not durable");
	if (d.kind == AY_DOC_TYPE_OFFERS && !ay_fakenode_has_doc(m->fake, AY_EV_OFFER, &digest))
		broken(m, "gives an offer away that is not durable");
	if (d.kind == AY_DOC_TYPE_ROOT && d.bytes.len == d.total &&
	    !ay_fakenode_has_doc(m->fake, AY_EV_ROOT, &digest))
		broken(m, "gives a root away that is not durable");
}

static void check_bitmap(struct ay_monitor *m, struct ay_slice data)
{
	struct ay_wire_bitmap b;
	char name[9];

	if (ay_wire_bitmap_get(data.data, data.len, &b)) {
		broken(m, "a BITMAP that is malformed");
		return;
	}
	uint32_t blocks = (uint32_t)ay_blocks_of(b.size);
	for (uint32_t i = 0; i < blocks && b.kind != AY_BITMAP_NONE; i++) {
		bool said = b.kind == AY_BITMAP_WHOLE || (b.bits.data[i / 8] >> (i % 8) & 1);
		if (said && !ay_fakenode_has_block(m->fake, &b.bundle, i))
			broken(m, "says in a BITMAP that it has block %u of %s, and has not", i,
			       hex8(&b.bundle, name));
	}
}

static void check_request(struct ay_monitor *m, uint64_t conn, struct ay_slice data)
{
	struct ay_wire_request r;
	char name[9];

	if (ay_wire_request_get(data.data, data.len, &r)) {
		broken(m, "a REQUEST that is malformed");
		return;
	}
	struct bundle *b = bundle_find(watch(m), &r.bundle);
	if (!b || r.index >= b->blocks) {
		broken(m, "asks for block %u of %s, which is not open", r.index, hex8(&r.bundle, name));
		return;
	}
	watch(m)->counts.requests++;
	if (b->had_ns[r.index])
		broken(m, "asks for block %u of %s again, which it had verified", r.index,
		       hex8(&r.bundle, name));
	unsigned before = askers(b, r.index);
	if (before >= ASKERS_MAX)
		broken(m, "asks %u peers for block %u of %s", before + 1, r.index, hex8(&r.bundle, name));
	if (before && b->blocks - b->n_had > AY_SWARM_ENDGAME)
		broken(m, "asks a second peer for block %u of %s, and lacks %u", r.index,
		       hex8(&r.bundle, name), b->blocks - b->n_had);
	watch(m)->counts.requests_twice += before > 0;
	b->asks[r.index]++;
	asked_add(b, conn, r.index);
}

static void check_frame(struct ay_monitor *m, const struct ay_order *o)
{
	struct ay_wire_block b;
	struct ay_wire_hash_request h;
	char name[9];

	if (o->data.len >= AY_FRAME_MAX)
		broken(m, "a frame of %zu bytes", o->data.len);
	switch (o->frame.type) {
	case AY_FRAME_HELLO:
		check_hello(m, o->data);
		break;
	case AY_FRAME_DOC:
		check_doc(m, o->data);
		break;
	case AY_FRAME_BITMAP:
		check_bitmap(m, o->data);
		break;
	case AY_FRAME_REQUEST:
		check_request(m, o->frame.conn, o->data);
		break;
	case AY_FRAME_HAVE:
		if (ay_wire_block_get(o->data.data, o->data.len, &b) ||
		    !ay_fakenode_has_block(m->fake, &b.bundle, b.index))
			broken(m, "says HAVE of block %u of %s, and has it not", b.index,
			       hex8(&b.bundle, name));
		break;
	case AY_FRAME_CANCEL:
		if (ay_wire_block_get(o->data.data, o->data.len, &b) == 0)
			asked_end(watch(m), &b.bundle, o->frame.conn, b.index);
		break;
	case AY_FRAME_HASH_REQUEST:
		if (ay_wire_hash_request_get(o->data.data, o->data.len, &h) ||
		    ay_fakenode_has_hashes(m->fake, &h.bundle, h.level, h.index))
			broken(m, "asks for hash block %u/%u of %s, which it has", h.level, h.index,
			       hex8(&h.bundle, name));
		break;
	default:
		break;
	}
}

/* ---- what may be done */

static void note_token(struct ay_monitor *m, const struct ay_order *o)
{
	struct watch *w = watch(m);
	struct token t = {.token = o->token, .type = o->type};
	struct ay_head h;

	if (o->type == AY_ORDER_FINISH_BUNDLE)
		t.digest = o->bundle.digest;
	else
		ay_digest_mem(o->data.data, o->data.len, &t.digest);
	if (o->type == AY_ORDER_STORE_HEAD && ay_head_parse(o->data.data, o->data.len, &h, NULL) == 0) {
		t.root_epoch = h.root_epoch;
		t.serial = h.serial;
	}
	for (unsigned i = 0; o->type == AY_ORDER_STORE_ROOT && i < m->world->n_roots; i++)
		if (ay_digest_eq(&m->world->roots[i].digest, &t.digest))
			t.serial = i + 1;
	if (o->type == AY_ORDER_STORE_ROOT && t.serial == 0)
		broken(m, "keeps a root that the publisher never signed");
	w->tokens = reallocarray(w->tokens, w->n_tokens + 1, sizeof(*w->tokens));
	AY_ASSERT(w->tokens);
	w->tokens[w->n_tokens++] = t;
}

static void check_bytes(struct ay_monitor *m, const struct ay_world_bundle *truth)
{
	uint64_t size;
	const uint8_t *bytes = ay_fakenode_bytes(m->fake, &truth->digest, &size);

	if (!bytes || size != truth->size || memcmp(bytes, truth->data, size) != 0)
		broken(m, "applies a bundle whose bytes are not the publisher's");
}

static void check_apply(struct ay_monitor *m, const struct ay_order *o)
{
	const struct ay_world_release *r = ay_world_release_doc(m->world, &o->apply.release);
	const struct ay_world_bundle *b = ay_world_offer_doc(m->world, &o->apply.offer);
	const struct ay_fakebranch *have = branch(m);
	bool whole;

	if (!r || r->serial != o->apply.serial) {
		broken(m, "applies a release that the publisher never signed");
		return;
	}
	if (!b || b->to != r->serial || !ay_digest_eq(&b->digest, &o->apply.bundle)) {
		broken(m, "applies by an offer that the publisher never made for release %u", r->serial);
		return;
	}
	if (!ay_fakenode_has_doc(m->fake, AY_EV_RELEASE, &o->apply.release) ||
	    !ay_fakenode_has_doc(m->fake, AY_EV_OFFER, &o->apply.offer))
		broken(m, "applies release %u before its papers are durable", r->serial);
	ay_fakenode_blocks(m->fake, &o->apply.bundle, &whole);
	if (!whole)
		broken(m, "applies a bundle that is not whole");
	if (!have || r->serial <= have->have_serial || r->serial < have->floor)
		broken(m, "applies release %u over %u, floor %u", r->serial, have ? have->have_serial : 0,
		       have ? have->floor : 0);
	if (b->from && have && b->from != have->have_serial)
		broken(m, "applies a bundle from release %u, and has %u", b->from, have->have_serial);
	check_bytes(m, b);
	m->used[b - m->world->bundles] = true;
}

/* Whom nobody has deceived must not take one of ours for a liar. */
static void check_close(struct ay_monitor *m, const struct ay_order *o)
{
	const struct watch *w = watch(m);

	for (unsigned i = 0; i < w->n_conns && o->status == AY_EPEER; i++)
		if (w->conns[i].id == o->conn.id)
			broken(m, "bans node %u, which is honest", w->conns[i].with);
}

static void check_order(struct ay_monitor *m, const struct ay_order *o)
{
	char name[9];

	switch (o->type) {
	case AY_ORDER_DATAGRAM:
		check_datagram(m, o);
		break;
	case AY_ORDER_CONNECT:
		if (++watch(m)->minute.connects == AY_MONITOR_CONNECTS_MAX)
			broken(m, "connected %u times within a minute", AY_MONITOR_CONNECTS_MAX);
		if (o->conn.id % 2 == 0)
			broken(m, "connects with an even number");
		conn_begin(m, o->conn.id, &o->conn.addr);
		break;
	case AY_ORDER_CLOSE:
		check_close(m, o);
		conn_end(watch(m), o->conn.id);
		break;
	case AY_ORDER_FRAME:
		check_frame(m, o);
		break;
	case AY_ORDER_SEND_BLOCK:
		if (!ay_fakenode_has_block(m->fake, &o->block.bundle, o->block.index))
			broken(m, "sends block %u of %s, and has it not", o->block.index,
			       hex8(&o->block.bundle, name));
		break;
	case AY_ORDER_SEND_HASHES:
		if (!ay_fakenode_has_hashes(m->fake, &o->hashes.bundle, o->hashes.level, o->hashes.index))
			broken(m, "sends hash block %u/%u of %s, and has it not", o->hashes.level,
			       o->hashes.index, hex8(&o->hashes.bundle, name));
		break;
	case AY_ORDER_STORE_ROOT:
	case AY_ORDER_STORE_RELEASE:
	case AY_ORDER_STORE_OFFER:
	case AY_ORDER_STORE_HEAD:
	case AY_ORDER_FINISH_BUNDLE:
		note_token(m, o);
		break;
	case AY_ORDER_DROP_BUNDLE:
		bundle_forget(watch(m), &o->bundle.digest);
		break;
	case AY_ORDER_APPLY:
		check_apply(m, o);
		break;
	case AY_ORDER_OPEN_BUNDLE:
	case AY_ORDER_DEADLINE:
		break;
	}
}

static void new_minute(struct watch *w, uint64_t now_ns)
{
	if (now_ns - w->minute.began_ns >= MINUTE_NS)
		w->minute = (struct minute){.began_ns = now_ns};
}

void ay_monitor_datagram(struct ay_monitor *m, unsigned node, uint64_t now_ns)
{
	struct watch *w = &m->nodes[node];

	m->node = node;
	new_minute(w, now_ns);
	w->counts.datagrams++;
	w->counts.silence_datagrams += m->silence;
	if (++w->minute.datagrams == AY_MONITOR_DATAGRAMS_MAX)
		broken(m, "sent %u datagrams within a minute", AY_MONITOR_DATAGRAMS_MAX);
}

void ay_monitor_step(struct ay_monitor *m, unsigned node, const struct ay_fakenode *fake, uint64_t now_ns,
		     const struct ay_event *ev, const struct ay_orders *out)
{
	struct watch *w = &m->nodes[node];
	const char *wrong;

	m->node = node;
	m->fake = fake;
	m->now_ns = now_ns;
	new_minute(w, now_ns);
	w->counts.steps++;
	w->counts.orders += out->n;
	if (out->n > w->counts.orders_max)
		w->counts.orders_max = (unsigned)out->n;
	if (out->n > AY_MONITOR_ORDERS_MAX)
		broken(m, "%zu orders in one step", out->n);
	on_event(m, ev);
	for (size_t i = 0; i < out->n; i++)
		check_order(m, &out->list[i]);
	wrong = ay_core_check(ay_fakenode_core(fake));
	if (wrong)
		broken(m, "%s", wrong);
}

/* ---- stop and start */

void ay_monitor_stopped(struct ay_monitor *m, unsigned node, enum ay_fakenode_end how, uint64_t now_ns)
{
	struct watch *w = &m->nodes[node];

	w->n_tokens = w->n_conns = 0;
	for (struct bundle *b = w->bundles; b; b = b->next) {
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
	struct watch *w = &m->nodes[node];
	struct ay_head durable = {.serial = 0},
		       promised = {.root_epoch = w->head_epoch, .serial = w->head_serial};

	m->node = node;
	m->fake = fake;
	w->counts.starts++;
	if (branch(m) && branch(m)->has_head)
		ay_head_parse(branch(m)->head, AY_HEAD_SIZE, &durable, NULL);
	if (ay_head_cmp(&durable, &promised) < 0)
		broken(m, "comes up with head %u; head %u was promised to be durable", durable.serial,
		       promised.serial);
	if (ay_fakenode_root_version(fake) < w->root_version)
		broken(m, "comes up with root %u; root %u was promised to be durable",
		       ay_fakenode_root_version(fake), w->root_version);
	if (branch(m) && branch(m)->have_serial < w->installed)
		broken(m, "comes up with release %u; %u was installed", branch(m)->have_serial, w->installed);
	else if (branch(m))
		w->installed = branch(m)->have_serial;
	for (unsigned i = 0; i < w->n_promises; i++) {
		enum ay_event_type type =
			w->promises[i].type == AY_ORDER_STORE_RELEASE ? AY_EV_RELEASE : AY_EV_OFFER;
		if (!ay_fakenode_has_doc(fake, type, &w->promises[i].digest))
			broken(m, "comes up without a document that was promised to be durable");
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
		struct watch *w = &m->nodes[i];
		while (w->bundles)
			bundle_forget(w, &w->bundles->digest);
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
