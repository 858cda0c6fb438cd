/* SPDX-License-Identifier: MIT */
/*
 * `ayni verify`: one tree, byte for byte. (All of a store: node/cmd_fsck.c)
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/path.h"
#include "node/cmd.h"
#include "node/paths.h"
#include "store/store.h"

struct args {
	const char *store;
	int json;
	const char *branch;
	uint32_t serial; /* 0: none named */
	struct ay_store *s;
};

static int each(void *ctx, int val, const char *arg, struct ay_err *err)
{
	struct args *a = ctx;
	(void)val;
	(void)err;
	a->store = arg;
	return 0;
}

/* BRANCH or BRANCH@SERIAL */
static int take_branch(struct args *a, char *word, struct ay_err *err)
{
	char *at = strchr(word, '@');
	if (at) {
		*at = '\0';
		int r = ay_parse_u32(at + 1, 1, AY_SERIAL_MAX, "the serial", &a->serial, err);
		if (r < 0)
			return r;
	}
	if (ay_branch_check(word, strlen(word)) < 0)
		return ay_err_set(err, AY_EUSAGE, "\"%s\" is no branch name", word);
	a->branch = word;
	return 0;
}

static int begin(struct args *a, int argc, char **argv, struct ay_err *err)
{
	const struct option longs[] = {
		{"store", required_argument, NULL, 's'}, {"json", no_argument, &a->json, 1}, {0}};
	int first = 0;
	int r = ay_options(argc, argv, longs, each, a, &first, err);
	if (r < 0)
		return r;
	int n = argc - first;
	if (n < 1 || n > 2)
		return ay_usage(err, argv[0], n < 1 ? "say which branch" : "too many arguments");
	if ((r = take_branch(a, argv[first], err)) < 0)
		return r;
	if (n > 1 && a->serial != 0)
		return ay_usage(err, argv[0], "one serial is enough");
	if (n > 1 && (r = ay_parse_u32(argv[first + 1], 1, AY_SERIAL_MAX, "the serial", &a->serial, err)) < 0)
		return r;
	return ay_open_store(a->store, AY_STORE_READONLY, &a->s, err);
}

static int verify(struct args *a, struct ay_err *err)
{
	uint64_t bad = 0;
	uint32_t serial = a->serial;
	struct ay_err first = {0};
	int r = serial == 0 ? ay_store_current(a->s, a->branch, &serial, err) : 0;
	if (r < 0)
		return r;
	r = ay_store_verify(a->s, a->branch, serial, &bad, &first);
	if (r < 0)
		return ay_err_set(err, r, "%s %u: %s", a->branch, serial, first.msg);
	if (a->json) {
		json_t *o = json_pack("{s:s, s:I, s:I}", "branch", a->branch, "serial", (json_int_t)serial,
				      "bad", (json_int_t)bad);
		json_t *sentence =
			bad > 0 ? json_string(first.msg) : NULL; /* NULL too: a path is not UTF-8 */
		if (sentence)
			json_object_set_new(o, "first", sentence);
		r = ay_print_json(o, err);
	} else if (bad == 0) {
		printf("%s %u: every path is what its release says\n", a->branch, serial);
	}
	if (r < 0 || bad == 0)
		return r;
	return ay_err_set(err, AY_ESTORE, "%s %u: %" PRIu64 " %s not what the release says; the first: %s",
			  a->branch, serial, bad, bad == 1 ? "path is" : "paths are", first.msg);
}

static int run_verify(int argc, char **argv, struct ay_err *err)
{
	struct args a = {.store = AY_STORE_PATH};
	int r = begin(&a, argc, argv, err);
	if (r == 0)
		r = verify(&a, err);
	ay_store_close(a.s);
	return r;
}

const struct ay_cmd ay_cmd_verify = {
	"verify",
	"compare a tree with its release, byte for byte",
	"Usage: ayni verify BRANCH [SERIAL] [--store DIR] [--json]\n"
	"\n"
	"Reads the current tree, or SERIAL's, and compares every entry with the signed manifest.\n"
	"\n"
	"  -s, --store DIR      the store (" AY_STORE_PATH ")\n"
	"      --json           print JSON\n",
	run_verify,
};
