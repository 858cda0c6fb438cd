/* SPDX-License-Identifier: MIT */
/*
 * A core on the bench with one bundle: as a laptop that collects it, or as a node that has it. The test plays
 * the peers: conn 2 is who told of the offer, the others join.
 */
#ifndef AYNI_TESTS_UNIT_PROTO_SWARM_BENCH_H
#define AYNI_TESTS_UNIT_PROTO_SWARM_BENCH_H

#include "tests/unit/proto/bench.h"

#define BLOCKS 32

struct swarm {
	struct bench b;
	const struct published_bundle *bundle;
	struct ay_merkle *merkle; /* the core's own */
	struct ay_merkle *all;
};

struct ay_buf want_of(const struct swarm *s, uint32_t had, bool on);
void say_bitmap(struct swarm *s, uint64_t conn, uint32_t bits, bool whole);
void say_have(struct swarm *s, uint64_t conn, uint32_t index);
void say_reject(struct swarm *s, uint64_t conn, uint32_t index, uint8_t reason, uint32_t ms);
int block(struct swarm *s, uint64_t conn, uint32_t index, int status_);
void answer_hashes(struct swarm *s, uint64_t conn);
uint32_t asked(const struct swarm *s, uint64_t conn, size_t i);
uint8_t attempt(const struct swarm *s, uint64_t conn, size_t i);
/** begin_learning() - a laptop that has heard all of release 2 but how to get there, from conn 2. */
void begin_learning(struct swarm *s, bool school);
void tell_offer(struct swarm *s, uint64_t conn, const struct published_bundle *b);
void tell_no_more(struct swarm *s, uint64_t conn);
/** open_bundle() - the answer to OPEN_BUNDLE of the one bundle; @bitmap: blocks had, 4 bytes; NULL: none. */
void open_bundle(struct swarm *s, const uint8_t *bitmap);
/** begin() - it has learned all there is to know, and begins to collect. */
void begin(struct swarm *s, bool school, const uint8_t *bitmap);
void end(struct swarm *s);
void join(struct swarm *s, uint64_t conn, uint8_t i);
struct ay_buf request_of(const struct swarm *s, uint32_t index, uint32_t had, uint8_t attempt_);
void ask_us(struct swarm *s, uint64_t conn, uint32_t index, uint32_t had, uint8_t attempt_);
void sent(struct swarm *s, uint64_t conn);
void begin_giving(struct swarm *s, enum ay_node_role role, unsigned n);

#endif
