/* SPDX-License-Identifier: MIT */
/*
 * proto/sm.h - state machines as tables: which state may follow which.
 *
 * A move that the table does not allow is our own mistake, whatever a peer sent,
 * and ends the program. Every move is traced. (The habit of dqlite's sm.c.)
 */
#ifndef AYNI_PROTO_SM_H
#define AYNI_PROTO_SM_H

#include <stdint.h>

struct ay__sm_state {
	const char *name;
	uint32_t next; /* bit per state that may follow */
};

#define AY__TO(state) (1u << (state))

struct ay_core;

/** ay__sm_move() - *@state becomes @to. @room: for the trace. @subject: whose state it is. @why: the reason. */
void ay__sm_move(struct ay_core *core, const char *room, const char *subject,
		 const struct ay__sm_state *table, uint8_t *state, uint8_t to, const char *why);

#endif
