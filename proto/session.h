/* SPDX-License-Identifier: MIT */
/*
 * proto/session.h - two nodes that talk: handshake, order, penalties.
 *
 *     CONNECTING ──connected──► HELLO ──their HELLO──► READY ──► CLOSED
 *
 * Of two sessions between the same two nodes one is kept: that which the node with
 * the smaller session id opened. Of two in the same direction the opener closes the
 * younger, so that the two ends never close one each.
 */
#ifndef AYNI_PROTO_SESSION_H
#define AYNI_PROTO_SESSION_H

#include "base/error.h"

/* What a peer's mistakes cost; at -7 its host is not spoken to for ten minutes. */
#define AY_SCORE_GARBAGE (-7) /* a frame that no ayni sends: ban at once */
#define AY_SCORE_BAD_BLOCK                                                                                   \
	(-3) /* memory goes bad too: the third is no accident, the first is when nothing good came */
#define AY_SCORE_LIE         (-3) /* a document whose signature does not hold */
#define AY_SCORE_UNSOLICITED (-2)
#define AY_SCORE_SLOW        (-1)

#endif
