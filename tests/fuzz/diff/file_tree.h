/* SPDX-License-Identifier: MIT */
/* A tree of nothing but one file, in memory. */
#ifndef AYNI_FUZZ_FILE_TREE_H
#define AYNI_FUZZ_FILE_TREE_H

#include "diff/make.h"

struct file_tree {
	struct ay_slice file; /* borrowed */
	struct ay_buf manifest;
	struct ay_make_tree tree;
};

void file_tree_make(struct file_tree *t, struct ay_slice file);
void file_tree_release(struct file_tree *t);

#endif
