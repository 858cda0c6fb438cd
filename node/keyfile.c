/* SPDX-License-Identifier: MIT */
/*
 * Key files are minisign's own. Passwords are read without echo and wiped as soon
 * as the key is open.
 */
#include "node/keyfile.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "node/cmd.h"

#define KEY_FILE_MAX 4096 /* minisign's are some 350 bytes */

int ay_keyfile_password(const char *prompt, char out[256], struct ay_err *err)
{
	struct termios before, silent;
	bool terminal = isatty(STDIN_FILENO) == 1 && tcgetattr(STDIN_FILENO, &before) == 0;
	if (terminal) {
		fputs(prompt, stderr);
		fflush(stderr);
		silent = before;
		silent.c_lflag &= ~(tcflag_t)ECHO;
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
	}
	/* Byte by byte: what follows the line on standard input is not ours. */
	size_t n = 0;
	int r = 0;
	for (;;) {
		char c;
		ssize_t got = read(STDIN_FILENO, &c, 1);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0 && n == 0) {
			r = ay_err_set(err, AY_EUSAGE,
				       "a password is needed: type it, or give it on standard input");
			break;
		}
		if (got <= 0 || c == '\n')
			break;
		if (n == 255) {
			r = ay_err_set(err, AY_ELIMIT, "the password is longer than 255 bytes");
			break;
		}
		out[n++] = c;
	}
	out[n] = '\0';
	if (terminal) {
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
		fputc('\n', stderr);
	}
	return r;
}

int ay_keyfile_secret(const char *path, struct ay_secret_key *sk, struct ay_err *err)
{
	char *text = NULL;
	size_t len = 0;
	int r = ay_read_input(path, KEY_FILE_MAX, &text, &len, err);
	if (r < 0)
		return r;
	r = ay_secret_key_parse(text, len, NULL, sk, err);
	if (r == AY_EUSAGE) {
		char prompt[512], password[256];
		snprintf(prompt, sizeof(prompt), "Password of %.400s: ", path);
		r = ay_keyfile_password(prompt, password, err);
		if (r == 0)
			r = ay_secret_key_parse(text, len, password, sk, err);
		sodium_memzero(password, sizeof(password));
	}
	sodium_memzero(text, len);
	free(text);
	return r < 0 ? ay_err_wrap(err, r, "%s", path) : 0;
}

int ay_keyfile_public(const char *path, struct ay_public_key *pk, struct ay_err *err)
{
	AY_FREE char *text = NULL;
	size_t len = 0;
	int r = ay_read_input(path, KEY_FILE_MAX, &text, &len, err);
	if (r == 0)
		r = ay_public_key_parse(text, len, pk, err);
	return r < 0 ? ay_err_wrap(err, r, "%s", path) : 0;
}
