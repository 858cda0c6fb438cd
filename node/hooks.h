/* SPDX-License-Identifier: MIT */
/*
 * node/hooks.h - the owner's programs around a switch: DIR/pre-switch.d, post-switch.d, health.d.
 *
 * Run one after the other in the order of their names' bytes, as run-parts(8) does: names of letters, digits, `_` and
 * `-` only, regular files that may be executed; others are passed over. Each has the environment below and no other,
 * `/` as its directory, /dev/null as input; what it prints becomes log lines, up to AY_HOOK_OUTPUT_MAX bytes. It is a
 * process group of its own, which is killed, with all else that the hook started, when its time is over.
 *
 *     PATH LANG HOME                     fixed
 *     AYNI_HOOK                          pre-switch, post-switch or health
 *     AYNI_BRANCH AYNI_SERIAL            what is to become current, or is
 *     AYNI_FROM_SERIAL                   what was before; 0: nothing
 *     AYNI_TREE                          the tree of AYNI_SERIAL
 *     AYNI_STORE                         the store
 *     AYNI_REASON                        update, owner, boot, check or rollback
 *     AYNI_TRIES_LEFT                    after this one
 */
#ifndef AYNI_NODE_HOOKS_H
#define AYNI_NODE_HOOKS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define AY_HOOK_OUTPUT_MAX (16 << 10) /* of one hook; the rest is read and counted, not kept */
#define AY_HOOKS_MAX       64         /* in one directory; more is an accident */
#define AY_HOOK_NAME_MAX   128
#define AY_HOOK_GRACE_MS   3000 /* between SIGTERM and SIGKILL */

enum ay_hook_phase { AY_HOOK_PRE, AY_HOOK_POST, AY_HOOK_HEALTH };

struct ay_hooks {
	const char *dir; /* borrowed */
	uint32_t one_s, all_s;
};

struct ay_hook_call {
	const char *branch, *store, *tree, *reason; /* borrowed; tree may be "" */
	uint32_t serial, from, tries_left;
};

/** ay_hook_name_ok() - would run-parts take this name? */
bool ay_hook_name_ok(const char *name);

/** ay_hooks_any() - is there any hook of this kind? 0 no, 1 yes; -errno the directory cannot be read. */
int ay_hooks_any(const struct ay_hooks *h, enum ay_hook_phase phase, struct ay_err *err);

/**
 * ay_hooks_run() - run all of one kind, to the first that fails. May take all_s and AY_HOOK_GRACE_MS. For a process of one
 * thread that has no other children to wait for.
 *
 * Return: 0 (also when there is none); AY_EHOOK which one failed, and how; -errno.
 */
int ay_hooks_run(const struct ay_hooks *h, enum ay_hook_phase phase, const struct ay_hook_call *call,
		 struct ay_err *err);

#endif
