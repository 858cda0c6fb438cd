/* SPDX-License-Identifier: MIT */
/* What is remembered of a branch, put there at once: for tests, which know that nobody else writes meanwhile. */
#ifndef AYNI_TESTS_SUPPORT_SET_BRANCH_H
#define AYNI_TESTS_SUPPORT_SET_BRANCH_H

#include "store/state.h"

/** set_branch() - all of it becomes @b's (but for a newer head, which stays), with the errors of ay_state_change_branch(). */
int set_branch(struct ay_store *s, const struct ay_branch_state *b, struct ay_err *err);

#endif
