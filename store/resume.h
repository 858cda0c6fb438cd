/* SPDX-License-Identifier: MIT */
/*
 * store/resume.h - inside store/: an apply that was killed goes on where it stood between two parts of its bundle.
 *
 *     tmp/staging-<bootid>-<random>/raw/DIGEST   contents that came; the one in hand in part
 *     tmp/staging-<bootid>-<random>/resume       which bundle, and where in it (struct ay_bundle_place)
 *
 * Such a directory of this boot outlives its process until somebody applies to that branch again, or collects. Nothing in it
 * is believed: each content is read and must have the digest that its name says, that of the one in hand is found at its
 * end; and should anything be wrong all the same, the bundle is applied from its beginning. `resume` is not synced: after a
 * power cut all begins anew. It is removed before the first object gets its name.
 */
#ifndef AYNI_STORE_RESUME_H
#define AYNI_STORE_RESUME_H

#include "diff/bundle.h"
#include "store/tree_internal.h"

#define AY__RESUME_SIZE 460

struct ay__resume {
	struct ay_digest branch; /* of its name */
	struct ay_digest bundle; /* of the release's manifest, the bundle's header and its size */
	struct ay_bundle_place place;
	/* Not in the file: what ay__resume_find() took over, bytes that need no room any more, and files. */
	uint64_t held, held_files;
};

/** ay__resume_encode() - the file's bytes. */
void ay__resume_encode(const struct ay__resume *x, uint8_t out[AY__RESUME_SIZE]);
/** ay__resume_decode() - 0 or AY_EFORMAT. */
int ay__resume_decode(struct ay__resume *x, const void *data, size_t len);

/** ay__resume_key() - branch and bundle of @x: what is about to be applied. @bundle_fd: its header is read. 0 or -errno. */
int ay__resume_key(struct ay__resume *x, const char *branch, const struct ay_digest *manifest, int bundle_fd);
/** ay__resume_write() - @x to the staging directory @dir, instead of what is there. 0 or -errno. */
int ay__resume_write(struct ay_fs *fs, int dir, const struct ay__resume *x);

/**
 * ay__resume_find() - is there a dead one of @x's bundle? Then its contents, verified, become those of @b's raw/, and
 * @x->place is filled. Others of the branch are removed.
 * Return: 1 found; 0 none, or nothing of use.
 */
int ay__resume_find(struct ay__build *b, struct ay__resume *x);

#endif
