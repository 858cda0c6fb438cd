/* SPDX-License-Identifier: MIT */
/*
 * store/bundles_resume.h - inside store/: what do the files of a partial bundle prove?
 *
 *     <digest>.hashes   records, appended:   0 u32 level   4 u32 index   8 hash block, 4096 bytes
 *
 * A record that is cut off at the end is the trace of a kill and is overwritten. Records that do not fit
 * the digest are foreign. Version history: 1 (first; the store's VERSION is its version).
 */
#ifndef AYNI_STORE_BUNDLES_RESUME_H
#define AYNI_STORE_BUNDLES_RESUME_H

#include "base/bytes.h"
#include "base/merkle.h"

#define AY__HASH_RECORD (8 + AY_LEAF_SIZE)

/** ay__hash_record() - one record of the log. */
void ay__hash_record(unsigned level, uint64_t index, const uint8_t *block, uint8_t out[AY__HASH_RECORD]);

/**
 * ay__hash_log_read() - add to @m every hash block of the log @fd that fits.
 * @len: bytes of whole records; where the next one is to be written.
 * @clean: false when a record was foreign or there twice, or the log is longer than all of them.
 *
 * Reads at most as much as all records of @m take, once per level.
 * Return: 0, -ENOMEM, -errno of reading.
 */
int ay__hash_log_read(int fd, struct ay_merkle *m, uint64_t *len, bool *clean);

/** ay__hash_log_write() - append all that @m knows, top-down; ask @out's status. */
void ay__hash_log_write(const struct ay_merkle *m, struct ay_buf *out);

/**
 * ay__resume_blocks() - check every block of the data file @fd whose hash block is known; on all cores if it is large.
 * @bitmap: one bit per block, zeroed; those that fit are set. @n_had: how many.
 *
 * Return: 0, -ENOMEM. A block that cannot be read is one that is not had.
 */
int ay__resume_blocks(int fd, const struct ay_merkle *m, uint8_t *bitmap, uint64_t *n_had);

#endif
