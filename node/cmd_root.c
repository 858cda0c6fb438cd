/* SPDX-License-Identifier: MIT */
/*
 * `ayni root new`: the document that says who may sign what.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/cleanup.h"
#include "manifest/trust.h"
#include "node/cmd.h"
#include "node/keyfile.h"

/* Until all are known, a role's keys are a set of bits; indices come when the keys are sorted. */
struct wanted {
	const char *fleet, *after, *out;
	int json;
	uint32_t root_threshold, release_threshold;
	struct {
		struct ay_public_key key;
		unsigned roles;
	} keys[AY_ROOT_KEYS_MAX];
	unsigned n;
	struct ay_secret_key sign[AY_SIGNATURES_MAX];
	unsigned n_sign;
};

enum {
	OPT_KEY = 256,
	OPT_ROLE_KEY,
	OPT_THRESHOLD = OPT_ROLE_KEY + AY_ROLES,
	OPT_RELEASE_THRESHOLD,
	OPT_SIGN,
	OPT_FLEET,
	OPT_AFTER
};

static int compare_keys(const void *a, const void *b)
{
	return ay_key_id_cmp(((const struct ay_public_key *)a)->id, ((const struct ay_public_key *)b)->id);
}

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
	else if (memcmp(&w->keys[i].key, &pk, sizeof(pk)) != 0)
		return ay_err_set(err, AY_EUSAGE, "%s: another key with the same key id was given before it",
				  path);
	w->keys[i].roles |= roles;
	return 0;
}

static int each(void *ctx, int val, const char *arg, struct ay_err *err)
{
	struct wanted *w = ctx;
	switch (val) {
	case OPT_KEY:
		return add_key(w, arg, (1u << AY_ROLES) - 1, err);
	case OPT_THRESHOLD:
		return ay_parse_u32(arg, 1, AY_SIGNATURES_MAX, "--threshold", &w->root_threshold, err);
	case OPT_RELEASE_THRESHOLD:
		return ay_parse_u32(arg, 1, AY_SIGNATURES_MAX, "--release-threshold", &w->release_threshold,
				    err);
	case OPT_FLEET:
		w->fleet = arg;
		return 0;
	case OPT_AFTER:
		w->after = arg;
		return 0;
	case 'o':
		w->out = arg;
		return 0;
	case OPT_SIGN:
		if (w->n_sign == AY_SIGNATURES_MAX)
			return ay_err_set(err, AY_ELIMIT, "a root has at most %d signatures",
					  AY_SIGNATURES_MAX);
		return ay_keyfile_secret(arg, &w->sign[w->n_sign++], err);
	default:
		return add_key(w, arg, 1u << (val - OPT_ROLE_KEY), err);
	}
}

static void fill_roles(struct ay_root *root, struct wanted *w)
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
		root->roles[role].threshold = 1;
	root->roles[AY_ROLE_ROOT].threshold = (uint16_t)w->root_threshold;
	root->roles[AY_ROLE_RELEASE].threshold = (uint16_t)w->release_threshold;
}

/* Every role but school is needed by every fleet; a threshold above its keys could never be met. */
static int check_roles(const struct ay_root *root, struct ay_err *err)
{
	static const char *const options[] = {"--root-key", "--release-key", "--head-key"};
	for (unsigned role = 0; role < AY_ROLE_SCHOOL; role++) {
		const struct ay_role_keys *rk = &root->roles[role];
		if (rk->n == 0)
			return ay_err_set(err, AY_EUSAGE, "no key has the role %s: give one with --key or %s",
					  ay_role_name(role), options[role]);
		if (rk->threshold > rk->n)
			return ay_err_set(err, AY_EUSAGE,
					  "the role %s has %u keys; a threshold of %u could never be met",
					  ay_role_name(role), rk->n, rk->threshold);
	}
	return 0;
}

/* Version and fleet: of a first root as told, of a successor from the root before it. */
static int take_before(const struct wanted *w, struct ay_root *root, struct ay_root **before,
		       struct ay_err *err)
{
	AY_FREE char *data = NULL;
	size_t len = 0;
	if (!w->after) {
		root->version = 1;
		memcpy(root->fleet, w->fleet, strlen(w->fleet) + 1);
		return 0;
	}
	int r = ay_read_input(w->after, AY_ENVELOPE_MAX, &data, &len, err);
	if (r == 0)
		r = ay_trust_first_root(data, len, before, err);
	if (r != 0)
		return ay_err_wrap(err, r, "--after %s", w->after);
	if (w->fleet && strcmp(w->fleet, (*before)->fleet) != 0)
		return ay_err_set(err, AY_EUSAGE, "%s is of fleet %s, and a fleet keeps its name", w->after,
				  (*before)->fleet);
	root->version = (*before)->version + 1;
	memcpy(root->fleet, (*before)->fleet, sizeof(root->fleet));
	return 0;
}

static int print_result(const struct wanted *w, const struct ay_root *root, struct ay_err *err)
{
	if (w->json)
		return ay_print_json(json_pack("{s:s, s:I, s:s, s:I, s:I}", "fleet", root->fleet, "version",
					       (json_int_t)root->version, "file", w->out, "keys",
					       (json_int_t)root->n_keys, "signatures", (json_int_t)w->n_sign),
				     err);
	printf("root %u of fleet %s: %s\n", root->version, root->fleet, w->out);
	return 0;
}

static int make(struct wanted *w, struct ay_root *root, struct ay_root **before, struct ay_root **check,
		struct ay_err *err)
{
	AY_CLEANUP(ay_buf_release) struct ay_buf text = {0}, envelope = {0};
	const struct ay_secret_key *keys[AY_SIGNATURES_MAX];
	for (unsigned i = 0; i < w->n_sign; i++)
		keys[i] = &w->sign[i];
	int r = take_before(w, root, before, err);
	if (r == 0) {
		fill_roles(root, w);
		r = check_roles(root, err);
	}
	if (r == 0)
		r = ay_root_write(root, &text, err);
	if (r == 0)
		r = ay_envelope_write(text.data, text.len, keys, w->n_sign, "ayni root", &envelope, err);
	/* Believed by the same rules as on a laptop, or not written. */
	if (r == 0)
		r = *before ? ay_trust_next_root(*before, envelope.data, envelope.len, check, err)
			    : ay_trust_first_root(envelope.data, envelope.len, check, err);
	if (r == 0)
		r = ay_write_output(w->out, envelope.data, envelope.len, 0644, true, err);
	return r == 0 ? print_result(w, root, err) : r;
}

static int check_arguments(const struct wanted *w, int operands, struct ay_err *err)
{
	if (operands || (!w->fleet && !w->after) || !w->out || w->n == 0 || w->n_sign == 0)
		return ay_usage(
			err, "root",
			"root new needs --fleet (or --after), --key, --sign and -o, and no arguments");
	if (w->fleet && (w->fleet[0] == '\0' || strlen(w->fleet) > AY_FLEET_NAME_MAX))
		return ay_err_set(err, AY_EUSAGE, "--fleet needs 1 to %d bytes", AY_FLEET_NAME_MAX);
	return 0;
}

static int run_new(int argc, char **argv, struct ay_err *err)
{
	struct wanted w = {.root_threshold = 1, .release_threshold = 1};
	const struct option longs[] = {
		{"fleet", required_argument, NULL, OPT_FLEET},
		{"after", required_argument, NULL, OPT_AFTER},
		{"key", required_argument, NULL, OPT_KEY},
		{"root-key", required_argument, NULL, OPT_ROLE_KEY + AY_ROLE_ROOT},
		{"release-key", required_argument, NULL, OPT_ROLE_KEY + AY_ROLE_RELEASE},
		{"head-key", required_argument, NULL, OPT_ROLE_KEY + AY_ROLE_HEAD},
		{"school-key", required_argument, NULL, OPT_ROLE_KEY + AY_ROLE_SCHOOL},
		{"threshold", required_argument, NULL, OPT_THRESHOLD},
		{"release-threshold", required_argument, NULL, OPT_RELEASE_THRESHOLD},
		{"sign", required_argument, NULL, OPT_SIGN},
		{"output", required_argument, NULL, 'o'},
		{"json", no_argument, &w.json, 1},
		{0}};
	int first = 0;
	struct ay_root *root = NULL, *before = NULL, *check = NULL;
	int r = ay_options(argc, argv, longs, each, &w, &first, err);
	if (r == 0)
		r = check_arguments(&w, argc - first, err);
	if (r == 0) {
		root = ay_root_new();
		r = root ? make(&w, root, &before, &check, err) : ay_err_set(err, -ENOMEM, "out of memory");
	}
	for (unsigned i = 0; i < w.n_sign; i++)
		ay_secret_key_wipe(&w.sign[i]);
	ay_root_free(root);
	ay_root_free(before);
	ay_root_free(check);
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
	"Usage: ayni root new --fleet NAME --key PUBLIC... --sign SECRET... -o FILE [OPTION...]\n"
	"       ayni root new --after ROOT --key PUBLIC... --sign SECRET... -o FILE [OPTION...]\n"
	"\n"
	"Writes version 1 of a fleet's root: keys, roles and thresholds, signed by its own root keys. Laptops get\n"
	"it once, by `ayni init --root FILE`; all that they believe later follows from it. `ayni show FILE` prints it.\n"
	"With --after it writes the version after ROOT, which laptops follow by themselves once it is published:\n"
	"signed by as many root keys of both as each of them asks.\n"
	"\n"
	"      --fleet NAME         the fleet's name; part of every branch's id\n"
	"      --after ROOT         make the root that succeeds this one\n"
	"      --key PUBLIC         a key that holds all four roles (root, release, head, school); repeatable\n"
	"      --root-key PUBLIC    a key with the role root alone; likewise --release-key, --head-key, --school-key\n"
	"      --threshold N        how many root keys must sign a root (1)\n"
	"      --release-threshold N  how many release keys must sign a release (1)\n"
	"      --sign SECRET        sign with this key; as many as the threshold asks\n"
	"  -o, --output FILE        where the root goes\n"
	"      --json               print the result as JSON\n",
	run,
};
