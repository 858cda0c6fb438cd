/* SPDX-License-Identifier: MIT */
/*
 * node/events.h - where the machine's parts put what they have to tell the core.
 */
#ifndef AYNI_NODE_EVENTS_H
#define AYNI_NODE_EVENTS_H

#include "proto/core.h"

struct ay_events {
	/*
	 * Take an event; everything in it is borrowed for the call only, but for bundle.merkle. now_ns is filled
	 * in by the receiver. The core may be stepped inside the call, so the caller must expect that its own
	 * connections are closed and its bundles dropped when the call returns.
	 */
	void (*post)(void *ctx, const struct ay_event *ev);
	void *ctx;
};

static inline void ay_events_post(const struct ay_events *e, const struct ay_event *ev)
{
	e->post(e->ctx, ev);
}

#endif
