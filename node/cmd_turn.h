/* SPDX-License-Identifier: MIT */
/*
 * node/cmd_turn.h - what the commands have in common that move a branch on: switch, confirm, boot-count, rollback, pin.
 */
#ifndef AYNI_NODE_CMD_TURN_H
#define AYNI_NODE_CMD_TURN_H

#include <jansson.h>

#include "node/cmd.h"
#include "node/turn_run.h"

struct ay_turn_cmd {
	const char *store, *config_path, *control;
	int json;
	const char *branch; /* NULL: none named */
	uint32_t serial;    /* 0: none named */
	struct ay_config *config;
	struct ay_store *s;
	bool changed;    /* a running node is told at the end */
	json_t *results; /* with --json */
};

/* What every one of them understands; a row of zeros ends the command's own, which are flags. */
#define AY_TURN_OPTIONS_MAX 8

/**
 * ay_turn_cmd_begin() - read options, configuration and operands ("BRANCH [SERIAL]" or "BRANCH@SERIAL"), open the store.
 * @flags: the command's own flags, ended by a row of zeros, or NULL. @branches: operands that it needs: 0 or 1 at least.
 * @serial: whether a serial may follow. Whatever it returns, call ay_turn_cmd_end().
 */
int ay_turn_cmd_begin(struct ay_turn_cmd *c, int argc, char **argv, const struct option *flags,
		      bool needs_branch, bool serial, int store_flags, struct ay_err *err);
/** ay_turn_cmd_end() - print the results, tell a running node, release. Return: @r, or that printing failed. */
int ay_turn_cmd_end(struct ay_turn_cmd *c, int r, struct ay_err *err);

/** ay_turn_cmd_tell() - what became of a branch: a line, or an object among the results. @r, @err: what was returned. */
void ay_turn_cmd_tell(struct ay_turn_cmd *c, const char *branch, const struct ay_turn_result *result, int r,
		      const struct ay_err *err);

/**
 * ay_turn_cmd_each() - @one for the branch named, else for each branch in the store; a failure of one holds up no other.
 * Return: 0 when one was done; AY_ENOTHING none had anything to do; else the first failure (later ones are said at once).
 */
int ay_turn_cmd_each(struct ay_turn_cmd *c, const char *name,
		     int (*one)(struct ay_turn_cmd *c, const char *branch, struct ay_turn_result *out,
				struct ay_err *err),
		     struct ay_err *err);

#define AY_TURN_CMD_HELP                                                                                     \
	"  -s, --store DIR      the store (" AY_STORE_PATH ", or what the configuration says)\n"             \
	"      --config FILE    instead of " AY_CONFIG_PATH "\n"                                             \
	"  -c, --control SOCKET a running node's socket, which is told (" AY_CONTROL_PATH ")\n"              \
	"      --json           print JSON\n"

#endif
