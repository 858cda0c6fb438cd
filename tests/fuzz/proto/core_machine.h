/* SPDX-License-Identifier: MIT */
/*
 * The machine around the core of fuzz_core.c: it carries out the core's orders in thought, and checks what the core says.
 */
#ifndef AYNI_TESTS_FUZZ_PROTO_CORE_MACHINE_H
#define AYNI_TESTS_FUZZ_PROTO_CORE_MACHINE_H

#include "proto/core.h"
#include "proto/wire.h"
#include "tests/support/publisher.h"

#define TOKENS    64
#define STEPS_MAX 600

struct script {
	const uint8_t *at, *end;
};

struct machine {
	struct publisher *p;
	struct ay_core *core;
	uint64_t now, deadline;
	uint64_t tokens[TOKENS];
	unsigned n_tokens;
	struct ay_wire_ask asks[8]; /* of conn 2, not answered */
	unsigned n_asks;
	struct {
		uint64_t conn;
		uint8_t level;
		uint32_t index;
	} requests[32]; /* of blocks and hash blocks, not answered */
	unsigned n_requests;
	uint64_t outgoing;
	bool opening, applying;
	struct ay_merkle *merkle;
	unsigned steps;
};

/** u8(), some() - the script's next byte, its next @n bytes; zeros, or fewer, at its end. */
uint8_t u8(struct script *s);
struct ay_slice some(struct script *s, size_t n);

/** step() - one event, and all that must hold after it. */
void step(struct machine *m, struct ay_event ev);
/** send_frame() - @buf, which is released, comes from the peer on @conn. */
void send_frame(struct machine *m, uint64_t conn, uint8_t type, struct ay_buf *buf);
void local(struct machine *m, enum ay_event_type type, const void *data, size_t len);
struct ay_addr host(uint8_t i);

#endif
