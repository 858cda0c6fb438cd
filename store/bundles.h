/* SPDX-License-Identifier: MIT */
/*
 * store/bundles.h - bundles on disk, whole and in collection.
 *
 *     bundles/<digest>              whole; immutable
 *     bundles/partial/<digest>      data written where it belongs, sparse
 *     bundles/partial/<digest>.hashes   the verified hash blocks: records of u32 level, u32 index, 4096 bytes
 *
 * Which blocks are there is not written down: at start each hash block is checked
 * from the top, then each data block against them. What checks out is had. So a kill
 * at any instant loses nothing, and a power cut no more than what was not yet synced.
 */
#ifndef AYNI_STORE_BUNDLES_H
#define AYNI_STORE_BUNDLES_H

#include "base/merkle.h"
#include "store/store.h"

/*
 * Threads: one may add and write while another syncs. While one finishes, the others must neither add nor
 * write nor sync; asking what is had and reading are free.
 */
struct ay_bundle_file;

/**
 * ay_bundle_file_open() - open a bundle, whole or partial, or begin one.
 * @create: begin a partial one when there is none; room for @size is reserved (-ENOSPC says how much is missing).
 *
 * A whole one is hashed. If it is damaged it is removed (with @create a partial one is begun in its place):
 * nothing on this machine proves which of its blocks are right.
 *
 * Return: 0 and @out (close with ay_bundle_file_close()); -ENOENT without @create; AY_EDIGEST the whole one was
 *   damaged, without @create; AY_EFORMAT its size is not @size, or @size is 0; AY_ELIMIT @size is above 1 TiB;
 *   AY_EBUSY it is open for collecting already; -errno.
 */
int ay_bundle_file_open(struct ay_store *s, const struct ay_digest *digest, uint64_t size, bool create,
			struct ay_bundle_file **out, struct ay_err *err);
/**
 * ay_bundle_file_open_fd() - a whole bundle that lives elsewhere (a repository); builds its tree.
 * @fd: taken over, on failure too. AY_EDIGEST, AY_EFORMAT as above.
 */
int ay_bundle_file_open_fd(int fd, const struct ay_digest *digest, uint64_t size, struct ay_bundle_file **out,
			   struct ay_err *err);
void ay_bundle_file_close(struct ay_bundle_file *f);

struct ay_merkle *ay_bundle_file_merkle(struct ay_bundle_file *f);
int ay_bundle_file_fd(const struct ay_bundle_file *f); /* for pread, sendfile and applying */
bool ay_bundle_file_whole(const struct ay_bundle_file *f);
bool ay_bundle_file_has(const struct ay_bundle_file *f, uint64_t block);
/** ay_bundle_file_bitmap() - bit i (byte i/8, lowest bit first) is block i; (blocks+7)/8 bytes. Borrowed. */
const uint8_t *ay_bundle_file_bitmap(const struct ay_bundle_file *f);

/** ay_bundle_file_add_hashes() - check and keep a hash block. Errors of ay_merkle_add(), -errno of writing. */
int ay_bundle_file_add_hashes(struct ay_bundle_file *f, unsigned level, uint64_t index, const uint8_t *block,
			      struct ay_err *err);
/**
 * ay_bundle_file_write() - check block @index against the tree and write it.
 *
 * Return: 0 written (or had before); AY_EDIGEST; -EAGAIN its hash block is not known; -ENOSPC, -EIO ...
 */
int ay_bundle_file_write(struct ay_bundle_file *f, uint64_t index, const void *data, size_t len,
			 struct ay_err *err);
/**
 * ay_bundle_file_sync() - make all that was written durable (call at least every 8 MiB or 2 s while writing).
 *
 * A failure is final: sync and finish fail from then on. Close it; opening checks what is there.
 */
int ay_bundle_file_sync(struct ay_bundle_file *f, struct ay_err *err);
/** ay_bundle_file_finish() - all blocks are had (else -EAGAIN): sync, and move to bundles/<digest>, durably. */
int ay_bundle_file_finish(struct ay_bundle_file *f, struct ay_err *err);

struct ay_bundle_entry {
	struct ay_digest digest;
	uint64_t size; /* of the file; a partial one may still grow */
	bool whole;
};
/** ay_bundles_list() - what is in bundles/ and bundles/partial/; free(*@out). */
int ay_bundles_list(struct ay_store *s, struct ay_bundle_entry **out, size_t *n, struct ay_err *err);
/** ay_bundles_drop() - remove a bundle, whole or partial. */
int ay_bundles_drop(struct ay_store *s, const struct ay_digest *digest, struct ay_err *err);

#endif
