/* SPDX-License-Identifier: MIT */
/*
 * proto/trace.h - one dense line per decision, to whoever runs the core; its only call out.
 */
#ifndef AYNI_PROTO_TRACE_H
#define AYNI_PROTO_TRACE_H

#include "proto/core_state.h"

void ay__trace(struct ay_core *c, const char *room, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
#define AY__TRACE(c, room, ...)                                                                              \
	do {                                                                                                 \
		if ((c)->cfg.trace)                                                                          \
			ay__trace(c, room, __VA_ARGS__);                                                     \
	} while (0)

struct ay__hex {
	char s[17];
};
/* The first 8 digits, for traces and problems. */
struct ay__hex ay__short(const struct ay_digest *d);

#endif
