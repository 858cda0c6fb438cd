/* SPDX-License-Identifier: MIT */
/*
 * proto/announce.h - step 6 of the data's way: tell the others.
 *
 *     NEWS   trains of heads, only when there is a new release; sleeping radios may wake on it
 *     CHAT   summaries by Trickle (RFC 6206), questions, and heads in answer; for those who are awake
 *
 * What is heard of others: proto/hear.
 */
#ifndef AYNI_PROTO_ANNOUNCE_H
#define AYNI_PROTO_ANNOUNCE_H

#include "proto/core_state.h"

/* A new release's head is sent in trains: a receiver that is off air for a moment hears the next copy, one that
 * slept through a train hears the next train. */
#define AY_TRAINS          3 /* at 0, +30 s, +5 min */
#define AY_TRAIN_COPIES    12
#define AY_TRAIN_GAP_MS    100
#define AY_TRAIN_SPREAD_MS 2000 /* the first to speak is drawn from this */
#define AY_TRAIN_SUPPRESS  2    /* so many copies heard: somebody else sends the train */

#define AY_CHAT_IMIN_MS      1000
#define AY_CHAT_IMAX_MS      256000 /* all are complete: 4 messages a minute in the whole room or fewer */
#define AY_CHAT_IMAX_BUSY_MS 16000  /* somebody is incomplete */
#define AY_CHAT_K            2
#define AY_CHAT_K_BUSY       3

#define AY_ANSWER_BURST      8 /* then one per 2 s */
#define AY_ANSWER_EVERY_MS   2000
#define AY_ANSWER_SPREAD_MS  1000
#define AY_QUESTION_BURST    4 /* then one per 15 s */
#define AY_QUESTION_EVERY_MS 15000

/* The branch has a new head. @heard: somebody sends its train already. */
void ay__announce_head(struct ay_core *c, struct ay__branch *b, bool heard);
/* Its head was heard again: @news: from a train; else somebody gave the answer that we meant to give. */
void ay__announce_hush(struct ay_core *c, struct ay__branch *b, bool news);
/* Ask the room within @within_ns, and once more in case that it was not heard. */
void ay__announce_ask(struct ay_core *c, uint64_t within_ns);
/* A random pause for who answers, so that few speak and suppress the many. */
uint64_t ay__announce_pause(struct ay_core *c, uint64_t within_ms);
void ay__announce_run(struct ay_core *c);
uint64_t ay__announce_next(const struct ay_core *c);

/* What CHAT says of a branch. */
static inline uint32_t ay__branch_tag(const struct ay_branch_id *id)
{
	return ay_get_le32(id->b);
}

static inline uint32_t ay__head_serial(const struct ay__branch *b)
{
	return b->has_head ? b->head.serial : 0;
}

#endif
