/* SPDX-License-Identifier: MIT */
/* One thread, so that a thousand of them cost little; the store is opened as a reader opens it. */
#include "tests/support/kit_fsck.h"

#include <stdio.h>
#include <stdlib.h>

#include "store/fsck.h"

struct finding {
	char *out;
	size_t size;
};

static void found(void *ctx, const struct ay_fsck_finding *f)
{
	struct finding *x = ctx;

	if (f->outcome != AY_FSCK_NOTED && !x->out[0])
		snprintf(x->out, x->size, "fsck: %s %s %u %s %s: %s", ay_fsck_what_name(f->what),
			 f->branch ? f->branch : "", f->serial, f->path ? f->path : "",
			 f->object ? f->object : "", f->why ? f->why : "");
}

const char *kit_fsck(const char *path, char *out, size_t size)
{
	struct finding x = {.out = out, .size = size};
	const struct ay_fsck how = {.threads = 1, .found = found, .ctx = &x};
	struct ay_fsck_result res;
	struct ay_err err = {0};
	struct ay_store *s;

	out[0] = '\0';
	if (ay_store_open(ay_fs_real(), path, AY_STORE_READONLY, &s, &err) < 0) {
		snprintf(out, size, "fsck: %s", err.msg);
		return out;
	}
	if (ay_store_fsck(s, &how, &res, &err) < 0)
		snprintf(out, size, "fsck: %s", err.msg);
	else if (res.damaged > 0 && !out[0])
		snprintf(out, size, "fsck: %llu findings", (unsigned long long)res.damaged);
	else if (res.leftovers > 0)
		snprintf(out, size, "fsck: %llu objects that nothing uses",
			 (unsigned long long)res.leftovers);
	ay_store_close(s);
	return out[0] ? out : NULL;
}
