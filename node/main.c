/* SPDX-License-Identifier: MIT */
/*
 * One binary, many commands: the table below is all there is to know about which.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "node/cmd.h"

#ifndef AYNI_VERSION
#define AYNI_VERSION "unknown"
#endif

static const struct {
	const char *group;
	const struct ay_cmd *cmd;
} commands[] = {
	{"publisher", &ay_cmd_keygen},
	{"publisher", &ay_cmd_root},
	{"publisher", &ay_cmd_publish},
	{"laptop", &ay_cmd_init},
	{"laptop", &ay_cmd_update},
	{"laptop", &ay_cmd_status},
	{"laptop", &ay_cmd_import},
	{"laptop", &ay_cmd_list},
	{"laptop", &ay_cmd_log},
	{"laptop", &ay_cmd_rollback},
	{"laptop", &ay_cmd_gc},
	{"laptop", &ay_cmd_verify},
	{"laptop and school", &ay_cmd_node},
	{"everybody", &ay_cmd_show},
	{NULL, &ay_cmd_apply_worker},
};
#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void print_help(FILE *to)
{
	fputs("ayni - a classroom's laptops keep each other up to date\n"
	      "\n"
	      "Usage: ayni COMMAND [OPTION...] [ARGUMENT...]\n"
	      "       ayni COMMAND --help\n"
	      "       ayni --version\n",
	      to);
	const char *group = "";
	for (size_t i = 0; i < N_COMMANDS; i++) {
		if (!commands[i].group)
			continue;
		if (strcmp(group, commands[i].group) != 0)
			fprintf(to, "\n%s:\n", group = commands[i].group);
		fprintf(to, "  %-10s %s\n", commands[i].cmd->name, commands[i].cmd->summary);
	}
	fputs("\nExit codes: 0 done, 1 failed, 2 usage, 3 nothing to do, 4 refused (signature, rollback).\n",
	      to);
}

static bool wants_help(int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			return true;
	}
	return false;
}

/* What is not written is not done: a full disk under standard output is a failure, not silence. */
static int flush_output(int status)
{
	if (fflush(stdout) != 0 || ferror(stdout)) {
		perror("ayni: cannot write the output");
		return status == 0 ? 1 : status;
	}
	return status;
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "--help";
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
		print_help(argc > 1 ? stdout : stderr);
		return argc > 1 ? flush_output(0) : 2;
	}
	if (strcmp(name, "--version") == 0) {
		printf("ayni %s\n", AYNI_VERSION);
		return flush_output(0);
	}
	for (size_t i = 0; i < N_COMMANDS; i++) {
		const struct ay_cmd *cmd = commands[i].cmd;
		if (strcmp(cmd->name, name) != 0)
			continue;
		if (wants_help(argc - 1, argv + 1)) {
			fputs(cmd->help, stdout);
			return flush_output(0);
		}
		struct ay_err err = {0};
		int r = cmd->run(argc - 1, argv + 1, &err);
		if (r < 0) {
			fflush(stdout);
			fprintf(stderr, "ayni %s: %s\n", name, err.msg[0] ? err.msg : ay_strerror(r));
		}
		return flush_output(ay_exit_code(r));
	}
	fprintf(stderr, "ayni: there is no command \"%s\"; `ayni --help` lists them\n", name);
	return 2;
}
