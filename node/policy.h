/* SPDX-License-Identifier: MIT */
/*
 * node/policy.h - what the owner wants of a branch: when it switches, who finds it good, how much of it stays.
 *
 *     switch = now                  when what is ready becomes current (node/when.h)
 *     confirm = hooks               or boot: it stays on trial until `ayni confirm` says that it is good
 *     tries = 3                     how often a trial may begin (checks, or boots) before it goes back
 *     keep = 2                      releases that stay, the newest ones
 *
 * These stand in [node] for all branches and in [branch NAME] for one.
 */
#ifndef AYNI_NODE_POLICY_H
#define AYNI_NODE_POLICY_H

#include "node/when.h"

struct ay_policy {
	struct ay_when when;
	bool confirm_by_boot;
	uint32_t tries;
	uint32_t keep;
};

enum { AY_POLICY_SWITCH, AY_POLICY_CONFIRM, AY_POLICY_TRIES, AY_POLICY_KEEP, AY_POLICY_KEYS };

extern const char *const ay_policy_keys[AY_POLICY_KEYS]; /* their names in the configuration */

void ay_policy_defaults(struct ay_policy *p);
/** ay_policy_key() - its number, or -1. */
int ay_policy_key(const char *name);
/** ay_policy_set() - one key. NULL, or what is allowed (then nothing changed). */
const char *ay_policy_set(struct ay_policy *p, int key, const char *value);
/** ay_policy_take() - the key of @from becomes @p's. */
void ay_policy_take(struct ay_policy *p, int key, const struct ay_policy *from);

#endif
