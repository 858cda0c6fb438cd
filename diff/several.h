/* SPDX-License-Identifier: MIT */
/*
 * diff/several.h - small ELF files, several at once (internal to diff/).
 *
 * A kernel has thousands of modules. What a record takes out of the columns can be told without its base, quickly; so the reader passes over
 * it, and a thread makes its bytes from a copy of the reader that stands where it began, into memory. They are given on in the
 * records' order. A failure is reported as if there were one thread: what lies before is given first, and of several the first record's counts.
 *
 * All that is under way needs no more memory than the header declares for one record.
 */
#ifndef AYNI_DIFF_SEVERAL_H
#define AYNI_DIFF_SEVERAL_H

#include "diff/reader.h"

/**
 * ay__several_record() - @r stands behind a record's head: have it made by another thread.
 *
 * Return: 0; 1: it is not of that kind, or not wanted, or goes on in the next part: nothing was taken, and all others are finished;
 *   negative: it, or one before, failed, its sentence wrapped.
 */
int ay__several_record(struct ay__reader *r);
/** ay__several_finish() - all that is under way is given on. 0, or the first one's failure, its sentence wrapped. */
int ay__several_finish(struct ay__reader *r);
/** ay__several_end() - likewise, and the threads end. Return: that failure, if there is none @rc. */
int ay__several_end(struct ay__reader *r, int rc);

#endif
