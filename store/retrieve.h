/* SPDX-License-Identifier: MIT */
/*
 * store/retrieve.h - contents named by digest, out of a repository directory.
 *
 * A repository has no single files, only bundles. Who needs a few contents of a release (a damaged object, the files
 * in which an installed system differs from a release) gets them here:
 *
 *     publisher/                the publisher's own trees of the branch, if they lie there: a copy, checked
 *     bundles to the tree       whose record of the content is literal, or has a base that is here
 *     bundles to other trees    of the branch's releases, likewise
 *     bases                     that are not here are retrieved first, in the same way
 *
 * Each time the bundle that gives most is decoded, and only the records that are wanted are written. A content counts
 * when its digest was found right, wherever it came from.
 *
 * Whose bytes: only offers that are believed for the branch are looked at, and only the branch's own trees in publisher/. So a
 * branch gets here what its own publisher gives out, and nothing of another owner's.
 */
#ifndef AYNI_STORE_RETRIEVE_H
#define AYNI_STORE_RETRIEVE_H

#include "store/repo.h"

/* One content that is wanted. */
struct ay_wanted {
	struct ay_digest digest;
	uint64_t size;
	bool got; /* out: it lies in the directory */
};

struct ay_retrieve {
	struct ay_store *s;         /* for its file system seam and messages */
	struct ay_repo *repo;       /* NULL: the bundles and offers that the store @s itself keeps */
	const struct ay_root *root; /* with it releases and offers are believed */
	const char *branch;
	struct ay_digest manifest; /* the tree that wants them: bundles to it are tried first; zeros: none */
	uint64_t memory;           /* leave out bundles that need more than this to decode; 0: any */
	int dirfd;                 /* where the contents go */
	/*
	 * A content that the caller has, as base of a difference: 0 and an fd to read from, which is closed here; -ENOENT.
	 * One that is not what its digest says spoils what is made of it (which is seen), so give good ones. NULL: none.
	 */
	int (*base)(void *ctx, const struct ay_digest *d, uint64_t size, int *fd);
	/* Bytes of wanted contents so far. Nonzero stops with that code. May be NULL. */
	int (*progress)(void *ctx, uint64_t done_bytes, uint64_t total_bytes);
	void *ctx;
};

struct ay_retrieved {
	uint64_t contents, bytes; /* of those wanted */
	unsigned bundles;         /* decoded */
	uint64_t from_publisher;  /* contents copied out of publisher/ */
};

/**
 * ay_retrieve() - get the contents @wanted into @how->dirfd, each in a new file named by its digest (64 hex digits),
 * mode 0600, not synced. A file of that name that is there already counts if it has the digest, else it is replaced.
 * @wanted: is sorted by digest; a digest should be there once. @out: may be NULL.
 *
 * Memory: a record table's hits (a bit per bundle and content), and what decoding the largest bundle needs. The caller
 * has seen to room on the disk. Bases that had to be retrieved too are removed again.
 *
 * Return: 0 all were got; AY_ENOTHING some cannot be had here, with a sentence that names the first and why: @wanted
 *   says which were got, and those are good; -ENOSPC, -EIO, ... of writing; -ENOMEM; what @how->progress returned.
 */
int ay_retrieve(const struct ay_retrieve *how, struct ay_wanted *wanted, size_t n, struct ay_retrieved *out,
		struct ay_err *err);

#endif
