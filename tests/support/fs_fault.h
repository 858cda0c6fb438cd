/* SPDX-License-Identifier: MIT */
/*
 * tests/support/fs_fault.h - the seam of store/fs.h with faults: the Nth change of the disk goes wrong.
 *
 * Calls that change something are counted from 1 (open only with O_CREAT or O_TRUNC). At
 * call @at:
 *
 *     AY_FAULT_ONCE     it fails with @error and does nothing; later ones work
 *     AY_FAULT_FOREVER  it and all later ones fail (a disk that is full, or went read-only)
 *     AY_FAULT_KILL     the process ends there, as by kill -9; give it a child of its own
 *
 * With AY_FAULT_FOREVER and ENOSPC what frees room still works, as on a real disk: unlink, rename, truncate, syncs.
 */
#ifndef AYNI_TESTS_SUPPORT_FS_FAULT_H
#define AYNI_TESTS_SUPPORT_FS_FAULT_H

#include <stdio.h>

#include "store/fs.h"

enum fs_fault_kind { AY_FAULT_NONE, AY_FAULT_ONCE, AY_FAULT_FOREVER, AY_FAULT_KILL };

#define FS_FAULT_EXIT 77 /* status of a killed child */

struct fs_fault {
	struct ay_fs fs; /* give &fault.fs to the store */
	enum fs_fault_kind kind;
	unsigned at;
	int error;          /* positive errno */
	unsigned calls;     /* so far */
	const char *failed; /* name of the call that was made to fail; NULL: none yet */
	unsigned of[32];    /* calls by function, in the order of struct ay_fs_ops */
	int reflink_error;  /* if set, every reflink gives it: file systems without, and with, both count */
	bool verity;        /* fs-verity is counted and may fail like any other call */
	bool syncs_off; /* syncs are counted and may fail, but ask nothing of the disk: a killed process loses none */
	unsigned links_max; /* if set, link gives EMLINK for an inode that has so many */
	FILE *trace; /* if set, a line per change of names and per sync, with the state of the store's lock;
				paths behind @trace_root */
	const char *trace_root;
};

/** fs_fault_init() - no faults yet: count only. Set kind, at and error then. */
void fs_fault_init(struct fs_fault *f);

#endif
