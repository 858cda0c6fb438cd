/* SPDX-License-Identifier: MIT */
/*
 * tests/powercut/blocklog.h - everything that a disk was told, in order.
 *
 *     WRITE  offset, bytes      TRIM  offset, length      FLUSH      MARK  text
 *
 * Lies in memory that the disk's process and the replaying processes share; can be saved to a file and loaded.
 * A mark is what the story says of itself between the writes (tests/powercut/promise.h).
 */
#ifndef AYNI_TESTS_POWERCUT_BLOCKLOG_H
#define AYNI_TESTS_POWERCUT_BLOCKLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BLOCK 4096u

enum blk_kind { BLK_WRITE, BLK_TRIM, BLK_FLUSH, BLK_MARK };

struct blk_event {
	uint64_t off;
	uint64_t data; /* where its bytes begin in blk_log.data */
	uint32_t len;
	uint32_t kind;
};

struct blk_log {
	uint64_t disk_size;
	uint8_t *base; /* the disk before the first event */
	uint8_t *disk; /* the disk as it is now */
	uint8_t *data; /* bytes of all events */
	struct blk_event *events;
	uint64_t n, data_len, n_writes, n_flushes;
	bool full; /* an event found no room: the recording is worth nothing */
	char fs[16];
	uint64_t seed;
	char skip[1024]; /* which syncs were left out; "" none */
};

/** blk_log_new() - room in shared memory for a disk of @disk_size bytes and all that happens to it. */
struct blk_log *blk_log_new(uint64_t disk_size);
void blk_log_free(struct blk_log *log);
/** blk_log_reset() - no events, an empty disk; its memory goes back to the system. */
void blk_log_reset(struct blk_log *log);
/** blk_log_add() - append; the disk changes with it. For BLK_TRIM @bytes is NULL. */
void blk_log_add(struct blk_log *log, enum blk_kind kind, uint64_t off, const void *bytes, uint32_t len);

/** blk_log_save(), blk_log_load() - 0 or -errno. Only this build's and this machine's to read. */
int blk_log_save(const struct blk_log *log, const char *path);
int blk_log_load(const char *path, struct blk_log **out);

#endif
