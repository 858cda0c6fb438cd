/* SPDX-License-Identifier: MIT */
/*
 * diff/hopeless.h - is there anything to find for who looks for strings that come twice? (internal to diff/)
 *
 * Searching costs most where there is nothing to find. So a sample of all strings is counted
 * first: of strings of a length at which two are equal by chance hardly ever, one in 64, the
 * same ones wherever they stand. The length follows from how skewed the bytes are.
 */
#ifndef AYNI_DIFF_HOPELESS_H
#define AYNI_DIFF_HOPELESS_H

#include <stdbool.h>

#include "base/bytes.h"

/** ay__hopeless() - does hardly any string of @data come twice in it? 0 and @yes; -ENOMEM. */
int ay__hopeless(const uint8_t *data, size_t len, bool *yes);

/** ay__unrelated() - is hardly any string of @new_ in @old? Small ones never are. 0 and @yes; -ENOMEM. */
int ay__unrelated(struct ay_slice old, struct ay_slice new_, bool *yes);

#endif
