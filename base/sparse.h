/* SPDX-License-Identifier: MIT */
/*
 * base/sparse.h - files with holes: which stretches hold nothing, and which bytes need not be written.
 */
#ifndef AYNI_BASE_SPARSE_H
#define AYNI_BASE_SPARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AY_HOLE_SIZE                                                                                         \
	4096 /* holes are looked for, and made, in blocks of this many bytes, at multiples of it */

/**
 * ay_sparse_next() - where the hole or the data that begins at @at ends.
 * @size: of the file; @at is below it. @end: above @at, at most @size.
 *
 * Moves the file's offset. A file system that knows nothing of holes says that all is data. What is
 * written meanwhile may be missed: whoever must know looks at ctime before and after.
 *
 * Return: true when it is a hole.
 */
bool ay_sparse_next(int fd, uint64_t at, uint64_t size, uint64_t *end);

/** ay_is_zero() - are all @len bytes zero? */
bool ay_is_zero(const void *data, size_t len);

#endif
