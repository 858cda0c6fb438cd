/* SPDX-License-Identifier: MIT */
/*
 * manifest/root.h - who may sign what.
 *
 *     ayni-root 1\n
 *     version: 1\n
 *     fleet: NAME\n
 *     key: RWbase64...\n                             one line per key, sorted by key id
 *     role: root THRESHOLD KEYID KEYID...\n          key ids 16 hex digits; all four roles, in this order
 *     role: release ...\n   role: head ...\n   role: school ...\n
 *     branch: NAME [release=KEYID,KEYID] [nosuid] [nodev] [nocaps] [uids=LOW-HIGH] [share]\n  sorted; optional
 *     revoked: KEYID...\n                            optional: school keys no longer believed
 *
 * Key ids as minisign prints them. A root that could not be met is malformed: a
 * threshold above its number of keys, one key under two ids, release= outside the
 * role or below its threshold, a revoked key in another role than school. A head
 * has one signature, so role head has threshold 1. "role: school 1" without keys:
 * no schools. Line 1 is "ayni-root 2" exactly when a branch has "share": its owner lets other
 * branches of a store have its contents by naming their digests (docs/formats.md, "Root").
 *
 * Version N+1 counts only with the thresholds of N and of N+1, one step at a time
 * (as in TUF, "5.3 Update the root role"). The version is the root epoch.
 */
#ifndef AYNI_MANIFEST_ROOT_H
#define AYNI_MANIFEST_ROOT_H

#include "manifest/sign.h"

enum ay_role { AY_ROLE_ROOT, AY_ROLE_RELEASE, AY_ROLE_HEAD, AY_ROLE_SCHOOL, AY_ROLES };

#define AY_ROOT_KEYS_MAX     64
#define AY_ROOT_BRANCHES_MAX 256
#define AY_ROOT_REVOKED_MAX  1024
#define AY_BRANCH_NAME_MAX   64
#define AY_FLEET_NAME_MAX    64

struct ay_role_keys {
	uint16_t threshold;
	uint16_t n;
	uint8_t keys[AY_ROOT_KEYS_MAX]; /* indices into ay_root.keys */
};

struct ay_branch_rule {
	char name[AY_BRANCH_NAME_MAX + 1];
	uint16_t n_release; /* 0: all keys of role release */
	uint8_t release[AY_ROOT_KEYS_MAX];
	bool nosuid, nodev, nocaps;
	bool has_uids;
	uint32_t uid_low, uid_high; /* also for gids */
	bool share;                 /* other branches may have its contents by naming them */
};

struct ay_root {
	uint32_t version;
	char fleet[AY_FLEET_NAME_MAX + 1];
	unsigned n_keys;
	struct ay_public_key keys[AY_ROOT_KEYS_MAX];
	struct ay_role_keys roles[AY_ROLES];
	unsigned n_branches;
	struct ay_branch_rule *branches; /* owned */
	unsigned n_revoked;
	uint8_t (*revoked)[8]; /* owned */
};

/** ay_root_new()/ay_root_free() - owned, zeroed. */
struct ay_root *ay_root_new(void);
void ay_root_free(struct ay_root *root);

/** ay_root_parse() - a root's text (inside its envelope). Form only. */
int ay_root_parse(const void *text, size_t len, struct ay_root **out, struct ay_err *err);
int ay_root_write(const struct ay_root *root, struct ay_buf *out, struct ay_err *err);
/** ay_root_branch_rule() - the rule of @branch, or NULL (no limits). */
const struct ay_branch_rule *ay_root_branch_rule(const struct ay_root *root, const char *branch);
const char *ay_role_name(enum ay_role role);

#endif
