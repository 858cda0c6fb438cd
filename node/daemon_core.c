/* SPDX-License-Identifier: MIT */
/*
 * Events in, orders out. What is heard becomes an event, what the core orders is done; nothing is decided here.
 *
 * An order may cause an event at once (a connection that cannot be made). Events that come while orders are being
 * carried out wait in a queue, so that the core is never entered twice and orders of one step stay together.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/daemon_internal.h"
#include "node/log.h"

struct ay__queued {
	struct ay__queued *next;
	struct ay_event ev;
	char name[AY_BRANCH_NAME_MAX + 1];
	uint8_t data[];
};

static void do_order(struct ay_daemon *d, const struct ay_order *o);

static const char *document_name(enum ay_event_type type)
{
	switch (type) {
	case AY_EV_ROOT:
		return "root";
	case AY_EV_HEAD:
		return "head";
	case AY_EV_RELEASE:
		return "release";
	case AY_EV_OFFER:
		return "offer";
	case AY_EV_BUNDLE:
		return "bundle";
	case AY_EV_BRANCH:
		return "branch";
	default:
		return NULL;
	}
}

static void step(struct ay_daemon *d, struct ay_event *ev)
{
	struct ay_orders out = {0};
	uint64_t now = uv_hrtime();
	d->now_ns = now > d->now_ns ? now : d->now_ns;
	ev->now_ns = d->now_ns;
	d->stepping = true;
	int r = ay_core_step(d->core, ev, &out);
	for (size_t i = 0; i < out.n; i++)
		do_order(d, &out.list[i]);
	d->stepping = false;
	if (r == -ENOMEM)
		ay_log(AY_LOG_ERROR, "out of memory: an event is lost");
	/* A root that is known already comes again at each reload. */
	else if (r < 0 && r != AY_ENOTHING && document_name(ev->type) &&
		 !(ev->type == AY_EV_ROOT && r == AY_EROLLBACK))
		ay_log(AY_LOG_WARNING, "a %s from our own disk is refused: %s", document_name(ev->type),
		       ay_strerror(r));
}

/* Keep an event that came inside a step; what it borrows is copied. */
static void enqueue(struct ay_daemon *d, const struct ay_event *ev)
{
	AY_ASSERT(ev->type !=
		  AY_EV_BUNDLE); /* its bitmap is not copied; the disk never answers inside an order */
	struct ay__queued *q = calloc(1, sizeof(*q) + ev->data.len);
	if (!q) {
		ay_log(AY_LOG_ERROR, "out of memory: an event is lost");
		return;
	}
	q->ev = *ev;
	if (ev->data.len) {
		memcpy(q->data, ev->data.data, ev->data.len);
		q->ev.data.data = q->data;
	}
	const char **name = ev->type == AY_EV_BRANCH    ? &q->ev.branch.name
			    : ev->type == AY_EV_APPLIED ? &q->ev.applied.branch
			    : ev->type == AY_EV_UPDATE  ? &q->ev.update.branch
			    : ev->type == AY_EV_FETCH   ? &q->ev.fetch.branch
							: NULL;
	if (name) {
		snprintf(q->name, sizeof(q->name), "%s", *name);
		*name = q->name;
	}
	if (d->last)
		d->last->next = q;
	else
		d->first = q;
	d->last = q;
}

void ay__daemon_post(void *ctx, const struct ay_event *ev)
{
	struct ay_daemon *d = ctx;
	struct ay_event copy = *ev;
	if (d->stopping || !d->core)
		return;
	if (d->stepping) {
		enqueue(d, ev);
		return;
	}
	step(d, &copy);
	while (d->first && !d->stopping) {
		struct ay__queued *q = d->first;
		d->first = q->next;
		if (!d->first)
			d->last = NULL;
		step(d, &q->ev);
		free(q);
	}
}

static void on_deadline(uv_timer_t *t);

static void arm(struct ay_daemon *d)
{
	if (d->deadline_ns == UINT64_MAX) {
		uv_timer_stop(&d->deadline);
		return;
	}
	uv_update_time(&d->loop);
	uint64_t now = uv_hrtime();
	uint64_t ms = d->deadline_ns > now ? (d->deadline_ns - now + 999999) / 1000000 : 0;
	uv_timer_start(&d->deadline, on_deadline, ms, 0);
}

static void on_deadline(uv_timer_t *t)
{
	struct ay_daemon *d = t->data;
	struct ay_event ev = {.type = AY_EV_TICK};
	if (uv_hrtime() < d->deadline_ns) {
		arm(d); /* the loop's clock is coarser than the core's */
		return;
	}
	d->deadline_ns = UINT64_MAX;
	ay__daemon_post(d, &ev);
}

static void do_order(struct ay_daemon *d, const struct ay_order *o)
{
	switch (o->type) {
	case AY_ORDER_DATAGRAM:
		ay_udp_send(d->udp, o);
		return;
	case AY_ORDER_CONNECT:
	case AY_ORDER_CLOSE:
	case AY_ORDER_FRAME:
	case AY_ORDER_SEND_BLOCK:
	case AY_ORDER_SEND_HASHES:
		ay_tcp_order(d->tcp, o);
		return;
	case AY_ORDER_STORE_ROOT:
	case AY_ORDER_STORE_RELEASE:
	case AY_ORDER_STORE_OFFER:
	case AY_ORDER_STORE_HEAD:
	case AY_ORDER_OPEN_BUNDLE:
	case AY_ORDER_FINISH_BUNDLE:
	case AY_ORDER_DROP_BUNDLE:
		ay_disk_order(d->disk, o);
		return;
	case AY_ORDER_APPLY:
		ay_log(AY_LOG_NOTICE, "%s: applying serial %u", o->apply.branch, (unsigned)o->apply.serial);
		ay_applier_order(d->applier, o);
		return;
	case AY_ORDER_DEADLINE:
		d->deadline_ns = o->at_ns;
		arm(d);
		return;
	}
}

/* AYNI_TRACE=swarm,plan or all */
void ay__daemon_trace(void *ctx, const char *room, const char *line)
{
	struct ay_daemon *d = ctx;
	size_t len = strlen(room);
	const char *p = d->trace;
	bool wanted = strcmp(p, "all") == 0;
	while (!wanted && p && *p) {
		wanted = strncmp(p, room, len) == 0 && (p[len] == ',' || p[len] == 0);
		p = strchr(p, ',');
		p += p ? 1 : 0;
	}
	if (wanted)
		fprintf(stderr, "%.6f %s %s\n", (double)d->now_ns / 1e9, room, line);
}

void ay__daemon_drop_queue(struct ay_daemon *d)
{
	while (d->first) {
		struct ay__queued *q = d->first;
		d->first = q->next;
		free(q);
	}
	d->last = NULL;
}
