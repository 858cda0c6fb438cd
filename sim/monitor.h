/* SPDX-License-Identifier: MIT */
/*
 * sim/monitor.h - what must hold after every event, whatever the network, the disk and the liars do.
 *
 * The monitor sees each step of each node: the event that went in, the orders that came out, the node's disk. What it
 * believes of a node it knows from there alone, not from what the core says of itself. The first broken rule is
 * kept; the run ends with it.
 */
#ifndef AYNI_SIM_MONITOR_H
#define AYNI_SIM_MONITOR_H

#include "sim/fakenode.h"
#include "sim/world.h"

struct ay_monitor;

#define AY_MONITOR_ORDERS_MAX                                                                                \
	2048 /* of one step: a HAVE or REQUEST for each of many sessions, not an endless list */
#define AY_MONITOR_DATAGRAMS_MAX                                                                             \
	150 /* of a node in a minute: two trains of two heads, answers, questions, chat */
#define AY_MONITOR_TICKS_MAX    3000 /* of a node in a minute: more is a core that spins */
#define AY_MONITOR_CONNECTS_MAX 400  /* of a node in a minute */

/** ay_monitor_new() - for @n nodes, numbered from 0, at @addrs (copied); @world is borrowed for life. */
struct ay_monitor *ay_monitor_new(const struct ay_world *world, const struct ay_addr *addrs, unsigned n);
void ay_monitor_free(struct ay_monitor *m);

/** ay_monitor_step() - after a step of @node, before its orders are carried out. */
void ay_monitor_step(struct ay_monitor *m, unsigned node, const struct ay_fakenode *fake, uint64_t now_ns,
		     const struct ay_event *ev, const struct ay_orders *out);
/** ay_monitor_datagram() - one has really been sent. */
void ay_monitor_datagram(struct ay_monitor *m, unsigned node, uint64_t now_ns);
/** ay_monitor_stopped() - the node was stopped; @now_ns is the room's time. */
void ay_monitor_stopped(struct ay_monitor *m, unsigned node, enum ay_fakenode_end how, uint64_t now_ns);
/** ay_monitor_start() - it is about to start: what was promised before must be on its disk. */
void ay_monitor_start(struct ay_monitor *m, unsigned node, const struct ay_fakenode *fake);
/** ay_monitor_silence() - from now on count what each node says. */
void ay_monitor_silence(struct ay_monitor *m);

/** ay_monitor_broken() - NULL, or the rule that was broken first; @node: by whom. */
const char *ay_monitor_broken(const struct ay_monitor *m, unsigned *node);

struct ay_monitor_counts {
	uint64_t steps, orders, datagrams;
	uint64_t silence_datagrams;                              /* since ay_monitor_silence() */
	uint64_t requests, requests_twice, blocks, blocks_twice; /* _twice: in the endgame */
	uint64_t useful_bytes;                                   /* payload of blocks that were not had */
	uint64_t installs, starts;
	unsigned orders_max; /* of one step */
};
const struct ay_monitor_counts *ay_monitor_counts(const struct ay_monitor *m, unsigned node);
/** ay_monitor_needed() - bytes of all bundles that anybody has installed from, each counted once. */
uint64_t ay_monitor_needed(const struct ay_monitor *m);

#endif
