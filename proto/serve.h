/* SPDX-License-Identifier: MIT */
/*
 * proto/serve.h - answers to requests for blocks and hash blocks.
 */
#ifndef AYNI_PROTO_SERVE_H
#define AYNI_PROTO_SERVE_H

#include "proto/core_state.h"

/* Super-seeding: what a school says to who asks for a block that another laptop has from it. */
#define AY_SCHOOL_RETRY_MS  1000
#define AY_SCHOOL_WINDOW_MS 2000 /* a second ask is refused only so shortly after; a third never */

/* Frames of a session that is ready: 0 or AY_EFORMAT. */
int ay__serve_request(struct ay_core *c, struct ay__session *s, struct ay_slice payload);
int ay__serve_hash_request(struct ay_core *c, struct ay__session *s, struct ay_slice payload);
int ay__serve_cancel(struct ay_core *c, struct ay__session *s, struct ay_slice payload);
void ay__serve_sent(struct ay_core *c, uint64_t conn);
void ay__serve_run(struct ay_core *c);
/* The bundle leaves the table: who waits for it is told. */
void ay__serve_bundle_left(struct ay_core *c, int bundle);

#endif
