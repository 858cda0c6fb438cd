/* SPDX-License-Identifier: MIT */
/*
 * Lies are told in the protocol's own words, because those get furthest; only garbage is made of dice.
 */
#include "sim/liar.h"

#include <stdlib.h>
#include <string.h>

#include "base/merkle.h"
#include "proto/wire.h"

#define MS         ((uint64_t)1000000)
#define RECORDED   48
#define CONNS_MAX  32
#define RATE       4000000 /* bytes a second */
#define LIAR_PORT  7001
#define FLOOD      40 /* datagrams at a time */
#define MERKLE_MAX (AY_WORLD_BUNDLES_MAX * 2)

struct record {
	enum ay_group group;
	struct ay_addr from;
	size_t len;
	uint8_t data[AY_DATAGRAM_MAX];
};

struct tree { /* of a bundle that somebody asked hashes of */
	const struct ay_world_bundle *bundle;
	struct ay_merkle *merkle;
};

struct ay_liar {
	struct ay_liar_config config;
	struct ay_medium *medium;
	struct ay_prng prng;
	unsigned station;
	uint64_t session_id, last_conn;
	uint64_t conns[CONNS_MAX]; /* up */
	unsigned n_conns;
	struct record records[RECORDED];
	unsigned n_records;
	struct tree trees[MERKLE_MAX];
	unsigned n_trees;
	uint8_t fleet[8];
};

static bool tells(const struct ay_liar *l, enum ay_lie lie)
{
	return l->config.lies & lie;
}

static uint64_t dice(struct ay_liar *l, uint64_t sides)
{
	return ay_prng_below(&l->prng, sides);
}

static void random_bytes(struct ay_liar *l, uint8_t *out, size_t len)
{
	for (size_t i = 0; i < len; i++)
		out[i] = (uint8_t)ay_prng_next(&l->prng);
}

/* ---- out */

static void say(struct ay_liar *l, uint64_t conn, uint8_t type, struct ay_buf *payload)
{
	AY_ASSERT(!payload->failed);
	ay_medium_frame(l->medium, l->station, conn, type, (struct ay_slice){payload->data, payload->len});
	ay_buf_release(payload);
}

static void say_bytes(struct ay_liar *l, uint64_t conn, uint8_t type, const void *data, size_t len)
{
	ay_medium_frame(l->medium, l->station, conn, type, (struct ay_slice){data, len});
}

static void shout(struct ay_liar *l, enum ay_group group, const struct ay_addr *from, const void *data,
		  size_t len)
{
	ay_medium_datagram(l->medium, l->station, group, from, NULL, (struct ay_slice){data, len});
}

static void shout_head(struct ay_liar *l, enum ay_group group, const uint8_t *head)
{
	struct ay_wire_datagram d = {.type = AY_DATAGRAM_HEAD,
				     .port = LIAR_PORT,
				     .school = dice(l, 2),
				     .session_id = l->session_id,
				     .head = head};
	struct ay_buf b = {0};

	ay_wire_datagram_put(&b, &d);
	shout(l, group, NULL, b.data, b.len);
	ay_buf_release(&b);
}

static void branch_tag(struct ay_branch_id *id)
{
	ay_branch_id(AY_WORLD_FLEET, AY_WORLD_BRANCH, id);
}

/* "I have release a million, and you should ask me for it." */
static void shout_chat(struct ay_liar *l, const struct ay_addr *from)
{
	struct ay_wire_datagram d = {.type = AY_DATAGRAM_CHAT,
				     .port = LIAR_PORT,
				     .incomplete = dice(l, 2),
				     .question = dice(l, 4) == 0,
				     .session_id = from ? ay_prng_next(&l->prng) : l->session_id,
				     .root_version = (uint32_t)dice(l, 5),
				     .neighbours = (uint16_t)dice(l, 1000),
				     .n = 1};
	struct ay_branch_id id;
	struct ay_buf b = {0};

	branch_tag(&id);
	d.summaries[0].tag = ay_get_le32(id.b);
	d.summaries[0].head_serial = (uint32_t)dice(l, 1000000);
	d.summaries[0].have_serial = (uint32_t)dice(l, 1000000);
	ay_wire_datagram_put(&b, &d);
	shout(l, AY_GROUP_CHAT, from, b.data, b.len);
	ay_buf_release(&b);
}

static void connect_somebody(struct ay_liar *l)
{
	if (l->n_conns == CONNS_MAX || !l->config.n_others)
		return;
	l->last_conn += 2;
	ay_medium_connect(l->medium, l->station, l->last_conn,
			  &l->config.others[dice(l, l->config.n_others)]);
}

static void flood(struct ay_liar *l)
{
	for (unsigned i = 0; i < FLOOD; i++) {
		struct ay_addr from = l->config.addr;
		from.ip[13] = (uint8_t)(1 + dice(l, 250));
		from.ip[15] = (uint8_t)dice(l, 250);
		shout_chat(l, &from);
	}
	/* Each session is somebody else's, if you believe its HELLO. */
	l->session_id = ay_prng_next(&l->prng);
	for (unsigned i = 0; i < 4; i++)
		connect_somebody(l);
}

static void hello(struct ay_liar *l, uint64_t conn)
{
	const struct ay_world *w = tells(l, AY_LIE_FORGE) ? l->config.stranger : l->config.truth;
	struct ay_wire_hello h = {.session_id = l->session_id,
				  .port = LIAR_PORT,
				  .root_version = 1 + (uint32_t)dice(l, 3),
				  .n = 1};
	struct ay_buf b = {0};
	struct ay_head head;

	memcpy(h.fleet, l->fleet, sizeof(h.fleet));
	branch_tag(&h.summaries[0].branch);
	if (ay_head_parse(w->head, AY_HEAD_SIZE, &head, NULL) == 0) {
		h.summaries[0].root_epoch = head.root_epoch;
		h.summaries[0].head_serial = h.summaries[0].have_serial = head.serial;
		h.summaries[0].signed_at_s = head.signed_at_s;
	}
	ay_wire_hello_put(&b, &h);
	say(l, conn, AY_FRAME_HELLO, &b);
}

/* ---- answers */

static void doc(struct ay_liar *l, uint64_t conn, uint8_t kind, const void *data, size_t len)
{
	struct ay_wire_doc d = {.kind = kind, .total = (uint32_t)len, .bytes = {data, len}};
	struct ay_buf b = {0};

	ay_wire_doc_put(&b, &d);
	say(l, conn, AY_FRAME_DOC, &b);
}

static void answer_ask(struct ay_liar *l, uint64_t conn, struct ay_slice payload)
{
	const struct ay_world *w = tells(l, AY_LIE_FORGE) ? l->config.stranger : l->config.truth;
	const struct ay_world_release *newest = ay_world_newest(w);
	struct ay_wire_ask a;
	struct ay_buf b = {0};

	if (ay_wire_ask_get(payload.data, payload.len, &a))
		return;
	if (a.kind == AY_DOC_TYPE_ROOT && w->n_roots) {
		const struct ay_world_doc *r = &w->roots[w->n_roots - 1];
		doc(l, conn, AY_DOC_TYPE_ROOT, r->data, r->len);
		return;
	}
	if (a.kind == AY_DOC_TYPE_HEAD && newest) {
		doc(l, conn, AY_DOC_TYPE_HEAD, w->head, AY_HEAD_SIZE);
		return;
	}
	if ((a.kind == AY_DOC_TYPE_RELEASE || a.kind == AY_DOC_TYPE_RELEASE_OF) && newest) {
		doc(l, conn, AY_DOC_TYPE_RELEASE, newest->doc.data, newest->doc.len);
		return;
	}
	for (unsigned i = 0; i < w->n_bundles && a.kind == AY_DOC_TYPE_OFFERS; i++)
		doc(l, conn, AY_DOC_TYPE_OFFERS, w->bundles[i].offer.data, w->bundles[i].offer.len);
	ay_wire_ask_put(&b, &a);
	say(l, conn, AY_FRAME_NONE, &b);
}

static const struct ay_world_bundle *bundle_of(const struct ay_liar *l, const struct ay_digest *digest,
					       bool *real)
{
	const struct ay_world_bundle *b = ay_world_bundle_of(l->config.truth, digest);

	*real = b;
	return b ? b : ay_world_bundle_of(l->config.stranger, digest);
}

static void answer_want(struct ay_liar *l, uint64_t conn, struct ay_slice payload)
{
	struct ay_wire_want w;
	struct ay_wire_bitmap m = {.kind = AY_BITMAP_WHOLE};
	struct ay_buf b = {0};

	if (ay_wire_want_get(payload.data, payload.len, &w) || !w.on)
		return;
	m.bundle = w.bundle;
	m.size = w.size;
	ay_wire_bitmap_put(&b, &m);
	say(l, conn, AY_FRAME_BITMAP, &b);
}

/* A stranger's own bundle is given rightly, or nobody could be led astray by it. */
static void answer_request(struct ay_liar *l, uint64_t conn, struct ay_slice payload)
{
	uint8_t frame[AY_BLOCK_HEADER + AY_BLOCK_SIZE];
	struct ay_wire_request r;
	bool real;

	if (ay_wire_request_get(payload.data, payload.len, &r))
		return;
	const struct ay_world_bundle *b = bundle_of(l, &r.bundle, &real);
	uint32_t len = b ? ay_block_len(b->size, r.index) : 0;
	if (!len)
		return;
	ay_frame_block_put(frame, &r.bundle, r.index);
	memcpy(frame + AY_BLOCK_HEADER, b->data + (uint64_t)r.index * AY_BLOCK_SIZE, len);
	if (real && tells(l, AY_LIE_BLOCKS) && dice(l, 2))
		frame[AY_BLOCK_HEADER + dice(l, len)] ^= (uint8_t)(1 + dice(l, 255));
	if (real && tells(l, AY_LIE_GARBAGE) && dice(l, 4) == 0)
		len = (uint32_t)dice(l, len) + 1;
	say_bytes(l, conn, AY_FRAME_BLOCK, frame, AY_BLOCK_HEADER + len);
}

static struct ay_merkle *tree_of(struct ay_liar *l, const struct ay_world_bundle *b)
{
	for (unsigned i = 0; i < l->n_trees; i++)
		if (l->trees[i].bundle == b)
			return l->trees[i].merkle;
	AY_ASSERT(l->n_trees < MERKLE_MAX);
	struct tree *t = &l->trees[l->n_trees++];
	t->bundle = b;
	int r = ay_merkle_build_mem(b->data, b->size, &t->merkle);
	AY_ASSERT(r == 0);
	return t->merkle;
}

static void answer_hashes(struct ay_liar *l, uint64_t conn, struct ay_slice payload)
{
	uint8_t frame[AY_HASHES_HEADER + AY_LEAF_SIZE];
	struct ay_wire_hash_request r;
	bool real;

	if (ay_wire_hash_request_get(payload.data, payload.len, &r))
		return;
	const struct ay_world_bundle *b = bundle_of(l, &r.bundle, &real);
	const struct ay_merkle *m = b ? tree_of(l, b) : NULL;
	const uint8_t *block = m && r.level < ay_merkle_levels(m) ? ay_merkle_get(m, r.level, r.index) : NULL;
	if (!block)
		return;
	ay_frame_hashes_put(frame, &r.bundle, r.level, r.index);
	memcpy(frame + AY_HASHES_HEADER, block, AY_LEAF_SIZE);
	if (real && tells(l, AY_LIE_BLOCKS) && dice(l, 4) == 0)
		frame[AY_HASHES_HEADER + dice(l, AY_LEAF_SIZE)] ^= (uint8_t)(1 + dice(l, 255));
	say_bytes(l, conn, AY_FRAME_HASHES, frame, sizeof(frame));
}

/* ---- garbage */

static void garbage_frame(struct ay_liar *l, uint64_t conn)
{
	static const uint8_t usual[] = {0,  32, 36, 37,
					41, 45, 50, 60}; /* payloads of these lengths get past the framing */
	uint8_t data[600];
	size_t len = dice(l, 4) ? usual[dice(l, sizeof(usual))] : (size_t)dice(l, sizeof(data)) + 1;

	random_bytes(l, data, len);
	say_bytes(l, conn, (uint8_t)(1 + dice(l, AY_FRAME_TYPES - 1)), data, len);
}

static void garbage_datagram(struct ay_liar *l)
{
	uint8_t data[AY_DATAGRAM_MAX];
	size_t len = (size_t)dice(l, sizeof(data)) + 1;
	enum ay_group group = dice(l, 2) ? AY_GROUP_NEWS : AY_GROUP_CHAT;

	random_bytes(l, data, len);
	if (len >= 4 && dice(l, 2))
		memcpy(data, (uint8_t[4]){'A', 'y', 1, (uint8_t)(1 + dice(l, 2))}, 4);
	if (l->n_records && dice(l, 2)) {
		/* Somebody's words with one byte changed, or cut short. */
		const struct record *r = &l->records[dice(l, l->n_records)];
		memcpy(data, r->data, r->len);
		len = r->len;
		if (dice(l, 2))
			data[dice(l, len)] ^= (uint8_t)(1 + dice(l, 255));
		else
			len = (size_t)dice(l, len) + 1;
	}
	shout(l, group, NULL, data, len);
}

static void replay(struct ay_liar *l)
{
	if (!l->n_records)
		return;
	const struct record *r = &l->records[dice(l, l->n_records)];
	shout(l, dice(l, 4) ? r->group : AY_GROUP_CHAT, dice(l, 2) ? &r->from : NULL, r->data, r->len);
}

/* ---- a life of crime */

static void forge(struct ay_liar *l)
{
	if (ay_world_newest(l->config.stranger))
		shout_head(l, dice(l, 2) ? AY_GROUP_NEWS : AY_GROUP_CHAT, l->config.stranger->head);
	if (dice(l, 2))
		shout_chat(l, NULL);
}

static void act(struct ay_liar *l)
{
	if (tells(l, AY_LIE_GARBAGE))
		garbage_datagram(l);
	if (tells(l, AY_LIE_REPLAY))
		replay(l);
	if (tells(l, AY_LIE_FORGE))
		forge(l);
	if (tells(l, AY_LIE_BLOCKS) || tells(l, AY_LIE_SILENCE))
		shout_chat(l, NULL);
	if (tells(l, AY_LIE_FLOOD))
		flood(l);
	if (dice(l, 3) == 0)
		connect_somebody(l);
	if (l->n_conns && tells(l, AY_LIE_GARBAGE) && dice(l, 3) == 0)
		garbage_frame(l, l->conns[dice(l, l->n_conns)]);
}

static void on_timer(void *ctx)
{
	struct ay_liar *l = ctx;

	act(l);
	ay_medium_run_at(l->medium, l->station, ay_medium_now(l->medium) + 500 * MS + dice(l, 4000 * MS));
}

static void on_heard(void *ctx, enum ay_group group, const struct ay_addr *from, struct ay_slice data)
{
	struct ay_liar *l = ctx;
	struct record *r;

	if (data.len > AY_DATAGRAM_MAX || dice(l, 4))
		return;
	r = &l->records[l->n_records < RECORDED ? l->n_records++ : dice(l, RECORDED)];
	r->group = group;
	r->from = *from;
	r->len = data.len;
	memcpy(r->data, data.data, data.len);
}

static void on_connected(void *ctx, uint64_t conn, const struct ay_addr *addr, bool incoming)
{
	struct ay_liar *l = ctx;

	(void)addr;
	(void)incoming;
	if (l->n_conns == CONNS_MAX) {
		ay_medium_close(l->medium, l->station, conn);
		return;
	}
	l->conns[l->n_conns++] = conn;
	if (tells(l, AY_LIE_GARBAGE) && dice(l, 2))
		garbage_frame(l, conn);
	else
		hello(l, conn);
}

static void on_closed(void *ctx, uint64_t conn, int status)
{
	struct ay_liar *l = ctx;

	(void)status;
	for (unsigned i = 0; i < l->n_conns; i++)
		if (l->conns[i] == conn)
			l->conns[i] = l->conns[--l->n_conns];
}

static void on_frame(void *ctx, uint64_t conn, uint8_t type, struct ay_slice payload)
{
	struct ay_liar *l = ctx;

	if (tells(l, AY_LIE_GARBAGE) && dice(l, 8) == 0) {
		garbage_frame(l, conn);
		return;
	}
	if (type == AY_FRAME_WANT)
		answer_want(l, conn, payload);
	if (tells(l, AY_LIE_SILENCE) && dice(l, 8))
		return;
	if (type == AY_FRAME_ASK)
		answer_ask(l, conn, payload);
	else if (type == AY_FRAME_REQUEST)
		answer_request(l, conn, payload);
	else if (type == AY_FRAME_HASH_REQUEST)
		answer_hashes(l, conn, payload);
}

static void on_sent(void *ctx, uint64_t conn)
{
	(void)ctx;
	(void)conn;
}

struct ay_liar *ay_liar_new(const struct ay_liar_config *config, struct ay_medium *m)
{
	static const struct ay_station_ops ops = {.timer = on_timer,
						  .heard = on_heard,
						  .connected = on_connected,
						  .closed = on_closed,
						  .frame = on_frame,
						  .sent = on_sent};
	static const char text[] = "ayni-fleet\0" AY_WORLD_FLEET;
	struct ay_liar *l = calloc(1, sizeof(*l));
	uint8_t hash[32];

	AY_ASSERT(l);
	l->config = *config;
	l->config.addr.port = LIAR_PORT;
	l->medium = m;
	l->last_conn = 1;
	ay_prng_init(&l->prng, config->seed);
	l->session_id = ay_prng_next(&l->prng);
	ay_sha256(text, sizeof(text) - 1, hash);
	memcpy(l->fleet, hash, sizeof(l->fleet));
	l->station = ay_medium_join(m, &l->config.addr, RATE, &ops, l);
	ay_medium_set_state(m, l->station, AY_STATION_UP);
	ay_medium_run_at(m, l->station, ay_medium_now(m) + dice(l, 5000 * MS));
	return l;
}

void ay_liar_stop(struct ay_liar *l)
{
	ay_medium_set_state(l->medium, l->station, AY_STATION_OFF);
}

void ay_liar_free(struct ay_liar *l)
{
	if (!l)
		return;
	for (unsigned i = 0; i < l->n_trees; i++)
		ay_merkle_free(l->trees[i].merkle);
	free(l);
}
