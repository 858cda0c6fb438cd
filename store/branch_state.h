/* SPDX-License-Identifier: MIT */
/*
 * store/branch_state.h - the file state/branches/<name>: what a branch remembers, as text. Inside store/.
 *
 *     ayni-branch-state 2
 *     branch: xo/stable
 *     follow: 1              0 or 1
 *     floor: 7               never goes down
 *     bad-serial: 0          0: none
 *     head: -                or the bytes of the newest verified head in hex
 *     pending: 8             is to become current; 0: none, equal to current: it did
 *     unconfirmed: 0         switched to, and not yet found good; 0: none
 *     tries: 0               that it has left
 *     good: 7                the last one that was found good; 0: not known
 *     before: 6              the one that was before `good`
 *     pinned: 3 7            ascending, or -; the branch stays where it is while one of these is current
 *     kept: -                ascending, or -; not collected, no more
 *
 * Version history: 2 (how a switch stands); 1 ended behind `head`, and is read as if all below were 0 and -.
 */
#ifndef AYNI_STORE_BRANCH_STATE_H
#define AYNI_STORE_BRANCH_STATE_H

#include "base/bytes.h"
#include "base/path.h"
#include "store/state.h"

#define AY__BRANCH_STATE_MAX 2048 /* bytes; the head in hex is 312, two full lists of pins 352 */

/** ay__branch_state_write() - @b as text; errors show in the buffer's status. */
void ay__branch_state_write(const struct ay_branch_state *b, struct ay_buf *out);
/** ay__branch_state_parse() - accepts what the above writes, and version 1. 0 or AY_EFORMAT. */
int ay__branch_state_parse(const void *text, size_t len, struct ay_branch_state *b);

/** ay__hex_put(), ay__hex_get() - bytes as lower-case hexadecimal digits. get: false when it is not @len bytes. */
void ay__hex_put(struct ay_buf *out, const uint8_t *data, size_t len);
bool ay__hex_get(const char *text, size_t text_len, uint8_t *out, size_t len);
/** ay__u32_get() - a number from 0 to 2^32-1 in its one form: decimal, no leading zero. */
bool ay__u32_get(const char *text, size_t len, uint32_t *out);

#endif
