/* SPDX-License-Identifier: MIT */
/*
 * The counterpart of ay__entry_localise(): that one takes away, this one says what.
 */
#include "store/losses.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/path.h"

static void count(struct ay_losses *l, enum ay_loss kind, const struct ay_entry *e)
{
	if (l->n[kind]++ > 0)
		return;
	struct ay_buf shown = {0};
	ay_percent_put(&shown, e->path, e->path_len);
	const char *text = ay_buf_cstr(&shown);
	snprintf(l->first[kind], sizeof(l->first[kind]), "%s", text ? text : "?");
	ay_buf_release(&shown);
}

void ay_losses_add(struct ay_losses *l, const struct ay_entry *e)
{
	bool foreign = false;

	if (e->type == AY_ENTRY_CHAR || e->type == AY_ENTRY_BLOCK) {
		count(l, AY_LOSS_DEVICE, e); /* all of it */
		return;
	}
	if (e->uid != geteuid() || e->gid != getegid())
		count(l, AY_LOSS_OWNER, e);
	if (e->type == AY_ENTRY_FILE && (e->mode & 06000))
		count(l, AY_LOSS_SETUID, e);
	for (size_t i = 0; i < e->n_xattrs; i++)
		foreign |= strncmp(e->xattrs[i].name, "user.", 5) != 0;
	if (foreign)
		count(l, AY_LOSS_XATTR, e);
}

bool ay_losses_any(const struct ay_losses *l)
{
	for (int i = 0; i < AY_LOSSES; i++) {
		if (l->n[i] > 0)
			return true;
	}
	return false;
}

const char *ay_losses_text(const struct ay_losses *l, struct ay_buf *out)
{
	static const char *const words[AY_LOSSES] = {
		[AY_LOSS_OWNER] = "the owners of",
		[AY_LOSS_SETUID] = "setuid and setgid of",
		[AY_LOSS_DEVICE] = "devices, left out:",
		[AY_LOSS_XATTR] = "capabilities, ACLs and other attributes of",
	};

	for (int i = 0; i < AY_LOSSES; i++) {
		if (l->n[i] == 0)
			continue;
		ay_put_fmt(out, "%s%s %llu (%s%s)", out->len ? "; " : "", words[i],
			   (unsigned long long)l->n[i], l->first[i], l->n[i] > 1 ? ", ..." : "");
	}
	return ay_buf_cstr(out);
}
