/* SPDX-License-Identifier: MIT */
/*
 * tests/support/fs_crash.h - the seam of store/fs.h over a disk that forgets.
 *
 * The store works on a real directory; beside it a log is kept (tests/support/crash_log.h) of
 * what was changed and what was synced, and from the log any state can be built that a power cut may leave.
 * Syncs cost nothing: the disk is the log.
 *
 * Every call that changes something or syncs is counted from 1 and may go wrong:
 *
 *     kill_at     the process dies there: this call and all later ones do nothing. Its memory is gone too, so close
 *                 the store and open it anew; then kill_at may be set again. What it did is in the kernel and may yet
 *                 come to the disk.
 *     fail_at     a sync that fails, as Linux fails one: the pages that it was to write stay in the cache, are marked as
 *                 clean, and never come to the disk by a later sync. With @names_too, and where one file or directory
 *                 was to be synced, so do its names (renames are two) and metadata: as on a file system without a
 *                 journal. Of a failed syncfs they stay dirty: a file system that cannot write its journal
 *                 changes nothing any more.
 *     mutant      one sync of the store left out, as if its line were not there; or done after the next rename or removal
 *                 that should have waited for it
 *
 * A mutant is named by what is synced where: "LABEL OP PATH #N @S", the Nth such sync since the label was set (of syncfs; all
 * others are one), from the S-th place in the program. Names in PATH that differ from run to run are starred.
 */
#ifndef AYNI_TESTS_SUPPORT_FS_CRASH_H
#define AYNI_TESTS_SUPPORT_FS_CRASH_H

#include "store/fs.h"
#include "tests/support/crash_log.h"

enum crash_mutation { CRASH_LEFT_OUT, CRASH_TOO_LATE };

/* The places in the program that sync, numbered as they are met. May be shared by several disks, and then agrees. */
struct crash_sites {
	const void *at[256];
	bool useful[256]; /* something was not durable yet that such a sync was for */
	unsigned n;
};

struct fs_crash {
	struct ay_fs fs; /* give &crash.fs to the store */
	struct crash_log log;
	char root[256];
	uint32_t calls;        /* so far */
	uint32_t kill_at;      /* 0: never */
	uint32_t kill_at_sync; /* likewise, before the Nth sync from now: when most is at stake */
	bool dead;             /* it was reached */
	uint32_t fail_at;
	bool names_too; /* what fails then loses names and metadata as well: a later sync says nothing of them */
	unsigned links_max; /* if set, link gives EMLINK for an inode that has so many */
	bool failed;        /* it was a sync, and it was reached */
	const char *mutant; /* borrowed; NULL: none */
	enum crash_mutation mutation;
	bool late;            /* a mutated sync waits for the next rename or removal */
	bool late_met;        /* which came */
	uint32_t late_before; /* for changes up to this call */
	enum crash_sync late_kind;
	uint32_t late_inode;
	char label[32];
	struct crash_synced {
		char *name;
		bool waits; /* until the label changes */
		bool overtaken; /* by a rename or removal that would have been before it, had it been done too late */
	} * syncs;              /* every sync that was made for something, each once */
	unsigned n_syncs;
	struct crash_count { /* since the label was set */
		char *name;
		unsigned n;
	} * counts;
	unsigned n_counts;
	bool mutated;              /* the mutant was met */
	struct crash_sites *sites; /* borrowed; NULL: names do not tell them */
};

/** fs_crash_init() - over the directory @root; what is in it now is durable. Nothing else must change it. */
void fs_crash_init(struct fs_crash *c, const char *root);
void fs_crash_release(struct fs_crash *c);
/** fs_crash_label() - what the store does now; for the names of syncs. */
void fs_crash_label(struct fs_crash *c, const char *label);

/* ---- between fs_crash.c and fs_crash_sites.c ---- */
/** fs_crash__is_mutant() - is a sync of @inode at @site the mutant? @full: gets its name. */
bool fs_crash__is_mutant(struct fs_crash *c, const char *op, uint32_t inode, const void *site,
			 char full[1300]);
/** fs_crash__note_useful() - it had something to sync. */
void fs_crash__note_useful(struct fs_crash *c, const char *name, const void *site);
/** fs_crash__note_overtaken() - the syncs since the label was set have a rename or removal behind them. */
void fs_crash__note_overtaken(struct fs_crash *c);

#endif
