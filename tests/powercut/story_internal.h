/* SPDX-License-Identifier: MIT */
/* tests/powercut/story_internal.h - what the parts of the story share. */
#ifndef AYNI_TESTS_POWERCUT_STORY_INTERNAL_H
#define AYNI_TESTS_POWERCUT_STORY_INTERNAL_H

#include "base/prng.h"
#include "tests/powercut/story.h"

struct teller {
	const struct world *w;
	struct seam *m;
	struct ay_store *s;
	const char *mounted;
	char path[300];
	const struct manner *manner;
	const char *as; /* before the names of the next phases; NULL: nothing */
	struct ay_prng r;
};

/** story_phase() - everything up to the next one belongs to @name. A pause lets the others in. */
void story_phase(struct teller *t, const char *name);
/** story_open() - t->s, as the story wants it. */
int story_open(struct teller *t, int flags, struct ay_err *err);
/** story_say() - a mark. */
void story_say(struct teller *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/** story_now() - promise what is known of @branch now: whose turn it is, the bad serial, the floor, current. */
int story_now(struct teller *t, const char *branch, struct ay_err *err);

/* ---- story_again.c ---- */

/**
 * story_step() - one step. Where the story is told so, somebody else does it first, in a process of his own, and is killed
 * when he is about to make the sync @killed_at; then it is done again, where what was found has to be synced.
 */
int story_step(struct teller *t, const char *killed_at, int (*step)(struct teller *t, struct ay_err *err),
	       struct ay_err *err);

/* ---- story_more.c ---- */

/** story_on_trial() - from ready by a trial to good, or, if it @fails, back to @back. Pins on the way. */
int story_on_trial(struct teller *t, uint32_t serial, bool fails, uint32_t back, struct ay_err *err);
/** story_adopt() - a directory beside the store becomes branch "d". */
int story_adopt(struct teller *t, struct ay_err *err);
/** story_heal() - somebody writes into a file of branch "b", serials 2 and 3; it is healed. */
int story_heal(struct teller *t, struct ay_err *err);
/** story_make_room() - a budget that nothing fits: all that may go goes. */
int story_make_room(struct teller *t, struct ay_err *err);
/** story_leave() - branch "c" is left for good. */
int story_leave(struct teller *t, struct ay_err *err);

#endif
