/* SPDX-License-Identifier: MIT */
/* The syncs of one phase are bits; what was tried with a set of them left out is remembered. */
#include "tests/powercut/mutants.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/powercut/mnt.h"
#include "tests/powercut/promise.h"
#include "tests/powercut/record.h"

#define SYNCS_OF_PHASE 16
#define SEEN_MAX       256
#define KINDS_MAX      32

/* What was seen with a set left out. */
struct seen {
	unsigned set;
	bool all;   /* it was not over with the first violation */
	int caught; /* 1, 0, -errno; -ENOENT: no story has all this */
	unsigned long long states;
	unsigned n;
	char why[KINDS_MAX][200]; /* of each kind one */
};

/* One phase on one file system. */
struct phase {
	const struct hunt *h;
	const char *fs;
	char names[SYNCS_OF_PHASE][SYNC_NAME];
	unsigned n;
	struct seen *seen[SEEN_MAX];
	unsigned n_seen;
};

/* ---- one set ---- */

static void take_kinds(struct seen *s, const struct replay_result *res)
{
	char kind[200], other[200];

	for (unsigned i = 0; i < res->n_failures && i < FAILURES_MAX; i++) {
		bool known = false;
		promises_kind(res->failures[i].what, kind, sizeof(kind));
		for (unsigned k = 0; k < s->n && !known; k++) {
			promises_kind(s->why[k], other, sizeof(other));
			known = strcmp(kind, other) == 0;
		}
		if (!known && s->n < KINDS_MAX)
			snprintf(s->why[s->n++], sizeof(s->why[0]), "%.199s", res->failures[i].what);
	}
}

/*
 * What a quiet store loses is found soon. Where names came without what they lead to takes longer, and shows only in what
 * is done afterwards: two shares, and always the second run.
 */
static void share(const struct hunt *h, bool aimed, struct replay_options *ro)
{
	const uint64_t all = h->stories + (h->stories + 1) / 3;

	ro->states = ro->states * (aimed ? 2 : 1) / all;
	ro->seconds = ro->seconds * (aimed ? 2 : 1) / (double)all;
	if (aimed)
		ro->finish_every = 1;
}

/* Tells all stories with @skip left out, and looks; until it is noticed, or, with s->all, to the end. */
static void look(const struct hunt *h, const char *fs, const char *skip, struct seen *s)
{
	struct blk_log *log = blk_log_new(fs_disk_size(fs));
	int r = log ? 0 : -ENOMEM;
	bool had = false;

	for (uint64_t i = 0; i < h->stories && r == 0 && (s->all || !s->n); i++) {
		const struct manner manner = manner_of_mutant(h->seed + i, i);
		struct replay_options ro = h->replay;
		struct replay_result *res = replay_result_new();
		static struct seam m;
		AY_ASSERT(res);
		ro.stop_at_first = !s->all;
		ro.kinds = true;
		share(h, manner.aimed, &ro);
		r = record(h->w, fs, manner, h->seed + i, skip, log, &m);
		if (r == 0 && m.skipped == 0)
			continue;
		had |= r == 0;
		if (r == 0)
			r = replay_all(h->w, log, &ro, res);
		s->states += res->states;
		take_kinds(s, res);
		replay_result_free(res);
	}
	blk_log_free(log);
	s->caught = r > 0 ? -EIO : r < 0 ? r : !had ? -ENOENT : s->n > 0;
}

static void names_of(const struct phase *p, unsigned set, const char *between, char *out, size_t len)
{
	size_t at = 0;

	out[0] = '\0';
	for (unsigned i = 0; i < p->n && at < len; i++) {
		if (set >> i & 1)
			at += (size_t)snprintf(out + at, len - at, "%s%s", at ? between : "", p->names[i]);
	}
}

static struct seen *see(struct phase *p, unsigned set, bool all)
{
	char skip[SKIP_MAX];

	for (unsigned i = 0; i < p->n_seen; i++) {
		if (p->seen[i]->set == set && (p->seen[i]->all || !all))
			return p->seen[i];
	}
	AY_ASSERT(p->n_seen < SEEN_MAX);
	struct seen *s = p->seen[p->n_seen++] = calloc(1, sizeof(*s));
	AY_ASSERT(s);
	s->set = set;
	s->all = all;
	names_of(p, set, "|", skip, sizeof(skip));
	look(p->h, p->fs, skip, s);
	/* A machine with too much to do is no answer: not noticed and not looked at are not the same. */
	if (s->caught < 0 && s->caught != -ENOENT) {
		*s = (struct seen){.set = set, .all = all};
		look(p->h, p->fs, skip, s);
		AY_ASSERT(s->caught >= 0 || s->caught == -ENOENT);
	}
	return s;
}

static bool caught(struct phase *p, unsigned set)
{
	return set && see(p, set, false)->caught > 0;
}

/* ---- what has to be left out besides ---- */

/* @set is caught; so is what is returned, and nothing of it but @stays can be put back. */
static unsigned shrink(struct phase *p, unsigned set, unsigned stays)
{
	for (unsigned i = 0; i < p->n; i++) {
		unsigned less = set & ~(1u << i);
		if ((set & ~stays) >> i & 1 && caught(p, less))
			set = less;
	}
	return set;
}

/* The smallest set that is caught with @one in it and not without it, of @silent, which are not caught alone; 0: none. */
static unsigned needed_with(struct phase *p, unsigned silent, unsigned one)
{
	unsigned others = silent & ~one;

	if (!caught(p, silent))
		return 0;
	/* From what is caught without it something is put back, until it is not. */
	while (caught(p, others)) {
		unsigned least = shrink(p, others, 0);
		others &= ~(least & -least);
	}
	return others && caught(p, others | one) ? shrink(p, others | one, one) : 0;
}

/* A kind of violation with @one and @others left out that is not among those with @others alone; NULL: none. */
static const char *breaks_more(struct phase *p, unsigned one, unsigned others)
{
	const struct seen *without = see(p, others, true), *with = see(p, others | one, true);
	char kind[200], other[200];

	for (unsigned i = 0; i < with->n; i++) {
		bool known = false;
		promises_kind(with->why[i], kind, sizeof(kind));
		for (unsigned k = 0; k < without->n && !known; k++) {
			promises_kind(without->why[k], other, sizeof(other));
			known = strcmp(kind, other) == 0;
		}
		if (!known)
			return with->why[i];
	}
	return NULL;
}

/* The next one behind @i, else the last one before it, that is caught alone; 0: none. */
static unsigned neighbour(struct phase *p, unsigned i)
{
	for (unsigned k = i + 1; k < p->n; k++) {
		if (caught(p, 1u << k))
			return 1u << k;
	}
	for (unsigned k = i; k-- > 0;) {
		if (caught(p, 1u << k))
			return 1u << k;
	}
	return 0;
}

/* ---- a phase ---- */

static void print_caught(const struct seen *s)
{
	printf("caught after %llu (%s)\n", s->states, s->why[0]);
}

/* @i is not caught alone. True: with others it is. */
static bool explain(struct phase *p, unsigned i, unsigned silent)
{
	const unsigned one = 1u << i, all = (1u << p->n) - 1;
	unsigned with = needed_with(p, silent, one), near = neighbour(p, i);
	const char *why = NULL;
	char names[SKIP_MAX];

	if (with) {
		names_of(p, with & ~one, " and ", names, sizeof(names));
		printf("; only with %s: ", names);
		print_caught(see(p, with, false));
		return true;
	}
	if (near && !(why = breaks_more(p, one, near)))
		near = 0;
	if (!why && (all & ~one) && (why = breaks_more(p, one, all & ~one)))
		near = all & ~one;
	names_of(p, near, " and ", names, sizeof(names));
	if (why)
		printf("; with %s, which alone do not break this in %llu: %s\n", names,
		       see(p, near, true)->states, why);
	else
		printf(", nor with the others of its phase\n");
	return why != NULL;
}

/* How many of its syncs are noticed in some way. */
static unsigned hunt_phase(struct phase *p)
{
	unsigned silent = 0, found = 0;

	for (unsigned i = 0; i < p->n; i++)
		silent |= see(p, 1u << i, false)->caught == 0 ? 1u << i : 0;
	for (unsigned i = 0; i < p->n; i++) {
		const struct seen *s = see(p, 1u << i, false);
		printf("%-5s %-40s ", p->fs, p->names[i]);
		if (s->caught < 0) {
			printf("%s\n", strerror(-s->caught));
		} else if (s->caught) {
			print_caught(s);
			found++;
		} else {
			printf("not in %llu", s->states);
			fflush(stdout);
			found += explain(p, i, silent);
		}
		fflush(stdout);
	}
	for (unsigned i = 0; i < p->n_seen; i++)
		free(p->seen[i]);
	p->n_seen = 0;
	return found;
}

/* ---- all ---- */

/* The names of all syncs of the stories that are told, in the order in which they come. */
static int all_names(const struct hunt *h, const char *fs, struct seam *all)
{
	struct blk_log *log = blk_log_new(fs_disk_size(fs));
	int r = log ? 0 : -ENOMEM;

	all->n = 0;
	for (uint64_t i = 0; i < h->stories && r == 0; i++) {
		static struct seam m;
		r = record(h->w, fs, manner_of_mutant(h->seed + i, i), h->seed + i, NULL, log, &m);
		for (unsigned k = 0; k < m.n && r == 0; k++) {
			bool known = false;
			for (unsigned j = 0; j < all->n && !known; j++)
				known = strcmp(all->names[j], m.names[k]) == 0;
			if (!known && all->n < SYNCS_MAX)
				memcpy(all->names[all->n++], m.names[k], SYNC_NAME);
		}
	}
	blk_log_free(log);
	return r > 0 ? -EIO : r;
}

/* From @m, which becomes empty where it was taken. */
static void take_phase(struct seam *m, unsigned first, struct phase *p)
{
	size_t len = strcspn(m->names[first], ":") + 1;
	char name[SYNC_NAME];

	memcpy(name, m->names[first], sizeof(name));
	p->n = 0;
	for (unsigned i = first; i < m->n && p->n < SYNCS_OF_PHASE; i++) {
		if (strncmp(m->names[i], name, len) != 0)
			continue;
		memcpy(p->names[p->n++], m->names[i], SYNC_NAME);
		m->names[i][0] = '\0';
	}
}

/* "=NAMES" */
static int hunt_one(const struct hunt *h, const char *const *fs)
{
	unsigned n_caught = 0;

	for (unsigned f = 0; f < h->n_fs; f++) {
		struct seen s = {0};
		look(h, fs[f], h->only + 1, &s);
		printf("%-5s %-40s ", fs[f], h->only + 1);
		if (s.caught > 0)
			print_caught(&s);
		else if (s.caught == 0)
			printf("not in %llu\n", s.states);
		else
			printf("%s\n", strerror(-s.caught));
		n_caught += s.caught > 0;
	}
	return n_caught == h->n_fs ? 0 : 1;
}

int mutants_hunt(const struct hunt *h, const char *const *fs)
{
	static struct seam names;
	static struct phase p;
	unsigned tried = 0, found = 0;

	if (h->only && h->only[0] == '=')
		return hunt_one(h, fs);
	for (unsigned f = 0; f < h->n_fs; f++) {
		int r = all_names(h, fs[f], &names);
		if (r < 0)
			return r;
		for (unsigned i = 0; i < names.n; i++) {
			if (!names.names[i][0] ||
			    (h->only && strncmp(names.names[i], h->only, strlen(h->only)) != 0))
				continue;
			p.h = h;
			p.fs = fs[f];
			take_phase(&names, i, &p);
			tried += p.n;
			found += hunt_phase(&p);
		}
	}
	printf("%u of %u syncs were caught when they were left out, alone or with others\n", found, tried);
	return found == tried && tried > 0 ? 0 : 1;
}
