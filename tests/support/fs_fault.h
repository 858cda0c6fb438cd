/* SPDX-License-Identifier: MIT */
/*
 * tests/support/fs_fault.h - the seam of store/fs.h with faults: the Nth change of the disk goes wrong.
 *
 * Calls that change something are counted from 1 (open only with O_CREAT or O_TRUNC). At
 * call @at:
 *
 *     AY_FAULT_ONCE         it fails with @error and does nothing; later ones work
 *     AY_FAULT_FOREVER      it and all later ones fail (a disk that is full, or went read-only)
 *     AY_FAULT_SHORT        a write writes the first half only; AY_FAULT_SHORT_FOREVER: and all later ones too
 *     AY_FAULT_KILL         SIGKILL before it; AY_FAULT_KILL_AFTER: behind it; give it a process of its own
 *
 * Only calls that may fail so are counted and met: with ENOSPC and EDQUOT, from then on, not what frees room (unlink,
 * rename, truncate, syncs); EDQUOT what takes some; EMFILE open; EINTR what may wait for a disk; a short write only
 * writes. For what opens to read, which does not pass here, see fs_fault_few_fds().
 */
#ifndef AYNI_TESTS_SUPPORT_FS_FAULT_H
#define AYNI_TESTS_SUPPORT_FS_FAULT_H

#include <stdio.h>

#include "store/fs.h"

enum fs_fault_kind {
	AY_FAULT_NONE,
	AY_FAULT_ONCE,
	AY_FAULT_FOREVER,
	AY_FAULT_KILL,
	AY_FAULT_KILL_AFTER,
	AY_FAULT_SHORT,
	AY_FAULT_SHORT_FOREVER
};

/* Every way in which a system call fails; ends without a name. */
struct fs_fault_case {
	const char *name;
	enum fs_fault_kind kind;
	int error;
};
extern const struct fs_fault_case fs_fault_cases[];

struct fs_fault {
	struct ay_fs fs; /* give &fault.fs to the store */
	enum fs_fault_kind kind;
	unsigned at;
	int error;          /* positive errno */
	unsigned calls;     /* so far */
	unsigned met;       /* of these, such as may fail so; @at counts them */
	bool due;           /* the call in hand is the one */
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
/** fs_fault_set() - from now on @c, at the @at-th call that may fail so. */
void fs_fault_set(struct fs_fault *f, const struct fs_fault_case *c, unsigned at);
/** fs_fault_may_succeed() - may all go well although @c was met? A call is retried, or a write goes on. */
bool fs_fault_may_succeed(const struct fs_fault_case *c);
/** fs_fault_was_killed() - is @status, of waitpid(), that of a process that the fault killed? */
bool fs_fault_was_killed(int status);
/** fs_fault_few_fds() - this process, a child, may open @n more files: EMFILE for good, also where it reads. */
void fs_fault_few_fds(unsigned n);

#endif
