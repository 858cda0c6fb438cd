/* SPDX-License-Identifier: MIT */
/*
 * `ayni gc`: collect within the owner's budgets.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/client.h"
#include "node/cmd.h"
#include "node/collect.h"
#include "node/paths.h"
#include "node/progress.h"

#include <jansson.h>

#include "base/cleanup.h"

struct args {
	const char *store, *config, *control, *max_size, *reserve;
	uint32_t keep; /* 0: as the configuration says */
	int json;
};

static int each(void *ctx, int val, const char *arg, struct ay_err *err)
{
	struct args *a = ctx;
	switch (val) {
	case 'k':
		return ay_parse_u32(arg, 1, 1000, "--keep", &a->keep, err);
	case 's':
		a->store = arg;
		return 0;
	case 'c':
		a->control = arg;
		return 0;
	case 1:
		a->config = arg;
		return 0;
	case 2:
		a->max_size = arg;
		return 0;
	default:
		a->reserve = arg;
		return 0;
	}
}

static int settle(const struct args *a, struct ay_config *c, struct ay_err *err)
{
	ay_config_defaults(c);
	int r = ay_config_load(c, a->config ? a->config : AY_CONFIG_PATH, a->config != NULL, err);
	if (r == 0 && a->max_size)
		r = ay_config_set(c, "max-size", a->max_size, err);
	if (r == 0 && a->reserve)
		r = ay_config_set(c, "reserve", a->reserve, err);
	return r;
}

static int gc(const struct args *a, struct ay_store *s, const struct ay_config *c, struct ay_err *err)
{
	struct ay_gc_result res = {0};
	char size[32];
	int r = ay_collect(s, c, a->keep, 0, &res, err);
	if (r < 0)
		return r;
	if (a->json)
		return ay_print_json(json_pack("{s:I, s:I, s:I, s:I, s:I}", "trees", (json_int_t)res.trees,
					       "in_use", (json_int_t)res.in_use, "objects",
					       (json_int_t)res.objects, "bundles", (json_int_t)res.bundles,
					       "bytes", (json_int_t)res.bytes),
				     err);
	if (res.in_use)
		printf("%u removed tree%s wait%s for the last user\n", res.in_use, ay_s(res.in_use),
		       res.in_use == 1 ? "s" : "");
	printf("removed %u tree%s and %" PRIu64 " object%s, and %u bundle%s: %s\n", res.trees,
	       ay_s(res.trees), res.objects, ay_s(res.objects), res.bundles, ay_s(res.bundles),
	       ay_human_bytes(res.bytes, size));
	return 0;
}

static int run(int argc, char **argv, struct ay_err *err)
{
	struct args a = {.control = AY_CONTROL_PATH};
	const struct option longs[] = {
		{"store", required_argument, NULL, 's'},   {"config", required_argument, NULL, 1},
		{"control", required_argument, NULL, 'c'}, {"keep", required_argument, NULL, 'k'},
		{"max-size", required_argument, NULL, 2},  {"reserve", required_argument, NULL, 3},
		{"json", no_argument, &a.json, 1},         {0}};
	AY_FREE struct ay_config *c = malloc(sizeof(*c));
	struct ay_store *s = NULL;
	int first = 0;
	int r = ay_options(argc, argv, longs, each, &a, &first, err);
	if (r < 0)
		return r;
	if (first != argc)
		return ay_usage(err, "gc", "too many arguments");
	r = c ? settle(&a, c, err) : -ENOMEM;
	if (r == 0)
		r = ay_open_store(a.store ? a.store : c->store, 0, &s, err);
	if (r == 0)
		r = gc(&a, s, c, err);
	ay_store_close(s);
	if (r == 0)
		ay_client_reload(a.control);
	return r;
}

const struct ay_cmd ay_cmd_gc = {
	"gc",
	"remove old releases and what nothing uses",
	"Usage: ayni gc [--keep N] [--max-size SIZE] [--reserve SIZE] [--store DIR] [--config FILE] [--control SOCKET] [--json]\n"
	"\n"
	"Keeps the newest N releases of each branch; removes older ones, objects and bundles that nothing uses any more, and\n"
	"of the bundles kept for neighbours what is above 1.3 % of the trees. If the store is larger than max-size or\n"
	"less than reserve is free, further bundles go, then old releases, until it is enough. Never removed: the current\n"
	"release, what is ready to become current, what a trial goes back to, what is pinned or in use.\n"
	"\n"
	"  -k, --keep N         releases to keep per branch (2, or what the configuration says)\n"
	"      --max-size SIZE  what the store is to stay below, as in 20G; none\n"
	"      --reserve SIZE   what is to stay free on the file system (16M)\n"
	"  -s, --store DIR      the store (" AY_STORE_PATH ", or what the configuration says)\n"
	"      --config FILE    instead of " AY_CONFIG_PATH "\n"
	"  -c, --control SOCKET a running node's socket, which is told (" AY_CONTROL_PATH ")\n"
	"      --json           print JSON\n",
	run,
};
