/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as a scan cache: what is taken is written again as the very same bytes, and no row of it is racy.
 * With the checksum alone nothing would come through, so the first look is at the bytes with a right one.
 */
#include <stdlib.h>
#include <string.h>

#include "store/scan_cache.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void look(const uint8_t *data, size_t len)
{
	struct ay_scan_cache c;
	struct ay_buf out = {0};
	struct ay_err err = {0};
	int r = ay_scan_cache_decode(data, len, &c, &err);

	AY_ASSERT(r == 0 || (r == err.code && err.msg[0]));
	for (size_t i = 0; r == 0 && i < c.n; i++) {
		const struct ay_scan_row *row = &c.rows[i];
		const struct stat st = {.st_dev = row->dev,
					.st_ino = row->ino,
					.st_size = (off_t)row->size,
					.st_mtim = {.tv_sec = row->mtime_s, .tv_nsec = row->mtime_ns},
					.st_ctim = {.tv_sec = row->ctime_s, .tv_nsec = row->ctime_ns}};
		AY_ASSERT(ay_scan_cache_find(&c, &st) == &row->digest);
		AY_ASSERT(row->ctime_s < c.began_s ||
			  (row->ctime_s == c.began_s && row->ctime_ns < c.began_ns));
	}
	if (r == 0) {
		AY_ASSERT(ay_scan_cache_encode(&c, &out) == 0);
		AY_ASSERT(out.len == len && memcmp(out.data, data, len) == 0);
	}
	ay_scan_cache_release(&c);
	ay_buf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t *copy = len >= AY_SCAN_CACHE_HEAD ? malloc(len) : NULL;

	look(data, len);
	if (copy) {
		memcpy(copy, data, len);
		ay_sha256(copy + AY_SCAN_CACHE_HEAD, len - AY_SCAN_CACHE_HEAD,
			  copy + AY_SCAN_CACHE_HEAD - 32);
		look(copy, len);
	}
	free(copy);
	return 0;
}
