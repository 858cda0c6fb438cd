/* SPDX-License-Identifier: MIT */
/* Two releases, their trees as directories, and an empty store: for the tests of adopting. */
#ifndef AYNI_TESTS_UNIT_STORE_ADOPT_KIT_H
#define AYNI_TESTS_UNIT_STORE_ADOPT_KIT_H

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
#include "store/adopt.h"
#include "tests/support/kit_repo.h"

#define B     "b"
#define ROOT1 "store/branches/" B "/1/root"
#define ROOT2 "store/branches/" B "/2/root"

struct adopt_kit {
	struct kit k;
	struct ay_store *s;
	struct kit_tree v1, v2;
	struct ay_adopt a;
	struct ay_adopted out;
	struct ay_err err;
	int dirfd;
	char told[AY_ADOPT_DIFFS][2048]; /* paths, each behind a blank */
	uint32_t serial;                 /* for the signature */
};

/** adopt_setup() - cmocka's setup: *@arg is a struct adopt_kit that is about to adopt "v1". */
int adopt_setup(void **arg);
int adopt_teardown(void **arg);

/** adopt_use_dir() - the next adoption is of kit.dir/@dir. */
void adopt_use_dir(struct adopt_kit *t, const char *dir);
/** adopt_fresh_store() - an empty store again, through @fs. */
void adopt_fresh_store(struct adopt_kit *t, struct ay_fs *fs);
/** adopt_new() - make the directory a release of its own, signed here; the code. */
int adopt_new(struct adopt_kit *t);
/** adopt_match() - make the directory the published @tree; the code. */
int adopt_match(struct adopt_kit *t, const struct kit_tree *tree);

/** assert_adopted() - the tree is whole, and nothing is left over. */
void assert_adopted(struct adopt_kit *t, uint32_t serial);
/** assert_nothing_adopted() - nothing of it is in the store. */
void assert_nothing_adopted(struct adopt_kit *t);
/** adopt_stat() - of kit.dir/@path, which must be there. */
struct stat adopt_stat(struct adopt_kit *t, const char *path);
bool adopt_same_inode(struct adopt_kit *t, const char *a, const char *b);

#endif
