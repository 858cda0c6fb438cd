/* SPDX-License-Identifier: MIT */
/*
 * diff/scout.h - who goes ahead through a record's copies: the old file's bytes, and what their fields aim at (internal to diff/).
 *
 * The old file is read and its fields are looked at block by block, in the order of the new file. That depends on nothing that
 * the bundle's columns say besides the copies, so for a large file a thread of its own does it while the blocks before are predicted and
 * given on. What comes out is the same.
 */
#ifndef AYNI_DIFF_SCOUT_H
#define AYNI_DIFF_SCOUT_H

#include "base/error.h"
#include "diff/aim.h"

#define AY__SCOUT_BYTES 32768u /* of a block */
#define AY__SCOUT_AIMS  2048u

/* Bytes of one copy or of several, one after the other. Whoever was given it may change them. */
struct ay__scouted {
	uint32_t len, n;
	int rc; /* reading failed behind these */
	struct ay_err err;
	uint8_t bytes[AY__SCOUT_BYTES];
	struct ay__aim aims[AY__SCOUT_AIMS]; /* their fields; .offset counts in .bytes */
};

struct ay__scout;

/**
 * ay__scout_new() - @a: borrowed, with its source, which nobody else uses meanwhile. @err: where the source's reads leave
 *   what went wrong; it is only looked at when one fails.
 * @thread: use a second one if there is.
 *
 * Return: NULL when out of memory.
 */
struct ay__scout *ay__scout_new(struct ay__aimer *a, struct ay_err *err, bool thread);
/** ay__scout_free() - also before all was taken. NULL is legal. */
void ay__scout_free(struct ay__scout *s);

/**
 * ay__scout_next() - the next block; good until the next call. There is one for each byte that the copies have, no more may
 * be asked for.
 *
 * Return: the block; its .rc is not 0 when there is none because the source failed.
 */
struct ay__scouted *ay__scout_next(struct ay__scout *s);

#endif
