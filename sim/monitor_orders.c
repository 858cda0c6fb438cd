/* SPDX-License-Identifier: MIT */
/*
 * What a core orders: may it say that, may it do that? The rules are those of DESIGN section 12 and of proto/core.h.
 */
#include "sim/monitor_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "proto/pick.h"
#include "proto/wire.h"

#define ASKERS_MAX 2 /* of one block at once */

/* ---- what may be said */

static void check_head(struct ay_monitor *m, const uint8_t *bytes, const char *where)
{
	const struct ay_fakebranch *b = ay__mon_branch_of(m);
	struct ay_head said, durable = {.serial = 0};
	bool signed_by_us = false;

	for (unsigned i = 0; i < m->world->n_heads; i++)
		signed_by_us |= memcmp(m->world->heads[i], bytes, AY_HEAD_SIZE) == 0;
	if (!signed_by_us) {
		ay__mon_broken(m, "says a head in %s that the publisher never signed", where);
		return;
	}
	ay_head_parse(bytes, AY_HEAD_SIZE, &said, NULL);
	if (b && b->has_head)
		ay_head_parse(b->head, AY_HEAD_SIZE, &durable, NULL);
	if (ay_head_cmp(&said, &durable) > 0)
		ay__mon_broken(m, "says head %u in %s, but only head %u is durable", said.serial, where,
			       durable.serial);
}

static void check_summary(struct ay_monitor *m, const char *where, uint32_t root, uint32_t head,
			  uint32_t have)
{
	const struct ay_fakebranch *b = ay__mon_branch_of(m);
	struct ay_head durable = {.serial = 0};

	if (b && b->has_head)
		ay_head_parse(b->head, AY_HEAD_SIZE, &durable, NULL);
	if (root > ay_fakenode_root_version(m->fake))
		ay__mon_broken(m, "says root %u in %s, but only root %u is durable", root, where,
			       ay_fakenode_root_version(m->fake));
	if (head > durable.serial)
		ay__mon_broken(m, "says head %u in %s, but only head %u is durable", head, where,
			       durable.serial);
	if (have > (b ? b->have_serial : 0))
		ay__mon_broken(m, "says that it has %u in %s, but only %u is installed", have, where,
			       b ? b->have_serial : 0);
}

static void check_datagram(struct ay_monitor *m, const struct ay_order *o)
{
	struct ay_wire_datagram d;

	if (o->data.len > AY_DATAGRAM_MAX) {
		ay__mon_broken(m, "a datagram of %zu bytes", o->data.len);
		return;
	}
	if (ay_wire_datagram_get(o->data.data, o->data.len, &d)) {
		ay__mon_broken(m, "a datagram that is malformed");
		return;
	}
	if (o->datagram.group == AY_GROUP_NEWS && d.type != AY_DATAGRAM_HEAD)
		ay__mon_broken(m, "something else than a head in NEWS");
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
		ay__mon_broken(m, "a HELLO that is malformed");
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
		ay__mon_broken(m, "a DOC that is malformed");
		return;
	}
	ay_digest_mem(d.bytes.data, d.bytes.len, &digest);
	if (d.kind == AY_DOC_TYPE_HEAD)
		check_head(m, d.bytes.data, "a session");
	if (d.kind == AY_DOC_TYPE_RELEASE && !ay_fakenode_has_doc(m->fake, AY_EV_RELEASE, &digest))
		ay__mon_broken(m, "gives a release away that is not durable");
	if (d.kind == AY_DOC_TYPE_OFFERS && !ay_fakenode_has_doc(m->fake, AY_EV_OFFER, &digest))
		ay__mon_broken(m, "gives an offer away that is not durable");
	if (d.kind == AY_DOC_TYPE_ROOT && d.bytes.len == d.total &&
	    !ay_fakenode_has_doc(m->fake, AY_EV_ROOT, &digest))
		ay__mon_broken(m, "gives a root away that is not durable");
}

static void check_bitmap(struct ay_monitor *m, struct ay_slice data)
{
	struct ay_wire_bitmap b;
	char name[9];

	if (ay_wire_bitmap_get(data.data, data.len, &b)) {
		ay__mon_broken(m, "a BITMAP that is malformed");
		return;
	}
	uint32_t blocks = (uint32_t)ay_blocks_of(b.size);
	for (uint32_t i = 0; i < blocks && b.kind != AY_BITMAP_NONE; i++) {
		bool said = b.kind == AY_BITMAP_WHOLE || (b.bits.data[i / 8] >> (i % 8) & 1);
		if (said && !ay_fakenode_has_block(m->fake, &b.bundle, i))
			ay__mon_broken(m, "says in a BITMAP that it has block %u of %s, and has not", i,
				       ay__mon_hex8(&b.bundle, name));
	}
}

static void check_request(struct ay_monitor *m, uint64_t conn, struct ay_slice data)
{
	struct ay_wire_request r;
	char name[9];

	if (ay_wire_request_get(data.data, data.len, &r)) {
		ay__mon_broken(m, "a REQUEST that is malformed");
		return;
	}
	struct ay__mon_watched *b = ay__mon_watched_find(ay__mon_watch_of(m), &r.bundle);
	if (!b || r.index >= b->blocks) {
		ay__mon_broken(m, "asks for block %u of %s, which is not open", r.index,
			       ay__mon_hex8(&r.bundle, name));
		return;
	}
	ay__mon_watch_of(m)->counts.requests++;
	if (b->had_ns[r.index])
		ay__mon_broken(m, "asks for block %u of %s again, which it had verified", r.index,
			       ay__mon_hex8(&r.bundle, name));
	unsigned before = ay__mon_askers(b, r.index);
	if (before >= ASKERS_MAX)
		ay__mon_broken(m, "asks %u peers for block %u of %s", before + 1, r.index,
			       ay__mon_hex8(&r.bundle, name));
	if (before && b->blocks - b->n_had > AY_SWARM_ENDGAME)
		ay__mon_broken(m, "asks a second peer for block %u of %s, and lacks %u", r.index,
			       ay__mon_hex8(&r.bundle, name), b->blocks - b->n_had);
	ay__mon_watch_of(m)->counts.requests_twice += before > 0;
	b->asks[r.index]++;
	ay__mon_asked_add(b, conn, r.index);
}

static void check_frame(struct ay_monitor *m, const struct ay_order *o)
{
	struct ay_wire_block b;
	struct ay_wire_hash_request h;
	char name[9];

	if (o->data.len >= AY_FRAME_MAX)
		ay__mon_broken(m, "a frame of %zu bytes", o->data.len);
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
			ay__mon_broken(m, "says HAVE of block %u of %s, and has it not", b.index,
				       ay__mon_hex8(&b.bundle, name));
		break;
	case AY_FRAME_CANCEL:
		if (ay_wire_block_get(o->data.data, o->data.len, &b) == 0)
			ay__mon_asked_end(ay__mon_watch_of(m), &b.bundle, o->frame.conn, b.index);
		break;
	case AY_FRAME_HASH_REQUEST:
		if (ay_wire_hash_request_get(o->data.data, o->data.len, &h) ||
		    ay_fakenode_has_hashes(m->fake, &h.bundle, h.level, h.index))
			ay__mon_broken(m, "asks for hash block %u/%u of %s, which it has", h.level, h.index,
				       ay__mon_hex8(&h.bundle, name));
		break;
	default:
		break;
	}
}

/* ---- what may be done */

static void note_token(struct ay_monitor *m, const struct ay_order *o)
{
	struct ay__mon_watch *w = ay__mon_watch_of(m);
	struct ay__mon_promise t = {.token = o->token, .type = o->type};
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
		ay__mon_broken(m, "keeps a root that the publisher never signed");
	w->tokens = reallocarray(w->tokens, w->n_tokens + 1, sizeof(*w->tokens));
	AY_ASSERT(w->tokens);
	w->tokens[w->n_tokens++] = t;
}

static void check_bytes(struct ay_monitor *m, const struct ay_world_bundle *truth)
{
	uint64_t size;
	const uint8_t *bytes = ay_fakenode_bytes(m->fake, &truth->digest, &size);

	if (!bytes || size != truth->size || memcmp(bytes, truth->data, size) != 0)
		ay__mon_broken(m, "applies a bundle whose bytes are not the publisher's");
}

static void check_apply(struct ay_monitor *m, const struct ay_order *o)
{
	const struct ay_world_release *r = ay_world_release_doc(m->world, &o->apply.release);
	const struct ay_world_bundle *b = ay_world_offer_doc(m->world, &o->apply.offer);
	const struct ay_fakebranch *have = ay__mon_branch_of(m);
	bool whole;

	if (!r || r->serial != o->apply.serial) {
		ay__mon_broken(m, "applies a release that the publisher never signed");
		return;
	}
	if (!b || b->to != r->serial || !ay_digest_eq(&b->digest, &o->apply.bundle)) {
		ay__mon_broken(m, "applies by an offer that the publisher never made for release %u",
			       r->serial);
		return;
	}
	if (!ay_fakenode_has_doc(m->fake, AY_EV_RELEASE, &o->apply.release) ||
	    !ay_fakenode_has_doc(m->fake, AY_EV_OFFER, &o->apply.offer))
		ay__mon_broken(m, "applies release %u before its papers are durable", r->serial);
	ay_fakenode_blocks(m->fake, &o->apply.bundle, &whole);
	if (!whole)
		ay__mon_broken(m, "applies a bundle that is not whole");
	if (!have || r->serial <= have->have_serial || r->serial < have->floor)
		ay__mon_broken(m, "applies release %u over %u, floor %u", r->serial,
			       have ? have->have_serial : 0, have ? have->floor : 0);
	if (b->from && have && b->from != have->have_serial && b->from != have->before_serial)
		ay__mon_broken(m, "applies a bundle from release %u, and has %u and %u", b->from,
			       have->have_serial, have->before_serial);
	check_bytes(m, b);
	m->used[b - m->world->bundles] = true;
}

/* Whom nobody has deceived must not take one of ours for a liar. */
static void check_close(struct ay_monitor *m, const struct ay_order *o)
{
	const struct ay__mon_watch *w = ay__mon_watch_of(m);

	for (unsigned i = 0; i < w->n_conns && o->status == AY_EPEER; i++)
		if (w->conns[i].id == o->conn.id)
			ay__mon_broken(m, "bans node %u, which is honest", w->conns[i].with);
}

static void check_order(struct ay_monitor *m, const struct ay_order *o)
{
	char name[9];

	switch (o->type) {
	case AY_ORDER_DATAGRAM:
		check_datagram(m, o);
		break;
	case AY_ORDER_CONNECT:
		if (++ay__mon_watch_of(m)->minute.connects == AY_MONITOR_CONNECTS_MAX)
			ay__mon_broken(m, "connected %u times within a minute", AY_MONITOR_CONNECTS_MAX);
		if (o->conn.id % 2 == 0)
			ay__mon_broken(m, "connects with an even number");
		ay__mon_conn_begin(m, o->conn.id, &o->conn.addr);
		break;
	case AY_ORDER_CLOSE:
		check_close(m, o);
		ay__mon_conn_end(ay__mon_watch_of(m), o->conn.id);
		break;
	case AY_ORDER_FRAME:
		check_frame(m, o);
		break;
	case AY_ORDER_SEND_BLOCK:
		if (!ay_fakenode_has_block(m->fake, &o->block.bundle, o->block.index))
			ay__mon_broken(m, "sends block %u of %s, and has it not", o->block.index,
				       ay__mon_hex8(&o->block.bundle, name));
		break;
	case AY_ORDER_SEND_HASHES:
		if (!ay_fakenode_has_hashes(m->fake, &o->hashes.bundle, o->hashes.level, o->hashes.index))
			ay__mon_broken(m, "sends hash block %u/%u of %s, and has it not", o->hashes.level,
				       o->hashes.index, ay__mon_hex8(&o->hashes.bundle, name));
		break;
	case AY_ORDER_STORE_ROOT:
	case AY_ORDER_STORE_RELEASE:
	case AY_ORDER_STORE_OFFER:
	case AY_ORDER_STORE_HEAD:
	case AY_ORDER_FINISH_BUNDLE:
		note_token(m, o);
		break;
	case AY_ORDER_DROP_BUNDLE:
		ay__mon_watched_forget(ay__mon_watch_of(m), &o->bundle.digest);
		break;
	case AY_ORDER_APPLY:
		check_apply(m, o);
		break;
	case AY_ORDER_OPEN_BUNDLE:
	case AY_ORDER_DEADLINE:
		break;
	}
}

void ay_monitor_step(struct ay_monitor *m, unsigned node, const struct ay_fakenode *fake, uint64_t now_ns,
		     const struct ay_event *ev, const struct ay_orders *out)
{
	struct ay__mon_watch *w = &m->nodes[node];
	const char *wrong;

	m->node = node;
	m->fake = fake;
	m->now_ns = now_ns;
	ay__mon_new_minute(w, now_ns);
	w->counts.steps++;
	w->counts.orders += out->n;
	if (out->n > w->counts.orders_max)
		w->counts.orders_max = (unsigned)out->n;
	if (out->n > AY_MONITOR_ORDERS_MAX)
		ay__mon_broken(m, "%zu orders in one step", out->n);
	ay__mon_learn(m, ev);
	for (size_t i = 0; i < out->n; i++)
		check_order(m, &out->list[i]);
	wrong = ay_core_check(ay_fakenode_core(fake));
	if (wrong)
		ay__mon_broken(m, "%s", wrong);
}
