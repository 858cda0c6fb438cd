/* SPDX-License-Identifier: MIT */
/*
 * proto/swarm.h - step 3 of the data's way: collect a bundle's blocks from whoever has them.
 *
 * Before: proto/plan chose the bundle. After: diff/bundle turns it into objects.
 *
 *     WANT ──► BITMAP, HAVE, HAVE ...     what the peer has
 *     HASH_REQUEST, REQUEST ──► HASHES, BLOCK     each checked by who runs the core, then HAVE to all
 *
 * The numbers below steer it; docs/protocol.md, "Swarm", says why they work.
 */
#ifndef AYNI_PROTO_SWARM_H
#define AYNI_PROTO_SWARM_H

#include <stdint.h>

#define AY_SWARM_DEPTH_FIRST  4 /* requests to a peer of unknown speed */
#define AY_SWARM_DEPTH_MIN    2
#define AY_SWARM_AHEAD_MS     500   /* requests cover so much time at the measured rate */
#define AY_SWARM_PATIENCE_MS  10000 /* for the first block of a peer */
#define AY_SWARM_PATIENCE_MIN 3000  /* and at least, however fast it was */
#define AY_SWARM_PATIENCE_MAX 60000
#define AY_SWARM_TIME_OUTS    3    /* in a row: it does not deliver */
#define AY_SWARM_ENDGAME      16   /* blocks left, all asked: ask a second peer for the slow ones */
#define AY_SWARM_SLOW_MS      1000 /* a request so old is slow; twice that before a school is asked as second */
/* A laptop that has laptops to ask goes to the school for what was refused there only when it starves: */
#define AY_SWARM_ALONE_MS     2000 /* so long other laptops may still come */
#define AY_SWARM_IDLE_MS      300  /* nothing to ask of any laptop for so long, */
#define AY_SWARM_STARVE_MIN   5000 /* or no block from any laptop for four usual gaps, within these bounds */
#define AY_SWARM_STARVE_MAX   30000
#define AY_SWARM_STARVE_FIRST 10000

/* Super-seeding: what a school says to who asks for a block that another laptop has from it. */
#define AY_SCHOOL_RETRY_MS  1000
#define AY_SCHOOL_WINDOW_MS 2000 /* a second ask is refused only so shortly after; a third never */

#endif
