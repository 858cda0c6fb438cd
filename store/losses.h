/* SPDX-License-Identifier: MIT */
/*
 * store/losses.h - what a plain user's store (owner=me) cannot keep of a tree, counted before the work begins, so
 * that it can be said and nothing is dropped in silence.
 */
#ifndef AYNI_STORE_LOSSES_H
#define AYNI_STORE_LOSSES_H

#include "manifest/manifest.h"

enum ay_loss {
	AY_LOSS_OWNER,  /* belongs to somebody else */
	AY_LOSS_SETUID, /* setuid or setgid of a file: would now mean the caller */
	AY_LOSS_DEVICE, /* only root can make one: left out */
	AY_LOSS_XATTR,  /* attributes other than user.*: capabilities, ACLs, labels, trusted.* */
	AY_LOSSES,
};

#define AY_LOSS_PATH_MAX 200 /* of the first path, percent-encoded and cut off there */

struct ay_losses {
	uint64_t n[AY_LOSSES];
	char first[AY_LOSSES][AY_LOSS_PATH_MAX]; /* a path that it befalls */
};

/** ay_losses_add() - what this process, keeping @e in an owner=me store, would lose of it. */
void ay_losses_add(struct ay_losses *l, const struct ay_entry *e);
bool ay_losses_any(const struct ay_losses *l);
/** ay_losses_text() - "3 owners (/bin/su, ...), ...", one line without newline, into @out. */
const char *ay_losses_text(const struct ay_losses *l, struct ay_buf *out);

#endif
