/* SPDX-License-Identifier: MIT */
/*
 * store/repo.h - a repository: a directory of immutable files that any web server can serve.
 *
 *     repo/ayni-repo                        "ayni-repo 1\n"
 *     repo/roots/<version>                  envelopes
 *     repo/branches/<percent-encoded>/head  the one mutable file of a branch (replaced by rename)
 *     repo/releases/<digest>                envelopes
 *     repo/manifests/<digest>
 *     repo/offers/<to-manifest-digest>/<offer-digest>
 *     repo/bundles/<digest>
 *     repo/publisher/                       the publisher's own store of its last trees; not for serving
 *
 * A file is there whole or not at all; the head is written last.
 */
#ifndef AYNI_STORE_REPO_H
#define AYNI_STORE_REPO_H

#include "store/store.h"

struct ay_repo;

/**
 * ay_repo_open() - open a repository.
 * @create: for who publishes: make it when there is none (in a new or empty directory), and be the only writer
 *   until it is closed. Readers open without and need no lock; should they write, their first write takes it.
 *
 * Return: 0 and @out (close with ay_repo_close()); AY_ESTATE not there, no repository, or a directory with
 *   something else in it; AY_EVERSION of a newer ayni; AY_EBUSY another process publishes; -errno.
 * Every function that writes may return AY_EBUSY likewise.
 */
int ay_repo_open(struct ay_fs *fs, const char *path, bool create, struct ay_repo **out, struct ay_err *err);
void ay_repo_close(struct ay_repo *r);
const char *ay_repo_path(const struct ay_repo *r);

enum ay_repo_kind { AY_REPO_RELEASE, AY_REPO_MANIFEST, AY_REPO_BUNDLE };

/** ay_repo_put() - write a document under its digest (returned in @d); durable. */
int ay_repo_put(struct ay_repo *r, enum ay_repo_kind kind, const void *data, size_t len, struct ay_digest *d,
		struct ay_err *err);
/** ay_repo_get() - a document, checked; free(*@data). @max: refuse above. -ENOENT, AY_EDIGEST, AY_ELIMIT. */
int ay_repo_get(struct ay_repo *r, enum ay_repo_kind kind, const struct ay_digest *d, size_t max,
		uint8_t **data, size_t *len, struct ay_err *err);
/**
 * ay_repo_bundle_begin() - a new temporary file for a bundle; the caller writes and closes @fd.
 * ay_repo_bundle_commit() reads it back (AY_EDIGEST when it is not @d) and names it, durably; on failure the
 * file is gone, as after ay_repo_bundle_abort().
 */
int ay_repo_bundle_begin(struct ay_repo *r, int *fd, char name[64], struct ay_err *err);
int ay_repo_bundle_commit(struct ay_repo *r, const char *name, const struct ay_digest *d, struct ay_err *err);
void ay_repo_bundle_abort(struct ay_repo *r, const char *name);
/** ay_repo_bundle_open() - a bundle for reading; caller closes. */
int ay_repo_bundle_open(struct ay_repo *r, const struct ay_digest *d, int *fd, struct ay_err *err);
/** ay_repo_manifest_open() - a manifest for reading, not checked; caller closes. */
int ay_repo_manifest_open(struct ay_repo *r, const struct ay_digest *d, int *fd, struct ay_err *err);

/** ay_repo_put_root() - AY_ESTATE when that version is there with other content. */
int ay_repo_put_root(struct ay_repo *r, uint32_t version, const void *data, size_t len, struct ay_err *err);
/** ay_repo_get_root() - version 0: the newest there. @found: which it is. free(*@data). */
int ay_repo_get_root(struct ay_repo *r, uint32_t version, uint32_t *found, uint8_t **data, size_t *len,
		     struct ay_err *err);
int ay_repo_put_offer(struct ay_repo *r, const struct ay_digest *to, const void *data, size_t len,
		      struct ay_err *err);
/**
 * ay_repo_each_offer() - offers that lead to manifest @to, by digest; damaged ones are left out.
 * Nonzero of @each stops and is returned.
 */
int ay_repo_each_offer(struct ay_repo *r, const struct ay_digest *to,
		       int (*each)(void *ctx, const uint8_t *data, size_t len), void *ctx,
		       struct ay_err *err);
/** ay_repo_each_release() - all releases of all branches, likewise. */
int ay_repo_each_release(struct ay_repo *r, int (*each)(void *ctx, const uint8_t *data, size_t len),
			 void *ctx, struct ay_err *err);
/** ay_repo_put_head() - AY_EROLLBACK below the one there, or of the same serial with another release. */
int ay_repo_put_head(struct ay_repo *r, const char *branch, const uint8_t head[AY_HEAD_SIZE],
		     struct ay_err *err);
/** ay_repo_get_head() - form is not checked. -ENOENT: no such branch. */
int ay_repo_get_head(struct ay_repo *r, const char *branch, uint8_t head[AY_HEAD_SIZE], struct ay_err *err);
/** ay_repo_branches() - names of the branches that have a head, sorted; ay_store_names_free(). */
int ay_repo_branches(struct ay_repo *r, char ***names, size_t *n, struct ay_err *err);

#endif
