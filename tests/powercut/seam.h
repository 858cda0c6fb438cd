/* SPDX-License-Identifier: MIT */
/*
 * tests/powercut/seam.h - the store's seam with a name for each of its syncs, and one of them left out.
 *
 * A sync's name is PHASE:CALL:WHAT#N: what the story is doing, fsync, fdatasync or syncfs, which file or directory of the
 * store (random and digest parts of names replaced by *), and, where one phase does the same more than once in a row
 * to different ends (the two syncfs of a commit), the how manieth it is. So a sync that is new in the store has
 * a name, and its mutant, without a line being written here. "PREFIX..." leaves out all whose names begin so, "NAME|NAME"
 * each of them: where two syncs in a row do the same on a file system, only both together are noticed.
 *
 * Between two changes of the store's somebody else may sync a file of his own, which commits the file system's journal with
 * what is in it by then; the seam does that too, at random, so that it happens everywhere.
 *
 * Where a sync is left out stands a mark, "# left out NAME": the states to look at first are those just behind it.
 * The store may call from several threads.
 */
#ifndef AYNI_TESTS_POWERCUT_SEAM_H
#define AYNI_TESTS_POWERCUT_SEAM_H

#include <pthread.h>

#include "base/prng.h"
#include "store/fs.h"

#define SYNC_NAME 128
#define SYNCS_MAX 128
#define KILLED    42   /* the exit status then */
#define SKIP_MAX  1024 /* names that are left out together */

struct seam {
	struct ay_fs fs; /* for the store */
	struct ay_fs_ops ops;
	pthread_mutex_t lock;
	char root[256]; /* the store's path */
	char phase[32];
	unsigned syncfs;      /* of this phase */
	char skip[SKIP_MAX];  /* "": none */
	char kill[SYNC_NAME]; /* at this one the process ends; "": at none */
	unsigned skipped;
	int marks;     /* -1: none */
	int other;     /* somebody else's file; -1: none */
	unsigned odds; /* that he syncs it after a change: 1 to this; 0: never */
	unsigned aim;  /* the same from the left-out sync to the end of its phase */
	bool missing;  /* in this phase a sync was left out */
	struct ay_prng r;
	char names[SYNCS_MAX][SYNC_NAME]; /* all that were seen */
	unsigned n;
};

/** seam_init() - @skip: the name of a sync that is not carried out, NULL: none. m->marks: the caller's to set. */
void seam_init(struct seam *m, const char *root, const char *skip);
/**
 * seam_disturb() - from now on commit after one in @odds changes, and after one in @aim from a left-out sync to the end of
 * its phase; 0: after none. @other: a file of the same file system, borrowed.
 */
void seam_disturb(struct seam *m, int other, unsigned odds, unsigned aim, uint64_t seed);
void seam_phase(struct seam *m, const char *phase);

#endif
