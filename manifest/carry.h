/* SPDX-License-Identifier: MIT */
/*
 * manifest/carry.h - times of the last release that the next one keeps.
 *
 * A file unpacked anew has a new mtime and nothing else new; as an inode has one mtime, each such file would cost
 * every laptop a second copy. So an entry that equals the last release's in all but mtime keeps the old one, except
 *
 *     X.py, when its byte code (X.pyc, __pycache__/X.*.pyc) came or has another content: the time of X.py is in
 *           there, and Python would compile the module again at each start
 *     a directory in which a name came, went or changed its type: that is what a directory's time tells
 */
#ifndef AYNI_MANIFEST_CARRY_H
#define AYNI_MANIFEST_CARRY_H

#include "manifest/manifest.h"

struct ay_carried {
	uint64_t entries; /* that keep an old mtime; files among them: */
	uint64_t files, bytes;
	uint64_t py_kept_new; /* .py files whose new mtime stays because of their byte code */
};

/**
 * ay_manifest_carry() - write @new_ with the times of @old; both whole in memory.
 * @digest, @size: of what was written.
 *
 * Return: 0; the readers' errors; what @write returned; -ENOMEM.
 */
int ay_manifest_carry(const void *old, size_t old_len, const void *new_, size_t new_len, ay_write_fn write,
		      void *ctx, struct ay_digest *digest, uint64_t *size, struct ay_carried *carried,
		      struct ay_err *err);

#endif
