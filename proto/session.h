/* SPDX-License-Identifier: MIT */
/*
 * proto/session.h - the sessions, and what a peer's mistakes cost. What is said in them: proto/talk.h.
 *
 *     CONNECTING ──connected──► HELLO ──their HELLO──► READY ──► CLOSED
 */
#ifndef AYNI_PROTO_SESSION_H
#define AYNI_PROTO_SESSION_H

#include "proto/core_state.h"

/* What a peer's mistakes cost; at -7 its host is not spoken to for ten minutes. */
#define AY_SCORE_GARBAGE (-7) /* a frame that no ayni sends: ban at once */
#define AY_SCORE_BAD_BLOCK                                                                                   \
	(-3) /* memory goes bad too: the third is no accident, the first is when nothing good came */
#define AY_SCORE_LIE         (-3) /* a document whose signature does not hold */
#define AY_SCORE_UNSOLICITED (-2)
#define AY_SCORE_SLOW        (-1)

/* One that is not closed; NULL: there is none. */
struct ay__session *ay__session_find(const struct ay_core *c, uint64_t conn);
/* NULL: no place, or out of memory (noted). */
struct ay__session *ay__session_new(struct ay_core *c, uint64_t conn, const struct ay_addr *addr,
				    bool incoming);
void ay__session_move(struct ay_core *c, struct ay__session *s, uint8_t to, const char *why);
/* It is gone already: freed when the step ends. */
void ay__session_leave(struct ay_core *c, struct ay__session *s, const char *why);
/* Close it; likewise. */
void ay__session_close(struct ay_core *c, struct ay__session *s, int status, const char *why);
/* @points < 0. May close and ban. */
void ay__session_punish(struct ay_core *c, struct ay__session *s, int points, const char *why);
/* Free what was closed in this step; until here pointers to it were right. */
void ay__session_sweep(struct ay_core *c);

#endif
