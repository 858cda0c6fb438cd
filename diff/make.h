/* SPDX-License-Identifier: MIT */
/*
 * diff/make.h - making a bundle out of two trees (the publisher's side).
 *
 * diff/match chooses each new file's base (same path; renamed in bulk; same name
 * elsewhere), diff/bsdiff finds copies and differences on several cores, and
 * diff/bundle_writer puts like with like and compresses.
 */
#ifndef AYNI_DIFF_MAKE_H
#define AYNI_DIFF_MAKE_H

#include "diff/bundle.h"
#include "diff/technique.h"
#include "manifest/delta.h"

/* One of the two trees. The manifest says what is in it; open() gives the bytes. */
struct ay_make_tree {
	const void *manifest; /* the manifest's bytes, borrowed; NULL: no tree (from nothing) */
	size_t manifest_len;
	struct ay_digest manifest_digest; /* zeros: no tree */
	/*
	 * Open a regular file's bytes for reading; the caller closes *@fd. Called from several threads. Of @e only
	 * type, path, size and digest are set.
	 */
	int (*open)(void *ctx, const struct ay_entry *e, int *fd, struct ay_err *err);
	void *ctx;
};

struct ay_make_options {
	unsigned threads;      /* 0: one per core */
	uint64_t memory;       /* bytes that diffing may use in all; 0: half of the machine */
	uint64_t apply_memory; /* bytes that applying may use; 0: 400 MiB, with parts of 8 MiB */
	bool no_filters;       /* do not look into what is packed: applying then never packs anything again */
	uint64_t
		work_max; /* bytes that readers may have to go through besides those that they write; 0: as many as they allow */
	int level; /* of zstd; 0: 19 for a diff, 12 for literals of a bundle from nothing, 6 or 3 when @fast */
	/*
	 * For a bundle that somebody waits for: one base a file, nothing unpacked, zstd only, and plain differences but
	 * in ELF files from 16 MiB on: their addresses are predicted, which is quicker there, as long as that is within
	 * @apply_memory (a byte for each of the old file, and at most 38 MiB). Several times as large as without, where
	 * programs below that or packed files changed; made in a fraction of the time.
	 */
	bool fast;
	unsigned without; /* enum ay_technique (diff/technique.h): what not to try, to see what it is worth */
	/*
	 * Called several times a second, from any thread but never from two at once; bytes of the new tree's files, of which those
	 * that are diffed and not written yet count half. Nonzero stops with that code. May be NULL.
	 */
	int (*progress)(void *ctx, uint64_t done_bytes, uint64_t total_bytes);
	void *progress_ctx;
};

struct ay_make_result {
	struct ay_digest bundle;
	uint64_t bundle_size;
	uint64_t unpacked_size;
	uint64_t hole_size;    /* of these, in blocks of zeros, which need not be on a disk */
	uint64_t apply_memory; /* what the offer declares */
	uint32_t encoders;     /* bit i: encoder i (diff/encoders.h) */
	uint8_t cpu;
	uint64_t n_records, n_literal, n_diffed;
};

/**
 * ay_bundle_make() - write the bundle @old → @new_ to @out_fd (a new empty file, read and write).
 *
 * Every file of @new_ whose content is not in @old becomes one record; content is sent once however many
 * entries have it. A file that changes while it is read (its digest is not the manifest's) is AY_EDIGEST.
 *
 * Return: 0 and @res; AY_EFORMAT, AY_EDIGEST, -errno with the path in @err. The caller removes @out_fd's file then.
 */
int ay_bundle_make(const struct ay_make_tree *old, const struct ay_make_tree *new_,
		   const struct ay_make_options *opts, int out_fd, struct ay_make_result *res,
		   struct ay_err *err);

#endif
