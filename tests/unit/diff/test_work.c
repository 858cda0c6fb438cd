/* SPDX-License-Identifier: MIT */
/*
 * What a few bytes of bundle make a reader go through: the same large base unpacked, or searched for addresses, for each of
 * many tiny records. All records are skipped here: nothing is unpacked, and the sum is the same.
 */
#include "tests/unit/diff/trees.h"

#include <lzma.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "diff/bundle_writer.h"
#include "diff/codec.h"
#include "diff/elf_columns.h"
#include "diff/recipe.h"

#define BASE (1250u << 10)
#define VIEW (76ull << 20)

/* @n records of two bytes, all like @like, of method bsdiff and with a filter where it has a recipe. */
static int records_make(unsigned n, const struct ay_bundle_record *like)
{
	static const uint8_t two[2] = {1, 2};
	struct ay_bsdiff_op op = {.extra_len = 2};
	struct ay_bsdiff_ops ops = {.ops = &op, .n = 1};
	AY_CLEANUP(ay_columns_release) struct ay_columns columns = {0};
	struct ay_bundle_writer_options o = {.part_limit = AY_BUNDLE_PART_DEFAULT,
					     .level = 1,
					     .codecs = AY_CODEC_BIT(AY_CODEC_ZSTD),
					     .parts_ahead = 1};
	struct ay_bundle_record r = *like;
	struct ay_err err = {0};
	int fd = bundle_fd(NULL, 0);
	struct ay_bundle_writer *w = ay_bundle_writer_new(fd, &o);

	assert_non_null(w);
	assert_int_equal(ay_columns_encode(&columns, (struct ay_slice){0}, 0, (struct ay_slice){two, 2}, &ops,
					   true, ay_bundle_piece_max(o.part_limit)),
			 0);
	r.size = 2;
	r.n_bases = 1;
	r.method = like->base_recipe.len ? AY_METHOD_BSDIFF : AY_METHOD_ELF;
	r.filters = like->base_recipe.len ? 1u << AY__FILTER_DEFLATE : 0;
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(ay_bundle_writer_record(w, &r, &err), 0);
		assert_int_equal(ay_bundle_writer_columns(w, &columns, &err), 0);
	}
	assert_int_equal(ay_bundle_writer_finish(w, &err), 0);
	ay_bundle_writer_free(w);
	return fd;
}

/* What each of @n records sees of its base is @view bytes, unpacked by a filter or (method elf) as they are. */
static int hostile(unsigned n, enum ay_bundle_method method, uint64_t view)
{
	AY_CLEANUP(ay_buf_release) struct ay_buf recipe = {0};
	struct ay_bundle_record r = {.base_sizes = {view}, .extra_memory = ay__elf_extra_memory(view)};

	if (method == AY_METHOD_ELF)
		return records_make(n, &r);
	ay_put_bytes(&recipe, "\0\1", 2);
	ay_put_varint(&recipe, view);
	ay_put_bytes(&recipe, "\0\0\0", 3);
	r.base_sizes[0] = BASE;
	r.scratch_size = view;
	r.base_recipe = (struct ay_slice){recipe.data, recipe.len};
	return records_make(n, &r);
}

static int begin_skip(void *ctx, const struct ay_bundle_record *r, bool *skip, struct ay_err *err)
{
	(void)r;
	(void)err;
	++*(unsigned *)ctx;
	*skip = true;
	return 0;
}

static int read_skipping(int fd, unsigned *begun, struct ay_err *err)
{
	const struct ay_bundle_sink sink = {.ctx = begun, .begin = begin_skip};
	const struct ay_bundle_limits limits = {.memory = 64ull << 30, .look_only = true};

	*begun = 0;
	return ay_bundle_read(fd, &limits, &sink, true, err);
}

static void test_one_base_again_and_again(void **state)
{
	(void)state;
	const uint64_t each = BASE + VIEW + AY__WORK_FILTER;
	/* Each record's two bytes of output allow for 128 more. */
	const unsigned enough = (unsigned)(AY__WORK_FREE / each);
	char word[32];
	unsigned begun;
	struct ay_err err = {0};

	int fd = hostile(enough, AY_METHOD_BSDIFF, VIEW);
	if (read_skipping(fd, &begun, &err))
		fail_msg("%s", err.msg);
	close(fd);
	fd = hostile(50, AY_METHOD_BSDIFF, VIEW);
	assert_int_equal(read_skipping(fd, &begun, &err), AY_ELIMIT);
	assert_int_equal(begun, enough + 1);
	snprintf(word, sizeof(word), "record %u ", enough);
	assert_non_null(strstr(err.msg, word));
	assert_non_null(strstr(err.msg, "gone through"));
	close(fd);
}

static int keep_place(void *ctx, const struct ay_bundle_place *p, struct ay_err *err)
{
	(void)err;
	*(struct ay_bundle_place *)ctx = *p;
	return 0;
}

static int begin_and_skip(void *ctx, const struct ay_bundle_record *r, bool *skip, struct ay_err *err)
{
	(void)ctx;
	(void)r;
	(void)err;
	*skip = true;
	return 0;
}

/* Who goes on at a place has what is left of the allowance, not all of it: else a bundle could be gone through for ever, a part at a time. */
static void test_going_on_is_not_free(void **state)
{
	(void)state;
	const uint64_t each = BASE + VIEW + AY__WORK_FILTER;
	const unsigned n = (unsigned)(AY__WORK_FREE / each);
	const uint64_t max = ay__work_max(2 * n);
	struct ay_bundle_place end = {0}, from = {.at = AY_BUNDLE_HEADER_SIZE};
	const struct ay_bundle_sink sink = {.ctx = &end, .begin = begin_and_skip, .place = keep_place};
	struct ay_bundle_limits limits = {.memory = 64ull << 30, .look_only = true};
	struct ay_err err = {0};
	int fd = hostile(n, AY_METHOD_BSDIFF, VIEW);

	assert_int_equal(ay_bundle_read(fd, &limits, &sink, true, &err), 0);
	assert_int_equal(end.record, n);
	assert_true(end.work == n * each);
	limits.from = &from;
	from.work = max - n * each;
	assert_int_equal(ay_bundle_read(fd, &limits, &sink, true, &err), 0);
	assert_true(end.work == max);
	from.work++;
	assert_int_equal(ay_bundle_read(fd, &limits, &sink, true, &err), AY_ELIMIT);
	assert_non_null(strstr(err.msg, "gone through"));
	from.work = max + 1;
	assert_int_equal(ay_bundle_read(fd, &limits, &sink, true, &err), AY_EFORMAT);
	assert_non_null(strstr(err.msg, "the place to go on from"));
	close(fd);
}

/* One base of 2 GiB searched for addresses is already too much for two bytes; a small one is refused for its columns only, which are not method elf's. */
static void test_elf_bases_count(void **state)
{
	(void)state;
	struct ay_err err = {0};
	unsigned begun;
	int fd = hostile(1, AY_METHOD_ELF, 2ull << 30);

	assert_int_equal(read_skipping(fd, &begun, &err), AY_ELIMIT);
	assert_non_null(strstr(err.msg, "gone through"));
	close(fd);
	fd = hostile(1, AY_METHOD_ELF, VIEW);
	assert_int_equal(read_skipping(fd, &begun, &err), AY_EFORMAT);
	close(fd);
}

/* Recipes of more bytes than all of the record may need are not even read. */
static void test_recipe_beyond_the_memory(void **state)
{
	(void)state;
	AY_CLEANUP(ay_buf_release) struct ay_buf recipe = {0};
	struct ay_err err = {0};
	unsigned begun;

	for (unsigned i = 0; i < 5000; i++)
		ay_put_bytes(&recipe, "\0\1\0\0", 4);
	ay_put_bytes(&recipe, "\1\0", 2);
	for (unsigned over = 0; over < 2; over++) {
		struct ay_bundle_record r = {.extra_memory = recipe.len - over, .scratch_size = 1};
		int fd;

		r.base_recipe = (struct ay_slice){recipe.data, recipe.len};
		fd = records_make(1, &r);
		/* So many would be read; that unpacking needs memory, too, is seen then. */
		assert_int_equal(read_skipping(fd, &begun, &err), AY_EFORMAT);
		assert_non_null(strstr(err.msg, over ? "bytes of recipes" : "of memory, the header says"));
		close(fd);
	}
}

static void test_sums(void **state)
{
	(void)state;
	const struct ay__recipe_sums none = {0}, base = {.filters = 1, .work = 100},
				     target = {.filters = 1, .work = 1000};

	assert_int_equal(ay__record_work(7, &base, &none, 0), 107);
	assert_int_equal(ay__record_work(7, &none, &target, 0), 1000);
	assert_int_equal(ay__record_work(7, &base, &target, 20), 1127);
	assert_true(ay__record_work(UINT64_MAX, &base, &target, UINT64_MAX) == UINT64_MAX);
	assert_true(ay__work_max(0) == AY__WORK_FREE);
	assert_true(ay__work_max(10) == AY__WORK_FREE + 640);
	assert_true(ay__work_max(UINT64_MAX / 64) == UINT64_MAX);
}

static uint64_t work_of(struct ay__filter_params *p)
{
	AY_CLEANUP(ay_buf_release) struct ay_buf recipe = {0};
	struct ay__recipe_sums sums;
	struct ay_err err = {0};

	ay_put_varint(&recipe, 0);
	ay__filter_put(&recipe, true, p);
	ay_put_bytes(&recipe, "\1\0\0\0", 4); /* a byte in the filter, none behind it */
	if (ay__recipe_check((struct ay_slice){recipe.data, recipe.len}, true, &sums, &err))
		fail_msg("%s", err.msg);
	return sums.work - 1;
}

/* For one byte of content zstd clears all of a level's tables, unless it was told that there is only one. */
static void test_tables_count(void **state)
{
	(void)state;
	struct ay__filter_params p = {.id = AY__FILTER_ZSTD, .zstd = {.level = 3, .window_log = 20}};

	assert_int_equal(work_of(&p), AY__WORK_HEAVY + (6u << 17));
	p.zstd.level = 19;
	assert_int_equal(work_of(&p), AY__WORK_HEAVY + (90u << 17));
	p.zstd.long_ = true;
	assert_int_equal(work_of(&p), AY__WORK_HEAVY + (122u << 17));
	p.zstd.sized = true;
	p.zstd.size = 1;
	assert_int_equal(work_of(&p), AY__WORK_HEAVY + 1);
	p.id = AY__FILTER_DEFLATE;
	p.deflate = ay__deflate_level(6);
	assert_int_equal(work_of(&p), AY__WORK_FILTER);
}

static void tree_add_xz(struct tree *t, const char *path, const uint8_t *data, size_t len)
{
	size_t cap = lzma_stream_buffer_bound(len), n = 0;
	uint8_t *out = malloc(cap);

	assert_non_null(out);
	assert_int_equal(lzma_easy_buffer_encode(1, LZMA_CHECK_CRC32, NULL, data, len, out, &n, cap),
			 LZMA_OK);
	tree_add(t, path, out, n);
	free(out);
}

static int begin_count(void *ctx, const struct ay_bundle_record *r, bool *skip, struct ay_err *err)
{
	(void)err;
	*(unsigned *)ctx += r->filters != 0;
	*skip = true;
	return 0;
}

static unsigned count_filtered(int fd)
{
	unsigned n = 0;
	const struct ay_bundle_sink sink = {.ctx = &n, .begin = begin_count};
	const struct ay_bundle_limits limits = {.memory = 1ull << 30};
	struct ay_err err = {0};

	assert_int_equal(ay_bundle_read(fd, &limits, &sink, false, &err), 0);
	return n;
}

/* Whoever makes a bundle stays below, record by record, and the same whatever the threads. */
static void test_made_below(void **state)
{
	(void)state;
	enum { FILES = 4, LEN = 40000 };
	/* Base and target are one filter each; the packed base's bytes come on top. */
	const uint64_t two = 2 * (2 * (uint64_t)(LEN + AY__WORK_HEAVY) + LEN);
	const struct {
		uint64_t work_max;
		unsigned filtered;
	} cases[] = {{0, FILES}, {two, 2}, {1, 0}};
	struct tree *old = tree_new(), *new_ = tree_new();
	struct ay_prng rnd;

	ay_prng_init(&rnd, 11);
	for (unsigned i = 0; i < FILES; i++) {
		char path[16];
		size_t new_len;
		uint8_t *x = bytes_code(&rnd, LEN), *y = bytes_edit(&rnd, x, LEN, 3, &new_len);

		snprintf(path, sizeof(path), "/f%u.xz", i);
		tree_add_xz(old, path, x, LEN);
		tree_add_xz(new_, path, y, new_len);
		free(x);
		free(y);
	}
	tree_seal(old);
	tree_seal(new_);
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ay_buf made[2];

		for (unsigned k = 0; k < 2; k++) {
			struct ay_make_options o = {
				.threads = k ? 3 : 1, .level = 3, .work_max = cases[i].work_max};
			struct ay_make_result res;
			int fd = bundle_make(old, new_, &o, &res);
			const struct ay_bundle_limits limits = {.memory = res.apply_memory};

			bundle_complete(fd, old, new_, &limits);
			if (count_filtered(fd) != cases[i].filtered)
				fail_msg("case %u: %u records with filters", i, count_filtered(fd));
			made[k] = bundle_bytes(fd);
			close(fd);
		}
		assert_int_equal(made[0].len, made[1].len);
		assert_memory_equal(made[0].data, made[1].data, made[0].len);
		ay_buf_release(&made[0]);
		ay_buf_release(&made[1]);
	}
	tree_free(old);
	tree_free(new_);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_base_again_and_again),
		cmocka_unit_test(test_going_on_is_not_free),
		cmocka_unit_test(test_elf_bases_count),
		cmocka_unit_test(test_recipe_beyond_the_memory),
		cmocka_unit_test(test_sums),
		cmocka_unit_test(test_tables_count),
		cmocka_unit_test(test_made_below),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
