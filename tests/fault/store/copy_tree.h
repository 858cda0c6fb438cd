/* SPDX-License-Identifier: MIT */
/* A directory copied with its hard links, modes and times: a store is put back as it was before each run. */
#ifndef AYNI_TESTS_FAULT_STORE_COPY_TREE_H
#define AYNI_TESTS_FAULT_STORE_COPY_TREE_H

#include "tests/support/store_kit.h"

/** copy_tree() - kit.dir/@to becomes what kit.dir/@from is. */
void copy_tree(struct kit *k, const char *from, const char *to);

#endif
