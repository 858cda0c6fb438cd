/* SPDX-License-Identifier: MIT */
/*
 * `ayni keygen`: a key pair in minisign's formats.
 */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "node/cmd.h"
#include "node/keyfile.h"

struct args {
	const char *secret, *public;
	int force, json;
};

static int each(void *ctx, int val, const char *arg, struct ay_err *err)
{
	(void)err;
	struct args *a = ctx;
	*(val == 's' ? &a->secret : &a->public) = arg;
	return 0;
}

/* Twice where somebody types, because nobody can read back what was typed. */
static int new_password(char password[256], struct ay_err *err)
{
	char again[256] = "";
	bool typed = isatty(STDIN_FILENO) == 1;
	int r = ay_keyfile_password("Password for the new secret key: ", password, err);
	if (r < 0)
		return ay_err_wrap(err, r, "for the new secret key (--no-password leaves it unencrypted)");
	if (typed)
		r = ay_keyfile_password("The same again: ", again, err);
	if (r == 0 && typed && strcmp(password, again) != 0)
		r = ay_err_set(err, AY_EUSAGE, "the two passwords differ; nothing was written");
	if (r == 0 && password[0] == '\0')
		r = ay_err_set(err, AY_EUSAGE,
			       "an empty password protects nothing: use --no-password to say so");
	sodium_memzero(again, sizeof(again));
	return r;
}

static int print_pair(const struct args *a, const struct ay_public_key *pk, struct ay_err *err)
{
	char line[57], id[17];
	ay_public_key_line(pk, line);
	ay_key_id_hex(pk->id, id);
	if (a->json)
		return ay_print_json(json_pack("{s:s, s:s, s:s, s:s}", "secret", a->secret, "public",
					       a->public, "key_id", id, "public_key", line),
				     err);
	printf("secret key: %s\npublic key: %s (%s)\n", a->secret, a->public, line);
	return 0;
}

/* The public half first: alone it does no harm, while a secret one would stand in the way of the next try. */
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
		r = ay_write_output(a->public, public.data, public.len, 0644, a->force, err);
	if (r == 0) {
		r = ay_write_output(a->secret, secret.data, secret.len, 0600, a->force, err);
		if (r < 0 && !a->force)
			unlink(a->public);
	}
	if (r == 0)
		r = print_pair(a, &pk, err);
	if (secret.data)
		sodium_memzero(secret.data, secret.len);
	ay_buf_release(&secret);
	ay_buf_release(&public);
	return r;
}

/* Before anybody types a password. */
static int check_free(const struct args *a, struct ay_err *err)
{
	const char *taken = access(a->secret, F_OK) == 0   ? a->secret
			    : access(a->public, F_OK) == 0 ? a->public
							   : NULL;
	if (strcmp(a->secret, a->public) == 0)
		return ay_err_set(err, AY_EUSAGE, "secret and public key cannot both go to %s", a->secret);
	if (!taken || a->force)
		return 0;
	return ay_err_set(err, -EEXIST,
			  "%s is there already; a lost key cannot be made again: "
			  "name others with -s and -p, or give --force",
			  taken);
}

static int run(int argc, char **argv, struct ay_err *err)
{
	struct args a = {.secret = "ayni.key", .public = "ayni.pub"};
	int plain = 0, first = 0;
	const struct option longs[] = {
		{"secret", required_argument, NULL, 's'}, {"public", required_argument, NULL, 'p'},
		{"no-password", no_argument, &plain, 1},  {"force", no_argument, &a.force, 1},
		{"json", no_argument, &a.json, 1},        {0}};
	int r = ay_options(argc, argv, longs, each, &a, &first, err);
	if (r < 0)
		return r;
	if (first != argc)
		return ay_usage(err, "keygen", "keygen takes no arguments");
	r = check_free(&a, err);
	char password[256] = "";
	if (r == 0 && !plain)
		r = new_password(password, err);
	if (r == 0)
		r = write_pair(&a, plain ? NULL : password, err);
	sodium_memzero(password, sizeof(password));
	return r;
}

const struct ay_cmd ay_cmd_keygen = {
	"keygen",
	"make a key pair (minisign's formats)",
	"Usage: ayni keygen [-s SECRET] [-p PUBLIC] [--no-password] [--force] [--json]\n"
	"\n"
	"Makes an Ed25519 key pair in minisign's file formats: `minisign -S` can sign with it, and a key of\n"
	"`minisign -G` serves as well. Asks for a password; without a terminal it is the first line of standard input.\n"
	"\n"
	"  -s, --secret FILE   where the secret key goes (ayni.key); readable by you only\n"
	"  -p, --public FILE   where the public key goes (ayni.pub)\n"
	"      --no-password   do not encrypt the secret key\n"
	"      --force         replace existing keys\n"
	"      --json          print names and key as JSON\n",
	run,
};
