/* SPDX-License-Identifier: MIT */
/*
 * ayni-sim: one seed after the other, some at a time, each worker a process of its own. Whatever breaks is said with the
 * command that shows it again.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sim/mutant.h"
#include "sim/run.h"

#define JOBS_MAX 64

struct options {
	struct ay_run_config run;
	uint64_t from, to;
	unsigned jobs;
	bool stats, hash;
	const char *program, *mutant;
};

struct report {
	uint64_t seed;
	struct ay_run_result result;
};

static void usage(FILE *out)
{
	fprintf(out,
		"Usage: ayni-sim [--seed N | --seeds COUNT|FROM..TO] [options]\n"
		"Simulated classrooms: real cores in virtual time over a network with faults.\n\n"
		"  --seed N          one run\n"
		"  --seeds COUNT     runs 1..COUNT; also FROM..TO (default: 200)\n"
		"  -j, --jobs N      so many at a time (default: one per processor)\n"
		"  --nodes N         laptops beside the school (default: 20, other numbers with some seeds)\n"
		"  --trace ROOMS     the cores' traces of these rooms (announce,learn,plan,update,session,swarm; all)\n"
		"  --verbose         what befalls the room\n"
		"  --calm            nothing goes wrong but what the network loses, to measure\n"
		"  --slow            six laptops, and one channel of 1 Mbit/s that all share\n"
		"  --stats           one line of numbers per seed, and their means\n"
		"  --hash            print each run's hash: equal seeds have equal ones\n"
		"  --mutant NAME     put an error in on purpose: the run should fail\n"
		"                   ");
	for (unsigned i = 0; ay_mutant_name(i); i++)
		fprintf(out, " %s", ay_mutant_name(i));
	fprintf(out, "\n");
}

static bool parse_number(const char *s, char **end, uint64_t *out)
{
	errno = 0;
	*out = strtoull(s, end, 10);
	return *end != s && errno == 0 && *s != '-';
}

static bool parse_seeds(const char *s, struct options *o)
{
	char *end;

	if (!parse_number(s, &end, &o->from))
		return false;
	if (*end == '\0') {
		o->to = o->from;
		o->from = 1;
	} else if (strncmp(end, "..", 2) != 0 || !parse_number(end + 2, &end, &o->to) || *end) {
		return false;
	}
	return o->from <= o->to;
}

static bool parse_unsigned(const char *s, unsigned low, unsigned high, unsigned *out)
{
	uint64_t v;
	char *end;

	if (!parse_number(s, &end, &v) || *end || v < low || v > high)
		return false;
	*out = (unsigned)v;
	return true;
}

static bool parse_option(int c, struct options *o)
{
	char *end;

	switch (c) {
	case 's':
		if (!parse_number(optarg, &end, &o->from) || *end)
			return false;
		o->to = o->from;
		return true;
	case 'S':
		return parse_seeds(optarg, o);
	case 'j':
		return parse_unsigned(optarg, 1, JOBS_MAX, &o->jobs);
	case 'n':
		return parse_unsigned(optarg, AY_RUN_NODES_MIN, AY_RUN_NODES_MAX, &o->run.nodes);
	case 't':
		o->run.trace = optarg;
		return true;
	case 'v':
		return o->run.verbose = true;
	case 'c':
		return o->run.calm = true;
	case 'l':
		return o->run.slow = true;
	case 'x':
		return o->stats = true;
	case 'h':
		return o->hash = true;
	case 'm':
		o->mutant = optarg;
		o->run.mutants = ay_mutant_by_name(optarg);
		return o->run.mutants;
	default:
		return false;
	}
}

static bool parse(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
		{"seed", required_argument, NULL, 's'},
		{"seeds", required_argument, NULL, 'S'},
		{"jobs", required_argument, NULL, 'j'},
		{"nodes", required_argument, NULL, 'n'},
		{"trace", required_argument, NULL, 't'},
		{"verbose", no_argument, NULL, 'v'},
		{"stats", no_argument, NULL, 'x'},
		{"hash", no_argument, NULL, 'h'},
		{"slow", no_argument, NULL, 'l'},
		{"calm", no_argument, NULL, 'c'},
		{"mutant", required_argument, NULL, 'm'},
		{"help", no_argument, NULL, '?'},
		{NULL, 0, NULL, 0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "j:", longs, NULL)) != -1)
		if (!parse_option(c, o))
			return false;
	return optind == argc;
}

/* ---- telling */

static void print_repeat(const struct options *o, uint64_t seed)
{
	char nodes[32] = "";

	if (o->run.nodes)
		snprintf(nodes, sizeof(nodes), " --nodes %u", o->run.nodes);
	printf("      repeat it with: %s --seed %" PRIu64 "%s%s%s%s%s --verbose --trace all\n", o->program,
	       seed, nodes, o->run.calm ? " --calm" : "", o->run.slow ? " --slow" : "",
	       o->mutant ? " --mutant " : "", o->mutant ? o->mutant : "");
	if (!o->mutant && !o->run.nodes && !o->run.calm && !o->run.slow)
		printf("      or:             make sim SEED=%" PRIu64 "\n", seed);
}

static void print_failure(const struct options *o, const struct report *r)
{
	printf("FAIL  seed %" PRIu64 " at %.6f s: %s%s%s\n", r->seed, (double)r->result.at_ns / 1e9,
	       r->result.node, r->result.node[0] ? ": " : "", r->result.broken);
	print_repeat(o, r->seed);
}

static void print_crash(const struct options *o, uint64_t seed, int signal)
{
	printf("FAIL  seed %" PRIu64 ": the simulator itself ended", seed);
	if (signal)
		printf(" by signal %d (%s)", signal, strsignal(signal));
	printf("; seeds behind it were not run\n");
	print_repeat(o, seed);
}

static void print_stats(const struct report *r)
{
	const struct ay_run_result *s = &r->result;

	printf("seed %" PRIu64
	       ": %u laptops, %u liars, %u releases, %u starts, healed at %.0f s, current %.1f s later, "
	       "school sent %.2f copies, a laptop got %.2f, %" PRIu64 " blocks (%" PRIu64
	       " twice), datagrams per node %.0f (most %" PRIu64 "), %" PRIu64 " steps, at most %u orders",
	       r->seed, s->laptops, s->liars, s->releases, s->starts, (double)s->heal_ns / 1e9,
	       (double)s->converge_ns / 1e9, s->school_copies, s->laptop_copies, s->blocks, s->blocks_twice,
	       (double)s->datagrams / (s->laptops + 1), s->datagrams_max, s->steps, s->orders_max);
	if (s->silence_max != UINT64_MAX)
		printf(", in an hour of silence %" PRIu64 " datagrams (most %" PRIu64 ")", s->silence_all,
		       s->silence_max);
	printf("\n");
}

struct sums {
	uint64_t passed, failed, blocks, twice;
	double converge, converge_max, copies, copies_max, laptop, laptop_max, datagrams;
};

static void add_up(struct sums *s, const struct report *r)
{
	const struct ay_run_result *x = &r->result;
	double converge = (double)x->converge_ns / 1e9;

	if (!x->ok) {
		s->failed++;
		return;
	}
	s->passed++;
	s->converge += converge;
	s->converge_max = converge > s->converge_max ? converge : s->converge_max;
	s->copies += x->school_copies;
	s->copies_max = x->school_copies > s->copies_max ? x->school_copies : s->copies_max;
	s->laptop += x->laptop_copies;
	s->laptop_max = x->laptop_copies > s->laptop_max ? x->laptop_copies : s->laptop_max;
	s->datagrams += (double)x->datagrams / (x->laptops + 1);
	s->blocks += x->blocks;
	s->twice += x->blocks_twice;
}

static void tell(const struct options *o, const struct report *r, struct sums *sums)
{
	if (!r->result.ok)
		print_failure(o, r);
	if (o->stats)
		print_stats(r);
	if (o->hash)
		printf("seed %" PRIu64 " hash %016" PRIx64 "\n", r->seed, r->result.hash);
	fflush(stdout);
	add_up(sums, r);
}

/* ---- workers */

/* Worker @k of @n: seeds @from + @k, + @n, ... Reports are smaller than PIPE_BUF, so they do not mix. */
static void work(const struct options *o, unsigned k, int fd)
{
	for (uint64_t seed = o->from + k; seed <= o->to && seed >= o->from; seed += o->jobs) {
		struct ay_run_config c = o->run;
		struct report r;
		memset(&r, 0, sizeof(r));
		c.seed = r.seed = seed;
		ay_run(&c, &r.result);
		fflush(stdout);
		if (write(fd, &r, sizeof(r)) != sizeof(r))
			_exit(1);
	}
	_exit(0);
}

static int run_all(const struct options *o, struct sums *sums)
{
	pid_t pids[JOBS_MAX];
	uint64_t next[JOBS_MAX]; /* the seed that each worker is at */
	struct report r;
	int fds[2], bad = 0;

	if (pipe(fds))
		return -errno;
	fflush(stdout);
	for (unsigned k = 0; k < o->jobs; k++) {
		next[k] = o->from + k;
		pids[k] = fork();
		if (pids[k] < 0)
			return -errno;
		if (pids[k] == 0) {
			close(fds[0]);
			work(o, k, fds[1]);
		}
	}
	close(fds[1]);
	while (read(fds[0], &r, sizeof(r)) == sizeof(r)) {
		next[(r.seed - o->from) % o->jobs] = r.seed + o->jobs;
		tell(o, &r, sums);
	}
	close(fds[0]);
	for (unsigned k = 0; k < o->jobs; k++) {
		int status;
		if (waitpid(pids[k], &status, 0) == pids[k] && status == 0)
			continue;
		bad++;
		print_crash(o, next[k], WIFSIGNALED(status) ? WTERMSIG(status) : 0);
	}
	return bad;
}

static void finish(const struct options *o, const struct sums *s)
{
	double n = s->passed ? (double)s->passed : 1;

	if (o->stats)
		printf("mean: current %.1f s after the room was healed (longest %.1f), school sent %.2f copies (most %.2f), a laptop got "
		       "%.2f (most %.2f), %.0f datagrams per node, %.2f %% of blocks came twice\n",
		       s->converge / n, s->converge_max, s->copies / n, s->copies_max, s->laptop / n,
		       s->laptop_max, s->datagrams / n,
		       s->blocks ? 100.0 * (double)s->twice / (double)s->blocks : 0);
	if (!s->failed)
		printf("%" PRIu64 " seed%s passed\n", s->passed, s->passed == 1 ? "" : "s");
	printf("%" PRIu64 " passed, %" PRIu64 " failed\n", s->passed, s->failed);
}

int main(int argc, char **argv)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	struct options o = {.from = 1,
			    .to = 200,
			    .jobs = cpus > 0 && cpus < JOBS_MAX ? (unsigned)cpus : 1,
			    .program = argv[0]};
	struct sums sums = {0};
	int bad;

	if (!parse(argc, argv, &o)) {
		bool help = argc == 2 && strcmp(argv[1], "--help") == 0;
		usage(help ? stdout : stderr);
		return help ? 0 : 2;
	}
	if (o.to - o.from < o.jobs - 1)
		o.jobs = (unsigned)(o.to - o.from + 1);
	if (o.run.trace || o.run.verbose)
		o.jobs = 1;
	setvbuf(stdout, NULL, _IOFBF, 1 << 16);
	bad = run_all(&o, &sums);
	if (bad < 0) {
		fprintf(stderr, "ayni-sim: cannot start workers: %s\n", strerror(-bad));
		return 1;
	}
	if (bad)
		sums.failed += (unsigned)bad;
	finish(&o, &sums);
	return sums.failed ? 1 : 0;
}
