/* SPDX-License-Identifier: MIT */
/*
 * `ayni import`: an update without a network.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/path.h"
#include "node/client.h"
#include "node/cmd.h"
#include "node/import.h"
#include "node/paths.h"
#include "node/progress.h"
#include "store/state.h"

struct args {
	const char *store, *control;
};

static int each(void *ctx, int val, const char *arg, struct ay_err *err)
{
	(void)err;
	struct args *a = ctx;
	*(val == 's' ? &a->store : &a->control) = arg;
	return 0;
}

static int show_progress(void *ctx, uint64_t done, uint64_t total)
{
	ay_progress_show(ctx, done, total);
	return 0;
}

static int import_branch(struct ay_store *s, struct ay_repo *repo, const char *branch, bool force,
			 struct ay_err *err)
{
	struct ay_progress progress;
	struct ay_imported done;
	char size[32];
	ay_progress_init(&progress, "applying");
	int r = ay_import(s, repo, branch, force, show_progress, &progress, &done, err);
	ay_progress_end(&progress);
	if (r == 0)
		printf("%s: release %u -> %u (%u %s, %s)\n", branch, done.from, done.to, done.steps,
		       done.steps == 1 ? "bundle" : "bundles", ay_human_bytes(done.bytes, size));
	return r;
}

/* One branch's failure holds up no other; the first is returned, later ones are said at once. */
static int import_all(struct ay_store *s, struct ay_repo *repo, bool force, struct ay_err *err)
{
	struct ay_branch_state *branches = NULL;
	size_t n = 0, followed = 0;
	int result = AY_ENOTHING;
	int r = ay_state_branches(s, &branches, &n, err);
	for (size_t i = 0; r == 0 && i < n; i++) {
		if (!branches[i].follow)
			continue;
		followed++;
		struct ay_err one = {0};
		int done = import_branch(s, repo, branches[i].branch, force, &one);
		bool failed = done < 0 && done != AY_ENOTHING;
		if (failed && result < 0 && result != AY_ENOTHING) {
			fprintf(stderr, "ayni import: %s\n", one.msg);
		} else if (failed || (done == AY_ENOTHING && result == AY_ENOTHING)) {
			*err = one;
			result = done;
		} else if (done == 0 && result == AY_ENOTHING) {
			result = 0;
		}
	}
	free(branches);
	if (r < 0)
		return r;
	if (followed == 0)
		return ay_err_set(err, AY_EUSAGE, "%s follows no branch yet: `ayni init --branch NAME`",
				  ay_store_path(s));
	return result;
}

static int run(int argc, char **argv, struct ay_err *err)
{
	struct args a = {AY_STORE_PATH, AY_CONTROL_PATH};
	int force = 0, first = 0;
	const struct option longs[] = {{"store", required_argument, NULL, 's'},
				       {"control", required_argument, NULL, 'c'},
				       {"force", no_argument, &force, 1},
				       {0}};
	int r = ay_options(argc, argv, longs, each, &a, &first, err);
	if (r < 0)
		return r;
	int n = argc - first;
	if (n < 1 || n > 2)
		return ay_usage(err, "import", "import needs a repository directory and at most one branch");
	if (n == 2 && ay_branch_check(argv[first + 1], strlen(argv[first + 1])) < 0)
		return ay_err_set(err, AY_EUSAGE, "\"%s\" is no branch name", argv[first + 1]);
	struct ay_store *s = NULL;
	struct ay_repo *repo = NULL;
	r = ay_repo_open(ay_fs_real(), argv[first], false, &repo, err);
	if (r == 0)
		r = ay_store_open(ay_fs_real(), a.store, 0, &s, err);
	if (r == 0)
		r = n == 2 ? import_branch(s, repo, argv[first + 1], force, err)
			   : import_all(s, repo, force, err);
	ay_store_close(s);
	ay_repo_close(repo);
	if (r == 0)
		ay_client_reload(a.control);
	return r;
}

const struct ay_cmd ay_cmd_import = {
	"import",
	"update from a repository directory, such as a stick",
	"Usage: ayni import DIR [BRANCH] [--store DIR] [--control SOCKET] [--force]\n"
	"\n"
	"Takes the newest release of BRANCH, or of every branch that is followed, from the repository directory DIR:\n"
	"the same files that a publisher writes and a school serves. Signatures are checked as from anywhere else.\n"
	"Exit code 3 when nothing newer is there.\n"
	"\n"
	"  -s, --store DIR      the store (" AY_STORE_PATH ")\n"
	"  -c, --control SOCKET a running node's socket, which is told (" AY_CONTROL_PATH ")\n"
	"      --force          also a release that was rolled back from\n",
	run,
};
