/* SPDX-License-Identifier: MIT */
/* A store with two trees and a repository that has both; checked, with every finding remembered. For the tests of fsck. */
#ifndef AYNI_TESTS_UNIT_STORE_FSCK_KIT_H
#define AYNI_TESTS_UNIT_STORE_FSCK_KIT_H

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
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "store/fsck.h"
#include "tests/support/fs_fault.h"
#include "tests/support/kit_repo.h"

#define B         "stable"
#define B_DIR     "store/branches/" B
#define FOUND_MAX 200

struct fsck_told {
	enum ay_fsck_what what;
	enum ay_fsck_outcome outcome;
	uint32_t serial;
	char path[200], object[90], why[300];
};

struct fsck_kit {
	struct kit k;
	struct fs_fault f;
	struct ay_store *s;
	struct ay_repo *repo;
	struct kit_tree v1, v2;
	struct fsck_told told[FOUND_MAX];
	size_t n;
	struct ay_fsck_result res;
	struct ay_err err;
};

/** fsck_setup() - cmocka's setup: *@arg is a struct fsck_kit. */
int fsck_setup(void **arg);
int fsck_teardown(void **arg);

/** fsck_run() - check, or heal, with the repository or without; the code. */
int fsck_run(struct fsck_kit *t, bool heal, bool repo);
/** fsck_expect() - fails, and prints what was found, when the code is another. */
void fsck_expect(struct fsck_kit *t, int got, int want);
/** find_told() - what was said about this path; NULL: nothing. */
const struct fsck_told *find_told(const struct fsck_kit *t, enum ay_fsck_what what, uint32_t serial,
				  const char *path);
/** expect_told() - it must have been said, with this outcome. */
const struct fsck_told *expect_told(struct fsck_kit *t, enum ay_fsck_what what, uint32_t serial,
				    const char *path, enum ay_fsck_outcome outcome);
/** expect_clean() - nothing is damaged, by fsck and by what the trees are; 2 is current. */
void expect_clean(struct fsck_kit *t);
/** expect_healed() - heal; something was, and nothing is left. */
void expect_healed(struct fsck_kit *t, bool repo);

/* ---- paths in kit.dir ---- */
char *in_tree(char out[300], unsigned serial, const char *path);
/** object_of() - the object that a path of tree 2 links. */
void object_of(struct fsck_kit *t, const char *path, char out[200]);
ino_t inode_of(struct fsck_kit *t, const char *path);
/** rot() - damage one byte, and set the time back, as a bad disk does. */
void rot(struct fsck_kit *t, const char *path);

#endif
