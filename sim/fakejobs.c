/* SPDX-License-Identifier: MIT */
/*
 * The disk's work, in the sequence of the orders, one job at a time; applying is a second process beside it. What a job
 * does to the disk happens at the instant of its answer, so a cut before it leaves the old state; whether the
 * one job that was running still ended, chance decides.
 */
#include "sim/fakenode_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define PROMISE_NS ((uint64_t)30000000000) /* AY_MUTANT_PROMISE: so late it is durable */

enum job_kind { JOB_STORE, JOB_OPEN, JOB_TELL, JOB_FINISH, JOB_DROP, JOB_APPLY, JOB_CLOSED };

struct ay__fake_job {
	struct ay__fake_job *next;
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

static uint64_t draw(struct ay_fakenode *n, const uint64_t range[2])
{
	return range[0] + (range[1] > range[0] ? ay_prng_below(&n->prng, range[1] - range[0]) : 0);
}

static bool chance(struct ay_fakenode *n, unsigned permille)
{
	return permille && ay_prng_below(&n->prng, 1000) < permille;
}

/* ---- the queues */

static struct ay__fake_job *job_new(enum job_kind kind, struct ay_slice data)
{
	struct ay__fake_job *j = calloc(1, sizeof(*j) + data.len);

	AY_ASSERT(j);
	j->kind = kind;
	j->len = data.len;
	if (data.len)
		memcpy(j->data, data.data, data.len);
	return j;
}

/* One after the other. */
static void job_push(struct ay_fakenode *n, struct ay__fake_queue *q, struct ay__fake_job *j,
		     uint64_t takes_ns)
{
	struct ay__fake_job **p = &q->first;

	j->start_ns = q->busy_until > ay__fake_now(n) ? q->busy_until : ay__fake_now(n);
	j->due_ns = q->busy_until = j->start_ns + takes_ns;
	while (*p)
		p = &(*p)->next;
	*p = j;
}

static void queue_clear(struct ay__fake_queue *q)
{
	while (q->first) {
		struct ay__fake_job *j = q->first;
		q->first = j->next;
		free(j);
	}
	q->busy_until = 0;
}

/* ---- orders */

static void order_store(struct ay_fakenode *n, const struct ay_order *o)
{
	struct ay__fake_job *j = job_new(JOB_STORE, o->data);

	j->order = o->type;
	j->token = o->token;
	if (o->type == AY_ORDER_STORE_HEAD)
		memcpy(j->branch, o->branch.branch, strlen(o->branch.branch) + 1);
	if (ay__fake_mutant(n, AY_MUTANT_PROMISE)) {
		struct ay__fake_job *answer = job_new(JOB_STORE, (struct ay_slice){0});
		answer->token = o->token;
		job_push(n, &n->soon, answer, 0);
		j->silent = true;
		job_push(n, &n->store, j, PROMISE_NS);
		return;
	}
	job_push(n, &n->store, j, draw(n, n->config.store_ns));
}

void ay__fake_job_open(struct ay_fakenode *n, const struct ay_digest *digest, uint64_t size, bool create)
{
	struct ay_fakebundle *b = ay_fakedisk_find(&n->disk, digest);
	struct ay__fake_job *j;

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
	struct ay__fake_job *j;

	if (b && b->state == AY_FAKE_OPEN)
		b->state = AY_FAKE_FINISHING;
	if (ay__fake_mutant(n, AY_MUTANT_LOST_ANSWER))
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
	struct ay__fake_job *j;

	if (!b)
		return;
	b->dropped = true;
	j = job_new(JOB_DROP, (struct ay_slice){0});
	j->digest = b->digest;
	job_push(n, &n->store, j, draw(n, n->config.store_ns));
}

static void order_apply(struct ay_fakenode *n, const struct ay_order *o)
{
	struct ay__fake_job *j = job_new(JOB_APPLY, (struct ay_slice){0});

	memcpy(j->branch, o->apply.branch, strlen(o->apply.branch) + 1);
	j->serial = o->apply.serial;
	j->release = o->apply.release;
	j->offer = o->apply.offer;
	j->digest = o->apply.bundle;
	job_push(n, &n->applier, j, draw(n, n->config.apply_ns));
}

void ay__fake_job_order(struct ay_fakenode *n, const struct ay_order *o)
{
	switch (o->type) {
	case AY_ORDER_OPEN_BUNDLE:
		ay__fake_job_open(n, &o->bundle.digest, o->bundle.size, true);
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
	default:
		order_store(n, o);
	}
}

void ay__fake_job_closed(struct ay_fakenode *n, uint64_t conn)
{
	struct ay__fake_job *j = job_new(JOB_CLOSED, (struct ay_slice){0});

	j->conn = conn;
	job_push(n, &n->soon, j, 0);
}

/* ---- what jobs do; the answer is an event */

void ay__fake_tell_bundle(struct ay_fakenode *n, const struct ay_fakebundle *b)
{
	struct ay_event ev = {.type = AY_EV_BUNDLE,
			      .bundle = {.digest = b->digest,
					 .size = b->size,
					 .whole = b->whole,
					 .bitmap = b->whole ? NULL : b->bitmap,
					 .merkle = b->merkle}};
	n->give(n, &ev);
}

static void tell_gone(struct ay_fakenode *n, const struct ay_digest *digest, int status)
{
	struct ay_event ev = {.type = AY_EV_BUNDLE_GONE, .status = status, .bundle = {.digest = *digest}};
	n->give(n, &ev);
}

static void tell_stored(struct ay_fakenode *n, const struct ay__fake_job *j, int status)
{
	struct ay_event ev = {.type = AY_EV_STORED, .status = status, .token = j->token};

	if (!j->silent)
		n->give(n, &ev);
}

static int store_now(struct ay_fakenode *n, const struct ay__fake_job *j)
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

static void do_open(struct ay_fakenode *n, const struct ay__fake_job *j)
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
		ay_fakebundle_resume(b, ay__fake_mutant(n, AY_MUTANT_REFETCH));
		ay__fake_tell_bundle(n, b);
		return;
	}
	if (b->data)
		b->state = AY_FAKE_CLOSED;
	else
		ay_fakedisk_remove(&n->disk, b);
	tell_gone(n, &j->digest, status);
}

static int finish_now(struct ay_fakenode *n, const struct ay__fake_job *j)
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

static void do_drop(struct ay_fakenode *n, const struct ay__fake_job *j)
{
	for (struct ay_fakebundle *b = n->disk.bundles; b; b = b->next) {
		if (b->dropped && ay_digest_eq(&b->digest, &j->digest)) {
			ay_fakedisk_remove(&n->disk, b);
			return;
		}
	}
}

static void remember(struct ay_fakebranch *b, const struct ay_release *r)
{
	if (r->serial > b->floor)
		b->floor = r->serial;
	if (r->serial >= b->bad_serial)
		b->bad_serial = 0;
}

/*
 * The applier trusts nobody: documents, floor and base are looked at again. Not the bytes: each block was checked, and
 * the monitor compares them with the publisher's. @half: it dies when the state is written and `current` is not.
 */
static int apply_now(struct ay_fakenode *n, const struct ay__fake_job *j, bool half,
		     struct ay_digest *manifest)
{
	const struct ay_fakedoc *rd = ay_fakedisk_doc(&n->disk, AY_EV_RELEASE, &j->release);
	const struct ay_fakedoc *od = ay_fakedisk_doc(&n->disk, AY_EV_OFFER, &j->offer);
	struct ay_fakebundle *bundle = ay_fakedisk_find(&n->disk, &j->digest);
	struct ay_fakebranch *b = ay_fakedisk_branch(&n->disk, j->branch, false);
	struct ay_envelope env;
	struct ay_release r;
	struct ay_offer o;

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
	if (!ay_digest_is_zero(&o.from) && !ay_digest_eq(&o.from, &b->have_manifest) &&
	    !ay_digest_eq(&o.from, &b->before_manifest))
		return AY_EBASE;
	if (chance(n, n->config.bad_base_permille))
		return AY_EBASE;
	if (chance(n, n->config.no_space_permille))
		return -ENOSPC;
	remember(b, &r);
	if (half)
		return -EINTR;
	b->before_serial = b->have_serial;
	b->before_manifest = b->have_manifest;
	b->have_serial = r.serial;
	b->have_manifest = r.manifest;
	*manifest = r.manifest;
	return 0;
}

static void do_apply(struct ay_fakenode *n, const struct ay__fake_job *j)
{
	struct ay_event ev = {.type = AY_EV_APPLIED, .applied = {.branch = j->branch, .serial = j->serial}};

	ev.status = apply_now(n, j, false, &ev.applied.manifest);
	n->give(n, &ev);
}

static void tell_closed(struct ay_fakenode *n, uint64_t conn)
{
	struct ay_event ev = {.type = AY_EV_CLOSED, .status = -ENOENT, .conn = {.id = conn}};

	n->give(n, &ev);
}

static void job_run(struct ay_fakenode *n, const struct ay__fake_job *j)
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
			ay__fake_tell_bundle(n, b);
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
		tell_closed(n, j->conn);
		break;
	}
}

static bool run_queue(struct ay_fakenode *n, struct ay__fake_queue *q)
{
	struct ay__fake_job *j = q->first;

	if (!j || j->due_ns > ay__fake_now(n))
		return false;
	q->first = j->next;
	job_run(n, j);
	free(j);
	return true;
}

void ay__fake_jobs_run(struct ay_fakenode *n)
{
	while (n->core && (run_queue(n, &n->soon) || run_queue(n, &n->store) || run_queue(n, &n->applier)))
		;
}

uint64_t ay__fake_jobs_next(const struct ay_fakenode *n)
{
	const struct ay__fake_queue *q[] = {&n->store, &n->applier, &n->soon};
	uint64_t at = UINT64_MAX;

	for (unsigned i = 0; i < 3; i++)
		if (q[i]->first && q[i]->first->due_ns < at)
			at = q[i]->first->due_ns;
	return at;
}

/* ---- the end */

/* The job that was running when the end came: did it reach the disk? Its answer reached nobody. */
static void end_job(struct ay_fakenode *n, struct ay__fake_queue *q)
{
	struct ay__fake_job *j = q->first;
	struct ay_digest manifest;

	if (!j || j->start_ns > ay__fake_now(n) || ay_prng_below(&n->prng, 2))
		return;
	if (j->kind == JOB_STORE && !j->silent)
		store_now(n, j);
	else if (j->kind == JOB_FINISH)
		finish_now(n, j);
	else if (j->kind == JOB_DROP)
		do_drop(n, j);
	else if (j->kind == JOB_APPLY)
		apply_now(n, j, ay_prng_below(&n->prng, 4) == 0, &manifest);
}

void ay__fake_jobs_release(struct ay_fakenode *n)
{
	queue_clear(&n->store);
	queue_clear(&n->applier);
	queue_clear(&n->soon);
}

void ay__fake_jobs_stop(struct ay_fakenode *n)
{
	end_job(n, &n->store);
	end_job(n, &n->applier);
	ay__fake_jobs_release(n);
}
