/* SPDX-License-Identifier: MIT */
/*
 * store/state_internal.h - inside store/: the text of a branch's state (docs/formats.md, "State").
 *
 *     ayni-branch-state 2
 *     branch: NAME
 *     follow: 0 or 1
 *     floor: N               never goes down
 *     bad-serial: N          0: none
 *     head: -                or 312 hex digits
 *     pending: N             is to become current; 0: none, equal to current: it did
 *     unconfirmed: N         switched to, and not yet found good; 0: none
 *     tries: N               that it has left
 *     good: N                the last one that was found good; 0: not known
 *     before: N              the one that was before `good`
 *     pinned: N N            ascending, or -; the branch stays where it is while one of these is current
 *     kept: N N              ascending, or -; not collected, no more
 *
 * Version history: 2 (how a switch stands); 1 ended behind `head`, and is read as if all below were 0 and -.
 */
#ifndef AYNI_STORE_STATE_INTERNAL_H
#define AYNI_STORE_STATE_INTERNAL_H

#include "base/bytes.h"
#include "store/state.h"
#include "store/store_internal.h"

#define AY__BRANCH_STATE_MAX                                                                                 \
	2048 /* bytes of the file; the head in hex is 312, two full lists of pins 352 of it */

/** ay__branch_state_write() - append the one text of @b (see ay_buf_status()). */
void ay__branch_state_write(const struct ay_branch_state *b, struct ay_buf *out);
/** ay__branch_state_parse() - accepts exactly what is written, and version 1; the head's form is not looked at. */
bool ay__branch_state_parse(const char *text, size_t len, struct ay_branch_state *b);

/** ay__state_sync_found() - make durable that a file is in @dirfd, which an earlier process put there. */
int ay__state_sync_found(const struct ay_store *s, int dirfd, const char *name, struct ay_err *err);

/** ay__u32_get() - a number from 0 to 2^32-1 in its one form: decimal, no leading zero. */
bool ay__u32_get(const char *text, size_t len, uint32_t *out);
void ay__hex_put(struct ay_buf *out, const uint8_t *data, size_t len);
/** ay__hex_get() - exactly @len bytes from lower-case digits. */
bool ay__hex_get(const char *text, size_t text_len, uint8_t *out, size_t len);

/**
 * ay__state_rebuild() - in the place of a branch's state that cannot be read: followed, @floor, @current (0: none) good, no
 * head, nothing bad. One that can be read meanwhile stays. Durable.
 */
int ay__state_rebuild(struct ay_store *s, const char *branch, uint32_t floor, uint32_t current,
		      struct ay_err *err);
/** ay__state_forget() - remove all that is remembered of a branch. 1; 0 there was nothing; negative. */
int ay__state_forget(struct ay_store *s, const char *branch, struct ay_err *err);

#endif
