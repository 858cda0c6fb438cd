/* SPDX-License-Identifier: MIT */
/*
 * store/checkout.h - a tree outside the store: its own files, to be written to; or links, to be read only.
 */
#ifndef AYNI_STORE_CHECKOUT_H
#define AYNI_STORE_CHECKOUT_H

#include "store/use.h"

struct ay_checkout {
	const char *branch; /* for messages */
	const struct ay_use *use;
	int parent;       /* the directory that gets it, open for reading */
	const char *name; /* its name there, new */
	bool link;        /* files are the store's own inodes: fast, no room, and nobody may write to them */
	bool no_sync;     /* not durable */
};

/** ay_checkout_check_place() - is @parent outside of the store? 0; AY_ESTATE it is the store, or in it; -errno. */
int ay_checkout_check_place(const struct ay_store *s, int parent, const char *name, struct ay_err *err);

/**
 * ay_store_checkout() - make it, and unless told otherwise durably; it has its name only when it is complete.
 *
 * A copy shares blocks where the file system can; else every byte that is copied is checked. As a plain user owners and
 * the like cannot be kept; ay_store_on_losses() is told before anything is written.
 * The store may be open for reading only.
 *
 * Return: 0; -EEXIST the name is taken; AY_ESTATE it would lie in the store; AY_EBASE a file of the tree was changed; -EXDEV, -EPERM for links; -errno.
 */
int ay_store_checkout(struct ay_store *s, const struct ay_checkout *c, struct ay_err *err);

#endif
