/* SPDX-License-Identifier: MIT */
/*
 * diff/make_sketch.c - bases by content, for what names do not explain.
 *
 * Reading a whole tree costs more than most releases need, so it is done by steps: the new contents and the bases that their
 * paths propose are sketched first, and only where some of these have nothing in common are the old tree's
 * other files looked at, and of these only such as are of a size that could help.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/sparse.h"
#include "diff/make_plan.h"
#include "diff/sketch.h"

#define SIZE_MIN     256 /* bytes below which naming a base saves next to nothing */
#define SIZE_RATIO   16  /* bases may be so many times smaller or larger */
#define READ_SIZE    (256u << 10)
#define JOB_BYTES    (16ull << 20) /* of files sketched in one job */
#define JOB_FILES    512
#define PROPOSED_MAX 2 /* bases by content for one file */
#define LIKE_MAX     8
#define ORDER_FROM   (4ull << 20) /* bytes below which all lie together anyway */
#define MEMORY_SHARE 8            /* of the memory, each for sketches of one tree and for their index */
#define NONE         UINT32_MAX

/* Sketches of some files of a tree. */
struct side {
	const struct ay_make_tree *tree;
	const struct ay__plan_tree *files;
	uint32_t *of; /* per file: which sketch is its; NONE */
	struct ay__sketch *sketches;
	uint32_t *file; /* per sketch: whose it is */
	size_t n, cap, done, max;
};

struct sketch_job {
	struct ay__job job;
	struct side *side;
	size_t from, to; /* sketches to make */
};

static int side_init(struct side *s, const struct ay_make_tree *tree, const struct ay__plan_tree *files,
		     uint64_t memory)
{
	*s = (struct side){.tree = tree, .files = files, .max = memory / sizeof(struct ay__sketch)};
	s->of = malloc((files->n + 1) * sizeof(*s->of));
	for (size_t i = 0; s->of && i < files->n; i++)
		s->of[i] = NONE;
	return s->of ? 0 : -ENOMEM;
}

static void side_release(struct side *s)
{
	free(s->of);
	free(s->sketches);
	free(s->file);
}

/* File @file shall have a sketch, if there is room. */
static int side_want(struct side *s, uint32_t file)
{
	if (s->of[file] != NONE || s->files->files[file].size < SIZE_MIN || s->n == s->max)
		return 0;
	if (s->n == s->cap) {
		size_t cap = s->cap ? 2 * s->cap : 256;
		struct ay__sketch *k = realloc(s->sketches, cap * sizeof(*k));
		uint32_t *f = k ? realloc(s->file, cap * sizeof(*f)) : NULL;

		s->sketches = k ? k : s->sketches;
		s->file = f ? f : s->file;
		if (!k || !f)
			return -ENOMEM;
		s->cap = cap;
	}
	s->of[file] = (uint32_t)s->n;
	s->file[s->n++] = file;
	return 0;
}

static const struct ay__sketch *side_get(const struct side *s, uint32_t file)
{
	static const struct ay__sketch none;

	return s->of[file] == NONE ? &none : &s->sketches[s->of[file]];
}

/* What cannot be read has fewer features. */
static void sketch_fd(int fd, uint64_t size, uint8_t *buf, struct ay__sketch *out)
{
	struct ay__sketcher k = {0};
	struct stat st;
	bool sparse = fstat(fd, &st) == 0 && st.st_blocks * 512 < st.st_size;

	for (uint64_t at = 0, end = 0; at < size; at = end) {
		end = size;
		if (sparse && ay_sparse_next(fd, at, size, &end)) {
			ay__sketch_skip(&k);
			continue;
		}
		while (at < end) {
			size_t want = end - at < READ_SIZE ? (size_t)(end - at) : READ_SIZE;
			ssize_t n = pread(fd, buf, want, (off_t)at);

			if (n < 0 && errno == EINTR)
				continue;
			if (n <= 0)
				break;
			ay__sketch_update(&k, buf, (size_t)n);
			at += (uint64_t)n;
		}
	}
	*out = k.sketch;
}

static void sketch_run(struct ay__job *job)
{
	struct sketch_job *j = (struct sketch_job *)job;
	struct side *s = j->side;
	AY_FREE uint8_t *buf = malloc(READ_SIZE);

	for (size_t i = j->from; i < j->to; i++) {
		const struct ay_match_file *f = &s->files->files[s->file[i]];
		struct ay_entry e = ay__plan_entry(f);
		struct ay_err err;
		AY_CLOSE int fd = -1;

		s->sketches[i].n = 0;
		if (buf && s->tree->open(s->tree->ctx, &e, &fd, &err) == 0)
			sketch_fd(fd, f->size, buf, &s->sketches[i]);
	}
}

/* Make the sketches that were wanted since the last time. */
static int side_run(struct side *s, struct ay__pool *pool)
{
	uint64_t bytes = 0;

	for (size_t i = s->done; i < s->n; i++)
		bytes += s->files->files[s->file[i]].size;
	size_t n_jobs = 0, cap = (s->n - s->done) / JOB_FILES + (size_t)(bytes / JOB_BYTES) + 1;
	AY_FREE struct sketch_job *jobs = calloc(cap, sizeof(*jobs));
	if (!jobs)
		return -ENOMEM;
	for (size_t at = s->done, from = at; at < s->n; from = at) {
		for (bytes = 0; at < s->n && at - from < JOB_FILES && bytes < JOB_BYTES; at++)
			bytes += s->files->files[s->file[at]].size;
		AY_ASSERT(n_jobs < cap);
		jobs[n_jobs] = (struct sketch_job){
			.job = {.run = sketch_run, .memory = READ_SIZE}, .side = s, .from = from, .to = at};
		ay__pool_submit(pool, AY__QUEUE_DIFF, &jobs[n_jobs++].job);
	}
	for (size_t i = 0; i < n_jobs; i++)
		ay__pool_wait(pool, &jobs[i].job);
	s->done = s->n;
	return 0;
}

/* ---- bases by content ---- */

struct looker {
	struct ay__plan *plan;
	struct ay__pool *pool;
	uint64_t memory; /* for the index */
	struct side new_, old;
};

/* Features that @r's content has in common with the best base so far. */
static unsigned best_common(const struct looker *l, const struct ay__plan_record *r)
{
	unsigned best = 0;

	for (unsigned i = 0; i < r->match.n; i++) {
		unsigned n =
			ay__sketch_common(side_get(&l->new_, r->file), side_get(&l->old, r->match.base[i]));

		best = n > best ? n : best;
	}
	return best;
}

/* Does a base by path have something in common with the content? One too small to be judged has. */
static bool explained(const struct looker *l, const struct ay__plan_record *r)
{
	const struct ay__sketch *k = side_get(&l->new_, r->file);
	bool related = k->n == 0;

	for (unsigned i = 0; i < r->match.n && !related; i++)
		related = ay__sketch_related(k, side_get(&l->old, r->match.base[i]));
	return related;
}

/* Sketch the other old files of sizes between which a base must be, if any record needs one. */
static int old_want(struct looker *l, bool *any)
{
	const struct ay__plan *plan = l->plan;
	uint64_t low = UINT64_MAX, high = 0;
	int rc = 0;

	for (size_t i = 0; i < plan->n_records; i++) {
		uint64_t size = plan->new_.files[plan->records[i].file].size;

		if (explained(l, &plan->records[i]))
			continue;
		low = size / SIZE_RATIO < low ? size / SIZE_RATIO : low;
		high = size * SIZE_RATIO > high ? size * SIZE_RATIO : high;
	}
	*any = high > 0;
	for (size_t i = 0; rc == 0 && *any && i < plan->old.n; i++) {
		if (plan->old.files[i].size >= low && plan->old.files[i].size <= high)
			rc = side_want(&l->old, (uint32_t)i);
	}
	return rc;
}

/* Old files that have more in common with the content than those by path, before these. */
static void propose(struct looker *l, struct ay__sketch_index *index, struct ay__plan_record *r)
{
	const struct ay__sketch *k = side_get(&l->new_, r->file);
	uint64_t size = l->plan->new_.files[r->file].size;
	struct ay_match all = {0};
	uint32_t found[LIKE_MAX];
	unsigned common = best_common(l, r);

	if (common * 2 >= k->n)
		return;
	size_t n = ay__sketch_index_find(index, k, found, LIKE_MAX);
	for (size_t i = 0; i < n && all.n < PROPOSED_MAX; i++) {
		uint64_t old_size = l->plan->old.files[found[i]].size;

		if (old_size / SIZE_RATIO > size || size / SIZE_RATIO > old_size ||
		    ay__sketch_common(k, side_get(&l->old, found[i])) <= common * 2)
			continue;
		all.base[all.n++] = found[i];
	}
	for (unsigned i = 0; i < r->match.n && all.n < AY_MATCH_MAX; i++) {
		if (all.n == 0 ||
		    (all.base[0] != r->match.base[i] && all.base[all.n - 1] != r->match.base[i]))
			all.base[all.n++] = r->match.base[i];
	}
	r->match = all;
}

static int bases_find(struct looker *l)
{
	struct ay__plan *plan = l->plan;
	bool any = false;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < plan->n_records; i++) {
		const struct ay__plan_record *r = &plan->records[i];

		if (l->new_.of[r->file] == NONE)
			continue;
		for (unsigned k = 0; rc == 0 && k < r->match.n; k++)
			rc = side_want(&l->old, r->match.base[k]);
	}
	if (rc == 0)
		rc = side_run(&l->old, l->pool);
	if (rc == 0)
		rc = old_want(l, &any);
	if (rc || !any)
		return rc;
	rc = side_run(&l->old, l->pool);
	if (rc)
		return rc;
	struct ay__sketch_index *index = ay__sketch_index_new(l->old.n, l->memory);
	if (!index)
		return -ENOMEM;
	for (size_t i = 0; i < l->old.n; i++)
		ay__sketch_index_add(index, l->old.file[i], &l->old.sketches[i]);
	for (size_t i = 0; i < plan->n_records; i++) {
		if (side_get(&l->new_, plan->records[i].file)->n)
			propose(l, index, &plan->records[i]);
	}
	ay__sketch_index_free(index);
	return 0;
}

/* ---- like with like ---- */

/* Records as a forest: each stands behind the earlier one that it resembles most. */
struct node {
	uint32_t parent, first, last, next; /* NONE */
};

static void adopt(struct node *nodes, uint32_t parent, uint32_t child)
{
	nodes[child].parent = parent;
	if (nodes[parent].first == NONE)
		nodes[parent].first = child;
	else
		nodes[nodes[parent].last].next = child;
	nodes[parent].last = child;
}

/* The records in the order in which one passes through the forest: parents first, then each child with all of its own. */
static int forest_order(struct ay__plan *plan, const struct node *nodes)
{
	struct ay__plan_record *out = malloc((plan->n_records + 1) * sizeof(*out));
	size_t n = 0;

	if (!out)
		return -ENOMEM;
	for (uint32_t root = 0; root < plan->n_records; root++) {
		uint32_t at = nodes[root].parent == NONE ? root : NONE;

		while (at != NONE) {
			out[n++] = plan->records[at];
			if (nodes[at].first != NONE) {
				at = nodes[at].first;
				continue;
			}
			while (at != root && nodes[at].next == NONE)
				at = nodes[at].parent;
			at = at == root ? NONE : nodes[at].next;
		}
	}
	AY_ASSERT(n == plan->n_records);
	free(plan->records);
	plan->records = out;
	return 0;
}

static int order(struct looker *l)
{
	struct ay__plan *plan = l->plan;
	AY_FREE struct node *nodes = malloc((plan->n_records + 1) * sizeof(*nodes));
	struct ay__sketch_index *index = ay__sketch_index_new(plan->n_records, l->memory);
	uint32_t like[LIKE_MAX];

	if (!nodes || !index) {
		ay__sketch_index_free(index);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < plan->n_records; i++) {
		nodes[i] = (struct node){NONE, NONE, NONE, NONE};
		if (plan->records[i].match.n == 0)
			ay__sketch_index_add(index, i, side_get(&l->new_, plan->records[i].file));
	}
	for (uint32_t i = 0; i < plan->n_records; i++) {
		const struct ay__sketch *k = side_get(&l->new_, plan->records[i].file);

		if (plan->records[i].match.n || k->n == 0)
			continue;
		size_t n = ay__sketch_index_find(index, k, like, LIKE_MAX);
		for (size_t j = 0; j < n && nodes[i].parent == NONE; j++) {
			if (like[j] < i)
				adopt(nodes, like[j], i);
		}
	}
	ay__sketch_index_free(index);
	return forest_order(plan, nodes);
}

int ay__plan_sketch(struct ay__plan *plan, const struct ay_make_tree *old, const struct ay_make_tree *new_,
		    struct ay__pool *pool, uint64_t memory, bool fast)
{
	struct looker l = {.plan = plan, .pool = pool, .memory = memory / MEMORY_SHARE};
	uint64_t loose = 0; /* bytes of contents without a base */
	int rc = side_init(&l.new_, new_, &plan->new_, l.memory);

	if (rc == 0)
		rc = side_init(&l.old, old, &plan->old, l.memory);
	for (size_t i = 0; rc == 0 && i < plan->n_records; i++) {
		if (plan->records[i].match.n == 0 || !fast)
			rc = side_want(&l.new_, plan->records[i].file);
	}
	if (rc == 0)
		rc = side_run(&l.new_, pool);
	if (rc == 0 && plan->old.n)
		rc = bases_find(&l);
	for (size_t i = 0; rc == 0 && i < plan->n_records; i++)
		loose += plan->records[i].match.n ? 0 : plan->new_.files[plan->records[i].file].size;
	if (rc == 0 && loose > ORDER_FROM)
		rc = order(&l);
	side_release(&l.new_);
	side_release(&l.old);
	return rc;
}
