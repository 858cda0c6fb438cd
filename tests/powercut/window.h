/* SPDX-License-Identifier: MIT */
/*
 * tests/powercut/window.h - where in a recording a left-out sync can show.
 *
 * From the place where it was left out to what was promised after it, and on until the disk was flushed twice more: by then
 * what it should have brought to the disk has come there with something else, or is lost at every later place too.
 */
#ifndef AYNI_TESTS_POWERCUT_WINDOW_H
#define AYNI_TESTS_POWERCUT_WINDOW_H

#include "tests/powercut/blocklog.h"

#define WINDOWS_MAX 256

struct windows {
	struct window {
		uint64_t from, to; /* numbers of events, both within */
	} w[WINDOWS_MAX];
	unsigned n;
};

/** windows_find() - of all syncs that were left out in @log; more than WINDOWS_MAX: of the first ones. */
void windows_find(const struct blk_log *log, struct windows *ws);
bool windows_have(const struct windows *ws, uint64_t event);

#endif
