/* SPDX-License-Identifier: MIT */
/*
 * sim/monitor_internal.h - what the monitor knows of each node; monitor.c learns it, monitor_orders.c judges by it.
 */
#ifndef AYNI_SIM_MONITOR_INTERNAL_H
#define AYNI_SIM_MONITOR_INTERNAL_H

#include "sim/monitor.h"

struct ay__mon_asked { /* a request that is open */
	uint64_t conn;
	uint32_t index;
};

struct ay__mon_watched {
	struct ay__mon_watched *next;
	struct ay_digest digest;
	uint32_t blocks, n_had;
	uint64_t *had_ns; /* per block: when it was verified; 0: it was not */
	uint32_t *asks;   /* per block: how often it was asked for since the start */
	struct ay__mon_asked *asked;
	unsigned n_asked;
};

struct ay__mon_promise {
	uint64_t token;
	enum ay_order_type type;
	struct ay_digest digest; /* of the document, or the bundle */
	uint32_t root_epoch, serial;
};

struct ay__mon_conn { /* with one of ours, not with a liar */
	uint64_t id;
	unsigned with;
};

struct ay__mon_minute {
	uint64_t began_ns;
	unsigned datagrams, ticks, connects;
};

struct ay__mon_watch {
	struct ay_monitor_counts counts;
	uint32_t installed;                             /* the highest serial that ever was */
	uint32_t root_version, head_epoch, head_serial; /* of which it was told that they are durable */
	struct ay__mon_promise *promises;               /* releases and offers likewise */
	unsigned n_promises;
	struct ay__mon_promise *tokens; /* not answered yet */
	unsigned n_tokens;
	struct ay__mon_watched *bundles;
	struct ay__mon_conn *conns;
	unsigned n_conns;
	struct ay__mon_minute minute;
};

struct ay_monitor {
	const struct ay_world *world;
	struct ay__mon_watch *nodes;
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

/** ay__mon_broken() - a rule was broken by the node that is looked at; only the first is kept. */
void ay__mon_broken(struct ay_monitor *m, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
struct ay__mon_watch *ay__mon_watch_of(struct ay_monitor *m);
const struct ay_fakebranch *ay__mon_branch_of(const struct ay_monitor *m); /* on its disk */
const char *ay__mon_hex8(const struct ay_digest *d, char out[9]);
struct ay__mon_watched *ay__mon_watched_find(struct ay__mon_watch *w, const struct ay_digest *digest);
void ay__mon_watched_forget(struct ay__mon_watch *w, const struct ay_digest *digest);
unsigned ay__mon_askers(const struct ay__mon_watched *b, uint32_t index);
void ay__mon_asked_add(struct ay__mon_watched *b, uint64_t conn, uint32_t index);
void ay__mon_asked_end(struct ay__mon_watch *w, const struct ay_digest *digest, uint64_t conn,
		       uint32_t index);
void ay__mon_conn_begin(struct ay_monitor *m, uint64_t conn, const struct ay_addr *addr);
void ay__mon_conn_end(struct ay__mon_watch *w, uint64_t conn);

/** ay__mon_learn() - what an event taught the node. */
void ay__mon_learn(struct ay_monitor *m, const struct ay_event *ev);
/** ay__mon_new_minute() - counts per minute begin anew when one is over. */
void ay__mon_new_minute(struct ay__mon_watch *w, uint64_t now_ns);

#endif
