/* SPDX-License-Identifier: MIT */
/*
 * diff/make.c - a bundle out of two trees: plan, diff on all cores, write in order.
 *
 * One thread (the caller's) hands out windows and writes what comes back, in the plan's order; the pool's threads
 * diff windows and pack parts meanwhile. Neither the threads' number nor their luck shows in the bytes.
 */
#include "diff/make.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "diff/bundle_writer.h"
#include "diff/codec.h"
#include "diff/elf_columns.h"
#include "diff/make_btf.h"
#include "diff/make_inside.h"
#include "diff/make_memory.h"
#include "diff/make_window_run.h"
#include "diff/pool.h"

#define LEVEL_DIFF    19
#define LEVEL_LITERAL 12
#define LEVEL_FAST    6              /* of a diff */
#define LEVEL_HASTY   3              /* of literals of a bundle from nothing, which are many */
#define LEVEL_XZ_MIN  16             /* who asks for less is in a hurry */
#define JOBS_AHEAD    8192           /* windows handed out and not written yet */
#define BYTES_AHEAD   (384ull << 20) /* and the bytes of files in them: what is coded waits in memory, */
#define AHEAD_SHARE   4              /* and may have this share of it */
#define PLAIN_MEMORY  (128ull << 20) /* more is for the few */
#define MEMORY_MIN    (64ull << 20)
#define PROGRESS_MS   200 /* so often it is told how far things are, whatever takes long */

struct window_job {
	struct ay__job job;
	struct ay__window window;
	struct maker *maker;
	bool last;    /* of its record */
	bool counted; /* as diffed: it may run again */
	int rc;
	struct ay_err err;
	struct window_job *next;
};

/* A record of several windows: what its windows are proved by. */
struct large {
	struct ay_merkle *new_merkle, *old_merkle;
};

struct maker {
	const struct ay_make_tree *old, *new_;
	const struct ay_make_options *options;
	struct ay__plan plan;
	struct ay__window_sizes sizes;
	struct ay__pool *pool;
	struct ay_bundle_writer *writer;
	uint32_t piece_max;
	uint64_t filter_memory; /* bytes that applying may use to unpack and pack again */
	bool aside;             /* there may be a thread for a long proof beside what depends on it */
	int proving;            /* there is one: the pool's threads ask */
	bool thorough;          /* time is not what counts, and parts are packed by xz */
	uint64_t memory;        /* bytes that all of it may need */
	uint64_t ahead_max;     /* of these, bytes of files in windows that are not written yet */
	uint64_t extra_max;     /* bytes of memory that a record may need besides what parts do */
	uint64_t work_left;     /* of what readers go through */
	struct ay__btf_map btf;
	/* the next window to hand out */
	size_t record;
	uint64_t at;
	struct large *large; /* per record; owned */
	/* handed out, oldest first */
	struct window_job *first, *last;
	size_t n_ahead;
	uint64_t bytes_ahead, done;
	uint64_t diffed; /* bytes of files whose windows have run; the pool's threads count */
	int stop;        /* read by the pool's threads: what still waits is not worth doing */
	struct ay_make_result *res;
};

static void window_run(struct ay__job *job)
{
	struct window_job *w = (struct window_job *)job;

	w->rc = __atomic_load_n(&w->maker->stop, __ATOMIC_RELAXED);
	if (w->rc == 0)
		w->rc = ay__window_run(&w->window, &w->err);
	if (!w->counted)
		__atomic_add_fetch(&w->maker->diffed, w->window.len, __ATOMIC_RELAXED);
	w->counted = true;
}

static uint64_t size_of(const struct maker *m, size_t record)
{
	return m->plan.new_.files[m->plan.records[record].file].size;
}

/* Method, base and proofs of a record of several windows. */
static int large_begin(struct maker *m, struct window_job *j, struct ay_err *err)
{
	const struct ay__plan_record *r = j->window.record;
	struct large *l = &m->large[m->record];
	struct ay_entry e = ay__plan_entry(&m->plan.new_.files[r->file]);
	int rc = 0;

	j->window.method = r->match.n ? AY_METHOD_BSDIFF : AY_METHOD_LITERAL;
	j->window.base = r->match.n ? r->match.base[0] : 0;
	if (m->at == 0) {
		rc = ay__window_merkle(m->new_, &e, &l->new_merkle, err);
		if (rc == 0 && r->match.n) {
			e = ay__plan_entry(&m->plan.old.files[r->match.base[0]]);
			rc = ay__window_merkle(m->old, &e, &l->old_merkle, err);
		}
	}
	j->window.new_merkle = l->new_merkle;
	j->window.old_merkle = l->old_merkle;
	return rc;
}

static void large_end(struct maker *m, size_t record)
{
	ay_merkle_free(m->large[record].new_merkle);
	ay_merkle_free(m->large[record].old_merkle);
	m->large[record] = (struct large){0};
}

/* Hand out the next window. */
static int hand_out(struct maker *m, struct ay_err *err)
{
	struct window_job *j = calloc(1, sizeof(*j));
	const struct ay__plan_record *r = &m->plan.records[m->record];
	uint64_t size = size_of(m, m->record), left = size - m->at;
	bool whole = ay__window_whole(&m->sizes, &m->plan, r);
	uint64_t max = whole ? size : r->match.n ? m->sizes.new_max : m->sizes.literal_max;
	int rc = 0;

	if (!j)
		return ay_err_errno(err, ENOMEM, "make a bundle");
	j->maker = m;
	j->window = (struct ay__window){.old_tree = m->old,
					.new_tree = m->new_,
					.plan = &m->plan,
					.record = r,
					.sizes = m->sizes,
					.piece_max = m->piece_max,
					.extra_max = m->extra_max,
					.work_max = m->work_left,
					.btf = &m->btf,
					.fast = m->options->fast,
					.without = m->options->without,
					.thorough = m->thorough,
					.aside = m->aside ? &m->proving : NULL,
					.at = m->at,
					.len = left < max ? left : max,
					.whole = whole};
	ay__window_look(&j->window, m->filter_memory);
	if (ay__window_memory(&j->window) > m->memory / 2)
		j->window.aside = NULL;
	j->last = j->window.len == left;
	if (!whole)
		rc = large_begin(m, j, err);
	if (rc) {
		free(j);
		return rc;
	}
	j->job = (struct ay__job){.run = window_run, .memory = ay__window_memory(&j->window)};
	m->at += j->window.len;
	if (j->last) {
		m->record++;
		m->at = 0;
	}
	if (m->first)
		m->last->next = j;
	else
		m->first = j;
	m->last = j;
	m->n_ahead++;
	m->bytes_ahead += j->window.len;
	ay__pool_submit(m->pool, AY__QUEUE_DIFF, &j->job);
	return 0;
}

/* Take the oldest window out of the list, when it has run. */
static struct window_job *take_first(struct maker *m)
{
	struct window_job *j = m->first;

	ay__pool_wait(m->pool, &j->job);
	m->first = j->next;
	m->n_ahead--;
	m->bytes_ahead -= j->window.len;
	return j;
}

static void recipes_set(const struct ay__window *w, struct ay_bundle_record *r)
{
	const struct ay__inside *base = &w->base_in, *target = &w->target_in;

	r->base_recipe = (struct ay_slice){base->recipe.data, base->recipe.len};
	r->target_recipe = (struct ay_slice){target->recipe.data, target->recipe.len};
	r->filters = base->sums.encoders | target->sums.encoders;
	if (!r->filters)
		return;
	r->encoders = target->sums.encoders;
	r->extra_memory = ay__recipes_memory(base->recipe.len + target->recipe.len, &base->sums,
					     &target->sums, r->extra_memory);
	r->scratch_size = ay__recipes_scratch(&base->sums, &target->sums, r->method == AY_METHOD_ELF);
}

static int record_begin(struct maker *m, const struct ay__window *w, struct ay_err *err)
{
	const struct ay_match_file *file = &m->plan.new_.files[w->record->file];
	struct ay_bundle_record r = {.target = file->digest, .size = file->size, .method = w->method};

	if (w->method != AY_METHOD_LITERAL) {
		r.n_bases = 1;
		r.bases[0] = m->plan.old.files[w->base].digest;
		r.base_sizes[0] = m->plan.old.files[w->base].size;
		r.base_numbers[0] = 1 + (uint64_t)w->base;
		uint64_t base_size = w->base_in.recipe.len ? w->base_in.sums.view_size : r.base_sizes[0];
		if (w->method == AY_METHOD_ELF)
			r.extra_memory = ay__elf_extra_memory(base_size);
		recipes_set(w, &r);
		m->res->n_diffed++;
	} else {
		m->res->n_literal++;
	}
	m->res->n_records++;
	return ay_bundle_writer_record(m->writer, &r, err);
}

/*
 * What the record makes readers go through is taken from what is left. Where that has become too little since the window was
 * handed out it runs again, with what is left now: neither depends on how fast anything was.
 */
static void work_take(struct maker *m, struct window_job *j)
{
	if (j->rc == 0 && ay__window_work(&j->window) > m->work_left) {
		ay__window_reset(&j->window);
		j->window.work_max = m->work_left;
		ay__pool_submit(m->pool, AY__QUEUE_DIFF, &j->job);
		ay__pool_wait(m->pool, &j->job);
	}
	if (j->rc == 0)
		m->work_left -= ay__window_work(&j->window);
}

/* Windows are written in order, and the first may be the one that takes longest: what the others have done counts half. */
static int progress_tell(struct maker *m, struct ay_err *err)
{
	uint64_t diffed = __atomic_load_n(&m->diffed, __ATOMIC_RELAXED);

	if (!m->options->progress)
		return 0;
	int rc =
		m->options->progress(m->options->progress_ctx, (diffed + m->done) / 2, m->plan.unpacked_size);
	return rc ? ay_err_set(err, rc, "stopped") : 0;
}

/* Wait for the oldest window and write it. */
static int write_first(struct maker *m, struct ay_err *err)
{
	int rc = 0;

	while (rc == 0 && !ay__pool_wait_for(m->pool, &m->first->job, PROGRESS_MS))
		rc = progress_tell(m, err);
	if (rc)
		return rc;
	struct window_job *j = take_first(m);
	work_take(m, j);
	rc = j->rc;

	if (rc && err)
		*err = j->err;
	if (rc == 0 && j->window.at == 0)
		rc = record_begin(m, &j->window, err);
	if (rc == 0)
		rc = ay_bundle_writer_columns(m->writer, &j->window.columns, err);
	m->done += j->window.len;
	m->res->hole_size += j->window.zero_bytes;
	if (j->last)
		large_end(m, (size_t)(j->window.record - m->plan.records));
	ay__window_release(&j->window);
	free(j);
	return rc ? rc : progress_tell(m, err);
}

static int records_write(struct maker *m, struct ay_err *err)
{
	int rc = 0;

	while (rc == 0 && (m->first || m->record < m->plan.n_records)) {
		if (m->record < m->plan.n_records &&
		    (!m->first || (m->n_ahead < JOBS_AHEAD && m->bytes_ahead < m->ahead_max)))
			rc = hand_out(m, err);
		else
			rc = write_first(m, err);
	}
	return rc;
}

struct delta_ctx {
	struct ay_bundle_writer *writer;
	struct ay_err *err;
};

static int delta_put(void *ctx, const void *data, size_t len)
{
	struct delta_ctx *d = ctx;

	return ay_bundle_writer_delta(d->writer, data, len, d->err);
}

static int delta_write(struct maker *m, struct ay_err *err)
{
	struct ay_manifest_reader *old = NULL, *new_ = NULL;
	struct delta_ctx ctx = {.writer = m->writer, .err = err};
	int rc;

	if (m->old->manifest)
		old = ay_manifest_reader_new_mem(m->old->manifest, m->old->manifest_len);
	new_ = ay_manifest_reader_new_mem(m->new_->manifest, m->new_->manifest_len);
	if (!new_ || (m->old->manifest && !old))
		rc = ay_err_errno(err, ENOMEM, "manifest delta");
	else
		rc = ay_delta_make(old, &m->old->manifest_digest, new_, &m->new_->manifest_digest, delta_put,
				   &ctx, err);
	ay_manifest_reader_free(old);
	ay_manifest_reader_free(new_);
	return rc;
}

/* What became of type numbers is learned from the whole tree, before any file is diffed. */
static int map_write(struct maker *m, struct ay_err *err)
{
	if (m->options->fast || m->options->without & (AY_TECHNIQUE_BTF | AY_TECHNIQUE_ELF))
		return 0;
	int rc = ay__make_btf(m->old, m->new_, &m->plan, ay__make_part_limit(m->options->apply_memory),
			      &m->btf);

	return rc ? ay_err_errno(err, -rc, "learn type numbers")
		  : ay_bundle_writer_map(m->writer, &m->btf, err);
}

/* What the reader must keep for the whole bundle, no record may use. */
static void tables_count(struct maker *m)
{
	uint64_t taken = ay_bundle_writer_tables(m->writer);

	m->extra_max = m->extra_max > taken ? m->extra_max - taken : 0;
	m->filter_memory = m->filter_memory > taken ? m->filter_memory - taken : 0;
}

static int level_for(const struct ay_make_options *o, bool diff)
{
	if (o->level)
		return o->level;
	if (o->fast)
		return diff ? LEVEL_FAST : LEVEL_HASTY;
	return diff ? LEVEL_DIFF : LEVEL_LITERAL;
}

static uint64_t memory_for(const struct ay_make_options *o)
{
	uint64_t memory = o->memory;

	if (memory == 0)
		memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE) / 2;
	return memory > MEMORY_MIN ? memory : MEMORY_MIN;
}

/* Pool and writer. */
static int maker_start(struct maker *m, int out_fd, struct ay_err *err)
{
	const struct ay_make_options *o = m->options;
	bool diff = m->plan.old.n > 0;
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned threads = o->threads ? o->threads : cores > 0 ? (unsigned)cores : 1;
	struct ay_bundle_writer_options w = {.from = m->old->manifest_digest,
					     .to = m->new_->manifest_digest,
					     .part_limit = ay__make_part_limit(o->apply_memory),
					     .level = level_for(o, diff),
					     .codecs = AY_CODEC_BIT(AY_CODEC_ZSTD),
					     .targets = true,
					     .bases = m->old->manifest != NULL,
					     .parts_ahead = threads + 1};

	if (diff && w.level >= LEVEL_XZ_MIN && !(o->without & AY_TECHNIQUE_PACK_XZ))
		w.codecs = AY_CODECS_ALL;
	m->memory = memory_for(o);
	m->ahead_max = m->memory / AHEAD_SHARE < BYTES_AHEAD ? m->memory / AHEAD_SHARE : BYTES_AHEAD;
	m->sizes = ay__window_sizes_for(m->memory);
	m->aside = threads > 1;
	m->thorough =
		w.level >= LEVEL_XZ_MIN && !(o->without & (AY_TECHNIQUE_PACK_XZ | AY_TECHNIQUE_THRESHOLD));
	m->filter_memory = ay__make_filter_memory(o);
	m->piece_max = ay_bundle_piece_max(w.part_limit);
	m->work_left = ay__work_max(m->plan.unpacked_size);
	if (o->work_max && o->work_max < m->work_left)
		m->work_left = o->work_max;
	m->extra_max = ay__make_extra_memory(o);
	m->large = calloc(m->plan.n_records + 1, sizeof(*m->large));
	m->pool = ay__pool_new(threads, m->memory - m->ahead_max);
	w.pool = m->pool;
	m->writer = m->pool ? ay_bundle_writer_new(out_fd, &w) : NULL;
	return m->large && m->writer ? 0 : ay_err_errno(err, ENOMEM, "make a bundle");
}

static int bases_choose(struct maker *m, struct ay_err *err)
{
	unsigned without = m->options->without;
	int rc = 0;

	if (without & AY_TECHNIQUE_RENAME)
		ay__plan_same_paths(&m->plan);
	if (!(without & AY_TECHNIQUE_SKETCH))
		rc = ay__plan_sketch(&m->plan, m->old, m->new_, m->pool, memory_for(m->options),
				     m->options->fast);
	if (without & AY_TECHNIQUE_SEVERAL)
		ay__plan_one_base(&m->plan);
	return rc ? ay_err_set(err, rc, "choose bases: %s", ay_strerror(rc)) : 0;
}

static void maker_release(struct maker *m)
{
	__atomic_store_n(&m->stop, -ECANCELED, __ATOMIC_RELAXED);
	while (m->first) {
		struct window_job *j = take_first(m);

		ay__window_release(&j->window);
		free(j);
	}
	ay_bundle_writer_free(m->writer);
	ay__pool_free(m->pool);
	for (size_t i = 0; m->large && i < m->plan.n_records; i++)
		large_end(m, i);
	free(m->large);
	ay__btf_map_release(&m->btf);
	ay__plan_release(&m->plan);
}

int ay_bundle_make(const struct ay_make_tree *old, const struct ay_make_tree *new_,
		   const struct ay_make_options *opts, int out_fd, struct ay_make_result *res,
		   struct ay_err *err)
{
	static const struct ay_make_tree nothing;
	static const struct ay_make_options defaults;
	struct maker m = {
		.old = old ? old : &nothing, .new_ = new_, .options = opts ? opts : &defaults, .res = res};

	*res = (struct ay_make_result){0};
	int rc = ay__plan_make(m.old, m.new_, &m.plan, err);
	if (rc == 0)
		rc = maker_start(&m, out_fd, err);
	if (rc == 0)
		rc = bases_choose(&m, err);
	if (rc == 0)
		rc = delta_write(&m, err);
	if (rc == 0)
		rc = map_write(&m, err);
	if (rc == 0)
		tables_count(&m);
	if (rc == 0)
		rc = records_write(&m, err);
	if (rc == 0)
		rc = ay_bundle_writer_finish(m.writer, err);
	if (rc == 0)
		ay_bundle_writer_needs(m.writer, &res->apply_memory, &res->encoders);
	res->cpu = res->apply_memory > PLAIN_MEMORY;
	if (rc == 0) {
		rc = ay_digest_fd(out_fd, &res->bundle, &res->bundle_size);
		if (rc)
			ay_err_set(err, rc, "read the bundle back: %s", ay_strerror(rc));
	}
	res->unpacked_size = m.plan.unpacked_size;
	maker_release(&m);
	return rc;
}
