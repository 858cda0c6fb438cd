/* SPDX-License-Identifier: MIT */
/*
 * tests/powercut/moved.h - what a file system needs to keep a directory where it was moved to.
 *
 * Not the store, but what it rests on: tmp/staging/tree, all of it on the disk, becomes branches/b/1; then one thing or another is
 * synced, and after a cut it is looked where the tree is. So it is seen which of the last syncs of a commit
 * each file system asks for, apart from what else happens in a store.
 */
#ifndef AYNI_TESTS_POWERCUT_MOVED_H
#define AYNI_TESTS_POWERCUT_MOVED_H

#include "tests/powercut/replay.h"

/** moved_try() - on each of @fs; prints a line for each way to sync. 0; 1 the way of the store does not keep it; -errno when the machine is to blame. */
int moved_try(const struct world *w, const char *const *fs, unsigned n_fs, const struct replay_options *o);

#endif
