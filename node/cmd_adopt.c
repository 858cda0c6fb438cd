/* SPDX-License-Identifier: MIT */
/*
 * `ayni adopt`: what it takes, and how it tells what became of the directory.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <jansson.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "node/adopt.h"
#include "node/client.h"
#include "node/cmd.h"
#include "node/keyfile.h"
#include "node/paths.h"
#include "node/progress.h"

#define NAMES_WORDS 5   /* of each kind of difference */
#define NAMES_JSON  100 /* likewise */

enum { OPT_NAME = 256, OPT_NOTES, OPT_MOUNTS, OPT_THREADS };

struct args {
	const char *store, *control, *repo, *dir;
	struct ay_adoption q;
	struct ay_secret_key keys[AY_SIGNATURES_MAX];
	const char *key_paths[AY_SIGNATURES_MAX];
	unsigned n_keys;
	int json, read_only_source;
	struct ay_progress progress;
	uint64_t total; /* when nobody else knows */
	char *names[AY_ADOPT_DIFFS][NAMES_JSON];
	unsigned n_names[AY_ADOPT_DIFFS];
};

static const char *const diff_keys[AY_ADOPT_DIFFS] = {"missing", "changed", "metadata",
						      "extra",   "skipped", "unreadable"};

static int set_mounts(struct args *a, const char *arg, struct ay_err *err)
{
	static const char *const words[] = {"refuse", "skip", "take"};

	int i = ay_parse_word(arg, words, 3, "--mounts", err);

	if (i >= 0)
		a->q.how.mounts = (enum ay_adopt_mounts)i;
	return i < 0 ? i : 0;
}

static int each(void *ctx, int val, const char *arg, struct ay_err *err)
{
	struct args *a = ctx;

	switch (val) {
	case 's':
		a->store = arg;
		return 0;
	case 'c':
		a->control = arg;
		return 0;
	case 'r':
		a->repo = arg;
		return 0;
	case 'k':
		if (a->n_keys == AY_SIGNATURES_MAX)
			return ay_err_set(err, AY_ELIMIT, "a release has at most %d signatures",
					  AY_SIGNATURES_MAX);
		a->key_paths[a->n_keys++] = arg;
		return 0;
	case OPT_NAME:
		a->q.name = arg;
		return strlen(arg) <= AY_RELEASE_NAME_MAX
			       ? 0
			       : ay_err_set(err, AY_EUSAGE, "--name holds at most %d bytes",
					    AY_RELEASE_NAME_MAX);
	case OPT_NOTES:
		a->q.notes = arg;
		return strlen(arg) <= AY_RELEASE_NOTES_MAX
			       ? 0
			       : ay_err_set(err, AY_EUSAGE, "--notes holds at most %d bytes",
					    AY_RELEASE_NOTES_MAX);
	case OPT_MOUNTS:
		return set_mounts(a, arg, err);
	default:
		return ay_parse_u32(arg, 1, 256, "--threads", &a->q.how.threads, err);
	}
}

/* BRANCH[@SERIAL] DIR [SERIAL] */
static int take_operands(struct args *a, char **operands, int n, struct ay_err *err)
{
	char *at = strchr(operands[0], '@');
	int r = 0;

	if (at && n > 2)
		return ay_usage(err, "adopt", "one serial is enough");
	if (at)
		*at = '\0';
	if (at || n > 2)
		r = ay_parse_u32(at ? at + 1 : operands[2], 1, AY_SERIAL_MAX, "the serial", &a->q.serial,
				 err);
	if (r < 0)
		return r;
	if (ay_branch_check(operands[0], strlen(operands[0])) < 0)
		return ay_err_set(err, AY_EUSAGE, "\"%s\" is no branch name", operands[0]);
	a->q.how.branch = operands[0];
	a->dir = operands[1];
	if (!a->repo == !a->n_keys)
		return ay_usage(
			err, "adopt",
			a->repo ? "--repo matches, --key signs: only one of them"
				: "say --repo DIR (match a published release) or --key SECRET (sign it)");
	if (!a->repo && a->q.serial)
		return ay_usage(err, "adopt", "a serial is for --repo: what is signed here is the first");
	return 0;
}

/* ---- progress, and what differs ---- */

static int show_progress(void *ctx, uint64_t done, uint64_t total)
{
	struct args *a = ctx;

	if (total == 0)
		total = a->total > done ? a->total : done;
	ay_progress_show(&a->progress, done, total);
	return 0;
}

static void on_differs(void *ctx, enum ay_adopt_diff what, const char *path)
{
	struct args *a = ctx;
	struct ay_buf text = {0};

	if (a->n_names[what] == NAMES_JSON)
		return;
	/* Percent-encoded as in a manifest: one clean word, whatever bytes are in the name. */
	ay_percent_put(&text, path, strlen(path));
	const char *s = ay_buf_cstr(&text);
	char *kept = s ? strdup(s) : NULL;
	if (kept)
		a->names[what][a->n_names[what]++] = kept;
	ay_buf_release(&text);
}

static uint64_t tree_bytes; /* nftw() has no room for more */

static int add_size(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)path, (void)ftw;
	if (type == FTW_F && S_ISREG(st->st_mode))
		tree_bytes += (uint64_t)st->st_size;
	return 0;
}

/* Only for who looks: it takes a walk. */
static void measure(struct args *a)
{
	if (!a->progress.on || a->repo)
		return;
	tree_bytes = 0;
	nftw(a->dir, add_size, 32, FTW_PHYS | FTW_MOUNT);
	a->total = tree_bytes;
}

/* ---- telling ---- */

static void print_part(const char *what, uint64_t files, uint64_t bytes)
{
	char size[32];

	if (files > 0)
		printf("  %-10s %8" PRIu64 " files, %s\n", what, files, ay_human_bytes(bytes, size));
}

static void print_differ(const struct args *a, const struct ay_adopted *out, enum ay_adopt_diff what,
			 const char *words)
{
	if (out->differ[what] == 0)
		return;
	printf("%" PRIu64 " %s:", out->differ[what], words);
	unsigned n = a->n_names[what] < NAMES_WORDS ? a->n_names[what] : NAMES_WORDS;
	for (unsigned i = 0; i < n; i++)
		printf(" %s", a->names[what][i]);
	puts(out->differ[what] > n ? " ..." : "");
}

static void print_unreadable(const struct args *a, const struct ay_adopted *out)
{
	char words[160];

	snprintf(words, sizeof(words), "that cannot be read (%s)", ay_strerror(out->unreadable));
	print_differ(a, out, AY_ADOPT_UNREADABLE, words);
}

static void print_words(const struct args *a, uint32_t serial, const struct ay_adopted *out)
{
	char size[32];

	printf("%s: %s is release %u: %" PRIu64 " entries, %s\n", a->q.how.branch, a->dir, serial,
	       out->entries, ay_human_bytes(out->bytes, size));
	print_part("linked", out->linked.files, out->linked.bytes);
	print_part("reflinked", out->reflinked.files, out->reflinked.bytes);
	print_part("copied", out->copied.files, out->copied.bytes);
	print_part("equal", out->present.files, out->present.bytes);
	print_part("fetched", out->fetched.files, out->fetched.bytes);
	if (out->moved > 0)
		printf("  (%" PRIu64 " of these lay under another name)\n", out->moved);
	print_differ(a, out, AY_ADOPT_MISSING, "not there");
	print_differ(a, out, AY_ADOPT_CHANGED, "with other content");
	print_differ(a, out, AY_ADOPT_METADATA, "with other mode, owner, time or attributes only");
	print_differ(a, out, AY_ADOPT_EXTRA, "not in the release, left out");
	print_differ(a, out, AY_ADOPT_SKIPPED, "not looked into");
	print_unreadable(a, out);
	if (out->writers > 0)
		printf("%" PRIu64 " files are open for writing and were copied instead of linked\n",
		       out->writers);
	if (out->linked.files > 0)
		printf("The linked files are now the store's own: from now on nobody may write into files of %s\n",
		       a->dir);
}

static json_t *part_json(uint64_t files, uint64_t bytes)
{
	return json_pack("{s:I, s:I}", "files", (json_int_t)files, "bytes", (json_int_t)bytes);
}

static int print_json(const struct args *a, uint32_t serial, const struct ay_adopted *out, int code,
		      const struct ay_err *why, struct ay_err *err)
{
	json_t *o = json_pack("{s:s, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:I, s:I}", "branch",
			      a->q.how.branch, "serial", (json_int_t)serial, "entries",
			      (json_int_t)out->entries, "bytes", (json_int_t)out->bytes, "linked",
			      part_json(out->linked.files, out->linked.bytes), "reflinked",
			      part_json(out->reflinked.files, out->reflinked.bytes), "copied",
			      part_json(out->copied.files, out->copied.bytes), "equal",
			      part_json(out->present.files, out->present.bytes), "fetched",
			      part_json(out->fetched.files, out->fetched.bytes), "moved",
			      (json_int_t)out->moved, "writers", (json_int_t)out->writers);
	json_t *differ = json_object();

	for (int i = 0; i < AY_ADOPT_DIFFS; i++) {
		json_t *first = json_array();
		for (unsigned k = 0; k < a->n_names[i]; k++)
			json_array_append_new(first, json_string(a->names[i][k]));
		json_object_set_new(
			differ, diff_keys[i],
			json_pack("{s:I, s:o}", "count", (json_int_t)out->differ[i], "first", first));
	}
	if (o)
		json_object_set_new(o, "differ", differ);
	if (o && code < 0) {
		json_t *sentence = json_string(why->msg);
		json_object_set_new(o, "error", json_string(ay_error_name(code)));
		json_object_set_new(o, "message", sentence ? sentence : json_string(ay_strerror(code)));
	}
	return ay_print_json(o, err);
}

/* ---- doing ---- */

static int adopt(struct args *a, struct ay_err *err)
{
	struct ay_adopted out;
	struct ay_err why = {0};
	uint32_t serial;

	ay_progress_init(&a->progress, "adopting");
	measure(a);
	a->q.how.differs = on_differs;
	a->q.how.progress = show_progress;
	a->q.how.ctx = a;
	int r = ay_adopt(&a->q, &serial, &out, &why);
	ay_progress_end(&a->progress);
	*err = why;
	if (a->json) {
		struct ay_err printing = {0};
		int q = print_json(a, serial, &out, r, &why, &printing);
		if (q < 0 && r == 0)
			*err = printing;
		return r < 0 ? r : q;
	}
	if (r == 0)
		print_words(a, serial, &out);
	else if (r == AY_EBASE) { /* what differs is what the user has to look at */
		print_differ(a, &out, AY_ADOPT_MISSING, "not there");
		print_differ(a, &out, AY_ADOPT_CHANGED, "with other content");
	}
	return r;
}

static int prepare(struct args *a, struct ay_err *err)
{
	int r = ay_open_store(a->store, 0, &a->q.s, err);

	if (r == 0 && a->repo)
		r = ay_repo_open(ay_fs_real(), a->repo, false, &a->q.how.repo, err);
	unsigned n = 0;
	while (r == 0 && n < a->n_keys && (r = ay_keyfile_secret(a->key_paths[n], &a->keys[n], err)) == 0)
		n++;
	a->q.keys = a->keys;
	a->q.n_keys = n;
	return r;
}

static int run(int argc, char **argv, struct ay_err *err)
{
	AY_FREE struct args *a = calloc(1, sizeof(*a));
	int first = 0;

	if (!a)
		return ay_err_errno(err, ENOMEM, "adopt");
	a->store = AY_STORE_PATH;
	a->control = AY_CONTROL_PATH;
	const struct option longs[] = {{"store", required_argument, NULL, 's'},
				       {"control", required_argument, NULL, 'c'},
				       {"repo", required_argument, NULL, 'r'},
				       {"key", required_argument, NULL, 'k'},
				       {"name", required_argument, NULL, OPT_NAME},
				       {"notes", required_argument, NULL, OPT_NOTES},
				       {"mounts", required_argument, NULL, OPT_MOUNTS},
				       {"threads", required_argument, NULL, OPT_THREADS},
				       {"read-only-source", no_argument, &a->read_only_source, 1},
				       {"json", no_argument, &a->json, 1},
				       {0}};
	int r = ay_options(argc, argv, longs, each, a, &first, err);
	if (r < 0)
		return r;
	if (argc - first < 2 || argc - first > 3)
		return ay_usage(err, "adopt", "adopt needs a branch and a directory");
	if ((r = take_operands(a, argv + first, argc - first, err)) < 0)
		return r;
	AY_CLOSE int dirfd = open(a->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dirfd < 0)
		return ay_err_errno(err, errno, "cannot open %s", a->dir);
	a->q.how.dirfd = dirfd;
	a->q.how.dir = a->dir;
	a->q.how.read_only_source = a->read_only_source;
	a->q.now_s = (uint64_t)time(NULL);
	if ((r = prepare(a, err)) == 0 && (r = adopt(a, err)) == 0)
		ay_client_reload(a->control);
	while (a->q.n_keys > 0)
		ay_secret_key_wipe(&a->keys[--a->q.n_keys]);
	ay_repo_close(a->q.how.repo);
	ay_store_close(a->q.s);
	for (int i = 0; i < AY_ADOPT_DIFFS; i++) {
		while (a->n_names[i] > 0)
			free(a->names[i][--a->n_names[i]]);
	}
	return r;
}

const struct ay_cmd ay_cmd_adopt = {
	"adopt",
	"make a directory on the disk a branch's first release",
	"Usage: ayni adopt BRANCH[@SERIAL] DIR --repo REPO [--read-only-source] [OPTION...]\n"
	"       ayni adopt BRANCH DIR --key SECRET [--read-only-source] [OPTION...]\n"
	"\n"
	"With --repo: DIR is, more or less, a release that was published, such as a system that was installed by other\n"
	"means. Files that are right are taken from DIR, by reflink where the file system has that, else by copy; only\n"
	"what DIR lacks comes from the repository REPO. Without SERIAL the release is taken that lacks least. What DIR has\n"
	"besides is left out. Every byte is checked against the signed release.\n"
	"\n"
	"With --key: DIR becomes the first release of a branch that nobody has published, signed with a key that has the\n"
	"role release in the store's root.\n"
	"\n"
	"DIR itself is never changed. Exit code 3, with --repo, when the branch is at that release already (DIR is not\n"
	"looked at then), 4 when it is refused.\n"
	"\n"
	"  -r, --repo DIR        the repository that holds the release, and what DIR lacks\n"
	"  -k, --key SECRET      sign with this key; repeatable, where the root asks for several\n"
	"      --read-only-source\n"
	"                        nobody writes to files of DIR from now on: files with the right metadata are hard-linked\n"
	"                        into the store, which costs no room; the others are copied\n"
	"      --mounts WORD     other file systems inside DIR, with --key: refuse, skip or take (refuse)\n"
	"      --name TEXT       the signed release's name for people\n"
	"      --notes TEXT      its notes\n"
	"  -s, --store DIR       the store (" AY_STORE_PATH ")\n"
	"  -c, --control SOCKET  a running node's socket, which is told (" AY_CONTROL_PATH ")\n"
	"      --threads N       cores to use (all)\n"
	"      --json            print the result as JSON\n",
	run,
};
