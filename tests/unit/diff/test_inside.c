/* SPDX-License-Identifier: MIT */
/*
 * What is packed inside of files: found, unpacked, packed again. tests/golden/packed/ has one content as real packers packed it
 * (GNU gzip 1.12, zlib 1.2.13, XZ Utils 5.4.1, zstd 1.5.4, Python's zipfile): each must be seen through, and its recipe stay small.
 */
#include "tests/unit/diff/golden_bundle.h"

#include <lzma.h>
#include <stdio.h>
#include <zstd.h>

#include "base/cleanup.h"
#include "diff/encoders.h"
#include "diff/inside.h"
#include "diff/rewrap.h"
#include "diff/unwrap.h"

static const struct ay__inside_options as_target = {
	.target = true, .view_max = 64u << 20, .memory_max = 400u << 20, .encoders = AY_ENCODERS_ALL};
static const struct ay__inside_options as_base = {
	.view_max = 64u << 20, .memory_max = 400u << 20, .encoders = AY_ENCODERS_ALL};

static struct ay_buf file_read(const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "packed/%s", name);
	return golden_read(path);
}

struct compare {
	struct ay_slice want;
	size_t at;
};

static int compare_put(void *ctx, const uint8_t *data, size_t len)
{
	struct compare *c = ctx;

	assert_true(len <= c->want.len - c->at);
	assert_memory_equal(c->want.data + c->at, data, len);
	c->at += len;
	return 0;
}

/* By the recipe the view gives the file, in whatever portions it comes. */
static void rewraps(const struct ay__inside *in, struct ay_slice file, size_t portion)
{
	struct compare c = {.want = file};
	struct ay_err err = {0};
	struct ay__rewrap *w =
		ay__rewrap_new((struct ay_slice){in->recipe.data, in->recipe.len}, compare_put, &c, &err);

	assert_non_null(w);
	for (size_t at = 0; at < in->view.len; at += portion) {
		size_t n = in->view.len - at < portion ? in->view.len - at : portion;

		if (ay__rewrap_put(w, in->view.data + at, n))
			fail_msg("%s", err.msg);
	}
	if (ay__rewrap_end(w))
		fail_msg("%s", err.msg);
	ay__rewrap_free(w);
	assert_int_equal(c.at, file.len);
}

static void unwraps(const struct ay__inside *in, struct ay_slice file)
{
	struct compare c = {.want = {in->view.data, in->view.len}};
	struct ay__view v = {0};
	struct ay_err err = {0};

	ay__view_open_mem(&v, file.data, file.len);
	if (ay__unwrap(&v, (struct ay_slice){in->recipe.data, in->recipe.len}, in->view.len, compare_put, &c,
		       &err))
		fail_msg("%s", err.msg);
	assert_int_equal(c.at, in->view.len);
}

static const struct {
	const char *name;
	unsigned filters, recipe_max;
} packed[] = {
	{"gzip-1.gz", 1, 100},
	{"gzip-6.gz", 1, 100},
	{"gzip-9.gz", 1, 100},
	{"gzip-rsyncable.gz", 1, 100},
	{"zlib-0.z", 1, 100},
	{"zlib-1.z", 1, 100},
	{"zlib-4.z", 1, 100},
	{"zlib-6.z", 1, 100},
	{"zlib-9.z", 1, 100},
	{"zlib-memory1.z", 1, 200},
	{"zlib-memory9.z", 1, 100},
	{"zlib-filtered.z", 1, 100},
	{"zlib-huffman.z", 1, 100},
	{"zlib-runs.z", 1, 100},
	{"zlib-fixed.z", 1, 100},
	{"zlib-sync.z", 1, 100},
	{"zlib-full.z", 1, 100},
	{"archive.zip", 4,
	 200}, /* the stored member and the empty one have nothing to see; one is a .gz itself */
	{"0.xz", 1, 40},
	{"x86.xz", 1, 40},
	{"blocks.xz", 2, 60},
	{"3.zst", 1, 40},
	{"19.zst", 1, 40},
	{"content", 0, 0},
};

#define N_PACKED (sizeof(packed) / sizeof(packed[0]))

static void test_packers(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_PACKED; i++) {
		AY_CLEANUP(ay_buf_release) struct ay_buf file = file_read(packed[i].name);
		AY_CLEANUP(ay__inside_release) struct ay__inside t = {0}, b = {0};
		struct ay_slice bytes = {file.data, file.len};

		assert_int_equal(ay__inside(bytes, &as_target, &t), 0);
		assert_int_equal(ay__inside(bytes, &as_base, &b), 0);
		if (t.sums.filters != packed[i].filters || b.sums.filters != packed[i].filters ||
		    t.recipe.len > packed[i].recipe_max)
			fail_msg("%s: %u and %u filters, recipe of %zu bytes", packed[i].name, t.sums.filters,
				 b.sums.filters, t.recipe.len);
		if (!packed[i].filters)
			continue;
		assert_true(ay__inside_maybe(bytes));
		assert_true(b.recipe.len < 64);
		assert_int_equal(t.view.len, b.view.len);
		assert_memory_equal(t.view.data, b.view.data, t.view.len);
		rewraps(&t, bytes, t.view.len);
		rewraps(&t, bytes, 777);
		unwraps(&b, bytes);
	}
}

/* Each way of packing one content is a good base for each other one: hardly more than the recipe has to come. */
static void test_bundle_across_packers(void **state)
{
	(void)state;
	for (size_t i = 0; i + 1 < N_PACKED - 1; i++) {
		AY_CLEANUP(ay_buf_release) struct ay_buf a = file_read(packed[i].name);
		AY_CLEANUP(ay_buf_release) struct ay_buf b = file_read(packed[i + 1].name);
		struct tree *old = tree_new(), *new_ = tree_new();
		struct ay_make_options o = {.threads = 1}, plain = {.threads = 1, .no_filters = true};
		struct ay_make_result res, res_plain;

		tree_add(old, "/f", a.data, a.len);
		tree_add(new_, "/f", b.data, b.len);
		tree_seal(old);
		tree_seal(new_);
		int fd = bundle_make(old, new_, &o, &res);
		struct ay_bundle_limits limits = {.memory = res.apply_memory,
						  .unpacked_size = res.unpacked_size};
		bundle_complete(fd, old, new_, &limits);
		close(fd);
		fd = bundle_make(old, new_, &plain, &res_plain);
		bundle_complete(fd, old, new_, NULL);
		close(fd);
		assert_int_equal(res_plain.encoders, 0);
		/* Of some two levels the bytes are nearly equal. */
		if (res_plain.bundle_size > 2500 &&
		    (res.encoders == 0 || res.bundle_size + 2000 > res_plain.bundle_size))
			fail_msg("%s to %s: %llu bytes, %llu without filters", packed[i].name,
				 packed[i + 1].name, (unsigned long long)res.bundle_size,
				 (unsigned long long)res_plain.bundle_size);
		tree_free(old);
		tree_free(new_);
	}
}

/* A bundle with recipes as it was when the format was fixed; AYNI_GOLDEN_WRITE=1 writes it anew. */
static void test_golden_bundle(void **state)
{
	(void)state;
	static const char *const names[] = {"gzip-1.gz", "gzip-9.gz", "x86.xz",
					    "0.xz",      "zlib-4.z",  "archive.zip"};
	struct tree *old = tree_new(), *new_ = tree_new();
	struct ay_make_options o = {.threads = 1, .level = 19};
	char path[32];

	for (unsigned i = 0; i < 6; i += 2) {
		AY_CLEANUP(ay_buf_release) struct ay_buf a = file_read(names[i]), b = file_read(names[i + 1]);

		snprintf(path, sizeof(path), "/f%u", i);
		tree_add(old, path, a.data, a.len);
		tree_add(new_, path, b.data, b.len);
	}
	tree_seal(old);
	tree_seal(new_);
	struct ay_bundle_limits limits = {.memory = 400u << 20};
	AY_CLEANUP(ay_buf_release)
	struct ay_buf want = golden_bundle("packed/bundle-v2.bin", bundle_make(old, new_, &o, NULL), old,
					   new_, &limits, false);
	assert_int_equal(ay_get_le32(want.data + 120), 1u << AY__FILTER_DEFLATE | 1u << AY__FILTER_LZMA2);
	tree_free(old);
	tree_free(new_);
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

/* A base that unpacks to much goes to a temporary file, which the header declares; without a place for it all is refused. */
static void test_temporary_file(void **state)
{
	(void)state;
	struct tree *old = tree_new(), *new_ = tree_new();
	struct ay_make_options o = {.threads = 1, .level = 3};
	struct ay_make_result res;
	struct applied a = {0};
	struct ay_err err = {0};
	struct ay_prng r;
	size_t len = 3u << 20, new_len;

	ay_prng_init(&r, 5);
	uint8_t *x = bytes_code(&r, len), *y = bytes_edit(&r, x, len, 20, &new_len);
	tree_add_xz(old, "/big.xz", x, len);
	tree_add_xz(new_, "/big.xz", y, new_len);
	free(x);
	free(y);
	tree_seal(old);
	tree_seal(new_);
	int fd = bundle_make(old, new_, &o, &res);
	assert_int_equal(res.encoders, 1u << AY__FILTER_LZMA2);
	struct ay_bundle_limits limits = {.memory = res.apply_memory};
	assert_int_equal(bundle_apply(fd, old, new_, &limits, &a, &err), 0);
	assert_int_equal(a.records, 1);
	assert_true(a.scratched > len / 2 && a.scratched < 2 * len);
	limits.memory--;
	assert_int_equal(bundle_apply(fd, old, new_, &limits, &a, &err), AY_ELIMIT);
	limits.memory++;
	limits.scratch_size = a.scratched - 1;
	assert_int_equal(bundle_apply(fd, old, new_, &limits, &a, &err), AY_ELIMIT);
	limits.scratch_size = 0;
	a.no_scratch = true;
	assert_int_equal(bundle_apply(fd, old, new_, &limits, &a, &err), AY_ELIMIT);
	assert_non_null(strstr(err.msg, "record 0"));
	a.no_scratch = false;
	a.wrong_bases = true;
	int rc = bundle_apply(fd, old, new_, &limits, &a, &err);
	assert_true(rc == AY_EBASE || rc == AY_EDIGEST);
	close(fd);
	/* With less memory there is no such filter. */
	o.apply_memory = ay_bundle_memory(AY_BUNDLE_PART_DEFAULT) + (4u << 20);
	fd = bundle_make(old, new_, &o, &res);
	assert_int_equal(res.encoders, 0);
	assert_true(res.apply_memory <= o.apply_memory);
	close(fd);
	ay_buf_release(&a.delta);
	tree_free(old);
	tree_free(new_);
}

static void test_encoders(void **state)
{
	(void)state;
	const char *names[AY_ENCODERS];
	struct ay_err err = {0};

	assert_int_equal(ay_encoders_proved(AY_ENCODERS_ALL), AY_ENCODERS_ALL);
	assert_int_equal(ay_encoders_proved(1u << 2), 1u << 2);
	assert_int_equal(ay_encoders_proved(~0u), AY_ENCODERS_ALL);
	assert_int_equal(ay_encoders_proved(0), 0);
	assert_int_equal(ay_encoders_here(names), AY_ENCODERS - 1);
	for (unsigned i = 1; i + 1 < AY_ENCODERS; i++)
		assert_true(strcmp(names[i - 1], names[i]) < 0);
	assert_int_equal(ay_encoders_check(AY_ENCODERS_ALL, &err), 0);
	assert_int_equal(ay_encoders_check(1u << 9, &err), AY_EUNSUPPORTED);
	assert_non_null(strstr(err.msg, "encoder 9"));
}

/* Recipes as text: numbers are bytes. */
static void refused(bool target, int code, const char *word, size_t len, const char *bytes)
{
	struct ay__recipe_sums sums;
	struct ay_err err = {0};
	int rc = ay__recipe_check((struct ay_slice){(const uint8_t *)bytes, len}, target, &sums, &err);

	if (rc != code || (word && !strstr(err.msg, word)))
		fail_msg("%d (%s) instead of %d (%s)", rc, err.msg, code, word);
}

#define REFUSED(target, code, word, bytes) refused(target, code, word, sizeof(bytes) - 1, bytes)

static void test_recipe_rules(void **state)
{
	(void)state;
	REFUSED(false, 0, NULL, "\5\0");
	REFUSED(false, 0, NULL, "\5\1\7\0\2\0");
	REFUSED(false, AY_EFORMAT, "cut short", "\5");
	REFUSED(false, AY_EFORMAT, "left over", "\5\0\0");
	REFUSED(false, AY_EFORMAT, "cut short", "\5\1\7\0");
	REFUSED(false, AY_EUNSUPPORTED, "filter 4", "\5\4\7\0\2\0");
	REFUSED(false, AY_EFORMAT, "makes no sense", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\1\0");
	REFUSED(false, AY_EFORMAT, "makes no sense", "\xff\xff\xff\xff\xff\xff\xff\xff\x3f\1\1\0\0\0");
	/* four deep, five deep */
	REFUSED(false, 0, NULL, "\0\1\0\1\0\1\0\1\1\0\0\0\0\0\0\0\0\0");
	REFUSED(false, AY_ELIMIT, "nested", "\0\1\0\1\0\1\0\1\0\1\1\0\0\0\0\0\0\0\0\0\0\0");
	/* deflate: way; good, lazy, nice, chain, hash bits, window bits; flags; corrections */
	REFUSED(true, 0, NULL, "\0\1\0\0\2\0\0\1\0\0\0");
	REFUSED(true, AY_EFORMAT, "cannot be", "\0\1\4\0\2\0\0\1\0\0\0");
	REFUSED(true, AY_EFORMAT, "cannot be", "\0\1\0\4\2\0\0\1\0\0\0");
	REFUSED(true, AY_EFORMAT, "cut short", "\0\1\0\0\177\0\0\1\0\0\0");
	REFUSED(true, 0, NULL, "\0\1\3\10\20\x80\1\x80\1\17\17\0\2\0\0\1\0\0\0");
	REFUSED(true, AY_EFORMAT, "cannot be", "\0\1\3\0\20\x80\1\x80\1\17\17\0\2\0\0\1\0\0\0");
	REFUSED(true, AY_EFORMAT, "cannot be",
		"\0\1\3\10\20\x80\1\x81\x20\17\17\0\2\0\0\1\0\0\0"); /* chain 4097 */
	REFUSED(true, AY_EFORMAT, "cannot be", "\0\1\3\10\20\x80\1\x80\1\21\17\0\2\0\0\1\0\0\0");
	REFUSED(true, AY_EFORMAT, "cannot be", "\0\1\3\10\20\x80\1\x80\1\17\20\0\2\0\0\1\0\0\0");
	/* lzma2: branch, dictionary; properties, mode, finder, nice, depth */
	REFUSED(false, 0, NULL, "\0\2\0\34\1\0\0\0");
	REFUSED(false, AY_EFORMAT, "cannot be", "\0\2\0\35\1\0\0\0");
	REFUSED(false, AY_EFORMAT, "cannot be", "\0\2\11\10\1\0\0\0");
	REFUSED(true, 0, NULL, "\0\2\0\10\x5d\2\x14\x40\0\1\0\0\0");
	REFUSED(true, AY_EFORMAT, "cannot be", "\0\2\0\10\x5d\3\x14\x40\0\1\0\0\0");
	REFUSED(true, AY_EFORMAT, "cannot be", "\0\2\0\10\x5d\2\x05\x40\0\1\0\0\0");
	REFUSED(true, AY_EFORMAT, "cannot be", "\0\2\0\10\x5d\2\x14\1\0\1\0\0\0");
	REFUSED(true, AY_EFORMAT, "cannot be", "\0\2\0\10\xff\2\x14\x40\0\1\0\0\0");
	/* zstd: window; level, flags, size */
	REFUSED(false, 0, NULL, "\0\3\33\1\0\0\0");
	REFUSED(false, AY_EFORMAT, "cannot be", "\0\3\34\1\0\0\0");
	REFUSED(true, 0, NULL, "\0\3\24\6\0\1\0\0\0");
	REFUSED(true, AY_EFORMAT, "cannot be", "\0\3\24\x2a\0\1\0\0\0"); /* level 21 */
	REFUSED(true, AY_EFORMAT, "cannot be", "\0\3\24\6\40\1\0\0\0");
}

/* Too many filters: each is cheap to write down and dear to begin. */
static void test_recipe_many(void **state)
{
	(void)state;
	const struct {
		const char *one;
		size_t len;
		unsigned max;
	} kinds[] = {{"\0\1\0\0", 4, AY__RECIPE_PIECES}, {"\0\3\24\0\0", 5, AY__RECIPE_HEAVY}};

	for (unsigned k = 0; k < 2; k++) {
		for (unsigned over = 0; over < 2; over++) {
			AY_CLEANUP(ay_buf_release) struct ay_buf b = {0};
			struct ay__recipe_sums sums;
			struct ay_err err = {0};

			for (unsigned i = 0; i < kinds[k].max + over; i++)
				ay_put_bytes(&b, kinds[k].one, kinds[k].len);
			ay_put_bytes(&b, "\0\0", 2);
			assert_int_equal(
				ay__recipe_check((struct ay_slice){b.data, b.len}, false, &sums, &err),
				over ? AY_ELIMIT : 0);
		}
	}
}

static int put_count(void *ctx, const uint8_t *data, size_t len)
{
	(void)data;
	*(size_t *)ctx += len;
	return 0;
}

/* Millions of empty blocks, packed in turn: a few hundred bytes that hold nothing, and unpack to as much as one likes on the way. */
static void test_much_on_the_way(void **state)
{
	(void)state;
	static const uint8_t recipe[] = {
		0, AY__FILTER_ZSTD, 23, 0, AY__FILTER_DEFLATE, 0, AY__FILTER_END, 0, AY__FILTER_END,
		0, AY__FILTER_END};
	static const struct {
		size_t blocks;
		int code;
	} cases[] = {{200000, 0}, {220000, AY_EFORMAT}, {1000000, AY_EFORMAT}};
	struct ay_slice r = {recipe, sizeof(recipe)};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t len = 5 * cases[i].blocks, cap = ZSTD_compressBound(len), got = 0;
		uint8_t *raw = calloc(1, len), *small = malloc(cap);
		struct ay__view v = {0};
		struct ay_err err = {0};

		assert_non_null(raw);
		assert_non_null(small);
		for (size_t at = 0; at < len; at += 5)
			raw[at + 3] = raw[at + 4] = 0xff;
		raw[len - 5] = 1; /* the last block */
		size_t n = ZSTD_compress(small, cap, raw, len, 3);
		assert_true(!ZSTD_isError(n) && n < 2000);
		ay__view_open_mem(&v, small, n);
		int rc = ay__unwrap(&v, r, 0, put_count, &got, &err);
		if (rc != cases[i].code)
			fail_msg("%zu blocks: %d (%s)", cases[i].blocks, rc, err.msg);
		assert_int_equal(got, 0);
		free(raw);
		free(small);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_packers),       cmocka_unit_test(test_bundle_across_packers),
		cmocka_unit_test(test_golden_bundle), cmocka_unit_test(test_temporary_file),
		cmocka_unit_test(test_encoders),      cmocka_unit_test(test_recipe_rules),
		cmocka_unit_test(test_recipe_many),   cmocka_unit_test(test_much_on_the_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
