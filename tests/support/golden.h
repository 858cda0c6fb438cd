/* SPDX-License-Identifier: MIT */
/*
 * tests/support/golden.h - files in tests/golden/: what is written today is what was written when a format was fixed.
 *
 * When a format gets a new version, add files, keep the old ones, and write the new with
 * AYNI_GOLDEN_WRITE=1 build/tests/unit/ROOM/test_golden (from the top of the tree).
 */
#ifndef AYNI_TESTS_SUPPORT_GOLDEN_H
#define AYNI_TESTS_SUPPORT_GOLDEN_H

#include "base/bytes.h"

/** golden_read() - tests/golden/@name, at most 1 MiB; fails the test when it is not there. Release it. */
struct ay_buf golden_read(const char *name);
/** golden_write() - with AYNI_GOLDEN_WRITE in the environment tests/golden/@name becomes @made; else nothing is done. */
void golden_write(const char *name, const struct ay_buf *made);
/** golden_check() - @made must be the file to the byte; with AYNI_GOLDEN_WRITE it is written first. Takes @made. */
void golden_check(const char *name, struct ay_buf made);

#endif
