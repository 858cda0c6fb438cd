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
#include <sys/stat.h>

#include "base/cleanup.h"
#include "node/client.h"
#include "node/cmd.h"
#include "node/progress.h"
#include "node/varlink.h"
#include "store/store.h"

static uint64_t number(const json_t *o, const char *key)
{
	json_int_t v = json_integer_value(json_object_get(o, key));
	return v > 0 ? (uint64_t)v : 0;
}

void ay_heal_note(struct ay_heal_list *l, const struct ay_fsck_finding *f)
{
	if (f->outcome != AY_FSCK_LEFT || f->what != AY_FSCK_PATH || !f->branch || !f->serial)
		return;
	for (unsigned i = 0; i < l->n; i++) {
		if (l->trees[i].serial == f->serial && strcmp(l->trees[i].branch, f->branch) == 0) {
			l->trees[i].lacks = true;
			return;
		}
	}
	if (l->n == AY_HEAL_TREES_MAX)
		return;
	struct ay_heal_tree *t = &l->trees[l->n++];
	*t = (struct ay_heal_tree){.serial = f->serial, .lacks = true};
	snprintf(t->branch, sizeof(t->branch), "%s", f->branch);
}

void ay_heal_look_again(struct ay_heal_list *l)
{
	for (unsigned i = 0; i < l->n; i++)
		l->trees[i].lacks = false;
}

bool ay_heal_lacking(const struct ay_heal_list *l)
{
	for (unsigned i = 0; i < l->n; i++) {
		if (l->trees[i].lacks && !l->trees[i].given_up)
			return true;
	}
	return false;
}

/* Only a node that works on this store helps it. */
static int check_store(struct ay_client *c, const char *store, struct ay_err *err)
{
	json_t *o = NULL;
	struct stat st;
	int r = stat(store, &st) ? ay_err_errno(err, errno, "%s", store) : 0;

	if (r == 0)
		r = ay_client_call(c, AY_IFACE_NODE ".Status", NULL, NULL, NULL, &o, 0, err);
	if (r == 0 && (!json_is_integer(json_object_get(o, "store_inode")) ||
		       number(o, "store_inode") != st.st_ino || number(o, "store_device") != st.st_dev)) {
		const char *path = json_string_value(json_object_get(o, "store"));
		r = ay_err_set(err, AY_ESTATE,
			       "that node serves another store (%s): name this one's with --control",
			       path ? path : "?");
	}
	json_decref(o);
	return r;
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
	const struct ay_heal_tree *tree;
	const struct ay_heal_talk *talk;
	bool done, told;
	uint64_t bytes;
	char message[AY_ERR_MSG_MAX];
};

static void say(const struct answer *a, const char *what, uint64_t bytes)
{
	char line[AY_BRANCH_NAME_MAX + 128], size[32];

	snprintf(line, sizeof(line), "%s %" PRIu32 ": %s (%s)", a->tree->branch, a->tree->serial, what,
		 ay_human_bytes(bytes, size));
	a->talk->say(a->talk->ctx, line);
}

static int on_reply(void *ctx, const json_t *o, bool last)
{
	struct answer *a = ctx;
	const char *state = json_string_value(json_object_get(o, "state"));
	const char *message = json_string_value(json_object_get(o, "message"));
	uint64_t total = number(o, "bytes_total");

	if (!last) {
		if (total && !a->told)
			say(a, "fetching a bundle", total);
		a->told |= total > 0;
		if (total)
			a->talk->progress(a->talk->ctx, number(o, "bytes_had"), total);
		return 0;
	}
	a->done = state && strcmp(state, "done") == 0;
	a->bytes = number(o, "bytes_fetched");
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

/* The like for one tree; an error of the node's is one of this tree. */
static int fetch_for(struct ay_heal_list *l, struct ay_heal_tree *t, const char *store, const char *control,
		     const struct ay_heal_talk *talk, struct ay_err *err)
{
	struct answer a = {.tree = t, .talk = talk};
	struct ay_client *c = NULL;
	struct ay_digest manifest;
	int r = ay_client_open(control, &c, err);

	if (r == 0)
		r = check_store(c, store, err);
	if (r == 0)
		r = manifest_of(store, t, &manifest, err);
	if (r == 0)
		r = fetch_one(c, t, &manifest, &a, err);
	ay_client_close(c);
	t->given_up = r <= 0;
	if (r <= 0)
		return r;
	t->fetched = true;
	l->bundles++;
	l->bytes += a.bytes;
	say(&a, "fetched a bundle that leads to it", a.bytes);
	return 1;
}

int ay_heal_fetch(struct ay_heal_list *l, const char *store, const char *control,
		  const struct ay_heal_talk *talk, struct ay_err *err)
{
	int error = 0;

	for (unsigned i = 0; i < l->n; i++) {
		struct ay_err why = {0};
		if (!l->trees[i].lacks || l->trees[i].given_up)
			continue;
		int r = fetch_for(l, &l->trees[i], store, control, talk, &why);
		if (r > 0)
			return r;
		if (err && (error == 0 || r < 0))
			*err = why;
		error = r < 0 ? r : error;
	}
	return error;
}

static int first_is_enough(void *ctx, const json_t *o, bool last)
{
	(void)ctx;
	(void)o;
	(void)last;
	return 1;
}

void ay_heal_over(const struct ay_heal_list *l, const char *control)
{
	for (unsigned i = 0; i < l->n; i++) {
		struct ay_client *c = NULL;
		bool told = !l->trees[i].fetched;
		for (unsigned k = 0; k < i; k++)
			told |= l->trees[k].fetched && strcmp(l->trees[k].branch, l->trees[i].branch) == 0;
		if (told || ay_client_open(control, &c, NULL) < 0)
			continue;
		/* With the first of its replies the node has taken note; it goes on by itself. */
		ay_client_call(c, AY_IFACE_NODE ".Update", json_pack("{s:s}", "branch", l->trees[i].branch),
			       first_is_enough, NULL, NULL, 0, NULL);
		ay_client_close(c);
	}
}
