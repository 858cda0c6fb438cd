/* SPDX-License-Identifier: MIT */
/*
 * A progress line redraws itself in place with a carriage return and never wraps;
 * where standard error is no terminal it stays silent, so that logs stay readable.
 */
#include "node/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define REDRAW_NS 100000000ull /* ten times a second is as fast as anybody reads */

uint64_t ay_monotonic_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

char *ay_human_bytes(uint64_t bytes, char out[32])
{
	static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
	double v = (double)bytes;
	unsigned u = 0;
	while (v >= 999.95 && u < 6) {
		v /= 1000;
		u++;
	}
	if (u == 0)
		snprintf(out, 32, "%" PRIu64 " B", bytes);
	else
		snprintf(out, 32, "%.1f %s", v, units[u]);
	return out;
}

/* At least 20, so that there is something to read; 80 where nobody says. */
static int terminal_columns(void)
{
	struct winsize size;
	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
		return 80;
	return size.ws_col < 20 ? 20 : size.ws_col;
}

void ay_progress_init(struct ay_progress *p, const char *what)
{
	*p = (struct ay_progress){
		.what = what, .on = isatty(STDERR_FILENO) == 1, .started_ns = ay_monotonic_ns()};
}

void ay_progress_show(struct ay_progress *p, uint64_t done, uint64_t total)
{
	uint64_t now = ay_monotonic_ns();
	if (!p->on || (p->shown_ns != 0 && now - p->shown_ns < REDRAW_NS && done < total))
		return;
	p->shown_ns = now;

	double seconds = (double)(now - p->started_ns) / 1e9;
	double rate = seconds > 0.2 ? (double)done / seconds : 0;
	char a[32], b[32], c[32], left[32] = "";
	if (rate > 0 && total > done)
		snprintf(left, sizeof(left), ", %.0f s left", (double)(total - done) / rate);
	char line[256];
	snprintf(line, sizeof(line), "%s: %3.0f %%  %s of %s, %s/s%s", p->what,
		 total ? 100.0 * (double)done / (double)total : 0.0, ay_human_bytes(done, a),
		 ay_human_bytes(total, b), ay_human_bytes((uint64_t)rate, c), left);
	int columns = terminal_columns();
	int width = fprintf(stderr, "\r%.*s", columns - 1, line) - 1;
	/* What is left of a longer line before it; the terminal may have become narrower since. */
	int rest = (p->width < columns ? p->width : columns - 1) - width;
	if (rest > 0)
		fprintf(stderr, "%*s", rest, "");
	p->width = width;
	fflush(stderr);
}

void ay_progress_end(struct ay_progress *p)
{
	if (p->on && p->width > 0)
		fprintf(stderr, "\r%*s\r", p->width, "");
	p->width = 0;
}
