/* SPDX-License-Identifier: MIT */
/*
 * `ayni keygen`: a key pair in minisign's formats.
 */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "node/cmd.h"
#include "node/keyfile.h"

struct args {
	const char *secret, *public;
};

static int each(void *ctx, int val, const char *arg, struct ay_err *err)
{
	(void)err;
	struct args *a = ctx;
	*(val == 's' ? &a->secret : &a->public) = arg;
	return 0;
}

/* Twice, because nobody can read back what was typed. */
static int new_password(char password[256], struct ay_err *err)
{
	char again[256] = "";
	int r = ay_keyfile_password("Password for the new secret key: ", password, err);
	if (r == 0)
		r = ay_keyfile_password("The same again: ", again, err);
	if (r == 0 && strcmp(password, again) != 0)
		r = ay_err_set(err, AY_EUSAGE, "the two passwords differ; nothing was written");
	if (r == 0 && password[0] == '\0')
		r = ay_err_set(err, AY_EUSAGE,
			       "an empty password protects nothing: use --no-password to say so");
	sodium_memzero(again, sizeof(again));
	return r;
}

static int write_pair(const struct args *a, const char *password, struct ay_err *err)
{
	struct ay_secret_key sk;
	struct ay_public_key pk;
	struct ay_buf secret = {0}, public = {0};
	int r = ay_key_generate(&sk, &pk);
	if (r < 0)
		return ay_err_set(err, r, "cannot make a key");
	r = ay_secret_key_write(&sk, password, &secret, err);
	ay_secret_key_wipe(&sk);
	if (r == 0)
		r = ay_public_key_write(&pk, &public);
	if (r == 0)
		r = ay_write_output(a->secret, secret.data, secret.len, 0600, err);
	if (r == 0)
		r = ay_write_output(a->public, public.data, public.len, 0644, err);
	if (r == 0) {
		char line[57];
		ay_public_key_line(&pk, line);
		printf("secret key: %s\npublic key: %s (%s)\n", a->secret, a->public, line);
	}
	if (secret.data)
		sodium_memzero(secret.data, secret.len);
	ay_buf_release(&secret);
	ay_buf_release(&public);
	return r;
}

static int run(int argc, char **argv, struct ay_err *err)
{
	struct args a = {"ayni.key", "ayni.pub"};
	int plain = 0, force = 0, first = 0;
	const struct option longs[] = {{"secret", required_argument, NULL, 's'},
				       {"public", required_argument, NULL, 'p'},
				       {"no-password", no_argument, &plain, 1},
				       {"force", no_argument, &force, 1},
				       {0}};
	int r = ay_options(argc, argv, longs, each, &a, &first, err);
	if (r < 0)
		return r;
	if (first != argc)
		return ay_usage(err, "keygen", "keygen takes no arguments");
	if (!force && access(a.secret, F_OK) == 0)
		return ay_err_set(err, -EEXIST,
				  "%s is there already; a lost key cannot be made again: "
				  "name another with -s, or give --force",
				  a.secret);
	char password[256] = "";
	if (!plain && isatty(STDIN_FILENO) != 1) {
		plain = 1;
		fputs("ayni keygen: no terminal to ask for a password: the secret key is not encrypted\n",
		      stderr);
	}
	if (!plain)
		r = new_password(password, err);
	if (r == 0)
		r = write_pair(&a, plain ? NULL : password, err);
	sodium_memzero(password, sizeof(password));
	return r;
}

const struct ay_cmd ay_cmd_keygen = {
	"keygen",
	"make a key pair (minisign's formats)",
	"Usage: ayni keygen [-s SECRET] [-p PUBLIC] [--no-password] [--force]\n"
	"\n"
	"Makes an Ed25519 key pair in minisign's file formats: `minisign -S` can sign with it, and a key of\n"
	"`minisign -G` serves as well.\n"
	"\n"
	"  -s, --secret FILE   where the secret key goes (ayni.key); readable by you only\n"
	"  -p, --public FILE   where the public key goes (ayni.pub)\n"
	"      --no-password   do not encrypt the secret key (also when there is no terminal)\n"
	"      --force         replace an existing secret key\n",
	run,
};
