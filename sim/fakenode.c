/* SPDX-License-Identifier: MIT */
/*
 * Orders in, events out: the machine around the core, as node/ is on a real one. The disk has one job at a time, in
 * the sequence of the orders; applying is a second process beside it. What a job does to the disk happens at the
 * instant of its answer, so a cut before it leaves the old state; whether the one job that was running
 * still ended, chance decides.
 */
#include "sim/fakenode.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sim/fakedisk.h"

#define NEVER        UINT64_MAX
#define PROMISE_NS   ((uint64_t)30000000000) /* AY_MUTANT_PROMISE: so late it is durable */
#define STORM_COPIES 20

enum job_kind { JOB_STORE, JOB_OPEN, JOB_TELL, JOB_FINISH, JOB_DROP, JOB_APPLY, JOB_CLOSED };

struct job {
	struct job *next;
	enum job_kind kind;
	enum ay_order_type order; /* JOB_STORE */
	uint64_t start_ns, due_ns, token, conn;
	bool silent; /* its answer was given already */
	char branch[AY_BRANCH_NAME_MAX + 1];
	uint32_t serial;
	struct ay_digest digest, release, offer;
	uint64_t size;
	bool create;
	size_t len;
	uint8_t data[];
};

struct queue {
	struct job *first;
	uint64_t busy_until;
};

struct ay_fakenode {
	struct ay_fakenode_config config;
	struct ay_fakenode_ops ops;
	struct ay_prng prng;
	struct ay_fakedisk disk;
	struct ay_core *core;
	struct queue store, applier, soon;
	uint64_t deadline_ns;
	bool stepping;
};

static uint64_t now(const struct ay_fakenode *n)
{
	return n->ops.now_ns(n->ops.ctx);
}

static bool mutant(const struct ay_fakenode *n, enum ay_mutant m)
{
	return n->config.mutants & m;
}

static uint64_t draw(struct ay_fakenode *n, const uint64_t range[2])
{
	return range[0] + (range[1] > range[0] ? ay_prng_below(&n->prng, range[1] - range[0]) : 0);
}

static bool chance(struct ay_fakenode *n, unsigned permille)
{
	return permille && ay_prng_below(&n->prng, 1000) < permille;
}

/* ---- jobs */

static struct job *job_new(enum job_kind kind, struct ay_slice data)
{
	struct job *j = calloc(1, sizeof(*j) + data.len);

	AY_ASSERT(j);
	j->kind = kind;
	j->len = data.len;
	if (data.len)
		memcpy(j->data, data.data, data.len);
	return j;
}

/* One after the other. */
static void job_push(struct ay_fakenode *n, struct queue *q, struct job *j, uint64_t takes_ns)
{
	struct job **p = &q->first;

	j->start_ns = q->busy_until > now(n) ? q->busy_until : now(n);
	j->due_ns = q->busy_until = j->start_ns + takes_ns;
	while (*p)
		p = &(*p)->next;
	*p = j;
}

static void reschedule(struct ay_fakenode *n)
{
	const struct queue *q[] = {&n->store, &n->applier, &n->soon};
	uint64_t at = n->core ? n->deadline_ns : NEVER;

	for (unsigned i = 0; n->core && i < 3; i++)
		if (q[i]->first && q[i]->first->due_ns < at)
			at = q[i]->first->due_ns;
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
	struct job *j = job_new(JOB_CLOSED, (struct ay_slice){0});

	j->conn = conn;
	n->ops.close(n->ops.ctx, n, conn);
	job_push(n, &n->soon, j, 0);
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

static void order_store(struct ay_fakenode *n, const struct ay_order *o)
{
	struct job *j = job_new(JOB_STORE, o->data);

	j->order = o->type;
	j->token = o->token;
	if (o->type == AY_ORDER_STORE_HEAD)
		memcpy(j->branch, o->branch.branch, strlen(o->branch.branch) + 1);
	if (mutant(n, AY_MUTANT_PROMISE)) {
		struct job *answer = job_new(JOB_STORE, (struct ay_slice){0});
		answer->token = o->token;
		job_push(n, &n->soon, answer, 0);
		j->silent = true;
		job_push(n, &n->store, j, PROMISE_NS);
		return;
	}
	job_push(n, &n->store, j, draw(n, n->config.store_ns));
}

static void order_open(struct ay_fakenode *n, const struct ay_digest *digest, uint64_t size, bool create)
{
	struct ay_fakebundle *b = ay_fakedisk_find(&n->disk, digest);
	struct job *j;

	if (b && b->state == AY_FAKE_OPENING)
		return; /* the answer is on its way */
	j = job_new(b && b->state != AY_FAKE_CLOSED ? JOB_TELL : JOB_OPEN, (struct ay_slice){0});
	j->digest = *digest;
	j->size = size;
	j->create = create;
	if (!b && create)
		b = ay_fakedisk_begin(&n->disk, digest, size);
	if (b && j->kind == JOB_OPEN)
		b->state = AY_FAKE_OPENING;
	job_push(n, &n->store, j, draw(n, n->config.store_ns));
}

static void order_finish(struct ay_fakenode *n, const struct ay_order *o)
{
	struct ay_fakebundle *b = ay_fakedisk_find(&n->disk, &o->bundle.digest);
	struct job *j;

	if (b && b->state == AY_FAKE_OPEN)
		b->state = AY_FAKE_FINISHING;
	if (mutant(n, AY_MUTANT_LOST_ANSWER))
		return;
	j = job_new(JOB_FINISH, (struct ay_slice){0});
	j->token = o->token;
	j->digest = o->bundle.digest;
	job_push(n, &n->store, j, draw(n, n->config.store_ns));
}

/* The name goes at once, the file in its turn. */
static void order_drop(struct ay_fakenode *n, const struct ay_order *o)
{
	struct ay_fakebundle *b = ay_fakedisk_find(&n->disk, &o->bundle.digest);
	struct job *j;

	if (!b)
		return;
	b->dropped = true;
	j = job_new(JOB_DROP, (struct ay_slice){0});
	j->digest = b->digest;
	job_push(n, &n->store, j, draw(n, n->config.store_ns));
}

static void order_apply(struct ay_fakenode *n, const struct ay_order *o)
{
	struct job *j = job_new(JOB_APPLY, (struct ay_slice){0});

	memcpy(j->branch, o->apply.branch, strlen(o->apply.branch) + 1);
	j->serial = o->apply.serial;
	j->release = o->apply.release;
	j->offer = o->apply.offer;
	j->digest = o->apply.bundle;
	job_push(n, &n->applier, j, draw(n, n->config.apply_ns));
}

static void order_datagram(struct ay_fakenode *n, const struct ay_order *o)
{
	const struct ay_addr *to = o->datagram.group == AY_GROUP_NONE ? &o->datagram.to : NULL;

	for (int i = 0; i < (mutant(n, AY_MUTANT_STORM) ? STORM_COPIES : 1); i++)
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
	case AY_ORDER_STORE_ROOT:
	case AY_ORDER_STORE_RELEASE:
	case AY_ORDER_STORE_OFFER:
	case AY_ORDER_STORE_HEAD:
		order_store(n, o);
		break;
	case AY_ORDER_OPEN_BUNDLE:
		order_open(n, &o->bundle.digest, o->bundle.size, true);
		break;
	case AY_ORDER_FINISH_BUNDLE:
		order_finish(n, o);
		break;
	case AY_ORDER_DROP_BUNDLE:
		order_drop(n, o);
		break;
	case AY_ORDER_APPLY:
		order_apply(n, o);
		break;
	case AY_ORDER_DEADLINE:
		n->deadline_ns = o->at_ns;
		break;
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
	ev->now_ns = now(n);
	rc = ay_core_step(n->core, ev, &out);
	if (n->ops.stepped)
		n->ops.stepped(n->ops.ctx, n, ev, rc, &out);
	for (size_t i = 0; i < out.n; i++)
		carry_out(n, &out.list[i]);
	n->stepping = false;
	reschedule(n);
}

/* ---- what jobs do; the answer is an event */

static void tell_bundle(struct ay_fakenode *n, const struct ay_fakebundle *b)
{
	struct ay_event ev = {.type = AY_EV_BUNDLE,
			      .bundle = {.digest = b->digest,
					 .size = b->size,
					 .whole = b->whole,
					 .bitmap = b->whole ? NULL : b->bitmap,
					 .merkle = b->merkle}};
	step(n, &ev);
}

static void tell_gone(struct ay_fakenode *n, const struct ay_digest *digest, int status)
{
	struct ay_event ev = {.type = AY_EV_BUNDLE_GONE, .status = status, .bundle = {.digest = *digest}};
	step(n, &ev);
}

static void tell_stored(struct ay_fakenode *n, const struct job *j, int status)
{
	struct ay_event ev = {.type = AY_EV_STORED, .status = status, .token = j->token};

	if (!j->silent)
		step(n, &ev);
}

static int store_now(struct ay_fakenode *n, const struct job *j)
{
	struct ay_slice data = {j->data, j->len};

	switch (j->order) {
	case AY_ORDER_STORE_ROOT:
		ay_fakedisk_add_doc(&n->disk, AY_EV_ROOT, data);
		return 0;
	case AY_ORDER_STORE_RELEASE:
		ay_fakedisk_add_doc(&n->disk, AY_EV_RELEASE, data);
		return 0;
	case AY_ORDER_STORE_OFFER:
		ay_fakedisk_add_doc(&n->disk, AY_EV_OFFER, data);
		return 0;
	case AY_ORDER_STORE_HEAD:
		if (j->len != AY_HEAD_SIZE)
			return AY_EFORMAT;
		ay_fakedisk_set_head(ay_fakedisk_branch(&n->disk, j->branch, true), j->data);
		return 0;
	default:
		return 0; /* the early answer of AY_MUTANT_PROMISE */
	}
}

static void do_open(struct ay_fakenode *n, const struct job *j)
{
	struct ay_fakebundle *b = ay_fakedisk_find(&n->disk, &j->digest);
	int status = 0;

	if (!b || b->state != AY_FAKE_OPENING) {
		if (!b && !j->create)
			tell_gone(n, &j->digest, -ENOENT);
		return; /* dropped meanwhile: nobody waits */
	}
	if (b->size != j->size)
		status = AY_EFORMAT;
	else if (j->create && !b->data && chance(n, n->config.no_space_permille))
		status = -ENOSPC;
	if (status == 0) {
		ay_fakebundle_resume(b, mutant(n, AY_MUTANT_REFETCH));
		tell_bundle(n, b);
		return;
	}
	if (b->data)
		b->state = AY_FAKE_CLOSED;
	else
		ay_fakedisk_remove(&n->disk, b);
	tell_gone(n, &j->digest, status);
}

static int finish_now(struct ay_fakenode *n, const struct job *j)
{
	struct ay_fakebundle *b = ay_fakedisk_find(&n->disk, &j->digest);

	if (!b || b->state < AY_FAKE_OPEN)
		return -ENOENT;
	b->state = AY_FAKE_OPEN;
	if (b->n_had < b->blocks)
		return -EAGAIN;
	if (chance(n, n->config.no_space_permille))
		return -EIO;
	b->whole = true;
	return 0;
}

static void do_drop(struct ay_fakenode *n, const struct job *j)
{
	for (struct ay_fakebundle *b = n->disk.bundles; b; b = b->next) {
		if (b->dropped && ay_digest_eq(&b->digest, &j->digest)) {
			ay_fakedisk_remove(&n->disk, b);
			return;
		}
	}
}

/* The applier trusts nobody: documents, floor, base and bytes are looked at again. */
static int apply_now(struct ay_fakenode *n, const struct job *j, struct ay_digest *manifest)
{
	const struct ay_fakedoc *rd = ay_fakedisk_doc(&n->disk, AY_EV_RELEASE, &j->release);
	const struct ay_fakedoc *od = ay_fakedisk_doc(&n->disk, AY_EV_OFFER, &j->offer);
	struct ay_fakebundle *bundle = ay_fakedisk_find(&n->disk, &j->digest);
	struct ay_fakebranch *b = ay_fakedisk_branch(&n->disk, j->branch, false);
	struct ay_envelope env;
	struct ay_release r;
	struct ay_offer o;
	struct ay_digest digest;

	if (!rd || !od || !bundle || !bundle->whole || !b)
		return -ENOENT;
	if (ay_envelope_parse(rd->data, rd->len, &env, NULL) ||
	    ay_release_parse(env.text.data, env.text.len, &r, NULL) ||
	    ay_envelope_parse(od->data, od->len, &env, NULL) ||
	    ay_offer_parse(env.text.data, env.text.len, &o, NULL))
		return AY_EFORMAT;
	if (r.serial < b->floor)
		return AY_EROLLBACK;
	if (!ay_digest_eq(&o.to, &r.manifest) || !ay_digest_eq(&o.bundle, &j->digest))
		return AY_EFORMAT;
	if (!ay_digest_is_zero(&o.from) && !ay_digest_eq(&o.from, &b->have_manifest))
		return AY_EBASE;
	ay_digest_mem(bundle->data, bundle->size, &digest);
	if (!ay_digest_eq(&digest, &j->digest) && !mutant(n, AY_MUTANT_ANY_BLOCK))
		return AY_EDIGEST;
	if (chance(n, n->config.bad_base_permille))
		return AY_EBASE;
	if (chance(n, n->config.no_space_permille))
		return -ENOSPC;
	b->before_serial = b->have_serial;
	b->before_manifest = b->have_manifest;
	b->have_serial = r.serial;
	b->have_manifest = r.manifest;
	if (r.serial > b->floor)
		b->floor = r.serial;
	if (r.serial >= b->bad_serial)
		b->bad_serial = 0;
	*manifest = r.manifest;
	return 0;
}

static void do_apply(struct ay_fakenode *n, const struct job *j)
{
	struct ay_event ev = {.type = AY_EV_APPLIED, .applied = {.branch = j->branch, .serial = j->serial}};

	ev.status = apply_now(n, j, &ev.applied.manifest);
	step(n, &ev);
}

static void job_run(struct ay_fakenode *n, const struct job *j)
{
	struct ay_fakebundle *b;

	switch (j->kind) {
	case JOB_STORE:
		tell_stored(n, j,
			    !j->silent && j->len && chance(n, n->config.no_space_permille) ? -ENOSPC
											   : store_now(n, j));
		break;
	case JOB_OPEN:
		do_open(n, j);
		break;
	case JOB_TELL:
		b = ay_fakedisk_find(&n->disk, &j->digest);
		if (b && b->state >= AY_FAKE_OPEN)
			tell_bundle(n, b);
		break;
	case JOB_FINISH:
		tell_stored(n, j, finish_now(n, j));
		break;
	case JOB_DROP:
		do_drop(n, j);
		break;
	case JOB_APPLY:
		do_apply(n, j);
		break;
	case JOB_CLOSED:
		ay_fakenode_closed(n, j->conn, -ENOENT);
		break;
	}
}

static bool run_queue(struct ay_fakenode *n, struct queue *q)
{
	struct job *j = q->first;

	if (!j || j->due_ns > now(n))
		return false;
	q->first = j->next;
	job_run(n, j);
	free(j);
	return true;
}

void ay_fakenode_run(struct ay_fakenode *n)
{
	while (n->core && (run_queue(n, &n->soon) || run_queue(n, &n->store) || run_queue(n, &n->applier)))
		;
	if (n->core && n->deadline_ns <= now(n)) {
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
	ay_prng_init(&n->prng, config->seed);
	return n;
}

static void queue_clear(struct queue *q)
{
	while (q->first) {
		struct job *j = q->first;
		q->first = j->next;
		free(j);
	}
	q->busy_until = 0;
}

void ay_fakenode_free(struct ay_fakenode *n)
{
	if (!n)
		return;
	ay_core_free(n->core);
	queue_clear(&n->store);
	queue_clear(&n->applier);
	queue_clear(&n->soon);
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
	struct ay_event ev = {.type = AY_EV_BRANCH,
			      .branch = {.name = b->name,
					 .follow = b->follow,
					 .have_serial = b->have_serial,
					 .have_manifest = b->have_manifest,
					 .floor = b->floor,
					 .bad_serial = b->bad_serial}};
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
				order_open(n, &b->digest, b->size, false);
				continue;
			}
			ay_fakebundle_resume(b, false);
			tell_bundle(n, b);
		}
	}
}

static void forget(struct ay_fakenode *n)
{
	for (unsigned i = 0; i < n->disk.n_branches; i++) {
		struct ay_fakebranch *b = &n->disk.branches[i];
		if (mutant(n, AY_MUTANT_FORGET_HEAD)) {
			b->has_head = false;
			b->floor = 0;
		}
		if (mutant(n, AY_MUTANT_FORGET_TREE) && b->before_serial) {
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

/* The job that was running when the end came: did it reach the disk? Its answer reached nobody. */
static void end_job(struct ay_fakenode *n, struct queue *q)
{
	struct job *j = q->first;
	struct ay_digest manifest;

	if (!j || j->start_ns > now(n) || ay_prng_below(&n->prng, 2))
		return;
	if (j->kind == JOB_STORE && !j->silent)
		store_now(n, j);
	else if (j->kind == JOB_FINISH)
		finish_now(n, j);
	else if (j->kind == JOB_DROP)
		do_drop(n, j);
	else if (j->kind == JOB_APPLY)
		apply_now(n, j, &manifest);
}

void ay_fakenode_stop(struct ay_fakenode *n, enum ay_fakenode_end how)
{
	struct ay_fakebundle *next;

	AY_ASSERT(n->core && !n->stepping);
	ay_core_free(n->core);
	n->core = NULL;
	end_job(n, &n->store);
	end_job(n, &n->applier);
	queue_clear(&n->store);
	queue_clear(&n->applier);
	queue_clear(&n->soon);
	for (struct ay_fakebundle *b = n->disk.bundles; b; b = next) {
		next = b->next;
		ay_fakebundle_close(b);
		if (how == AY_END_POWER)
			ay_fakebundle_power_cut(b, now(n), &n->prng);
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
	tell_bundle(n, b);
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
	ev->status = b && b->state >= AY_FAKE_OPEN ? ay_fakebundle_write(b, ev->block.index, data, now(n),
									 mutant(n, AY_MUTANT_ANY_BLOCK))
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
			     ? ay_fakebundle_add_hashes(b, ev->hashes.level, ev->hashes.index, block, now(n))
			     : -ENOENT;
	if (mutant(n, AY_MUTANT_ANY_BLOCK) && ev->status == AY_EDIGEST)
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
