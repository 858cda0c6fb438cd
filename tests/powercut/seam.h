/* SPDX-License-Identifier: MIT */
/*
 * tests/powercut/seam.h - the store's seam with a name for each of its syncs, and one of them left out.
 *
 * A sync's name is PHASE:CALL:WHAT#N: what the story is doing, fsync, fdatasync or syncfs, which file or directory of the
 * store (random and digest parts of names replaced by *), and, where one phase does the same more than once in a row
 * to different ends (the two syncfs of a commit), the how manieth it is. So a sync that is new in the store has
 * a name, and its mutant, without a line being written here.
 */
#ifndef AYNI_TESTS_POWERCUT_SEAM_H
#define AYNI_TESTS_POWERCUT_SEAM_H

#include "store/fs.h"

#define SYNC_NAME 128
#define SYNCS_MAX 128

struct seam {
	struct ay_fs fs; /* for the store */
	struct ay_fs_ops ops;
	char root[256]; /* the store's path */
	char phase[32];
	unsigned syncfs;      /* of this phase */
	char skip[SYNC_NAME]; /* "": none */
	unsigned skipped;
	char names[SYNCS_MAX][SYNC_NAME]; /* all that were seen */
	unsigned n;
};

/** seam_init() - @skip: the name of a sync that is not carried out, NULL: none. */
void seam_init(struct seam *m, const char *root, const char *skip);
void seam_phase(struct seam *m, const char *phase);

#endif
