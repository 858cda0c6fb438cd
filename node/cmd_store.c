/* SPDX-License-Identifier: MIT */
/*
 * The commands that look at a store or tidy it: list, log, gc, verify.
 * They work on the store itself, with or without a running node; a node that runs
 * is told to look again.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jansson.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "node/client.h"
#include "node/cmd.h"
#include "node/paths.h"
#include "node/progress.h"
#include "store/state.h"
#include "store/store.h"

struct args {
	const char *store, *control;
	uint32_t keep;
	int json;
	const char *branch;
	uint32_t serial; /* 0: none named */
	struct ay_store *s;
};

/* What a command understands besides --store and --json. */
enum { TAKES_CONTROL = 1, TAKES_KEEP = 2, TAKES_SERIAL = 4 };

static int each(void *ctx, int val, const char *arg, struct ay_err *err)
{
	struct args *a = ctx;
	if (val == 'k')
		return ay_parse_u32(arg, 1, 1000, "--keep", &a->keep, err);
	*(val == 's' ? &a->store : &a->control) = arg;
	return 0;
}

/* BRANCH, or where a serial has a meaning BRANCH@SERIAL too */
static int take_branch(struct args *a, char *word, bool may_have_serial, struct ay_err *err)
{
	char *at = may_have_serial ? strchr(word, '@') : NULL;
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

static int take_options(struct args *a, int argc, char **argv, int takes, int *first, struct ay_err *err)
{
	static const struct option control = {"control", required_argument, NULL, 'c'},
				   keep = {"keep", required_argument, NULL, 'k'};
	struct option longs[5] = {{"store", required_argument, NULL, 's'},
				  {"json", no_argument, &a->json, 1}};
	size_t n = 2;
	*a = (struct args){.store = AY_STORE_PATH, .control = AY_CONTROL_PATH, .keep = 2};
	if (takes & TAKES_CONTROL)
		longs[n++] = control;
	if (takes & TAKES_KEEP)
		longs[n++] = keep;
	return ay_options(argc, argv, longs, each, a, first, err);
}

static int begin(struct args *a, int argc, char **argv, int takes, int operands_min, int operands_max,
		 int flags, struct ay_err *err)
{
	int first = 0;
	int r = take_options(a, argc, argv, takes, &first, err);
	if (r < 0)
		return r;
	int n = argc - first;
	if (n < operands_min || n > operands_max)
		return ay_usage(err, argv[0], n < operands_min ? "say which branch" : "too many arguments");
	if (n > 0 && (r = take_branch(a, argv[first], takes & TAKES_SERIAL, err)) < 0)
		return r;
	if (n > 1 && a->serial != 0)
		return ay_usage(err, argv[0], "one serial is enough");
	if (n > 1 && (r = ay_parse_u32(argv[first + 1], 1, AY_SERIAL_MAX, "the serial", &a->serial, err)) < 0)
		return r;
	return ay_open_store(a->store, flags, &a->s, err);
}

static int finish(struct args *a, int r)
{
	ay_store_close(a->s);
	return r;
}

static const char *date_text(uint64_t date_s, char out[32])
{
	time_t t = (time_t)date_s;
	struct tm tm;
	if (!gmtime_r(&t, &tm) || strftime(out, 32, "%Y-%m-%d %H:%M", &tm) == 0)
		snprintf(out, 32, "%" PRIu64, date_s);
	return out;
}

static json_t *tree_json(const struct ay_tree_info *t)
{
	char manifest[AY_DIGEST_HEX + 1];
	return json_pack("{s:s, s:I, s:b, s:s, s:I, s:s, s:I, s:I, s:s}", "branch", t->release.branch,
			 "serial", (json_int_t)t->serial, "current", (int)t->current, "name", t->release.name,
			 "date", (json_int_t)t->release.date_s, "manifest",
			 ay_digest_hex(&t->release.manifest, manifest), "entries",
			 (json_int_t)t->release.entries, "bytes", (json_int_t)t->release.unpacked_size,
			 "notes", t->release.notes);
}

/* ---- list and log ---- */

typedef void (*tree_fn)(const struct ay_tree_info *t);

static void list_tree(const struct ay_tree_info *t)
{
	char date[32], size[32];
	printf("%c %-24s %6u  %s  %10s  %s\n", t->current ? '*' : ' ', t->release.branch, t->serial,
	       date_text(t->release.date_s, date), ay_human_bytes(t->release.unpacked_size, size),
	       t->release.name);
}

static void print_notes(const char *notes)
{
	for (const char *line = notes; *line;) {
		int n = (int)strcspn(line, "\n");
		printf("%s%.*s\n", line == notes ? "\n    " : "    ", n, line);
		line += n;
		line += *line == '\n';
	}
}

static void log_tree(const struct ay_tree_info *t)
{
	char date[32], size[32], hex[AY_DIGEST_HEX + 1];
	printf("release %u%s%s%s\n", t->serial, t->release.name[0] ? " " : "", t->release.name,
	       t->current ? " (current)" : "");
	printf("date:     %s UTC\nmanifest: %s\ncontents: %" PRIu64 " entries, %s\n",
	       date_text(t->release.date_s, date), ay_digest_hex(&t->release.manifest, hex),
	       t->release.entries, ay_human_bytes(t->release.unpacked_size, size));
	if (t->release.notes[0])
		print_notes(t->release.notes);
	putchar('\n');
}

static int walk_branch(struct args *a, const char *branch, bool newest_first, tree_fn print, json_t *array,
		       size_t *count, struct ay_err *err)
{
	AY_FREE struct ay_tree_info *trees = NULL;
	size_t n = 0;
	int r = ay_store_trees(a->s, branch, &trees, &n, err);
	for (size_t i = 0; r == 0 && i < n; i++) {
		const struct ay_tree_info *t = &trees[newest_first ? n - 1 - i : i];
		if (array)
			json_array_append_new(array, tree_json(t));
		else
			print(t);
	}
	*count += n;
	return r;
}

static int walk(struct args *a, bool newest_first, tree_fn print, struct ay_err *err)
{
	json_t *array = a->json ? json_array() : NULL;
	char **names = NULL;
	size_t n = 0, count = 0;
	int r = 0;
	if (a->branch)
		r = walk_branch(a, a->branch, newest_first, print, array, &count, err);
	else if ((r = ay_store_branches(a->s, &names, &n, err)) == 0)
		for (size_t i = 0; r == 0 && i < n; i++)
			r = walk_branch(a, names[i], newest_first, print, array, &count, err);
	ay_store_names_free(names, n);
	if (r == 0 && array)
		r = ay_print_json(array, err);
	else
		json_decref(array);
	if (r == 0 && count == 0)
		return ay_err_set(err, AY_ENOTHING, "no tree of %s in %s yet",
				  a->branch ? a->branch : "any branch", a->store);
	return r;
}

static int run_list(int argc, char **argv, struct ay_err *err)
{
	struct args a;
	int r = begin(&a, argc, argv, 0, 0, 1, AY_STORE_READONLY, err);
	return r < 0 ? r : finish(&a, walk(&a, false, list_tree, err));
}

static int run_log(int argc, char **argv, struct ay_err *err)
{
	struct args a;
	int r = begin(&a, argc, argv, 0, 1, 1, AY_STORE_READONLY, err);
	return r < 0 ? r : finish(&a, walk(&a, true, log_tree, err));
}

/* ---- gc, verify ---- */

static int gc(struct args *a, struct ay_err *err)
{
	struct ay_gc_result res = {0};
	char size[32];
	int r = ay_store_gc(a->s, a->keep, &res, err);
	if (r < 0)
		return r;
	if (a->json)
		return ay_print_json(json_pack("{s:I, s:I, s:I}", "trees", (json_int_t)res.trees, "objects",
					       (json_int_t)res.objects, "bytes", (json_int_t)res.bytes),
				     err);
	printf("removed %u %s and %" PRIu64 " objects: %s\n", res.trees, res.trees == 1 ? "tree" : "trees",
	       res.objects, ay_human_bytes(res.bytes, size));
	return 0;
}

static int run_gc(int argc, char **argv, struct ay_err *err)
{
	struct args a;
	int r = begin(&a, argc, argv, TAKES_CONTROL | TAKES_KEEP, 0, 0, 0, err);
	if (r < 0)
		return r;
	r = finish(&a, gc(&a, err));
	if (r == 0)
		ay_client_reload(a.control);
	return r;
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
	struct args a;
	int r = begin(&a, argc, argv, TAKES_SERIAL, 1, 2, AY_STORE_READONLY, err);
	return r < 0 ? r : finish(&a, verify(&a, err));
}

#define COMMON_HELP                                                                                          \
	"  -s, --store DIR      the store (" AY_STORE_PATH ")\n"                                             \
	"      --json           print JSON\n"

const struct ay_cmd ay_cmd_list = {
	"list",
	"list the releases that are here",
	"Usage: ayni list [BRANCH] [--store DIR] [--json]\n"
	"\n"
	"One line a release: serial, date, size, name; * marks the current one. Exit code 3 when there is none.\n"
	"\n" COMMON_HELP,
	run_list,
};

const struct ay_cmd ay_cmd_log = {
	"log",
	"tell what the releases of a branch brought",
	"Usage: ayni log BRANCH [--store DIR] [--json]\n"
	"\n"
	"The releases that are here, newest first, with their notes.\n"
	"\n" COMMON_HELP,
	run_log,
};

const struct ay_cmd ay_cmd_gc = {
	"gc",
	"remove old releases and what nothing uses",
	"Usage: ayni gc [--keep N] [--store DIR] [--control SOCKET] [--json]\n"
	"\n"
	"Keeps the newest N releases of each branch (2), the current one and the one before it in any case, and\n"
	"removes objects and bundles that nothing uses any more.\n"
	"\n"
	"  -k, --keep N         releases to keep per branch (2)\n" COMMON_HELP
	"  -c, --control SOCKET a running node's socket, which is told (" AY_CONTROL_PATH ")\n",
	run_gc,
};

const struct ay_cmd ay_cmd_verify = {
	"verify",
	"compare a tree with its release, byte for byte",
	"Usage: ayni verify BRANCH [SERIAL] [--store DIR] [--json]\n"
	"\n"
	"Reads the current tree, or SERIAL's, and compares every entry with the signed manifest.\n"
	"\n" COMMON_HELP,
	run_verify,
};
