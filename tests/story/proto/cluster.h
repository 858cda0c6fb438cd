/* SPDX-License-Identifier: MIT */
/*
 * A few machines in memory, a wire between them and virtual time: what stories are told on.
 *
 * The network is perfect unless the story says otherwise: 1 ms from everybody to everybody, each node's
 * sending takes time by its bytes. Whatever happens in it is in order of (time, sequence), so a story
 * ends the same way each time. After each event the core's invariants and the harness' own safety rules are
 * checked: nothing is said that is not durable on the sayer's disk, no tree is installed that nobody signed.
 */
#ifndef AYNI_TESTS_STORY_CLUSTER_H
#define AYNI_TESTS_STORY_CLUSTER_H

#include "sim/fakenode.h"
#include "tests/support/publisher.h"

#define CLUSTER_MAX 40
#define MS          UINT64_C(1000000)
#define SECOND      UINT64_C(1000000000)

struct cluster;

struct member { /* how a node is set up; zero-initialised: a laptop that follows and updates by itself */
	bool school;
	bool no_auto_update;
	uint8_t rollout_draw;
	int static_peer; /* 1 + index of a node that its configuration names; 0 none */
	uint32_t have;   /* serial installed; 0 nothing */
	uint64_t apply_ns;
	struct ay_apply_limits apply;
	unsigned no_space_permille, bad_base_permille; /* see sim/fakenode.h */
};

struct cluster *cluster_new(uint64_t seed, struct publisher *p);
void cluster_free(struct cluster *c);

/** cluster_add() - a node, switched off, with root 1 on its disk; a school has all that is published. */
unsigned cluster_add(struct cluster *c, const char *name, const struct member *m);
/** cluster_publish() - the school @node gets what was published since, as when its repository changes. */
void cluster_publish(struct cluster *c, unsigned node);
void cluster_start(struct cluster *c, unsigned node);
void cluster_start_all(struct cluster *c);
void cluster_stop(struct cluster *c, unsigned node, enum ay_fakenode_end how);
/** cluster_roll_back() - the owner of a running @node goes back to the tree before. */
void cluster_roll_back(struct cluster *c, unsigned node);
struct ay_fakenode *cluster_node(const struct cluster *c, unsigned node);

/* The wire. */
void cluster_cut(struct cluster *c, unsigned a, unsigned b,
		 bool cut); /* no packet and no session between them */
void cluster_multicast(struct cluster *c, bool works);
void cluster_rate(struct cluster *c, unsigned node, uint64_t bytes_per_s);
/* A node that lies: its BLOCK frames carry wrong bytes; it sends garbage; it swallows what it should send. */
enum vice { VICE_NONE, VICE_WRONG_BLOCKS, VICE_WRONG_HASHES, VICE_GARBAGE, VICE_SILENCE };
void cluster_vice(struct cluster *c, unsigned node, enum vice vice);
/** cluster_shout() - a datagram from nowhere reaches everybody. */
void cluster_shout(struct cluster *c, enum ay_group group, const void *data, size_t len);

void cluster_run(struct cluster *c, uint64_t for_ns);
/** wait_all_current() - run until all running laptops are at @serial; false after @limit_s of virtual time. */
bool wait_all_current(struct cluster *c, uint32_t serial, unsigned limit_s);
bool wait_blocks(struct cluster *c, unsigned node, const struct ay_digest *bundle, uint32_t blocks,
		 unsigned limit_s);
uint64_t cluster_now(const struct cluster *c);

/* What was seen on the wire. */
uint64_t block_bytes_sent(const struct cluster *c, unsigned node);
/** blocks_twice() - verified blocks that reached @node although it had them, in all its lives. */
uint64_t blocks_twice(const struct cluster *c, unsigned node);
uint64_t cluster_steps(const struct cluster *c); /* events given to all cores so far */
uint64_t datagrams(const struct cluster *c, enum ay_group group);
struct ay_core_status *node_status(struct cluster *c, unsigned node); /* borrowed until the next call */
uint32_t current_of(const struct cluster *c, unsigned node);

/* The trace. */
void cluster_clear_trace(struct cluster *c);
/** trace_of() - lines "room line\n" of @node in the rooms named ("update plan"), since the last clear. Borrowed. */
const char *trace_of(struct cluster *c, unsigned node, const char *rooms);

#endif
