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

struct ay__hash_job;
struct ay__hash_pool;
struct stat;

/* Inside store/: who wants to do more with each file than hash it. */
struct ay__scan_hook {
	void *ctx;
	struct ay__hash_pool *pool; /* for the jobs; the scan takes it over */
	size_t job_size;            /* of what begins with a struct ay__hash_job */
	/* The entry is complete but for its digest; fd and before are set; it lives until the job is done. */
	void (*job)(void *ctx, struct ay__hash_job *job, const struct ay_entry *e);
	/* Each directory but the first: 0; 1 leave out what is in it; negative. */
	int (*dir)(void *ctx, const char *path, const struct stat *st, struct ay_err *err);
	/* Each entry, complete, in order. */
	int (*entry)(void *ctx, const struct ay_entry *e, struct ay_err *err);
};

struct ay_scan_options {
	unsigned threads;                  /* 0: one per core */
	bool owner_root;                   /* write every owner as 0:0 (a plain user publishes) */
	const struct ay_scan_cache *known; /* files in it are not read; NULL: read all */
	struct ay_scan_cache *seen;        /* an empty one: gets a row for each file; NULL: not wanted */
	const struct ay__scan_hook *hook;  /* NULL */
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
