/* SPDX-License-Identifier: MIT */
/*
 * tests/powercut/choice.h - which of the un-flushed pieces are on the disk after a cut.
 *
 * Rounds:
 *     0, 1           all of them (which 0), or none (which 1)
 *     2..            drawn at random from event and round
 *     CHOICE_AIMED.. one after the other: number @which of each kind
 */
#ifndef AYNI_TESTS_POWERCUT_CHOICE_H
#define AYNI_TESTS_POWERCUT_CHOICE_H

#include "tests/powercut/image.h"

enum choice_kind {
	CHOICE_BUT_ONE, /* one block is missing: all that was written to it, and its copies elsewhere (btrfs has two) */
	CHOICE_TAIL, /* from one piece on all are missing */
	CHOICE_ONE,  /* only one block has come, with its copies */
	CHOICE_HEAD, /* up to one piece all are missing */
	CHOICE_KINDS
};
#define CHOICE_AIMED 1000000u /* a round is this plus a kind */

struct choice {
	bool *keep; /* of im->pieces */
	size_t cap, torn;
	uint32_t torn_len;
};

/** choice_make() - the same for the same event, @round, @which and recording. @tear: bytes that are written as one. */
void choice_make(struct choice *c, const struct image *im, unsigned round, unsigned which, uint32_t tear);
void choice_release(struct choice *c);

#endif
