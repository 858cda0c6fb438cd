/* SPDX-License-Identifier: MIT */
/*
 * store/intake.h - inside store/: files of somebody's directory become objects in staging, on all cores.
 *
 *     give      an open file and the metadata that its object is to have
 *     worker    reads it once: hashes while it copies (or hashes only, to link), looks whether it changed
 *     bucket    staging/buckets/ab/cdef….VARIANT; equal ones are one inode
 *
 * The source is only read, and linked when that is allowed; its inodes are never changed in any other way.
 */
#ifndef AYNI_STORE_INTAKE_H
#define AYNI_STORE_INTAKE_H

#include <pthread.h>

#include "store/hash_pool.h"
#include "store/tree_internal.h"

enum ay__intake_how {
	AY__INTAKE_NOT,     /* not taken in */
	AY__INTAKE_PRESENT, /* its object is there already */
	AY__INTAKE_LINKED,
	AY__INTAKE_REFLINKED,
	AY__INTAKE_COPIED,
	AY__INTAKE_HOWS
};

struct ay__intake {
	struct ay__build *b;
	struct ay__hash_pool *pool;
	bool link;              /* the source is read-only from now on: its inodes may become objects */
	atomic_uint next;       /* names of temporary files */
	atomic_bool no_reflink; /* reflinks do not work between these file systems: no more are tried */
	pthread_mutex_t lock;
	/* Under the lock. */
	uint64_t files[AY__INTAKE_HOWS], bytes[AY__INTAKE_HOWS];
	struct ay__fd_writer *linked; /* tree/linked (store/linked.h), when @link */
	uint64_t writers;             /* files that were to be linked and are open for writing: copied */
	struct ay_err err;            /* the first failure that is not the source's fault */
};

struct ay__intake_job {
	struct ay__hash_job h; /* fd, before; digest and rc afterwards */
	struct ay__intake *in;
	const struct ay_entry *e; /* as the manifest has it; lives until the job is done */
	bool expect;              /* @e says which digest: AY_EDIGEST when it is another */
	bool same_meta;           /* the file has exactly the metadata that its object gets */
	enum ay__intake_how how;
};

/** ay__intake_begin() - @threads as ay__hash_pool_new(). Makes staging/buckets. End it in every case. */
int ay__intake_begin(struct ay__intake *in, struct ay__build *b, bool link, unsigned threads,
		     struct ay_err *err);
/** ay__intake_finish() - when all jobs are done and before the commit: what was linked is written down. */
int ay__intake_finish(struct ay__intake *in, struct ay_err *err);
/** ay__intake_end() - jobs that nobody waited for are cancelled. Before ay__build_end(). */
void ay__intake_end(struct ay__intake *in);
/** ay__intake_give() - @job->h.fd is taken over; wait for it with ay__hash_pool_done(in->pool, &job->h, ...). */
void ay__intake_give(struct ay__intake_job *job);
/**
 * ay__intake_work() - what the workers do, as a job of a pool.
 * Return: 0 taken in; AY_EBUSY it changed; AY_EDIGEST not what was expected; -errno of reading it; else what went
 * wrong with the store, with the sentence in in->err.
 */
int ay__intake_work(struct ay__hash_job *job, struct ay__hash_tools *tools);

/** ay__intake_same_meta() - would the inode @st, @xattrs be intact as the object of @e? */
bool ay__intake_same_meta(const struct ay_store *s, const struct stat *st, const struct ay_xattr *xattrs,
			  size_t n_xattrs, const struct ay_entry *e);
/** ay__intake_has() - is the object @name in a bucket already? 1, 0, -errno. */
int ay__intake_has(const struct ay__intake *in, const struct ay__object_name *name);
/** ay__intake_link() - a second name, in its bucket, for @from in @dirfd ("": @dirfd itself). 0 or -errno. */
int ay__intake_link(struct ay__intake *in, int dirfd, const char *from, const struct ay__object_name *name);
/**
 * ay__intake_stage() - the object of @e in its bucket as a copy of @fd, whose content was found right.
 * The store's own object is linked instead when it is there and intact.
 */
int ay__intake_stage(struct ay__intake *in, const struct ay_entry *e, int fd, struct ay_err *err);

#endif
