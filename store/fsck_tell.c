/* SPDX-License-Identifier: MIT */
/* What every part of a check ends in: a finding is counted and told, and a failure of ours is none. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "store/fsck_internal.h"

enum ay_fsck_outcome ay__fsck_outcome(const struct ay__fsck *k, bool done)
{
	return done ? AY_FSCK_HEALED : k->f->heal ? AY_FSCK_LEFT : AY_FSCK_DAMAGED;
}

void ay__fsck_tell(struct ay__fsck *k, const struct ay_fsck_finding *f, const char *fmt, ...)
{
	struct ay_fsck_finding said = *f;
	char why[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	said.why = why;
	k->res->damaged += said.outcome != AY_FSCK_NOTED;
	k->res->healed += said.outcome == AY_FSCK_HEALED;
	k->res->left += said.outcome == AY_FSCK_LEFT;
	if (k->f->found)
		k->f->found(k->f->ctx, &said);
}

bool ay__fsck_lack(struct ay__fsck *k, int r)
{
	bool lack = ay__own_lack(r);
	if (lack && k->failed == 0)
		k->failed = r;
	return lack;
}
