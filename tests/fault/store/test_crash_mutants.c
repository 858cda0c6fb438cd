/* SPDX-License-Identifier: MIT */
/*
 * Does test_crash.c bite? Each sync of the store is left out in turn, and done one change too late in turn, as if its
 * line were not there or stood below the next one. Some power cut must show each.
 *
 * Syncs are named by what the store does, what is synced, and which of several it is (tests/support/fs_crash.h). They
 * are collected from lives first, so a new one needs no line here; it must be caught, or stand in the table
 * of those that cannot be, with the reason.
 *
 *     AYNI_CRASH_MUTANT=NAME   only those whose name has this in it, and say what was tried
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fnmatch.h>
#include <stdio.h>

#include "tests/fault/store/life.h"

#define LIVES 156 /* that are lived to collect syncs */
#define MORE  200 /* and these, drawn, for a mutant that no cut has shown in those */
/* What a mutant does is the same under sanitizers, only slower. */
#ifdef __SANITIZE_ADDRESS__
#define STEP 8
#else
#define STEP 1
#endif

#define SCRIPTED    12 /* lives of each script, each cut off one call later: the first of them */
#define SCRIPTS     3
#define MUTANTS_MAX 400
#define LIVES_EACH  16 /* a mutant is looked for in so many of the lives that met it, */
#define CUTS_EACH   25 /* with so many cuts in each, */
#define LIVES_MORE                                                                                           \
	48 /* and before it is said not to be caught in so many, with lives that are drawn for it, */
#define CUTS_MORE 100 /* with so many cuts in each */

/*
 * What no cut need show, and why. Of syncs that are left out there are few, and each is shown to be needed elsewhere.
 * Done too late, a sync that closes a step is still done before the step is: only where the next rename or removal depends on
 * it can the order be seen.
 */
static const struct {
	enum crash_mutation mutation;
	const char *names; /* a shell pattern */
	const char *why;
} harmless[] = {
	{CRASH_LEFT_OUT, "import fsync lib/store/tmp/staging-\\*/\\* #1 *",
	 "a further inode of an object that lost its content goes with the staging that it was made for; healing links it at "
	 "once, and needs this"},
	{CRASH_LEFT_OUT, "apply fsync lib/store/tmp/staging-\\*/\\* #1 *", "likewise"},
	{CRASH_TOO_LATE, "import fsync lib/store/tmp/staging-\\*/\\* #1 *", "likewise"},
	{CRASH_TOO_LATE, "apply fsync lib/store/tmp/staging-\\*/\\* #1 *", "likewise"},
	{CRASH_LEFT_OUT, "adopt fsync lib/store/tmp/staging-\\*/\\* #1 *", "likewise"},
	{CRASH_TOO_LATE, "adopt fsync lib/store/tmp/staging-\\*/\\* #1 *", "likewise"},
	{CRASH_LEFT_OUT, "remove-used *sync*",
	 "a tree that is moved aside while it is used stays whole there, and who takes it apart later syncs all first: either "
	 "makes up for the other; `remove` and `open` need each"},
	{CRASH_TOO_LATE, "remove-used *sync*", "likewise"},
	{CRASH_LEFT_OUT, "heal *sync*",
	 "only a name is lost and given back: two syncs of which either makes up for the other; test_heal_crash.c shows each"},
	{CRASH_TOO_LATE, "heal *sync*", "likewise"},
	{CRASH_TOO_LATE, "adopt fsync lib/store/tmp/staging-* #1 *",
	 "what is removed next is staging without a tree in it"},
	{CRASH_TOO_LATE, "adopt fsync lib/store/branches/\\* #1 *", "likewise"},
	{CRASH_TOO_LATE, "open fsync lib/store #*",
	 "nothing is promised before the store is open, which is later"},
	{CRASH_TOO_LATE, "open fsync lib/store/roots #*",
	 "likewise: what rests on the root is promised later"},
	{CRASH_TOO_LATE, "open fsync lib/store/branches/\\* #*",
	 "likewise: that a switch which was begun is done"},
	{CRASH_TOO_LATE, "import fsync lib/store/tmp/staging-* #1 *",
	 "what is removed next is staging without a tree in it"},
	{CRASH_TOO_LATE, "apply fsync lib/store/tmp/staging-* #1 *", "likewise"},
	{CRASH_TOO_LATE, "import fsync lib/store/branches/\\* #1 *", "likewise"},
	{CRASH_TOO_LATE, "apply fsync lib/store/branches/\\* #1 *", "likewise"},
};

struct mutant {
	char *name;
	bool meets[LIVES + 1][2]; /* by seed and mutation: what can be left out there, or done too late */
};

struct mutants {
	struct world w;
	struct crash_sites sites;
	struct mutant all[MUTANTS_MAX];
	uint64_t order[LIVES]; /* in which lives are looked through */
	unsigned n, states, lives;
};

/* A trial fails, and the way back is cut off at each call: hardly ever drawn. */
static const struct step way_back[] = {{OP_MAKE, 0, 0},   {OP_IMPORT, 1, 1}, {OP_SWITCH, 1, 1},
				       {OP_IMPORT, 1, 2}, {OP_TRIAL, 1, 2},  {OP_FAIL, 1, 0},
				       {OP_HEAD, 0, 1},   {OPS, 0, 0}};

/* A tree is removed, and that is cut off likewise: the next start finds it aside. */
static const struct step removal[] = {{OP_MAKE, 0, 0},   {OP_IMPORT, 1, 1}, {OP_IMPORT, 1, 2},
				      {OP_SWITCH, 1, 2}, {OP_REMOVE, 1, 1}, {OP_HEAD, 0, 1},
				      {OPS, 0, 0}};

/* A switch is cut off likewise, and done again: what the first process wrote is found. */
static const struct step switching[] = {{OP_MAKE, 0, 0},   {OP_IMPORT, 1, 1}, {OP_SWITCH, 1, 1},
					{OP_IMPORT, 1, 2}, {OP_SWITCH, 1, 2}, {OP_HEAD, 0, 1},
					{OPS, 0, 0}};

static struct life_options options(struct mutants *m, uint64_t seed)
{
	static const struct {
		const struct step *steps;
		bool starts_only_open;
		unsigned kill_step;
	} scripts[SCRIPTS] = {{removal, false, 4}, {way_back, false, 5}, {switching, true, 4}};

	if (seed <= SCRIPTED * SCRIPTS) {
		const unsigned script = (unsigned)((seed - 1) / SCRIPTED),
			       call = (unsigned)((seed - 1) % SCRIPTED);
		return (struct life_options){.seed = seed,
					     .sites = &m->sites,
					     .steps = LIFE_STEPS,
					     .script = scripts[script].steps,
					     .starts_only_open = scripts[script].starts_only_open,
					     .kill_step = scripts[script].kill_step,
					     .kill_call = call + 1};
	}
	return (struct life_options){.seed = seed,
				     .turns = seed % 4 < 2,
				     .starts_only_open = seed % 8 < 4,
				     .sites = &m->sites,
				     .steps = 10 + (unsigned)(seed % 12),
				     .mishaps = seed % 3 ? 2 : 0,
				     .links_max = seed % 5 == 0 ? 4 : 0};
}

/* One of each script and a drawn one in turn; of a script's not the neighbours, which are cut off much alike. */
static void set_order(struct mutants *m)
{
	unsigned n = 0, drawn = SCRIPTED * SCRIPTS;

	for (unsigned i = 0; i < SCRIPTED; i++) {
		for (unsigned script = 0; script < SCRIPTS; script++)
			m->order[n++] = script * SCRIPTED + (6 + 5 * i) % SCRIPTED + 1;
		m->order[n++] = ++drawn;
	}
	while (n < LIVES)
		m->order[n++] = ++drawn;
}

static void add(struct mutants *m, const struct crash_synced *sync, uint64_t seed)
{
	unsigned i = 0;

	while (i < m->n && strcmp(m->all[i].name, sync->name) != 0)
		i++;
	assert_true(i < MUTANTS_MAX);
	if (i == m->n)
		m->all[m->n++].name = strdup(sync->name);
	m->all[i].meets[seed][CRASH_LEFT_OUT] = true;
	m->all[i].meets[seed][CRASH_TOO_LATE] = sync->overtaken;
}

static int setup(void **arg)
{
	struct mutants *m = calloc(1, sizeof(*m));

	world_init(&m->w);
	set_order(m);
	for (uint64_t seed = 1; seed <= LIVES; seed++) {
		const struct life_options o = options(m, seed);
		struct verdict v = {""};
		struct life l;
		if (!life_tell(&l, &m->w, &o, &v))
			fail_msg("life %llu: %s", (unsigned long long)seed, v.why);
		for (unsigned i = 0; i < l.c.n_syncs; i++)
			add(m, &l.c.syncs[i], seed);
		life_release(&l);
	}
	*arg = m;
	return 0;
}

static int teardown(void **arg)
{
	struct mutants *m = *arg;

	world_release(&m->w);
	for (unsigned i = 0; i < m->n; i++)
		free(m->all[i].name);
	free(m);
	return 0;
}

/* A change that is not durable only because of the mutant, and a cut while it is not. */
static bool draw_cut(const struct life *l, struct ay_prng *r, struct crash_cut *cut)
{
	const struct crash_change *c = crash_suspect(&l->c.log, r);

	if (!c)
		return false;
	uint32_t end = c->durable == CRASH_NEVER ? l->c.calls : c->durable - 1;
	*cut = (struct crash_cut){.at = c->suspect, .seed = ay_prng_next(r), .choice = CRASH_SUSPECTS_LOST};
	if (end > c->suspect + 8 && ay_prng_below(r, 2)) /* soon, before anything makes up for it */
		end = c->suspect + 8;
	if (end > c->suspect)
		cut->at += (uint32_t)ay_prng_below(r, end - c->suspect + 1);
	return true;
}

struct search {
	const char *name; /* the mutant's */
	enum crash_mutation mutation;
	bool tell, met;
	unsigned cut; /* lives that met it */
};

/* In one life. It is cut only if the mutant was met in it: a sync may have nothing behind it that it is too late for. */
static bool caught_in(struct mutants *m, struct search *x, uint64_t seed, unsigned cuts)
{
	struct life_options o = options(m, seed);
	struct verdict v = {""};
	struct crash_cut cut;
	struct ay_prng r;
	struct life l;
	bool found = false;

	o.mutant = x->name;
	o.mutation = x->mutation;
	m->lives++;
	if (!life_tell(&l, &m->w, &o, &v))
		fail_msg("life %llu: %s", (unsigned long long)seed, v.why);
	const bool met = x->mutation == CRASH_TOO_LATE ? l.c.late_met : l.c.mutated;
	ay_prng_init(&r, seed + cuts);
	for (unsigned n = 0; met && n < cuts && !found && draw_cut(&l, &r, &cut); n++) {
		m->states++;
		found = !life_cut(&l, &cut, false, &v);
	}
	life_release(&l);
	x->met |= met;
	x->cut += met;
	if (x->tell)
		print_message("  life %llu: %s\n", (unsigned long long)seed,
			      found ? v.why
			      : met ? "holds"
				    : "not met");
	return found;
}

/* In up to @lives of those that met it. */
static bool caught_in_some(struct mutants *m, const struct mutant *mutant, struct search *x, unsigned lives,
			   unsigned cuts)
{
	unsigned n = 0;

	for (unsigned i = 0; i < LIVES && n < lives; i++) {
		if (!mutant->meets[m->order[i]][x->mutation])
			continue;
		n++;
		if (caught_in(m, x, m->order[i], cuts))
			return true;
	}
	return false;
}

/*
 * Which lives meet it, and how, is chance: a sync that the next one makes up for can be seen in few of them. So there is
 * a long look before it is said that none shows it.
 */
static bool caught_at_all(struct mutants *m, const struct mutant *mutant, struct search *x)
{
	x->cut = 0;
	if (caught_in_some(m, mutant, x, LIVES_MORE, CUTS_MORE))
		return true;
	for (uint64_t seed = LIVES + 1; x->met && x->cut < LIVES_MORE && seed <= LIVES + MORE; seed++) {
		if (caught_in(m, x, seed, CUTS_MORE))
			return true;
	}
	return false;
}

/* A sync for which there was never anything to do costs a flush for nothing. */
static void each_place_that_syncs_has_something_to_sync(void **arg)
{
	const struct mutants *m = *arg;

	for (unsigned i = 0; i < m->sites.n; i++) {
		if (!m->sites.useful[i])
			fail_msg(
				"the place at %p syncs, but never had anything to sync (addr2line tells which)",
				m->sites.at[i]);
	}
	print_message("%u places\n", m->sites.n);
}

static const char *why_harmless(const char *name, enum crash_mutation mutation)
{
	for (size_t i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++) {
		if (harmless[i].mutation == mutation && fnmatch(harmless[i].names, name, 0) == 0)
			return harmless[i].why;
	}
	return NULL;
}

static void each_sync(struct mutants *m, enum crash_mutation mutation, const char *what)
{
	const char *mask = getenv("AYNI_CRASH_MUTANT");
	unsigned bad = 0, excused = 0, n = 0, late = 0;

	m->states = m->lives = 0;
	for (unsigned i = 0; i < m->n; i += STEP) {
		const char *name = m->all[i].name;
		const char *why = why_harmless(name, mutation);
		if (mask && !strstr(name, mask))
			continue;
		if (mask)
			print_message("%s: %s\n", name, what);
		struct search x = {.name = name, .mutation = mutation, .tell = mask != NULL};
		bool found = caught_in_some(m, &m->all[i], &x, why ? 2 : LIVES_EACH, CUTS_EACH);
		if (!found && !why) {
			found = caught_at_all(m, &m->all[i], &x);
			late += found;
		}
		if (!x.met) /* no rename or removal is behind it: it can only be left out */
			continue;
		n++;
		excused += !found && why;
		if (found || why)
			continue;
		print_error("%s: %s is not caught by any cut\n", name, what);
		bad++;
	}
	print_message(
		"%u syncs, each %s: %u lives, %u cuts; %u caught by a long look only; %u not caught, and excused; %u not caught\n",
		n, what, m->lives, m->states, late, excused, bad);
	assert_int_equal(bad, 0);
}

static void each_sync_left_out(void **arg)
{
	each_sync(*arg, CRASH_LEFT_OUT, "left out");
}

static void each_sync_one_change_too_late(void **arg)
{
	each_sync(*arg, CRASH_TOO_LATE, "done too late");
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(each_place_that_syncs_has_something_to_sync),
					   cmocka_unit_test(each_sync_left_out),
					   cmocka_unit_test(each_sync_one_change_too_late)};
	return cmocka_run_group_tests(tests, setup, teardown);
}
