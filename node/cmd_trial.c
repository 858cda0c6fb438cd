/* SPDX-License-Identifier: MIT */
/*
 * `ayni confirm` and `ayni boot-count`: the trial of a tree that is booted. Who could not boot cannot say so; so each
 * boot is counted before it is made, and what was never confirmed in all of them is left again.
 */
#include <stdio.h>
#include <string.h>

#include "node/cmd_turn.h"
#include "node/paths.h"
#include "store/journal.h"

static int one_confirm(struct ay_turn_cmd *c, const char *branch, struct ay_turn_result *out,
		       struct ay_err *err)
{
	struct ay_err why = {0};
	uint32_t which = 0;
	int r = ay_turn_confirm(c->s, branch, &which, err);
	if (r < 0)
		return r;
	if (ay_journal_add(c->s, branch, AY_JOURNAL_GOOD, which, 0, "it was confirmed", &why) < 0)
		ay_complain("confirm", why.msg);
	*out = (struct ay_turn_result){.end = AY_TURN_SWITCHED, .from = which, .to = which, .tried = which};
	snprintf(out->message, sizeof(out->message), "%s: release %u is good", branch, which);
	return 0;
}

static int run_confirm(int argc, char **argv, struct ay_err *err)
{
	struct ay_turn_cmd c = {0};
	int r = ay_turn_cmd_begin(&c, argc, argv, NULL, false, false, 0, err);
	if (r == 0)
		r = ay_turn_cmd_each(&c, "confirm", one_confirm, err);
	return ay_turn_cmd_end(&c, r, err);
}

static int one_boot(struct ay_turn_cmd *c, const char *branch, struct ay_turn_result *out, struct ay_err *err)
{
	return ay_turn_run_boot(c->s, c->config, branch, c->branch != NULL, out, err);
}

static int run_boot_count(int argc, char **argv, struct ay_err *err)
{
	struct ay_turn_cmd c = {0};
	int r = ay_turn_cmd_begin(&c, argc, argv, NULL, false, false, 0, err);
	if (r == 0)
		r = ay_turn_cmd_each(&c, "boot-count", one_boot, err);
	return ay_turn_cmd_end(&c, r, err);
}

const struct ay_cmd ay_cmd_confirm = {
	"confirm",
	"say that the current release works",
	"Usage: ayni confirm [BRANCH] [--store DIR] [--config FILE] [--control SOCKET] [--json]\n"
	"\n"
	"Ends the trial of BRANCH's current release, or of every branch's: it is good, and what was good before may be\n"
	"collected. With `confirm = boot` in the configuration a release stays on trial until this is called, by a unit that\n"
	"runs when the machine is up. Exit code 3 when none is on trial.\n"
	"\n" AY_TURN_CMD_HELP,
	run_confirm,
};

const struct ay_cmd ay_cmd_boot_count = {
	"boot-count",
	"count a boot of a release on trial; the last one goes back",
	"Usage: ayni boot-count [BRANCH] [--store DIR] [--config FILE] [--control SOCKET] [--json]\n"
	"\n"
	"For a unit (or initramfs) that runs early, before the tree is used. Takes one of the tries of BRANCH's current release\n"
	"if it is on trial, durably, before the boot can fail; without BRANCH for every branch with `confirm = boot`. When none\n"
	"is left the release before becomes current again and the exit code is 1: then boot anew, into that.\n"
	"\n" AY_TURN_CMD_HELP "\n"
	"Exit codes: 0 counted, 1 rolled back (or failed), 2 usage, 3 none is on trial.\n",
	run_boot_count,
};
