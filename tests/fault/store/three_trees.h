/* SPDX-License-Identifier: MIT */
/* A publisher with three releases, and a store that has the first two of them: where tests of faults begin. */
#ifndef AYNI_TESTS_FAULT_STORE_THREE_TREES_H
#define AYNI_TESTS_FAULT_STORE_THREE_TREES_H

#include "tests/support/store_kit.h"

struct three_trees {
	struct kit k;
	const char *branch;
	struct kit_tree v[3]; /* serials 1, 2, 3 */
	struct ay_offer offer;
	int bundle; /* 2 to 3 */
};

/** three_trees_init() - @make makes "v1", "v2" and "v3" in the kit; they are published as @branch. */
void three_trees_init(struct three_trees *x, const char *branch, void (*make)(struct kit *k, int n));
void three_trees_release(struct three_trees *x);
/** three_trees_store() - by @fs: a new kit.dir/store with 1 and 2, of which 2 is current. */
void three_trees_store(struct three_trees *x, struct ay_fs *fs);

#endif
