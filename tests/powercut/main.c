/* SPDX-License-Identifier: MIT */
/*
 * Power cuts on real file systems.
 *
 * A story (story.h) is recorded on a disk behind FUSE that remembers all writes and flushes (disk.h); then the disk as
 * it may be after a cut anywhere in it is made (image.h), mounted, and compared with what the store had promised
 * until then (facts.h, promise.h). With --mutants each sync of the store's is left out in turn, which has to be noticed.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "tests/powercut/mnt.h"
#include "tests/powercut/moved.h"
#include "tests/powercut/mutants.h"
#include "tests/powercut/record.h"
#include "tests/powercut/replay.h"

#define FS_MAX 3

static const char usage[] =
	"powercut [--fs LIST] [--states N] [--seconds S] [--stories N] [--seed N] [--jobs N] [--tear 512]\n"
	"         [--finish-every N] [--keep DIR] [--skip SYNC]\n"
	"         [--mutants [--only TEXT] | --syncs | --moved | --log FILE --state NAME [--run COMMAND]]\n"
	"  --fs LIST         ext4,xfs,btrfs (all)\n"
	"  --states N        different disks to look at, per file system (3000)\n"
	"  --seconds S       or so long, per file system\n"
	"  --stories N       recordings, among which they are shared out (4)\n"
	"  --tear 512        blocks of 4 KiB may be torn too\n"
	"  --skip SYNC       the store leaves this sync out\n"
	"  --mutants         each sync is left out in turn; what is not noticed alone, together with others of its phase.\n"
	"                    With --only the phases that begin with TEXT; or, alone, =NAME, =PREFIX..., =NAME|NAME\n"
	"  --syncs           only tell their names\n"
	"  --moved           which syncs bring a directory that was moved to the disk\n"
	"  --log, --state    look at one state of a recording that was kept; --run: with a shell command, in it\n";

struct options {
	const char *fs[FS_MAX];
	unsigned n_fs;
	struct replay_options replay;
	uint64_t seed, stories;
	const char *keep, *skip, *only, *log, *state;
	bool mutants, syncs, moved;
};

static bool parse_fs(struct options *o, char *list)
{
	o->n_fs = 0;
	for (char *save = NULL, *p = strtok_r(list, ",", &save); p; p = strtok_r(NULL, ",", &save)) {
		if (o->n_fs == FS_MAX || fs_disk_size(p) == 0)
			return false;
		o->fs[o->n_fs++] = p;
	}
	return o->n_fs > 0;
}

/* One option; false: none that we know. */
static bool take(struct options *o, int c, char *arg)
{
	uint64_t v = arg ? strtoull(arg, NULL, 10) : 0;

	switch (c) {
	case 'f':
		return parse_fs(o, arg);
	case 'n':
		o->replay.states = v;
		break;
	case 't':
		o->replay.seconds = (double)v;
		break;
	case 'r':
		o->stories = v;
		break;
	case 's':
		o->seed = v;
		break;
	case 'j':
		o->replay.jobs = (unsigned)v;
		break;
	case 'T':
		o->replay.tear = v == 512 ? 512 : BLOCK;
		break;
	case 'F':
		o->replay.finish_every = (unsigned)v;
		break;
	case 'k':
		o->keep = arg;
		break;
	case 'x':
		o->skip = arg;
		break;
	case 'm':
		o->mutants = true;
		break;
	case 'o':
		o->only = arg;
		break;
	case 'y':
		o->syncs = true;
		break;
	case 'M':
		o->moved = true;
		break;
	case 'l':
		o->log = arg;
		break;
	case 'S':
		o->state = arg;
		break;
	case 'R':
		o->replay.run = arg;
		break;
	default:
		return false;
	}
	return true;
}

static bool parse(struct options *o, int argc, char **argv)
{
	static const struct option longs[] = {
		{"fs", 1, 0, 'f'},      {"states", 1, 0, 'n'},  {"seconds", 1, 0, 't'},
		{"stories", 1, 0, 'r'}, {"seed", 1, 0, 's'},    {"jobs", 1, 0, 'j'},
		{"tear", 1, 0, 'T'},    {"keep", 1, 0, 'k'},    {"finish-every", 1, 0, 'F'},
		{"skip", 1, 0, 'x'},    {"mutants", 0, 0, 'm'}, {"only", 1, 0, 'o'},
		{"syncs", 0, 0, 'y'},   {"moved", 0, 0, 'M'},   {"log", 1, 0, 'l'},
		{"state", 1, 0, 'S'},   {"run", 1, 0, 'R'},     {0}};
	bool ok = true;
	int c;

	*o = (struct options){
		.fs = {"ext4", "xfs", "btrfs"}, .n_fs = 3, .seed = 1, .stories = 4, .keep = "."};
	o->replay = (struct replay_options){.jobs = 4, .states = 3000, .finish_every = 10, .tear = BLOCK};
	while (ok && (c = getopt_long(argc, argv, "", longs, NULL)) != -1)
		ok = take(o, c, optarg);
	return ok && optind == argc && o->stories > 0 && o->replay.jobs > 0;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* What failed, and the command that shows it again. */
static void print_failures(const struct options *o, const struct blk_log *log,
			   const struct replay_result *res)
{
	char path[512];
	unsigned n = res->n_failures < FAILURES_MAX ? res->n_failures : FAILURES_MAX;

	if (n == 0)
		return;
	snprintf(path, sizeof(path), "%s/powercut-%s-%llu.log", o->keep, log->fs,
		 (unsigned long long)log->seed);
	int r = blk_log_save(log, path);
	if (r < 0)
		printf("  (the recording could not be kept in %s: %s)\n", path, strerror(-r));
	for (unsigned i = 0; i < n; i++) {
		const struct failure *f = &res->failures[i];
		printf("  %s %s: %s\n      repeat: %s --log %s --state %s%s\n", log->fs, f->state, f->what,
		       program_invocation_name, path, f->state, o->replay.tear < BLOCK ? " --tear 512" : "");
	}
}

struct row {
	unsigned long long stories, writes, flushes, states, judged, finished, unmountable, violations;
	double seconds;
};

static void add(struct row *row, const struct blk_log *log, const struct replay_result *res)
{
	row->stories++;
	row->writes += log->n_writes;
	row->flushes += log->n_flushes;
	row->states += res->states;
	row->judged += res->judged;
	row->finished += res->finished;
	row->unmountable += res->unmountable;
	row->violations += res->violations;
}

static int run_fs(const struct options *o, const struct world *w, const char *fs, struct row *row)
{
	struct blk_log *log = blk_log_new(fs_disk_size(fs));
	double start = now();
	int r = log ? 0 : -ENOMEM;

	*row = (struct row){0};
	for (uint64_t i = 0; i < o->stories && r == 0; i++) {
		struct replay_options ro = o->replay;
		struct replay_result *res = replay_result_new();
		static struct seam m;
		AY_ASSERT(res);
		/* What one recording has not (its states are exhausted) the next ones give. */
		ro.states = (o->replay.states - row->states) / (o->stories - i);
		if (ro.seconds > 0)
			ro.seconds = (o->replay.seconds - (now() - start)) / (double)(o->stories - i);
		if (o->replay.seconds > 0 && ro.seconds <= 0)
			break;
		r = record(w, fs, manner_of(o->seed + i), o->seed + i, o->skip, log, &m);
		if (r == 0)
			r = replay_all(w, log, &ro, res);
		if (r == 0) {
			add(row, log, res);
			print_failures(o, log, res);
		}
		if (o->stories > 1 && r == 0) {
			row->seconds = now() - start;
			printf("  %s, story %llu: %llu states until now, %.0f a second\n", fs,
			       (unsigned long long)(o->seed + i), row->states,
			       (double)row->states / row->seconds);
			fflush(stdout);
		}
	}
	row->seconds = now() - start;
	blk_log_free(log);
	return r;
}

static int run_all(const struct options *o, const struct world *w)
{
	struct row rows[FS_MAX] = {0};
	struct utsname u;
	int r = 0;

	uname(&u);
	for (unsigned i = 0; i < o->n_fs && r == 0; i++) {
		if ((r = run_fs(o, w, o->fs[i], &rows[i])) < 0)
			fprintf(stderr, "powercut: %s: %s\n", o->fs[i], strerror(-r));
	}
	printf("%-6s %7s %7s %7s %8s %8s %8s %8s %8s %8s\n", u.release, "stories", "writes", "flushes",
	       "states", "judged", "resumed", "no-mount", "violated", "seconds");
	for (unsigned i = 0; i < o->n_fs && r == 0; i++) {
		const struct row *x = &rows[i];
		printf("%-6s %7llu %7llu %7llu %8llu %8llu %8llu %8llu %8llu %8.0f\n", o->fs[i], x->stories,
		       x->writes, x->flushes, x->states, x->judged, x->finished, x->unmountable,
		       x->violations, x->seconds);
		if (x->violations || x->unmountable)
			r = 1;
		if (x->states == 0)
			r = -EIO;
	}
	return r;
}

static int syncs_of(const struct options *o, const struct world *w)
{
	struct blk_log *log = blk_log_new(fs_disk_size(o->fs[0]));
	static struct seam m;
	int r = log ? record(w, o->fs[0], manner_of(o->seed), o->seed, NULL, log, &m) : -ENOMEM;

	for (unsigned i = 0; r == 0 && i < m.n; i++)
		printf("%s\n", m.names[i]);
	blk_log_free(log);
	return r;
}

static int run_one(const struct options *o, const struct world *w)
{
	struct blk_log *log = NULL;
	int r = blk_log_load(o->log, &log);

	if (r == 0)
		r = replay_one(w, log, &o->replay, o->state);
	blk_log_free(log);
	return r;
}

static int run(const struct options *o, const struct world *w)
{
	const struct hunt h = {.w = w,
			       .n_fs = o->n_fs,
			       .replay = o->replay,
			       .seed = o->seed,
			       .stories = o->stories,
			       .only = o->only};

	if (o->log)
		return o->state ? run_one(o, w) : -EINVAL;
	if (o->moved)
		return moved_try(w, o->fs, o->n_fs, &o->replay);
	if (o->mutants)
		return mutants_hunt(&h, o->fs);
	return o->syncs ? syncs_of(o, w) : run_all(o, w);
}

int main(int argc, char **argv)
{
	struct options o;
	struct world w;
	char why[128];

	if (!parse(&o, argc, argv)) {
		fputs(usage, stderr);
		return 2;
	}
	for (unsigned i = 0; i < o.n_fs; i++) {
		if (mnt_missing(o.fs[i], why, sizeof(why))) {
			printf("powercut: %s: %s\n", o.fs[i], why);
			return 77;
		}
	}
	int r = mnt_private();
	if (r < 0) {
		printf("powercut: needs a mount namespace of its own: %s\n", strerror(-r));
		return 77;
	}
	world_make(&w);
	r = run(&o, &w);
	if (r < 0)
		fprintf(stderr, "powercut: %s\n", strerror(-r));
	world_free(&w);
	return r == 0 ? 0 : 1;
}
