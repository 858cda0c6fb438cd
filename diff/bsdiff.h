/* SPDX-License-Identifier: MIT */
/*
 * diff/bsdiff.h - what of an old file a new file can be copied from.
 *
 * The answer is a list of operations that, carried out in order, write the new file:
 *
 *     new:  | diff_len bytes | extra_len bytes |  diff_len | extra_len | ...
 *             ^ each is old[old_pos + i] plus     ^ the next operation
 *               a difference, modulo 256
 *                              ^ new bytes that resemble nothing in the old file
 *
 * Source: C. Percival, "Naive differences of executable code", 2003.
 */
#ifndef AYNI_DIFF_BSDIFF_H
#define AYNI_DIFF_BSDIFF_H

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

struct ay_bsdiff_op {
	uint64_t old_pos; /* where the difference's bytes lie in the old file; 0 when diff_len is 0 */
	uint64_t diff_len;
	uint64_t extra_len;
};

struct ay_bsdiff_ops {
	struct ay_bsdiff_op *ops; /* owned */
	size_t n, cap;
};

struct ay_bsdiff_params {
	/* A match is taken when it is right in so many bytes more than going on as before would be (0: 8). */
	unsigned threshold;
	/*
	 * Files that agree at equal distance from their beginning or end but for this share (in 1/1024 of the
	 * new size) are not sorted at all; 0: always sort. AY_BSDIFF_SHORTCUT is a good value.
	 */
	unsigned shortcut;
	/* Called now and then while matches are looked for; nonzero ends that. NULL: nobody. Sorting does not hear it. */
	int (*stop)(void *ctx);
	void *stop_ctx;
};

#define AY_BSDIFF_THRESHOLD 8
#define AY_BSDIFF_SHORTCUT  4

void ay_bsdiff_ops_release(struct ay_bsdiff_ops *ops);

/** ay_bsdiff_memory() - bytes that ay_bsdiff() may use besides the two files, at most. */
uint64_t ay_bsdiff_memory(uint64_t old_len, uint64_t new_len);

/**
 * ay_bsdiff() - append to @out the operations that turn @old into @new_.
 * @old, @new_: borrowed for the call; either may be empty.
 *
 * The lengths of all operations appended add up to @new_'s, each has one of diff_len and extra_len above zero,
 * and each copy lies inside @old. The result depends on nothing but the arguments.
 * Time is bounded for every input: the search gives up looking for better matches when it has compared
 * a fixed multiple of the input's size, and what it had so far is still right.
 *
 * Return: 0; -ENOMEM; what @params->stop returned (@out then holds what it did before).
 */
int ay_bsdiff(struct ay_slice old, struct ay_slice new_, const struct ay_bsdiff_params *params,
	      struct ay_bsdiff_ops *out);

#endif
