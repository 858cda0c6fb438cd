/* SPDX-License-Identifier: MIT */
/*
 * `ayni node`: the daemon. Configuration from the file, its drop-ins, then the command line.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "node/cmd.h"
#include "node/config.h"
#include "node/daemon.h"
#include "node/paths.h"

#define SETTINGS_MAX 64 /* options on one command line */

struct args {
	const char *config; /* NULL: the default one, which need not be there */
	unsigned n;
	struct {
		const char *key, *value;
	} settings[SETTINGS_MAX];
	bool peers_cleared;
};

/* An option is the configuration's key of the same name; val counts into this. */
static const char *const keys[] = {"store", "role",        "repo",      "interface",   "address",
				   "port",  "news-port",   "chat-port", "control",     "control-group",
				   "peers", "auto-update", "rate",      "apply-memory"};
#define N_KEYS     (sizeof(keys) / sizeof(keys[0]))
#define KEY_VAL    1000
#define CONFIG_VAL 1

static int each(void *ctx, int val, const char *arg, struct ay_err *err)
{
	struct args *a = ctx;
	if (val == CONFIG_VAL) {
		a->config = arg;
		return 0;
	}
	if (a->n == SETTINGS_MAX)
		return ay_err_set(err, AY_EUSAGE, "more than %d options", SETTINGS_MAX);
	a->settings[a->n].key = keys[val - KEY_VAL];
	a->settings[a->n++].value = arg;
	return 0;
}

/* Our children read it too, wherever they are. */
static bool realpath_of(const char *path, char out[AY_CONFIG_PATH_MAX])
{
	AY_FREE char *whole = realpath(path, NULL);
	return whole && snprintf(out, AY_CONFIG_PATH_MAX, "%s", whole) < AY_CONFIG_PATH_MAX;
}

static int settle(struct ay_config *c, const struct args *a, struct ay_err *err)
{
	bool peers = false, store = false;
	ay_config_defaults(c);
	int r = ay_config_load(c, a->config ? a->config : AY_CONFIG_PATH, a->config != NULL, err);
	/* A school needs no store, and has one only when it is named. */
	store = strcmp(c->store, AY_STORE_PATH) != 0;
	for (unsigned i = 0; r == 0 && i < a->n; i++) {
		const char *key = a->settings[i].key;
		if (strcmp(key, "peers") == 0 && !peers) {
			c->n_peers = 0;
			peers = true;
		}
		store |= strcmp(key, "store") == 0;
		r = ay_config_set(c, key, a->settings[i].value, err);
		if (r < 0)
			ay_err_wrap(err, r, "command line");
	}
	if (r == 0 && a->config && !realpath_of(a->config, c->path))
		return ay_err_errno(err, errno, "%s", a->config);
	if (c->role == AY_NODE_SCHOOL && !store)
		c->store[0] = 0;
	return r < 0 ? r : ay_config_check(c, err);
}

static int run(int argc, char **argv, struct ay_err *err)
{
	struct option longs[N_KEYS + 2] = {{"config", required_argument, NULL, CONFIG_VAL}};
	struct args a = {0};
	int first;
	for (size_t i = 0; i < N_KEYS; i++)
		longs[i + 1] = (struct option){keys[i], required_argument, NULL, KEY_VAL + (int)i};
	int r = ay_options(argc, argv, longs, each, &a, &first, err);
	if (r < 0)
		return r;
	if (first != argc)
		return ay_usage(err, "node", "node takes no arguments");
	struct ay_config *c = malloc(sizeof(*c));
	if (!c)
		return ay_err_set(err, -ENOMEM, "out of memory");
	r = settle(c, &a, err);
	if (r == 0)
		r = ay_daemon_run(c, err);
	free(c);
	return r;
}

const struct ay_cmd ay_cmd_node = {
	"node",
	"the daemon: hears news, collects updates, gives them to others",
	"Usage: ayni node [OPTION...]\n"
	"\n"
	"Runs in the foreground until SIGTERM or SIGINT; logs to standard error. Every option but --config is also a\n"
	"key of section [node] in " AY_CONFIG_PATH " and in " AY_CONFIG_PATH
	".d/*.conf; the command line comes last.\n"
	"\n"
	"      --config FILE         instead of " AY_CONFIG_PATH "\n"
	"      --store DIR           the store (" AY_STORE_PATH ")\n"
	"      --role laptop|school  a school gives out a repository, always on\n"
	"      --repo DIR            role school: the repository\n"
	"      --interface NAME      speak and listen there only (else: all that can multicast)\n"
	"      --address IP          use only this address of ours (several nodes on one host: 127.0.0.2, ...)\n"
	"      --port N              TCP, for sessions (24953; 0: any)\n"
	"      --news-port N         UDP (24953)\n"
	"      --chat-port N         UDP (24954)\n"
	"      --control PATH        the control socket (" AY_CONTROL_PATH ")\n"
	"      --control-group NAME  a group that may use it too\n"
	"      --peers ADDRESS...    always try these, as 192.0.2.1 or 192.0.2.1:24953; repeatable\n"
	"      --auto-update yes|no  take new releases without being asked (yes)\n"
	"      --rate N              bytes a second to others: 500K, 2M, none\n"
	"      --apply-memory N      what applying a bundle may take: 128M, none (auto: half of the machine's)\n"
	"\n"
	"Only in the file: switch, hooks, hook-timeout, hooks-timeout, confirm, tries, switch-trigger (when a release becomes\n"
	"current); keep, max-size, reserve, auto-gc (room on the disk); heal-from (for fsck --heal);\n"
	"sections [branch NAME]. See docs/operating.md.\n"
	"\n"
	"Environment: AYNI_TRACE=ROOM,... (or all) prints the core's decisions.\n",
	run,
};
