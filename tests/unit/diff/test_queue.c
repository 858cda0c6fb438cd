/* SPDX-License-Identifier: MIT */
/*
 * The second thread of applying packs again what takes little memory: the same bytes as one thread gives, no more at once than it
 * may hold, and what does not pack to the target is refused.
 */
#include "tests/unit/diff/trees.h"

#include <pthread.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "diff/inside.h"
#include "diff/queue.h"

#define PACKED  "tests/golden/packed/"
#define RECORDS 40 /* of these every second is packed where there is room for it */

static const struct ay__inside_options as_target = {.target = true,
						    .view_max = 64u << 20,
						    .memory_max = 400u << 20,
						    .encoders = 1u << AY__FILTER_DEFLATE};

struct taker {
	const struct ay_buf *want;
	struct ay_digest digest;
	pthread_t giver;
	pthread_mutex_t gate; /* whoever holds it keeps the second thread from going on */
	size_t at;
	unsigned opened, ended;
};

static int on_open(void *ctx, const struct ay_bundle_record *r, struct ay_err *err)
{
	struct taker *t = ctx;

	(void)err;
	pthread_mutex_lock(&t->gate);
	pthread_mutex_unlock(&t->gate);
	assert_int_equal(r->index, t->opened);
	t->opened++;
	t->at = 0;
	return 0;
}

static int on_data(void *ctx, const struct ay_bundle_record *r, const void *data, size_t len,
		   struct ay_err *err)
{
	struct taker *t = ctx;

	(void)r;
	(void)err;
	assert_false(pthread_equal(t->giver, pthread_self()));
	assert_true(len <= t->want->len - t->at);
	assert_memory_equal(t->want->data + t->at, data, len);
	t->at += len;
	return 0;
}

static int on_end(void *ctx, const struct ay_bundle_record *r, struct ay_err *err)
{
	struct taker *t = ctx;

	(void)r;
	(void)err;
	assert_int_equal(t->at, t->want->len);
	t->ended++;
	return 0;
}

struct kit {
	struct ay_buf file;
	struct ay__inside in;
	struct ay_slice recipe;
	struct taker t;
	struct ay_bundle_sink sink;
	struct ay_bundle_record r;
	struct ay__queue *q;
};

static void kit_init(struct kit *k)
{
	memset(k, 0, sizeof(*k));
	FILE *f = fopen(PACKED "gzip-6.gz", "rb");
	if (!f)
		fail_msg("no " PACKED "gzip-6.gz (run from the top of the tree)");
	uint8_t *p = ay_buf_reserve(&k->file, 1u << 20);
	assert_non_null(p);
	k->file.len = fread(p, 1, 1u << 20, f);
	fclose(f);
	assert_int_equal(ay__inside((struct ay_slice){k->file.data, k->file.len}, &as_target, &k->in), 0);
	assert_int_equal(k->in.sums.filters, 1);
	k->recipe = (struct ay_slice){k->in.recipe.data, k->in.recipe.len};
	k->t = (struct taker){.want = &k->file, .giver = pthread_self()};
	pthread_mutex_init(&k->t.gate, NULL);
	k->sink = (struct ay_bundle_sink){.ctx = &k->t, .open = on_open, .data = on_data, .end = on_end};
	k->r = (struct ay_bundle_record){.size = k->file.len, .filters = 1u << AY__FILTER_DEFLATE};
	ay_digest_mem(k->file.data, k->file.len, &k->r.target);
	k->q = ay__queue_new(&k->sink);
	assert_non_null(k->q);
}

static void kit_release(struct kit *k)
{
	pthread_mutex_destroy(&k->t.gate);
	ay__inside_release(&k->in);
	ay_buf_release(&k->file);
}

/* All of a record; false: the second thread has failed. */
static bool give(struct kit *k, const uint8_t *data, size_t len)
{
	unsigned kind = AY__QUEUE_OPEN;

	for (size_t at = 0; at < len;) {
		uint8_t *room = ay__queue_room(k->q);
		size_t n = len - at < AY__QUEUE_BLOCK ? len - at : AY__QUEUE_BLOCK;

		if (!room)
			return false;
		memcpy(room, data + at, n);
		at += n;
		ay__queue_give(k->q, &k->r, n, kind | (at == len ? AY__QUEUE_END : 0));
		kind = 0;
	}
	k->r.index++;
	return true;
}

static void test_packs(void **state)
{
	struct ay_err err = {0};
	unsigned packed = 0;
	struct kit k;

	(void)state;
	kit_init(&k);
	for (unsigned i = 0; i < RECORDS; i++) {
		if (i % 2 == 0 && ay__queue_pack(k.q, k.recipe, k.in.sums.memory)) {
			packed++;
			assert_true(give(&k, k.in.view.data, k.in.view.len));
		} else {
			assert_true(give(&k, k.file.data, k.file.len));
		}
	}
	if (ay__queue_free(k.q, &err))
		fail_msg("%s", err.msg);
	assert_true(packed >= AY__QUEUE_PACKS && packed <= RECORDS / 2);
	assert_int_equal(k.t.ended, RECORDS);
	kit_release(&k);
}

static void test_only_so_many(void **state)
{
	struct ay_err err = {0};
	uint64_t memory;
	struct kit k;

	(void)state;
	kit_init(&k);
	memory = k.in.sums.memory;
	assert_true(memory <= AY__QUEUE_PACK_MEMORY);
	assert_false(ay__queue_pack(k.q, k.recipe, AY__QUEUE_PACK_MEMORY + 1));
	assert_false(ay__queue_pack(k.q, (struct ay_slice){k.recipe.data, AY__QUEUE_RECIPES + 1}, memory));
	pthread_mutex_lock(&k.t.gate);
	for (unsigned i = 0; i < AY__QUEUE_PACKS; i++) {
		assert_true(ay__queue_pack(k.q, k.recipe, memory));
		assert_true(give(&k, k.in.view.data, k.in.view.len));
	}
	assert_false(ay__queue_pack(k.q, k.recipe, memory));
	pthread_mutex_unlock(&k.t.gate);
	/* What was asked for and is not given is given back. */
	while (!ay__queue_pack(k.q, k.recipe, memory))
		;
	if (ay__queue_free(k.q, &err))
		fail_msg("%s", err.msg);
	assert_int_equal(k.t.ended, AY__QUEUE_PACKS);
	kit_release(&k);
}

/* What went wrong there is what reading says, whatever else still waits. */
static void wrong(size_t view, uint64_t size, int code, const char *word)
{
	struct ay_err err = {0};
	struct kit k;

	kit_init(&k);
	view = view ? view : k.in.view.len;
	k.r.size = size ? size : k.r.size;
	assert_true(ay__queue_pack(k.q, k.recipe, k.in.sums.memory));
	if (give(&k, k.in.view.data, view) && ay__queue_pack(k.q, k.recipe, k.in.sums.memory))
		give(&k, k.in.view.data, view);
	int rc = ay__queue_free(k.q, &err);
	if (rc != code || !strstr(err.msg, word))
		fail_msg("%d (%s) instead of %d (%s)", rc, err.msg, code, word);
	assert_non_null(strstr(err.msg, "record 0"));
	assert_int_equal(k.t.ended, 0);
	kit_release(&k);
}

static void test_what_does_not_pack(void **state)
{
	(void)state;
	wrong(0, 100, AY_EDIGEST, "packs to more than 100 bytes");
	wrong(700, 0, AY_EFORMAT, "the view ends before");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_packs),
		cmocka_unit_test(test_only_so_many),
		cmocka_unit_test(test_what_does_not_pack),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
