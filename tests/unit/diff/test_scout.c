/* SPDX-License-Identifier: MIT */
/* Who goes ahead through the copies: the same in a thread of its own and without, stopped anywhere, and where the old file cannot be read. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "base/prng.h"
#include "diff/predict.h"
#include "diff/scout.h"
#include "elf_kit.h"

struct old_file {
	struct ay_buf bytes;
	struct ay__source src;
	struct ay__elf elf;
	struct ay__fields f;
	struct ay__elf_map map;
	struct ay__copy *copies;
	uint32_t n;
	uint64_t len; /* of all copies */
	struct ay__predict *p;
	struct ay_err err;
	int reads_left; /* before reading fails; < 0: it never does */
};

static void no_row(void *ctx, const struct ay_buf *coded)
{
	(void)ctx;
	(void)coded;
}

static int read_bytes(void *ctx, uint64_t offset, void *dst, size_t len)
{
	struct old_file *o = ctx;

	if (o->reads_left == 0)
		return ay_err_set(&o->err, -EIO, "a bad disk");
	o->reads_left -= o->reads_left > 0;
	memcpy(dst, o->bytes.data + offset, len);
	return 0;
}

/* A program, and copies of all of it: long ones, short ones, some not where the one before ended. */
static void setup(struct old_file *o)
{
	struct ay__source new_src;
	struct ay__elf same;
	struct ay_prng r;
	uint64_t at = 0;

	*o = (struct old_file){.reads_left = -1};
	elf_kit_program(3, 1200, 0, AY__ELF_X86_64, AY__ELF_DYN, &o->bytes);
	new_src = ay__source_memory(o->bytes.data, o->bytes.len);
	o->src = ay__source_reader(o->bytes.len, read_bytes, o);
	assert_int_equal(ay__elf_parse(&o->src, 0, &o->elf), 0);
	assert_int_equal(ay__elf_parse(&new_src, 0, &same), 0);
	assert_int_equal(ay__elf_map_make(&o->elf, &o->src, &same, &new_src, no_row, NULL, &o->map), 0);
	ay__elf_release(&same);
	assert_int_equal(ay__fields_find(&o->src, &o->elf, &o->f), 0);
	o->copies = calloc(o->bytes.len, sizeof(*o->copies));
	assert_non_null(o->copies);
	ay_prng_init(&r, 5);
	while (at < o->bytes.len) {
		uint64_t left = o->bytes.len - at, n = 1 + ay_prng_below(&r, o->n % 5 ? 300 : 90000);
		uint64_t from = o->n % 7 == 3 ? ay_prng_below(&r, o->bytes.len - 400) : at;

		n = o->n % 7 == 3 && n > 400 ? 400 : n;
		n = n < left ? n : left;
		o->copies[o->n++] = (struct ay__copy){from, at, n};
		o->len += n;
		at += n;
	}
	o->p = ay__predict_new(&o->elf, &o->src, &o->f, &o->map, o->copies, o->n, NULL);
	assert_non_null(o->p);
}

static void teardown(struct old_file *o)
{
	ay__predict_free(o->p);
	ay__fields_release(&o->f);
	ay__elf_map_release(&o->map);
	ay__elf_release(&o->elf);
	ay__source_release(&o->src);
	ay_buf_release(&o->bytes);
	free(o->copies);
}

struct seen {
	struct ay_buf bytes;
	uint64_t n;
	uint64_t sum; /* of all that aims say */
};

static uint64_t mix(uint64_t sum, uint64_t v)
{
	return (sum ^ v) * 0x100000001b3ull;
}

static uint64_t aim_sum(uint64_t sum, const struct ay__aim *a)
{
	sum = mix(mix(mix(mix(sum, a->at), a->raw), a->target), a->base);
	sum = mix(mix(sum, a->has & AY__AIM_COPY ? (uint64_t)a->copy : 0), (uint64_t)a->section);
	return mix(sum, (uint64_t)a->kind << 24 | (uint64_t)a->from << 16 | (uint64_t)a->back << 8 | a->has);
}

/* At most @max blocks; what the last one said. */
static int take(struct old_file *o, bool thread, unsigned max, struct seen *seen)
{
	struct ay__scout *s = ay__scout_new(ay__predict_aimer(o->p), &o->err, thread);
	int rc = 0;

	*seen = (struct seen){0};
	assert_non_null(s);
	for (unsigned i = 0; rc == 0 && i < max && seen->bytes.len < o->len; i++) {
		struct ay__scouted *b = ay__scout_next(s);

		rc = b->rc;
		if (rc) {
			assert_string_equal(b->err.msg, "a bad disk");
			break;
		}
		assert_true(b->len > 0 && b->len <= AY__SCOUT_BYTES && b->n <= AY__SCOUT_AIMS);
		for (uint32_t k = 0; k < b->n; k++) {
			const struct ay__aim *a = &b->aims[k];

			assert_true(a->offset + a->width <= b->len);
			assert_memory_equal(b->bytes + a->offset, o->bytes.data + a->at, a->width);
			seen->sum = aim_sum(seen->sum, a);
		}
		seen->n += b->n;
		ay_put_bytes(&seen->bytes, b->bytes, b->len);
		/* It is the taker's to change. */
		memset(b->bytes, 0xee, b->len);
	}
	ay__scout_free(s);
	return rc;
}

/* One by one, without blocks. */
static void with_threads_and_without(void **state)
{
	struct old_file o;
	struct seen alone, ahead, plain = {0};

	(void)state;
	setup(&o);
	for (uint32_t i = 0; i < o.n; i++) {
		const struct ay__copy *c = &o.copies[i];
		struct ay__aim a;

		ay_put_bytes(&plain.bytes, o.bytes.data + c->old, c->len);
		for (uint64_t at = c->old; at < c->old + c->len;) {
			if (!ay__aims_take(ay__predict_aimer(o.p), &at, c->old + c->len, c->new_ - c->old, &a,
					   1))
				continue;
			plain.sum = aim_sum(plain.sum, &a);
			plain.n++;
		}
	}
	assert_true(plain.n > 10000 && plain.bytes.len == o.len);
	assert_int_equal(take(&o, false, UINT32_MAX, &alone), 0);
	assert_int_equal(take(&o, true, UINT32_MAX, &ahead), 0);
	assert_int_equal(alone.bytes.len, plain.bytes.len);
	assert_int_equal(ahead.bytes.len, plain.bytes.len);
	assert_memory_equal(alone.bytes.data, plain.bytes.data, plain.bytes.len);
	assert_memory_equal(ahead.bytes.data, plain.bytes.data, plain.bytes.len);
	assert_true(alone.n == plain.n && ahead.n == plain.n);
	assert_true(alone.sum == plain.sum && ahead.sum == plain.sum);
	ay_buf_release(&alone.bytes);
	ay_buf_release(&ahead.bytes);
	ay_buf_release(&plain.bytes);
	teardown(&o);
}

static void stopped_anywhere(void **state)
{
	struct old_file o;
	struct seen seen;

	(void)state;
	setup(&o);
	for (unsigned i = 0; i < 24; i++) {
		assert_int_equal(take(&o, i & 1, i / 2, &seen), 0);
		ay_buf_release(&seen.bytes);
	}
	teardown(&o);
}

/* What lies before is given, then the reason; both ways after the same bytes. */
static void a_bad_disk(void **state)
{
	struct old_file o;
	struct seen alone, ahead;
	unsigned failed = 0;

	(void)state;
	setup(&o);
	for (int n = 0; n < 200; n++) {
		o.reads_left = n;
		o.src.rc = 0;
		o.src.len = 0; /* nothing is in the window */
		int one = take(&o, false, UINT32_MAX, &alone);
		o.reads_left = n;
		o.src.rc = 0;
		o.src.len = 0;
		int two = take(&o, true, UINT32_MAX, &ahead);
		assert_int_equal(one, two);
		assert_int_equal(alone.bytes.len, ahead.bytes.len);
		assert_true(alone.sum == ahead.sum);
		ay_buf_release(&alone.bytes);
		ay_buf_release(&ahead.bytes);
		failed += one == -EIO;
		if (one == 0)
			break;
	}
	assert_true(failed > 3 && failed < 200);
	teardown(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(with_threads_and_without),
		cmocka_unit_test(stopped_anywhere),
		cmocka_unit_test(a_bad_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
