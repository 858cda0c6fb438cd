/* SPDX-License-Identifier: MIT */
/*
 * Nobody starves: the store's lock is had by a collector among adders that never pause together, and by an adder beside a
 * collector that comes back at once. And a disk full of old releases is cleared by the very process that needs the
 * room, with the store as it has it open.
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
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "store/store_internal.h"
#include "store/use.h"
#include "tests/support/store_kit.h"

#define ASKERS  3
#define HOLD_US 20000
#define WAIT_S  15 /* with the gate it is less than a second; without it never */

static struct ay_store *open_store(struct kit *k)
{
	struct ay_err err = {0};
	struct ay_store *s = NULL;

	if (kit_store(k, ay_fs_real(), &s, &err) < 0)
		fail_msg("%s", err.msg);
	return s;
}

/* Takes the lock over and over, with no pause. */
static void ask_for_ever(struct ay_store *s, int op)
{
	for (;;) {
		if (ay__store_lock(s, op, NULL) < 0)
			_exit(1);
		usleep(HOLD_US);
		ay__store_unlock(s);
	}
}

/*
 * Two who never pause together: each lets go only when the other has the lock again, or after HOLD_US, when that one is kept
 * waiting. @mine, @other: a pipe each, non-blocking.
 */
static void take_turns(struct ay_store *s, const int mine[2], const int other[2])
{
	char c[64];

	for (;;) {
		struct pollfd p = {.fd = mine[0], .events = POLLIN};
		if (ay__store_lock(s, LOCK_SH, NULL) < 0)
			_exit(1);
		while (read(mine[0], c, sizeof(c)) > 0)
			;
		if (write(other[1], "x", 1) < 0)
			_exit(1);
		poll(&p, 1, HOLD_US / 1000);
		ay__store_unlock(s);
	}
}

/* Asks for the lock five times; 0: had it each time, in good time. */
static int asks(struct kit *k, int op)
{
	int status = -1;
	pid_t p = fork();

	if (p == 0) {
		struct ay_store *s = open_store(k);
		usleep(3 * HOLD_US);
		alarm(WAIT_S);
		for (int i = 0; i < 5; i++) {
			if (ay__store_lock(s, op, NULL) < 0)
				_exit(1);
			ay__store_unlock(s);
		}
		_exit(0);
	}
	assert_int_equal(waitpid(p, &status, 0), p);
	return status;
}

static void gets_the_lock(int others, unsigned n, int op)
{
	pid_t pids[ASKERS];
	int pipes[2][2];
	struct kit k;
	bool alive = true;

	kit_init(&k);
	ay_store_close(open_store(&k));
	assert_true(pipe2(pipes[0], O_NONBLOCK) == 0 && pipe2(pipes[1], O_NONBLOCK) == 0);
	for (unsigned i = 0; i < n; i++) {
		if ((pids[i] = fork()) != 0)
			continue;
		struct ay_store *s = open_store(&k);
		if (others == LOCK_SH)
			take_turns(s, pipes[i], pipes[1 - i]);
		ask_for_ever(s, others);
	}
	int status = asks(&k, op);
	for (unsigned i = 0; i < n; i++) {
		alive &= waitpid(pids[i], NULL, WNOHANG) == 0; /* it asks to the end */
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
	}
	for (int i = 0; i < 4; i++)
		close(pipes[i / 2][i % 2]);
	kit_release(&k);
	assert_true(alive);
	assert_int_equal(status, 0);
}

static void the_collector_gets_its_turn_among_adders(void **arg)
{
	(void)arg;
	gets_the_lock(LOCK_SH, 2, LOCK_EX);
}

static void an_adder_gets_its_turn_beside_the_collector(void **arg)
{
	(void)arg;
	gets_the_lock(LOCK_EX, 1, LOCK_SH);
	gets_the_lock(LOCK_EX, ASKERS, LOCK_SH);
}

/* ---- a full disk ---- */

static int small_disk(char dir[64])
{
	snprintf(dir, 64, "/tmp/ayni-starve-XXXXXX");
	if (geteuid() != 0 || !mkdtemp(dir))
		return -1;
	if (unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	    mount("none", dir, "tmpfs", 0, "size=40m") == 0)
		return 0;
	rmdir(dir);
	return -1;
}

/* Releases of 3 MiB each, all new, until there is no room; each becomes current. The last one's serial, which is not here. */
static uint32_t fill(struct kit *k, struct ay_store *s, struct kit_tree *last, struct ay_err *err)
{
	for (uint32_t serial = 1; serial < 100; serial++) {
		kit_noise(k, "v/big", 3 << 20, serial * 1000, 0644);
		if (serial > 1)
			kit_tree_release(last);
		kit_publish(k, "v", "b", serial, last);
		int r = kit_import(k, s, "b", last, err);
		if (r == -ENOSPC)
			return serial;
		if (r < 0 || ay_store_switch(s, "b", serial, false, err) < 0)
			fail_msg("release %u: %s", serial, err->msg);
	}
	fail_msg("the disk does not get full");
	return 0;
}

static void a_full_disk_is_cleared_by_who_needs_it(struct kit *k)
{
	struct ay_store *s = open_store(k);
	struct ay_err err = {0};
	struct ay_gc_result res;
	struct ay_use use;
	struct kit_tree t;
	struct stat st;

	kit_mkdir(k, "v", 0755);
	uint32_t serial = fill(k, s, &t, &err);
	assert_true(serial > 4);
	assert_int_equal(kit_count(k, "store/tmp"), 0);
	/* Somebody uses the oldest: it goes out of sight and stays whole. */
	assert_int_equal(ay_store_use(s, "b", 1, &use, &err), 0);
	if (ay_store_gc(s, 1, &res, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(res.trees, serial - 3); /* the current one and the one before it stay */
	assert_int_equal(res.in_use, 1);
	assert_int_equal(fstatat(use.root, "big", &st, 0), 0);
	assert_int_equal(st.st_size, 3 << 20);
	if (kit_import(k, s, "b", &t, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(ay_store_switch(s, "b", serial, false, &err), 0);
	assert_true(kit_tree_is(k, "b", serial, &t));
	ay_use_release(&use);
	assert_int_equal(ay_store_gc(s, 1, &res, &err), 0);
	assert_int_equal(res.in_use, 0);
	assert_int_equal(kit_objects_unlinked(k), 0);
	kit_tree_release(&t);
	ay_store_close(s);
}

static void old_releases_give_way_to_an_update(void **arg)
{
	char dir[64];
	struct kit k;

	(void)arg;
	if (small_disk(dir) < 0) {
		puts("skipped: needs root, for a small file system of its own");
		skip();
	}
	setenv("AYNI_KIT_DIR", dir, 1);
	kit_init(&k);
	a_full_disk_is_cleared_by_who_needs_it(&k);
	kit_release(&k);
	umount2(dir, MNT_DETACH);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_collector_gets_its_turn_among_adders),
		cmocka_unit_test(an_adder_gets_its_turn_beside_the_collector),
		cmocka_unit_test(old_releases_give_way_to_an_update),
	};
	return cmocka_run_group_tests_name("starve", tests, NULL, NULL);
}
