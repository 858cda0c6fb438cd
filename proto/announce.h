/* SPDX-License-Identifier: MIT */
/*
 * proto/announce.h - step 1 of the data's way: hear a head and verify it; and step 6: tell the others.
 *
 *     NEWS   trains of heads, only when there is a new release; sleeping radios may wake on it
 *     CHAT   summaries by Trickle (RFC 6206), questions, and heads in answer; for those who are awake
 *
 * Next: proto/learn asks for the release that the head names, proto/plan finds the way.
 */
#ifndef AYNI_PROTO_ANNOUNCE_H
#define AYNI_PROTO_ANNOUNCE_H

#include <stdint.h>

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
#define AY_VERIFY_BURST      16 /* signature checks of heads; then 4 a second */
#define AY_VERIFY_EVERY_MS   250
#define AY_QUESTION_BURST    4 /* then one per 15 s */
#define AY_QUESTION_EVERY_MS 15000

#endif
