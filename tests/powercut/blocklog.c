/* SPDX-License-Identifier: MIT */
/* The log of a disk in shared memory. Its room is reserved, not taken: what is never written costs nothing. */
#include "tests/powercut/blocklog.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define EVENTS_MAX (1u << 20)
#define DATA_MAX   (2ull << 30) /* a story writes a few dozen MiB */
#define MAGIC      "ayni-blocklog 1\n"

static void *room(uint64_t bytes)
{
	void *p =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return p == MAP_FAILED ? NULL : p;
}

struct blk_log *blk_log_new(uint64_t disk_size)
{
	struct blk_log *log = room(sizeof(*log));

	if (!log)
		return NULL;
	log->disk_size = disk_size;
	log->base = room(disk_size);
	log->disk = room(disk_size);
	log->data = room(DATA_MAX);
	log->events = room(EVENTS_MAX * sizeof(*log->events));
	if (log->base && log->disk && log->data && log->events)
		return log;
	blk_log_free(log);
	return NULL;
}

void blk_log_free(struct blk_log *log)
{
	if (!log)
		return;
	if (log->base)
		munmap(log->base, log->disk_size);
	if (log->disk)
		munmap(log->disk, log->disk_size);
	if (log->data)
		munmap(log->data, DATA_MAX);
	if (log->events)
		munmap(log->events, EVENTS_MAX * sizeof(*log->events));
	munmap(log, sizeof(*log));
}

void blk_log_reset(struct blk_log *log)
{
	madvise(log->base, log->disk_size, MADV_REMOVE);
	madvise(log->disk, log->disk_size, MADV_REMOVE);
	madvise(log->data, DATA_MAX, MADV_REMOVE);
	log->n = log->data_len = log->n_writes = log->n_flushes = 0;
	log->full = false;
}

void blk_log_add(struct blk_log *log, enum blk_kind kind, uint64_t off, const void *bytes, uint32_t len)
{
	uint64_t stored = bytes ? len : 0;

	if (log->n == EVENTS_MAX || log->data_len + stored + BLOCK > DATA_MAX ||
	    ((kind == BLK_WRITE || kind == BLK_TRIM) &&
	     (off > log->disk_size || len > log->disk_size - off))) {
		log->full = true;
		return;
	}
	struct blk_event *e = &log->events[log->n];
	*e = (struct blk_event){.off = off, .data = log->data_len, .len = len, .kind = kind};
	if (bytes)
		memcpy(log->data + log->data_len, bytes, len);
	/* Blocks of the disk begin at blocks of memory, so that comparing and copying them is quick. */
	log->data_len += (stored + 63) / 64 * 64;
	if (kind == BLK_WRITE)
		memcpy(log->disk + off, bytes, len);
	else if (kind == BLK_TRIM)
		memset(log->disk + off, 0, len);
	log->n_writes += kind == BLK_WRITE;
	log->n_flushes += kind == BLK_FLUSH;
	log->n++;
}

static bool put(FILE *f, const void *p, uint64_t len)
{
	return fwrite(p, 1, len, f) == len;
}

/* The first disk is mostly empty; so is the file. */
static bool put_sparse(FILE *f, const uint8_t *p, uint64_t len)
{
	static const uint8_t zeros[BLOCK];
	bool ok = true;

	for (uint64_t at = 0; at < len && ok; at += BLOCK)
		ok = memcmp(p + at, zeros, BLOCK) == 0 ? fseeko(f, BLOCK, SEEK_CUR) == 0
						       : put(f, p + at, BLOCK);
	return ok;
}

int blk_log_save(const struct blk_log *log, const char *path)
{
	FILE *f = fopen(path, "we");
	struct blk_log head = *log;

	if (!f)
		return -errno;
	bool ok = put(f, MAGIC, sizeof(MAGIC)) && put(f, &head, sizeof(head)) &&
		  put_sparse(f, log->base, log->disk_size) &&
		  put(f, log->events, log->n * sizeof(*log->events)) && put(f, log->data, log->data_len);
	if (fclose(f) != 0 || !ok) {
		unlink(path);
		return -EIO;
	}
	return 0;
}

static bool get(FILE *f, void *p, uint64_t len)
{
	return fread(p, 1, len, f) == len;
}

int blk_log_load(const char *path, struct blk_log **out)
{
	char magic[sizeof(MAGIC)];
	struct blk_log head, *log = NULL;
	FILE *f = fopen(path, "re");
	int r = f ? -EINVAL : -errno;

	if (f && get(f, magic, sizeof(magic)) && memcmp(magic, MAGIC, sizeof(magic)) == 0 &&
	    get(f, &head, sizeof(head)) && head.n <= EVENTS_MAX && head.data_len <= DATA_MAX &&
	    (log = blk_log_new(head.disk_size)) != NULL) {
		head.base = log->base;
		head.disk = log->disk;
		head.data = log->data;
		head.events = log->events;
		*log = head;
		if (get(f, log->base, log->disk_size) && get(f, log->events, log->n * sizeof(*log->events)) &&
		    get(f, log->data, log->data_len))
			r = 0;
	}
	if (f)
		fclose(f);
	if (r == 0)
		*out = log;
	else
		blk_log_free(log);
	return r;
}
