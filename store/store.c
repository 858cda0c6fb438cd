/* SPDX-License-Identifier: MIT */
/*
 * What every part of the store asks of the open store: its lock, its options, room
 * on its file system. Opening is store/open.c, which stands above the parts.
 */
#include "store/store_internal.h"

#include <errno.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/statvfs.h>

#include "base/cleanup.h"
#include "store/crew.h"
#include "store/hash_pool.h"

#define REMOVERS_PER_CORE 4

const char *ay_store_path(const struct ay_store *s)
{
	return s->path;
}

bool ay_store_owner_me(const struct ay_store *s)
{
	return s->owner_me;
}

void ay_store_on_losses(struct ay_store *s, ay_losses_fn fn, void *ctx)
{
	s->on_losses = fn;
	s->on_losses_ctx = ctx;
}

void ay_store_set_threads(struct ay_store *s, unsigned threads)
{
	s->threads = threads;
}

struct ay__crew *ay__store_crew(const struct ay_store *s)
{
	return ay__crew_new(s->threads ? s->threads : ay__cpu_count());
}

struct ay__crew *ay__store_removers(const struct ay_store *s)
{
	return ay__crew_new(s->threads ? s->threads : REMOVERS_PER_CORE * ay__cpu_count());
}

int ay__store_writable(const struct ay_store *s, struct ay_err *err)
{
	if (s->readonly)
		return ay_err_set(err, -EROFS, "store %s was opened for reading only", s->path);
	return 0;
}

/*
 * flock() has no queue: adders that overlap would keep the collector waiting for ever, and a collector that comes back at
 * once after each slice is faster than whoever it woke. So all who want the lock wait at a gate, and only one at a
 * time waits for the lock itself; nobody passes it by.
 */
int ay__store_lock(struct ay_store *s, int op, struct ay_err *err)
{
	int r = ay__lock(s->tmp, LOCK_EX);

	if (r == 0) {
		r = ay__lock(s->lock, op);
		ay__lock(s->tmp, LOCK_UN);
	}
	return r < 0 ? ay_err_errno(err, -r, "cannot lock %s/lock", s->path) : 0;
}

void ay__store_unlock(struct ay_store *s)
{
	ay__lock(s->lock, LOCK_UN);
}

/* "412.3 MiB" */
static const char *human(uint64_t bytes, char out[32])
{
	if (bytes < 1u << 20)
		snprintf(out, 32, "%.1f KiB", (double)bytes / 1024);
	else
		snprintf(out, 32, "%.1f MiB", (double)bytes / (1u << 20));
	return out;
}

int ay__store_reserve(struct ay_store *s, uint64_t bytes, uint64_t inodes, struct ay_err *err)
{
	struct statvfs v;
	char a[32], b[32], c[32];

	if (fstatvfs(s->dir, &v) < 0)
		return ay_err_errno(err, errno, "cannot ask how much room %s has", s->path);
	/* Each inode ends in a part of a block and has a name; a little goes to the file system's own trees. */
	uint64_t block = v.f_frsize ? v.f_frsize : 4096, need, free_bytes;
	if (__builtin_mul_overflow(inodes, block, &need) || __builtin_add_overflow(need, bytes, &need) ||
	    __builtin_add_overflow(need, bytes / 64, &need) ||
	    __builtin_add_overflow(need, s->reserve, &need))
		return ay_err_set(err, AY_ELIMIT, "more bytes than any disk has are asked for");
	if (__builtin_mul_overflow((uint64_t)v.f_bavail, block, &free_bytes))
		free_bytes = UINT64_MAX;
	if (need > free_bytes)
		return ay_err_set(
			err, -ENOSPC,
			"no room in %s: %s are needed%s, %s are free, %s are missing; delete files on that "
			"file system or run `ayni gc`",
			s->path, human(need, a), s->reserve ? " with the reserve" : "", human(free_bytes, b),
			human(need - free_bytes, c));
	if (v.f_files > 0 && inodes > v.f_favail)
		return ay_err_set(
			err, -ENOSPC,
			"no inodes in %s: %llu are needed, %llu are free, %llu are missing; delete files on "
			"that file system or run `ayni gc`",
			s->path, (unsigned long long)inodes, (unsigned long long)v.f_favail,
			(unsigned long long)(inodes - v.f_favail));
	return 0;
}
