/* SPDX-License-Identifier: MIT */
/* store/adopt_internal.h - what the files adopt*.c share; nothing else includes it. */
#ifndef AYNI_STORE_ADOPT_INTERNAL_H
#define AYNI_STORE_ADOPT_INTERNAL_H

#include "store/adopt.h"
#include "store/base_index.h"
#include "store/intake.h"
#include "store/retrieve.h"

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

/* One adoption by matching under way, between adopt_match.c and adopt_lacking.c. */
struct ay__match {
	struct ay__build b;
	struct ay__intake in;
	const struct ay_adopt *a;
	struct ay_adopted *out;
	struct ay__looker look;
	struct ay__match_item *first, **last; /* files that are being read */
	unsigned in_flight;
	struct ay__base_index staged; /* contents that are in buckets */
	uint64_t *paths;
	size_t n_paths, cap_paths;
	struct ay_wanted *wanted; /* sorted, each once */
	size_t n_wanted, cap_wanted;
	uint64_t done;
	bool lacks; /* some path did not give its content */
};

/** ay__match_each() - call @fn for each entry of the manifest, until it returns something negative. */
int ay__match_each(struct ay__match *m,
		   int (*fn)(struct ay__match *m, const struct ay_entry *e, struct ay_err *err),
		   struct ay_err *err);

/* ---- adopt_lacking.c ---- */

/** ay__match_list() - which contents no path gave: m->wanted. m->staged is sorted. */
int ay__match_list(struct ay__match *m, struct ay_err *err);
/** ay__match_besides() - look for them among the files that the manifest does not name; tell what those are. */
int ay__match_besides(struct ay__match *m, struct ay_err *err);
/** ay__match_fetch() - the rest, out of the repository. AY_EBASE: not all can be had. */
int ay__match_fetch(struct ay__match *m, struct ay_err *err);

#endif
