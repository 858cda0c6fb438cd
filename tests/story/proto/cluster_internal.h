/* SPDX-License-Identifier: MIT */
/*
 * A cluster from the inside: its set-up, clock and what was seen (cluster.c), and what its machines order (cluster_wires.c).
 */
#ifndef AYNI_TESTS_STORY_PROTO_CLUSTER_INTERNAL_H
#define AYNI_TESTS_STORY_PROTO_CLUSTER_INTERNAL_H

#include "base/prng.h"
#include "tests/story/proto/cluster.h"
#include "tests/story/proto/packets.h"

#define LATENCY_NS (1 * MS)
#define RATE_BYTES 2500000 /* a second; 20 Mbit/s */
#define TRACE_MAX  (1 << 20)
#define WIRES_MAX  4096

struct wire { /* a session: two ends */
	bool open;
	unsigned node[2];
	uint64_t conn[2];
};

struct node {
	char name[24];
	struct member m;
	struct ay_fakenode *fake;
	struct ay_addr addr, static_addr;
	bool on;
	unsigned life;
	uint64_t run_at, sending_until, rate, next_in;
	enum vice vice;
	bool cut[CLUSTER_MAX];
	uint64_t block_bytes, twice;
	uint32_t best; /* highest serial ever current, since the owner went back */
	char *trace;
	size_t trace_len;
};

struct cluster {
	uint64_t now, seq;
	struct ay_prng prng;
	struct publisher *p;
	bool multicast;
	struct node nodes[CLUSTER_MAX];
	unsigned n;
	struct packets heap;
	struct wire *wires;
	unsigned n_wires;
	uint64_t datagrams[2], steps;
	struct ay_core_status status;
	char *filtered;
};

/* A trace's context: whose it is. */
struct end {
	struct cluster *c;
	unsigned node;
};

/** cluster__ops - what a machine orders, with the cluster as context. */
extern const struct ay_fakenode_ops cluster__ops;
/** cluster__trace() - a core's line; the context is a struct end. */
void cluster__trace(void *ctx, const char *room, const char *line);
/** cluster__to_group() - a datagram of @addr to all who hear machine @from, at time @at. */
void cluster__to_group(struct cluster *c, unsigned from, const struct ay_addr *addr, enum ay_group group,
		       struct ay_slice data, uint64_t at);
/** cluster__close_wire() - end @from_end of the session is closed. */
void cluster__close_wire(struct cluster *c, struct wire *w, unsigned from_end);

#endif
