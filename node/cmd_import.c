/* SPDX-License-Identifier: MIT */
/*
 * `ayni import`: an update without a network.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "node/client.h"
#include "node/cmd.h"
#include "node/collect.h"
#include "node/import.h"
#include "node/paths.h"
#include "node/progress.h"
#include "node/turn_run.h"
#include "store/state.h"

struct args {
	const char *store, *control, *config_path;
	struct ay_config *config;
	int force, json;
	struct ay_store *s;
	struct ay_repo *repo;
	bool changed; /* something newer is here, or current */
	json_t *results;
};

static int each(void *ctx, int val, const char *arg, struct ay_err *err)
{
	(void)err;
	struct args *a = ctx;
	*(val == 's' ? &a->store : val == 'c' ? &a->control : &a->config_path) = arg;
	return 0;
}

static int show_progress(void *ctx, uint64_t done, uint64_t total)
{
	ay_progress_show(ctx, done, total);
	return 0;
}

/* How the branch stands afterwards. */
struct standing {
	uint32_t current;
	char when[256]; /* what is ready waits for; "": nothing is */
};

/* What came may become current at once, or wait for its time. */
static int switch_if_due(struct args *a, const char *branch, struct standing *now, struct ay_err *err)
{
	AY_FREE struct ay_turn_result *out = calloc(1, sizeof(*out));
	struct ay_branch_state b;
	struct ay_turn t;
	int r = out ? ay_turn_run_due(a->s, a->config, branch, false, out, err) : -ENOMEM;
	if (r == AY_ENOTHING)
		return 0; /* no tree of it is here at all */
	a->changed |= out && out->from != out->to;
	if (ay_turn_read(a->s, branch, &t, NULL) == 0 && ay_state_branch(a->s, branch, &b, NULL) == 0) {
		now->current = t.current;
		ay_turn_words(a->config, &t, &b, now->when, sizeof(now->when));
	}
	return r;
}

static void print_words(const char *branch, const struct ay_imported *done)
{
	char size[32];
	if (done->to == done->from)
		return;
	if (done->from == 0)
		printf("%s: release %u", branch, done->to);
	else
		printf("%s: release %u -> %u", branch, done->from, done->to);
	if (done->bytes > 0)
		printf(" (%u %s, %s)\n", done->steps, done->steps == 1 ? "bundle" : "bundles",
		       ay_human_bytes(done->bytes, size));
	else
		puts(" (it was here already)");
}

static void add_json(struct args *a, const char *branch, const struct ay_imported *done,
		     const struct standing *now, int r, const struct ay_err *err)
{
	json_t *o = json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:s}", "branch", branch, "from",
			      (json_int_t)done->from, "to", (json_int_t)done->to, "bundles",
			      (json_int_t)done->steps, "bytes", (json_int_t)done->bytes, "current",
			      (json_int_t)now->current, "when", now->when);
	if (r < 0) {
		json_t *sentence = json_string(err->msg);
		json_object_set_new(o, "error", json_string(ay_error_name(r)));
		/* A sentence may quote a stranger's bytes, which need not be UTF-8. */
		json_object_set_new(o, "message", sentence ? sentence : json_string(ay_strerror(r)));
	}
	json_array_append_new(a->results, o);
}

static int import_branch(struct args *a, const char *branch, struct ay_err *err)
{
	struct ay_progress progress;
	struct ay_imported done;
	struct standing now = {0};
	ay_progress_init(&progress, "applying");
	int r = ay_import(a->s, a->config, a->repo, branch, a->force, show_progress, &progress, &done, err);
	ay_progress_end(&progress);
	a->changed |= done.to != done.from;
	if (!a->json)
		print_words(branch, &done);
	struct ay_err why = {0};
	int q = switch_if_due(a, branch, &now, &why);
	if (q < 0 && (r == 0 || r == AY_ENOTHING)) {
		*err = why;
		r = q;
	}
	if (a->json)
		add_json(a, branch, &done, &now, r, err);
	else if (now.when[0])
		printf("%s: %s\n", branch, now.when);
	return r;
}

/* One branch's failure holds up no other; the first is returned, later ones are said at once. */
static int import_all(struct args *a, struct ay_err *err)
{
	AY_FREE struct ay_branch_state *branches = NULL;
	size_t n = 0, followed = 0;
	int result = AY_ENOTHING; /* of all: a failure before success before nothing */
	int r = ay_state_branches(a->s, &branches, &n, err);
	for (size_t i = 0; r == 0 && i < n; i++) {
		if (!branches[i].follow)
			continue;
		followed++;
		struct ay_err one = {0};
		int done = import_branch(a, branches[i].branch, &one);
		bool failed = done < 0 && done != AY_ENOTHING;
		if (failed && result < 0 && result != AY_ENOTHING) {
			ay_complain("import", one.msg);
		} else if (failed || (done == AY_ENOTHING && result == AY_ENOTHING && followed == 1)) {
			*err = one;
			result = done;
		} else if (done == 0 && result == AY_ENOTHING) {
			result = 0;
		}
	}
	if (r < 0)
		return r;
	if (followed == 0)
		return ay_err_set(err, AY_ESTATE, "%s follows no branch yet: `ayni branch add NAME`",
				  ay_store_path(a->s));
	return result;
}

static int run(int argc, char **argv, struct ay_err *err)
{
	struct args a = {.control = AY_CONTROL_PATH};
	int first = 0;
	const struct option longs[] = {
		{"store", required_argument, NULL, 's'}, {"control", required_argument, NULL, 'c'},
		{"config", required_argument, NULL, 1},  {"force", no_argument, &a.force, 1},
		{"json", no_argument, &a.json, 1},       {0}};
	int r = ay_options(argc, argv, longs, each, &a, &first, err);
	if (r < 0)
		return r;
	int n = argc - first;
	if (n < 1 || n > 2)
		return ay_usage(err, "import", "import needs a repository directory and at most one branch");
	if (n == 2 && ay_branch_check(argv[first + 1], strlen(argv[first + 1])) < 0)
		return ay_err_set(err, AY_EUSAGE, "\"%s\" is no branch name", argv[first + 1]);
	a.config = malloc(sizeof(*a.config));
	if (!a.config)
		return ay_err_set(err, -ENOMEM, "out of memory");
	ay_config_defaults(a.config);
	r = ay_config_load(a.config, a.config_path ? a.config_path : AY_CONFIG_PATH, a.config_path != NULL,
			   err);
	if (r == 0)
		r = ay_repo_open(ay_fs_real(), argv[first], false, &a.repo, err);
	if (r == 0)
		r = ay_open_store(a.store ? a.store : a.config->store, 0, &a.s, err);
	if (r == 0) {
		ay_store_set_reserve(a.s, a.config->reserve);
		a.results = json_array();
		r = n == 2 ? import_branch(&a, argv[first + 1], err) : import_all(&a, err);
		struct ay_err why = {0};
		if (a.json && ay_print_json(a.results, &why) < 0)
			ay_complain("import", why.msg);
		else if (!a.json)
			json_decref(a.results);
		ay_collect_after_update(a.s, a.config);
	}
	ay_store_close(a.s);
	ay_repo_close(a.repo);
	free(a.config);
	if (a.changed)
		ay_client_reload(a.control);
	return r;
}

const struct ay_cmd ay_cmd_import = {
	"import",
	"update from a repository directory, such as a stick",
	"Usage: ayni import DIR [BRANCH] [--store DIR] [--config FILE] [--control SOCKET] [--force] [--json]\n"
	"\n"
	"Takes the newest release of BRANCH, or of every branch that is followed, from the repository directory DIR:\n"
	"the same files that a publisher writes and a school serves. Signatures are checked as from anywhere else.\n"
	"Should a bundle be damaged, another way to the release is taken if there is one. Exit code 3 when nothing newer\n"
	"is there, 4 when it was rolled back from, is pinned, or a hook refused it. When it becomes current is the setting\n"
	"`switch` of the configuration, as with `ayni update`.\n"
	"\n"
	"  -s, --store DIR      the store (" AY_STORE_PATH ")\n"
	"  -c, --control SOCKET a running node's socket, which is told (" AY_CONTROL_PATH ")\n"
	"      --config FILE    instead of " AY_CONFIG_PATH "\n"
	"      --force          also a release that was rolled back from\n"
	"      --json           print the result as JSON\n",
	run,
};
