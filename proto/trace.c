/* SPDX-License-Identifier: MIT */
/* Tracing. A line is formatted on the stack; what does not fit is cut. */
#include "proto/trace.h"

#include <stdarg.h>
#include <stdio.h>

void ay__trace(struct ay_core *c, const char *room, const char *fmt, ...)
{
	char line[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	c->cfg.trace(c->cfg.trace_ctx, room, line);
}

struct ay__hex ay__short(const struct ay_digest *d)
{
	struct ay__hex h;

	for (unsigned i = 0; i < 4; i++)
		snprintf(h.s + 2 * i, 3, "%02x", d->b[i]);
	return h;
}
