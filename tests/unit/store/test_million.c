/* SPDX-License-Identifier: MIT */
/*
 * A manifest of a million entries is checked, merged and indexed, as applying does it, within 64 MiB. Each in a process of
 * its own, whose largest resident set counts. (The whole of `ayni import` with such a tree: tests/bench/.)
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "manifest/delta.h"
#include "store/base_index.h"
#include "store/object.h"

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif

#define DIRS  1000
#define FILES 999         /* in each: with the root and the directories 1,000,001 entries */
#define LIMIT (64l << 10) /* KiB */

static int fd_write(void *ctx, const void *data, size_t len)
{
	for (size_t at = 0; at < len;) {
		ssize_t n = write(*(int *)ctx, (const char *)data + at, len - at);
		if (n < 0)
			return -errno;
		at += (size_t)n;
	}
	return 0;
}

/* Every file has a content of its own; @changed: every eighth another one. */
static void make_manifest(int fd, bool changed, struct ay_digest *d)
{
	struct ay_manifest_writer *w = ay_manifest_writer_new(fd_write, &fd);
	struct ay_err err = {0};
	char path[64];
	struct ay_entry e = {.type = AY_ENTRY_DIR, .mode = 0755, .mtime_s = 1700000000, .path = path};

	snprintf(path, sizeof(path), "/");
	e.path_len = 1;
	assert_int_equal(ay_manifest_add(w, &e, &err), 0);
	for (unsigned i = 0; i < DIRS; i++) {
		e.type = AY_ENTRY_DIR;
		e.path_len = (size_t)snprintf(path, sizeof(path), "/usr-share-%04u", i);
		assert_int_equal(ay_manifest_add(w, &e, &err), 0);
		e.type = AY_ENTRY_FILE;
		e.size = 1000;
		for (unsigned k = 0; k < FILES; k++) {
			uint64_t n = i * (uint64_t)FILES + k, seed[2] = {n, changed && n % 8 == 0};
			ay_sha256(seed, sizeof(seed), e.digest.b);
			e.path_len = (size_t)snprintf(path, sizeof(path),
						      "/usr-share-%04u/some-file-%04u.txt", i, k);
			if (ay_manifest_add(w, &e, &err) < 0)
				fail_msg("%s", err.msg);
		}
	}
	assert_int_equal(ay_manifest_finish(w, d, NULL, &err), 0);
	ay_manifest_writer_free(w);
}

static int old_fd, new_fd, delta_fd;
static struct ay_digest old_digest, new_digest;

static struct ay_manifest_reader *open_manifest(struct ay__fd_reader *in, int fd)
{
	*in = (struct ay__fd_reader){.fd = fd};
	return ay_manifest_reader_new(ay__fd_read, in);
}

static int index_old(void *ctx, enum ay_change change, const struct ay_entry *old,
		     const struct ay_entry *new_, struct ay_err *err)
{
	uint8_t v[AY__VARIANT_LEN];

	(void)change;
	(void)new_;
	(void)err;
	if (!old || old->type != AY_ENTRY_FILE)
		return 0;
	int r = ay__object_variant(old, v);
	return r < 0 ? r : ay__base_index_add(ctx, &old->digest, v);
}

/* What apply.c does with the manifests: the old one and the delta merged, the old contents indexed. */
static int merge(void)
{
	struct ay__fd_reader in, delta = {.fd = delta_fd};
	struct ay_manifest_reader *old = open_manifest(&in, old_fd);
	struct ay__base_index bases = {0};
	struct ay_digest d;
	struct ay_err err = {0};
	uint8_t v[AY__VARIANT_LEN];
	uint64_t seed[2] = {123456, 0};
	struct ay_entry e = {.mode = 0755, .mtime_s = 1700000000};

	int r = ay_delta_apply(old, ay__fd_read, &delta, &old_digest, &new_digest, index_old, &bases, NULL,
			       NULL, &err);
	ay_manifest_reader_free(old);
	if (r < 0)
		return 1;
	ay__base_index_sort(&bases);
	ay_sha256(seed, sizeof(seed), d.b);
	if (ay__object_variant(&e, v) < 0 || bases.n != DIRS * FILES || !ay__base_index_has(&bases, &d, v))
		return 2;
	for (size_t i = 1; i < bases.n; i++) {
		if (memcmp(&bases.rows[i - 1], &bases.rows[i], sizeof(*bases.rows)) >= 0)
			return 3;
	}
	ay__base_index_release(&bases);
	return 0;
}

static int check(void)
{
	struct ay__fd_reader in;
	struct ay_manifest_reader *m = open_manifest(&in, new_fd);
	struct ay_digest d;
	struct ay_entry e;
	struct ay_err err = {0};
	unsigned n = 0;
	int r;

	while ((r = ay_manifest_next(m, &e, &err)) > 0)
		n++;
	if (r < 0 || n != 1 + DIRS * (FILES + 1))
		return 1;
	ay_manifest_reader_digest(m, &d, NULL);
	ay_manifest_reader_free(m);
	return ay_digest_eq(&d, &new_digest) ? 0 : 2;
}

static void within_limit(int (*what)(void))
{
	struct rusage used;
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(what());
	assert_int_equal(wait4(pid, &status, 0, &used), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	print_message("%ld KiB at most\n", used.ru_maxrss);
#ifndef SANITIZED
	assert_true(used.ru_maxrss <= LIMIT);
#endif
}

static void a_million_is_checked(void **state)
{
	(void)state;
	within_limit(check);
}

static void a_million_is_merged(void **state)
{
	(void)state;
	within_limit(merge);
}

/* In files without names, so that they are nobody's resident memory. */
static int make_all(void **state)
{
	struct ay__fd_reader a, b;
	struct ay_err err = {0};

	(void)state;
	old_fd = memfd_create("old", MFD_CLOEXEC);
	new_fd = memfd_create("new", MFD_CLOEXEC);
	delta_fd = memfd_create("delta", MFD_CLOEXEC);
	assert_true(old_fd >= 0 && new_fd >= 0 && delta_fd >= 0);
	make_manifest(old_fd, false, &old_digest);
	make_manifest(new_fd, true, &new_digest);
	struct ay_manifest_reader *old = open_manifest(&a, old_fd), *new_ = open_manifest(&b, new_fd);
	int r = ay_delta_make(old, &old_digest, new_, &new_digest, fd_write, &delta_fd, &err);
	ay_manifest_reader_free(old);
	ay_manifest_reader_free(new_);
	if (r < 0)
		fail_msg("%s", err.msg);
	return 0;
}

static int close_all(void **state)
{
	(void)state;
	close(old_fd);
	close(new_fd);
	close(delta_fd);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_million_is_checked),
		cmocka_unit_test(a_million_is_merged),
	};
	return cmocka_run_group_tests_name("store/million", tests, make_all, close_all);
}
