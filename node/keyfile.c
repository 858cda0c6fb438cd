/* SPDX-License-Identifier: MIT */
/*
 * Key files are minisign's own. Passwords are read without echo and wiped as soon
 * as the key is open. Whoever interrupts the question gets his terminal back as it was.
 */
#include "node/keyfile.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "node/cmd.h"

#define KEY_FILE_MAX 4096 /* minisign's are some 350 bytes */

/* A terminal whose echo is off; signals wait until it is on again. */
struct silence {
	bool on;
	struct termios before;
	sigset_t mask_before;
	int signals; /* readable when one waits */
};

static void silence_begin(struct silence *s)
{
	sigset_t mask;
	s->on = isatty(STDIN_FILENO) == 1 && tcgetattr(STDIN_FILENO, &s->before) == 0;
	s->signals = -1;
	if (!s->on)
		return;
	sigemptyset(&mask);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGQUIT);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGHUP);
	sigaddset(&mask, SIGTSTP);
	sigprocmask(SIG_BLOCK, &mask, &s->mask_before);
	s->signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	struct termios silent = s->before;
	silent.c_lflag &= ~(tcflag_t)ECHO;
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
}

static void silence_end(struct silence *s)
{
	if (!s->on)
		return;
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &s->before);
	fputc('\n', stderr);
	if (s->signals >= 0)
		close(s->signals);
	sigprocmask(SIG_SETMASK, &s->mask_before, NULL); /* what waited strikes here */
}

/* One byte of standard input; 0 at the end; -EINTR a signal waits; -errno. */
static int read_byte(const struct silence *s, char *c)
{
	struct pollfd fds[2] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = s->signals, .events = POLLIN}};
	for (;;) {
		if (s->on && poll(fds, 2, -1) < 0 && errno != EINTR)
			return -errno;
		if (fds[1].revents & POLLIN)
			return -EINTR;
		ssize_t n = read(STDIN_FILENO, c, 1);
		if (n >= 0)
			return (int)n;
		if (errno != EINTR)
			return -errno;
	}
}

int ay_keyfile_password(const char *prompt, char out[256], struct ay_err *err)
{
	struct silence silence;
	silence_begin(&silence);
	if (silence.on) {
		fputs(prompt, stderr);
		fflush(stderr);
	}
	/* Byte by byte: what follows the line on standard input is not ours. */
	size_t n = 0;
	char c = 0;
	int got;
	while ((got = read_byte(&silence, &c)) == 1 && c != '\n' && c != '\0' && n < 255)
		out[n++] = c;
	out[n] = '\0';
	silence_end(&silence);
	int r = 0;
	if (got == -EINTR)
		r = ay_err_set(err, -EINTR, "interrupted");
	else if (got < 0)
		r = ay_err_errno(err, -got, "cannot read the password from standard input");
	else if (got == 0 && n == 0)
		r = ay_err_set(err, AY_EUSAGE, "a password is needed: type it, or give it on standard input");
	else if (got == 1 && c != '\n')
		r = c == '\0' ? ay_err_set(err, AY_EUSAGE, "a password cannot have a zero byte")
			      : ay_err_set(err, AY_ELIMIT, "the password is longer than 255 bytes");
	if (r < 0)
		sodium_memzero(out, 256);
	return r;
}

/* A key file that everybody may read is nobody's secret; said, because only its owner can know better. */
static void warn_readable(const char *path)
{
	struct stat st;
	if (stat(path, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 0077) != 0)
		fprintf(stderr, "ayni: warning: other users can reach the secret key %s (chmod 600 it)\n",
			path);
}

int ay_keyfile_secret(const char *path, struct ay_secret_key *sk, struct ay_err *err)
{
	char *text = NULL;
	size_t len = 0;
	int r = ay_read_input(path, KEY_FILE_MAX, &text, &len, err);
	if (r < 0)
		return r;
	r = ay_secret_key_parse(text, len, NULL, sk, err);
	if (r == 0 || r == AY_EUSAGE) /* it is a secret key */
		warn_readable(path);
	if (r == AY_EUSAGE) {
		char prompt[512], password[256];
		snprintf(prompt, sizeof(prompt), "Password of %.400s: ", path);
		r = ay_keyfile_password(prompt, password, err);
		if (r == 0)
			r = ay_secret_key_parse(text, len, password, sk, err);
		/* Somebody mistyped: that is no refusal of a signature. */
		if (r == AY_ESIG)
			r = ay_err_set(err, -EACCES, "wrong password");
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
