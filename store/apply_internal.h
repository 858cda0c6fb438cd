/* SPDX-License-Identifier: MIT */
/*
 * store/apply_internal.h - an apply in the making: what reading the bundle (store/apply.c) finds out, and giving objects to the
 * changed files (store/apply_objects.c) needs.
 */
#ifndef AYNI_STORE_APPLY_INTERNAL_H
#define AYNI_STORE_APPLY_INTERNAL_H

#include <pthread.h>

#include "diff/bundle.h"
#include "store/base_index.h"
#include "store/resume.h"
#include "store/shared.h"
#include "store/tree_batch.h"

#define AY__CONTENT_LOCKS 16

struct ay__apply {
	struct ay__build b;
	const struct ay_apply *a;
	struct ay_bundle_header h;
	uint32_t from_serial; /* 0: from nothing */
	uint64_t from_manifest_size;
	struct ay__base_index bases;
	struct ay_old_files old;     /* by number, for records to refer to */
	struct ay__shared shared;    /* what other branches share; looked at only when something is missing */
	struct ay__fd_writer *delta; /* the manifest delta, to staging; then the new manifest */
	int delta_fd;
	uint64_t inodes;             /* what the new tree needs beyond the records: seen in the merge */
	struct ay__failure *failure; /* of what the crew stages */
	pthread_mutex_t lock;        /* of @shared */
	pthread_mutex_t
		content[AY__CONTENT_LOCKS]; /* one at a time makes the variants of a content; by its digest */
	struct ay__resume resume;           /* where it stands, as it is written down */
	struct ay_bundle_place from;        /* where it goes on, when @resumed */
	bool resumed;
	bool attributed;             /* a symbolic link of the old tree has attributes: none is linked */
	struct ay_bundle_record now; /* the record last begun */
	struct ay__fd_writer *out;   /* its file */
	uint64_t done;
};

/**
 * ay__apply_open_old() - the old tree's manifest, or none when it starts from nothing.
 * @m: NULL: there is none. Free it, then close @in->fd.
 */
int ay__apply_open_old(struct ay__apply *ap, struct ay__fd_reader *in, struct ay_manifest_reader **m,
		       struct ay_err *err);

/** ay__apply_objects() - each changed file of the new manifest gets its object, in staging. */
int ay__apply_objects(struct ay__apply *ap, struct ay_err *err);

#endif
