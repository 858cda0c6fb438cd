/* SPDX-License-Identifier: MIT */
/*
 * node/diff_trees.h - what differs between two trees, by their manifests.
 */
#ifndef AYNI_NODE_DIFF_TREES_H
#define AYNI_NODE_DIFF_TREES_H

#include <jansson.h>

#include "manifest/manifest.h"

struct ay_tree_diff_options {
	bool json;
	bool ignore_mtime; /* times do not count */
};

struct ay_tree_difference {
	uint64_t added, removed, changed, renamed, same;
	json_t *json; /* with json: an array, a value for each difference; the caller's */
};

/**
 * ay_tree_diff() - print a line for each path that differs, in the order of paths, or (json) collect them.
 * @old, @new_: manifests' bytes.
 *
 * A regular file that went and one that came with the same content (and some content) are one file renamed. Memory goes
 * with the number of differences.
 *
 * Return: 0; AY_EFORMAT and the like of a bad manifest; -ENOMEM.
 */
int ay_tree_diff(struct ay_slice old, struct ay_slice new_, const struct ay_tree_diff_options *options,
		 struct ay_tree_difference *out, struct ay_err *err);

#endif
