/* SPDX-License-Identifier: MIT */
/*
 * `ayni status`: what the node has, does and lacks, for people or as JSON.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "node/client.h"
#include "node/cmd.h"
#include "node/paths.h"
#include "node/progress.h"
#include "node/varlink.h"

#define WATCH_US 1000000

struct args {
	const char *control;
};

static int each(void *ctx, int val, const char *arg, struct ay_err *err)
{
	struct args *a = ctx;
	(void)val;
	(void)err;
	a->control = arg;
	return 0;
}

static const char *text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));
	return s ? s : "";
}

static uint64_t number(const json_t *o, const char *key)
{
	json_int_t v = json_integer_value(json_object_get(o, key));
	return v > 0 ? (uint64_t)v : 0;
}

static unsigned percent(uint64_t done, uint64_t total)
{
	return total ? (unsigned)((double)done * 100 / (double)total) : 0;
}

static void print_branch(const json_t *b, bool school)
{
	char serial[48], doing[64], a[32], c[32];
	uint64_t have = number(b, "have"), head = number(b, "head"), target = number(b, "target");
	const char *phase = text(b, "phase");
	if (school)
		snprintf(serial, sizeof(serial), "%u", (unsigned)head);
	else if (head > have)
		snprintf(serial, sizeof(serial), "%u of %u", (unsigned)have, (unsigned)head);
	else
		snprintf(serial, sizeof(serial), "%u", (unsigned)have);
	if (strcmp(phase, "collecting") == 0)
		snprintf(doing, sizeof(doing), "collecting %u: %s of %s, %u %%", (unsigned)target,
			 ay_human_bytes(number(b, "bytes_had"), a),
			 ay_human_bytes(number(b, "bytes_total"), c),
			 percent(number(b, "bytes_had"), number(b, "bytes_total")));
	else if (strcmp(phase, "applying") == 0)
		snprintf(doing, sizeof(doing), "applying %u: %u %%", (unsigned)target,
			 percent(number(b, "apply_done"), number(b, "apply_total")));
	else if (strcmp(phase, "idle") == 0 && number(b, "ready"))
		snprintf(doing, sizeof(doing), "complete up to %u", (unsigned)number(b, "ready"));
	else if (strcmp(phase, "idle") == 0 && have && head > have)
		snprintf(doing, sizeof(doing), "went back from %u; `ayni update --force` takes it again",
			 (unsigned)head);
	else if (strcmp(phase, "idle") == 0)
		snprintf(doing, sizeof(doing), "%s",
			 school        ? "given out"
			 : head > have ? "went back from a newer one"
			 : have        ? "up to date with all that is known"
				       : "waiting for a release");
	else
		snprintf(doing, sizeof(doing), "%s", phase);
	printf("  %-24s serial %-12s %s\n", text(b, "branch"), serial, doing);
	if (number(b, "ready"))
		printf("  %-24s release %u is %s\n", "", (unsigned)number(b, "ready"), text(b, "when"));
	if (number(b, "unconfirmed"))
		printf("  %-24s release %u is on trial, %u tries are left\n", "",
		       (unsigned)number(b, "unconfirmed"), (unsigned)number(b, "tries"));
	if (json_is_true(json_object_get(b, "stays")))
		printf("  %-24s it stays at this release: pinned\n", "");
	if (text(b, "problem")[0])
		printf("  %-24s %s\n", "", text(b, "problem"));
}

static void print_peers(const json_t *peers)
{
	size_t i;
	const json_t *p;
	char from[32], to[32];
	json_array_foreach(peers, i, p)
	{
		if (i == 0)
			printf("\nPeers                                        kind     got        gave\n");
		printf("  %-42s %-8s %-10s %-10s%s\n", text(p, "address"),
		       json_is_true(json_object_get(p, "school")) ? "school" : "laptop",
		       ay_human_bytes(number(p, "bytes_from"), from),
		       ay_human_bytes(number(p, "bytes_to"), to),
		       json_is_true(json_object_get(p, "up")) ? "" : " connecting");
	}
}

static void print_status(const json_t *o)
{
	char a[32], b[32], c[32];
	const char *where = text(o, "interfaces");
	bool school = strcmp(text(o, "role"), "school") == 0;
	size_t i;
	const json_t *branch;
	printf("%s, ayni %s, up %u min; %s %s\n", school ? "School" : "Laptop", text(o, "version"),
	       (unsigned)(number(o, "uptime_s") / 60), school ? "repository" : "store",
	       school ? text(o, "repo") : text(o, "store"));
	printf("Network: TCP port %u, groups on %s; %u neighbours, %u connections, %s\n",
	       (unsigned)number(o, "port"), where[0] ? where : "no interface",
	       (unsigned)number(o, "neighbours"), (unsigned)number(o, "connections"),
	       json_is_true(json_object_get(o, "encrypted"))
		       ? "encrypted"
		       : "not encrypted (all that is sent is signed and public)");
	printf("Got %s from peers and %s from the school; gave %s\n",
	       ay_human_bytes(number(o, "bytes_from_peers"), a),
	       ay_human_bytes(number(o, "bytes_from_school"), b),
	       ay_human_bytes(number(o, "bytes_served"), c));
	if (text(o, "problem")[0])
		printf("Problem: %s\n", text(o, "problem"));
	printf("\nBranches\n");
	json_array_foreach(json_object_get(o, "branches"), i, branch) print_branch(branch, school);
	if (i == 0)
		printf("  none\n");
	print_peers(json_object_get(o, "peers"));
}

static int show(struct ay_client *c, bool json, bool watch, struct ay_err *err)
{
	bool tty = isatty(STDOUT_FILENO) == 1;
	for (;;) {
		json_t *o = NULL;
		int r = ay_client_call(c, AY_IFACE_NODE ".Status", NULL, NULL, NULL, &o, 0, err);
		if (r < 0)
			return r;
		if (watch && tty && !json)
			printf("\033[H\033[2J");
		if (json) {
			json_dumpf(o, stdout, watch ? JSON_COMPACT : JSON_INDENT(2));
			putchar('\n');
		} else {
			print_status(o);
		}
		json_decref(o);
		if (fflush(stdout) || !watch)
			return 0;
		usleep(WATCH_US);
	}
}

static int run(int argc, char **argv, struct ay_err *err)
{
	int json = 0, watch = 0, first;
	struct args a = {.control = AY_CONTROL_PATH};
	const struct option longs[] = {{"json", no_argument, &json, 1},
				       {"watch", no_argument, &watch, 1},
				       {"control", required_argument, NULL, 'c'},
				       {0}};
	struct ay_client *c = NULL;
	int r = ay_options(argc, argv, longs, each, &a, &first, err);
	if (r < 0)
		return r;
	if (first != argc)
		return ay_usage(err, "status", "status takes no arguments");
	r = ay_client_open(a.control, &c, err);
	if (r == 0)
		r = show(c, json, watch, err);
	ay_client_close(c);
	return r;
}

const struct ay_cmd ay_cmd_status = {
	"status",
	"what the node has, does and lacks",
	"Usage: ayni status [--json] [--watch] [--control PATH]\n"
	"\n"
	"      --json            one JSON object (docs/protocol.md, \"Control socket\")\n"
	"      --watch           again every second until Ctrl-C; with --json one object a line\n"
	"  -c, --control PATH    the node's control socket (" AY_CONTROL_PATH ")\n",
	run,
};
