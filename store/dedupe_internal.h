/* SPDX-License-Identifier: MIT */
/* store/dedupe_internal.h - what the files dedupe*.c share; nothing else includes it. */
#ifndef AYNI_STORE_DEDUPE_INTERNAL_H
#define AYNI_STORE_DEDUPE_INTERNAL_H

#include <sys/stat.h>

#include "base/digest.h"
#include "store/dedupe.h"
#include "store/fs.h"

/* A name of a file. Those of one inode are neighbours in the list once it is sorted. */
struct ay__dup {
	struct stat st;
	struct ay_digest digest;
	char *path; /* from the directory's root; owned */
	int root;   /* that root's fd */
	bool usable;
};

struct ay__dedupe {
	struct ay_fs *fs;
	const struct ay_dedupe *how;
	struct ay_deduped *out;
	const int *roots; /* of how->dirs, open */
	struct ay__dup *list;
	size_t n, cap;
	bool swept; /* a temporary name of a killed run was removed while walking */
	struct ay_err *err;
};

#define AY__DEDUPE_PREFIX ".ayni-dedupe-" /* of temporary names, then 16 hex digits */

#define AY__DEDUPE_NAME_MAX 8192 /* a directory as it was named, and a path in it; longer ones are cut off */

/** ay__dedupe_name() - the file for a person: "DIR/path". */
void ay__dedupe_name(const struct ay__dedupe *d, int root, const char *path, char out[AY__DEDUPE_NAME_MAX]);
void ay__dedupe_skip(struct ay__dedupe *d, enum ay_dedupe_skip why, int root, const char *path);
/**
 * ay__dedupe_unopened() - @f could not be opened, or read: @r says why. 0: it was skipped; negative: that says nothing of the
 * file (we lack descriptors, memory), and is the run's error.
 */
int ay__dedupe_unopened(struct ay__dedupe *d, int r, const struct ay__dup *f);
/** ay__dedupe_walk() - all regular files below how->dirs into the list. */
int ay__dedupe_walk(struct ay__dedupe *d, const int *roots);
/** ay__dedupe_open() - the file again, if it is as it was when it was seen. fd; AY_EBUSY; -errno. */
int ay__dedupe_open(const struct ay__dup *f);
/** ay__dedupe_immutable() - has it such a flag? */
bool ay__dedupe_immutable(int fd);
/**
 * ay__dedupe_blocks() - @n inodes (first names, each once) of one content share their blocks.
 * ay__dedupe_inodes() - all @n names of one content (sorted by inode) become as few inodes as their metadata allow.
 * 0, or what must end the whole.
 */
int ay__dedupe_blocks(struct ay__dedupe *d, struct ay__dup *const *files, size_t n);
int ay__dedupe_inodes(struct ay__dedupe *d, struct ay__dup *files, size_t n);

#endif
