/* SPDX-License-Identifier: MIT */
/*
 * `ayni init`: a store that trusts one root and follows some branches.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "node/cmd.h"
#include "node/paths.h"
#include "store/state.h"

#define INIT_BRANCHES_MAX 32 /* what a node follows at most: AY_CORE_BRANCHES_MAX */

struct args {
	const char *store, *root;
	const char *branches[INIT_BRANCHES_MAX];
	unsigned n_branches;
	int mine, json;
	int verity; /* -1: as it is */
};

static int set_verity_option(struct args *a, const char *arg, struct ay_err *err)
{
	static const char *const words[] = {
		[AY_VERITY_AUTO] = "auto", [AY_VERITY_YES] = "yes", [AY_VERITY_NO] = "no"};

	int i = ay_parse_word(arg, words, 3, "--verity", err);

	if (i >= 0)
		a->verity = i;
	return i < 0 ? i : 0;
}

static int each(void *ctx, int val, const char *arg, struct ay_err *err)
{
	struct args *a = ctx;
	switch (val) {
	case 's':
		a->store = arg;
		return 0;
	case 'r':
		a->root = arg;
		return 0;
	case 'v':
		return set_verity_option(a, arg, err);
	default:
		if (ay_branch_check(arg, strlen(arg)) < 0)
			return ay_err_set(
				err, AY_EUSAGE,
				"\"%s\" is no branch name: 1 to 64 of a-z 0-9 . _ - and /, as in xo/stable",
				arg);
		if (a->n_branches == INIT_BRANCHES_MAX)
			return ay_err_set(err, AY_ELIMIT, "a node follows at most %d branches",
					  INIT_BRANCHES_MAX);
		a->branches[a->n_branches++] = arg;
		return 0;
	}
}

static int set_follow(void *ctx, struct ay_branch_state *b, struct ay_err *err)
{
	(void)ctx;
	(void)err;
	bool nothing = b->follow;
	b->follow = true;
	return nothing;
}

static int follow(struct ay_store *s, const struct args *a, struct ay_err *err)
{
	for (unsigned i = 0; i < a->n_branches; i++) {
		int r = ay_state_change_branch(s, a->branches[i], set_follow, NULL, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Is exactly this root one that the store trusts already? */
static bool known(struct ay_store *s, uint32_t version, const char *data, size_t len)
{
	AY_FREE uint8_t *kept = NULL;
	size_t kept_len = 0;
	return ay_state_root_envelope(s, version, &kept, &kept_len, NULL) == 0 && kept_len == len &&
	       memcmp(kept, data, len) == 0;
}

/* The same root again is no error, so that init can be run twice; another fleet's is. */
static int trust(struct ay_store *s, const struct args *a, const char *data, size_t len, uint32_t version,
		 struct ay_err *err)
{
	const struct ay_root *root = NULL;
	struct ay_err why = {0};
	int r = ay_state_root(s, &root, &why);
	if (r < 0 && r != -ENOENT)
		return ay_err_set(err, r, "%s", why.msg);
	if (r == 0 && known(s, version, data, len))
		return 0;
	r = ay_state_add_root(s, data, len, err);
	if (r == AY_ENOTHING)
		r = ay_err_set(err, AY_EROLE, "%s trusts another root of version %u", a->store, version);
	return r < 0 ? ay_err_wrap(err, r, "%s", a->root) : 0;
}

static int print_result(const struct args *a, bool mine, const struct ay_root *root, struct ay_err *err)
{
	if (!a->json) {
		printf("store: %s\nfleet: %s, root version %u\n", a->store, root->fleet, root->version);
		for (unsigned i = 0; i < a->n_branches; i++)
			printf("follows branch: %s\n", a->branches[i]);
		if (mine)
			puts("all files belong to you: owners, setuid and setgid, devices, file capabilities, ACLs and other\n"
			     "attributes than user.* are not kept; each tree that has some says so when it comes");
		return 0;
	}
	json_t *branches = json_array();
	for (unsigned i = 0; i < a->n_branches; i++)
		json_array_append_new(branches, json_string(a->branches[i]));
	return ay_print_json(json_pack("{s:s, s:b, s:s, s:I, s:o}", "store", a->store, "owner_me", mine,
				       "fleet", root->fleet, "root_version", (json_int_t)root->version,
				       "branches", branches),
			     err);
}

static int init(const struct args *a, struct ay_store **s, struct ay_err *err)
{
	AY_FREE char *data = NULL;
	size_t len = 0;
	uint32_t version = 0;
	/* Looked at first, so that a wrong file makes no store. */
	if (a->root) {
		struct ay_root *given = NULL;
		int r = ay_read_input(a->root, AY_ENVELOPE_MAX, &data, &len, err);
		if (r < 0)
			return r;
		r = ay_trust_first_root(data, len, &given, err);
		if (r < 0)
			return ay_err_wrap(err, r, "%s", a->root);
		version = given->version;
		ay_root_free(given);
	}
	int flags = AY_STORE_CREATE | (a->mine ? AY_STORE_OWNER_ME : 0);
	int r = ay_store_open(ay_fs_real(), a->store, flags, s, err);
	if (r == 0 && a->verity >= 0)
		r = ay_store_set_verity(*s, (enum ay_verity)a->verity, err);
	if (r == 0 && a->root)
		r = trust(*s, a, data, len, version, err);
	const struct ay_root *root = NULL;
	if (r == 0) {
		r = ay_state_root(*s, &root, err);
		if (r < 0)
			r = ay_err_wrap(err, r, "%s trusts no root yet: give --root FILE", a->store);
	}
	if (r == 0)
		r = follow(*s, a, err);
	return r == 0 ? print_result(a, ay_store_owner_me(*s), root, err) : r;
}

static int run(int argc, char **argv, struct ay_err *err)
{
	struct args a = {.store = AY_STORE_PATH, .verity = -1};
	int first = 0;
	const struct option longs[] = {{"store", required_argument, NULL, 's'},
				       {"root", required_argument, NULL, 'r'},
				       {"branch", required_argument, NULL, 'b'},
				       {"owner-me", no_argument, &a.mine, 1},
				       {"json", no_argument, &a.json, 1},
				       {"verity", required_argument, NULL, 'v'},
				       {0}};
	int r = ay_options(argc, argv, longs, each, &a, &first, err);
	if (r < 0)
		return r;
	if (first != argc || (!a.root && a.n_branches == 0 && a.verity < 0))
		return ay_usage(err, "init", "init needs --root or --branch, and takes no arguments");
	struct ay_store *s = NULL;
	r = init(&a, &s, err);
	ay_store_close(s);
	return r;
}

const struct ay_cmd ay_cmd_init = {
	"init",
	"make a store that trusts a root and follows branches",
	"Usage: ayni init --root FILE --branch NAME... [--store DIR] [--owner-me] [--json]\n"
	"\n"
	"Makes the store when there is none, trusts the fleet's root, and follows the branches. May be run again to\n"
	"follow more; stop the node first.\n"
	"\n"
	"  -r, --root FILE     the fleet's root, from its publisher by a way that you trust\n"
	"  -b, --branch NAME   follow this branch (xo/stable); repeatable\n"
	"  -s, --store DIR     the store (" AY_STORE_PATH ")\n"
	"      --owner-me      a plain user's store: all files belong to you; owners, setuid, devices, capabilities, ACLs\n"
	"                      are not kept, which is said for each tree that has some\n"
	"      --verity=WHAT   let the kernel guard stored files (fs-verity): auto, where the file system can (the default), yes,\n"
	"                      or no; for what is stored from now on\n"
	"      --json          print the result as JSON\n",
	run,
};
