/* SPDX-License-Identifier: MIT */
/*
 * manifest/delta.h - only the entries that changed between two manifests.
 *
 *     ayni-manifest-delta 1\n
 *     from DIGEST\n          zeros: from nothing
 *     to DIGEST\n
 *     -/old/path\n           an entry that goes (percent-encoded path)
 *     +f 0644 ... /path\n    an entry that comes or replaces the one of the same path, as in the manifest
 *
 * Lines in ay_path_cmp() order of their paths, one line per path. Merging with
 * any other "from", a "-" for a path that is not there, or a "+" that changes
 * nothing is refused, so that there is one delta between two manifests.
 * Version history: 1 (first).
 */
#ifndef AYNI_MANIFEST_DELTA_H
#define AYNI_MANIFEST_DELTA_H

#include "manifest/manifest.h"

/**
 * ay_delta_make() - write the delta from @old (NULL: nothing) to @new_.
 * @from, @to: the two manifests' digests (the caller knows them; checked against what is read).
 *
 * Return: 0; the readers' errors; AY_EDIGEST when a reader's digest is not the one given; what @write returned.
 */
int ay_delta_make(struct ay_manifest_reader *old, const struct ay_digest *from,
		  struct ay_manifest_reader *new_, const struct ay_digest *to, ay_write_fn write, void *ctx,
		  struct ay_err *err);

/* What a merge says of each path, in order; see ay_delta_apply(). */
enum ay_change { AY_CHANGE_KEPT, AY_CHANGE_ADDED, AY_CHANGE_REPLACED, AY_CHANGE_REMOVED };

/* Called per entry; @old is NULL for ADDED, @new_ NULL for REMOVED, both the same for KEPT. Nonzero stops. */
typedef int (*ay_change_fn)(void *ctx, enum ay_change change, const struct ay_entry *old,
			    const struct ay_entry *new_, struct ay_err *err);

/**
 * ay_delta_apply() - one merge of @old (NULL: nothing) and the delta read by @read.
 * @each: may be NULL.
 * @write: receives the resulting manifest; may be NULL.
 * @from: the digest that the delta must start at. @to: the digest that the result must have.
 *
 * Memory is bounded whatever the number of entries. The result counts only when 0 was returned:
 * what was written before is to be thrown away otherwise.
 *
 * Return: 0; AY_EFORMAT, AY_EVERSION, AY_ELIMIT (hostile delta); AY_EBASE (@old or the delta is not at @from);
 *   AY_EDIGEST (the result is not @to); what @each or @write returned.
 */
int ay_delta_apply(struct ay_manifest_reader *old, ay_read_fn read, void *read_ctx,
		   const struct ay_digest *from, const struct ay_digest *to, ay_change_fn each,
		   void *each_ctx, ay_write_fn write, void *write_ctx, struct ay_err *err);

/**
 * ay_delta_read() - the lines of a delta, without the manifests, for who only looks at it.
 * @from, @to: set before the first call of @each. @each: of a line that goes (@added false) only the path of @e is
 * set. Nonzero stops.
 *
 * Return: 0: every line is well-formed, in order, and there once; whether they fit a manifest is another question.
 *   AY_EFORMAT, AY_EVERSION, AY_ELIMIT, the read's -errno; what @each returned.
 */
int ay_delta_read(ay_read_fn read, void *read_ctx, struct ay_digest *from, struct ay_digest *to,
		  int (*each)(void *ctx, bool added, const struct ay_entry *e, struct ay_err *err), void *ctx,
		  struct ay_err *err);

/**
 * ay_manifest_compare() - @each for every path of the two manifests (either may be NULL), in order.
 */
int ay_manifest_compare(struct ay_manifest_reader *old, struct ay_manifest_reader *new_, ay_change_fn each,
			void *ctx, struct ay_err *err);

#endif
