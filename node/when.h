/* SPDX-License-Identifier: MIT */
/*
 * node/when.h - when does a release that is ready become current? The owner's setting, and what a clock is worth.
 *
 *     switch = now | next-boot | window HH:MM-HH:MM | ask
 *
 * Pure: time comes in as a value. A window is in local time, may pass midnight, and its end is outside of it. On a
 * clock that is surely wrong (1970, or before something that is known to have happened) no time of day means
 * anything: then a window is taken for next-boot, which is no lesson's middle either.
 */
#ifndef AYNI_NODE_WHEN_H
#define AYNI_NODE_WHEN_H

#include <stdbool.h>
#include <stdint.h>

enum ay_when_kind { AY_WHEN_NOW, AY_WHEN_NEXT_BOOT, AY_WHEN_WINDOW, AY_WHEN_ASK };

struct ay_when {
	enum ay_when_kind kind;
	uint16_t from_min, to_min; /* WINDOW: minutes of the day, 0 to 1440; never equal */
};

#define AY_WHEN_TEXT 32

/** ay_when_parse() - NULL, or what is allowed (then @out is as it was). */
const char *ay_when_parse(const char *text, struct ay_when *out);
/** ay_when_text() - as it is written in the configuration. */
const char *ay_when_text(const struct ay_when *w, char out[AY_WHEN_TEXT]);

struct ay_clock {
	int64_t now_s;   /* seconds since 1970, UTC, as the machine believes */
	int64_t floor_s; /* that it surely is: when the newest head was signed; 0: not known */
	uint16_t minute; /* of the local day, 0 to 1439 */
};

/** ay_clock_believed() - could it be right? A day's difference is forgiven: the publisher's may be ahead. */
bool ay_clock_believed(const struct ay_clock *c);
/** ay_clock_now() - the machine's. @floor_s: see above. */
void ay_clock_now(int64_t floor_s, struct ay_clock *out);

enum ay_due { AY_DUE_NOW, AY_DUE_WINDOW, AY_DUE_BOOT, AY_DUE_ASK };

/**
 * ay_when_due() - @booting: the machine is just coming up, nobody works on it.
 * @wait_min: minutes until the window opens, for AY_DUE_WINDOW; else 0. May be NULL.
 */
enum ay_due ay_when_due(const struct ay_when *w, const struct ay_clock *c, bool booting, unsigned *wait_min);

#endif
