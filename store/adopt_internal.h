/* SPDX-License-Identifier: MIT */
/* store/adopt_internal.h - what adopt.c, adopt_match.c and adopt_extras.c share; nothing else includes it. */
#ifndef AYNI_STORE_ADOPT_INTERNAL_H
#define AYNI_STORE_ADOPT_INTERNAL_H

#include "store/adopt.h"
#include "store/intake.h"

/** ay__adopt_check_place() - refuse a directory that lies in the store, or (@may_hold false) holds it. */
int ay__adopt_check_place(const struct ay_store *s, const struct ay_adopt *a, bool may_hold,
			  struct ay_err *err);
/** ay__adopt_counts() - from the intake into @out. */
void ay__adopt_counts(const struct ay__intake *in, struct ay_adopted *out);

/* ---- a look at the directory by tree paths ---- */

/* Remembers the last parent, because paths come in order. Zero-initialise but for root and dir -1. */
struct ay__looker {
	int root, dir;
	char *path; /* of @dir; owned */
	size_t path_len, path_cap;
};
void ay__looker_release(struct ay__looker *l);
/** ay__look() - lstat @path; @dir: its parent's fd, borrowed, and @name in it. 0 or -errno. */
int ay__look(struct ay__looker *l, const char *path, size_t path_len, int *dir, const char **name,
	     struct stat *st);
/** ay__look_open() - open the regular file that @st describes for reading. fd; AY_EBUSY another one; -errno. */
int ay__look_open(int dir, const char *name, const struct stat *st);

/* ---- what the directory has besides (adopt_extras.c) ---- */

struct ay__extras {
	const struct ay_store *s;
	const struct ay_adopt *a;
	const uint64_t *paths; /* sorted hashes of the manifest's paths */
	size_t n_paths;
	/* A regular file that is not in the manifest: an open directory, its name there. May be NULL. */
	int (*file)(void *ctx, int dir, const char *name, const struct stat *st, struct ay_err *err);
	void *ctx;
	struct ay_adopted *out;
};
/** ay__extras_walk() - tell a->differs what is besides; what cannot be read is skipped. */
int ay__extras_walk(const struct ay__extras *x, struct ay_err *err);
uint64_t ay__path_hash(const char *path, size_t len);

#endif
