/* SPDX-License-Identifier: MIT */
/*
 * node/losses.h - a plain user is told what his store cannot keep of a tree.
 */
#ifndef AYNI_NODE_LOSSES_H
#define AYNI_NODE_LOSSES_H

struct ay_store;

/** ay_tell_losses() - from now on each tree that loses something says so on standard error, once, beforehand. */
void ay_tell_losses(struct ay_store *s);

#endif
