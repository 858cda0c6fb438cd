/* SPDX-License-Identifier: MIT */
/*
 * proto/swarm.h - step 3 of the data's way: collect a bundle's blocks from whoever has them.
 *
 * Before: proto/plan chose the bundle. After: diff/bundle turns it into objects.
 *
 *     WANT ──► BITMAP, HAVE, HAVE ...     what the peer has
 *     HASH_REQUEST, REQUEST ──► HASHES, BLOCK     each checked by who runs the core, then HAVE to all
 *
 * The numbers below and in proto/pick.h steer it; docs/protocol.md, "Swarm", says why they work.
 */
#ifndef AYNI_PROTO_SWARM_H
#define AYNI_PROTO_SWARM_H

#include "proto/core_state.h"

#define AY_SWARM_AHEAD_MS     500  /* requests cover so much time at the measured rate */
#define AY_SWARM_PATIENCE_MIN 3000 /* and at least, however fast it was */
#define AY_SWARM_PATIENCE_MAX 60000
#define AY_SWARM_TIME_OUTS    3 /* in a row: it does not deliver */

void ay__swarm_collect(struct ay_core *c, int bundle, bool on);
/* A new session: say at once what we want. */
void ay__swarm_greet(struct ay_core *c, struct ay__session *s);
/* Frames of a session that is ready: 0, AY_EFORMAT, or AY_EPEER: punished. */
int ay__swarm_bitmap(struct ay_core *c, struct ay__session *s, struct ay_slice payload);
int ay__swarm_have(struct ay_core *c, struct ay__session *s, struct ay_slice payload);
int ay__swarm_reject(struct ay_core *c, struct ay__session *s, struct ay_slice payload);
/*
 * Likewise, the verdicts. @s of a block: NULL when its session is gone already. Whether
 * it was the last, or the disk failed, is for ay__update_written() to see.
 */
int ay__swarm_block(struct ay_core *c, struct ay__session *s, const struct ay_event *ev);
int ay__swarm_hashes(struct ay_core *c, struct ay__session *s, const struct ay_event *ev);
/* The bundle leaves the table: nothing may speak of its index any more. */
void ay__swarm_bundle_left(struct ay_core *c, int bundle);
void ay__swarm_run(struct ay_core *c);
void ay__swarm_tick(struct ay_core *c);

#endif
