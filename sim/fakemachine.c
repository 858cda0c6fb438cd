/* SPDX-License-Identifier: MIT */
/*
 * Orders in, events out: the machine around the core, as node/ is on a real one.
 */
#include "sim/fakenode_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define NEVER        UINT64_MAX
#define STORM_COPIES 20

static void reschedule(struct ay_fakenode *n)
{
	uint64_t at = n->core ? ay__fake_jobs_next(n) : NEVER;

	if (n->core && n->deadline_ns < at)
		at = n->deadline_ns;
	n->ops.run_at(n->ops.ctx, n, at);
}

/* ---- orders */

static void frame_out(struct ay_fakenode *n, uint64_t conn, uint8_t type, const void *head, size_t head_len,
		      struct ay_slice body)
{
	uint8_t *payload = malloc(head_len + body.len + 1);

	AY_ASSERT(payload);
	memcpy(payload, head, head_len);
	memcpy(payload + head_len, body.data, body.len);
	n->ops.frame(n->ops.ctx, n, conn, type, (struct ay_slice){payload, head_len + body.len});
	free(payload);
}

/* What was to be sent is gone: node/tcp.c ends the session, the peer asks another. */
static void fail_session(struct ay_fakenode *n, uint64_t conn)
{
	n->ops.close(n->ops.ctx, n, conn);
	ay__fake_job_closed(n, conn);
}

static void send_block(struct ay_fakenode *n, const struct ay_order *o)
{
	const struct ay_fakebundle *b = ay_fakedisk_find(&n->disk, &o->block.bundle);
	uint32_t len = b && b->state >= AY_FAKE_OPEN ? ay_block_len(b->size, o->block.index) : 0;
	uint8_t head[AY_BLOCK_HEADER];

	if (len == 0) {
		fail_session(n, o->block.conn);
		return;
	}
	ay_frame_block_put(head, &o->block.bundle, o->block.index);
	frame_out(n, o->block.conn, AY_FRAME_BLOCK, head, sizeof(head),
		  (struct ay_slice){b->data + (uint64_t)o->block.index * AY_BLOCK_SIZE, len});
}

static void send_hashes(struct ay_fakenode *n, const struct ay_order *o)
{
	const struct ay_fakebundle *b = ay_fakedisk_find(&n->disk, &o->hashes.bundle);
	const uint8_t *block =
		b && b->merkle ? ay_merkle_get(b->merkle, o->hashes.level, o->hashes.index) : NULL;
	uint8_t head[AY_HASHES_HEADER];

	if (!block) {
		fail_session(n, o->hashes.conn);
		return;
	}
	ay_frame_hashes_put(head, &o->hashes.bundle, o->hashes.level, o->hashes.index);
	frame_out(n, o->hashes.conn, AY_FRAME_HASHES, head, sizeof(head),
		  (struct ay_slice){block, AY_LEAF_SIZE});
}

static void order_datagram(struct ay_fakenode *n, const struct ay_order *o)
{
	const struct ay_addr *to = o->datagram.group == AY_GROUP_NONE ? &o->datagram.to : NULL;

	for (int i = 0; i < (ay__fake_mutant(n, AY_MUTANT_STORM) ? STORM_COPIES : 1); i++)
		n->ops.datagram(n->ops.ctx, n, o->datagram.group, to, o->data);
}

static void carry_out(struct ay_fakenode *n, const struct ay_order *o)
{
	switch (o->type) {
	case AY_ORDER_DATAGRAM:
		order_datagram(n, o);
		break;
	case AY_ORDER_CONNECT:
		n->ops.connect(n->ops.ctx, n, o->conn.id, &o->conn.addr);
		break;
	case AY_ORDER_CLOSE:
		n->ops.close(n->ops.ctx, n, o->conn.id);
		break;
	case AY_ORDER_FRAME:
		n->ops.frame(n->ops.ctx, n, o->frame.conn, o->frame.type, o->data);
		break;
	case AY_ORDER_SEND_BLOCK:
		send_block(n, o);
		break;
	case AY_ORDER_SEND_HASHES:
		send_hashes(n, o);
		break;
	case AY_ORDER_DEADLINE:
		n->deadline_ns = o->at_ns;
		break;
	default:
		ay__fake_job_order(n, o);
	}
}

static void step(struct ay_fakenode *n, struct ay_event *ev)
{
	struct ay_orders out = {0};
	int rc;

	if (!n->core)
		return;
	AY_ASSERT(!n->stepping);
	n->stepping = true;
	ev->now_ns = ay__fake_now(n);
	rc = ay_core_step(n->core, ev, &out);
	if (n->ops.stepped)
		n->ops.stepped(n->ops.ctx, n, ev, rc, &out);
	for (size_t i = 0; i < out.n; i++)
		carry_out(n, &out.list[i]);
	n->stepping = false;
	reschedule(n);
}

void ay_fakenode_run(struct ay_fakenode *n)
{
	ay__fake_jobs_run(n);
	if (n->core && n->deadline_ns <= ay__fake_now(n)) {
		struct ay_event ev = {.type = AY_EV_TICK};
		n->deadline_ns = NEVER;
		step(n, &ev);
	}
	reschedule(n);
}

/* ---- life */

struct ay_fakenode *ay_fakenode_new(const struct ay_fakenode_config *config,
				    const struct ay_fakenode_ops *ops)
{
	struct ay_fakenode *n = calloc(1, sizeof(*n));

	AY_ASSERT(n);
	n->config = *config;
	n->ops = *ops;
	n->deadline_ns = NEVER;
	n->give = step;
	ay_prng_init(&n->prng, config->seed);
	return n;
}

void ay_fakenode_free(struct ay_fakenode *n)
{
	if (!n)
		return;
	ay_core_free(n->core);
	ay__fake_jobs_release(n);
	ay_fakedisk_release(&n->disk);
	free(n);
}

static void tell_docs(struct ay_fakenode *n, enum ay_event_type type)
{
	for (unsigned i = 0; i < n->disk.n_docs; i++) {
		struct ay_event ev = {.type = type, .data = {n->disk.docs[i].data, n->disk.docs[i].len}};
		if (n->disk.docs[i].type == type)
			step(n, &ev);
	}
}

static void tell_branch(struct ay_fakenode *n, const struct ay_fakebranch *b)
{
	const struct ay_tree_here before = {b->before_serial, b->before_manifest};
	struct ay_event ev = {.type = AY_EV_BRANCH,
			      .branch = {.name = b->name,
					 .follow = b->follow,
					 .have_serial = b->have_serial,
					 .have_manifest = b->have_manifest,
					 .floor = b->floor,
					 .bad_serial = b->bad_serial,
					 .here = &before,
					 .n_here = b->before_serial ? 1 : 0}};
	step(n, &ev);
}

static void tell_head(struct ay_fakenode *n, const struct ay_fakebranch *b)
{
	struct ay_event ev = {.type = AY_EV_HEAD, .data = {b->head, AY_HEAD_SIZE}};

	if (b->has_head)
		step(n, &ev);
}

/* In collection first, as node/load.c does; what no offer names is garbage. */
static void open_bundles(struct ay_fakenode *n)
{
	for (int whole = 0; whole <= 1; whole++) {
		for (struct ay_fakebundle *b = n->disk.bundles; b; b = b->next) {
			if (b->whole != whole || b->state != AY_FAKE_CLOSED)
				continue;
			if (!b->lent) {
				ay__fake_job_open(n, &b->digest, b->size, false);
				continue;
			}
			ay_fakebundle_resume(b, false);
			ay__fake_tell_bundle(n, b);
		}
	}
}

static void forget(struct ay_fakenode *n)
{
	for (unsigned i = 0; i < n->disk.n_branches; i++) {
		struct ay_fakebranch *b = &n->disk.branches[i];
		if (ay__fake_mutant(n, AY_MUTANT_FORGET_HEAD)) {
			b->has_head = false;
			b->floor = 0;
		}
		if (ay__fake_mutant(n, AY_MUTANT_FORGET_TREE) && b->before_serial) {
			b->have_serial = b->before_serial;
			b->have_manifest = b->before_manifest;
			b->floor = 0;
		}
	}
}

void ay_fakenode_start(struct ay_fakenode *n, uint64_t session_id)
{
	struct ay_core_config c = n->config.core;

	AY_ASSERT(!n->core);
	c.session_id = session_id;
	c.seed = ay_prng_next(&n->prng);
	n->core = ay_core_new(&c);
	AY_ASSERT(n->core);
	n->deadline_ns = NEVER;
	tell_docs(n, AY_EV_ROOT);
	for (unsigned i = 0; i < n->disk.n_branches; i++)
		tell_branch(n, &n->disk.branches[i]);
	tell_docs(n, AY_EV_RELEASE);
	tell_docs(n, AY_EV_OFFER);
	open_bundles(n);
	for (unsigned i = 0; i < n->disk.n_branches; i++)
		tell_head(n, &n->disk.branches[i]);
	reschedule(n);
}

void ay_fakenode_stop(struct ay_fakenode *n, enum ay_fakenode_end how)
{
	struct ay_fakebundle *next;

	AY_ASSERT(n->core && !n->stepping);
	ay_core_free(n->core);
	n->core = NULL;
	ay__fake_jobs_stop(n);
	for (struct ay_fakebundle *b = n->disk.bundles; b; b = next) {
		next = b->next;
		ay_fakebundle_close(b);
		if (how == AY_END_POWER)
			ay_fakebundle_power_cut(b, ay__fake_now(n), &n->prng);
		/* A file whose removal was never done is still there, unless it was begun anew. */
		bool again = b->dropped && ay_fakedisk_find(&n->disk, &b->digest);
		b->dropped = false;
		if (again || !b->data)
			ay_fakedisk_remove(&n->disk, b);
	}
	forget(n);
	n->deadline_ns = NEVER;
	reschedule(n);
}

/* ---- put by hand */

void ay_fakenode_put(struct ay_fakenode *n, enum ay_event_type type, struct ay_slice data)
{
	struct ay_event ev = {.type = type, .data = data};

	if (type == AY_EV_HEAD) {
		AY_ASSERT(n->disk.n_branches == 1 && data.len == AY_HEAD_SIZE);
		ay_fakedisk_set_head(&n->disk.branches[0], data.data);
	} else if (!ay_fakedisk_add_doc(&n->disk, type, data)) {
		return;
	}
	step(n, &ev);
}

void ay_fakenode_put_branch(struct ay_fakenode *n, const char *branch, bool follow, uint32_t have_serial,
			    const struct ay_digest *have_manifest)
{
	struct ay_fakebranch *b = ay_fakedisk_branch(&n->disk, branch, true);

	b->follow = follow;
	b->have_serial = have_serial;
	if (have_serial)
		b->have_manifest = *have_manifest;
	if (have_serial > b->floor)
		b->floor = have_serial;
	tell_branch(n, b);
}

void ay_fakenode_roll_back(struct ay_fakenode *n, const char *branch)
{
	struct ay_fakebranch *b = ay_fakedisk_branch(&n->disk, branch, false);

	AY_ASSERT(b && b->before_serial);
	const struct ay_tree_here left = {b->have_serial, b->have_manifest};
	b->have_serial = b->before_serial;
	b->have_manifest = b->before_manifest;
	b->before_serial = left.serial;
	b->before_manifest = left.manifest;
	b->bad_serial = left.serial;
	tell_branch(n, b);
}

void ay_fakenode_put_bundle(struct ay_fakenode *n, struct ay_slice data)
{
	struct ay_digest digest;
	struct ay_fakebundle *b;

	ay_digest_mem(data.data, data.len, &digest);
	if (ay_fakedisk_find(&n->disk, &digest))
		return;
	b = ay_fakedisk_begin(&n->disk, &digest, data.len);
	/* Never written to: it is whole from the first day. */
	memcpy(&b->data, &data.data, sizeof(b->data));
	b->lent = b->whole = true;
	if (!n->core)
		return;
	ay_fakebundle_resume(b, false);
	ay__fake_tell_bundle(n, b);
}

/* ---- events from outside */

void ay_fakenode_heard(struct ay_fakenode *n, enum ay_group group, const struct ay_addr *from,
		       struct ay_slice data)
{
	struct ay_event ev = {
		.type = AY_EV_DATAGRAM, .data = data, .datagram = {.group = group, .from = *from}};

	step(n, &ev);
}

void ay_fakenode_connected(struct ay_fakenode *n, uint64_t conn, const struct ay_addr *addr, bool incoming)
{
	struct ay_event ev = {.type = AY_EV_CONNECTED,
			      .conn = {.id = conn, .addr = *addr, .incoming = incoming}};

	step(n, &ev);
}

void ay_fakenode_closed(struct ay_fakenode *n, uint64_t conn, int status)
{
	struct ay_event ev = {.type = AY_EV_CLOSED, .status = status, .conn = {.id = conn}};

	step(n, &ev);
}

static int block_in(struct ay_fakenode *n, struct ay_slice payload, struct ay_event *ev)
{
	struct ay_slice data;
	int r = ay_frame_block_get(payload.data, payload.len, &ev->block.bundle, &ev->block.index, &data);

	if (r)
		return r;
	struct ay_fakebundle *b = ay_fakedisk_find(&n->disk, &ev->block.bundle);
	ev->status = b && b->state >= AY_FAKE_OPEN
			     ? ay_fakebundle_write(b, ev->block.index, data, ay__fake_now(n),
						   ay__fake_mutant(n, AY_MUTANT_ANY_BLOCK))
			     : -ENOENT;
	return 0;
}

static int hashes_in(struct ay_fakenode *n, struct ay_slice payload, struct ay_event *ev)
{
	const uint8_t *block;
	int r = ay_frame_hashes_get(payload.data, payload.len, &ev->hashes.bundle, &ev->hashes.level,
				    &ev->hashes.index, &block);
	if (r)
		return r;
	struct ay_fakebundle *b = ay_fakedisk_find(&n->disk, &ev->hashes.bundle);
	ev->status = b && b->state >= AY_FAKE_OPEN
			     ? ay_fakebundle_add_hashes(b, ev->hashes.level, ev->hashes.index, block,
							ay__fake_now(n))
			     : -ENOENT;
	if (ay__fake_mutant(n, AY_MUTANT_ANY_BLOCK) && ev->status == AY_EDIGEST)
		ev->status = 0;
	return 0;
}

/* What node/stream.c looks at before it reads a payload. */
static int length_fits(uint8_t type, size_t len)
{
	uint8_t head[AY_FRAME_HEADER] = {[4] = type};
	uint32_t got;
	uint8_t t;

	for (unsigned i = 0; i < 4; i++)
		head[i] = (uint8_t)((len + 1) >> (8 * i));
	return ay_frame_header_get(head, &got, &t);
}

void ay_fakenode_frame(struct ay_fakenode *n, uint64_t conn, uint8_t type, struct ay_slice payload)
{
	struct ay_event ev = {.type = AY_EV_FRAME};
	int r = length_fits(type, payload.len);

	if (!n->core)
		return;
	if (type == AY_FRAME_BLOCK) {
		ev.type = AY_EV_BLOCK;
		ev.block.conn = conn;
		r = r ? r : block_in(n, payload, &ev);
	} else if (type == AY_FRAME_HASHES) {
		ev.type = AY_EV_HASHES;
		ev.hashes.conn = conn;
		r = r ? r : hashes_in(n, payload, &ev);
	} else {
		ev.data = payload;
		ev.frame.conn = conn;
		ev.frame.type = type;
	}
	if (r == 0) {
		step(n, &ev);
		return;
	}
	/* No ayni sends that: node/stream.c ends the session. */
	n->ops.close(n->ops.ctx, n, conn);
	ay_fakenode_closed(n, conn, r);
}

void ay_fakenode_sent(struct ay_fakenode *n, uint64_t conn)
{
	struct ay_event ev = {.type = AY_EV_SENT, .block = {.conn = conn}};

	step(n, &ev);
}

void ay_fakenode_part(struct ay_fakenode *n, uint64_t conn)
{
	struct ay_event ev = {.type = AY_EV_BLOCK_PART, .block = {.conn = conn}};

	step(n, &ev);
}

void ay_fakenode_wake(struct ay_fakenode *n)
{
	struct ay_event ev = {.type = AY_EV_WAKE};

	step(n, &ev);
}

void ay_fakenode_update(struct ay_fakenode *n, const char *branch, bool force)
{
	struct ay_event ev = {.type = AY_EV_UPDATE, .update = {.branch = branch, .force = force}};

	step(n, &ev);
}

void ay_fakenode_fetch(struct ay_fakenode *n, const char *branch, const struct ay_digest *manifest)
{
	struct ay_event ev = {.type = AY_EV_FETCH, .fetch = {.branch = branch, .manifest = *manifest}};

	step(n, &ev);
}

/* ---- reading */

struct ay_core *ay_fakenode_core(const struct ay_fakenode *n)
{
	return n->core;
}

const struct ay_fakenode_config *ay_fakenode_config(const struct ay_fakenode *n)
{
	return &n->config;
}

void ay_fakenode_heal(struct ay_fakenode *n)
{
	n->config.no_space_permille = n->config.bad_base_permille = 0;
}

const struct ay_fakebranch *ay_fakenode_branch(const struct ay_fakenode *n, const char *branch)
{
	for (unsigned i = 0; i < n->disk.n_branches; i++)
		if (strcmp(n->disk.branches[i].name, branch) == 0)
			return &n->disk.branches[i];
	return NULL;
}

uint32_t ay_fakenode_root_version(const struct ay_fakenode *n)
{
	return ay_fakedisk_root_version(&n->disk);
}

bool ay_fakenode_has_doc(const struct ay_fakenode *n, enum ay_event_type type, const struct ay_digest *digest)
{
	return ay_fakedisk_doc(&n->disk, type, digest);
}

uint32_t ay_fakenode_blocks(const struct ay_fakenode *n, const struct ay_digest *bundle, bool *whole)
{
	const struct ay_fakebundle *b = ay_fakedisk_find(&n->disk, bundle);

	*whole = b && b->whole;
	return b ? b->whole ? b->blocks : b->n_had : 0;
}

bool ay_fakenode_has_block(const struct ay_fakenode *n, const struct ay_digest *bundle, uint32_t index)
{
	const struct ay_fakebundle *b = ay_fakedisk_find(&n->disk, bundle);

	if (!b || index >= b->blocks)
		return false;
	return b->whole || (b->bitmap && b->bitmap[index / 8] >> (index % 8) & 1);
}

bool ay_fakenode_has_hashes(const struct ay_fakenode *n, const struct ay_digest *bundle, unsigned level,
			    uint32_t index)
{
	const struct ay_fakebundle *b = ay_fakedisk_find(&n->disk, bundle);

	return b && b->merkle && level < ay_merkle_levels(b->merkle) &&
	       ay_merkle_has(b->merkle, level, index);
}

const uint8_t *ay_fakenode_bytes(const struct ay_fakenode *n, const struct ay_digest *bundle, uint64_t *size)
{
	const struct ay_fakebundle *b = ay_fakedisk_find(&n->disk, bundle);

	*size = b ? b->size : 0;
	return b ? b->data : NULL;
}
