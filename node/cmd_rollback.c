/* SPDX-License-Identifier: MIT */
/*
 * `ayni rollback`: the owner goes back, and nothing stands in the way.
 */
#include <stdio.h>
#include <string.h>

#include "node/cmd_turn.h"
#include "node/paths.h"

static int rollback(struct ay_turn_cmd *c, struct ay_turn_result *out, struct ay_err *err)
{
	int r = ay_turn_run_rollback(c->s, c->config, c->branch, c->serial, out, err);
	if (r < 0)
		return r;
	c->changed = true;
	if (out->to > out->from)
		snprintf(out->message, sizeof(out->message),
			 "%s: from release %u forward to %u, which was here", c->branch, out->from, out->to);
	else
		snprintf(out->message, sizeof(out->message),
			 "%s: rolled back from release %u to %u; %u is not taken again by itself", c->branch,
			 out->from, out->to, out->from);
	if (!c->json)
		printf("%s\n", out->message);
	else
		json_object_update_new(c->results,
				       json_pack("{s:s, s:I, s:I}", "branch", c->branch, "from",
						 (json_int_t)out->from, "to", (json_int_t)out->to));
	return 0;
}

static int run(int argc, char **argv, struct ay_err *err)
{
	struct ay_turn_cmd c = {0};
	struct ay_turn_result out = {0};
	int r = ay_turn_cmd_begin(&c, argc, argv, NULL, true, true, 0, err);
	if (r == 0 && c.json) { /* one branch, one object */
		json_decref(c.results);
		c.results = json_object();
	}
	if (r == 0)
		r = rollback(&c, &out, err);
	if (r < 0 && c.json) {
		json_decref(c.results);
		c.results = NULL;
	}
	return ay_turn_cmd_end(&c, r, err);
}

const struct ay_cmd ay_cmd_rollback = {
	"rollback",
	"go back to an earlier release",
	"Usage: ayni rollback BRANCH [SERIAL] [--store DIR] [--config FILE] [--control SOCKET] [--json]\n"
	"\n"
	"Makes SERIAL current again, or the one that was good before the current one, in one durable rename. The release\n"
	"that was left is not taken again by itself; a newer one is. SERIAL may also be a newer one that is here: this is\n"
	"how to return to it. Hooks of pre-switch.d and post-switch.d run, and cannot stop it.\n"
	"\n" AY_TURN_CMD_HELP,
	run,
};
