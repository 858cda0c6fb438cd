/* SPDX-License-Identifier: MIT */
/*
 * proto/fit.h - can this machine apply what an offer offers? Asked before a byte of the bundle is fetched.
 */
#ifndef AYNI_PROTO_FIT_H
#define AYNI_PROTO_FIT_H

#include "proto/event.h"

enum ay_fit {
	AY_FIT,
	AY_FIT_MEMORY,  /* it says that it needs more than is allowed */
	AY_FIT_ENCODER, /* it needs an encoder that is not here */
	AY_FIT_CPU,     /* it is of a class that is not known (docs/formats.md, "Offer") */
};

/** ay_offer_fit() - a pure question; the first thing that does not fit. */
enum ay_fit ay_offer_fit(const struct ay_apply_limits *l, const struct ay_offer *o);
/** ay_offer_fit_text() - AY_FIT: ""; else what it needs and what there is, as the end of a sentence. Returns @out. */
const char *ay_offer_fit_text(const struct ay_apply_limits *l, const struct ay_offer *o, char *out,
			      size_t size);

#endif
