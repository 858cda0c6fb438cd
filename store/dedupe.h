/* SPDX-License-Identifier: MIT */
/*
 * store/dedupe.h - equal files of several directories become one: their blocks, or their inodes.
 *
 *     blocks   FIDEDUPERANGE (btrfs, xfs with reflinks): the kernel compares and shares under its own locks, so that
 *              whoever writes meanwhile or later sees and makes no wrong bytes. Metadata stays each file's own.
 *     inodes   hard links, for directories that are declared read-only: one inode for all of the same content, mode,
 *              owner, mtime and attributes. Who writes into one of them afterwards writes into all.
 *
 * Sizes first, then digests: a file whose size nobody shares is never read. Never across file systems, through
 * symbolic links, or into what is mounted inside a directory.
 */
#ifndef AYNI_STORE_DEDUPE_H
#define AYNI_STORE_DEDUPE_H

#include "base/error.h"
#include "store/fs.h"

enum ay_dedupe_skip {
	AY_DEDUPE_IMMUTABLE,  /* immutable or append-only */
	AY_DEDUPE_WRITER,     /* open for writing, or that cannot be known */
	AY_DEDUPE_CHANGED,    /* it changed while we looked */
	AY_DEDUPE_METADATA,   /* equal content, but another mode, owner, mtime or attributes (inodes) */
	AY_DEDUPE_UNREADABLE, /* cannot be read, or not be changed by us */
	AY_DEDUPE_MOUNT,      /* a directory on another file system */
	AY_DEDUPE_STORE, /* an Ayni store, whose files are one already and have to stay apart by metadata (inodes) */
	AY_DEDUPE_SKIPS
};

struct ay_dedupe {
	const char *const *dirs;
	unsigned n_dirs;
	bool read_only;    /* inodes; else blocks */
	bool ignore_mtime; /* inodes: files that differ in mtime only become one, with the oldest's */
	bool dry_run;      /* tell, change nothing */
	unsigned threads;  /* 0: one per core */
	/* @path begins with the directory as it was named. May be NULL. */
	void (*skipped)(void *ctx, enum ay_dedupe_skip why, const char *path);
	int (*progress)(void *ctx, uint64_t done_bytes, uint64_t total_bytes); /* of hashing; may be NULL */
	void *ctx;
};

struct ay_deduped {
	uint64_t files, bytes;           /* regular files seen, each inode once */
	uint64_t read_files, read_bytes; /* whose size another shares */
	uint64_t groups;                 /* contents that several inodes have */
	uint64_t shared_files;           /* files that became one with another now (or would) */
	uint64_t saved_bytes;            /* on the disk */
	uint64_t skipped[AY_DEDUPE_SKIPS];
};

/**
 * ay_dedupe() - do it. Each file is one step: stopped or failed anywhere, all that was done is good.
 *
 * Memory: about 200 bytes and the path for each inode seen.
 *
 * Return: 0; AY_ENOTHING nothing was equal that is not one already; AY_EUNSUPPORTED blocks cannot be shared on this
 *   file system; -errno of a directory that cannot be opened, or of a disk that fails; what progress returned.
 */
int ay_dedupe(struct ay_fs *fs, const struct ay_dedupe *d, struct ay_deduped *out, struct ay_err *err);

#endif
