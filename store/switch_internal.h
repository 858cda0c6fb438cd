/* SPDX-License-Identifier: MIT */
/*
 * store/switch_internal.h - inside store/: the one place where `current` moves (switch.c), for turn.c.
 */
#ifndef AYNI_STORE_SWITCH_INTERNAL_H
#define AYNI_STORE_SWITCH_INTERNAL_H

#include "store/state.h"
#include "store/tree_internal.h"

struct ay__move {
	uint32_t serial;
	bool rollback;  /* below the floor too; what is left is bad */
	bool trial;     /* else it is good at once */
	uint32_t tries; /* that it has left */
};

/** ay__switch() - take .switch, state first, then `current`. Errors of ay_store_switch(). */
int ay__switch(struct ay_store *s, const char *branch, const struct ay__move *move, struct ay_err *err);
/** ay__switch_locked() - the same; the caller holds .switch of the branch's directory @dir. */
int ay__switch_locked(struct ay_store *s, int dir, const char *branch, const struct ay__move *move,
		      struct ay_err *err);
/** ay__serial_back() - where to go back to from @now: what was good, else the newest below. AY_ENOTHING: nowhere. */
int ay__serial_back(struct ay_store *s, int dir, const char *branch, uint32_t now, uint32_t *back,
		    struct ay_err *err);
/** ay__state_good() - @serial was found good. @back: we came back to it. */
void ay__state_good(struct ay_branch_state *b, uint32_t serial, bool back);

/** ay__switch_sweep() - remove what switches that died left in @branch_dir. Under .switch. */
void ay__switch_sweep(struct ay_fs *fs, int branch_dir);

#endif
