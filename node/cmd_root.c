/* SPDX-License-Identifier: MIT */
/*
 * `ayni root new`: the document that says who may sign what.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "manifest/trust.h"
#include "node/cmd.h"
#include "node/keyfile.h"

struct args {
	const char *fleet, *out;
	uint32_t threshold;
	struct ay_root *root;
	unsigned n_sign;
	struct ay_secret_key sign[AY_SIGNATURES_MAX];
};

enum { OPT_KEY = 256, OPT_ROLE_KEY, OPT_THRESHOLD = OPT_ROLE_KEY + AY_ROLES, OPT_SIGN, OPT_FLEET };

static int compare_keys(const void *a, const void *b)
{
	return memcmp(((const struct ay_public_key *)a)->id, ((const struct ay_public_key *)b)->id, 8);
}

/* Until all are known, a role's keys are a set of bits; indices come when the keys are sorted. */
struct wanted {
	struct args *a;
	struct {
		struct ay_public_key key;
		unsigned roles;
	} keys[AY_ROOT_KEYS_MAX];
	unsigned n;
};

static int add_key(struct wanted *w, const char *path, unsigned roles, struct ay_err *err)
{
	struct ay_public_key pk;
	int r = ay_keyfile_public(path, &pk, err);
	if (r < 0)
		return r;
	unsigned i = 0;
	while (i < w->n && memcmp(w->keys[i].key.id, pk.id, 8) != 0)
		i++;
	if (i == AY_ROOT_KEYS_MAX)
		return ay_err_set(err, AY_ELIMIT, "a root holds at most %d keys", AY_ROOT_KEYS_MAX);
	if (i == w->n)
		w->keys[w->n++].key = pk;
	w->keys[i].roles |= roles;
	return 0;
}

static int each(void *ctx, int val, const char *arg, struct ay_err *err)
{
	struct wanted *w = ctx;
	struct args *a = w->a;
	switch (val) {
	case OPT_KEY:
		return add_key(w, arg, (1u << AY_ROLES) - 1, err);
	case OPT_THRESHOLD:
		return ay_parse_u32(arg, 1, AY_SIGNATURES_MAX, "--threshold", &a->threshold, err);
	case OPT_FLEET:
		a->fleet = arg;
		return 0;
	case 'o':
		a->out = arg;
		return 0;
	case OPT_SIGN:
		if (a->n_sign == AY_SIGNATURES_MAX)
			return ay_err_set(err, AY_ELIMIT, "at most %d signatures", AY_SIGNATURES_MAX);
		return ay_keyfile_secret(arg, &a->sign[a->n_sign++], err);
	default:
		return add_key(w, arg, 1u << (val - OPT_ROLE_KEY), err);
	}
}

static void fill_roles(struct ay_root *root, struct wanted *w, uint32_t threshold)
{
	qsort(w->keys, w->n, sizeof(w->keys[0]), compare_keys);
	root->n_keys = w->n;
	for (unsigned i = 0; i < w->n; i++) {
		root->keys[i] = w->keys[i].key;
		for (unsigned role = 0; role < AY_ROLES; role++) {
			struct ay_role_keys *rk = &root->roles[role];
			if (w->keys[i].roles & 1u << role)
				rk->keys[rk->n++] = (uint8_t)i;
		}
	}
	for (unsigned role = 0; role < AY_ROLES; role++)
		root->roles[role].threshold = role == AY_ROLE_ROOT ? (uint16_t)threshold : 1;
}

static int make(struct args *a, struct ay_err *err)
{
	struct ay_buf text = {0}, envelope = {0};
	const struct ay_secret_key *keys[AY_SIGNATURES_MAX];
	for (unsigned i = 0; i < a->n_sign; i++)
		keys[i] = &a->sign[i];
	struct ay_root *check = NULL;
	int r = ay_root_write(a->root, &text, err);
	if (r == 0)
		r = ay_envelope_write(text.data, text.len, keys, a->n_sign, "ayni root", &envelope, err);
	/* Believed by the same rules as on a laptop, or not written. */
	if (r == 0)
		r = ay_trust_first_root(envelope.data, envelope.len, &check, err);
	if (r == 0)
		r = ay_write_output(a->out, envelope.data, envelope.len, 0644, err);
	if (r == 0)
		printf("root 1 of fleet %s: %s\n", a->fleet, a->out);
	ay_root_free(check);
	ay_buf_release(&text);
	ay_buf_release(&envelope);
	return r;
}

static int run_new(int argc, char **argv, struct ay_err *err)
{
	struct args a = {.threshold = 1};
	struct wanted w = {.a = &a};
	const struct option longs[] = {
		{"fleet", required_argument, NULL, OPT_FLEET},
		{"key", required_argument, NULL, OPT_KEY},
		{"root-key", required_argument, NULL, OPT_ROLE_KEY + AY_ROLE_ROOT},
		{"release-key", required_argument, NULL, OPT_ROLE_KEY + AY_ROLE_RELEASE},
		{"head-key", required_argument, NULL, OPT_ROLE_KEY + AY_ROLE_HEAD},
		{"school-key", required_argument, NULL, OPT_ROLE_KEY + AY_ROLE_SCHOOL},
		{"threshold", required_argument, NULL, OPT_THRESHOLD},
		{"sign", required_argument, NULL, OPT_SIGN},
		{"output", required_argument, NULL, 'o'},
		{0}};
	int first = 0;
	int r = ay_options(argc, argv, longs, each, &w, &first, err);
	if (r == 0 && (first != argc || !a.fleet || !a.out || w.n == 0 || a.n_sign == 0))
		r = ay_usage(err, "root", "root new needs --fleet, --key, --sign and -o, and no arguments");
	if (r == 0 && strlen(a.fleet) > AY_FLEET_NAME_MAX)
		r = ay_err_set(err, AY_EUSAGE, "--fleet is longer than %d bytes", AY_FLEET_NAME_MAX);
	if (r == 0) {
		a.root = ay_root_new();
		r = a.root ? 0 : ay_err_set(err, -ENOMEM, "out of memory");
	}
	if (r == 0) {
		a.root->version = 1;
		memcpy(a.root->fleet, a.fleet, strlen(a.fleet) + 1);
		fill_roles(a.root, &w, a.threshold);
		r = make(&a, err);
	}
	for (unsigned i = 0; i < a.n_sign; i++)
		ay_secret_key_wipe(&a.sign[i]);
	ay_root_free(a.root);
	return r;
}

static int run(int argc, char **argv, struct ay_err *err)
{
	if (argc < 2 || strcmp(argv[1], "new") != 0)
		return ay_usage(err, "root", "say which: root new");
	argv[1] = argv[0];
	return run_new(argc - 1, argv + 1, err);
}

const struct ay_cmd ay_cmd_root = {
	"root",
	"say who may sign what",
	"Usage: ayni root new --fleet NAME --key PUBLIC... --sign SECRET... -o FILE\n"
	"\n"
	"Writes version 1 of a fleet's root: keys, roles and thresholds, signed by its own root keys. Laptops get\n"
	"it once, by `ayni init --root FILE`; all that they believe later follows from it. `ayni show FILE` prints it.\n"
	"\n"
	"      --fleet NAME         the fleet's name; part of every branch's id\n"
	"      --key PUBLIC         a key that holds all four roles (root, release, head, school); repeatable\n"
	"      --root-key PUBLIC    a key with the role root alone; likewise --release-key, --head-key, --school-key\n"
	"      --threshold N        how many root keys must sign a root (1)\n"
	"      --sign SECRET        sign with this key; as many as the threshold asks\n"
	"  -o, --output FILE        where the root goes\n",
	run,
};
