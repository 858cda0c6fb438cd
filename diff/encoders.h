/* SPDX-License-Identifier: MIT */
/*
 * diff/encoders.h - libraries that have to pack as the publisher's did.
 *
 * A bundle that looks into packed files has them packed again where it is applied, to the same bytes. That holds as long as the
 * same encoder does it. So each encoder has a number, which a bundle's header names, and a name with the version of
 * its behaviour, which the offer names; and before one is used it proves itself with known answers: small contents, of
 * which it is known what they were packed to. An encoder whose behaviour changes gets another number and name.
 *
 *     1 deflate-1     ours (diff/deflate_match.h): cannot change without us
 *     2 lzma2-5.2     liblzma, from 5.2 to 5.4
 *     3 zstd-1.5.4    libzstd
 */
#ifndef AYNI_DIFF_ENCODERS_H
#define AYNI_DIFF_ENCODERS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define AY_ENCODERS     4 /* numbers below this are known; 0 is none */
#define AY_ENCODERS_ALL 0xeu

/** ay_encoder_name() - as in an offer; "?" for a number that is not known. Static storage. */
const char *ay_encoder_name(unsigned number);

/**
 * ay_encoders_proved() - which of @wanted (bit i: number i) give the known answers here.
 *
 * Takes some ten milliseconds for all; nothing is kept. Short of memory is not proved.
 */
uint32_t ay_encoders_proved(uint32_t wanted);

/** ay_encoders_here() - the names of all that are proved here, sorted, to @names; returns how many. */
unsigned ay_encoders_here(const char *names[AY_ENCODERS]);

/** ay_encoders_check() - 0, or AY_EUNSUPPORTED naming the first of @wanted that is not proved here. */
int ay_encoders_check(uint32_t wanted, struct ay_err *err);

#endif
