/* SPDX-License-Identifier: MIT */
/* store/retrieve_internal.h - what retrieve.c, retrieve_bundle.c and retrieve_ways.c share; nothing else includes it. */
#ifndef AYNI_STORE_RETRIEVE_INTERNAL_H
#define AYNI_STORE_RETRIEVE_INTERNAL_H

#include "store/object.h"
#include "store/retrieve.h"

#define AY__RETRIEVE_WAYS_MAX 4096 /* bundles looked at: years of a branch */
#define AY__RETRIEVE_DEPTH_MAX                                                                               \
	72 /* bases of bases: a chain from one full bundle over 64 releases, and some */

/* A bundle that a believed offer names. */
struct ay__way {
	struct ay_digest from, to, bundle;
	uint64_t bundle_size, unpacked_size, memory;
	bool closed;     /* not there, or not what its offer says */
	unsigned spoilt; /* records that gave wrong bytes */
	uint8_t *can,
		*lack; /* bits per wanted content: it gives it now; its base is not here. NULL: not scanned */
};

/* One level: what is wanted now. Bases that are wanted for it are a level of their own. */
struct ay__retrieval {
	const struct ay_retrieve *how;
	const struct ay__retrieval *above; /* the level whose bases these are */
	struct ay_wanted *wanted;          /* sorted */
	size_t n;
	struct ay__way *ways;
	size_t n_ways, cap_ways;
	unsigned depth;
	struct ay_retrieved *out;
	uint64_t *done, total; /* for progress; only the first level's contents count */
	struct ay_err why;     /* the first thing that was not as it should be */
};

static inline bool ay__bit(const uint8_t *bits, size_t i)
{
	return bits[i / 8] >> (i % 8) & 1;
}

/** ay__wanted_find() - index of @d in the sorted @w, or @n. */
size_t ay__wanted_find(const struct ay_wanted *w, size_t n, const struct ay_digest *d);
/** ay__retrieve_note() - keep the first reason. */
void ay__retrieve_note(struct ay__retrieval *t, int code, const struct ay_err *why);
/** ay__retrieve_got() - one more content lies in the directory; tells progress. 0 or its code. */
int ay__retrieve_got(struct ay__retrieval *t, size_t i);
/** ay__retrieve_base() - open base @d: from what was retrieved, else the caller's. fd or -errno. */
int ay__retrieve_base(struct ay__retrieval *t, const struct ay_digest *d, uint64_t size);
/** ay__retrieve_where() - whose bundles, for messages: the repository's path, or the store's. */
const char *ay__retrieve_where(const struct ay__retrieval *t);
/** ay__retrieve_create() - a new empty file named @hex, in place of what a failed run left there. fd or -errno. */
int ay__retrieve_create(struct ay__retrieval *t, const char *hex);

/* ---- retrieve_ways.c ---- */

/** ay__ways_to() - add the bundles that lead to @manifest, smallest first. 0, -ENOMEM, -errno. */
int ay__ways_to(struct ay__retrieval *t, const struct ay_digest *manifest, struct ay_err *err);
/** ay__ways_all() - add those to all other trees of the branch. */
int ay__ways_all(struct ay__retrieval *t, struct ay_err *err);
void ay__ways_release(struct ay__retrieval *t);
/** ay__retrieve_publisher() - copy what the branch's own trees in publisher/ have. 0 or a failure of writing. */
int ay__retrieve_publisher(struct ay__retrieval *t, struct ay_err *err);

/* ---- retrieve_bundle.c ---- */

/** ay__way_scan() - fill @w's bits from its record table; closes it when it is no good. 0 or -ENOMEM. */
int ay__way_scan(struct ay__retrieval *t, struct ay__way *w, struct ay_err *err);
/**
 * ay__way_lacks() - call @each for the bases that the still missing contents of @w need.
 */
int ay__way_lacks(struct ay__retrieval *t, struct ay__way *w,
		  int (*each)(void *ctx, const struct ay_digest *base, uint64_t size), void *ctx);
/** ay__way_decode() - write what it can give and is missing. 0 (also: it was closed); a failure of writing. */
int ay__way_decode(struct ay__retrieval *t, struct ay__way *w, struct ay_err *err);

#endif
