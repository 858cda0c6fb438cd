/* SPDX-License-Identifier: MIT */
/*
 * store/branch.h - a branch as a whole: leaving it for good.
 *
 * To follow one is a line of its state (store/state.h); its directory comes with the first tree.
 */
#ifndef AYNI_STORE_BRANCH_H
#define AYNI_STORE_BRANCH_H

#include "store/store.h"

/**
 * ay_store_remove_branch() - stop following @branch and remove all its trees; objects that other trees link stay.
 * @forget: also what must survive otherwise: its floor, so that an older release may come again.
 * @res: trees, objects and bytes removed; may be NULL.
 *
 * In this order: not followed; one tree after the other, the current one last; the empty directory. Interrupted anywhere, a
 * second call goes on. Nothing of another branch is touched.
 *
 * Return: 0; AY_ENOTHING there is no such branch; AY_EBUSY a tree of it is in use or being made, or it is being
 *   switched: nothing was changed; -errno.
 */
int ay_store_remove_branch(struct ay_store *s, const char *branch, bool forget, struct ay_gc_result *res,
			   struct ay_err *err);

#endif
