/* SPDX-License-Identifier: MIT */
/*
 * What an update leaves behind goes when the owner's budgets say so.
 */
#include "node/collect.h"

#include "node/log.h"

void ay_collect_after_update(struct ay_store *s, const struct ay_config *c)
{
	struct ay_gc_result res = {0};
	struct ay_err err = {0};
	if (c->auto_gc && ay_store_gc(s, c->policy.keep, &res, &err) < 0)
		ay_log(AY_LOG_WARNING, "%s", err.msg);
}
