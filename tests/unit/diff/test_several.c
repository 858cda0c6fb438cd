/* SPDX-License-Identifier: MIT */
/*
 * Many small programs, made several at once: what comes out, in which order, and what is said of what is wrong are the same as with
 * one thread. (On a machine of one core there is only one.)
 */
#include "tests/unit/diff/trees.h"

#include <stdio.h>

#include "base/bytes.h"
#include "elf_kit.h"

#define PROGRAMS 40

/* What one reading came to. Records are given in another thread than the one that asks for bases. */
struct reading {
	struct tree *old;
	unsigned skip_each;  /* every so many records one is not wanted; 0: none */
	uint32_t no_base_of; /* this record's base is not there; UINT32_MAX: all are */
	uint32_t begun, bases;
	uint64_t ended, bytes, sum;
	int rc;
	struct ay_err err;
};

static int on_begin(void *ctx, const struct ay_bundle_record *r, bool *skip, struct ay_err *err)
{
	struct reading *x = ctx;

	(void)err;
	assert_int_equal(r->index, x->begun++);
	*skip = x->skip_each && r->index % x->skip_each == 1;
	return 0;
}

static int on_base(void *ctx, const struct ay_bundle_record *r, unsigned base, int *fd, struct ay_err *err)
{
	struct reading *x = ctx;

	x->bases++;
	for (size_t i = 0; r->index != x->no_base_of && i < x->old->n; i++) {
		if (ay_digest_eq(&x->old->files[i].digest, &r->bases[base])) {
			*fd = bundle_fd(x->old->files[i].data, x->old->files[i].len);
			return 0;
		}
	}
	return ay_err_set(err, AY_EBASE, "it is not here");
}

static void mix(struct reading *x, uint64_t v)
{
	x->sum = (x->sum ^ v) * 0x100000001b3ull;
}

static int on_data(void *ctx, const struct ay_bundle_record *r, const void *data, size_t len,
		   struct ay_err *err)
{
	struct reading *x = ctx;

	(void)r;
	(void)err;
	for (size_t i = 0; i < len; i++)
		mix(x, ((const uint8_t *)data)[i]);
	x->bytes += len;
	return 0;
}

static int on_end(void *ctx, const struct ay_bundle_record *r, struct ay_err *err)
{
	struct reading *x = ctx;

	(void)err;
	mix(x, r->index);
	x->ended++;
	return 0;
}

static void read_with(int fd, bool threads, struct reading *x)
{
	struct ay_old_files numbers = {0};
	const struct ay_bundle_sink sink = {.ctx = x,
					    .old = &numbers,
					    .begin = on_begin,
					    .base = on_base,
					    .data = on_data,
					    .end = on_end};
	const struct ay_bundle_limits limits = {.memory = 1u << 30, .threads = threads};

	x->begun = x->bases = 0;
	x->ended = x->bytes = x->sum = 0;
	x->err = (struct ay_err){0};
	assert_int_equal(ay_old_files_open_mem(&numbers, x->old->manifest.data, x->old->manifest.len, NULL),
			 0);
	x->rc = ay_bundle_read(fd, &limits, &sink, true, &x->err);
	ay_old_files_release(&numbers);
}

/* Both ways; all that can be compared. Returns the code. */
static int both_ways(int fd, struct reading how)
{
	struct reading one = how, many = how;

	read_with(fd, false, &one);
	read_with(fd, true, &many);
	if (one.rc != many.rc || strcmp(one.err.msg, many.err.msg) != 0)
		fail_msg("%d \"%s\" with one thread, %d \"%s\" with many", one.rc, one.err.msg, many.rc,
			 many.err.msg);
	assert_int_equal(one.ended, many.ended);
	if (one.rc == 0) {
		assert_int_equal(one.bytes, many.bytes);
		assert_int_equal(one.bases, many.bases);
		assert_true(one.sum == many.sum && one.ended > 0);
	}
	return one.rc;
}

/* Programs of all sizes, a text between them now and then, and one that is too large to be made besides. */
static void pair(struct tree **old, struct tree **new_)
{
	struct tree *t[2] = {tree_new(), tree_new()};

	for (unsigned i = 0; i < PROGRAMS; i++) {
		for (unsigned side = 0; side < 2; side++) {
			enum ay__elf_machine machine = i % 5 == 4 ? AY__ELF_AARCH64 : AY__ELF_X86_64;
			unsigned n = i == 20 ? 2000 : 20 + i * 37 % 300;
			struct ay_buf b = {0};
			char path[32];

			elf_kit_program(i, n, side ? 1 + i % 7 : 0, machine,
					i % 3 ? AY__ELF_REL : AY__ELF_DYN, &b);
			for (unsigned pad = 0; i == 20 && pad < 1200000; pad++)
				ay_put_u8(&b, (uint8_t)(pad * pad >> 7));
			snprintf(path, sizeof(path), "/%02u.ko", i);
			tree_add(t[side], path, b.data, b.len);
			if (i % 8 == 7) {
				snprintf(path, sizeof(path), "/%02u.txt", i);
				tree_add_text(t[side], path, side ? path : "nothing but this");
			}
			ay_buf_release(&b);
		}
	}
	tree_seal(t[0]);
	tree_seal(t[1]);
	*old = t[0];
	*new_ = t[1];
}

static int bundle_of(struct tree *old, struct tree *new_, uint64_t apply_memory)
{
	struct ay_make_options o = {.threads = 2, .level = 3, .apply_memory = apply_memory};
	struct ay_make_result res;
	int fd = bundle_make(old, new_, &o, &res);

	assert_int_equal(res.n_records, PROGRAMS + PROGRAMS / 8);
	return fd;
}

/* In one part, and in many, over whose ends records go on. */
static void as_one_by_one(void **state)
{
	static const uint64_t memory[] = {400u << 20, 16u << 20};
	struct tree *old, *new_;

	(void)state;
	pair(&old, &new_);
	for (unsigned m = 0; m < 2; m++) {
		int fd = bundle_of(old, new_, memory[m]);

		for (unsigned skip = 0; skip < 6; skip++) {
			const struct reading how = {.old = old, .skip_each = skip, .no_base_of = UINT32_MAX};

			if (skip != 1)
				assert_int_equal(both_ways(fd, how), 0);
		}
		close(fd);
	}
	tree_free(old);
	tree_free(new_);
}

static void no_base(void **state)
{
	struct tree *old, *new_;
	unsigned missed = 0;

	(void)state;
	pair(&old, &new_);
	int fd = bundle_of(old, new_, 400u << 20);
	for (uint32_t i = 0; i < PROGRAMS; i++)
		missed += both_ways(fd, (struct reading){.old = old, .no_base_of = i}) == AY_EBASE;
	assert_true(missed > PROGRAMS - 8);
	/* And where a base is another file than it was: found when the bytes are there, of the first such record. */
	for (unsigned i = 0; i < PROGRAMS; i += 3)
		old->files[PROGRAMS - 1 - i].data[100] ^= 1;
	assert_int_equal(both_ways(fd, (struct reading){.old = old, .no_base_of = UINT32_MAX}), AY_EDIGEST);
	close(fd);
	tree_free(old);
	tree_free(new_);
}

static void damaged(void **state)
{
	struct tree *old, *new_;
	struct ay_prng r;
	unsigned refused = 0;

	(void)state;
	pair(&old, &new_);
	int fd = bundle_of(old, new_, 400u << 20);
	struct ay_buf good = bundle_bytes(fd);
	close(fd);
	ay_prng_init(&r, 11);
	for (unsigned i = 0; i < 150; i++) {
		struct ay_buf b = {0};

		ay_put_bytes(&b, good.data, good.len);
		b.data[AY_BUNDLE_HEADER_SIZE + ay_prng_below(&r, b.len - AY_BUNDLE_HEADER_SIZE)] ^=
			(uint8_t)(1 + ay_prng_below(&r, 255));
		bundle_fix_checks(b.data, b.len);
		fd = bundle_fd(b.data, b.len);
		refused += both_ways(fd, (struct reading){.old = old, .no_base_of = UINT32_MAX}) != 0;
		close(fd);
		ay_buf_release(&b);
	}
	assert_true(refused > 100);
	ay_buf_release(&good);
	tree_free(old);
	tree_free(new_);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_one_by_one),
		cmocka_unit_test(no_base),
		cmocka_unit_test(damaged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
