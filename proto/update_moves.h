/* SPDX-License-Identifier: MIT */
/*
 * proto/update_moves.h - the moves of a branch on its way, for whoever decides one (proto/update.c) and for the answers that
 * make one necessary (proto/update_answers.c).
 */
#ifndef AYNI_PROTO_UPDATE_MOVES_H
#define AYNI_PROTO_UPDATE_MOVES_H

#include "proto/core_state.h"
#include "proto/way.h"

#define AY__EXCLUDE_FAILED_NS (3600 * AY__S) /* so long an offer that failed is left out */

/* To another state, by the table of what may follow what; @why is for the trace. */
void ay__update_move(struct ay_core *c, struct ay__branch *b, uint8_t to, const char *why);
/* What `ayni status` says of the branch. */
void ay__update_problem(struct ay_core *c, struct ay__branch *b, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Is any branch on a way by this bundle? */
bool ay__update_uses(const struct ay_core *c, int bundle);
/* The way is left; its bundle is not collected any more when nobody else wants it. The state stays. */
void ay__update_leave(struct ay_core *c, struct ay__branch *b);
/* The way is left, and none is begun for a while: each time longer. */
void ay__update_back_off(struct ay_core *c, struct ay__branch *b, const char *what, int status);
/* All blocks of the bundle are had: have it finished. */
void ay__update_full(struct ay_core *c, int bundle);
/* Go on with the branch's bundle from where the bundle is. */
void ay__update_collect(struct ay_core *c, struct ay__branch *b);
/* Apply, if everything for it is here and stored. */
void ay__update_try_apply(struct ay_core *c, struct ay__branch *b);

/* Begin a way; @fetch: it ends when the bundle is here and its offer stored (proto/fetch.c). */
void ay__update_start_way(struct ay_core *c, struct ay__branch *b, const struct ay__way *w, bool fetch);
/* A peer is telling its offers: until when it is waited for; 0: it is not. */
uint64_t ay__update_offers_until(const struct ay_core *c, const struct ay__branch *b);

#endif
