/* SPDX-License-Identifier: MIT */
/*
 * Reading by several threads gives what one gives, also where it fails; and reading goes on from every place that was told,
 * with what lay before it and nothing else.
 */
#include "tests/unit/diff/trees.h"

#include <pthread.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "diff/bundle.h"

#define FILES_OUT  256
#define PLACES_MAX 256

/* One file that came, or that comes. */
struct out {
	struct ay_digest target;
	struct ay_buf bytes;
	bool complete;
};

struct reading {
	struct tree *old;
	struct out out[FILES_OUT];
	size_t n;
	struct out *now;
	struct ay_bundle_place place[PLACES_MAX];
	size_t n_places;
	size_t stop_at; /* place at which it ends; SIZE_MAX: none */
	size_t fail_at; /* record whose data ends it; SIZE_MAX: none */
	uint64_t bytes; /* that came */
	pthread_t caller;
	bool elsewhere; /* data came in another thread */
	uint64_t memory_here;
	uint64_t declared; /* memory, by the header */
};

static struct out *out_of(struct reading *x, const struct ay_digest *d)
{
	for (size_t i = 0; i < x->n; i++) {
		if (ay_digest_eq(&x->out[i].target, d))
			return &x->out[i];
	}
	return NULL;
}

static int on_header(void *ctx, const struct ay_bundle_header *h, struct ay_err *err)
{
	struct reading *x = ctx;

	(void)err;
	x->declared = ay_bundle_memory(h->part_limit) + h->extra_memory;
	return 0;
}

static int on_begin(void *ctx, const struct ay_bundle_record *r, bool *skip, struct ay_err *err)
{
	(void)ctx;
	(void)r;
	(void)skip;
	(void)err;
	return 0;
}

static int on_open(void *ctx, const struct ay_bundle_record *r, struct ay_err *err)
{
	struct reading *x = ctx;

	(void)err;
	x->now = out_of(x, &r->target); /* it had begun */
	if (!x->now) {
		x->now = &x->out[x->n++];
		x->now->target = r->target;
		ay_buf_init(&x->now->bytes, 64u << 20);
	}
	return 0;
}

static int on_base(void *ctx, const struct ay_bundle_record *r, unsigned base, int *fd, struct ay_err *err)
{
	struct reading *x = ctx;

	(void)err;
	for (size_t i = 0; i < x->old->n; i++) {
		if (ay_digest_eq(&x->old->files[i].digest, &r->bases[base])) {
			*fd = bundle_fd(x->old->files[i].data, x->old->files[i].len);
			return 0;
		}
	}
	return AY_EBASE;
}

static int on_data(void *ctx, const struct ay_bundle_record *r, const void *data, size_t len,
		   struct ay_err *err)
{
	struct reading *x = ctx;

	x->elsewhere |= !pthread_equal(x->caller, pthread_self());
	if (r->index == x->fail_at)
		return ay_err_set(err, -ENOSPC, "no room for it");
	ay_put_bytes(&x->now->bytes, data, len);
	x->bytes += len;
	return 0;
}

static int on_end(void *ctx, const struct ay_bundle_record *r, struct ay_err *err)
{
	struct reading *x = ctx;

	(void)r;
	(void)err;
	x->now->complete = true;
	return 0;
}

static int on_place(void *ctx, const struct ay_bundle_place *p, struct ay_err *err)
{
	struct reading *x = ctx;

	if (x->n_places < PLACES_MAX)
		x->place[x->n_places] = *p;
	return x->n_places++ == x->stop_at ? ay_err_set(err, -ECANCELED, "killed") : 0;
}

static const struct ay_bundle_sink sink = {.header = on_header,
					   .begin = on_begin,
					   .open = on_open,
					   .base = on_base,
					   .data = on_data,
					   .end = on_end,
					   .place = on_place};

static struct reading *reading_new(struct tree *old)
{
	struct reading *x = calloc(1, sizeof(*x));

	assert_non_null(x);
	x->old = old;
	x->stop_at = x->fail_at = SIZE_MAX;
	x->caller = pthread_self();
	return x;
}

static void reading_free(struct reading *x)
{
	for (size_t i = 0; i < x->n; i++)
		ay_buf_release(&x->out[i].bytes);
	free(x);
}

static int read_on(struct reading *x, int fd, bool threads, const struct ay_bundle_place *from, int from_fd,
		   struct ay_err *err)
{
	struct ay_bundle_sink s = sink;
	const struct ay_bundle_limits limits = {
		.threads = threads, .memory_here = x->memory_here, .from = from, .from_fd = from_fd};

	struct ay_old_files numbers;
	assert_int_equal(ay_old_files_open_mem(&numbers, x->old->manifest.data, x->old->manifest.len, NULL),
			 0);
	s.ctx = x;
	s.old = &numbers;
	int rc = ay_bundle_read(fd, &limits, &s, true, err);
	ay_old_files_release(&numbers);
	return rc;
}

/* Every file of the new tree that the old one has not is there, complete, bit for bit. */
static void assert_all(struct reading *x, struct tree *new_)
{
	for (size_t i = 0; i < x->n; i++)
		assert_true(x->out[i].complete);
	for (size_t i = 0; i < new_->n; i++) {
		struct out *o = out_of(x, &new_->files[i].digest);
		bool had = false;
		for (size_t k = 0; k < x->old->n; k++)
			had |= ay_digest_eq(&x->old->files[k].digest, &new_->files[i].digest);
		if (had)
			continue;
		assert_non_null(o);
		assert_int_equal(o->bytes.len, new_->files[i].len);
		if (o->bytes.len)
			assert_memory_equal(o->bytes.data, new_->files[i].data, o->bytes.len);
	}
}

struct state {
	struct tree *old, *new_;
	int fd; /* the bundle: parts of 20 KiB, files of up to 300 KiB */
};

static int setup(void **arg)
{
	struct state *t = calloc(1, sizeof(*t));
	struct ay_make_options o = {.threads = 1, .level = 1, .apply_memory = ay_bundle_memory(20480)};
	struct ay_prng r;
	char path[64];

	ay_prng_init(&r, 7);
	t->old = tree_new();
	t->new_ = tree_new();
	for (unsigned i = 0; i < 40; i++) {
		size_t len = i % 10 == 3 ? 300000 : 50 + (size_t)i * 211, new_len;
		AY_FREE uint8_t *a = i % 10 == 3 ? bytes_random(&r, len) : bytes_code(&r, len);
		AY_FREE uint8_t *b = bytes_edit(&r, a, len, 20, &new_len);
		snprintf(path, sizeof(path), "/f%02u", i);
		if (i % 4 && i % 20 != 13)
			tree_add(t->old, path, a, len);
		tree_add(t->new_, path, b, new_len);
	}
	tree_add(t->new_, "/empty", "", 0);
	tree_seal(t->old);
	tree_seal(t->new_);
	t->fd = bundle_make(t->old, t->new_, &o, NULL);
	*arg = t;
	return 0;
}

static int teardown(void **arg)
{
	struct state *t = *arg;

	close(t->fd);
	tree_free(t->old);
	tree_free(t->new_);
	free(t);
	return 0;
}

static void threads_give_what_one_gives(void **arg)
{
	struct state *t = *arg;
	struct ay_err err = {0};

	for (int threads = 0; threads < 2; threads++) {
		struct reading *x = reading_new(t->old);
		if (read_on(x, t->fd, threads, NULL, -1, &err))
			fail_msg("%s", err.msg);
		assert_all(x, t->new_);
		assert_true(x->n_places > 8);
		assert_int_equal(x->elsewhere, threads);
		reading_free(x);
	}
}

/* What threads take comes on top of what was declared: where that is more than there is, one does all. */
static void threads_only_where_there_is_room(void **arg)
{
	const struct {
		bool declared;
		uint64_t besides;
		bool threads;
	} cases[] = {{true, AY_BUNDLE_THREADS_MEMORY, true},
		     {true, AY_BUNDLE_THREADS_MEMORY - 1, false},
		     {false, 1, false}};
	struct state *t = *arg;
	struct ay_err err = {0};
	uint64_t declared = 0;

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct reading *x = reading_new(t->old);

		if (declared == 0) {
			assert_int_equal(read_on(x, t->fd, false, NULL, -1, &err), 0);
			declared = x->declared;
			reading_free(x);
			x = reading_new(t->old);
		}
		x->memory_here = (cases[i].declared ? declared : 0) + cases[i].besides;
		if (read_on(x, t->fd, true, NULL, -1, &err))
			fail_msg("%s", err.msg);
		assert_all(x, t->new_);
		assert_int_equal(x->elsewhere, cases[i].threads);
		reading_free(x);
	}
}

static void what_the_other_thread_falls_over_is_told(void **arg)
{
	struct state *t = *arg;

	for (int threads = 0; threads < 2; threads++) {
		for (size_t fail = 0; fail < 40; fail += 3) {
			struct reading *x = reading_new(t->old);
			struct ay_err err = {0};
			char want[32];
			x->fail_at = fail;
			int rc = read_on(x, t->fd, threads, NULL, -1, &err);
			if (rc == 0) { /* the empty file has no data */
				reading_free(x);
				continue;
			}
			assert_int_equal(rc, -ENOSPC);
			snprintf(want, sizeof(want), "record %zu (", fail);
			if (!strstr(err.msg, want) || !strstr(err.msg, "no room for it"))
				fail_msg("%s", err.msg);
			reading_free(x);
		}
	}
}

/* What lay before the place, as whoever was killed there has it; the file in hand as a file. */
static int keep_what_was(struct reading *x, struct reading *y, const struct ay_bundle_place *p)
{
	int fd = -1;

	for (size_t i = 0; i < x->n; i++) {
		struct out *o = &y->out[y->n++];
		*o = x->out[i];
		o->bytes = (struct ay_buf){0};
		ay_buf_init(&o->bytes, 64u << 20);
		ay_put_bytes(&o->bytes, x->out[i].bytes.data, x->out[i].bytes.len);
		if (o->complete)
			continue;
		assert_true(p->inside);
		assert_true(ay_digest_eq(&o->target, &p->r.target));
		assert_int_equal(o->bytes.len, p->done);
		fd = bundle_fd(o->bytes.data, o->bytes.len);
	}
	return fd;
}

static void it_goes_on_from_every_place(void **arg)
{
	struct state *t = *arg;
	size_t places = 1, inside = 0;

	for (size_t k = 0; k < places; k++) {
		struct reading *x = reading_new(t->old), *y = reading_new(t->old);
		struct ay_err err = {0};
		x->stop_at = k;
		assert_int_equal(read_on(x, t->fd, k % 2, NULL, -1, &err), -ECANCELED);
		const struct ay_bundle_place *p = &x->place[k];
		int fd = keep_what_was(x, y, p);
		inside += p->inside;
		if (read_on(y, t->fd, k / 2 % 2, p, fd, &err))
			fail_msg("place %zu: %s", k, err.msg);
		assert_all(y, t->new_);
		/* Nothing came twice. */
		uint64_t total = 0;
		for (size_t i = 0; i < y->n; i++)
			total += y->out[i].bytes.len;
		assert_int_equal(x->bytes + y->bytes, total);
		if (k == 0)
			places += y->n_places;
		if (fd >= 0)
			close(fd);
		reading_free(x);
		reading_free(y);
	}
	assert_true(places > 8);
	assert_true(inside > 3);
}

static void nothing_is_believed(void **arg)
{
	struct state *t = *arg;
	struct ay_prng r;

	ay_prng_init(&r, 3);
	for (unsigned round = 0; round < 60; round++) {
		struct reading *x = reading_new(t->old), *y = reading_new(t->old);
		struct ay_err err = {0};
		x->stop_at = 2 + round % 8;
		assert_int_equal(read_on(x, t->fd, false, NULL, -1, &err), -ECANCELED);
		struct ay_bundle_place p = x->place[x->stop_at];
		int fd = keep_what_was(x, y, &p);
		if (round % 2 && fd >= 0 && p.done > 0) { /* one byte of what was written is another */
			uint8_t b = 0;
			assert_int_equal(pread(fd, &b, 1, (off_t)(p.done / 2)), 1);
			b ^= 1;
			assert_int_equal(pwrite(fd, &b, 1, (off_t)(p.done / 2)), 1);
			assert_int_equal(read_on(y, t->fd, round % 4 == 1, &p, fd, &err), AY_EDIGEST);
		} else { /* some bytes of the place are others */
			for (unsigned i = 0; i <= round % 3; i++)
				((uint8_t *)&p)[ay_prng_below(&r, sizeof(p))] ^= (uint8_t)(1u << (round % 8));
			p.r.method = (unsigned)p.r.method < 3 ? p.r.method : AY_METHOD_ELF;
			p.inside = *(uint8_t *)&p.inside & 1;
			int rc = read_on(y, t->fd, round % 4 == 0, &p, fd, &err);
			for (size_t i = 0; rc == 0 && i < y->n; i++)
				assert_true(y->out[i].complete || p.inside != x->place[x->stop_at].inside);
		}
		if (fd >= 0)
			close(fd);
		reading_free(x);
		reading_free(y);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(threads_give_what_one_gives),
		cmocka_unit_test(threads_only_where_there_is_room),
		cmocka_unit_test(what_the_other_thread_falls_over_is_told),
		cmocka_unit_test(it_goes_on_from_every_place),
		cmocka_unit_test(nothing_is_believed),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
