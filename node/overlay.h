/* SPDX-License-Identifier: MIT */
/*
 * node/overlay.h - a tree that looks writable: overlayfs over the store's tree, what is written beside the place.
 *
 *     DIR            shows both
 *     .DIR.ayni/     mode 0700: upper/ (what was written), work/ (the kernel's), tree (which it lies over)
 */
#ifndef AYNI_NODE_OVERLAY_H
#define AYNI_NODE_OVERLAY_H

#include "store/use.h"

struct ay_overlay {
	const char *branch;
	const struct ay_use *use;
	int parent;       /* where DIR lies, open for reading */
	const char *name; /* DIR's name there */
	const char *dir;  /* as the user wrote it */
	const char *store;
};

/**
 * ay_overlay_mount() - make DIR and .DIR.ayni if they are not there, and mount it. @pid: of the process that holds the tree.
 *
 * Return: 0; -EEXIST what was written lies over another tree; AY_EBUSY it is mounted already; -EPERM not root; -errno.
 */
int ay_overlay_mount(const struct ay_overlay *o, int *pid, struct ay_err *err);

#endif
