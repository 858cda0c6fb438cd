/* SPDX-License-Identifier: MIT */
/*
 * The common part of the commands that move a branch on (node/cmd_turn.h).
 */
#include "node/cmd_turn.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/path.h"
#include "node/client.h"
#include "node/paths.h"

static int each_option(void *ctx, int val, const char *arg, struct ay_err *err)
{
	struct ay_turn_cmd *c = ctx;
	(void)err;
	*(val == 's' ? &c->store : val == 'c' ? &c->control : &c->config_path) = arg;
	return 0;
}

static int take_operands(struct ay_turn_cmd *c, int n, char **operands, const char *cmd, bool serial,
			 struct ay_err *err)
{
	if (n == 0)
		return 0;
	char *at = serial ? strchr(operands[0], '@') : NULL;
	if (at && n > 1)
		return ay_usage(err, cmd, "one serial is enough");
	if (at)
		*at = 0;
	const char *number = at ? at + 1 : n > 1 ? operands[1] : NULL;
	c->branch = operands[0];
	if (ay_branch_check(c->branch, strlen(c->branch)) < 0)
		return ay_err_set(err, AY_EUSAGE, "\"%s\" is no branch name", c->branch);
	return number ? ay_parse_u32(number, 1, AY_SERIAL_MAX, "the serial", &c->serial, err) : 0;
}

int ay_turn_cmd_begin(struct ay_turn_cmd *c, int argc, char **argv, const struct option *flags,
		      bool needs_branch, bool serial, int store_flags, struct ay_err *err)
{
	struct option longs[AY_TURN_OPTIONS_MAX + 5] = {{"store", required_argument, NULL, 's'},
							{"config", required_argument, NULL, 1},
							{"control", required_argument, NULL, 'c'},
							{"json", no_argument, &c->json, 1}};
	int first = 0;
	for (size_t i = 0; flags && flags[i].name; i++)
		longs[4 + i] = flags[i];
	c->control = AY_CONTROL_PATH;
	int r = ay_options(argc, argv, longs, each_option, c, &first, err);
	if (r < 0)
		return r;
	int n = argc - first;
	if (n < needs_branch || n > 1 + serial)
		return ay_usage(err, argv[0], n < needs_branch ? "say which branch" : "too many arguments");
	if ((r = take_operands(c, n, argv + first, argv[0], serial, err)) < 0)
		return r;
	c->config = malloc(sizeof(*c->config));
	if (!c->config)
		return ay_err_set(err, -ENOMEM, "out of memory");
	ay_config_defaults(c->config);
	r = ay_config_load(c->config, c->config_path ? c->config_path : AY_CONFIG_PATH,
			   c->config_path != NULL, err);
	if (r < 0)
		return r;
	c->results = c->json ? json_array() : NULL;
	return ay_open_store(c->store ? c->store : c->config->store, store_flags, &c->s, err);
}

int ay_turn_cmd_end(struct ay_turn_cmd *c, int r, struct ay_err *err)
{
	struct ay_err why = {0};
	int p = c->results && c->s ? ay_print_json(c->results, &why) : 0;
	if (c->results && !c->s)
		json_decref(c->results);
	ay_store_close(c->s);
	free(c->config);
	if (c->changed && c->control[0]) /* the node that started us reads the store anyway */
		ay_client_reload(c->control);
	return r == 0 && p < 0 ? ay_err_set(err, p, "%s", why.msg) : r;
}

void ay_turn_cmd_tell(struct ay_turn_cmd *c, const char *branch, const struct ay_turn_result *result, int r,
		      const struct ay_err *err)
{
	c->changed |= result->from != result->to || r == 0;
	if (!c->results) {
		if (r == 0 && result->message[0])
			printf("%s\n", result->message);
		return;
	}
	json_t *o = json_pack("{s:s, s:I, s:I, s:I, s:s}", "branch", branch, "from", (json_int_t)result->from,
			      "to", (json_int_t)result->to, "tried", (json_int_t)result->tried, "end",
			      ay_turn_end_name(result->end));
	const char *text = r < 0 ? err->msg : result->message;
	json_t *sentence = json_string(text);
	json_object_set_new(o, "message", sentence ? sentence : json_string(ay_strerror(r)));
	if (r < 0)
		json_object_set_new(o, "error", json_string(ay_error_name(r)));
	json_array_append_new(c->results, o);
}

int ay_turn_cmd_each(struct ay_turn_cmd *c, const char *name,
		     int (*one)(struct ay_turn_cmd *c, const char *branch, struct ay_turn_result *out,
				struct ay_err *err),
		     struct ay_err *err)
{
	char **names = NULL;
	size_t n = 0;
	int result = AY_ENOTHING;
	int r = c->branch ? 0 : ay_store_branches(c->s, &names, &n, err);
	if (r < 0)
		return r;
	struct ay_turn_result *out = malloc(sizeof(*out));
	if (!out)
		result = ay_err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; out && i < (c->branch ? 1 : n); i++) {
		const char *branch = c->branch ? c->branch : names[i];
		struct ay_err why = {0};
		*out = (struct ay_turn_result){0};
		r = one(c, branch, out, &why);
		bool nothing = r == AY_ENOTHING || (r == 0 && out->end == AY_TURN_NOTHING);
		if (!nothing || (c->branch && r == 0))
			ay_turn_cmd_tell(c, branch, out, r, &why);
		if (r < 0 && r != AY_ENOTHING && result < 0 && result != AY_ENOTHING) {
			ay_complain(name, why.msg);
		} else if (r < 0 && (r != AY_ENOTHING || (result == AY_ENOTHING && c->branch))) {
			*err = why;
			result = r;
		} else if (!nothing && result == AY_ENOTHING) {
			result = 0;
		}
	}
	free(out);
	ay_store_names_free(names, n);
	if (result == AY_ENOTHING && !err->msg[0])
		ay_err_set(err, AY_ENOTHING, "nothing to do for any branch");
	return result;
}
