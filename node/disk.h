/* SPDX-License-Identifier: MIT */
/*
 * node/disk.h - the core's orders to store something, and the bundles that are open.
 *
 * All that waits for the disk is done by one thread, one job after the other, in
 * the sequence of the orders: what was ordered first is durable first. The loop's
 * thread never waits; it writes checked blocks into the page cache, nothing more.
 */
#ifndef AYNI_NODE_DISK_H
#define AYNI_NODE_DISK_H

#include <uv.h>

#include "node/config.h"
#include "node/events.h"
#include "store/bundles.h"

struct ay_disk;
struct ay_disk_bundle;

/* What was written is synced after so much or so long: what a power cut may cost at most (DESIGN section 12). */
#define AY_DISK_SYNC_BYTES (8u << 20)
#define AY_DISK_SYNC_MS    2000

/**
 * ay_disk_new() - @store: borrowed; NULL for a school without one (then nothing can be stored). While the loop runs
 * the store belongs to the disk's thread: use it only inside ay_disk_job().
 */
int ay_disk_new(uv_loop_t *loop, struct ay_store *store, const struct ay_events *events,
		struct ay_disk **out);
/**
 * ay_disk_budget() - what may be collected when there is no room for a bundle. @collected: something went; read the store
 * again. @config: borrowed.
 */
void ay_disk_budget(struct ay_disk *d, const struct ay_config *config, void (*collected)(void *ctx),
		    void *ctx);
/** ay_disk_close() - no event comes any more; the loop must run on until its handles are closed, then ay_disk_free(). */
void ay_disk_close(struct ay_disk *d);
void ay_disk_free(struct ay_disk *d);
/** ay_disk_busy() - is a job running that must end before the process does so orderly? */
bool ay_disk_busy(const struct ay_disk *d);

/** ay_disk_order() - STORE_*, OPEN_BUNDLE, FINISH_BUNDLE, DROP_BUNDLE; answered by events, never inside the call. */
void ay_disk_order(struct ay_disk *d, const struct ay_order *order);

/** ay_disk_open() - what OPEN_BUNDLE does; without @create nothing is begun (and -ENOENT told as BUNDLE_GONE). */
void ay_disk_open(struct ay_disk *d, const struct ay_digest *digest, uint64_t size, bool create);
/**
 * ay_disk_adopt() - a whole bundle that lives elsewhere; takes @file over, and tells AY_EV_BUNDLE. May be called only
 * outside of a step. One that is open already is closed again.
 */
void ay_disk_adopt(struct ay_disk *d, const struct ay_digest *digest, struct ay_bundle_file *file);
/**
 * ay_disk_forget() - close bundles that are not among the @n digests of @keep, telling BUNDLE_GONE for each.
 * @elsewhere: those that were adopted, or only the store's own. May be called only outside of a step.
 */
void ay_disk_forget(struct ay_disk *d, bool elsewhere, const struct ay_digest *keep, size_t n);
/** ay_disk_find() - an open bundle or NULL. */
struct ay_disk_bundle *ay_disk_find(struct ay_disk *d, const struct ay_digest *digest);

/* A reference keeps its file open, even when it is dropped meanwhile. */
void ay_disk_bundle_ref(struct ay_disk_bundle *b);
void ay_disk_bundle_unref(struct ay_disk_bundle *b);
struct ay_bundle_file *ay_disk_bundle_file(struct ay_disk_bundle *b);
uint64_t ay_disk_bundle_size(const struct ay_disk_bundle *b);

/** ay_disk_write_block() - check and write; status as ay_bundle_file_write(), -ENOENT when it is not open. */
int ay_disk_write_block(struct ay_disk *d, const struct ay_digest *digest, uint32_t index, const void *data,
			size_t len);
/** ay_disk_write_hashes() - check and keep; status as ay_bundle_file_add_hashes(), -ENOENT. */
int ay_disk_write_hashes(struct ay_disk *d, const struct ay_digest *digest, unsigned level, uint32_t index,
			 const uint8_t *block);

/**
 * ay_disk_job() - run @work on the disk's thread in its turn, then @done on the loop's.
 * @done: is called in any case; @cancelled when the disk was closed before. Return: 0 or -ENOMEM (neither is called).
 */
int ay_disk_job(struct ay_disk *d, void (*work)(void *ctx), void (*done)(void *ctx, bool cancelled),
		void *ctx);

/** ay_disk_problem() - a sentence when the last thing did not work, else "". */
const char *ay_disk_problem(const struct ay_disk *d);

#endif
