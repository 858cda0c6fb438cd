/* SPDX-License-Identifier: MIT */
/*
 * store/scratch.h - the temporary files of who reads a bundle (diff/bundle.h): in staging, without names, written one at a time.
 */
#ifndef AYNI_STORE_SCRATCH_H
#define AYNI_STORE_SCRATCH_H

#include "diff/bundle.h"
#include "store/object.h"

/* Init; release. */
struct ay__scratch {
	struct ay_bundle_scratch ops; /* for the sink */
	struct ay_fs *fs;
	int dir;
	struct ay__fd_writer *out; /* owned; made when there is a need */
};

/** ay__scratch_init() - files are made in @dir, borrowed; names there must not be "unpacked". */
void ay__scratch_init(struct ay__scratch *s, struct ay_fs *fs, int dir);
void ay__scratch_release(struct ay__scratch *s);

#endif
