/* SPDX-License-Identifier: MIT */
/*
 * tests/powercut/replay.h - cut the power everywhere in a recording, and look.
 *
 * Rounds:
 *     0    at each mark: all that was written, and only what was flushed
 *     1    the same at each event
 *     2..  at events drawn at random: a part of what was not flushed, drawn at random
 *
 * Where syncs were left out, the events behind each (window.h) come first, and there one part after the other (choice.h).
 *
 * A disk's content is mounted and looked at once; at other marks with the same content only the promises are compared.
 * A state has a name, EVENT.ROUND.WHICH, from which replay_one() makes it again.
 */
#ifndef AYNI_TESTS_POWERCUT_REPLAY_H
#define AYNI_TESTS_POWERCUT_REPLAY_H

#include <stdatomic.h>

#include "tests/powercut/blocklog.h"
#include "tests/powercut/world.h"

#define FAILURES_MAX 16

struct replay_options {
	unsigned jobs;
	uint64_t states;       /* stop after so many different contents */
	double seconds;        /* or so long; 0: no limit */
	unsigned finish_every; /* after every so manieth the second run is tried */
	unsigned tear;         /* bytes that are written as one: 4096 or 512 */
	bool stop_at_first;    /* violation */
	bool kinds;            /* of each kind of violation only one is told */
	void (*look)(const char *mounted, struct ay_buf *facts); /* bench.h */
	const char *run; /* replay_one(): a command to look around with */
};

/* In shared memory. */
struct replay_result {
	atomic_ullong states;      /* different contents that were mounted and looked at */
	atomic_ullong judged;      /* pairs of content and promises */
	atomic_ullong finished;    /* second runs */
	atomic_ullong unmountable; /* the file system itself did not come back */
	atomic_ullong violations;
	atomic_uint n_failures;
	atomic_bool stop, broken; /* broken: a worker could not work */
	struct failure {
		char state[32];
		char what[400];
	} failures[FAILURES_MAX];
};

struct replay_result *replay_result_new(void);
void replay_result_free(struct replay_result *res);
/** replay_all() - adds to @res. 0, or -errno when the machine, not the store, is to blame. */
int replay_all(const struct world *w, const struct blk_log *log, const struct replay_options *o,
	       struct replay_result *res);
/** replay_one() - the state @name alone; prints facts and promises. 0 kept, 1 violated, -errno. */
int replay_one(const struct world *w, const struct blk_log *log, const struct replay_options *o,
	       const char *name);

#endif
