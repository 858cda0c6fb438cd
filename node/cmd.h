/* SPDX-License-Identifier: MIT */
/*
 * node/cmd.h - one subcommand: a row of the table in node/main.c.
 */
#ifndef AYNI_NODE_CMD_H
#define AYNI_NODE_CMD_H

#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct ay_cmd {
	const char *name;
	const char *summary; /* one line of `ayni --help`; NULL: hidden */
	const char *help;    /* all of `ayni NAME --help` */
	/* argv[0] is the command's name; returns 0 or a negative code, with the sentence in @err. */
	int (*run)(int argc, char **argv, struct ay_err *err);
};

/* Exit codes: 0 done, 1 failed, 2 usage, 3 nothing to do, 4 refused (signature, role, rollback). */
int ay_exit_code(int code);

#define AY_OPTIONS_MAX 32 /* rows of one command's table; more is our own mistake */

/**
 * ay_options() - read a command's options from one table.
 * @longs: ends with an all-zero row. A row with a flag sets that int to its val; else @each is called with val and
 *   the argument. A val that is a letter or digit is the short option too. At most AY_OPTIONS_MAX rows.
 * @first: index of the first operand in @argv afterwards.
 *
 * Return: 0; AY_EUSAGE naming the bad option; what @each returned.
 */
int ay_options(int argc, char **argv, const struct option *longs,
	       int (*each)(void *ctx, int val, const char *arg, struct ay_err *err), void *ctx, int *first,
	       struct ay_err *err);

/** ay_usage() - AY_EUSAGE with a sentence that points to --help. */
int ay_usage(struct ay_err *err, const char *cmd, const char *what);

/** ay_read_input() - a whole file ("-": standard input), at most @max bytes; free(*@data); NUL-terminated. */
int ay_read_input(const char *path, size_t max, char **data, size_t *len, struct ay_err *err);

/**
 * ay_write_output() - write a whole file with @mode; durable. What is there and no regular file (a device, a
 * directory) is never replaced.
 * @replace: a file that is there may go; else it is -EEXIST.
 */
int ay_write_output(const char *path, const void *data, size_t len, unsigned mode, bool replace,
		    struct ay_err *err);

struct ay_store;

/** ay_open_store() - ay_store_open() for a command: that there is none is said with what to do about it. */
int ay_open_store(const char *path, int flags, struct ay_store **out, struct ay_err *err);

struct json_t; /* jansson.h */

/**
 * ay_print_json() - print @root, which is taken over (NULL: what json_pack() gives when it failed), and a newline.
 * A failed write shows when standard output is flushed.
 */
int ay_print_json(struct json_t *root, struct ay_err *err);

/** ay_complain() - one line on standard error; a stranger's control characters in @sentence do not reach the terminal. */
void ay_complain(const char *cmd, const char *sentence);

/** ay_parse_u32() - a decimal number in [@min, @max], or AY_EUSAGE naming @what. */
int ay_parse_u32(const char *text, uint32_t min, uint32_t max, const char *what, uint32_t *out,
		 struct ay_err *err);

/** ay_parse_word() - which of @n words (at most 8) @text is, or AY_EUSAGE that lists them for option @what. */
int ay_parse_word(const char *text, const char *const *words, unsigned n, const char *what,
		  struct ay_err *err);

extern const struct ay_cmd ay_cmd_keygen, ay_cmd_root, ay_cmd_init, ay_cmd_publish, ay_cmd_show, ay_cmd_list,
	ay_cmd_log, ay_cmd_rollback, ay_cmd_gc, ay_cmd_verify, ay_cmd_import, ay_cmd_adopt, ay_cmd_dedupe;
extern const struct ay_cmd ay_cmd_switch, ay_cmd_confirm, ay_cmd_boot_count, ay_cmd_pin, ay_cmd_unpin;
extern const struct ay_cmd ay_cmd_node, ay_cmd_status, ay_cmd_update, ay_cmd_apply_worker;
extern const struct ay_cmd ay_cmd_fsck, ay_cmd_branch, ay_cmd_delta, ay_cmd_diff;
extern const struct ay_cmd ay_cmd_run, ay_cmd_mount, ay_cmd_umount, ay_cmd_checkout;

#endif
