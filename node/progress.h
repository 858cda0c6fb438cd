/* SPDX-License-Identifier: MIT */
/*
 * node/progress.h - one line that says bytes, rate and time left, on a terminal only.
 */
#ifndef AYNI_NODE_PROGRESS_H
#define AYNI_NODE_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct ay_progress {
	const char *what;
	bool on; /* standard error is a terminal */
	uint64_t started_ns, shown_ns;
	int width; /* of the line last shown */
};

/** ay_progress_init() - @what is a few words, borrowed ("making the bundle"). */
void ay_progress_init(struct ay_progress *p, const char *what);
/** ay_progress_show() - @done of @total bytes; draws at most ten times a second. */
void ay_progress_show(struct ay_progress *p, uint64_t done, uint64_t total);
/** ay_progress_end() - clear the line. */
void ay_progress_end(struct ay_progress *p);

/** ay_human_bytes() - "17.3 MB" (powers of 1000) into @out; returns @out. */
char *ay_human_bytes(uint64_t bytes, char out[32]);
/** ay_s() - the ending of a word of which there are @n: "tree", "trees". */
static inline const char *ay_s(uint64_t n)
{
	return n == 1 ? "" : "s";
}
/** ay_monotonic_ns() - CLOCK_MONOTONIC. */
uint64_t ay_monotonic_ns(void);

#endif
