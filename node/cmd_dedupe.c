/* SPDX-License-Identifier: MIT */
/*
 * `ayni dedupe`: equal files of several directories become one.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/path.h"
#include "node/cmd.h"
#include "node/progress.h"
#include "store/dedupe.h"

#define NAMES_WORDS 3  /* of each reason */
#define NAMES_JSON  20 /* likewise */

enum { OPT_THREADS = 256 };

struct args {
	struct ay_dedupe how;
	int json, read_only, ignore_mtime, dry_run;
	struct ay_progress progress;
	char *names[AY_DEDUPE_SKIPS][NAMES_JSON];
	unsigned n_names[AY_DEDUPE_SKIPS];
};

static const struct {
	const char *key, *words;
} reasons[AY_DEDUPE_SKIPS] = {
	[AY_DEDUPE_IMMUTABLE] = {"immutable", "immutable"},
	[AY_DEDUPE_WRITER] = {"writer", "open for writing, or nobody can tell"},
	[AY_DEDUPE_CHANGED] = {"changed", "changed meanwhile"},
	[AY_DEDUPE_METADATA] = {"metadata", "equal, but of another mode, owner, time or attributes"},
	[AY_DEDUPE_UNREADABLE] = {"unreadable", "not to be read, or not to be changed by us"},
	[AY_DEDUPE_MOUNT] = {"mount", "on another file system"},
	[AY_DEDUPE_STORE] = {"store", "a store, where equal files are one already"},
};

static int each(void *ctx, int val, const char *arg, struct ay_err *err)
{
	struct args *a = ctx;

	/* Every command takes --store; here it says nothing, since a store is known by its VERSION. */
	return val == 's' ? 0 : ay_parse_u32(arg, 1, 256, "--threads", &a->how.threads, err);
}

static void on_skipped(void *ctx, enum ay_dedupe_skip why, const char *path)
{
	struct args *a = ctx;
	struct ay_buf text = {0};

	if (a->n_names[why] == NAMES_JSON)
		return;
	ay_percent_put(&text, path, strlen(path));
	const char *s = ay_buf_cstr(&text);
	char *kept = s ? strdup(s) : NULL;
	if (kept)
		a->names[why][a->n_names[why]++] = kept;
	ay_buf_release(&text);
}

static int show_progress(void *ctx, uint64_t done, uint64_t total)
{
	struct args *a = ctx;

	ay_progress_show(&a->progress, done, total);
	return 0;
}

static void print_words(const struct args *a, const struct ay_deduped *out)
{
	char size[32];

	printf("%s%" PRIu64 " of %" PRIu64 " files %s one with another, %s saved\n",
	       a->dry_run ? "would save: " : "", out->shared_files, out->files,
	       a->dry_run ? "would be" : "became", ay_human_bytes(out->saved_bytes, size));
	for (int i = 0; i < AY_DEDUPE_SKIPS; i++) {
		if (out->skipped[i] == 0)
			continue;
		printf("  %" PRIu64 " left alone, %s:", out->skipped[i], reasons[i].words);
		unsigned n = a->n_names[i] < NAMES_WORDS ? a->n_names[i] : NAMES_WORDS;
		for (unsigned k = 0; k < n; k++)
			printf(" %s", a->names[i][k]);
		puts(out->skipped[i] > n ? " ..." : "");
	}
}

static int print_json(const struct args *a, const struct ay_deduped *out, struct ay_err *err)
{
	json_t *skipped = json_object();

	for (int i = 0; i < AY_DEDUPE_SKIPS; i++) {
		json_t *first = json_array();
		for (unsigned k = 0; k < a->n_names[i]; k++)
			json_array_append_new(first, json_string(a->names[i][k]));
		json_object_set_new(
			skipped, reasons[i].key,
			json_pack("{s:I, s:o}", "count", (json_int_t)out->skipped[i], "first", first));
	}
	return ay_print_json(json_pack("{s:b, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "dry_run",
				       a->dry_run, "how", a->read_only ? "inodes" : "blocks", "files",
				       (json_int_t)out->files, "bytes", (json_int_t)out->bytes, "read_files",
				       (json_int_t)out->read_files, "read_bytes", (json_int_t)out->read_bytes,
				       "groups", (json_int_t)out->groups, "shared_files",
				       (json_int_t)out->shared_files, "saved_bytes",
				       (json_int_t)out->saved_bytes, "skipped", skipped),
			     err);
}

static int dedupe(struct args *a, struct ay_err *err)
{
	struct ay_deduped out;
	struct ay_err printing = {0};
	int q = 0;

	ay_progress_init(&a->progress, "comparing");
	int r = ay_dedupe(ay_fs_real(), &a->how, &out, err);
	ay_progress_end(&a->progress);
	/* What was done before a failure stays done, and is told. */
	if (a->json)
		q = print_json(a, &out, &printing);
	else if (r == 0 || out.shared_files > 0 || r == AY_ENOTHING)
		print_words(a, &out);
	if (q < 0 && r == 0)
		*err = printing;
	for (int i = 0; i < AY_DEDUPE_SKIPS; i++) {
		while (a->n_names[i] > 0)
			free(a->names[i][--a->n_names[i]]);
	}
	return r < 0 ? r : q;
}

static int run(int argc, char **argv, struct ay_err *err)
{
	struct args a = {0};
	int first = 0;
	const struct option longs[] = {{"store", required_argument, NULL, 's'},
				       {"threads", required_argument, NULL, OPT_THREADS},
				       {"read-only", no_argument, &a.read_only, 1},
				       {"ignore-mtime", no_argument, &a.ignore_mtime, 1},
				       {"dry-run", no_argument, &a.dry_run, 1},
				       {"json", no_argument, &a.json, 1},
				       {0}};
	int r = ay_options(argc, argv, longs, each, &a, &first, err);
	if (r < 0)
		return r;
	if (first == argc)
		return ay_usage(err, "dedupe", "dedupe needs at least one directory");
	if (a.ignore_mtime && !a.read_only)
		return ay_usage(err, "dedupe",
				"--ignore-mtime is for --read-only: blocks are shared whatever the times");
	a.how.dirs = (const char *const *)(argv + first);
	a.how.n_dirs = (unsigned)(argc - first);
	a.how.read_only = a.read_only;
	a.how.ignore_mtime = a.ignore_mtime;
	a.how.dry_run = a.dry_run;
	a.how.skipped = on_skipped;
	a.how.progress = show_progress;
	a.how.ctx = &a;
	return dedupe(&a, err);
}

const struct ay_cmd ay_cmd_dedupe = {
	"dedupe",
	"make equal files of several directories one",
	"Usage: ayni dedupe DIR... [--dry-run] [--json]\n"
	"       ayni dedupe --read-only DIR... [--ignore-mtime] [--dry-run] [--json]\n"
	"\n"
	"Finds files of the same content in all the directories (sizes first, then digests; what has a size of its own is\n"
	"not read) and makes them share their room on the disk. Programs may go on writing: the kernel compares and shares\n"
	"blocks under its own locks. That takes btrfs, or xfs with reflinks.\n"
	"\n"
	"With --read-only nobody writes to these directories from now on: equal files of the same mode, owner, time and\n"
	"attributes become one inode by hard links, on any file system. What is open for writing is left alone; whoever\n"
	"writes into such a file later writes into all of them.\n"
	"\n"
	"Other file systems, symbolic links and immutable files are left alone. Exit code 3 when nothing was to be done.\n"
	"\n"
	"      --read-only       hard links instead of shared blocks\n"
	"      --ignore-mtime    with --read-only: also files that differ in time only; they get the oldest's\n"
	"      --dry-run         tell, change nothing\n"
	"      --threads N       cores to use (all)\n"
	"  -s, --store DIR       accepted as everywhere; not needed\n"
	"      --json            print the result as JSON\n",
	run,
};
