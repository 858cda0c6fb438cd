/* SPDX-License-Identifier: MIT */
/* The old manifest's files by number: every one of them, in any order, whatever stands between them. */
#include "tests/unit/diff/trees.h"

#include <fcntl.h>
#include <stdio.h>

#include "manifest/manifest.h"

#define FILES 1000

static const char *const kinds[] = {"/a", "/b", "/c"};

/* Directories with links and files in them, some with names longer than what is read at once; digests by number. */
static struct ay_buf manifest_of(struct ay_digest *digests, unsigned n)
{
	struct ay_buf out = {0};
	struct ay_manifest_writer *w = ay_manifest_writer_new(ay_write_to_buf, &out);
	struct ay_err err = {0};
	char path[256], target[5000];

	assert_non_null(w);
	memset(target, 'f', sizeof(target) - 1);
	target[sizeof(target) - 1] = '\0';
	struct ay_entry e = {.type = AY_ENTRY_DIR, .mode = 0755, .path = "/", .path_len = 1};
	assert_int_equal(ay_manifest_add(w, &e, &err), 0);
	for (unsigned i = 0, k = 0; k < 3; k++) {
		e = (struct ay_entry){.type = AY_ENTRY_DIR, .mode = 0755, .path = kinds[k], .path_len = 2};
		assert_int_equal(ay_manifest_add(w, &e, &err), 0);
		for (; i < n * (k + 1) / 3; i++) {
			memset(&digests[i], (int)i * 7, sizeof(digests[i]));
			digests[i].b[3] = (uint8_t)(i >> 8);
			int len = snprintf(path, sizeof(path), "%s/%05u f 0644 \\%0*u", kinds[k], i,
					   (int)(i * 13 % 150) + 1, 0);
			e = (struct ay_entry){.type = AY_ENTRY_FILE,
					      .mode = 0644,
					      .size = i,
					      .digest = digests[i],
					      .path = path,
					      .path_len = (size_t)len};
			if (ay_manifest_add(w, &e, &err))
				fail_msg("%s", err.msg);
			if (i % 50)
				continue;
			len = snprintf(path, sizeof(path), "%s/%05uz", kinds[k], i);
			e = (struct ay_entry){.type = AY_ENTRY_SYMLINK,
					      .mode = 0777,
					      .path = path,
					      .path_len = (size_t)len,
					      .target = target,
					      .target_len = i % 100 ? 7 : strlen(target) - 905};
			e.target = target + strlen(target) - e.target_len;
			if (ay_manifest_add(w, &e, &err))
				fail_msg("%s", err.msg);
		}
	}
	assert_int_equal(ay_manifest_finish(w, NULL, NULL, &err), 0);
	ay_manifest_writer_free(w);
	return out;
}

static void assert_numbers(struct ay_old_files *x, const struct ay_digest *digests, unsigned n)
{
	static const unsigned steps[] = {1, 63, 64, 65, 977};
	struct ay_digest d;
	struct ay_err err = {0};

	assert_int_equal(x->n, n);
	for (unsigned s = 0; s < 5; s++) {
		for (unsigned i = 0, at = 0; i < n; i++, at = (at + steps[s]) % n) {
			assert_int_equal(ay_old_files_get(x, at, &d, &err), 0);
			assert_memory_equal(d.b, digests[at].b, sizeof(d.b));
		}
	}
	for (unsigned i = n; i-- > 0;) {
		assert_int_equal(ay_old_files_get(x, i, &d, &err), 0);
		assert_memory_equal(d.b, digests[i].b, sizeof(d.b));
	}
	assert_int_equal(ay_old_files_get(x, n, &d, &err), AY_ENOTHING);
	assert_int_equal(ay_old_files_get(x, UINT64_MAX, &d, &err), AY_ENOTHING);
}

static void test_numbers(void **state)
{
	static const unsigned counts[] = {0, 1, 63, 64, 65, FILES};
	struct ay_digest digests[FILES];
	struct ay_err err = {0};

	(void)state;
	for (unsigned i = 0; i < 6; i++) {
		struct ay_buf m = manifest_of(digests, counts[i]);
		struct ay_old_files x;

		assert_int_equal(ay_old_files_open_mem(&x, m.data, m.len, &err), 0);
		assert_numbers(&x, digests, counts[i]);
		ay_old_files_release(&x);
		assert_int_equal(ay_old_files_open_fd(&x, bundle_fd(m.data, m.len), &err), 0);
		assert_numbers(&x, digests, counts[i]);
		ay_old_files_release(&x);
		ay_buf_release(&m);
	}
}

/* A file that becomes shorter meanwhile is said, and one that cannot be read. */
static void test_changed(void **state)
{
	struct ay_digest digests[FILES], d;
	struct ay_buf m = manifest_of(digests, FILES);
	struct ay_old_files x;
	struct ay_err err = {0};
	int fd = bundle_fd(m.data, m.len);

	(void)state;
	assert_int_equal(ay_old_files_open_fd(&x, fd, &err), 0);
	assert_int_equal(ftruncate(fd, (off_t)m.len / 2), 0);
	assert_int_equal(ay_old_files_get(&x, 3, &d, &err), 0);
	assert_int_equal(ay_old_files_get(&x, FILES - 1, &d, &err), AY_EBASE);
	ay_old_files_release(&x);
	assert_int_equal(ay_old_files_get(&x, 0, &d, &err), AY_ENOTHING);
	assert_true(ay_old_files_open_fd(&x, open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC), &err) < 0);
	ay_old_files_release(&x);
	ay_buf_release(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_numbers), cmocka_unit_test(test_changed)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
