/* SPDX-License-Identifier: MIT */
/*
 * An update in which each change of the disk goes wrong in turn.
 *
 * The work is what a laptop does with a release: apply, switch, go back, switch
 * again, collect. It is done once to count its changes of the disk; then once per change
 * and kind of fault, from the same store each time:
 *
 *     an error, once          a bad moment; the process goes on and must clean up
 *     an error from then on   a full disk, a dead disk, a signal that comes again and again
 *     short writes            no error at all
 *     few open files          every number, from none on
 *     kill                    SIGKILL before the call, and after it
 *
 * After each: the store opens, every tree in it is whole to the last byte, `current`
 * names one of them, there is no garbage, and the same work done again without
 * faults ends where it ends on a good day, and fsck says so.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "store/state.h"
#include "tests/fault/store/copy_tree.h"
#include "tests/fault/store/three_trees.h"
#include "tests/support/fs_fault.h"
#include "tests/support/kit_fsck.h"

#define B "b"

/* Sanitizers make forks and threads many times dearer; the plain build of the same run leaves nothing out. */
#ifdef __SANITIZE_ADDRESS__
#define STEP 3u
#else
#define STEP 1u
#endif

struct fixture {
	struct three_trees t;
	unsigned calls;      /* changes of the disk on a good day */
	bool applied;        /* the last work came past its first step */
	char sentence[1024]; /* why the last work failed */
};

static void must(bool ok, const char *what)
{
	if (!ok) {
		perror(what);
		abort();
	}
}

/* kit.dir/store becomes what kit.dir/before is. */
static void fresh_store(struct fixture *x)
{
	copy_tree(&x->t.k, "before", "store");
}

/* ---- the trees: few files, every kind of change ---- */

static void make_tree(struct kit *k, int n)
{
	char p[64], v[16];

	snprintf(v, sizeof(v), "v%d", n);
	kit_mkdir(k, v, 0755);
#define AT(rest) (snprintf(p, sizeof(p), "%s/" rest, v), p)
	kit_noise(k, AT("changes"), 9000, 3000 + (uint64_t)n, 0644);
	kit_text(k, AT("kept"), "always the same", 0644);
	kit_text(k, AT("mode"), "only my mode changes", n == 3 ? 0600 : 0644);
	kit_text(k, AT("empty"), "", 0644);
	kit_mkdir(k, AT("d"), 0755);
	kit_text(k, AT("d/kept-too"), "in a directory", 0644);
	kit_symlink(k, AT("link"), n == 3 ? "d" : "kept");
	kit_text(k, n == 3 ? AT("d/new") : AT("old"), "same text, new", 0644);
	if (n == 3) {
		kit_mkdir(k, AT("e"), 0700);
		kit_text(k, AT("e/two"), "one content, two modes", 0755);
		kit_text(k, AT("e/one"), "one content, two modes", 0644);
	}
#undef AT
}

static struct fs_fault no_faults(void)
{
	struct fs_fault f;

	fs_fault_init(&f);
	f.syncs_off = true;
	return f;
}

static int open_kit(struct fixture *x, struct fs_fault *f, struct ay_store **s, struct ay_err *err)
{
	f->fs.ctx = f; /* it may have been copied */
	return kit_store(&x->t.k, &f->fs, s, err);
}

/* The work. Everything in it may be done again after it was interrupted anywhere. */
static int work(struct fixture *x, struct ay_store *s, struct ay_err *err)
{
	struct ay_gc_result res;
	uint32_t to;
	int r = kit_apply(s, B, &x->t.v[2], x->t.bundle, &x->t.offer, err);

	x->applied = r == 0 || r == AY_ENOTHING;
	if (!x->applied)
		return r;
	memset(err, 0, sizeof(*err));
	if ((r = ay_store_switch(s, B, 3, false, err)) < 0 ||
	    (r = ay_store_rollback(s, B, 2, &to, err)) < 0 || (r = ay_store_switch(s, B, 3, false, err)) < 0)
		return r;
	return ay_store_gc(s, 0, &res, err);
}

static int open_and_work(struct fixture *x, struct fs_fault *f)
{
	struct ay_err err = {0};
	struct ay_store *s;
	int r = open_kit(x, f, &s, &err);

	x->applied = false;
	if (r == 0) {
		r = work(x, s, &err);
		ay_store_close(s);
	}
	snprintf(x->sentence, sizeof(x->sentence), "%s", r < 0 ? err.msg : "");
	return r;
}

static int setup(void **arg)
{
	struct fixture *x = calloc(1, sizeof(*x));
	struct fs_fault f = no_faults();

	three_trees_init(&x->t, B, make_tree);
	f.fs.ctx = &f;
	three_trees_store(&x->t, &f.fs);
	must(renameat(x->t.k.fd, "store", x->t.k.fd, "before") == 0, "before");
	fresh_store(x);
	f = no_faults();
	assert_int_equal(open_and_work(x, &f), 0);
	x->calls = f.calls;
	*arg = x;
	return 0;
}

static int teardown(void **arg)
{
	struct fixture *x = *arg;

	three_trees_release(&x->t);
	free(x);
	return 0;
}

/* ---- what must hold ---- */

struct where {
	const char *kind;
	unsigned at;
	const char *call;
};

#define HOLDS(cond)                                                                                          \
	do {                                                                                                 \
		if (!(cond))                                                                                 \
			fail_msg("%s at change %u (%s): %s does not hold", w->kind, w->at,                   \
				 w->call ? w->call : "-", #cond);                                            \
	} while (0)

static void assert_good_store(struct fixture *x, const struct where *w)
{
	struct fs_fault f = no_faults();
	struct ay_err err = {0};
	struct ay_store *s;
	uint32_t current = 0;

	int r = open_kit(x, &f, &s, &err);
	if (r < 0)
		fail_msg("%s at change %u (%s): the store does not open: %s", w->kind, w->at, w->call,
			 err.msg);
	HOLDS(ay_store_current(s, B, &current, &err) == 0);
	HOLDS(current == 2 || current == 3);
	for (uint32_t i = 1; i <= 3; i++) {
		char path[64];
		snprintf(path, sizeof(path), "store/branches/" B "/%u", i);
		if (kit_exists(&x->t.k, path))
			HOLDS(kit_tree_is(&x->t.k, B, i, &x->t.v[i - 1]));
		else
			HOLDS(i != 2 && i != current);
	}
	HOLDS(kit_count(&x->t.k, "store/tmp") == 0);
	HOLDS(kit_objects_unlinked(&x->t.k) == 0);
	ay_store_close(s);
}

static void assert_finishes(struct fixture *x, const struct where *w)
{
	struct fs_fault f = no_faults();
	int r = open_and_work(x, &f);

	HOLDS(r == 0);
	assert_good_store(x, w);
	HOLDS(kit_exists(&x->t.k, "store/branches/" B "/3"));
	HOLDS(!kit_exists(&x->t.k, "store/branches/" B "/1"));
	char path[300], why[1024];
	snprintf(path, sizeof(path), "%s/store", x->t.k.dir);
	if (kit_fsck(path, why, sizeof(why)))
		fail_msg("%s at change %u (%s): %s", w->kind, w->at, w->call ? w->call : "-", why);
}

/* ---- faults ---- */

/* The sentence says what failed, and what to do where a person can do something. */
static bool says(const char *msg, int error)
{
	const char *advice = error == ENOSPC || error == EDQUOT ? "ayni gc"
			     : error == EMFILE                  ? "ulimit"
			     : error == EIO                     ? "dmesg"
			     : error == EINTR                   ? "again"
								: "";
	return msg[0] && strstr(msg, advice) != NULL;
}

static void each_change_fails(struct fixture *x, const struct fs_fault_case *c, unsigned step)
{
	unsigned failed = 0, n = 0;

	for (unsigned at = 1;; at += step, n++) {
		struct fs_fault f = no_faults();
		struct where w = {.kind = c->name, .at = at};
		fs_fault_set(&f, c, at);
		fresh_store(x);
		int r = open_and_work(x, &f);
		if (!f.failed)
			break;
		w.call = f.failed;
		failed += r < 0;
		if (c->error == 0 && r < 0)
			fail_msg("%s at change %u: %d", c->name, at, r);
		if (r < 0 && !says(x->sentence, c->error))
			fail_msg("%s at change %u (%s): this tells nobody what to do: %s", c->name, at,
				 w.call, x->sentence);
		/* While the disk works otherwise, a failure is cleaned up at once. */
		if (c->kind == AY_FAULT_ONCE && r < 0 && !x->applied &&
		    kit_exists(&x->t.k, "store/branches/" B "/3"))
			fail_msg("%s at change %u (%s): applying failed, but the tree is there", c->name, at,
				 w.call);
		if (c->kind == AY_FAULT_ONCE && r < 0 &&
		    kit_count(&x->t.k, "store/tmp") + kit_objects_unlinked(&x->t.k) > 0)
			fail_msg("%s at change %u (%s): garbage after a failure", c->name, at, w.call);
		assert_good_store(x, &w);
		assert_finishes(x, &w);
	}
	print_message("%s: %u times, %u failures reported\n", c->name, n, failed);
	assert_true(n > 0 && (fs_fault_may_succeed(c) || failed * 2 > n)); /* the faults did bite */
}

static void killed_at(struct fixture *x, enum fs_fault_kind kind, unsigned at)
{
	const struct where here = {.kind = kind == AY_FAULT_KILL ? "kill before" : "kill after", .at = at},
			   *w = &here;
	int status;

	fresh_store(x);
	pid_t pid = fork();
	if (pid == 0) {
		struct fs_fault f = no_faults();
		f.kind = kind;
		f.at = at;
		open_and_work(x, &f);
		_exit(0);
	}
	must(waitpid(pid, &status, 0) == pid, "waitpid");
	HOLDS(fs_fault_was_killed(status));
	assert_good_store(x, w);
	assert_finishes(x, w);
}

/* What is behind the last change is one more place to die. */
static void killed_before_and_after_each_change(void **arg)
{
	struct fixture *x = *arg;

	for (unsigned at = 1; at <= x->calls; at += STEP) {
		killed_at(x, AY_FAULT_KILL, at);
		killed_at(x, AY_FAULT_KILL_AFTER, at);
	}
	killed_at(x, AY_FAULT_KILL_AFTER, x->calls);
}

static void each_change_goes_wrong(void **arg)
{
	for (const struct fs_fault_case *c = fs_fault_cases; c->name; c++)
		each_change_fails(*arg, c, c->kind == AY_FAULT_FOREVER ? 2 * STEP : STEP);
}

/* Every number of files that may be open, from none on: EMFILE wherever a file is opened, to read too. */
static void few_files_may_be_open(void **arg)
{
	struct fixture *x = *arg;
	int status = 1;
	unsigned n = 0;

	for (; status != 0; n++) {
		const struct where here = {.kind = "few files", .at = n}, *w = &here;
		fresh_store(x);
		pid_t pid = fork();
		if (pid == 0) {
			struct fs_fault f = no_faults();
			fs_fault_few_fds(n);
			int r = open_and_work(x, &f);
			if (r < 0 && !says(x->sentence, EMFILE))
				fprintf(stderr, "%u files: %s\n", n, x->sentence);
			_exit(r == 0 ? 0 : says(x->sentence, EMFILE) ? 1 : 2);
		}
		must(waitpid(pid, &status, 0) == pid, "waitpid");
		if (WIFEXITED(status) && WEXITSTATUS(status) == 2)
			fail_msg("with %u files the sentence tells nobody what to do", n);
		HOLDS(WIFEXITED(status) && n < 100);
		assert_good_store(x, w);
		assert_finishes(x, w);
	}
	print_message("%u open files are enough\n", n - 1);
	assert_true(n > 8);
}

/* Killed, and the cleaning up killed too: whoever opens last still finds all in order. */
static void killed_while_cleaning_up(void **arg)
{
	struct fixture *x = *arg;

	for (unsigned at = x->calls / 8; at <= x->calls; at += x->calls / 8) {
		for (unsigned again = 1; again < 60; again += 7 * STEP) {
			struct where w = {.kind = "kill twice", .at = at * 1000 + again};
			int status;
			fresh_store(x);
			for (int i = 0; i < 2; i++) {
				pid_t pid = fork();
				if (pid == 0) {
					struct fs_fault f = no_faults();
					f.kind = AY_FAULT_KILL;
					f.at = i ? again : at;
					open_and_work(x, &f);
					_exit(0);
				}
				must(waitpid(pid, &status, 0) == pid, "waitpid");
			}
			assert_good_store(x, &w);
			assert_finishes(x, &w);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_change_goes_wrong),
		cmocka_unit_test(few_files_may_be_open),
		cmocka_unit_test(killed_before_and_after_each_change),
		cmocka_unit_test(killed_while_cleaning_up),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
