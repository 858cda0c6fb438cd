/* SPDX-License-Identifier: MIT */
/*
 * `ayni switch`: a release that is ready becomes current. By hand; at boot (--pending); or because it is due (--due),
 * which is how the node does it: hooks never run in the process that speaks with the network.
 */
#include "node/cmd_turn.h"
#include "node/collect.h"
#include "node/paths.h"

static int one_due(struct ay_turn_cmd *c, const char *branch, struct ay_turn_result *out, struct ay_err *err)
{
	return ay_turn_run_due(c->s, c->config, branch, false, out, err);
}

static int one_pending(struct ay_turn_cmd *c, const char *branch, struct ay_turn_result *out,
		       struct ay_err *err)
{
	return ay_turn_run_due(c->s, c->config, branch, true, out, err);
}

static int one_by_hand(struct ay_turn_cmd *c, const char *branch, struct ay_turn_result *out,
		       struct ay_err *err)
{
	return ay_turn_run_switch(c->s, c->config, branch, c->serial, "owner", out, err);
}

static int run(int argc, char **argv, struct ay_err *err)
{
	struct ay_turn_cmd c = {0};
	int due = 0, pending = 0;
	const struct option flags[] = {
		{"due", no_argument, &due, 1}, {"pending", no_argument, &pending, 1}, {0}};
	int r = ay_turn_cmd_begin(&c, argc, argv, flags, false, true, 0, err);
	if (r == 0 && due + pending + (c.branch != NULL && c.serial != 0) > 1)
		r = ay_usage(err, "switch", "--pending, --due or a serial: one of them");
	else if (r == 0 && !due && !pending && !c.branch)
		r = ay_usage(err, "switch", "say which branch, or --pending");
	else if (r == 0)
		r = ay_turn_cmd_each(&c, "switch", due ? one_due : pending ? one_pending : one_by_hand, err);
	if (c.s && due)
		ay_collect_after_update(c.s, c.config);
	return ay_turn_cmd_end(&c, r, err);
}

const struct ay_cmd ay_cmd_switch = {
	"switch",
	"make a release current that is ready",
	"Usage: ayni switch BRANCH [SERIAL] [--store DIR] [--config FILE] [--control SOCKET] [--json]\n"
	"       ayni switch [BRANCH] --pending|--due\n"
	"\n"
	"An update is complete before it becomes current; when it does is the setting `switch` of the configuration (now,\n"
	"next-boot, window HH:MM-HH:MM, ask). This does it by hand, to what is ready or to SERIAL, which must be here.\n"
	"Hooks of pre-switch.d run before and may refuse (exit code 4), those of post-switch.d after. If one of health.d\n"
	"fails, the release before becomes current again, and SERIAL is not taken again by itself (exit code 1).\n"
	"To a SERIAL below the current one it is a rollback: the release that was left is not taken again by itself.\n"
	"\n"
	"      --pending        what a boot is waited for: for a unit that runs early, before anybody works\n"
	"      --due            what it is time for, and trials that were interrupted; then collect, as the node does\n" AY_TURN_CMD_HELP
	"\n"
	"Exit codes: 0 done, 1 failed or rolled back, 2 usage, 3 nothing is ready, 4 a hook refused.\n",
	run,
};
