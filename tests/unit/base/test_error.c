/* SPDX-License-Identifier: MIT */
/* Codes keep their value and name; sentences keep their end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"

static void test_codes(void **state)
{
	(void)state;
	assert_int_equal(AY_EFORMAT, -5001);
	assert_int_equal(AY_ESTORE, -5014);
	assert_int_equal(AY_EHEALTH, -5016);
	assert_int_equal(AY_ESTATE, -5017);
	assert_string_equal(ay_error_name(AY_EFORMAT), "AY_EFORMAT");
	assert_string_equal(ay_strerror(AY_EROLLBACK), "older than allowed");
	assert_string_equal(ay_error_name(-ENOSPC), "ENOSPC");
	assert_string_equal(ay_strerror(-ENOSPC), "No space left on device");
	assert_string_equal(ay_strerror(0), "success");
	assert_string_equal(ay_error_name(0), "OK");
	static const int strange[] = {1, 5001, -4000, -4999, -5000, -5018, INT32_MIN, INT32_MAX};
	for (size_t i = 0; i < sizeof(strange) / sizeof(strange[0]); i++) {
		assert_string_equal(ay_strerror(strange[i]), "unknown error");
		assert_string_equal(ay_error_name(strange[i]), "UNKNOWN");
	}
#define BELOW(name, value, text)                                                                             \
	assert_true((name) < -5000);                                                                         \
	assert_string_equal(ay_error_name(name), #name);
	AY_ERRORS(BELOW)
#undef BELOW
}

static void test_set(void **state)
{
	(void)state;
	struct ay_err err = {0};
	errno = EINTR;
	assert_int_equal(ay_err_set(&err, AY_EFORMAT, "line %d: %s", 7, "no colon"), AY_EFORMAT);
	assert_int_equal(errno, EINTR);
	assert_int_equal(err.code, AY_EFORMAT);
	assert_string_equal(err.msg, "line 7: no colon");
	/* Its own sentence as an argument. */
	ay_err_set(&err, AY_ESIG, "<%s>", err.msg);
	assert_string_equal(err.msg, "<line 7: no colon>");
	assert_int_equal(ay_err_set(NULL, AY_EDIGEST, "unheard %d", 1), AY_EDIGEST);
}

static void test_errno(void **state)
{
	(void)state;
	struct ay_err err = {0};
	errno = EINTR;
	assert_int_equal(ay_err_errno(&err, ENOENT, "open %s", "/a"), -ENOENT);
	assert_string_equal(err.msg, "open /a: No such file or directory");
	assert_int_equal(errno, EINTR);
	assert_int_equal(ay_err_errno(&err, 0, "read"), -EIO);
	assert_string_equal(err.msg, "read: Input/output error");
	assert_int_equal(ay_err_errno(NULL, EPERM, "x"), -EPERM);
	/* Where a person can do something, it says what. */
	static const struct {
		int errnum;
		const char *advice;
	} can[] = {{ENOSPC, "ayni gc"},
		   {EDQUOT, "quota"},
		   {EMFILE, "ulimit -n"},
		   {EIO, "dmesg"},
		   {EINTR, "again"}};
	for (size_t i = 0; i < sizeof(can) / sizeof(can[0]); i++) {
		ay_err_errno(&err, can[i].errnum, "write");
		assert_non_null(strstr(err.msg, can[i].advice));
	}
}

static void test_wrap(void **state)
{
	(void)state;
	struct ay_err err = {0};
	ay_err_set(&err, AY_EFORMAT, "control offset 12 outside base (size 8)");
	assert_int_equal(ay_err_wrap(&err, AY_EPEER, "usr/lib/x.so"), AY_EFORMAT);
	assert_int_equal(ay_err_wrap(&err, AY_EFORMAT, "apply bundle %s", "7f3a"), AY_EFORMAT);
	assert_string_equal(err.msg,
			    "apply bundle 7f3a: usr/lib/x.so: control offset 12 outside base (size 8)");
	assert_int_equal(ay_err_wrap(NULL, AY_EBUSY, "x"), AY_EBUSY);

	/* Nobody set it: the code speaks. */
	struct ay_err empty = {0};
	assert_int_equal(ay_err_wrap(&empty, AY_EBUSY, "open store"), AY_EBUSY);
	assert_string_equal(empty.msg, "open store: in use by another process");
	assert_int_equal(empty.code, AY_EBUSY);
	struct ay_err silent = {.code = -ENOSPC};
	assert_int_equal(ay_err_wrap(&silent, AY_EBUSY, "%s", ""), -ENOSPC);
	assert_string_equal(silent.msg, "No space left on device");
}

static int ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);
	return n >= m && strcmp(s + n - m, end) == 0;
}

/* Whatever the lengths: within the room, the end whole, and no character cut in two. */
static void test_too_long(void **state)
{
	(void)state;
	if (!setlocale(LC_CTYPE, "C.UTF-8")) /* for mbstowcs as the judge */
		skip();
	static const char *const letters[] = {"a", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x90\x9a"};
	for (size_t letter = 0; letter < 4; letter++) {
		for (unsigned times = 1; times < 1400; times += 7) {
			char text[6000] = "";
			size_t n = strlen(letters[letter]);
			for (unsigned i = 0; i < times; i++)
				memcpy(text + i * n, letters[letter], n + 1);

			struct ay_err err = {0};
			ay_err_errno(&err, ENOSPC, "write %s", text);
			assert_true(strncmp(err.msg, "write ", 6) == 0);
			assert_true(ends_with(err.msg, ": No space left on device; delete files on that file "
						       "system or run `ayni gc`"));
			ay_err_wrap(&err, AY_EPEER, "apply %s", text);
			ay_err_wrap(&err, AY_EPEER, "update");
			assert_true(strncmp(err.msg, "update: ", 8) == 0);
			assert_true(ends_with(err.msg, ": No space left on device; delete files on that file "
						       "system or run `ayni gc`"));
			assert_int_equal(err.code, -ENOSPC);
			assert_true(strlen(err.msg) < AY_ERR_MSG_MAX);
			assert_true(mbstowcs(NULL, err.msg, 0) != (size_t)-1);

			ay_err_set(&err, AY_EFORMAT, "%s", text);
			assert_true(mbstowcs(NULL, err.msg, 0) != (size_t)-1);
			if (times * n < AY_ERR_MSG_MAX)
				assert_string_equal(err.msg, text);
			else
				assert_true(ends_with(err.msg, "\xe2\x80\xa6"));
			for (int shift = 1; shift < 4; shift++) { /* a cut at each place in a character */
				ay_err_set(&err, AY_EFORMAT, "%.*s%s", shift, "xyz", text);
				assert_true(mbstowcs(NULL, err.msg, 0) != (size_t)-1);
			}
		}
	}
}

/* Both parts long: the reason gives way at its start, the context at its end. */
static void test_both_long(void **state)
{
	(void)state;
	struct ay_err err = {0};
	char reason[1000], context[1000];
	memset(reason, 'r', sizeof(reason));
	memset(context, 'c', sizeof(context));
	ay_err_set(&err, AY_EFORMAT, "start%.900s end", reason);
	ay_err_wrap(&err, AY_EFORMAT, "begin%.900s", context);
	assert_int_equal(strlen(err.msg), AY_ERR_MSG_MAX - 1);
	assert_true(strncmp(err.msg, "begincc", 7) == 0);
	assert_non_null(strstr(err.msg, "c\xe2\x80\xa6: \xe2\x80\xa6r"));
	assert_true(ends_with(err.msg, "rr end"));
	assert_null(strstr(err.msg, "start"));
}

/* Bytes that are no UTF-8 at all (only continuation bytes) must not lead the cut outside. */
static void test_not_utf8(void **state)
{
	(void)state;
	struct ay_err err = {0};
	char junk[3000];
	memset(junk, 0x80, sizeof(junk) - 1);
	junk[sizeof(junk) - 1] = '\0';
	ay_err_set(&err, AY_EFORMAT, "%s", junk);
	ay_err_wrap(&err, AY_EFORMAT, "%s", junk);
	ay_err_errno(&err, EPERM, "%s", junk);
	assert_true(ends_with(err.msg, ": Operation not permitted"));
	memset(err.msg, 0x80, sizeof(err.msg) - 1);
	ay_err_wrap(&err, AY_EFORMAT, "context");
	assert_true(strncmp(err.msg, "context: ", 9) == 0);
}

static void quiet_child(void)
{
	struct rlimit none = {0, 0};
	setrlimit(RLIMIT_CORE, &none);
	signal(SIGABRT, SIG_DFL);
	if (!freopen("/dev/null", "w", stderr))
		_exit(9);
}

/* Our own mistakes abort, in release builds too. */
static void test_assert(void **state)
{
	(void)state;
	for (int mistake = 0; mistake < 3; mistake++) {
		pid_t pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			quiet_child();
			if (mistake == 0)
				AY_ASSERT(1 + 1 == 3);
			else if (mistake == 1)
				ay_err_set(NULL, 0, "an error that is none");
			AY_ASSERT(1 + 1 == 2);
			_exit(0);
		}
		int status;
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (mistake == 2)
			assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
		else
			assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_codes),    cmocka_unit_test(test_set),
		cmocka_unit_test(test_errno),    cmocka_unit_test(test_wrap),
		cmocka_unit_test(test_too_long), cmocka_unit_test(test_both_long),
		cmocka_unit_test(test_not_utf8), cmocka_unit_test(test_assert),
	};
	return cmocka_run_group_tests_name("error", tests, NULL, NULL);
}
