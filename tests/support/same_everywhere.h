/* SPDX-License-Identifier: MIT */
/*
 * tests/support/same_everywhere.h - what a store asks its machine for is the same on every machine.
 *
 * In which order a directory is read is the file system's business: ext4's is not tmpfs'. What the store does in that
 * order (links, removals) then gets other numbers, and a life that is killed at its nth call is another life.
 * So it is with names that are drawn at random, once such names are sorted. A program that calls this once
 *
 *     reads directories in the order of their names. They are read whole at the first call, so a name that goes
 *     in the meantime is still given, as POSIX allows;
 *     gets from getrandom() what @seed alone decides, until the next call.
 *
 * And a disk that fails while a directory is read, which does not go through store/fs.h.
 */
#ifndef AYNI_TESTS_SUPPORT_SAME_EVERYWHERE_H
#define AYNI_TESTS_SUPPORT_SAME_EVERYWHERE_H

#include <stdbool.h>
#include <stdint.h>

/** same_everywhere() - while no other thread is in the store. */
void same_everywhere(uint64_t seed);

/** readdir_fails() - the @at-th name from here on (1 is the first) is not given, but @error once. @at 0: no more. */
void readdir_fails(unsigned at, int error);
/** readdir_asks() - @fails is asked at each name from here on: true, it is not given, and errno is as that has set it. NULL: nobody. */
void readdir_asks(bool (*fails)(void));
/** readdir_failed() - did it since? */
bool readdir_failed(void);

#endif
