/* SPDX-License-Identifier: MIT */
/* The marks say where a sync is missing, and where a promise was made. */
#include "tests/powercut/window.h"

#include <string.h>

#define LEFT_OUT       "# left out "
#define FLUSHES_BEHIND 2

static bool is_mark(const struct blk_log *log, const struct blk_event *e, const char *begin)
{
	size_t n = strlen(begin);

	return e->kind == BLK_MARK && e->len >= n && memcmp(log->data + e->data, begin, n) == 0;
}

static uint64_t end_of(const struct blk_log *log, uint64_t from)
{
	unsigned flushes = 0;
	bool promised = false;
	uint64_t i;

	for (i = from + 1; i < log->n && flushes < FLUSHES_BEHIND; i++) {
		const struct blk_event *e = &log->events[i];
		promised |= is_mark(log, e, "must ") || is_mark(log, e, "had ");
		flushes += promised && e->kind == BLK_FLUSH;
	}
	return i - 1;
}

void windows_find(const struct blk_log *log, struct windows *ws)
{
	ws->n = 0;
	for (uint64_t i = 0; i < log->n && ws->n < WINDOWS_MAX; i++) {
		if (is_mark(log, &log->events[i], LEFT_OUT))
			ws->w[ws->n++] = (struct window){.from = i, .to = end_of(log, i)};
	}
}

bool windows_have(const struct windows *ws, uint64_t event)
{
	for (unsigned i = 0; i < ws->n; i++) {
		if (event >= ws->w[i].from && event <= ws->w[i].to)
			return true;
	}
	return false;
}
