/* SPDX-License-Identifier: MIT */
/*
 * store/scan_cache.h - which files were read before, and what their digests were.
 *
 *     "ayni-scan-cache\n"  u32 version 1  u32 zero  u64 n
 *     i64 began seconds  u32 began nanoseconds  u32 zero                   when the scan that wrote it began
 *     32 bytes: SHA-256 of all that follows
 *     n rows: u64 device  u64 inode  u64 size  i64 mtime s  i64 ctime s  u32 mtime ns  u32 ctime ns  digest
 *
 * (little-endian; rows sorted by device and inode, each pair once.) A row says: an inode that stat(2)
 * shows like this has this content. The kernel moves ctime at each change, and nobody can set it. But its clock
 * ticks: a file changed twice in one tick looks unchanged. So a row whose ctime is not older than the
 * scan's beginning is neither written nor accepted (git calls such a file racily clean). A cache of any other form
 * is no cache. Limit: AY_SCAN_CACHE_ROWS_MAX. Version history: 1 (first).
 */
#ifndef AYNI_STORE_SCAN_CACHE_H
#define AYNI_STORE_SCAN_CACHE_H

#include <sys/stat.h>

#include "base/bytes.h"
#include "base/digest.h"
#include "base/error.h"

#define AY_SCAN_CACHE_HEAD     80
#define AY_SCAN_CACHE_ROW      80
#define AY_SCAN_CACHE_ROWS_MAX (1u << 23) /* more entries than a manifest of AY_MANIFEST_SIZE_MAX holds */

struct ay_scan_row {
	uint64_t dev, ino, size;
	int64_t mtime_s, ctime_s;
	uint32_t mtime_ns, ctime_ns;
	struct ay_digest digest;
};

/* Zero-initialise; then it is an empty one. */
struct ay_scan_cache {
	int64_t began_s;
	uint32_t began_ns;
	struct ay_scan_row *rows;
	size_t n, cap;
};
void ay_scan_cache_release(struct ay_scan_cache *c);

/** ay_scan_cache_begin() - note the kernel's time: before the first look at the tree. */
void ay_scan_cache_begin(struct ay_scan_cache *c);
/** ay_scan_cache_add() - remember a file, in any order; what is racy is left out. 0, -ENOMEM, AY_ELIMIT. */
int ay_scan_cache_add(struct ay_scan_cache *c, const struct stat *st, const struct ay_digest *d);
/** ay_scan_cache_encode() - sort @c and append its bytes to @out. 0 or ay_buf_status(). */
int ay_scan_cache_encode(struct ay_scan_cache *c, struct ay_buf *out);
/**
 * ay_scan_cache_decode() - @c: released by the caller in any case.
 * Return: 0; AY_EFORMAT, AY_EVERSION, AY_ELIMIT: go on without; -ENOMEM.
 */
int ay_scan_cache_decode(const void *data, size_t len, struct ay_scan_cache *c, struct ay_err *err);
/** ay_scan_cache_find() - the digest of the file that @st shows, if a sorted @c knows it exactly. NULL: read it. */
const struct ay_digest *ay_scan_cache_find(const struct ay_scan_cache *c, const struct stat *st);

#endif
