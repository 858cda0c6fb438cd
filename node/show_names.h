/* SPDX-License-Identifier: MIT */
/*
 * node/show_names.h - contents by the paths that have them, for `ayni show` of a bundle.
 */
#ifndef AYNI_NODE_SHOW_NAMES_H
#define AYNI_NODE_SHOW_NAMES_H

#include "base/bytes.h"
#include "base/digest.h"
#include "base/error.h"
#include "manifest/manifest.h"

/* A content and a path that has it; the path is percent-encoded, as it will be printed. */
struct ay__named {
	struct ay_digest digest;
	size_t path; /* offset into paths */
};

/* Zero-initialise; release. */
struct ay__names {
	struct ay__named *all;
	size_t n, cap;
	struct ay_buf paths;
};

/** ay__names_add() - file @e. 0 or -ENOMEM. */
int ay__names_add(struct ay__names *n, const struct ay_entry *e, struct ay_err *err);

/** ay__names_sort() - when all are there, before any is looked for. */
void ay__names_sort(struct ay__names *n);

/** ay__names_find() - the first path with content @d, and how many have it; NULL: none. */
const char *ay__names_find(const struct ay__names *n, const struct ay_digest *d, size_t *count);

void ay__names_release(struct ay__names *n);

#endif
