/* SPDX-License-Identifier: MIT */
/*
 * store/shared.h - inside store/: contents that other branches of this store let a branch have.
 *
 * A branch is a namespace: naming a digest does not give it another owner's bytes, only its own bundles do. The
 * exception is in the root, signed: a branch with "share" (manifest/root.h) gives what its trees have to every branch
 * that names it. So a bundle of another branch may leave that out.
 */
#ifndef AYNI_STORE_SHARED_H
#define AYNI_STORE_SHARED_H

#include "store/base_index.h"

/* Zero-initialise; release with ay__shared_release(). 24 bytes per file entry of the sharing branches' trees. */
struct ay__shared {
	bool loaded;
	struct ay__base_index index;
};

/** ay__shared_load() - once: what the branches other than @branch share that have the rule. 0, -ENOMEM, -errno. */
int ay__shared_load(struct ay__shared *x, struct ay_store *s, const char *branch, struct ay_err *err);
/** ay__shared_open() - open an object with content @d. fd; -ENOENT nobody shares it. */
int ay__shared_open(const struct ay__shared *x, struct ay_store *s, const struct ay_digest *d);
void ay__shared_release(struct ay__shared *x);

#endif
