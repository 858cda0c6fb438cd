/* SPDX-License-Identifier: MIT */
/*
 * store/beside.h - something grows beside its place and gets its name by one rename (internal to store/).
 *
 * It grows in a directory of our own, which nobody else can enter: who owns the directory above cannot slip
 * anything into what we make, and after a power cut, a kill or a failure there is a whole thing of that name or none.
 */
#ifndef AYNI_STORE_BESIDE_H
#define AYNI_STORE_BESIDE_H

#include "base/error.h"
#include "store/fs.h"

struct ay__beside {
	struct ay_fs *fs;
	int parent;       /* the directory that gets it, open for reading; borrowed */
	const char *name; /* its name there; borrowed */
	int stage;        /* our directory; -1: not made */
	char stage_name[32];
};

/** ay__beside_begin() - make the directory. 0; AY_EBUSY somebody puts others in its place; -errno. End it in any case. */
int ay__beside_begin(struct ay__beside *b, struct ay_fs *fs, int parent, const char *name,
		     struct ay_err *err);

enum { AY__BESIDE_NO_SYNC = 1, AY__BESIDE_REPLACE = 2, AY__BESIDE_SYNCED = 4 };

/**
 * ay__beside_commit() - @what, a name in b->stage, gets its name, durably.
 * @flags: NO_SYNC: neither what it holds nor its name is synced. SYNCED: what it holds is already. REPLACE: a file that
 *   is there may go.
 *
 * Return: 0; -EEXIST; -errno.
 */
int ay__beside_commit(struct ay__beside *b, const char *what, unsigned flags, struct ay_err *err);

/** ay__beside_end() - remove our directory and what was left in it. */
void ay__beside_end(struct ay__beside *b);

#endif
