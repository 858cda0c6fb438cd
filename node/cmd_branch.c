/* SPDX-License-Identifier: MIT */
/*
 * `ayni branch`: several owners' branches in one store: which, followed or left.
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
#include "node/paths.h"
#include "node/progress.h"
#include "store/branch.h"
#include "store/state.h"

struct args {
	const char *store, *control;
	int json, forget;
	struct ay_store *s;
	char **names; /* operands behind the verb */
	int n;
	bool changed;
};

static int each(void *ctx, int val, const char *arg, struct ay_err *err)
{
	struct args *a = ctx;
	(void)err;
	*(val == 's' ? &a->store : &a->control) = arg;
	return 0;
}

/* ---- list ---- */

struct row {
	struct ay_branch_state state;
	uint32_t current;
	size_t trees;
	const struct ay_branch_rule *rule;
};

static int look(struct ay_store *s, const char *name, const struct ay_root *root, struct row *row,
		struct ay_err *err)
{
	AY_FREE struct ay_tree_info *trees = NULL;
	int r = ay_state_branch(s, name, &row->state, err);
	if (r == 0)
		r = ay_store_trees(s, name, &trees, &row->trees, err);
	row->current = 0;
	for (size_t i = 0; r == 0 && i < row->trees; i++) {
		if (trees[i].current)
			row->current = trees[i].serial;
	}
	row->rule = root ? ay_root_branch_rule(root, name) : NULL;
	return r;
}

static void print_limits(const struct ay_branch_rule *rule)
{
	if (!rule)
		return;
	printf("%s%s%s%s", rule->nosuid ? " nosuid" : "", rule->nodev ? " nodev" : "",
	       rule->nocaps ? " nocaps" : "", rule->share ? " share" : "");
	if (rule->has_uids)
		printf(" uids=%" PRIu32 "-%" PRIu32, rule->uid_low, rule->uid_high);
}

static json_t *row_json(const char *name, const struct row *row)
{
	const struct ay_branch_rule *rule = row->rule;
	json_t *limits = json_array();
	if (rule && rule->nosuid)
		json_array_append_new(limits, json_string("nosuid"));
	if (rule && rule->nodev)
		json_array_append_new(limits, json_string("nodev"));
	if (rule && rule->nocaps)
		json_array_append_new(limits, json_string("nocaps"));
	if (rule && rule->has_uids)
		json_array_append_new(
			limits, json_sprintf("uids=%" PRIu32 "-%" PRIu32, rule->uid_low, rule->uid_high));
	return json_pack("{s:s, s:b, s:I, s:I, s:I, s:b, s:o}", "branch", name, "follow",
			 (int)row->state.follow, "current", (json_int_t)row->current, "trees",
			 (json_int_t)row->trees, "floor", (json_int_t)row->state.floor, "share",
			 rule && rule->share ? 1 : 0, "limits", limits);
}

static int cmp_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Those with trees and those remembered, each once. */
static int all_names(struct ay_store *s, char ***names, size_t *n, struct ay_err *err)
{
	AY_FREE struct ay_branch_state *states = NULL;
	size_t n_states = 0;
	int r = ay_store_branches(s, names, n, err);
	if (r == 0)
		r = ay_state_branches(s, &states, &n_states, err);
	for (size_t i = 0; r == 0 && i < n_states; i++) {
		bool there = false;
		for (size_t k = 0; k < *n; k++)
			there |= strcmp((*names)[k], states[i].branch) == 0;
		if (there)
			continue;
		char **grown = reallocarray(*names, *n + 1, sizeof(*grown));
		if (grown)
			*names = grown;
		if (!grown || !(grown[*n] = strdup(states[i].branch)))
			return ay_err_set(err, -ENOMEM, "out of memory");
		(*n)++;
	}
	if (r == 0 && *n > 1)
		qsort(*names, *n, sizeof(char *), cmp_names);
	return r;
}

static int list(struct args *a, struct ay_err *err)
{
	const struct ay_root *root = NULL;
	char **names = NULL;
	size_t n = 0;
	json_t *out = json_array();
	int r = all_names(a->s, &names, &n, err);
	if (ay_state_root(a->s, &root, NULL) < 0)
		root = NULL;
	for (size_t i = 0; r == 0 && i < n; i++) {
		struct row row;
		r = look(a->s, names[i], root, &row, err);
		if (r < 0)
			break;
		if (a->json) {
			json_array_append_new(out, row_json(names[i], &row));
			continue;
		}
		printf("%s: %s, ", names[i], row.state.follow ? "followed" : "not followed");
		if (row.current)
			printf("release %" PRIu32 " of %zu", row.current, row.trees);
		else
			printf("%zu tree%s, none current", row.trees, ay_s(row.trees));
		print_limits(row.rule);
		putchar('\n');
	}
	ay_store_names_free(names, n);
	if (r == 0 && n == 0)
		r = ay_err_set(err, AY_ENOTHING, "%s has no branch and follows none", a->store);
	if (a->json && (r == 0 || r == AY_ENOTHING)) {
		int q = ay_print_json(out, err);
		return q < 0 ? q : r;
	}
	json_decref(out);
	return r;
}

/* ---- add, remove ---- */

static int set_follow(void *ctx, struct ay_branch_state *b, struct ay_err *err)
{
	bool *changed = ctx;
	(void)err;
	*changed = !b->follow;
	b->follow = true;
	return !*changed;
}

static int add(struct args *a, struct ay_err *err)
{
	bool any = false;
	for (int i = 0; i < a->n; i++) {
		bool changed = false;
		int r = ay_state_change_branch(a->s, a->names[i], set_follow, &changed, err);
		if (r < 0)
			return r;
		any |= changed;
		if (changed && !a->json)
			printf("follows branch: %s\n", a->names[i]);
	}
	a->changed = any;
	if (!any)
		return ay_err_set(err, AY_ENOTHING, "%s: followed already", a->names[0]);
	if (!a->json)
		return 0;
	json_t *names = json_array();
	for (int i = 0; i < a->n; i++)
		json_array_append_new(names, json_string(a->names[i]));
	return ay_print_json(json_pack("{s:o}", "follows", names), err);
}

static int drop(struct args *a, struct ay_err *err)
{
	struct ay_gc_result res;
	char size[32];
	int r = ay_store_remove_branch(a->s, a->names[0], a->forget, &res, err);
	if (r < 0)
		return r;
	a->changed = true;
	if (a->json)
		return ay_print_json(json_pack("{s:s, s:I, s:I, s:I}", "branch", a->names[0], "trees",
					       (json_int_t)res.trees, "objects", (json_int_t)res.objects,
					       "bytes", (json_int_t)res.bytes),
				     err);
	printf("removed branch %s: %u tree%s, %" PRIu64 " object%s that nothing else uses: %s\n", a->names[0],
	       res.trees, ay_s(res.trees), res.objects, ay_s(res.objects), ay_human_bytes(res.bytes, size));
	return 0;
}

static const struct verb {
	const char *name;
	int least, most, flags;
	int (*run)(struct args *a, struct ay_err *err);
} verbs[] = {
	{"list", 0, 0, AY_STORE_READONLY, list},
	{"add", 1, 64, 0, add},
	{"remove", 1, 1, 0, drop},
};

static int run(int argc, char **argv, struct ay_err *err)
{
	struct args a = {.store = AY_STORE_PATH, .control = AY_CONTROL_PATH};
	const struct verb *v = NULL;
	int first = 0;
	const struct option longs[] = {{"store", required_argument, NULL, 's'},
				       {"control", required_argument, NULL, 'c'},
				       {"forget", no_argument, &a.forget, 1},
				       {"json", no_argument, &a.json, 1},
				       {0}};
	int r = ay_options(argc, argv, longs, each, &a, &first, err);
	if (r < 0)
		return r;
	for (size_t i = 0; first < argc && i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (strcmp(argv[first], verbs[i].name) == 0)
			v = &verbs[i];
	}
	a.names = argv + first + 1;
	a.n = argc - first - 1;
	if (!v || a.n < v->least || a.n > v->most)
		return ay_usage(err, "branch", "branch needs list, add NAME... or remove NAME");
	if (a.forget && v->run != drop)
		return ay_usage(err, "branch", "--forget is for remove");
	for (int i = 0; i < a.n; i++) {
		if (ay_branch_check(a.names[i], strlen(a.names[i])) < 0)
			return ay_err_set(err, AY_EUSAGE, "\"%s\" is no branch name", a.names[i]);
	}
	r = ay_open_store(a.store, v->flags, &a.s, err);
	if (r == 0)
		r = v->run(&a, err);
	ay_store_close(a.s);
	if (a.changed)
		ay_client_reload(a.control);
	return r;
}

const struct ay_cmd ay_cmd_branch = {
	"branch",
	"list, follow or leave branches",
	"Usage: ayni branch list [--store DIR] [--json]\n"
	"       ayni branch add NAME... [--store DIR] [--control SOCKET] [--json]\n"
	"       ayni branch remove NAME [--forget] [--store DIR] [--control SOCKET] [--json]\n"
	"\n"
	"list shows every branch, what it is at, and the limits that the root sets for it. add follows branches: their\n"
	"releases are fetched from then on. remove stops following and removes all trees of the branch, and the objects that\n"
	"no other branch uses; refused while somebody uses one. What serial was installed stays remembered, so that\n"
	"following it again brings nothing older.\n"
	"\n"
	"      --forget         remove: also forget that\n"
	"  -s, --store DIR      the store (" AY_STORE_PATH ")\n"
	"  -c, --control SOCKET a running node's socket, which is told (" AY_CONTROL_PATH ")\n"
	"      --json           print JSON\n",
	run,
};
