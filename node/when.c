/* SPDX-License-Identifier: MIT */
/*
 * When it is time (node/when.h). Only minutes of the day are compared, so that a clock
 * that is set, summer time and a night without power need no thought: inside is inside.
 */
#include "node/when.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define DAY_MIN 1440
#define DAY_S   86400
/* 2024-01-01: no machine that runs this lived before. */
#define EARLIEST_S INT64_C(1704067200)

static const char allowed[] =
	"now, next-boot, ask, or window HH:MM-HH:MM (local time, as in window 22:00-05:30)";

static bool two_digits(const char *p, unsigned *out)
{
	if (p[0] < '0' || p[0] > '9' || p[1] < '0' || p[1] > '9')
		return false;
	*out = (unsigned)(p[0] - '0') * 10 + (unsigned)(p[1] - '0');
	return true;
}

/* HH:MM at @p; 24:00 is the day's end. */
static bool time_of_day(const char *p, uint16_t *out)
{
	unsigned h, m;

	if (strlen(p) < 5 || !two_digits(p, &h) || p[2] != ':' || !two_digits(p + 3, &m) || m > 59 ||
	    h * 60 + m > DAY_MIN)
		return false;
	*out = (uint16_t)(h * 60 + m);
	return true;
}

const char *ay_when_parse(const char *text, struct ay_when *out)
{
	static const char *const words[] = {"now", "next-boot", NULL, "ask"};
	struct ay_when w = {0};

	for (int i = 0; i < 4; i++) {
		if (words[i] && strcmp(text, words[i]) == 0) {
			*out = (struct ay_when){.kind = (enum ay_when_kind)i};
			return NULL;
		}
	}
	if (strncmp(text, "window", 6) != 0 || (text[6] != ' ' && text[6] != '\t'))
		return allowed;
	text += 6;
	text += strspn(text, " \t");
	if (strlen(text) != 11 || text[5] != '-' || !time_of_day(text, &w.from_min) ||
	    !time_of_day(text + 6, &w.to_min))
		return allowed;
	if (w.from_min % DAY_MIN == w.to_min % DAY_MIN)
		return w.from_min == w.to_min ? "a window that is open for a while: its times must differ"
					      : "now, if the window is open all day";
	w.kind = AY_WHEN_WINDOW;
	*out = w;
	return NULL;
}

const char *ay_when_text(const struct ay_when *w, char out[AY_WHEN_TEXT])
{
	static const char *const words[] = {"now", "next-boot", "window", "ask"};

	if (w->kind == AY_WHEN_WINDOW)
		snprintf(out, AY_WHEN_TEXT, "window %02u:%02u-%02u:%02u", w->from_min / 60u,
			 w->from_min % 60u, w->to_min / 60u, w->to_min % 60u);
	else
		snprintf(out, AY_WHEN_TEXT, "%s", words[w->kind]);
	return out;
}

bool ay_clock_believed(const struct ay_clock *c)
{
	return c->now_s >= EARLIEST_S && c->now_s >= c->floor_s - DAY_S;
}

void ay_clock_now(int64_t floor_s, struct ay_clock *out)
{
	time_t now = time(NULL);
	struct tm tm = {0};

	localtime_r(&now, &tm);
	*out = (struct ay_clock){
		.now_s = now, .floor_s = floor_s, .minute = (uint16_t)(tm.tm_hour * 60 + tm.tm_min)};
}

static bool inside(const struct ay_when *w, unsigned minute)
{
	unsigned from = w->from_min, to = w->to_min;

	return from < to ? minute >= from && minute < to : minute >= from || minute < to;
}

enum ay_due ay_when_due(const struct ay_when *w, const struct ay_clock *c, bool booting, unsigned *wait_min)
{
	unsigned minute = c->minute % DAY_MIN;

	if (wait_min)
		*wait_min = 0;
	switch (w->kind) {
	case AY_WHEN_NOW:
		return AY_DUE_NOW;
	case AY_WHEN_NEXT_BOOT:
		return booting ? AY_DUE_NOW : AY_DUE_BOOT;
	case AY_WHEN_ASK:
		return AY_DUE_ASK;
	case AY_WHEN_WINDOW:
		break;
	}
	if (!ay_clock_believed(c))
		return booting ? AY_DUE_NOW : AY_DUE_BOOT;
	if (inside(w, minute))
		return AY_DUE_NOW;
	if (wait_min)
		*wait_min = (w->from_min + DAY_MIN - minute) % DAY_MIN;
	return AY_DUE_WINDOW;
}
