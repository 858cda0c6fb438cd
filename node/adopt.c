/* SPDX-License-Identifier: MIT */
/*
 * Which release, and on whose word. Matching believes the repository as an import does: roots, head, releases.
 * Without a serial every release that may be installed is held against the directory's names, sizes and times, which costs no
 * reading, and the one that lacks least is taken: a laptop joins where it is, and the next update is a
 * difference like everybody's. Signing is for who is the publisher: it never makes a second truth beside a
 * published head.
 */
#include "node/adopt.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "node/repo_trust.h"
#include "store/state.h"

#define CANDIDATES_MAX 64 /* the newest; each manifest is read once */

struct candidate {
	struct ay_release release;
	uint8_t *data;
	size_t len;
	uint64_t lacking, uncertain;
};

struct work {
	const struct ay_adoption *q;
	const struct ay_root *root;
	struct ay_head head;
	struct ay_branch_state state;
	struct candidate *list[CANDIDATES_MAX];
	size_t n;
	uint32_t current; /* 0: none */
};

static void candidate_free(struct candidate *c)
{
	if (c)
		free(c->data);
	free(c);
}

static int check_first(struct work *w, struct ay_err *err)
{
	struct ay_err why = {0};
	int r = ay_store_current(w->q->s, w->q->how.branch, &w->current, &why);

	if (r == AY_ENOTHING)
		w->current = 0;
	else if (r < 0)
		return ay_err_set(err, r, "%s", why.msg);
	return 0;
}

/* The branch has a release already. */
static int refuse_second(const struct work *w, struct ay_err *err)
{
	return ay_err_set(
		err, AY_ESTATE,
		"%s has release %u in %s already, and adopt makes a branch's first: `ayni import` and "
		"`ayni update` bring others",
		w->q->how.branch, w->current, ay_store_path(w->q->s));
}

/* ---- matching ---- */

static bool may_be(const struct work *w, const struct ay_release *rel, const uint8_t *data, size_t len)
{
	if (w->q->serial != 0 && rel->serial != w->q->serial)
		return false;
	if (rel->serial > w->head.serial || rel->serial < w->state.floor)
		return false;
	/* Named by the owner, it may be one that nobody should stay at: he knows what his disk holds. */
	if (w->q->serial == 0 && (rel->serial < w->head.min_serial || rel->serial == w->state.bad_serial))
		return false;
	return rel->serial < w->head.serial ||
	       ay_trust_head_names(w->root, &w->head, data, len, rel, NULL) == 0;
}

static int add_candidate(void *ctx, const uint8_t *data, size_t len)
{
	struct work *w = ctx;
	struct candidate *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	if (ay_trust_release(w->root, w->q->how.branch, data, len, &c->release, NULL) < 0 ||
	    !may_be(w, &c->release, data, len)) {
		candidate_free(c);
		return 0;
	}
	size_t at = w->n;
	if (w->n == CANDIDATES_MAX) {
		at = 0;
		for (size_t i = 1; i < w->n; i++) {
			if (w->list[i]->release.serial < w->list[at]->release.serial)
				at = i;
		}
		if (w->list[at]->release.serial > c->release.serial) {
			candidate_free(c);
			return 0;
		}
		candidate_free(w->list[at]);
		w->list[at] = NULL;
	} else {
		w->list[w->n++] = NULL;
	}
	w->list[at] = c;
	c->data = malloc(len);
	if (!c->data)
		return -ENOMEM;
	memcpy(c->data, data, len);
	c->len = len;
	return 0;
}

static bool better(const struct candidate *a, const struct candidate *b)
{
	if (a->lacking != b->lacking)
		return a->lacking < b->lacking;
	if (a->uncertain != b->uncertain)
		return a->uncertain < b->uncertain;
	return a->release.serial > b->release.serial;
}

/* A repository may lack a manifest, or have it damaged: then that release is left out. */
static int choose(struct work *w, struct candidate **best, struct ay_err *err)
{
	struct ay_err why = {0};

	*best = NULL;
	for (size_t i = 0; i < w->n; i++) {
		struct candidate *c = w->list[i];
		AY_CLOSE int fd = -1;
		int r = ay_repo_manifest_open(w->q->how.repo, &c->release.manifest, &fd, &why);
		if (r == 0 && w->n > 1)
			r = ay_adopt_guess(w->q->how.dirfd, fd, &c->lacking, &c->uncertain, &why);
		if (r == 0 && (!*best || better(c, *best)))
			*best = c;
	}
	if (*best)
		return 0;
	if (why.code < 0)
		return ay_err_set(err, why.code, "%s: no release can be matched: %s", w->q->how.branch,
				  why.msg);
	if (w->q->serial)
		return ay_err_set(err, -ENOENT, "%s has no release %u of %s that may be installed here",
				  ay_repo_path(w->q->how.repo), w->q->serial, w->q->how.branch);
	return ay_err_set(err, -ENOENT, "%s has no release of %s that may be installed here",
			  ay_repo_path(w->q->how.repo), w->q->how.branch);
}

static int match(struct work *w, uint32_t *serial, struct ay_adopted *out, struct ay_err *err)
{
	const struct ay_adoption *q = w->q;
	struct candidate *best;
	struct ay_err why = {0};
	AY_CLOSE int fd = -1;

	int r = ay_repo_follow_roots(q->s, q->how.repo, &w->root, err);
	if (r == 0)
		r = ay_repo_take_head(q->s, q->how.repo, w->root, q->how.branch, &w->head, &w->state, err);
	if (r == AY_ENOTHING) /* no such branch: a wrong name, not something that is done already */
		return ay_err_set(err, -ENOENT, "%s has no branch %s", ay_repo_path(q->how.repo),
				  q->how.branch);
	if (r < 0)
		return r;
	if (w->current != 0 && q->serial != 0 && q->serial != w->current)
		return refuse_second(w, err);
	if ((r = ay_repo_each_release(q->how.repo, add_candidate, w, err)) < 0 ||
	    (r = choose(w, &best, err)) < 0 ||
	    (r = ay_repo_manifest_open(q->how.repo, &best->release.manifest, &fd, err)) < 0)
		return r;
	*serial = best->release.serial;
	/* The same command a second time: what it was to bring about is so. Another release is an update's business. */
	if (w->current != 0 && q->serial == 0 && *serial == w->current)
		return ay_err_set(err, AY_ENOTHING, "%s is at release %u in %s already: %s was not looked at",
				  q->how.branch, *serial, ay_store_path(q->s), q->how.dir);
	if (w->current != 0 && *serial != w->current)
		return refuse_second(w, err);
	r = ay_store_adopt_match(q->s, &q->how, best->data, best->len, fd, out, &why);
	if (r == AY_ENOTHING && w->current == 0)
		return 0; /* a run that was cut off had made it */
	return r < 0 ? ay_err_set(err, r, "%s", why.msg) : 0;
}

/* ---- signing ---- */

struct signing {
	struct work *w;
	const struct ay_secret_key *keys[AY_SIGNATURES_MAX];
	unsigned n;
	uint32_t serial;
	struct ay_tree_info *trees;
	size_t n_trees;
};

static bool may_sign(const struct ay_root *root, const struct ay_secret_key *key)
{
	const struct ay_role_keys *k = &root->roles[AY_ROLE_RELEASE];

	for (unsigned i = 0; i < k->n; i++) {
		if (memcmp(root->keys[k->keys[i]].id, key->id, sizeof(key->id)) == 0)
			return true;
	}
	return false;
}

/* Before the long work; the rules of every laptop have the last word (ay_trust_release). */
static int choose_keys(struct signing *g, struct ay_err *err)
{
	const struct ay_adoption *q = g->w->q;
	const struct ay_root *root = g->w->root;
	unsigned needed = root->roles[AY_ROLE_RELEASE].threshold;
	char id[17];

	for (unsigned i = 0; i < q->n_keys; i++) {
		if (!may_sign(root, &q->keys[i]))
			return ay_err_set(
				err, AY_EROLE,
				"key %s does not have the role release in root %u of fleet %s, which %s trusts",
				ay_key_id_hex(q->keys[i].id, id), root->version, root->fleet,
				ay_store_path(q->s));
		g->keys[g->n++] = &q->keys[i];
	}
	return g->n >= needed ? 0
			      : ay_err_set(err, AY_EROLE,
					   "a release needs the signatures of %u keys with the role release, "
					   "and %u were given",
					   needed, g->n);
}

/* The same tree from a run that was cut off before it became current: its signature stands. */
static int sign_again(struct signing *g, const struct ay_digest *manifest, struct ay_buf *envelope,
		      struct ay_err *err)
{
	for (size_t i = 0; i < g->n_trees; i++) {
		AY_FREE uint8_t *data = NULL;
		size_t len = 0;
		if (!ay_digest_eq(&g->trees[i].release.manifest, manifest))
			continue;
		int r = ay_store_release(g->w->q->s, g->w->q->how.branch, g->trees[i].serial, &data, &len,
					 err);
		if (r < 0)
			return r;
		g->serial = g->trees[i].serial;
		ay_put_bytes(envelope, data, len);
		r = ay_buf_status(envelope);
		return r < 0 ? ay_err_errno(err, -r, "sign") : 1;
	}
	return 0;
}

static int sign(void *ctx, uint64_t entries, uint64_t bytes, const struct ay_digest *manifest,
		uint64_t manifest_size, struct ay_buf *envelope, struct ay_err *err)
{
	struct signing *g = ctx;
	const struct ay_adoption *q = g->w->q;
	AY_FREE struct ay_release *rel = calloc(1, sizeof(*rel));
	struct ay_buf text = {0};

	if (!rel)
		return ay_err_errno(err, ENOMEM, "sign");
	int r = sign_again(g, manifest, envelope, err);
	if (r != 0)
		return r < 0 ? r : 0;
	*rel = (struct ay_release){.serial = g->serial,
				   .root_epoch = g->w->root->version,
				   .date_s = q->now_s,
				   .manifest = *manifest,
				   .manifest_size = manifest_size,
				   .unpacked_size = bytes,
				   .entries = entries};
	memcpy(rel->branch, q->how.branch, strlen(q->how.branch) + 1);
	memcpy(rel->name, q->name ? q->name : "", q->name ? strlen(q->name) + 1 : 1);
	memcpy(rel->notes, q->notes ? q->notes : "", q->notes ? strlen(q->notes) + 1 : 1);
	r = ay_release_write(rel, &text, err);
	if (r == 0)
		r = ay_envelope_write(text.data, text.len, g->keys, g->n, "ayni release", envelope, err);
	ay_buf_release(&text);
	return r < 0 ? ay_err_wrap(err, r, "signing the release") : 0;
}

static int sign_first(struct work *w, uint32_t *serial, struct ay_adopted *out, struct ay_err *err)
{
	const struct ay_adoption *q = w->q;
	struct signing g = {.w = w};
	struct ay_err why = {0};

	int r = ay_state_root(q->s, &w->root, err);
	if (r < 0)
		return ay_err_wrap(err, r, "%s trusts no root: `ayni init --root FILE`", ay_store_path(q->s));
	if ((r = choose_keys(&g, err)) < 0 || (r = ay_state_branch(q->s, q->how.branch, &w->state, err)) < 0)
		return r;
	if (w->current != 0)
		return refuse_second(w, err);
	if (w->state.has_head)
		return ay_err_set(
			err, AY_EROLLBACK,
			"%s is published already: what is signed here would be a second release of one serial; "
			"match the directory with --repo",
			q->how.branch);
	if ((r = ay_store_trees(q->s, q->how.branch, &g.trees, &g.n_trees, err)) < 0)
		return r;
	g.serial = w->state.floor;
	if (g.n_trees > 0 && g.trees[g.n_trees - 1].serial > g.serial)
		g.serial = g.trees[g.n_trees - 1].serial;
	if (g.serial == AY_SERIAL_MAX)
		r = ay_err_set(err, AY_ELIMIT, "serial %u is the last one that there can be", g.serial);
	g.serial++;
	if (r == 0)
		r = ay_store_adopt_new(q->s, &q->how, sign, &g, out, &why);
	free(g.trees);
	*serial = g.serial;
	if (r == AY_ENOTHING)
		return 0; /* made by a run that was cut off: only to be switched to */
	return r < 0 && why.code < 0 ? ay_err_set(err, r, "%s", why.msg) : r;
}

int ay_adopt(const struct ay_adoption *q, uint32_t *serial, struct ay_adopted *out, struct ay_err *err)
{
	struct work *w = calloc(1, sizeof(*w));

	*serial = 0;
	*out = (struct ay_adopted){0};
	if (!w)
		return ay_err_errno(err, ENOMEM, "adopt");
	w->q = q;
	int r = check_first(w, err);
	if (r == 0)
		r = q->how.repo ? match(w, serial, out, err) : sign_first(w, serial, out, err);
	for (size_t i = 0; i < w->n; i++)
		candidate_free(w->list[i]);
	free(w);
	return r < 0 ? r : ay_store_switch(q->s, q->how.branch, *serial, false, err);
}
