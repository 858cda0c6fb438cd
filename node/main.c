/* SPDX-License-Identifier: MIT */
/*
 * One binary, many commands: the table below is all there is to know about which.
 */
#include <errno.h>
#include <fcntl.h>
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
	/* clang-format off */
	{"publisher", &ay_cmd_keygen},
	{"publisher", &ay_cmd_root},
	{"publisher", &ay_cmd_publish},
	{"laptop", &ay_cmd_init},
	{"laptop", &ay_cmd_adopt},
	{"laptop", &ay_cmd_dedupe},
	{"laptop", &ay_cmd_update},
	{"laptop", &ay_cmd_status},
	{"laptop", &ay_cmd_import},
	{"laptop", &ay_cmd_run},
	{"laptop", &ay_cmd_mount},
	{"laptop", &ay_cmd_umount},
	{"laptop", &ay_cmd_checkout},
	{"laptop", &ay_cmd_list},
	{"laptop", &ay_cmd_log},
	{"laptop", &ay_cmd_switch},
	{"laptop", &ay_cmd_rollback},
	{"laptop", &ay_cmd_pin},
	{"laptop", &ay_cmd_unpin},
	{"laptop", &ay_cmd_confirm},
	{"laptop", &ay_cmd_boot_count},
	{"laptop", &ay_cmd_gc},
	{"laptop", &ay_cmd_verify},
	{"laptop", &ay_cmd_fsck},
	{"laptop", &ay_cmd_branch},
	{"laptop and school", &ay_cmd_node},
	{"everybody", &ay_cmd_show},
	{"everybody", &ay_cmd_delta},
	{"everybody", &ay_cmd_diff},
	{NULL, &ay_cmd_apply_worker},
	/* clang-format on */
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
	bool failed = ferror(stdout) != 0;
	errno = EIO; /* of a failure that was earlier than this flush only the fact is known */
	if (fflush(stdout) == 0 && !failed)
		return status;
	fprintf(stderr, "ayni: cannot write the output: %s\n", strerror(errno));
	return status == 0 ? 1 : status;
}

/*
 * A standard stream that the caller closed would be the next file we open, and what is printed would
 * go into it. Its number is taken by /dev/null instead, opened the wrong way round for in- and output: they fail.
 */
static void hold_standard_streams(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) < 0 && errno == EBADF &&
		    open("/dev/null", fd == STDOUT_FILENO ? O_RDONLY : O_WRONLY) < 0)
			_exit(1);
	}
}

static const struct ay_cmd *find(const char *name)
{
	for (size_t i = 0; i < N_COMMANDS; i++) {
		if (strcmp(commands[i].cmd->name, name) == 0)
			return commands[i].cmd;
	}
	return NULL;
}

/* How many letters to change, leave out, add or swap with their neighbour; Damerau-Levenshtein, words of 15 letters. */
static unsigned distance(const char *a, const char *b)
{
	unsigned d[17][17];
	size_t n = strlen(a), m = strlen(b);
	if (n > 15 || m > 15)
		return 99;
	for (size_t i = 0; i <= n; i++) {
		for (size_t j = 0; j <= m; j++) {
			if (i == 0 || j == 0) {
				d[i][j] = (unsigned)(i + j);
				continue;
			}
			unsigned least = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
			if (d[i - 1][j] + 1 < least)
				least = d[i - 1][j] + 1;
			if (d[i][j - 1] + 1 < least)
				least = d[i][j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    d[i - 2][j - 2] + 1 < least)
				least = d[i - 2][j - 2] + 1;
			d[i][j] = least;
		}
	}
	return d[n][m];
}

static int unknown_command(const char *name)
{
	const char *near = NULL;
	unsigned least = 3; /* two slips; more is another word */
	for (size_t i = 0; i < N_COMMANDS; i++) {
		unsigned d = commands[i].group ? distance(name, commands[i].cmd->name) : 99;
		if (d < least) {
			least = d;
			near = commands[i].cmd->name;
		}
	}
	fprintf(stderr, "ayni: there is no command \"%s\"; %s%s%s`ayni --help` lists them\n", name,
		near ? "did you mean `ayni " : "", near ? near : "", near ? "`? " : "");
	return 2;
}

static int help(const char *name)
{
	const struct ay_cmd *cmd = name ? find(name) : NULL;
	if (name && !cmd)
		return unknown_command(name);
	if (cmd)
		fputs(cmd->help, stdout);
	else
		print_help(stdout);
	return flush_output(0);
}

int main(int argc, char **argv)
{
	hold_standard_streams();
	if (argc < 2) {
		print_help(stderr);
		return 2;
	}
	const char *name = argv[1];
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0)
		return help(argc > 2 ? argv[2] : NULL);
	if (strcmp(name, "--version") == 0) {
		printf("ayni %s\n", AYNI_VERSION);
		return flush_output(0);
	}
	const struct ay_cmd *cmd = find(name);
	if (!cmd)
		return unknown_command(name);
	if (wants_help(argc - 1, argv + 1))
		return help(name);
	struct ay_err err = {0};
	int r = cmd->run(argc - 1, argv + 1, &err);
	if (r < 0) {
		fflush(stdout);
		ay_complain(name, err.msg[0] ? err.msg : ay_strerror(r));
	}
	return flush_output(ay_exit_code(r));
}
