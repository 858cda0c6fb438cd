/* SPDX-License-Identifier: MIT */
/*
 * store/patch.h - what `ayni delta` does: the difference between two directories or two files, outside of any store.
 *
 * Directories: an ordinary bundle from one tree's manifest to the other's, unsigned. Files: a bundle between two trees that
 * hold one file of a fixed name, AY_PATCH_FILE, with fixed metadata, so that content alone names them; or the classic format of
 * bsdiff(1) (diff/bsdiff40.h).
 */
#ifndef AYNI_STORE_PATCH_H
#define AYNI_STORE_PATCH_H

#include "diff/make.h"
#include "store/fs.h"
#include "store/losses.h"

#define AY_PATCH_FILE "/content"

enum ay_patch_format { AY_PATCH_BUNDLE, AY_PATCH_BSDIFF40 };

/* A directory or a regular file. Zero-initialise with fd -1: nothing. */
struct ay_patch_side {
	int fd; /* for reading; borrowed */
	bool is_dir;
	const char *name; /* for messages */
};

/* Where the result goes. */
struct ay_patch_to {
	struct ay_fs *fs;
	int parent;       /* an open directory; borrowed */
	const char *name; /* its name there */
	bool replace;     /* a regular file that is there may go; a directory never */
	mode_t mode;      /* of a file */
};

struct ay_patch_made {
	struct ay_make_result bundle;
	bool same;      /* nothing differs */
	uint64_t bytes; /* of all files of the new side */
};

/**
 * ay_patch_make() - write the difference @old → @new_, both directories or both files, to the new file @to.
 * @owner_root: write every owner as 0:0. @options: memory, threads, level; progress.
 *
 * Return: 0 and @made; -EEXIST; AY_ELIMIT a file too large for the memory and the format; what ay_scan() and
 *   ay_bundle_make() return. On failure nothing stays.
 */
int ay_patch_make(const struct ay_patch_side *old, const struct ay_patch_side *new_,
		  enum ay_patch_format format, bool owner_root, const struct ay_make_options *options,
		  const struct ay_patch_to *to, struct ay_patch_made *made, struct ay_err *err);

struct ay_patch_apply {
	bool owner_root;  /* as it was made */
	uint64_t memory;  /* bytes that reading the bundle may use; 0: any */
	unsigned threads; /* that make the new directory's names, in no certain order; 0: one per core */
	uint64_t
		max_size; /* bytes of all files that come out, copies too; 0: any, if there is room for what it brings */
	/* Output bytes. Nonzero stops with that code. May be NULL. */
	int (*progress)(void *ctx, uint64_t done_bytes, uint64_t total_bytes);
	void *progress_ctx;
};

struct ay_patch_result {
	uint64_t bytes, entries;
	bool checked;            /* against a digest in the patch */
	struct ay_digest digest; /* a file's, or a directory's manifest's */
	struct ay_losses losses; /* of a directory, when the caller is not root */
};

/** ay_patch_format_of() - by the first bytes. 0; AY_EFORMAT neither; -errno. */
int ay_patch_format_of(int fd, enum ay_patch_format *format, struct ay_err *err);

/**
 * ay_patch_apply() - @old and the patch in @fd give @to, durably: a directory if @old is one (or nothing), else a file.
 *
 * The result gets its name when it is complete and every digest was found right. @old is only read.
 *
 * Return: 0 and @res; -EEXIST; AY_EBASE @old is not what the patch starts from, or changed; AY_EFORMAT, AY_EDIGEST,
 *   AY_ELIMIT, ... a bad patch; -ENOSPC; -errno. On failure nothing stays.
 */
int ay_patch_apply(const struct ay_patch_side *old, int fd, enum ay_patch_format format,
		   const struct ay_patch_apply *a, const struct ay_patch_to *to, struct ay_patch_result *res,
		   struct ay_err *err);

#endif
