/* SPDX-License-Identifier: MIT */
/*
 * `ayni pin` and `ayni unpin`: the owner wants to stay at a release, or to keep it.
 */
#include <stdio.h>
#include <string.h>

#include "node/cmd_turn.h"
#include "node/paths.h"
#include "store/journal.h"

static void note(struct ay_turn_cmd *c, enum ay_journal_event event, const char *why)
{
	struct ay_err err = {0};
	if (ay_journal_add(c->s, c->branch, event, c->serial, 0, why, &err) < 0)
		ay_complain(event == AY_JOURNAL_PINNED ? "pin" : "unpin", err.msg);
}

static void tell(struct ay_turn_cmd *c, uint32_t current, const char *message)
{
	struct ay_turn_result out = {.from = current, .to = current, .tried = c->serial};
	snprintf(out.message, sizeof(out.message), "%s", message);
	ay_turn_cmd_tell(c, c->branch, &out, 0, NULL);
}

static int pin(struct ay_turn_cmd *c, bool keep_only, struct ay_err *err)
{
	char text[512];
	struct ay_turn t;
	int r = ay_turn_read(c->s, c->branch, &t, err);
	if (r == 0 && c->serial == 0 && t.current == 0)
		r = ay_err_set(err, AY_ENOTHING, "%s has no release here yet", c->branch);
	if (r < 0)
		return r;
	if (c->serial == 0)
		c->serial = t.current;
	r = ay_turn_pin(c->s, c->branch, c->serial, keep_only, err);
	if (r < 0)
		return r;
	note(c, AY_JOURNAL_PINNED, keep_only ? "kept from collection" : "");
	if (keep_only)
		snprintf(text, sizeof(text), "%s: release %u is kept; the branch moves on as before",
			 c->branch, c->serial);
	else if (c->serial == t.current)
		snprintf(text, sizeof(text), "%s: stays at release %u until `ayni unpin %s`", c->branch,
			 c->serial, c->branch);
	else
		snprintf(
			text, sizeof(text),
			"%s: release %u is kept, and the branch will stay there once it is current; now %u is "
			"(`ayni switch %s %u`)",
			c->branch, c->serial, t.current, c->branch, c->serial);
	tell(c, t.current, text);
	return 0;
}

static int run_pin(int argc, char **argv, struct ay_err *err)
{
	struct ay_turn_cmd c = {0};
	int keep = 0;
	const struct option flags[] = {{"keep", no_argument, &keep, 1}, {0}};
	int r = ay_turn_cmd_begin(&c, argc, argv, flags, true, true, 0, err);
	if (r == 0)
		r = pin(&c, keep, err);
	return ay_turn_cmd_end(&c, r, err);
}

static int unpin(struct ay_turn_cmd *c, struct ay_err *err)
{
	char text[512];
	uint32_t current = 0;
	int r = ay_turn_unpin(c->s, c->branch, c->serial, err);
	if (r < 0)
		return r;
	note(c, AY_JOURNAL_UNPINNED, "");
	if (ay_store_current(c->s, c->branch, &current, NULL) < 0)
		current = 0;
	if (c->serial)
		snprintf(text, sizeof(text), "%s: release %u is not pinned any more", c->branch, c->serial);
	else
		snprintf(text, sizeof(text), "%s: no release is pinned any more", c->branch);
	tell(c, current, text);
	return 0;
}

static int run_unpin(int argc, char **argv, struct ay_err *err)
{
	struct ay_turn_cmd c = {0};
	int r = ay_turn_cmd_begin(&c, argc, argv, NULL, true, true, 0, err);
	if (r == 0)
		r = unpin(&c, err);
	return ay_turn_cmd_end(&c, r, err);
}

const struct ay_cmd ay_cmd_pin = {
	"pin",
	"stay at a release, or only keep it",
	"Usage: ayni pin BRANCH [SERIAL] [--keep] [--store DIR] [--config FILE] [--control SOCKET] [--json]\n"
	"\n"
	"SERIAL (the current one) is never collected, and while it is current the branch stays there: nothing newer is fetched\n"
	"or switched to by itself, not even by `ayni update --force`; only `ayni switch` by hand and `ayni unpin` move on.\n"
	"\n"
	"      --keep           it is never collected, and no more than that: the branch moves on\n" AY_TURN_CMD_HELP
	"\n"
	"Exit codes: 0 done, 1 failed (it is not here), 2 usage, 3 it was pinned already.\n",
	run_pin,
};

const struct ay_cmd ay_cmd_unpin = {
	"unpin",
	"let a branch move on, and its releases be collected",
	"Usage: ayni unpin BRANCH [SERIAL] [--store DIR] [--config FILE] [--control SOCKET] [--json]\n"
	"\n"
	"Undoes `ayni pin` of SERIAL, or of every release of BRANCH. Exit code 3 when it was not pinned.\n"
	"\n" AY_TURN_CMD_HELP,
	run_unpin,
};
