/* SPDX-License-Identifier: MIT */
/*
 * store/xattr.h - inside store/: which extended attributes belong to a tree.
 *
 * Everything that listxattr(2) shows, except what the file system or the machine
 * made for itself:
 *
 *     system.*            but system.posix_acl_access and _default are kept (nfs4_acl, cifs_acl ...: views)
 *     btrfs.*             properties of that file system
 *     trusted.overlay.*, user.overlay.*   overlayfs' bookkeeping
 *     trusted.SGI_ACL_*   XFS' second name for the POSIX ACLs
 *     security.evm        keyed to one machine
 *     security.selinux, security.SMACK*, security.apparmor   with AY__XATTR_NO_LABELS only: when a plain user
 *                         publishes, labels are those of his working directory
 *
 * trusted.* shows itself only to CAP_SYS_ADMIN.
 */
#ifndef AYNI_STORE_XATTR_H
#define AYNI_STORE_XATTR_H

#include "manifest/manifest.h"

enum { AY__XATTR_NO_LABELS = 1 };

/** ay__xattr_kept() - does the attribute @name belong to a tree? */
bool ay__xattr_kept(const char *name, unsigned flags);

/**
 * ay__xattrs_read() - the attributes of one inode, sorted by name.
 * @fd: the inode, opened for reading; -1: take @name in @dirfd without following it (needs /proc).
 * @out: one block of memory with names and values in it, NULL when there are none; free(*@out).
 * @mem: its size, may be NULL.
 *
 * Return: 0; AY_ELIMIT more than AY_XATTR_COUNT_MAX or than AY_XATTRS_MAX bytes of values;
 *   AY_EBUSY they changed meanwhile; -errno.
 */
int ay__xattrs_read(int fd, int dirfd, const char *name, unsigned flags, struct ay_xattr **out, size_t *n,
		    size_t *mem);

#endif
