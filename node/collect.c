/* SPDX-License-Identifier: MIT */
/*
 * What an update leaves behind, or what stands in its way, goes when the owner's budgets say so.
 */
#include "node/collect.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "node/log.h"
#include "node/progress.h"
#include "store/journal.h"

static unsigned keep_of(const void *ctx, const char *branch)
{
	struct ay_policy p;
	ay_config_policy(ctx, branch, &p);
	return p.keep;
}

/* The trees of all branches, so that it can be said which went. */
struct trees {
	char **names;
	size_t n;
	struct ay_tree_info **list;
	size_t *count;
};

static void trees_release(struct trees *t)
{
	for (size_t i = 0; t->list && i < t->n; i++)
		free(t->list[i]);
	free(t->list);
	free(t->count);
	ay_store_names_free(t->names, t->n);
}

static void trees_read(struct ay_store *s, struct trees *t)
{
	if (ay_store_branches(s, &t->names, &t->n, NULL) < 0)
		return;
	t->list = calloc(t->n + 1, sizeof(struct ay_tree_info *));
	t->count = calloc(t->n + 1, sizeof(t->count[0]));
	for (size_t i = 0; t->list && t->count && i < t->n; i++)
		ay_store_trees(s, t->names[i], &t->list[i], &t->count[i], NULL);
}

static void note_gone(struct ay_store *s, const struct trees *before)
{
	for (size_t i = 0; before->list && before->count && i < before->n; i++) {
		for (size_t k = 0; k < before->count[i]; k++) {
			struct ay_err err = {0};
			int fd = -1;
			uint32_t serial = before->list[i][k].serial;
			if (ay_store_manifest(s, before->names[i], serial, &fd, NULL) != -ENOENT)
				close(fd);
			else if (ay_journal_add(s, before->names[i], AY_JOURNAL_COLLECTED, serial, 0, "",
						&err) < 0)
				ay_log(AY_LOG_WARNING, "%s", err.msg);
		}
	}
}

int ay_collect(struct ay_store *s, const struct ay_config *c, unsigned keep, uint64_t need,
	       struct ay_gc_result *res, struct ay_err *err)
{
	AY_CLEANUP(trees_release) struct trees before = {.n = 0};
	const struct ay_budget b = {
		.keep = keep, .keep_of = keep ? NULL : keep_of, .ctx = c, .max_size = c->max_size};
	ay_store_set_reserve(s, c->reserve);
	trees_read(s, &before);
	int r = ay_store_collect(s, &b, need, res, err);
	if (res->trees > 0)
		note_gone(s, &before);
	return r;
}

static void collect_and_say(struct ay_store *s, const struct ay_config *c, uint64_t need,
			    struct ay_gc_result *res)
{
	struct ay_err err = {0};
	char size[32];
	if (ay_collect(s, c, 0, need, res, &err) < 0)
		ay_log(AY_LOG_WARNING, "%s", err.msg);
	if (res->trees || res->objects || res->bundles)
		ay_log(AY_LOG_INFO, "collected %u tree%s, %llu object%s, %u bundle%s: %s", res->trees,
		       ay_s(res->trees), (unsigned long long)res->objects, ay_s(res->objects), res->bundles,
		       ay_s(res->bundles), ay_human_bytes(res->bytes, size));
}

void ay_collect_after_update(struct ay_store *s, const struct ay_config *c)
{
	struct ay_gc_result res = {0};
	if (c->auto_gc)
		collect_and_say(s, c, 0, &res);
}

bool ay_collect_for(struct ay_store *s, const struct ay_config *c, int code, uint64_t need)
{
	struct ay_gc_result res = {0};
	if (code != -ENOSPC && code != -EDQUOT)
		return false;
	ay_log(AY_LOG_NOTICE, "no room for an update: collecting");
	collect_and_say(s, c, need, &res);
	return res.trees + res.objects + res.bundles > 0;
}

#define MANIFEST_ROOM (UINT64_C(4) << 20) /* for both manifests of a large tree, and directories */

int ay_apply_with_room(struct ay_store *s, const struct ay_config *c, const struct ay_apply *a,
		       struct ay_err *err)
{
	struct ay_err why = {0};
	int r = ay_store_apply(s, a, &why);
	uint64_t bytes = a->offer ? a->offer->unpacked_size : 0;
	if (c && ay_collect_for(s, c, r, bytes + bytes / 32 + MANIFEST_ROOM) &&
	    lseek(a->bundle_fd, 0, SEEK_SET) == 0) {
		why = (struct ay_err){0};
		r = ay_store_apply(s, a, &why);
	}
	if (r < 0 && err)
		*err = why;
	return r;
}
