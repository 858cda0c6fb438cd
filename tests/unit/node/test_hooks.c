/* SPDX-License-Identifier: MIT */
/* Hooks: which run and in what order, what they see, and every way in which one can go wrong. */
#include "tests/support/place.h"

#include <signal.h>
#include <sys/stat.h>
#include <time.h>

#include "node/hooks.h"
#include "tests/support/same_everywhere.h"
#include "node/progress.h"

static struct ay_err err;

static void put_hook(struct place *p, const char *path, const char *script, unsigned mode)
{
	char text[2048];
	snprintf(text, sizeof(text), "#!/bin/sh\n%s\n", script);
	put_text(p->dir, path, text);
	assert_int_equal(fchmodat(p->dir, path, mode, 0), 0);
}

static int run(struct place *p, enum ay_hook_phase phase, unsigned one_s, unsigned all_s)
{
	const struct ay_hooks h = {p->path, one_s, all_s};
	const struct ay_hook_call call = {.branch = "xo/stable",
					  .store = "/the/store",
					  .tree = "/the/tree",
					  .reason = "owner",
					  .serial = 7,
					  .from = 6,
					  .tries_left = 2};
	err = (struct ay_err){0};
	return ay_hooks_run(&h, phase, &call, &err);
}

static void read_back(struct place *p, const char *name, char *out, size_t size)
{
	int fd = openat(p->dir, name, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, out, size - 1);
	out[n > 0 ? n : 0] = 0;
	if (fd >= 0)
		close(fd);
}

static void dirs(struct place *p)
{
	mkdirat(p->dir, "pre-switch.d", 0755);
	mkdirat(p->dir, "post-switch.d", 0755);
	mkdirat(p->dir, "health.d", 0755);
}

static void names_are_those_of_run_parts(void **state)
{
	(void)state;
	assert_true(ay_hook_name_ok("50-Net_1"));
	static const char *const bad[] = {"",           ".hidden", "a.sh", "a~",
					  "a.dpkg-old", "a b",     "a/b",  "\xc3\xa4"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(ay_hook_name_ok(bad[i]));
}

static void they_run_in_order_and_see_what_is_documented(void **state)
{
	struct place *p = *state;
	char out[4096], script[512];

	assert_int_equal(run(p, AY_HOOK_PRE, 5, 5), 0); /* no directory, no hooks */
	dirs(p);
	snprintf(script, sizeof(script), "echo $0 >> %s/out", p->path);
	put_hook(p, "pre-switch.d/20-b", script, 0755);
	put_hook(p, "pre-switch.d/10-a", script, 0755);
	put_hook(p, "pre-switch.d/B", script, 0755);
	put_hook(p, "pre-switch.d/15.sh", script, 0755);
	put_hook(p, "pre-switch.d/16-not-executable", script, 0644);
	mkdirat(p->dir, "pre-switch.d/17-directory", 0755);
	assert_int_equal(symlinkat("10-a", p->dir, "pre-switch.d/30-link"), 0);
	assert_int_equal(symlinkat("nowhere", p->dir, "pre-switch.d/40-dangling"), 0);
	assert_int_equal(run(p, AY_HOOK_PRE, 5, 5), 0);
	read_back(p, "out", out, sizeof(out));
	char want[1024];
	snprintf(want, sizeof(want),
		 "%s/pre-switch.d/10-a\n%s/pre-switch.d/20-b\n%s/pre-switch.d/30-link\n%s/pre-switch.d/B\n",
		 p->path, p->path, p->path, p->path);
	assert_string_equal(out, want);

	snprintf(
		script, sizeof(script),
		"{ env | grep -v -e ^_= -e ^SHLVL= -e ^PWD= -e ^OLDPWD= | sort; pwd; cat; ls /proc/self/fd | wc -l; } > %s/env",
		p->path);
	put_hook(p, "health.d/env", script, 0755);
	setenv("SECRET", "of the caller", 1);
	assert_int_equal(run(p, AY_HOOK_HEALTH, 5, 5), 0);
	read_back(p, "env", out, sizeof(out));
	assert_string_equal(out,
			    "AYNI_BRANCH=xo/stable\nAYNI_FROM_SERIAL=6\nAYNI_HOOK=health\nAYNI_REASON=owner\n"
			    "AYNI_SERIAL=7\nAYNI_STORE=/the/store\nAYNI_TREE=/the/tree\nAYNI_TRIES_LEFT=2\n"
			    "HOME=/\nLANG=C.UTF-8\n"
			    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n/\n4\n");
}

static void the_first_that_fails_ends_it(void **state)
{
	struct place *p = *state;
	char out[64], script[512];

	dirs(p);
	put_hook(p, "pre-switch.d/10", "exit 3", 0755);
	snprintf(script, sizeof(script), "echo ran > %s/out", p->path);
	put_hook(p, "pre-switch.d/20", script, 0755);
	assert_int_equal(run(p, AY_HOOK_PRE, 5, 5), AY_EHOOK);
	assert_non_null(strstr(err.msg, "pre-switch.d/10 failed with exit code 3"));
	read_back(p, "out", out, sizeof(out));
	assert_string_equal(out, "");
	put_hook(p, "pre-switch.d/10", "kill -SEGV $$", 0755);
	assert_int_equal(run(p, AY_HOOK_PRE, 5, 5), AY_EHOOK);
	assert_non_null(strstr(err.msg, "killed by signal 11"));
	put_text(p->dir, "pre-switch.d/10", "#!/no/such/interpreter\n");
	assert_int_equal(fchmodat(p->dir, "pre-switch.d/10", 0755, 0), 0);
	assert_int_equal(run(p, AY_HOOK_PRE, 5, 5), AY_EHOOK);
	assert_non_null(strstr(err.msg, "exit code 126"));
}

static void what_others_can_write_is_not_run(void **state)
{
	struct place *p = *state;

	dirs(p);
	put_hook(p, "pre-switch.d/10", "exit 0", 0757);
	assert_int_equal(run(p, AY_HOOK_PRE, 5, 5), AY_EHOOK);
	assert_non_null(strstr(err.msg, "written by others"));
	assert_int_equal(fchmodat(p->dir, "pre-switch.d/10", 0755, 0), 0);
	assert_int_equal(run(p, AY_HOOK_PRE, 5, 5), 0);
	assert_int_equal(fchmodat(p->dir, "pre-switch.d", 0777, 0), 0);
	assert_int_equal(run(p, AY_HOOK_PRE, 5, 5), AY_EHOOK);
}

static bool lives(struct place *p, const char *pid_file)
{
	char out[32];
	read_back(p, pid_file, out, sizeof(out));
	pid_t pid = atoi(out);
	assert_true(pid > 1);
	return kill(pid, 0) == 0;
}

/* Sleeps, ignores SIGTERM, has children in its group and one that left it for a session of its own. */
static void who_hangs_is_killed_with_all_that_it_started(void **state)
{
	struct place *p = *state;
	char script[1024];
	uint64_t begin = ay_monotonic_ns();

	dirs(p);
	snprintf(
		script, sizeof(script),
		"trap '' TERM\nsleep 300 &\necho $! > %s/child\nsetsid sh -c 'echo $$ > %s/away; sleep 300' &\n"
		"while :; do sleep 1; done",
		p->path, p->path);
	put_hook(p, "health.d/10", script, 0755);
	assert_int_equal(run(p, AY_HOOK_HEALTH, 1, 60), AY_EHOOK);
	assert_non_null(strstr(err.msg, "did not end within 1 s and was killed"));
	assert_true(ay_monotonic_ns() - begin < UINT64_C(30000000000));
	usleep(100000);
	assert_false(lives(p, "child"));
	assert_false(lives(p, "away"));
	/* All of them together have a limit too. */
	put_hook(p, "health.d/10", "sleep 1", 0755);
	put_hook(p, "health.d/20", "sleep 30", 0755);
	assert_int_equal(run(p, AY_HOOK_HEALTH, 60, 2), AY_EHOOK);
	assert_non_null(
		strstr(err.msg, "health.d/20 did not end within 2 s (together with those before it)"));
}

/* A service that a hook starts for good outlives it, and a later hook that is killed. */
static void what_it_starts_for_good_lives(void **state)
{
	struct place *p = *state;
	char script[1024], out[32];

	dirs(p);
	snprintf(script, sizeof(script),
		 "setsid sleep 300 </dev/null >/dev/null 2>&1 &\necho $! > %s/service", p->path);
	put_hook(p, "post-switch.d/10", script, 0755);
	put_hook(p, "post-switch.d/20", "sleep 300", 0755);
	assert_int_equal(run(p, AY_HOOK_POST, 1, 60), AY_EHOOK);
	assert_true(lives(p, "service"));
	read_back(p, "service", out, sizeof(out));
	kill(atoi(out), SIGKILL);
}

/* Without end, without newlines, into a pipe that stays open behind it. */
static void output_is_read_and_bounded(void **state)
{
	struct place *p = *state;

	dirs(p);
	put_hook(p, "post-switch.d/10", "head -c 3000000 /dev/zero | tr '\\0' 'x'; exit 0", 0755);
	put_hook(p, "post-switch.d/20", "sleep 20 & echo done; exit 0", 0755);
	uint64_t begin = ay_monotonic_ns();
	int saved = dup(2), to = openat(p->dir, "log", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	struct stat st;
	dup2(to, 2);
	int r = run(p, AY_HOOK_POST, 30, 60);
	dup2(saved, 2);
	assert_int_equal(r, 0);
	assert_true(ay_monotonic_ns() - begin < UINT64_C(15000000000)); /* nobody waits for the sleeper */
	assert_int_equal(fstat(to, &st), 0);
	assert_in_range(st.st_size, AY_HOOK_OUTPUT_MAX, AY_HOOK_OUTPUT_MAX + 8192);
	static char log[AY_HOOK_OUTPUT_MAX + 8193];
	assert_true(pread(to, log, sizeof(log) - 1, 0) > 0);
	assert_non_null(strstr(log, "more bytes of output are left out"));
	assert_non_null(strstr(log, "hook post-switch.d/20: done"));
	close(to);
	close(saved);
	put_hook(p, "post-switch.d/10", "yes", 0755);
	saved = dup(2);
	to = open("/dev/null", O_WRONLY | O_CLOEXEC);
	dup2(to, 2);
	r = run(p, AY_HOOK_POST, 1, 60);
	dup2(saved, 2);
	close(to);
	close(saved);
	assert_int_equal(r, AY_EHOOK);
	assert_non_null(strstr(err.msg, "post-switch.d/10 did not end"));
}

/* A hook that could have said no is not passed over because the disk does not tell its name. */
static void a_directory_that_cannot_be_read_is_not_empty(void **state)
{
	struct place *p = *state;

	dirs(p);
	put_hook(p, "pre-switch.d/10", "exit 3", 0755);
	for (unsigned at = 1; at <= 3; at++) { /* ".", "..", and the hook, in any order */
		readdir_fails(at, EIO);
		assert_int_equal(run(p, AY_HOOK_PRE, 5, 5), -EIO);
		assert_true(readdir_failed());
		assert_non_null(strstr(err.msg, "pre-switch.d"));
	}
	readdir_fails(0, 0);
	assert_int_equal(run(p, AY_HOOK_PRE, 5, 5), AY_EHOOK);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, place_make, place_remove)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_those_of_run_parts),
		TEST(they_run_in_order_and_see_what_is_documented),
		TEST(the_first_that_fails_ends_it),
		TEST(a_directory_that_cannot_be_read_is_not_empty),
		TEST(what_others_can_write_is_not_run),
		TEST(who_hangs_is_killed_with_all_that_it_started),
		TEST(what_it_starts_for_good_lives),
		TEST(output_is_read_and_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
