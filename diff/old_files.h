/* SPDX-License-Identifier: MIT */
/*
 * diff/old_files.h - the contents of the manifest that a bundle starts from, by number.
 *
 * Who applies a bundle has that manifest, every base's digest in it. A record that says which of them is its base takes a byte
 * where the digest would take 32, which no codec makes smaller (diff/targets.h does the same for what comes out).
 *
 * Numbers count the manifest's lines that begin with "f ", from 0. What is kept of it is where every 64th of them begins: a
 * million files take 125 kB.
 */
#ifndef AYNI_DIFF_OLD_FILES_H
#define AYNI_DIFF_OLD_FILES_H

#include "base/bytes.h"
#include "base/digest.h"
#include "base/error.h"

#define AY__OLD_FILES_BUFFER 4096

/* Zero-initialise: a manifest without files. Release. */
struct ay_old_files {
	int fd;
	bool from_fd;       /* else @mem */
	const uint8_t *mem; /* borrowed */
	uint64_t size;
	uint64_t n;
	uint64_t *marks; /* where the line of number i times 64 begins; owned */
	size_t n_marks, cap_marks;
	uint8_t buffer[AY__OLD_FILES_BUFFER];
	uint64_t at; /* what is in it */
	size_t len;
};

/**
 * ay_old_files_open_fd() - count the files of the manifest in @fd. It has been, or will be, found to be the right one by
 * somebody else: nothing is checked here but that it can be read. Takes ownership of @fd in any case.
 *
 * Return: 0; -errno of reading, -ENOMEM.
 */
int ay_old_files_open_fd(struct ay_old_files *x, int fd, struct ay_err *err);

/** ay_old_files_open_mem() - the same of a manifest in memory, borrowed until the release. */
int ay_old_files_open_mem(struct ay_old_files *x, const void *data, size_t len, struct ay_err *err);

void ay_old_files_release(struct ay_old_files *x);

/** ay_old_files_get() - the digest of number @i. 0; AY_ENOTHING there is none, nothing is said; -errno of reading. */
int ay_old_files_get(struct ay_old_files *x, uint64_t i, struct ay_digest *d, struct ay_err *err);

#endif
