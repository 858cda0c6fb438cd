/* SPDX-License-Identifier: MIT */
/* What an offer declares (memory, encoders, class of processor) against what this node has. */
#include "proto/fit.h"

#include <stdio.h>
#include <string.h>

#define CPU_KNOWN 1 /* 0 plain, 1 re-packing of large files */

/* The name of an encoder that is not here; NULL: all are. */
static const char *missing(const struct ay_apply_limits *l, const struct ay_offer *o)
{
	for (unsigned i = 0; i < o->n_encoders; i++) {
		bool here = false;
		for (unsigned k = 0; k < l->n_encoders && !here; k++)
			here = strcmp(o->encoders[i], l->encoders[k]) == 0;
		if (!here)
			return o->encoders[i];
	}
	return NULL;
}

enum ay_fit ay_offer_fit(const struct ay_apply_limits *l, const struct ay_offer *o)
{
	if (l->memory && o->memory > l->memory)
		return AY_FIT_MEMORY;
	if (missing(l, o))
		return AY_FIT_ENCODER;
	return o->cpu > CPU_KNOWN ? AY_FIT_CPU : AY_FIT;
}

static unsigned long long mib_up(uint64_t bytes)
{
	return (bytes >> 20) + ((bytes & ((1u << 20) - 1)) != 0);
}

const char *ay_offer_fit_text(const struct ay_apply_limits *l, const struct ay_offer *o, char *out,
			      size_t size)
{
	out[0] = '\0';
	switch (ay_offer_fit(l, o)) {
	case AY_FIT_MEMORY:
		snprintf(out, size,
			 "needs %llu MiB of memory to apply, and %llu MiB are allowed here (apply-memory)",
			 mib_up(o->memory), (unsigned long long)(l->memory >> 20));
		break;
	case AY_FIT_ENCODER:
		snprintf(out, size, "needs the encoder %s, which this ayni does not have", missing(l, o));
		break;
	case AY_FIT_CPU:
		snprintf(out, size, "is of a kind (cpu %u) that this ayni does not know", (unsigned)o->cpu);
		break;
	case AY_FIT:
		break;
	}
	return out;
}
