/* SPDX-License-Identifier: MIT */
/*
 * The core against a script: each op of the input is an event, from a packet of random bytes to the right answer
 * to what was asked. After each the invariants must hold, whatever came; and whatever the core says
 * must be something that its own decoders accept.
 *
 *   op, then its operands: see the table below. Bytes that are missing count as 0.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "proto/frame.h"
#include "proto/wire.h"
#include "tests/fuzz/proto/core_machine.h"

/* Fuzz targets are linked with the rooms alone. */
#include "tests/support/publisher.c"

#define BLOCKS 12

static struct publisher world;
static struct ay_merkle *whole;

static void do_hello(struct machine *m, struct script *s)
{
	uint8_t b = u8(s), head = u8(s) % 4, have = u8(s) % 4;
	struct ay_wire_hello h = {
		.school = b & 1, .session_id = 10 + b / 8, .port = 4444, .root_version = 1, .n = 1};
	uint8_t hash[32];
	struct ay_buf buf = {0};

	ay_sha256("ayni-fleet\0story", 16, hash);
	memcpy(h.fleet, hash, 8);
	ay_branch_id("story", m->p->branch, &h.summaries[0].branch);
	h.summaries[0].root_epoch = head ? 1 : 0;
	h.summaries[0].head_serial = head;
	h.summaries[0].signed_at_s = head ? 1700000000 + head : 0;
	h.summaries[0].have_serial = have;
	ay_wire_hello_put(&buf, &h);
	send_frame(m, 2 + (b & 6), AY_FRAME_HELLO, &buf);
}

/* The right answer to the oldest question on conn 2. */
static void do_answer(struct machine *m)
{
	struct ay_wire_doc d = {.kind = 0};
	struct ay_buf buf = {0};
	struct ay_wire_ask a;
	const struct ay_buf *e = NULL;

	if (m->n_asks == 0)
		return;
	a = m->asks[0];
	memmove(m->asks, m->asks + 1, --m->n_asks * sizeof(a));
	d.kind = a.kind == AY_DOC_TYPE_RELEASE_OF ? AY_DOC_TYPE_RELEASE : a.kind;
	if (a.kind == AY_DOC_TYPE_HEAD)
		d.bytes = (struct ay_slice){m->p->releases[m->p->n_releases - 1].head, AY_HEAD_SIZE};
	for (unsigned i = 0; i < m->p->n_releases; i++) {
		struct ay_digest digest;
		ay_digest_mem(m->p->releases[i].envelope.data, m->p->releases[i].envelope.len, &digest);
		if (d.kind == AY_DOC_TYPE_RELEASE &&
		    (ay_digest_eq(&digest, &a.digest) || m->p->releases[i].serial == a.number ||
		     ay_digest_eq(&m->p->releases[i].manifest, &a.digest)))
			e = &m->p->releases[i].envelope;
	}
	for (unsigned i = 0; a.kind == AY_DOC_TYPE_OFFERS && i < m->p->n_bundles; i++)
		if (ay_digest_eq(&published(m->p, m->p->bundles[i].to)->manifest, &a.digest))
			e = &m->p->bundles[i].offer;
	if (e)
		d.bytes = (struct ay_slice){e->data, e->len};
	d.total = (uint32_t)d.bytes.len;
	if (d.total) {
		ay_wire_doc_put(&buf, &d);
		send_frame(m, 2, AY_FRAME_DOC, &buf);
	}
	if (!d.total || a.kind == AY_DOC_TYPE_OFFERS) {
		buf = (struct ay_buf){0};
		ay_wire_ask_put(&buf, &a);
		send_frame(m, 2, AY_FRAME_NONE, &buf);
	}
}

/* A well-formed message about the bundle. */
static void do_swarm(struct machine *m, struct script *s)
{
	const struct published_bundle *b = &m->p->bundles[0];
	uint8_t what = u8(s), x = u8(s), y = u8(s);
	uint64_t conn = 2 + (what & 6);
	uint8_t bits[2] = {x, y & 0x0f};
	struct ay_wire_want want = {
		.bundle = b->digest, .size = b->size, .had = x % (BLOCKS + 1), .on = y & 1};
	struct ay_wire_bitmap map = {
		.bundle = b->digest, .size = b->size, .kind = AY_BITMAP_BITS, .bits = {bits, 2}};
	struct ay_wire_bitmap flat = {.bundle = b->digest, .size = b->size, .kind = x & 1 ? 2 : 0};
	struct ay_wire_block block = {.bundle = b->digest, .index = x % (BLOCKS + 1)};
	struct ay_wire_request req = {
		.bundle = b->digest, .index = x % (BLOCKS + 1), .had = y, .attempt = y % 5};
	struct ay_wire_hash_request hash = {.bundle = b->digest, .level = x % 4, .index = y % 4};
	struct ay_wire_reject rej = {.bundle = b->digest,
				     .level = x & 128 ? 0 : AY_REJECT_LEVEL_BLOCK,
				     .index = x % BLOCKS,
				     .reason = (uint8_t)(1 + y % 3),
				     .retry_ms = y * 20u,
				     .who = y % 3 == 2 ? 9 : 0};
	struct ay_buf buf = {0};

	switch (what / 8 % 9) {
	case 0:
		ay_wire_want_put(&buf, &want);
		send_frame(m, conn, AY_FRAME_WANT, &buf);
		break;
	case 1:
		ay_wire_bitmap_put(&buf, &map);
		send_frame(m, conn, AY_FRAME_BITMAP, &buf);
		break;
	case 2:
		ay_wire_bitmap_put(&buf, &flat);
		send_frame(m, conn, AY_FRAME_BITMAP, &buf);
		break;
	case 3:
		ay_wire_block_put(&buf, &block);
		send_frame(m, conn, y & 1 ? AY_FRAME_HAVE : AY_FRAME_CANCEL, &buf);
		break;
	case 4:
		ay_wire_request_put(&buf, &req);
		send_frame(m, conn, AY_FRAME_REQUEST, &buf);
		break;
	case 5:
		ay_wire_hash_request_put(&buf, &hash);
		send_frame(m, conn, AY_FRAME_HASH_REQUEST, &buf);
		break;
	case 6:
		ay_wire_reject_put(&buf, &rej);
		send_frame(m, conn, AY_FRAME_REJECT, &buf);
		break;
	case 7:
		step(m, (struct ay_event){.type = y & 1 ? AY_EV_BLOCK_PART : AY_EV_SENT,
					  .block = {.conn = conn}});
		break;
	default: {
		static const int codes[] = {0, 0, 0, 0, AY_EDIGEST, -EAGAIN, -ENOSPC, AY_EFORMAT};
		step(m, (struct ay_event){.type = AY_EV_BLOCK,
					  .status = codes[y % 8],
					  .block = {conn, b->digest, x % (BLOCKS + 1)}});
	}
	}
}

/* The right block, or hash block, to one of the requests. */
static void do_right(struct machine *m, struct script *s)
{
	const struct published_bundle *b = &m->p->bundles[0];
	uint8_t x = u8(s);

	if (m->n_requests == 0)
		return;
	unsigned i = x % m->n_requests;
	uint64_t conn = m->requests[i].conn;
	uint8_t level = m->requests[i].level;
	uint32_t index = m->requests[i].index;
	memmove(m->requests + i, m->requests + i + 1, (--m->n_requests - i) * sizeof(m->requests[0]));
	if (level != AY_REJECT_LEVEL_BLOCK) {
		if (level >= ay_merkle_levels(whole) || index >= ay_merkle_width(whole, level))
			return;
		int rc = ay_merkle_add(m->merkle, level, index, ay_merkle_get(whole, level, index));
		step(m, (struct ay_event){.type = AY_EV_HASHES,
					  .status = rc,
					  .hashes = {conn, b->digest, level, index}});
	} else if (index < BLOCKS) {
		step(m, (struct ay_event){.type = AY_EV_BLOCK,
					  .status = ay_merkle_has(m->merkle, 0, index / 8) ? 0 : -EAGAIN,
					  .block = {conn, b->digest, index}});
	}
}

static void do_hashes(struct machine *m, struct script *s)
{
	uint8_t x = u8(s);
	uint8_t level = x & 1;
	uint32_t index = level ? 0 : x / 2 % 2;
	int rc = -EAGAIN;

	if (level < ay_merkle_levels(whole) && index < ay_merkle_width(whole, level))
		rc = ay_merkle_add(m->merkle, level, index, ay_merkle_get(whole, level, index));
	if (x & 64)
		rc = AY_EDIGEST;
	step(m, (struct ay_event){.type = AY_EV_HASHES,
				  .status = rc,
				  .hashes = {2 + 2 * (x / 8 & 3), m->p->bundles[0].digest, level, index}});
}

static void do_bundle(struct machine *m, struct script *s)
{
	uint8_t x = u8(s), bits[2] = {u8(s), 0};

	if (x % 8 == 7) {
		step(m, (struct ay_event){.type = AY_EV_BUNDLE_GONE,
					  .status = x & 8 ? -ENOSPC : -ENOENT,
					  .bundle = {.digest = m->p->bundles[0].digest}});
	} else if (m->opening || x & 16) {
		/* Only once with this tree: the core may keep the pointer. */
		m->opening = false;
		step(m, (struct ay_event){.type = AY_EV_BUNDLE,
					  .bundle = {.digest = m->p->bundles[0].digest,
						     .size = m->p->bundles[0].size,
						     .whole = x % 8 == 6,
						     .bitmap = bits,
						     .merkle = m->merkle}});
	}
}

static void do_stored(struct machine *m, struct script *s)
{
	uint8_t x = u8(s);

	if (m->n_tokens == 0)
		return;
	unsigned i = x / 4 % m->n_tokens;
	uint64_t token = m->tokens[i];
	m->tokens[i] = m->tokens[--m->n_tokens];
	step(m, (struct ay_event){.type = AY_EV_STORED, .token = token, .status = x % 4 == 3 ? -EIO : 0});
}

static void do_applied(struct machine *m, struct script *s)
{
	static const int codes[] = {0, 0, AY_EBASE, AY_EDIGEST, -ENOSPC, AY_ESIG, AY_ENOTHING, -EIO};
	uint8_t x = u8(s);

	if (!m->applying)
		return;
	m->applying = false;
	step(m, (struct ay_event){.type = AY_EV_APPLIED,
				  .status = codes[x % 8],
				  .applied = {m->p->branch, 2, published(m->p, 2)->manifest}});
}

static void do_datagram(struct machine *m, struct script *s)
{
	uint8_t x = u8(s);
	struct ay_wire_datagram d = {.type = AY_DATAGRAM_CHAT,
				     .port = 4444,
				     .question = x & 1,
				     .incomplete = x & 2,
				     .school = x & 4,
				     .session_id = 10 + x / 8,
				     .root_version = 1,
				     .n = 1};
	struct ay_branch_id id;
	struct ay_buf buf = {0};

	ay_branch_id("story", m->p->branch, &id);
	d.summaries[0] = (struct ay_wire_summary){ay_get_le32(id.b), u8(s) % 4, u8(s) % 4};
	if (x & 128) {
		d.type = AY_DATAGRAM_HEAD;
		d.question = d.incomplete = false;
		d.head = m->p->releases[x % m->p->n_releases].head;
	}
	ay_wire_datagram_put(&buf, &d);
	step(m, (struct ay_event){.type = AY_EV_DATAGRAM,
				  .data = {buf.data, buf.len},
				  .datagram = {d.type == AY_DATAGRAM_HEAD ? AY_GROUP_NEWS : AY_GROUP_CHAT,
					       host(x / 8)}});
	ay_buf_release(&buf);
}

static void do_raw(struct machine *m, struct script *s)
{
	uint8_t x = u8(s);
	struct ay_slice data = some(s, u8(s));

	if (x & 1)
		step(m, (struct ay_event){.type = AY_EV_DATAGRAM,
					  .data = data,
					  .datagram = {x & 2 ? 1 : 0, host(x / 4)}});
	else
		step(m, (struct ay_event){.type = AY_EV_FRAME,
					  .data = data,
					  .frame = {.conn = 2 + 2 * (x / 2 & 3), .type = x / 8 % 18}});
}

static void do_time(struct machine *m, struct script *s)
{
	uint64_t until = m->now + (uint64_t)(u8(s) + 1) * (u8(s) & 1 ? 1000 : 10) * 1000000;

	for (unsigned i = 0; i < 20 && m->deadline <= until; i++) {
		m->now = m->deadline > m->now ? m->deadline : m->now;
		m->deadline = UINT64_MAX;
		step(m, (struct ay_event){.type = AY_EV_TICK});
	}
	m->now = until;
	step(m, (struct ay_event){.type = AY_EV_TICK});
}

static void do_session(struct machine *m, struct script *s)
{
	uint8_t x = u8(s);
	uint64_t conn = 2 + 2 * (x / 2 & 3);

	if (x & 128 && m->outgoing) {
		step(m, (struct ay_event){.type = x & 1 ? AY_EV_CONNECTED : AY_EV_CLOSED,
					  .conn = {m->outgoing, host(x / 8 & 7), false}});
		m->outgoing = 0;
	} else if (x & 1) {
		if (conn == 2)
			m->n_asks = 0;
		step(m, (struct ay_event){.type = AY_EV_CLOSED,
					  .status = x & 64 ? AY_EFORMAT : 0,
					  .conn = {.id = conn}});
	} else {
		step(m, (struct ay_event){.type = AY_EV_CONNECTED, .conn = {conn, host(x / 8 & 7), true}});
	}
}

static void do_local(struct machine *m, struct script *s)
{
	uint8_t x = u8(s);
	const struct published_release *r = &m->p->releases[x % m->p->n_releases];
	const struct published_bundle *b = &m->p->bundles[x % m->p->n_bundles];
	uint8_t have = x % 4;

	switch (x / 16 % 8) {
	case 0:
		local(m, AY_EV_RELEASE, r->envelope.data, r->envelope.len);
		break;
	case 1:
		local(m, AY_EV_OFFER, b->offer.data, b->offer.len);
		break;
	case 2:
		local(m, AY_EV_HEAD, r->head, AY_HEAD_SIZE);
		break;
	case 3:
		local(m, AY_EV_ROOT, m->p->roots[x & 1].data, m->p->roots[x & 1].len);
		break;
	case 4:
		step(m,
		     (struct ay_event){.type = AY_EV_BRANCH,
				       .branch = {.name = m->p->branch,
						  .follow = true,
						  .have_serial = have,
						  .have_manifest = published(m->p, have)
									   ? published(m->p, have)->manifest
									   : (struct ay_digest){{0}},
						  .floor = have}});
		break;
	case 5:
		step(m, (struct ay_event){.type = AY_EV_WAKE});
		break;
	case 6:
		step(m, (struct ay_event){.type = AY_EV_UPDATE, .update = {.branch = "", .force = x & 1}});
		break;
	case 7:
		step(m, (struct ay_event){.type = AY_EV_FETCH,
					  .fetch = {.branch = m->p->branch,
						    .manifest = published(m->p, have)
									? published(m->p, have)->manifest
									: (struct ay_digest){{0}}}});
		break;
	default: {
		struct ay_slice data = some(s, u8(s));
		local(m, (enum ay_event_type[]){AY_EV_ROOT, AY_EV_HEAD, AY_EV_RELEASE, AY_EV_OFFER}[x % 4],
		      data.data, data.len);
	}
	}
}

static void make_world(void)
{
	if (whole)
		return;
	publisher_init(&world, 7);
	for (uint32_t i = 1; i <= 3; i++)
		publisher_release(&world, i, 100);
	publisher_bundle(&world, 1, 2, BLOCKS * AY_BLOCK_SIZE - 100);
	publisher_bundle(&world, 2, 3, 100000);
	publisher_bundle(&world, 0, 3, 3000000); /* dearer than the two steps */
	AY_ASSERT(ay_merkle_build_mem(world.bundles[0].data, world.bundles[0].size, &whole) == 0);
	unsigned key = world.key;
	publisher_rotate(&world);
	world.key = key;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct script s = {data, data + len};
	struct ay_addr peer = host(5);

	make_world();
	uint8_t flags = u8(&s);
	struct ay_core_config cfg = {.role = flags & 1 ? AY_NODE_SCHOOL : AY_NODE_LAPTOP,
				     .session_id = 12,
				     .seed = flags,
				     .tcp_port = 4444,
				     .auto_update = !(flags & 2),
				     .sessions_max = flags & 4 ? 3 : 0,
				     .peers = &peer,
				     .n_peers = flags & 8 ? 1 : 0};
	struct machine m = {
		.p = &world, .core = ay_core_new(&cfg), .now = 1000000000, .deadline = UINT64_MAX};
	m.merkle = ay_merkle_new(&world.bundles[0].digest, world.bundles[0].size);
	AY_ASSERT(m.core && m.merkle);
	if (!(flags & 16)) {
		/* Most scripts begin as a node does. */
		const struct published_release *r = published(&world, 1);
		local(&m, AY_EV_ROOT, world.roots[0].data, world.roots[0].len);
		step(&m, (struct ay_event){.type = AY_EV_BRANCH,
					   .branch = {.name = world.branch,
						      .follow = true,
						      .have_serial = 1,
						      .have_manifest = r->manifest,
						      .floor = 1}});
		local(&m, AY_EV_RELEASE, r->envelope.data, r->envelope.len);
		local(&m, AY_EV_HEAD, r->head, AY_HEAD_SIZE);
	}
	while (s.at < s.end && m.steps < STEPS_MAX) {
		static void (*const ops[])(struct machine *, struct script *) = {
			do_time,  do_session, do_hello,   do_swarm,    do_swarm, do_hashes, do_bundle,
			do_right, do_stored,  do_applied, do_datagram, do_raw,   do_local,
		};
		uint8_t op = u8(&s);
		if (op % 14 == 13)
			do_answer(&m);
		else
			ops[op % 14](&m, &s);
	}
	ay_core_free(m.core);
	ay_merkle_free(m.merkle);
	return 0;
}
