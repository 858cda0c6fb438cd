/* SPDX-License-Identifier: MIT */
/*
 * All workers walk through the whole recording and draw the same states; each looks at those whose sum falls to
 * it. So no state is looked at twice, and which ones are does not depend on the number of workers.
 */
#include "tests/powercut/replay.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/prng.h"
#include "tests/powercut/bench.h"
#include "tests/powercut/choice.h"
#include "tests/powercut/promise.h"
#include "tests/powercut/window.h"

#define ROUNDS_MAX 100000

/* What was found on a disk, by its sum. Many disks show the same facts: these are kept once. */
struct known {
	uint64_t sum;
	const char *facts; /* NULL: free */
	unsigned version;  /* of the promises it was last compared with */
};

struct table {
	struct known *slots;
	size_t n, cap;
};

struct worker {
	const struct blk_log *log;
	const struct replay_options *o;
	struct replay_result *res;
	struct bench bench;
	struct image im;
	struct promises promises;
	struct table seen;
	char **facts;
	size_t n_facts, facts_cap;
	struct choice choice;
	struct windows windows;
	unsigned id, jobs;
	uint64_t limit; /* of states, at this stage */
	double deadline;
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

struct replay_result *replay_result_new(void)
{
	void *p = mmap(NULL, sizeof(struct replay_result), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0);
	return p == MAP_FAILED ? NULL : p;
}

static bool over(const struct worker *w)
{
	return w->res->stop || w->res->states >= w->limit || (w->deadline > 0 && now() > w->deadline);
}

void replay_result_free(struct replay_result *res)
{
	munmap(res, sizeof(*res));
}

/* ---- what is known ---- */

static struct known *slot_of(struct table *t, uint64_t sum)
{
	size_t i = (size_t)(sum * 0x9e3779b97f4a7c15ull) & (t->cap - 1);

	while (t->slots[i].facts && t->slots[i].sum != sum)
		i = (i + 1) & (t->cap - 1);
	return &t->slots[i];
}

static struct known *lookup(struct table *t, uint64_t sum)
{
	if (t->n * 2 >= t->cap) {
		struct table big = {.n = t->n, .cap = t->cap ? t->cap * 2 : 1024};
		big.slots = calloc(big.cap, sizeof(*big.slots));
		AY_ASSERT(big.slots);
		for (size_t i = 0; i < t->cap; i++) {
			if (t->slots[i].facts)
				*slot_of(&big, t->slots[i].sum) = t->slots[i];
		}
		free(t->slots);
		*t = big;
	}
	return slot_of(t, sum);
}

static const char *intern(struct worker *w, const char *text)
{
	for (size_t i = w->n_facts; i-- > 0;) {
		if (strcmp(w->facts[i], text) == 0)
			return w->facts[i];
	}
	if (w->n_facts == w->facts_cap) {
		w->facts_cap = w->facts_cap * 2 + 64;
		w->facts = realloc(w->facts, w->facts_cap * sizeof(*w->facts));
		AY_ASSERT(w->facts);
	}
	char *copy = strdup(text);
	AY_ASSERT(copy);
	return w->facts[w->n_facts++] = copy;
}

/* ---- one state ---- */

/* Was a violation of this kind told? Two workers may tell the same at once; that does no harm. */
static bool told(const struct worker *w, const char *what)
{
	char kind[200], other[200];
	bool same = false;

	promises_kind(what, kind, sizeof(kind));
	for (unsigned i = 0; i < w->res->n_failures && i < FAILURES_MAX && !same; i++) {
		promises_kind(w->res->failures[i].what, other, sizeof(other));
		same = strcmp(kind, other) == 0;
	}
	return same;
}

static void tell(struct worker *w, unsigned round, unsigned which, const char *what)
{
	if (w->o->kinds && told(w, what))
		return;
	unsigned i = atomic_fetch_add(&w->res->n_failures, 1);

	if (i >= FAILURES_MAX)
		return;
	struct failure *f = &w->res->failures[i];
	snprintf(f->state, sizeof(f->state), "%llu.%u.%u", (unsigned long long)w->im.at, round, which);
	snprintf(f->what, sizeof(f->what), "%s", what);
}

static void judge(struct worker *w, struct known *k, unsigned round, unsigned which)
{
	char why[400];

	k->version = w->promises.version;
	atomic_fetch_add(&w->res->judged, 1);
	if (strncmp(k->facts, "unmountable", 11) == 0)
		return;
	if (promises_kept(&w->promises, k->facts, why, sizeof(why)))
		return;
	atomic_fetch_add(&w->res->violations, 1);
	tell(w, round, which, why);
	if (w->o->stop_at_first)
		w->res->stop = true;
}

static int visit(struct worker *w, unsigned round, unsigned which)
{
	int r = 0;

	choice_make(&w->choice, &w->im, round, which, w->o->tear);
	image_choose(&w->im, w->choice.keep, w->choice.torn, w->choice.torn_len);
	const uint64_t sum = w->im.sum;
	if (sum % w->jobs == w->id) {
		struct known *k = lookup(&w->seen, sum);
		if (!k->facts) {
			uint64_t nth = atomic_fetch_add(&w->res->states, 1);
			bool second = w->o->finish_every && nth % w->o->finish_every == 0;
			r = bench_look(&w->bench, &w->im, second);
			if (r == 1) {
				if (atomic_fetch_add(&w->res->unmountable, 1) < 2)
					tell(w, round, which, ay_buf_cstr(&w->bench.facts));
				r = 0;
			}
			atomic_fetch_add(&w->res->finished, second);
			*k = (struct known){.sum = sum, .facts = intern(w, ay_buf_cstr(&w->bench.facts))};
			w->seen.n++;
		}
		if (r == 0 && k->version != w->promises.version)
			judge(w, k, round, which);
	}
	image_take_back(&w->im);
	return r;
}

/* ---- all states ---- */

static bool drawn(const struct worker *w, unsigned round, bool mark)
{
	struct ay_prng r;
	uint64_t writes = w->log->n_writes + 1;

	if (round == 0)
		return mark;
	/* A small number of states is spread over the whole recording. */
	uint64_t share = w->o->states * 1000 / writes;
	if (round > 1 || share >= 3000)
		share = round > 1 ? share / 4 + 50 : 1000;
	else
		share = share / 6 + 1;
	ay_prng_init(&r, w->log->seed * 31 + w->im.at * 1000003 + round);
	return ay_prng_below(&r, 1000) < share;
}

/* Takes in the next event. 1; 0: there is none; -EINVAL: a mark that is not understood. */
static int next_event(struct worker *w, bool *mark)
{
	if (!image_next(&w->im))
		return 0;
	const struct blk_event *e = &w->log->events[w->im.at - 1];
	*mark = e->kind == BLK_MARK;
	return !*mark || promises_mark(&w->promises, (const char *)w->log->data + e->data, e->len) ? 1
												   : -EINVAL;
}

static int one_round(struct worker *w, unsigned round)
{
	int r = image_init(&w->im, w->log);
	bool mark;

	promises_init(&w->promises);
	while (r == 0 && !over(w) && (r = next_event(w, &mark)) > 0) {
		r = 0;
		if (!drawn(w, round, mark))
			continue;
		r = visit(w, round, 0);
		if (r == 0 && round < 2 && w->im.n_pieces > 0)
			r = visit(w, round, 1);
	}
	image_release(&w->im);
	return r;
}

/* ---- where a sync is missing ---- */

/*
 * At this event: all and none, in the first pass where something is promised, in the second everywhere; then in each pass one
 * of each kind, the newest pieces first.
 */
static int aim(struct worker *w, unsigned pass, bool mark)
{
	const size_t n = w->im.n_pieces;
	int r = 0;

	if (pass == 0 && !mark)
		return 0;
	if (pass < 2) {
		r = visit(w, 1, 0);
		return r == 0 && n > 0 ? visit(w, 1, 1) : r;
	}
	for (unsigned kind = 0; kind < CHOICE_KINDS && r == 0 && pass <= n + 1 && !over(w); kind++)
		r = visit(w, CHOICE_AIMED + kind, (unsigned)(n + 1 - pass));
	return r;
}

/* The longest list of pieces that an event in a window has; 0: there is no window. */
static int one_pass(struct worker *w, unsigned pass, size_t *longest)
{
	int r = image_init(&w->im, w->log);
	uint64_t last = 0;
	bool mark;

	for (unsigned i = 0; i < w->windows.n; i++)
		last = w->windows.w[i].to > last ? w->windows.w[i].to : last;
	promises_init(&w->promises);
	while (r == 0 && !over(w) && w->im.at <= last && (r = next_event(w, &mark)) > 0) {
		r = 0;
		if (!windows_have(&w->windows, w->im.at - 1))
			continue;
		*longest = w->im.n_pieces > *longest ? w->im.n_pieces : *longest;
		r = aim(w, pass, mark);
	}
	image_release(&w->im);
	return r;
}

/* Three quarters of the states at most; the rest is for the whole recording. */
static int work_in_windows(struct worker *w)
{
	size_t longest = 0;
	int r = 0;

	windows_find(w->log, &w->windows);
	w->limit = w->o->states - w->o->states / 4;
	for (unsigned pass = 0; w->windows.n && r == 0 && !over(w) && pass <= longest + 1; pass++)
		r = one_pass(w, pass, &longest);
	return r;
}

/* ---- */

static int work(struct worker *w)
{
	uint64_t before = 0;
	unsigned idle = 0;
	int r = 0;

	w->limit = w->o->states;
	for (unsigned round = 0; round < ROUNDS_MAX && r == 0 && !over(w) && idle < 20; round++) {
		r = one_round(w, round);
		idle = w->res->states == before ? idle + 1 : 0; /* nothing new is left in it */
		before = w->res->states;
	}
	return r;
}

static struct worker *worker_new(const struct blk_log *log, const struct replay_options *o,
				 struct replay_result *res)
{
	struct worker *w = calloc(1, sizeof(*w));

	AY_ASSERT(w);
	*w = (struct worker){.log = log, .o = o, .res = res, .jobs = 1};
	return w;
}

int replay_all(const struct world *world, const struct blk_log *log, const struct replay_options *o,
	       struct replay_result *res)
{
	double deadline = o->seconds > 0 ? now() + o->seconds : 0;
	pid_t parent = getpid(), pids[64];
	unsigned n = o->jobs < 64 ? o->jobs : 64;

	fflush(NULL);
	for (unsigned i = 0; i < n; i++) {
		pids[i] = fork();
		if (pids[i] != 0)
			continue;
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		struct worker *w = worker_new(log, o, res);
		w->id = i;
		w->jobs = n;
		w->deadline = deadline;
		int r = bench_init(&w->bench, world, log, i);
		w->bench.look = o->look;
		if (r == 0)
			r = work_in_windows(w);
		if (r == 0)
			r = work(w);
		if (r < 0)
			fprintf(stderr, "powercut: worker %u at event %llu: %s\n", i,
				(unsigned long long)w->im.at, strerror(-r));
		bench_release(&w->bench);
		_exit(r < 0);
	}
	for (unsigned i = 0; i < n; i++) {
		int status = 1;
		if (pids[i] < 0 || waitpid(pids[i], &status, 0) < 0 || status != 0) {
			res->broken = true;
			res->stop = true;
		}
	}
	return res->broken ? -EIO : 0;
}

static void print_pieces(const struct worker *w)
{
	for (size_t i = 0; i < w->im.n_pieces; i++) {
		const struct piece *p = &w->im.pieces[i];
		printf("%s event %u, block %u, bytes %u to %u\n", w->choice.keep[i] ? "there" : "lost ",
		       p->event, p->block, p->off, p->off + p->len);
	}
}

int replay_one(const struct world *world, const struct blk_log *log, const struct replay_options *o,
	       const char *name)
{
	struct worker *w = worker_new(log, o, NULL);
	unsigned long long at;
	unsigned round, which;
	char why[400] = "";

	if (sscanf(name, "%llu.%u.%u", &at, &round, &which) != 3 || at > log->n)
		return -EINVAL;
	int r = bench_init(&w->bench, world, log, 0);
	w->bench.run = o->run;
	if (r == 0)
		r = image_init(&w->im, log);
	while (r == 0 && w->im.at < at && image_next(&w->im)) {
		const struct blk_event *e = &log->events[w->im.at - 1];
		if (e->kind == BLK_MARK) {
			promises_mark(&w->promises, (const char *)log->data + e->data, e->len);
			printf("mark %llu: %.*s", (unsigned long long)w->im.at, (int)e->len,
			       (const char *)log->data + e->data);
		}
	}
	if (r == 0) {
		choice_make(&w->choice, &w->im, round, which, w->o->tear);
		print_pieces(w);
		image_choose(&w->im, w->choice.keep, w->choice.torn, w->choice.torn_len);
		r = bench_look(&w->bench, &w->im, o->finish_every > 0);
		printf("found:\n%s", ay_buf_cstr(&w->bench.facts));
		if (r == 0 && !promises_kept(&w->promises, ay_buf_cstr(&w->bench.facts), why, sizeof(why)))
			r = 1;
		printf("%s%s\n", r ? "NOT KEPT: " : "all promises are kept", why);
		image_take_back(&w->im);
	}
	image_release(&w->im);
	bench_release(&w->bench);
	choice_release(&w->choice);
	free(w);
	return r;
}
