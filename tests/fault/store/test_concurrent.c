/* SPDX-License-Identifier: MIT */
/*
 * Several processes in one store: two make trees of the same contents in two
 * branches, one collects all the time, one opens (and so sweeps) all the time.
 * The dangerous moment is an object that has its name but no link in a tree yet.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/state.h"
#include "tests/support/fs_fault.h"
#include "tests/support/store_kit.h"

#define ROUNDS   120
#define CONTENTS 5 /* so that what is made now is what was just collected */
#define FILES    30

struct shared {
	struct kit k;
	struct kit_tree t[2][ROUNDS]; /* branches "a" and "b", serials 1..ROUNDS, their contents by turns */
};

static const char *const branches[2] = {"a", "b"};

static struct ay_store *open_store(struct shared *x, struct fs_fault *f)
{
	struct ay_err err = {0};
	struct ay_store *s;

	fs_fault_init(f);
	f->syncs_off = true;
	if (kit_store(&x->k, &f->fs, &s, &err) < 0) {
		fprintf(stderr, "open: %s\n", err.msg);
		_exit(2);
	}
	return s;
}

static void make_trees(struct shared *x, int b)
{
	struct fs_fault f;
	struct ay_store *s = open_store(x, &f);
	struct ay_err err = {0};

	for (int i = 0; i < ROUNDS; i++) {
		int r = kit_import(&x->k, s, branches[b], &x->t[b][i], &err);
		while (r == AY_EBUSY && usleep(500) == 0) /* the collector holds the branch */
			r = kit_import(&x->k, s, branches[b], &x->t[b][i], &err);
		if (r == 0)
			r = ay_store_switch(s, branches[b], (uint32_t)i + 1, false, &err);
		if (r < 0) {
			fprintf(stderr, "branch %s serial %d: %s\n", branches[b], i + 1, err.msg);
			_exit(1);
		}
	}
	ay_store_close(s);
	_exit(0);
}

static void collect(struct shared *x)
{
	struct fs_fault f;
	struct ay_store *s = open_store(x, &f);
	struct ay_err err = {0};

	for (;;) { /* the newest stays: it may be about to become current */
		if (ay_store_gc(s, 1, NULL, &err) < 0) {
			fprintf(stderr, "collect: %s\n", err.msg);
			_exit(1);
		}
	}
}

static void open_and_close(struct shared *x)
{
	struct fs_fault f;

	for (;;)
		ay_store_close(open_store(x, &f));
}

static pid_t child(struct shared *x, int what)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	alarm(60);
	if (what < 2)
		make_trees(x, what);
	else if (what == 2)
		collect(x);
	open_and_close(x);
	_exit(3);
}

static void make_content(struct kit *k, int c)
{
	char path[64], text[64];

	snprintf(path, sizeof(path), "c%d", c);
	kit_mkdir(k, path, 0755);
	for (int i = 0; i < FILES; i++) {
		snprintf(path, sizeof(path), "c%d/%d", c, i);
		snprintf(text, sizeof(text), "content %d, file %d", c, i);
		kit_text(k, path, text, 0644);
	}
}

static void trees_stay_whole_while_others_collect(void **arg)
{
	struct shared *x = calloc(1, sizeof(*x));
	struct fs_fault f;
	struct ay_err err = {0};
	pid_t pids[4];
	int status;

	(void)arg;
	kit_init(&x->k);
	for (int c = 0; c < CONTENTS; c++)
		make_content(&x->k, c);
	for (int b = 0; b < 2; b++) {
		for (int i = 0; i < ROUNDS; i++) {
			char dir[16];
			snprintf(dir, sizeof(dir), "c%d", i % CONTENTS);
			kit_publish(&x->k, dir, branches[b], (uint32_t)i + 1, &x->t[b][i]);
		}
	}
	ay_store_close(open_store(x, &f)); /* the root is trusted once */
	for (int i = 0; i < 4; i++)
		pids[i] = child(x, i);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
	for (int i = 2; i < 4; i++) { /* they end only by failing or by us */
		assert_int_equal(waitpid(pids[i], &status, WNOHANG), 0);
		kill(pids[i], SIGKILL);
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
	}
	struct ay_store *s = open_store(x, &f);
	if (ay_store_gc(s, 0, NULL, &err) < 0)
		fail_msg("%s", err.msg);
	for (int b = 0; b < 2; b++) {
		for (uint32_t i = ROUNDS - 1; i <= ROUNDS; i++)
			assert_true(kit_tree_is(&x->k, branches[b], i, &x->t[b][i - 1]));
		for (int i = 0; i < ROUNDS; i++)
			kit_tree_release(&x->t[b][i]);
	}
	assert_int_equal(kit_count(&x->k, "store/tmp"), 0);
	assert_int_equal(kit_objects_unlinked(&x->k), 0);
	ay_store_close(s);
	kit_release(&x->k);
	free(x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(trees_stay_whole_while_others_collect)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
