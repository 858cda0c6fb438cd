/* SPDX-License-Identifier: MIT */
/*
 * store/staging.h - inside store/: the place where a tree is prepared, and where one that goes is taken apart.
 *
 *     tmp/staging-<bootid>-<random>/   flock()ed by its owner; swept when nobody holds the lock
 *         raw/<64 hex>                 a bundle's outputs, named by content
 *         new/<62+2 hex>.<variant>     objects with their metadata, about to be renamed in
 *         buckets/ab/<62 hex>.<variant>  the same, in as many directories as objects/ has (adopt)
 *         tree/                        root/ manifest release .ref; becomes branches/B/SERIAL, or was that
 *
 * The manifest in tree/ is what makes cleaning up complete: an object that it names
 * and that has no other link goes with it, whoever died when. It is removed last.
 */
#ifndef AYNI_STORE_STAGING_H
#define AYNI_STORE_STAGING_H

#include "store/store_internal.h"

struct ay__staging {
	struct ay_store *s;
	int dir; /* -1: none; holds the lock */
	char name[80];
};

#define AY__RESUME_FILE "resume" /* what an apply writes down, to go on (store/resume.h) */

#define AY__STAGING_NONE ((struct ay__staging){.dir = -1})

/** ay__boot_id() - the 32 hex digits of the kernel's boot id, without dashes; "0" where there is none. */
void ay__boot_id(char out[33]);
/** ay__staging_begin() - make and lock a new one. */
int ay__staging_begin(struct ay_store *s, struct ay__staging *st, struct ay_err *err);
/**
 * ay__staging_end() - throw away what is in it: tree/root, then objects that only tree/manifest knew, then the
 * rest. Legal on AY__STAGING_NONE. What cannot be removed now is swept later. @res: may be NULL, added to.
 */
void ay__staging_end(struct ay__staging *st, struct ay_gc_result *res);
/** ay__staging_resumable() - does the staging directory @dir, by its @name of this boot, hold something to go on with? */
bool ay__staging_resumable(int dir, const char *name);
/** ay__staging_leave() - let go of it as it is, for the next sweep. */
void ay__staging_leave(struct ay__staging *st);
/**
 * ay__staging_sweep() - end the staging directories of dead processes. Errors are left for the next time.
 * @all: also those with which an apply could go on (store/resume.h).
 */
void ay__staging_sweep(struct ay_store *s, bool all, struct ay_gc_result *res);

#endif
