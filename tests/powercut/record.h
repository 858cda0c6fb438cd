/* SPDX-License-Identifier: MIT */
/* tests/powercut/record.h - a story told on a fresh file system, on a disk that remembers. */
#ifndef AYNI_TESTS_POWERCUT_RECORD_H
#define AYNI_TESTS_POWERCUT_RECORD_H

#include "tests/powercut/blocklog.h"
#include "tests/powercut/story.h"
#include "tests/powercut/world.h"

/** manner_of() - how the story @seed is told when no sync is left out. */
struct manner manner_of(uint64_t seed);
/**
 * manner_of_mutant() - how the @i th story is. First a quiet store: nobody else commits what the sync should have. Then
 * one where somebody does, just after it, so that names come to the disk without what they lead to. Then as ever.
 */
struct manner manner_of_mutant(uint64_t seed, uint64_t i);

/**
 * record() - mkfs, mount, tell, unmount; all of it into @log (made for this @fs).
 * @skip: the sync that is left out; NULL: none. @m: filled by it; tells the names of the syncs that were made.
 *
 * Return: 0; 1 the store failed, which it may not (a sentence on stderr); -errno the machine did not do its part.
 */
int record(const struct world *w, const char *fs, struct manner manner, uint64_t seed, const char *skip,
	   struct blk_log *log, struct seam *m);

/** record_story_of() - the same for any story: @tell is given the empty file system and the fd for marks; 0, 1 or -errno. */
typedef int record_story(void *ctx, const char *mounted, int marks);
int record_story_of(const struct world *w, const char *fs, record_story *tell, void *ctx,
		    struct blk_log *log);

#endif
