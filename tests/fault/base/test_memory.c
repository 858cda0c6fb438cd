/* SPDX-License-Identifier: MIT */
/*
 * Each allocation fails in turn, and only that one: the code says -ENOMEM, nothing leaks, and the
 * next try works. The allocator is this program's own; under a sanitizer, which
 * brings its own, the test says so and stands aside.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/merkle.h"
#include "tests/support/failing_malloc.h"

static uint8_t data[1400000];

static int scene_build(void *arg)
{
	const int *fd = arg;
	struct ay_merkle *m = NULL;
	int rc = *fd >= 0 ? ay_merkle_build_fd(*fd, &m) : ay_merkle_build_mem(data, sizeof(data), &m);
	if (rc < 0 && m)
		return -EINVAL; /* an error hands out nothing */
	ay_merkle_free(m);
	return rc;
}

static int scene_digest(void *arg)
{
	struct ay_digest d;
	return ay_digest_fd(*(const int *)arg, &d, NULL);
}

/* A hash block that found no memory may be offered again. */
static int scene_add(void *arg)
{
	const struct ay_merkle *whole = arg;
	struct ay_merkle *m = ay_merkle_new(ay_merkle_digest(whole), ay_merkle_size(whole));
	int rc = m ? 0 : -ENOMEM;
	for (unsigned level = ay_merkle_levels(whole); rc == 0 && level-- > 0;) {
		for (uint64_t i = 0; rc == 0 && i < ay_merkle_width(whole, level); i++) {
			rc = ay_merkle_add(m, level, i, ay_merkle_get(whole, level, i));
			if (rc == -ENOMEM && ay_merkle_has(m, level, i))
				rc = -EINVAL;
			if (rc == -ENOMEM && ay_merkle_add(m, level, i, ay_merkle_get(whole, level, i)) != 0)
				rc = -EINVAL;
		}
	}
	ay_merkle_free(m);
	return rc;
}

static int scene_buf(void *arg)
{
	(void)arg;
	struct ay_buf b = {0};
	for (int i = 0; i < 100; i++) {
		ay_put_u64(&b, 1);
		ay_put_str(&b, "abc");
		ay_put_fmt(&b, "%0300d", i);
	}
	int rc = ay_buf_cstr(&b) ? 0 : ay_buf_status(&b);
	if ((rc == 0) != (b.len == 100 * 311))
		rc = -EINVAL;
	ay_buf_release(&b);
	return rc;
}

static int data_fd(void)
{
	char path[] = "/tmp/ayni-test-memory-XXXXXX";
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	unlink(path);
	assert_int_equal(write(fd, data, sizeof(data)), sizeof(data));
	return fd;
}

static void test_build(void **state)
{
	(void)state;
	need_own_allocator();
	int fd = -1;
	each_allocation_of(scene_build, &fd, 6); /* hasher, 3 hash blocks, their top, the tree */
	fd = data_fd();
	each_allocation_of(scene_build, &fd, 7); /* and the buffer */
	close(fd);
}

static void test_digest(void **state)
{
	(void)state;
	need_own_allocator();
	int fd = data_fd();
	each_allocation_of(scene_digest, &fd, 2);
	close(fd);
}

static void test_add(void **state)
{
	(void)state;
	need_own_allocator();
	struct ay_merkle *whole = NULL;
	assert_int_equal(ay_merkle_build_mem(data, sizeof(data), &whole), 0);
	each_allocation_of(scene_add, whole, 5);
	ay_merkle_free(whole);
}

static void test_buf(void **state)
{
	(void)state;
	need_own_allocator();
	each_allocation_of(scene_buf, NULL, 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_build),
		cmocka_unit_test(test_digest),
		cmocka_unit_test(test_add),
		cmocka_unit_test(test_buf),
	};
	return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
