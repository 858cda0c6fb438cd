/* SPDX-License-Identifier: MIT */
/*
 * tests/powercut/mutants.h - each sync of the store's is left out in turn, and that must be noticed.
 *
 * A file system often does by one sync what was asked of another: ext4 and xfs have one journal, which each commits. So what
 * is not noticed alone is left out together with others of the same phase, which are not noticed alone either, and
 * from what is noticed then as much is put back as can be: each sync of the set that is left is needed where the others
 * are missing. Where there is no such set, the others cover the sync by something that is noticed for itself: then it
 * is asked whether both together break what the others alone do not.
 */
#ifndef AYNI_TESTS_POWERCUT_MUTANTS_H
#define AYNI_TESTS_POWERCUT_MUTANTS_H

#include "tests/powercut/replay.h"

struct hunt {
	const struct world *w;
	unsigned n_fs;
	struct replay_options replay; /* for each set that is tried, over all its stories */
	uint64_t seed, stories;
	const char *only; /* phases that begin so; "=NAMES": these alone; NULL: all */
};

/** mutants_hunt() - on each of @fs; a line for each sync. 0; 1 something was not noticed in any way; -errno. */
int mutants_hunt(const struct hunt *h, const char *const *fs);

#endif
