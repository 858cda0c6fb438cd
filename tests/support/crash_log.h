/* SPDX-License-Identifier: MIT */
/*
 * tests/support/crash_log.h - what a disk was told, and what may be left of it when the power goes.
 *
 * A log of small changes, each of one inode, each with the number of the call that made it and of
 * the call that made it durable. A state after a power cut is: all that was durable, any choice of
 * the rest, in the order in which it was made.
 *
 *     slot      a name in a directory names an inode, or nothing      durable by fsync of the directory
 *     page      4 KiB of a file, the unit in which writes tear        fsync, fdatasync of the file
 *     size      of a file                                             likewise
 *     mode, owner, mtime, xattr                                       fsync of the inode
 *     all of these                                                    syncfs
 *
 * A new file or directory has the mode that it was made with, no content and no names in it. A page whose
 * write is lost is what it was before, zeros where there was nothing, and sometimes noise (a block that was
 * given to the file, but never written).
 *
 * Renames. Within one directory: one change; a file system that cannot do that cannot replace a file at all.
 * Between directories, of a file: two changes, the new name and the loss of the old one, each durable with its
 * own directory; both names may be left, never neither. Of a directory, which has but one name: one change, durable
 * when both directories were synced; before that it may be in either.
 *
 * Symbolic links come with their target or not at all: there is no call that could sync one.
 */
#ifndef AYNI_TESTS_SUPPORT_CRASH_LOG_H
#define AYNI_TESTS_SUPPORT_CRASH_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "base/prng.h"

#define CRASH_PAGE  4096
#define CRASH_NEVER UINT32_MAX

enum crash_what {
	CRASH_SLOT,
	CRASH_PAGE_DATA,
	CRASH_SIZE,
	CRASH_MODE,
	CRASH_OWNER,
	CRASH_MTIME,
	CRASH_XATTR
};
enum crash_pair {
	CRASH_ALONE,
	CRASH_TOGETHER, /* this one and the next: both or none */
	CRASH_AFTER     /* only when the one before it is left too */
};

struct crash_change {
	uint32_t time, durable; /* numbers of calls; durable CRASH_NEVER: not yet */
	uint32_t inode, key;    /* key: of the name (slot, xattr), or the page's number */
	uint8_t what, pair;
	uint32_t suspect; /* the call of a sync that was left out and would have made it durable; 0: none */
	bool lost;        /* a sync of it failed: no later one will make it durable */
	uint64_t value, value2;
	uint8_t *bytes; /* page or xattr value, owned */
};

struct crash_inode {
	mode_t mode; /* as it was made, with its type */
	uid_t uid;
	gid_t gid;
	dev_t rdev;
	uint64_t real;         /* its number on the file system that is worked on */
	char *target;          /* of a symbolic link, owned */
	uint32_t parent, name; /* a name of it, for people */
};

struct crash_log {
	struct crash_inode *inodes; /* from 1; 0 is no inode */
	uint32_t n_inodes, cap_inodes;
	struct crash_change *changes;
	uint32_t n_changes, cap_changes, n_clean; /* below n_clean all is durable or lost */
	char **names;
	uint32_t n_names, cap_names;
};

void crash_log_release(struct crash_log *l);

/* ---- recording ---- */
uint32_t crash_name(struct crash_log *l, const char *name);
uint32_t crash_inode_add(struct crash_log *l, const struct crash_inode *i);
/** crash_inode_of() - the newest inode with this real number; 0: none. */
uint32_t crash_inode_of(const struct crash_log *l, uint64_t real);
struct crash_change *crash_add(struct crash_log *l, uint32_t time, enum crash_what what, uint32_t inode,
			       uint32_t key);
/** crash_current() - what the newest change of a slot, size, mode ... says; @none without any. */
uint64_t crash_current(const struct crash_log *l, enum crash_what what, uint32_t inode, uint32_t key,
		       uint64_t none);
enum crash_sync { CRASH_FSYNC, CRASH_FDATASYNC, CRASH_SYNCFS };
enum crash_fate { CRASH_DURABLE, CRASH_SUSPECT, CRASH_LOST, CRASH_LOST_ALL /* names and metadata too */ };
/**
 * crash_sync_at() - a sync of @inode (0 with SYNCFS) of all changes before now: it works, is left out, or fails.
 * Return: how many changes it was for that were not durable yet.
 */
uint32_t crash_sync_at(struct crash_log *l, uint32_t time, enum crash_sync kind, uint32_t inode,
		       enum crash_fate fate);
/** crash_path() - a path of the inode, from the root on; "" for the root. */
void crash_path(const struct crash_log *l, uint32_t inode, char *out, size_t len);

/* ---- the cut ---- */

enum crash_flavour {
	CRASH_STRICT, /* any choice */
	CRASH_ORDERED /* a journal: names, sizes and metadata up to some call, none behind it, and every sync is one of all
			 before it; data still tears */
};
enum crash_choice {
	CRASH_RANDOM,        /* each by chance, the chance by chance too */
	CRASH_ALL_BUT_A_FEW, /* what one lost change does shows best when all else is there */
	CRASH_NONE_BUT_A_FEW,
	CRASH_SUSPECTS_LOST, /* only such as a left-out sync was for, some or all of them */
	CRASH_CHOICES
};

struct crash_cut {
	uint32_t at; /* the calls up to this one were made */
	uint64_t seed;
	enum crash_flavour flavour;
	enum crash_choice choice;
};

/** crash_build() - make the empty directory @dirfd what the disk is after the cut. */
void crash_build(const struct crash_log *l, const struct crash_cut *cut, int dirfd);
/** crash_tell() - print which changes were not durable, and which of them are left. */
void crash_tell(const struct crash_log *l, const struct crash_cut *cut);

/* Ends the program with a sentence: a test that comes here makes no sense any more. */
__attribute__((format(printf, 1, 2), noreturn)) void crash_die(const char *fmt, ...);

/** crash_suspect() - one of the changes that a sync which was left out would have made durable; NULL: there is none. */
const struct crash_change *crash_suspect(const struct crash_log *log, struct ay_prng *r);

#endif
