/* SPDX-License-Identifier: MIT */
/*
 * proto/requests.h - blocks and hash blocks that were asked for.
 */
#ifndef AYNI_PROTO_REQUESTS_H
#define AYNI_PROTO_REQUESTS_H

#include "proto/core_state.h"

#define AY_SWARM_DEPTH_FIRST 4     /* requests to a peer of unknown speed */
#define AY_SWARM_PATIENCE_MS 10000 /* for the first block of a peer */

/* Ask @s for a block, and for the hash blocks that its piece still lacks. There must be room. */
void ay__request(struct ay_core *c, struct ay__session *s, int bundle, uint32_t index, uint8_t attempt);
/* The @k-th of @s is over, however: answered, refused, timed out. */
void ay__request_end(struct ay_core *c, struct ay__session *s, unsigned k);
/* Over because we say so; its block may come all the same. */
void ay__request_cancel(struct ay_core *c, struct ay__session *s, unsigned k);
/* Did we ask for it once, at @asked_ns, and not any more? (Said once.) */
bool ay__request_was_late(struct ay__session *s, int bundle, uint32_t index, uint64_t *asked_ns);
/* The block is had: nobody need give it any more. */
void ay__requests_cancel(struct ay_core *c, int bundle, uint32_t index);
/* All of @bundle are over, and the peers are told: it is full, dropped, or another way is taken. */
void ay__requests_end(struct ay_core *c, int bundle);
/* True: it was asked for. */
bool ay__hash_request_end(struct ay__session *s, int bundle, uint8_t level, uint32_t index);
void ay__hash_requests_end(struct ay__session *s, int bundle);
/* The bundle leaves the table: nothing may speak of its index any more. */
void ay__requests_bundle_left(struct ay_core *c, int bundle);
void ay__requests_session_gone(struct ay_core *c, struct ay__session *s);

#endif
