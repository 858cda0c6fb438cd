/* SPDX-License-Identifier: MIT */
/* See set_branch.h. */
#include "tests/support/set_branch.h"

static int take_all(void *ctx, struct ay_branch_state *b, struct ay_err *err)
{
	(void)err;
	*b = *(const struct ay_branch_state *)ctx;
	return 0;
}

int set_branch(struct ay_store *s, const struct ay_branch_state *b, struct ay_err *err)
{
	struct ay_branch_state now = *b;

	return ay_state_change_branch(s, b->branch, take_all, &now, err);
}
