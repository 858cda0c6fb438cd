/* SPDX-License-Identifier: MIT */
/*
 * `ayni fsck`: the whole store, and making it good again.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/path.h"
#include "node/client.h"
#include "node/cmd.h"
#include "node/config.h"
#include "node/heal.h"
#include "node/paths.h"
#include "node/progress.h"
#include "store/fsck.h"

#define REPOS_MAX     16
#define LEFT_TEXT_MAX (8 << 20) /* held in memory until the last look; more is printed as it is found */
#define FINDINGS_MAX  100000    /* in JSON, which is held in memory; all are counted */
#define ROUNDS_MAX    64        /* bundles fetched: chains of differences back to one from nothing */

struct args {
	const char *store, *config;
	const char *repos[REPOS_MAX];
	unsigned n_repos, n_given; /* those given on the command line must be there */
	const char *control;
	int heal, json, offline;
	struct ay_heal_list lacking; /* what the network is asked for */
	struct ay_progress progress;
	FILE *left; /* what the last look left, as text; NULL: printed at once */
	char *left_text;
	size_t left_size;
	json_t *findings;
};

static int each(void *ctx, int val, const char *arg, struct ay_err *err)
{
	struct args *a = ctx;
	switch (val) {
	case 's':
		a->store = arg;
		return 0;
	case 'C':
		a->config = arg;
		return 0;
	case 'c':
		a->control = arg;
		return 0;
	default:
		if (a->n_repos == REPOS_MAX)
			return ay_err_set(err, AY_EUSAGE, "at most %d repositories", REPOS_MAX);
		a->repos[a->n_repos++] = arg;
		return 0;
	}
}

/* Any bytes on one line, in a form that can be read back. */
static const char *shown(const char *path, bool percent_too, struct ay_buf *out)
{
	ay_buf_reset(out);
	for (const char *p = path; *p; p++) {
		if ((unsigned char)*p < 0x20 || *p == 0x7f || (percent_too && *p == '%'))
			ay_put_fmt(out, "%%%02X", (unsigned)(unsigned char)*p);
		else
			ay_put_u8(out, (uint8_t)*p);
	}
	const char *text = ay_buf_cstr(out);
	return text ? text : "?";
}

static void print_finding(FILE *out, const struct ay_fsck_finding *f)
{
	struct ay_buf path = {0};
	fprintf(out, "%s: ", ay_fsck_outcome_name(f->outcome));
	if (f->branch && f->serial)
		fprintf(out, "%s %u: ", f->branch, f->serial);
	else if (f->branch)
		fprintf(out, "%s: ", f->branch);
	if (f->what == AY_FSCK_CURRENT)
		fprintf(out, "current ");
	else if (f->path)
		fprintf(out, "%s ", shown(f->path, f->what == AY_FSCK_PATH, &path));
	else if (f->object)
		fprintf(out, "object %s: ", f->object);
	fprintf(out, "%s", f->why);
	if (f->path && f->object)
		fprintf(out, " (object %s)", f->object);
	fputc('\n', out);
	ay_buf_release(&path);
}

static void set_text(json_t *o, const char *key, const char *text)
{
	json_t *v = text ? json_string(text) : NULL;
	if (text && !v) { /* a path is not UTF-8: then as manifests have it */
		struct ay_buf b = {0};
		ay_percent_put(&b, text, strlen(text));
		const char *percent = ay_buf_cstr(&b);
		v = percent ? json_string(percent) : NULL;
		if (v)
			json_object_set_new(o, "percent_encoded", json_true());
		ay_buf_release(&b);
	}
	if (v)
		json_object_set_new(o, key, v);
}

static void found(void *ctx, const struct ay_fsck_finding *f)
{
	struct args *a = ctx;
	ay_progress_end(&a->progress);
	ay_heal_note(&a->lacking, f);
	if (!a->json) {
		bool later = a->left && f->outcome == AY_FSCK_LEFT && ftell(a->left) < LEFT_TEXT_MAX;
		print_finding(later ? a->left : stdout, f);
		return;
	}
	if (json_array_size(a->findings) >= FINDINGS_MAX)
		return;
	json_t *o = json_pack("{s:s, s:s}", "what", ay_fsck_what_name(f->what), "outcome",
			      ay_fsck_outcome_name(f->outcome));
	set_text(o, "branch", f->branch);
	if (f->serial)
		json_object_set_new(o, "serial", json_integer(f->serial));
	set_text(o, "path", f->path);
	set_text(o, "object", f->object);
	set_text(o, "why", f->why);
	json_array_append_new(a->findings, o);
}

static void show_progress(void *ctx, uint64_t done, uint64_t total)
{
	struct args *a = ctx;
	ay_progress_show(&a->progress, done, total);
}

static int report(struct args *a, const struct ay_fsck_result *res, struct ay_err *err)
{
	char size[32], more[32];
	if (a->json)
		return ay_print_json(
			json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:O}",
				  "objects", (json_int_t)res->objects, "bytes", (json_int_t)res->bytes,
				  "trees", (json_int_t)res->trees, "entries", (json_int_t)res->entries,
				  "bundles", (json_int_t)res->bundles, "damaged", (json_int_t)res->damaged,
				  "healed", (json_int_t)res->healed, "left",
				  (json_int_t)(a->heal ? res->left : res->damaged), "leftover_objects",
				  (json_int_t)res->leftovers, "leftover_bytes",
				  (json_int_t)res->leftover_bytes, "fetched_bundles",
				  (json_int_t)a->lacking.bundles, "fetched_bytes",
				  (json_int_t)a->lacking.bytes, "findings", a->findings),
			err);
	printf("%" PRIu64 " object%s, %" PRIu64 " tree%s with %" PRIu64 " %s, %" PRIu64
	       " bundle%s: %s read\n",
	       res->objects, ay_s(res->objects), res->trees, ay_s(res->trees), res->entries,
	       res->entries == 1 ? "entry" : "entries", res->bundles, ay_s(res->bundles),
	       ay_human_bytes(res->bytes, size));
	if (res->leftovers > 0)
		printf("%" PRIu64 " object%s that no tree uses (%s)%s\n", res->leftovers,
		       ay_s(res->leftovers), ay_human_bytes(res->leftover_bytes, more),
		       a->heal ? ": removed" : "");
	if (res->damaged == 0)
		puts("nothing is damaged");
	else if (a->heal)
		printf("%" PRIu64 " found damaged, %" PRIu64 " healed\n", res->damaged, res->healed);
	return 0;
}

/* Those of the configuration come after those given; one that is not there now (a stick) is passed over. */
static int add_configured(struct args *a, struct ay_config *c, struct ay_err *err)
{
	ay_config_defaults(c);
	int r = ay_config_load(c, a->config ? a->config : AY_CONFIG_PATH, a->config != NULL, err);
	if (r < 0)
		return r;
	if (!a->store)
		a->store = c->store;
	for (unsigned i = 0; i < c->n_heal_from && a->n_repos < REPOS_MAX; i++)
		a->repos[a->n_repos++] = c->heal_from[i];
	if (c->repo[0] && a->n_repos < REPOS_MAX)
		a->repos[a->n_repos++] = c->repo;
	return 0;
}

/* The repositories to heal from; @n of them are open in every case. */
static int open_repos(const struct args *a, struct ay_repo *repos[REPOS_MAX], unsigned *n, struct ay_err *err)
{
	for (unsigned i = 0; a->heal && i < a->n_repos; i++) {
		struct ay_err why = {0};
		int r = ay_repo_open(ay_fs_real(), a->repos[i], false, &repos[*n], &why);
		*n += r == 0;
		if (r < 0 && i < a->n_given)
			return ay_err_set(err, r, "%s", why.msg);
	}
	return 0;
}

static int check_once(struct args *a, struct ay_repo *const *repos, unsigned n, struct ay_fsck_result *res,
		      struct ay_err *err)
{
	const struct ay_fsck f = {.heal = a->heal,
				  .repos = repos,
				  .n_repos = n,
				  .found = found,
				  .progress = a->progress.on ? show_progress : NULL,
				  .ctx = a};
	struct ay_store *s = NULL;
	int r = ay_open_store(a->store, a->heal ? 0 : AY_STORE_READONLY, &s, err);

	ay_progress_init(&a->progress, a->heal ? "healing" : "checking");
	if (r == 0) {
		r = ay_store_fsck(s, &f, res, err);
		ay_progress_end(&a->progress);
	}
	ay_store_close(s);
	return r;
}

static void say_fetched(void *ctx, const char *line)
{
	struct args *a = ctx;
	ay_progress_end(&a->progress);
	if (!a->json) {
		puts(line);
		fflush(stdout);
	}
}

/* What was left is looked at again, and told anew: only its last word counts. */
static void forget_left(struct args *a)
{
	if (a->left)
		rewind(a->left);
	ay_heal_look_again(&a->lacking);
	for (size_t i = json_array_size(a->findings); i-- > 0;) {
		const json_t *outcome = json_object_get(json_array_get(a->findings, i), "outcome");
		if (strcmp(json_string_value(outcome), ay_fsck_outcome_name(AY_FSCK_LEFT)) == 0)
			json_array_remove(a->findings, i);
	}
}

/* Nothing here gives what is left: bundles are fetched, and each time the store heals from them, while some come and help is needed. */
static int heal_from_network(struct args *a, struct ay_repo *const *repos, unsigned n,
			     struct ay_fsck_result *res, struct ay_err *err)
{
	const struct ay_heal_talk talk = {say_fetched, show_progress, a};
	struct ay_err why = {0};

	for (int round = 0; res->left > 0 && ay_heal_lacking(&a->lacking) && round < ROUNDS_MAX; round++) {
		struct ay_fsck_result again = {0};
		/* A damaged bundle was removed: the node is to know that it is not there. */
		ay_client_reload(a->control);
		ay_progress_init(&a->progress, "fetching");
		int came = ay_heal_fetch(&a->lacking, a->store, a->control, &talk, &why);
		ay_progress_end(&a->progress);
		if (came <= 0) {
			fprintf(stderr, "ayni: nothing %scame over the network: %s\n",
				a->lacking.bundles ? "more " : "", why.msg);
			return 0;
		}
		forget_left(a);
		int r = check_once(a, repos, n, &again, err);
		if (r < 0)
			return r;
		/* What the first pass healed stays healed; of what it left the last pass has the last word. */
		res->healed += again.healed;
		res->left = again.left;
		if (res->damaged < res->healed + res->left)
			res->damaged = res->healed + res->left;
	}
	return 0;
}

static void print_left(struct args *a)
{
	if (!a->left)
		return;
	/* A rewound stream keeps what lay behind: only what was written since counts. */
	long n = ftell(a->left);
	fclose(a->left);
	if (n > 0 && a->left_text)
		fwrite(a->left_text, 1, (size_t)n, stdout);
	free(a->left_text);
	a->left = NULL;
}

static int check(struct args *a, struct ay_err *err)
{
	struct ay_repo *repos[REPOS_MAX];
	struct ay_fsck_result res = {0};
	unsigned n = 0;
	int r = open_repos(a, repos, &n, err);
	if (a->heal && !a->offline && !a->json)
		a->left = open_memstream(&a->left_text, &a->left_size);
	if (r == 0)
		r = check_once(a, repos, n, &res, err);
	if (r == 0 && a->heal && !a->offline)
		r = heal_from_network(a, repos, n, &res, err);
	print_left(a);
	if (a->heal && res.damaged > 0)
		ay_client_reload(a->control);
	ay_heal_over(&a->lacking, a->control);
	if (r == 0)
		r = report(a, &res, err);
	while (n > 0)
		ay_repo_close(repos[--n]);
	if (r < 0)
		return r;
	uint64_t left = a->heal ? res.left : res.damaged;
	return left == 0 ? 0
	       : a->heal ? ay_err_set(err, AY_ESTORE, "%s: %" PRIu64 " could not be healed", a->store, left)
			 : ay_err_set(err, AY_ESTORE, "%s: %" PRIu64 " damaged; `ayni fsck --heal` heals",
				      a->store, left);
}

static int run(int argc, char **argv, struct ay_err *err)
{
	AY_FREE struct args *a = calloc(1, sizeof(*a));
	AY_FREE struct ay_config *c = calloc(1, sizeof(*c));
	int first = 0;
	if (!a || !c)
		return ay_err_set(err, -ENOMEM, "out of memory");
	const struct option longs[] = {
		{"store", required_argument, NULL, 's'},  {"repo", required_argument, NULL, 'r'},
		{"config", required_argument, NULL, 'C'}, {"control", required_argument, NULL, 'c'},
		{"heal", no_argument, &a->heal, 1},       {"offline", no_argument, &a->offline, 1},
		{"json", no_argument, &a->json, 1},       {0}};
	int r = ay_options(argc, argv, longs, each, a, &first, err);
	if (r < 0)
		return r;
	if (first != argc)
		return ay_usage(err, "fsck", "fsck takes no arguments");
	if (a->n_repos > 0 && !a->heal)
		return ay_usage(err, "fsck", "--repo says where to heal from: give --heal too");
	if ((a->offline || a->control) && !a->heal)
		return ay_usage(err, "fsck",
				a->offline ? "--offline goes with healing: give --heal too"
					   : "--control goes with healing: give --heal too");
	a->n_given = a->n_repos;
	r = add_configured(a, c, err);
	if (r < 0)
		return r;
	if (!a->control)
		a->control = c->control;
	a->findings = json_array();
	r = check(a, err);
	json_decref(a->findings);
	return r;
}

const struct ay_cmd ay_cmd_fsck = {
	"fsck",
	"check the whole store, and heal it",
	"Usage: ayni fsck [--heal [--repo DIR...] [--offline] [--control PATH]]\n"
	"                 [--store DIR] [--config FILE] [--json]\n"
	"\n"
	"Reads every object on all cores and holds every tree, manifest, release, bundle and state against what it\n"
	"should be. Names each damaged object and each path that links it. With --heal a damaged object is replaced by\n"
	"a good copy, under its name and in every tree, one rename a path: what runs goes on running. Good copies\n"
	"come from the store itself, from the bundles that it keeps, and from repository directories: those given, then those\n"
	"of the configuration (heal-from, repo). What none of them gives the running node fetches from peers and school: bundles\n"
	"that lead to the damaged tree, the cheapest first, then back along the chain, until all is healed; --offline leaves that out.\n"
	"\n"
	"Exit code 0: nothing is damaged, or all was healed; 1: damage is left, or the check could not be ended. What\n"
	"is only left over (noted) is no damage.\n"
	"\n"
	"      --heal           make good what is damaged\n"
	"  -r, --repo DIR       a repository directory to heal from; repeatable\n"
	"      --offline        fetch nothing over the network\n"
	"  -c, --control PATH   the running node's control socket (" AY_CONTROL_PATH ")\n"
	"  -s, --store DIR      the store (" AY_STORE_PATH ")\n"
	"      --config FILE    instead of " AY_CONFIG_PATH "\n"
	"      --json           print JSON\n",
	run,
};
