/* SPDX-License-Identifier: MIT */
/*
 * proto/pick.h - which block to ask of a peer.
 */
#ifndef AYNI_PROTO_PICK_H
#define AYNI_PROTO_PICK_H

#include <stdbool.h>
#include <stdint.h>

#define AY_SWARM_DEPTH_MIN     2
#define AY_SWARM_ENDGAME       16 /* blocks left, all asked: ask a second peer for the slow ones */
#define AY_SWARM_ENDGAME_SHARE 32 /* and at most one, and one more for so many blocks of the bundle */
#define AY_SWARM_SLOW_MS       1000 /* a request so old is slow; twice that before a school is asked as second */
/* A laptop that has laptops to ask goes to the school for what was refused there only when it starves: */
#define AY_SWARM_ALONE_MS     2000 /* so long other laptops may still come */
#define AY_SWARM_IDLE_MS      300  /* nothing to ask of any laptop for so long, */
#define AY_SWARM_STARVE_MIN   5000 /* or no block from any laptop for four usual gaps, within these bounds */
#define AY_SWARM_STARVE_MAX   30000
#define AY_SWARM_STARVE_FIRST 10000

struct ay_core;
struct ay__session;

struct ay__pick {
	int bundle;
	uint32_t index;
	uint8_t attempt;
};
bool ay__pick(struct ay_core *c, const struct ay__session *s, struct ay__pick *out);
/* A block asked of somebody slow already, for the end of a collection. */
bool ay__pick_again(struct ay_core *c, const struct ay__session *s, struct ay__pick *out);

#endif
