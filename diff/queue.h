/* SPDX-License-Identifier: MIT */
/*
 * diff/queue.h - the second thread of applying: it packs again, if that takes little memory, and hashes what the first one
 * computed, and gives it to the sink (internal to diff/).
 *
 * A ring of blocks. One thread fills blocks, in order; the other one takes them, in order: so the sink sees the same calls in
 * the same order as without, its functions open, data, end and place from the second thread.
 */
#ifndef AYNI_DIFF_QUEUE_H
#define AYNI_DIFF_QUEUE_H

#include "diff/bundle.h"
#include "diff/rewrap.h"

#define AY__QUEUE_BLOCK  (64u << 10) /* small files take one each */
#define AY__QUEUE_BLOCKS 48
/* One deflate packer: lzma2 and zstd may take hundreds of megabytes, which are there only once. */
#define AY__QUEUE_PACK_MEMORY (2816u << 10)
#define AY__QUEUE_RECIPES     (192u << 10) /* bytes of recipes that wait or are in work */
#define AY__QUEUE_PACKS       2 /* records to be packed there at once; more, and the first thread only waits */
#define AY__QUEUE_MEMORY                                                                                     \
	((uint64_t)AY__QUEUE_BLOCKS * (AY__QUEUE_BLOCK + 1024) + AY__QUEUE_PACK_MEMORY + AY__QUEUE_RECIPES + \
	 (64u << 10))

enum ay__queue_kind { AY__QUEUE_OPEN = 1, AY__QUEUE_END = 2 };

struct ay__queue;

/** ay__queue_new() - @sink stays the caller's. NULL: no memory, or no thread. */
struct ay__queue *ay__queue_new(const struct ay_bundle_sink *sink);
/**
 * ay__queue_free() - everything given is done first, unless the sink failed.
 * Return: 0 or the first failure in the second thread, its sentence in @err.
 */
int ay__queue_free(struct ay__queue *q, struct ay_err *err);

/** ay__queue_room() - AY__QUEUE_BLOCK bytes to be filled; waits for a free block. NULL: the second thread failed. */
uint8_t *ay__queue_room(struct ay__queue *q);
/** ay__queue_give() - @len bytes of the room are filled, of record @r; @kind: its first, its last ones (both bits may be set). */
void ay__queue_give(struct ay__queue *q, const struct ay_bundle_record *r, size_t len, unsigned kind);
/** ay__queue_again() - of the next record that is opened the first @len bytes are in @fd: they are hashed first. */
void ay__queue_again(struct ay__queue *q, int fd, uint64_t len);
/**
 * ay__queue_pack() - of the next record that is opened, what is given is its view, which the second thread packs by @recipe
 * (checked; copied). @memory: what packing needs.
 *
 * Return: true; false: that is too much memory, or the second thread has enough to pack: pack before giving.
 */
bool ay__queue_pack(struct ay__queue *q, struct ay_slice recipe, uint64_t memory);
/** ay__queue_place() - what was given so far is all before @p. -1: the second thread failed. */
int ay__queue_place(struct ay__queue *q, const struct ay_bundle_place *p);

/**
 * ay__record_bytes() - the next bytes of @r's file, of which @given went before: hashed, and given to the sink.
 * 0; AY_EDIGEST they are more than it has; what sink->data() returned.
 */
int ay__record_bytes(const struct ay_bundle_sink *sink, const struct ay_bundle_record *r, struct ay_hasher *h,
		     uint64_t *given, const uint8_t *data, size_t len, struct ay_err *err);
/** ay__record_end() - all of @r's bytes are in @h: are they its target's? 0; AY_EDIGEST; what sink->end() returned. */
int ay__record_end(const struct ay_bundle_sink *sink, const struct ay_bundle_record *r, struct ay_hasher *h,
		   struct ay_err *err);

/** ay__hash_again() - the first @len bytes of @fd into @h. 0; AY_EDIGEST it has fewer; -errno. */
int ay__hash_again(struct ay_hasher *h, int fd, uint64_t len, struct ay_err *err);

#endif
