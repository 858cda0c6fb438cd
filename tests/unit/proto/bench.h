/* SPDX-License-Identifier: MIT */
/*
 * One core on the bench: events go in by hand, orders come out to be looked at. The other ends of its sessions
 * are played by the test, frame by frame.
 */
#ifndef AYNI_TESTS_UNIT_PROTO_BENCH_H
#define AYNI_TESTS_UNIT_PROTO_BENCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/error.h"
#include "proto/core.h"
#include "proto/frame.h"
#include "proto/wire.h"
#include "tests/support/publisher.h"

#define MS     UINT64_C(1000000)
#define SECOND UINT64_C(1000000000)
#define MINE   50 /* the core's own session id */

/* A copy of an order; what it borrowed is owned here. */
struct seen {
	struct ay_order o;
	uint8_t *data;
};

struct bench {
	struct publisher p;
	struct ay_core *core;
	uint64_t now, deadline;
	int rc;            /* of the last step */
	struct seen *seen; /* since the last clear */
	size_t n;
};

/** bench_begin() - a core with a root that follows the branch at release 1 (@role laptop) or serves it. */
void bench_begin(struct bench *b, enum ay_node_role role, const struct ay_core_config *extra);
void bench_end(struct bench *b);
/** feed() - one event at the bench's time; the core's invariants are checked. */
int feed(struct bench *b, struct ay_event ev);
/** pass() - let time pass, with a TICK at each deadline. */
void pass(struct bench *b, uint64_t ns);
void clear(struct bench *b);

struct ay_addr host(uint8_t i);
int give(struct bench *b, enum ay_event_type type, const void *data, size_t len);
int hear(struct bench *b, enum ay_group group, uint8_t from, const struct ay_wire_datagram *d);
void stored(struct bench *b, int status); /* answers every STORE and FINISH order seen and not answered */

/* Sessions. */
struct ay_wire_hello hello_of(const struct bench *b, uint64_t session_id, bool school, uint32_t head,
			      uint32_t have);
int frame(struct bench *b, uint64_t conn, uint8_t type,
	  const struct ay_buf *payload); /* the buf is emptied */
/** meet() - an incoming session from host(@i), ready: HELLO and all. */
void meet(struct bench *b, uint64_t conn, uint8_t i, const struct ay_wire_hello *h);

/* What was ordered. */
size_t count(const struct bench *b, enum ay_order_type type);
size_t count_frames(const struct bench *b, uint64_t conn, uint8_t type);
const struct seen *first(const struct bench *b, enum ay_order_type type);
/** nth_frame() - payload of the @i-th frame of a type to @conn; NULL: there is none. */
const struct seen *nth_frame(const struct bench *b, uint64_t conn, uint8_t type, size_t i);
struct ay_core_status *status(struct bench *b); /* static to the bench program; until the next call */

#endif
