/* SPDX-License-Identifier: MIT */
/*
 * diff/bsdiff40.h - the classic patch format of bsdiff(1) and bspatch(1), for exchange with them.
 *
 *   header, 32 bytes (numbers: 8 bytes little-endian, bit 63 a sign, not two's complement)
 *      0  "BSDIFF40"
 *      8  packed size of the control block, at least 1
 *     16  packed size of the difference block, at least 1
 *     24  size of the new file
 *   control block, difference block, extra block: each one bzip2 stream; the last goes to the end of the patch
 *
 *   control block: triples of numbers (x, y, z): x bytes are the old file's plus the difference block's next, y bytes
 *   are the extra block's next, then the place in the old file moves by x + z.
 *
 * The format knows neither which file it is for nor what must come out: no digest. Of hostile patches: a number out of
 * range, a copy from outside the old file, a block that ends too early or goes on, and anything behind the last block
 * are refused; memory is bounded by what bzip2 needs (three times 3.7 MB), work and output by the header's size, which the
 * caller limits. bsdiff(1) writes triples that do nothing (its first often is one), so those are taken, but not more
 * of them than the new file has bytes.
 */
#ifndef AYNI_DIFF_BSDIFF40_H
#define AYNI_DIFF_BSDIFF40_H

#include "diff/bsdiff.h"
#include "manifest/manifest.h"

#define AY_BSDIFF40_MAGIC       "BSDIFF40"
#define AY_BSDIFF40_HEADER_SIZE 32

/** ay_bsdiff40_memory() - bytes that ay_bsdiff40_write() needs besides the two files, at most. */
uint64_t ay_bsdiff40_memory(uint64_t old_len, uint64_t new_len);

/**
 * ay_bsdiff40_write() - write the patch @old → @new_.
 * @level: of bzip2, 1 to 9. @write: gets the patch's bytes in order.
 *
 * No number of a triple passes 2^30, because bspatch(1) reads at most 2^31 - 1 bytes at once.
 * Return: 0; -ENOMEM; what @write returned.
 */
int ay_bsdiff40_write(struct ay_slice old, struct ay_slice new_, const struct ay_bsdiff_params *params,
		      int level, ay_write_fn write, void *ctx, struct ay_err *err);

/** ay_bsdiff40_new_size() - what the header of the patch in @fd says comes out. 0; AY_EFORMAT; -errno. */
int ay_bsdiff40_new_size(int fd, uint64_t *size, struct ay_err *err);

/**
 * ay_bsdiff40_apply() - read the patch in @fd, read the old file by pread, write the new one in order.
 * @max: refuse (AY_ELIMIT) a patch whose header says that more bytes come out.
 *
 * Return: 0; AY_EFORMAT naming block, triple and reason (what was written is to be thrown away); AY_EBASE the old
 *   file became shorter meanwhile; AY_ELIMIT; -errno, -ENOMEM; what @write returned.
 */
int ay_bsdiff40_apply(int fd, int old_fd, uint64_t max, ay_write_fn write, void *ctx, struct ay_err *err);

#endif
