/* SPDX-License-Identifier: MIT */
/* Two trees to a bundle and back: whatever the trees, the threads, the part limit and the memory. */
#include "tests/unit/diff/trees.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>

#include "diff/codec.h"

#define MIB (1u << 20)

/* A tree of all kinds of files, and the tree after an update. */
static void update_pair(uint64_t seed, struct tree **old, struct tree **new_)
{
	struct ay_prng r;
	char path[64], moved[64];
	size_t new_len;

	ay_prng_init(&r, seed);
	*old = tree_new();
	*new_ = tree_new();
	for (unsigned i = 0; i < 40; i++) {
		size_t len = ay_prng_below(&r, i % 4 ? 3000 : 60000);
		uint8_t *a = i % 3 ? bytes_code(&r, len) : bytes_random(&r, len);
		uint8_t *b = bytes_edit(&r, a, len, (unsigned)ay_prng_below(&r, 6), &new_len);

		snprintf(path, sizeof(path), "/lib/v1.0-%u/d%u/f%u.ko", 5, i % 5, i);
		snprintf(moved, sizeof(moved), "/lib/v1.0-%u/d%u/f%u.ko", 6, i % 5, i);
		tree_add(*old, path, a, len);
		tree_add(*new_, i % 2 ? moved : path, b, new_len);
		free(a);
		free(b);
	}
	tree_add_text(*old, "/empty", "");
	tree_add_text(*new_, "/empty", "no more");
	tree_add_text(*old, "/full", "to be emptied");
	tree_add_text(*new_, "/full", "");
	tree_add_text(*new_, "/also-empty", "");
	tree_add_text(*new_, "/one", "the same content");
	tree_add_text(*new_, "/two/of/them", "the same content");
	tree_add_text(*old, "/kept", "kept as it was");
	tree_add_text(*new_, "/moved/kept", "kept as it was");
	tree_add_text(*old, "/gone", "goes");
	tree_seal(*old);
	tree_seal(*new_);
}

static void test_round_trips(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 12; seed++) {
		struct tree *old, *new_;
		struct ay_make_options o = {.threads = 2, .level = seed % 4 ? 3 : 0};
		struct ay_make_result res;

		update_pair(seed, &old, &new_);
		int fd = bundle_make(old, new_, &o, &res);
		struct ay_bundle_limits limits = {.memory = res.apply_memory,
						  .unpacked_size = res.unpacked_size};
		bundle_complete(fd, old, new_, &limits);
		assert_true(res.n_records == res.n_literal + res.n_diffed);
		assert_true(res.n_diffed > 10 && res.n_literal >= 2);
		/* What the result says of the file is so. */
		struct ay_digest d;
		uint64_t size;
		assert_int_equal(ay_digest_fd(fd, &d, &size), 0);
		assert_true(ay_digest_eq(&d, &res.bundle));
		assert_int_equal(size, res.bundle_size);
		close(fd);
		tree_free(old);
		tree_free(new_);
	}
}

static void test_from_nothing_and_to_nothing(void **state)
{
	(void)state;
	struct tree *old, *new_, *empty = tree_new();
	struct ay_make_options o = {.threads = 2};
	struct ay_make_result res;

	update_pair(20, &old, &new_);
	tree_seal(empty);
	int fd = bundle_make(NULL, new_, &o, &res);
	assert_int_equal(res.n_diffed, 0);
	bundle_complete(fd, NULL, new_, NULL);
	close(fd);
	fd = bundle_make(empty, new_, NULL, &res);
	bundle_complete(fd, empty, new_, NULL);
	close(fd);
	fd = bundle_make(old, empty, NULL, &res);
	assert_int_equal(res.n_records, 0);
	bundle_complete(fd, old, empty, NULL);
	close(fd);
	/* Nothing changed: no record, and a manifest delta of its three lines. */
	fd = bundle_make(old, old, NULL, &res);
	assert_int_equal(res.n_records, 0);
	struct applied a = {0};
	struct ay_err err = {0};
	assert_int_equal(bundle_apply(fd, old, old, NULL, &a, &err), 0);
	assert_true(a.delta.len > 0 && memcmp(a.delta.data, "ayni-manifest-delta 1\n", 22) == 0);
	ay_buf_release(&a.delta);
	close(fd);
	tree_free(old);
	tree_free(new_);
	tree_free(empty);
}

/* The manifest delta that comes out is the one that the two manifests have. */
static void test_delta_inside(void **state)
{
	(void)state;
	struct tree *old, *new_;
	struct ay_make_options o = {.threads = 1, .level = 1, .apply_memory = 1};
	struct applied a = {0};
	struct ay_buf want = {0};
	struct ay_err err = {0};

	update_pair(30, &old, &new_);
	for (unsigned i = 0; i < 300; i++) { /* more delta than one section holds */
		char path[32];

		snprintf(path, sizeof(path), "/more/%u", i);
		tree_add_text(new_, path, path);
	}
	tree_seal(new_);
	int fd = bundle_make(old, new_, &o, NULL);
	assert_int_equal(bundle_apply(fd, old, new_, NULL, &a, &err), 0);
	struct ay_manifest_reader *x = ay_manifest_reader_new_mem(old->manifest.data, old->manifest.len);
	struct ay_manifest_reader *y = ay_manifest_reader_new_mem(new_->manifest.data, new_->manifest.len);
	assert_int_equal(ay_delta_make(x, &old->digest, y, &new_->digest, ay_write_to_buf, &want, &err), 0);
	assert_int_equal(a.delta.len, want.len);
	assert_memory_equal(a.delta.data, want.data, want.len);
	assert_true(want.len > AY_BUNDLE_PART_MIN);
	ay_manifest_reader_free(x);
	ay_manifest_reader_free(y);
	ay_buf_release(&want);
	ay_buf_release(&a.delta);
	close(fd);
	tree_free(old);
	tree_free(new_);
}

static struct ay_buf made_with(struct tree *old, struct tree *new_, unsigned threads, int level)
{
	struct ay_make_options o = {.threads = threads, .level = level};
	int fd = bundle_make(old, new_, &o, NULL);
	struct ay_buf b = bundle_bytes(fd);

	close(fd);
	return b;
}

static void test_same_bytes_whatever_the_threads(void **state)
{
	(void)state;
	struct tree *old, *new_;

	update_pair(40, &old, &new_);
	struct ay_buf one = made_with(old, new_, 1, 0);
	for (unsigned threads = 1; threads <= 7; threads += 2) {
		struct ay_buf n = made_with(old, new_, threads, 0);

		assert_int_equal(n.len, one.len);
		assert_memory_equal(n.data, one.data, one.len);
		ay_buf_release(&n);
	}
	ay_buf_release(&one);
	tree_free(old);
	tree_free(new_);
}

/* Parts of 16 KiB: files, literals and runs of differences go on over many of them. */
static void test_small_parts(void **state)
{
	(void)state;
	struct ay_prng r;
	struct tree *old = tree_new(), *new_ = tree_new();
	struct ay_make_options o = {.threads = 2, .level = 1, .apply_memory = 1};
	struct ay_make_result res;
	size_t len = 700000, new_len;

	ay_prng_init(&r, 50);
	uint8_t *a = bytes_random(&r, len), *b = bytes_edit(&r, a, len, 200, &new_len);
	tree_add(old, "/edited", a, len);
	tree_add(new_, "/edited", b, new_len);
	free(b);
	b = bytes_random(&r, len);
	tree_add(new_, "/new", b, len);
	for (size_t i = 0; i < len; i++) /* no byte the same, copies all the same */
		b[i] = (uint8_t)(a[i] + (i % 16 != 0));
	tree_add(old, "/all-differ", a, len);
	tree_add(new_, "/all-differ", b, len);
	for (size_t i = 0; i < len; i++)
		b[i] = (uint8_t)(a[i] ^ (i % 3 == 0 && i % 100 < 50));
	tree_add(old, "/late-copy", a, len); /* the first copy comes after many pieces of literals */
	uint8_t *late = bytes_random(&r, len);
	memcpy(late + len / 2, a, len / 2);
	tree_add(new_, "/late-copy", late, len);
	free(late);
	tree_add(old, "/many-runs", a, len);
	tree_add(new_, "/many-runs", b, len);
	tree_seal(old);
	tree_seal(new_);
	int fd = bundle_make(old, new_, &o, &res);
	assert_int_equal(res.apply_memory, ay_bundle_memory(AY_BUNDLE_PART_MIN));
	struct ay_bundle_limits limits = {.memory = res.apply_memory, .unpacked_size = res.unpacked_size};
	bundle_complete(fd, old, new_, &limits);
	close(fd);
	free(a);
	free(b);
	tree_free(old);
	tree_free(new_);
}

/* More file than the memory may hold at once: windows, of diffs and of literals. */
static void test_windows(void **state)
{
	(void)state;
	struct ay_prng r;
	struct tree *old = tree_new(), *new_ = tree_new();
	struct ay_make_options o = {.threads = 2, .level = 1, .memory = 1};
	struct ay_make_result res;
	size_t len = 11 * MIB + 12345;

	ay_prng_init(&r, 60);
	uint8_t *a = bytes_code(&r, len);
	tree_add(old, "/large", a, len);
	for (size_t i = 0; i < len; i += 4001)
		a[i] ^= 1;
	memmove(a + 5 * MIB, a + 5 * MIB + 1000, len - 5 * MIB - 1000);
	tree_add(new_, "/large", a, len - 1000);
	tree_add(old, "/large-to-small", a, len);
	tree_add(new_, "/large-to-small", a + 3 * MIB, 100000);
	tree_add(old, "/small-to-large", a + MIB, MIB);
	memset(a, 'x', MIB);
	tree_add(new_, "/small-to-large", a, len);
	free(a);
	a = bytes_random(&r, 9 * MIB);
	tree_add(new_, "/large-literal", a, 9 * MIB);
	free(a);
	tree_seal(old);
	tree_seal(new_);
	int fd = bundle_make(old, new_, &o, &res);
	assert_int_equal(res.n_diffed, 3);
	bundle_complete(fd, old, new_, NULL);
	/* The diff of /large is one: not its 11 MiB, but a few thousand bytes besides the random ones. */
	assert_true(res.bundle_size < 9 * MIB + 5 * MIB);
	close(fd);
	/* A file that changed is found out in windows too. */
	struct ay_make_tree x = tree_make(old), y = tree_make(new_);
	struct ay_err err = {0};
	fd = bundle_fd("", 0);
	new_->changed = true;
	assert_int_equal(ay_bundle_make(&x, &y, &o, fd, &res, &err), AY_EDIGEST);
	new_->changed = false;
	old->changed = true;
	assert_int_equal(ay_bundle_make(&x, &y, &o, fd, &res, &err), AY_EDIGEST);
	close(fd);
	tree_free(old);
	tree_free(new_);
}

/* Changed after the whole was proved, before a window was read: only the window's own leaves can tell. */
static void test_changed_between_windows(void **state)
{
	(void)state;
	struct ay_prng r;
	struct tree *old = tree_new(), *new_ = tree_new();
	struct ay_make_options o = {.threads = 1, .level = 1, .memory = 1};
	struct ay_make_result res;
	struct ay_err err = {0};
	size_t len = 9 * MIB;
	int fd = bundle_fd("", 0);

	ay_prng_init(&r, 65);
	uint8_t *a = bytes_random(&r, len);
	tree_add(new_, "/large", a, len);
	a[0] ^= 1;
	tree_add(old, "/large", a, len);
	free(a);
	tree_seal(old);
	tree_seal(new_);
	struct ay_make_tree x = tree_make(old), y = tree_make(new_);
	assert_int_equal(ay_bundle_make(&x, &y, &o, fd, &res, &err), 0);
	new_->changed = true, new_->good_opens = 1;
	assert_int_equal(ay_bundle_make(&x, &y, &o, fd, &res, &err), AY_EDIGEST);
	new_->changed = false;
	old->changed = true, old->good_opens = 1;
	assert_int_equal(ay_bundle_make(&x, &y, &o, fd, &res, &err), AY_EDIGEST);
	close(fd);
	tree_free(old);
	tree_free(new_);
}

static void test_changed_and_missing_files(void **state)
{
	(void)state;
	struct tree *old, *new_;
	struct ay_make_result res;
	struct ay_err err = {0};
	int fd = bundle_fd("", 0);

	update_pair(70, &old, &new_);
	struct ay_make_tree a = tree_make(old), b = tree_make(new_);
	new_->changed = true;
	assert_int_equal(ay_bundle_make(&a, &b, NULL, fd, &res, &err), AY_EDIGEST);
	assert_non_null(strstr(err.msg, "/"));
	assert_non_null(strstr(err.msg, "changed"));
	new_->changed = false;
	old->changed = true;
	assert_int_equal(ay_bundle_make(&a, &b, NULL, fd, &res, &err), AY_EDIGEST);
	old->changed = false;
	/* A file that is not where the manifest says. */
	for (size_t i = 0; i < new_->n; i++) {
		if (strstr(new_->files[i].path, "f1.ko"))
			new_->files[i].path[1] = 'L';
	}
	assert_int_equal(ay_bundle_make(&a, &b, NULL, fd, &res, &err), -ENOENT);
	/* Manifests that are none, or not what the caller calls them. */
	tree_free(old);
	tree_free(new_);
	update_pair(70, &old, &new_);
	a = tree_make(old);
	b = tree_make(new_);
	b.manifest_len--;
	assert_int_equal(ay_bundle_make(&a, &b, NULL, fd, &res, &err), AY_EFORMAT);
	b = tree_make(new_);
	b.manifest_digest.b[0] ^= 1;
	assert_int_equal(ay_bundle_make(&a, &b, NULL, fd, &res, &err), AY_EDIGEST);
	/* No room to write, no right to write. */
	b = tree_make(new_);
	int full = open("/dev/full", O_RDWR);
	assert_true(full >= 0);
	assert_int_equal(ay_bundle_make(&a, &b, NULL, full, &res, &err), -ENOSPC);
	close(full);
	assert_int_equal(ay_bundle_make(&a, &b, NULL, -1, &res, &err), -EBADF);
	close(fd);
	tree_free(old);
	tree_free(new_);
}

static int stop_at(void *ctx, uint64_t done, uint64_t total)
{
	uint64_t *calls = ctx;

	assert_true(done <= total);
	return ++*calls == 10 ? -ECANCELED : 0;
}

struct told {
	uint64_t done, total, calls;
};

static int tell(void *ctx, uint64_t done, uint64_t total)
{
	struct told *t = ctx;

	assert_true(done >= t->done && done <= total);
	*t = (struct told){.done = done, .total = total, .calls = t->calls + 1};
	return 0;
}

/* It never goes back, and at the end all is done. */
static void test_progress_is_told(void **state)
{
	(void)state;
	struct tree *old, *new_;
	struct told told = {0};
	struct ay_make_options o = {.threads = 3, .level = 1, .progress = tell, .progress_ctx = &told};
	struct ay_make_result res;

	update_pair(81, &old, &new_);
	close(bundle_make(old, new_, &o, &res));
	assert_true(told.calls >= res.n_records);
	assert_true(told.total > 0 && told.done == told.total && told.total == res.unpacked_size);
	tree_free(old);
	tree_free(new_);
}

static void test_progress_stops(void **state)
{
	(void)state;
	struct tree *old, *new_;
	uint64_t calls = 0;
	struct ay_make_options o = {.threads = 3, .level = 1, .progress = stop_at, .progress_ctx = &calls};
	struct ay_make_result res;
	struct ay_err err = {0};
	int fd = bundle_fd("", 0);

	update_pair(80, &old, &new_);
	struct ay_make_tree a = tree_make(old), b = tree_make(new_);
	assert_int_equal(ay_bundle_make(&a, &b, &o, fd, &res, &err), -ECANCELED);
	assert_int_equal(calls, 10);
	close(fd);
	tree_free(old);
	tree_free(new_);
}

static void test_bases_missing_or_changed(void **state)
{
	(void)state;
	struct tree *old, *new_;
	struct applied a = {.no_bases = true};
	struct ay_err err = {0};

	update_pair(90, &old, &new_);
	int fd = bundle_make(old, new_, NULL, NULL);
	assert_int_equal(bundle_apply(fd, old, new_, NULL, &a, &err), AY_EBASE);
	a.no_bases = false, a.short_bases = true;
	assert_int_equal(bundle_apply(fd, old, new_, NULL, &a, &err), AY_EBASE);
	assert_non_null(strstr(err.msg, "record"));
	a.short_bases = false, a.wrong_bases = true;
	assert_int_equal(bundle_apply(fd, old, new_, NULL, &a, &err), AY_EDIGEST);
	/* Records that are left out need no base, and the others still come right. */
	a.wrong_bases = false, a.skip_odd = true;
	assert_int_equal(bundle_apply(fd, old, new_, NULL, &a, &err), 0);
	assert_true(a.records > 10);
	close(fd);
	ay_buf_release(&a.delta);
	tree_free(old);
	tree_free(new_);
}

static void test_output_comes_in_large_pieces(void **state)
{
	(void)state;
	struct ay_prng r;
	struct tree *old = tree_new(), *new_ = tree_new();
	struct applied a = {0};
	struct ay_err err = {0};

	ay_prng_init(&r, 95);
	uint8_t *b = bytes_code(&r, MIB);
	tree_add(old, "/f", b, MIB);
	for (size_t i = 0; i < MIB; i += 5000)
		b[i]++;
	tree_add(new_, "/f", b, MIB);
	tree_seal(old);
	tree_seal(new_);
	int fd = bundle_make(old, new_, NULL, NULL);
	assert_int_equal(bundle_apply(fd, old, new_, NULL, &a, &err), 0);
	assert_true(a.largest_call >= 64 * 1024);
	free(b);
	close(fd);
	ay_buf_release(&a.delta);
	tree_free(old);
	tree_free(new_);
}

/* Files are sent as they are where naming a base costs more than it saves. */
static void test_useless_bases_are_not_named(void **state)
{
	(void)state;
	struct tree *old = tree_new(), *new_ = tree_new();
	struct ay_make_result res;

	struct ay_prng r;

	ay_prng_init(&r, 99);
	tree_add_text(old, "/a", "version 1\n");
	tree_add_text(new_, "/a", "version 2\n");
	/* The same path, nothing else in common. */
	uint8_t *a = bytes_random(&r, 6000);
	tree_add(old, "/b", a, 3000);
	tree_add(new_, "/b", a + 3000, 3000);
	free(a);
	tree_seal(old);
	tree_seal(new_);
	int fd = bundle_make(old, new_, NULL, &res);
	assert_int_equal(res.n_literal, 2);
	bundle_complete(fd, old, new_, NULL);
	close(fd);
	tree_free(old);
	tree_free(new_);
}

/* In a hurry: larger, without the methods that search longest, and as right. */
static void test_fast(void **state)
{
	(void)state;
	struct tree *old, *new_;
	struct ay_make_options slow = {.threads = 2}, fast = {.threads = 2, .fast = true};
	struct ay_make_result a, b;

	update_pair(110, &old, &new_);
	int fd = bundle_make(old, new_, &slow, &a);
	close(fd);
	fd = bundle_make(old, new_, &fast, &b);
	bundle_complete(fd, old, new_, NULL);
	assert_true(b.bundle_size > a.bundle_size);
	assert_true(b.bundle_size < a.bundle_size * 2);
	assert_int_equal(a.n_records, b.n_records);
	close(fd);
	/* From nothing too. */
	fd = bundle_make(NULL, new_, &fast, &b);
	bundle_complete(fd, NULL, new_, NULL);
	close(fd);
	tree_free(old);
	tree_free(new_);
}

/* More entries that come than a reader keeps for nothing, and no content among them: the header says so all the same. */
static void test_many_entries_without_content(void **state)
{
	(void)state;
	struct tree *old = tree_new(), *new_ = tree_new();
	struct ay_make_options o = {.threads = 1, .level = 1};
	struct ay_make_result res;
	struct ay_entry e = {.type = AY_ENTRY_DIR, .mode = 0755, .path = "/", .path_len = 1};
	char path[32];
	struct ay_err err = {0};

	tree_add_text(old, "/one", "one");
	tree_seal(old);
	ay_buf_reset(&new_->manifest);
	struct ay_manifest_writer *w = ay_manifest_writer_new(ay_write_to_buf, &new_->manifest);
	assert_int_equal(ay_manifest_add(w, &e, &err), 0);
	for (unsigned i = 0; i < 9000; i++) {
		snprintf(path, sizeof(path), "/%05u", i);
		e = (struct ay_entry){
			.type = AY_ENTRY_FILE, .mode = 0644, .size = 3, .path = path, .path_len = 6};
		e.digest = old->files[0].digest;
		assert_int_equal(ay_manifest_add(w, &e, &err), 0);
	}
	assert_int_equal(ay_manifest_finish(w, &new_->digest, NULL, &err), 0);
	ay_manifest_writer_free(w);
	int fd = bundle_make(old, new_, &o, &res);
	assert_int_equal(res.n_records, 0);
	assert_true(res.apply_memory > ay_bundle_memory(AY_BUNDLE_PART_DEFAULT));
	struct ay_bundle_limits limits = {.memory = res.apply_memory};
	bundle_complete(fd, old, new_, &limits);
	close(fd);
	tree_free(old);
	tree_free(new_);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trips),
		cmocka_unit_test(test_from_nothing_and_to_nothing),
		cmocka_unit_test(test_delta_inside),
		cmocka_unit_test(test_same_bytes_whatever_the_threads),
		cmocka_unit_test(test_small_parts),
		cmocka_unit_test(test_windows),
		cmocka_unit_test(test_changed_between_windows),
		cmocka_unit_test(test_changed_and_missing_files),
		cmocka_unit_test(test_progress_is_told),
		cmocka_unit_test(test_progress_stops),
		cmocka_unit_test(test_bases_missing_or_changed),
		cmocka_unit_test(test_output_comes_in_large_pieces),
		cmocka_unit_test(test_useless_bases_are_not_named),
		cmocka_unit_test(test_fast),
		cmocka_unit_test(test_many_entries_without_content),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
