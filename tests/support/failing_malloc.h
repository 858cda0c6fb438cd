/* SPDX-License-Identifier: MIT */
/*
 * tests/support/failing_malloc.h - an allocator of the test's own, in which one allocation fails: each in turn. Or it
 * and all behind it.
 *
 * It defines malloc() and free(), so it is included by one file of a program, and stands in a header and not among what
 * every test is linked with, which would take it from there. A sanitizer brings its own allocator; then each test
 * says that it stands aside.
 */
#ifndef AYNI_TESTS_SUPPORT_FAILING_MALLOC_H
#define AYNI_TESTS_SUPPORT_FAILING_MALLOC_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OWN_ALLOCATOR 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define OWN_ALLOCATOR 0
#endif
#endif
#ifndef OWN_ALLOCATOR
#define OWN_ALLOCATOR 1
#endif

static atomic_bool armed;
static atomic_long calls, fail_at,
	fail_behind;     /* the first call is 1; from one to the one before the other */
static atomic_long live; /* what was made and not freed, while armed */

#if OWN_ALLOCATOR
void *__libc_malloc(size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_calloc(size_t n, size_t size);
void __libc_free(void *p);

static bool fails(void)
{
	if (!armed)
		return false;
	const long call = ++calls;
	if (call < fail_at || call >= fail_behind)
		return false;
	errno = ENOMEM;
	return true;
}

void *malloc(size_t size)
{
	void *p = fails() ? NULL : __libc_malloc(size);
	live += armed && p;
	return p;
}

void *calloc(size_t n, size_t size)
{
	void *p = fails() ? NULL : __libc_calloc(n, size);
	live += armed && p;
	return p;
}

void *realloc(void *old, size_t size)
{
	void *p = fails() ? NULL : __libc_realloc(old, size);
	live += armed && p && !old;
	return p;
}

void free(void *p)
{
	live -= armed && p;
	__libc_free(p);
}
#endif

static inline void need_own_allocator(void)
{
	if (!OWN_ALLOCATOR) {
		print_message("SKIPPED: a sanitizer owns the allocator\n");
		skip();
	}
}

/* The @at-th allocation from here on and those behind it, @n in all, fail until disarm(). @at -1: none does. */
static inline void arm_some(long at, long n)
{
	calls = live = 0;
	fail_at = at;
	fail_behind = at > 0 && n < LONG_MAX - at ? at + n : at > 0 ? LONG_MAX : at;
	armed = true;
}

static inline void arm(long at)
{
	arm_some(at, 1);
}

static inline void disarm(void)
{
	armed = false;
}

/* Run @scene with its first, second, ... allocation failing, until it succeeds: at the earliest behind @at_least of them. */
static inline void each_allocation_of(int (*scene)(void *arg), void *arg, long at_least)
{
	need_own_allocator();
	assert_int_equal(scene(arg), 0); /* what libraries keep for ever they keep now */
	for (long failed = 0;; failed++) {
		assert_true(failed < 1000);
		arm(failed + 1);
		int rc = scene(arg);
		disarm();
		assert_int_equal(live, 0);
		if (rc == 0) {
			assert_true(failed >= at_least);
			return;
		}
		assert_int_equal(rc, -ENOMEM);
	}
}

#endif
