/* SPDX-License-Identifier: MIT */
/*
 * store/verity.h - inside store/: fs-verity, the kernel's guard over objects where the file system has it
 * (ext4 made with -O verity, btrfs from Linux 5.15, f2fs).
 *
 * A file with it cannot be opened for writing by anybody, and each block is checked against its Merkle tree when it is read:
 * a disk that gives other bytes gives EIO. Names, links, mode, owner, times and attributes stay changeable.
 * The kernel's digest of a file is the very digest that names an object.
 */
#ifndef AYNI_STORE_VERITY_H
#define AYNI_STORE_VERITY_H

#include "base/digest.h"
#include "store/store_internal.h"

/** ay__verity_measure() - the digest that the kernel guards @fd by. 1 and @out; 0: it guards it not; -errno. */
int ay__verity_measure(int fd, struct ay_digest *out);

/**
 * ay__verity_guard() - put the file @name in @dirfd, content and metadata final, under the kernel's guard.
 * @digest: what it must have. Nobody may have it open for writing.
 *
 * Return: 0: guarded, or the store's option or the file system does without; AY_EDIGEST the kernel finds another digest;
 *   AY_EUNSUPPORTED the store's option is `yes` and it cannot be; -errno.
 */
int ay__verity_guard(struct ay_store *s, int dirfd, const char *name, const struct ay_digest *digest,
		     struct ay_err *err);

/**
 * ay__verity_guard_all() - the same for all staged objects in @dirfd, whose names are @prefix and the file's own:
 * 64 hex digits of the digest, and the variant.
 */
int ay__verity_guard_all(struct ay_store *s, int dirfd, const char *prefix, struct ay_err *err);

#endif
