/* SPDX-License-Identifier: MIT */
/*
 * store/adopt.h - an existing directory becomes a branch's first release in a store.
 *
 * Either nobody has published it yet: then it is scanned and signed here (ay_store_adopt_new). Or it is, more or
 * less, what a release says: then each file that is right is taken from it, and only what it lacks comes
 * from a repository (ay_store_adopt_match).
 *
 *     files      by reflink, else by copy; each is hashed as it is read, so that an object is what its name says.
 *                With @read_only_source the very inode, if its metadata is right; else a copy all the same.
 *     commit     as every tree (store/build.c): durable, old or new
 *     source     only read. Who links it promises that nobody writes to its files from then on.
 */
#ifndef AYNI_STORE_ADOPT_H
#define AYNI_STORE_ADOPT_H

#include "base/bytes.h"
#include "store/repo.h"

/* How a path of the directory differs from the release. */
enum ay_adopt_diff {
	AY_ADOPT_MISSING,  /* it is not there, or is of another type */
	AY_ADOPT_CHANGED,  /* other content, or another link target or device */
	AY_ADOPT_METADATA, /* the same, but for mode, owner, mtime or xattrs */
	AY_ADOPT_EXTRA,    /* the release does not have it */
	AY_ADOPT_SKIPPED, /* a directory that was not looked into: the store, another file system, unreadable */
	AY_ADOPT_UNREADABLE, /* what it is cannot be known: ay_adopted.unreadable says why */
	AY_ADOPT_DIFFS
};

enum ay_adopt_mounts {
	AY_ADOPT_MOUNTS_REFUSE, /* an error that names the first */
	AY_ADOPT_MOUNTS_SKIP,   /* the mount point as an empty directory */
	AY_ADOPT_MOUNTS_TAKE,   /* with what is in it */
};

struct ay_adopt {
	const char *branch;
	int dirfd;       /* the directory, O_RDONLY | O_DIRECTORY */
	const char *dir; /* its name in messages */
	bool read_only_source;
	enum ay_adopt_mounts mounts; /* ay_store_adopt_new() only */
	unsigned threads;            /* 0: one per core */
	struct ay_repo *repo;        /* ay_store_adopt_match(): for contents; NULL: none are fetched */
	/* Told for each difference, in no order. May be NULL. */
	void (*differs)(void *ctx, enum ay_adopt_diff what, const char *path);
	/* Bytes read or fetched so far. Nonzero stops with that code. May be NULL. */
	int (*progress)(void *ctx, uint64_t done_bytes, uint64_t total_bytes);
	void *ctx;
};

struct ay_adopted {
	uint64_t entries, files, bytes; /* of the release */
	struct {
		uint64_t files, bytes;
	} linked, reflinked, copied, present, fetched; /* contents; present: an equal one had come before */
	uint64_t moved;                                /* of these, found under another name */
	uint64_t writers;                /* files that were to be linked but are open for writing: copied */
	uint64_t differ[AY_ADOPT_DIFFS]; /* ay_store_adopt_match() */
	int unreadable;                  /* -errno of the first AY_ADOPT_UNREADABLE */
};

/**
 * ay_store_adopt_new() - scan the directory and make it branches/BRANCH/SERIAL, durably. Does not switch.
 * @sign: gets what was scanned and gives back the signed release, which is checked with the store's own root. @sign_ctx.
 * A file that changes while it is read is an error: a release is signed only of what stood still.
 *
 * Return: 0; AY_ENOTHING the same release is here; AY_EUSAGE the directory holds the store or lies in it, or holds
 *   another file system (see @mounts); AY_EBUSY a file changed, or another process makes a tree of this branch;
 *   AY_EROLE, AY_ESIG the release is not to be believed, or the branch's limits do not allow an entry;
 *   AY_EUNSUPPORTED a socket; -ENOSPC with how much is missing; other -errno; what @sign or progress returned.
 *   In every failure the store is as it was before.
 */
int ay_store_adopt_new(struct ay_store *s, const struct ay_adopt *a,
		       int (*sign)(void *ctx, uint64_t entries, uint64_t bytes,
				   const struct ay_digest *manifest, uint64_t manifest_size,
				   struct ay_buf *envelope, struct ay_err *err),
		       void *sign_ctx, struct ay_adopted *out, struct ay_err *err);

/**
 * ay_store_adopt_match() - make the tree that @release names, with files of the directory where they are right.
 * @manifest_fd: that release's manifest, from offset 0; checked. Does not switch.
 * What the directory has besides is left out. A file that cannot be read (its disk fails, it is closed to us) is told as such and
 * had from elsewhere, one that changes all the time as missing; that we lack descriptors or memory to look is an error.
 *
 * Return: 0; AY_ENOTHING the tree is here; AY_EUSAGE the directory lies in the store; AY_EBASE some contents are
 *   neither in the directory nor to be had from the repository: @out tells what differs; the errors of
 *   ay_store_import(). In every failure the store is as it was before.
 */
int ay_store_adopt_match(struct ay_store *s, const struct ay_adopt *a, const void *release,
			 size_t release_len, int manifest_fd, struct ay_adopted *out, struct ay_err *err);

/**
 * ay_adopt_guess() - how many bytes the directory lacks of the manifest @manifest_fd, judged by names, sizes and times
 * alone: for choosing among releases before anything is read.
 * @lacking: of files that are not there with that size. @uncertain: of those that have it, but another mtime.
 */
int ay_adopt_guess(int dirfd, int manifest_fd, uint64_t *lacking, uint64_t *uncertain, struct ay_err *err);

#endif
