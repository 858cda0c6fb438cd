/* SPDX-License-Identifier: MIT */
/* A bundle of two files: one record, the same bytes back, nothing of the file system's in it. */
#include "tests/unit/diff/trees.h"

#include <fcntl.h>

#include "diff/make_file.h"

struct seen {
	int old_fd;
	struct ay_buf out;
	unsigned records;
};

static int on_base(void *ctx, const struct ay_bundle_record *r, unsigned base, int *fd, struct ay_err *err)
{
	struct seen *s = ctx;

	(void)r;
	(void)base;
	(void)err;
	*fd = fcntl(s->old_fd, F_DUPFD_CLOEXEC, 0);
	return 0;
}

static int on_data(void *ctx, const struct ay_bundle_record *r, const void *data, size_t len,
		   struct ay_err *err)
{
	struct seen *s = ctx;

	(void)r;
	(void)err;
	ay_put_bytes(&s->out, data, len);
	return 0;
}

static int on_end(void *ctx, const struct ay_bundle_record *r, struct ay_err *err)
{
	struct seen *s = ctx;

	(void)r;
	(void)err;
	s->records++;
	return 0;
}

static void apply(int bundle, int old_fd, struct seen *s)
{
	struct ay_buf manifest = {0};
	struct ay_digest of_manifest, of_file;
	struct ay_old_files numbers = {0};
	struct ay_bundle_sink sink = {
		.ctx = s, .old = &numbers, .base = on_base, .data = on_data, .end = on_end};
	struct ay_err err = {0};

	*s = (struct seen){.old_fd = old_fd};
	if (old_fd >= 0) {
		assert_int_equal(ay_make_file_tree(old_fd, &manifest, &of_manifest, &of_file, &err), 0);
		assert_int_equal(ay_old_files_open_mem(&numbers, manifest.data, manifest.len, &err), 0);
	}
	if (ay_bundle_read(bundle, NULL, &sink, true, &err))
		fail_msg("%s", err.msg);
	ay_old_files_release(&numbers);
	ay_buf_release(&manifest);
}

static void test_round_trip(void **state)
{
	(void)state;
	struct ay_prng r;
	struct ay_make_result res, again;
	struct ay_err err = {0};
	struct seen s;
	size_t len = 200000, new_len;

	ay_prng_init(&r, 7);
	uint8_t *a = bytes_code(&r, len), *b = bytes_edit(&r, a, len, 9, &new_len);
	int old_fd = bundle_fd(a, len), new_fd = bundle_fd(b, new_len);
	int out = bundle_fd("", 0), out2 = bundle_fd("", 0), out3 = bundle_fd("", 0);

	assert_int_equal(ay_make_file(old_fd, new_fd, NULL, out, &res, &err), 0);
	assert_int_equal(res.n_records, 1);
	assert_int_equal(res.n_diffed, 1);
	assert_true(res.bundle_size < new_len / 10);
	apply(out, old_fd, &s);
	assert_int_equal(s.out.len, new_len);
	assert_memory_equal(s.out.data, b, new_len);
	ay_buf_release(&s.out);

	/* Other descriptors of the same bytes: the same bundle. */
	int old_copy = bundle_fd(a, len), new_copy = bundle_fd(b, new_len);
	assert_int_equal(ay_make_file(old_copy, new_copy, NULL, out2, &again, &err), 0);
	assert_true(ay_digest_eq(&res.bundle, &again.bundle));

	/* From nothing; from itself. */
	assert_int_equal(ay_make_file(-1, new_fd, NULL, out3, &res, &err), 0);
	assert_int_equal(res.n_literal, 1);
	apply(out3, -1, &s);
	assert_memory_equal(s.out.data, b, new_len);
	ay_buf_release(&s.out);
	assert_int_equal(ftruncate(out3, 0), 0);
	assert_int_equal(ay_make_file(new_fd, new_copy, NULL, out3, &res, &err), 0);
	assert_int_equal(res.n_records, 0);
	apply(out3, new_fd, &s);
	assert_int_equal(s.records, 0);
	ay_buf_release(&s.out);
	free(a);
	free(b);
	int fds[] = {old_fd, new_fd, old_copy, new_copy, out, out2, out3};
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		close(fds[i]);
}

static void test_what_is_no_file(void **state)
{
	(void)state;
	struct ay_make_result res;
	struct ay_err err = {0};
	int out = bundle_fd("", 0), file = bundle_fd("x", 1),
	    dir = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(dir >= 0);
	assert_int_equal(ay_make_file(dir, file, NULL, out, &res, &err), -EINVAL);
	assert_int_equal(ay_make_file(file, dir, NULL, out, &res, &err), -EINVAL);
	assert_int_equal(ay_make_file(file, -1, NULL, out, &res, &err), -EBADF);
	close(out);
	close(file);
	close(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_what_is_no_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
