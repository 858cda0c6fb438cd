/* SPDX-License-Identifier: MIT */
/* Golden bundles: read for ever, and written today as then where the libraries that pack are those of then. */
#ifndef AYNI_TESTS_UNIT_DIFF_GOLDEN_BUNDLE_H
#define AYNI_TESTS_UNIT_DIFF_GOLDEN_BUNDLE_H

#include "tests/support/golden.h"
#include "tests/unit/diff/trees.h"

/**
 * golden_bundle() - tests/golden/@name makes @new_ of @old, all of it; with AYNI_GOLDEN_WRITE it is written from @made first.
 * @made: the bundle that is made of them today, closed here.
 * @exact: with the libraries of Debian 12, whose versions its bytes depend on, it must be that to the byte.
 *
 * Return: the golden file's bytes; release them.
 */
struct ay_buf golden_bundle(const char *name, int made, struct tree *old, struct tree *new_,
			    const struct ay_bundle_limits *limits, bool exact);

/* What a bundle has in it: bits of the codecs and of the streams, and the number of parts. */
struct golden_shown {
	unsigned codecs, streams, parts;
};
struct golden_shown golden_shows(const struct ay_buf *bundle);

#endif
