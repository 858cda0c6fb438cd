/* SPDX-License-Identifier: MIT */
/*
 * store/scan.h - a directory becomes a manifest.
 *
 * Walks with held directory fds, never follows a symlink, hashes files on all
 * cores, writes entries in the manifest's order. Sockets are refused (they cannot
 * be shipped). A file that changes while it is read is an error, not a guess.
 */
#ifndef AYNI_STORE_SCAN_H
#define AYNI_STORE_SCAN_H

#include "manifest/manifest.h"
#include "store/scan_cache.h"

struct ay_scan_options {
	unsigned threads;                  /* 0: one per core */
	bool owner_root;                   /* write every owner as 0:0 (a plain user publishes) */
	const struct ay_scan_cache *known; /* files in it are not read; NULL: read all */
	struct ay_scan_cache *seen;        /* an empty one: gets a row for each file; NULL: not wanted */
};

struct ay_scan_totals {
	uint64_t entries, files, bytes;
	uint64_t read_files, read_bytes; /* of these: opened and hashed, not known before */
	struct ay_digest manifest;
	uint64_t manifest_size;
};

/** ay_scan() - scan the directory @dirfd (named @name in messages) and write its manifest. */
int ay_scan(int dirfd, const char *name, const struct ay_scan_options *opts, ay_write_fn write, void *ctx,
	    struct ay_scan_totals *totals, struct ay_err *err);

#endif
