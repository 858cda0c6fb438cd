/* SPDX-License-Identifier: MIT */
/* tests/powercut/record.h - a story told on a fresh file system, on a disk that remembers. */
#ifndef AYNI_TESTS_POWERCUT_RECORD_H
#define AYNI_TESTS_POWERCUT_RECORD_H

#include "tests/powercut/blocklog.h"
#include "tests/powercut/seam.h"
#include "tests/powercut/world.h"

/**
 * record() - mkfs, mount, tell, unmount; all of it into @log (made for this @fs).
 * @skip: the sync that is left out; NULL: none. @m: filled by it; tells the names of the syncs that were made.
 *
 * Return: 0; 1 the store failed, which it may not (a sentence on stderr); -errno the machine did not do its part.
 */
int record(const struct world *w, const char *fs, uint64_t seed, const char *skip, struct blk_log *log,
	   struct seam *m);

#endif
