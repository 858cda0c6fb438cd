/* SPDX-License-Identifier: MIT */
/* A healing that lacks descriptors has found nothing out: it takes no further inode's name away. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/fsck_internal.h"
#include "tests/support/fs_fault.h"
#include "tests/support/store_kit.h"

#define FILES 9
#define LINKS 4 /* one of them the object's own name */

/* In a process of its own, which may open @fds more files; what it ended with. */
static int look(struct ay_store *s, unsigned fds)
{
	const struct ay_fsck f = {.heal = true};
	struct ay_fsck_result res = {0};
	struct ay__fsck k = {.s = s, .f = &f, .res = &res};
	struct ay_err err = {0};
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		fs_fault_few_fds(fds);
		int r = ay__fsck_spill(&k, &err);
		_exit(res.damaged || res.healed ? 255 : -r);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void no_descriptor_is_no_damage(void **arg)
{
	struct kit k;
	struct kit_tree v;
	struct fs_fault f;
	struct ay_store *s;
	struct ay_err err = {0};
	char path[32];
	unsigned lacked = 0;

	(void)arg;
	kit_init(&k);
	fs_fault_init(&f);
	f.syncs_off = true;
	f.links_max = LINKS;
	kit_mkdir(&k, "v", 0755);
	for (unsigned i = 0; i < FILES; i++) {
		snprintf(path, sizeof(path), "v/f%u", i);
		kit_write(&k, path, "the same", 8, 0644, 1700000000);
	}
	kit_publish(&k, "v", "b", 1, &v);
	if (kit_store(&k, &f.fs, &s, &err) < 0 || kit_import(&k, s, "b", &v, &err) < 0)
		fail_msg("%s", err.msg);
	int inodes = kit_count(&k, "store/objects/more");
	assert_true(inodes > 0);
	for (unsigned fds = 0; fds <= 4; fds++) {
		int r = look(s, fds);
		if (r != 0 && r != EMFILE)
			fail_msg("with %u descriptors: %d", fds, r);
		lacked += r != 0;
		assert_int_equal(kit_count(&k, "store/objects/more"), inodes);
	}
	assert_true(lacked >= 2); /* for the directory, for a file in it */
	assert_int_equal(look(s, 100), 0);
	kit_tree_release(&v);
	ay_store_close(s);
	kit_release(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(no_descriptor_is_no_damage)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
