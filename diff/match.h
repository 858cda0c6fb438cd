/* SPDX-License-Identifier: MIT */
/*
 * diff/match.h - which old files a new file may have come from.
 */
#ifndef AYNI_DIFF_MATCH_H
#define AYNI_DIFF_MATCH_H

#include <stddef.h>
#include <stdint.h>

#include "base/digest.h"

#define AY_MATCH_MAX 4 /* bases proposed for one file; trying one costs a diff */

/* A regular file of a tree; the path is borrowed and NUL-terminated. */
struct ay_match_file {
	const char *path;
	uint64_t size;
	struct ay_digest digest;
};

/* Bases for one new file, as indices into the old files, the likeliest first. */
struct ay_match {
	unsigned n;
	uint32_t base[AY_MATCH_MAX];
};

/**
 * ay_match() - propose bases for every new file.
 * @old, @new_: each in the order of ay_path_cmp(). @out: one per new file.
 *
 * In this order: the same path; the path rewritten as the trees themselves show it (where many files moved from
 * a directory "6.1.0-55" to "6.1.0-56", that one name for the other wherever it occurs); the same path but
 * for its numbers; the same name elsewhere, and the same but for its numbers, at a similar size. Empty files are no bases.
 * Nothing is read: what a base is worth only a diff can say.
 *
 * Return: 0, -ENOMEM.
 */
int ay_match(const struct ay_match_file *old, size_t n_old, const struct ay_match_file *new_, size_t n_new,
	     struct ay_match *out);

#endif
