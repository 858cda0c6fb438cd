/* SPDX-License-Identifier: MIT */
/*
 * Which bundle has what was lost only its record table tells, so the node is asked for the cheapest that leads to the tree, then for the
 * next: the caller heals in between, and asks no more when nothing is left. What comes is bounded by the size that its offer
 * signs, is checked block by block, and is kept like every bundle.
 */
#include "node/heal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "node/client.h"
#include "node/cmd.h"
#include "node/progress.h"
#include "node/varlink.h"
#include "store/store.h"

void ay_heal_note(struct ay_heal_list *l, const struct ay_fsck_finding *f)
{
	if (f->outcome != AY_FSCK_LEFT || f->what != AY_FSCK_PATH || !f->branch || !f->serial)
		return;
	for (unsigned i = 0; i < l->n; i++) {
		if (l->trees[i].serial == f->serial && strcmp(l->trees[i].branch, f->branch) == 0)
			return;
	}
	if (l->n == AY_HEAL_TREES_MAX)
		return;
	struct ay_heal_tree *t = &l->trees[l->n++];
	*t = (struct ay_heal_tree){.serial = f->serial};
	snprintf(t->branch, sizeof(t->branch), "%s", f->branch);
}

static int manifest_of(const char *store, const struct ay_heal_tree *t, struct ay_digest *out,
		       struct ay_err *err)
{
	AY_FREE struct ay_tree_info *trees = NULL;
	struct ay_store *s = NULL;
	size_t n = 0;
	int r = ay_open_store(store, AY_STORE_READONLY, &s, err);

	if (r == 0)
		r = ay_store_trees(s, t->branch, &trees, &n, err);
	ay_store_close(s);
	for (size_t i = 0; r == 0 && i < n; i++) {
		if (trees[i].serial == t->serial) {
			*out = trees[i].release.manifest;
			return 0;
		}
	}
	return r < 0 ? r : ay_err_set(err, -ENOENT, "%s %u is not here any more", t->branch, t->serial);
}

struct answer {
	bool done;
	uint64_t bytes;
	char message[AY_ERR_MSG_MAX];
};

static uint64_t number(const json_t *o, const char *key)
{
	json_int_t v = json_integer_value(json_object_get(o, key));
	return v > 0 ? (uint64_t)v : 0;
}

static int on_reply(void *ctx, const json_t *o, bool last)
{
	struct answer *a = ctx;
	const char *state = json_string_value(json_object_get(o, "state"));
	const char *message = json_string_value(json_object_get(o, "message"));

	if (!last)
		return 0;
	a->done = state && strcmp(state, "done") == 0;
	a->bytes = number(o, "bytes_from_peers") + number(o, "bytes_from_school");
	snprintf(a->message, sizeof(a->message), "%s", message ? message : "");
	return 0;
}

/* 1: one came; 0: none, and @err says why. */
static int fetch_one(struct ay_client *c, const struct ay_heal_tree *t, const struct ay_digest *manifest,
		     struct answer *a, struct ay_err *err)
{
	char hex[AY_DIGEST_HEX + 1];
	json_t *p = json_pack("{s:s,s:s}", "branch", t->branch, "manifest", ay_digest_hex(manifest, hex));
	int r = p ? ay_client_call(c, AY_IFACE_NODE ".Fetch", p, on_reply, a, NULL, 0, err)
		  : ay_err_set(err, -ENOMEM, "out of memory");

	if (r < 0)
		return r;
	if (!a->done)
		ay_err_set(err, AY_EPEER, "%s", a->message);
	return a->done;
}

int ay_heal_fetch(struct ay_heal_list *l, const char *store, const char *control,
		  void (*say)(void *ctx, const char *line), void *ctx, struct ay_err *err)
{
	char line[AY_BRANCH_NAME_MAX + 128], size[32];
	int came = 0;

	for (unsigned i = 0; i < l->n; i++) {
		struct ay_heal_tree *t = &l->trees[i];
		struct answer a = {.done = false};
		struct ay_client *c = NULL;
		struct ay_digest manifest;
		if (t->given_up)
			continue;
		int r = ay_client_open(control, &c, err);
		if (r == 0)
			r = manifest_of(store, t, &manifest, err);
		if (r == 0)
			r = fetch_one(c, t, &manifest, &a, err);
		ay_client_close(c);
		if (r < 0)
			return r;
		t->given_up = r == 0;
		came += r;
		l->bundles += (uint64_t)r;
		l->bytes += a.bytes;
		if (r > 0 && say) {
			snprintf(line, sizeof(line), "%s %" PRIu32 ": fetched a bundle that leads to it (%s)",
				 t->branch, t->serial, ay_human_bytes(a.bytes, size));
			say(ctx, line);
		}
	}
	return came;
}
