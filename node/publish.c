/* SPDX-License-Identifier: MIT */
/*
 * Publishing is a sequence in which each step only adds files that nothing points
 * to yet, and the last step moves the one pointer:
 *
 *   root → scan → release (signed) → keep the tree → bundles and offers → release and head
 *
 * The publisher's own store (repo/publisher) keeps the last trees, because a
 * bundle needs both: the tree that was handed in may be gone by the next release.
 * What was signed is checked by the laptops' own rules before it is written. A run that
 * was cut off may leave a signed release without a head; its serial is never signed again.
 */
#include "node/publish_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "manifest/trust.h"
#include "node/cmd.h"
#include "node/losses.h"
#include "store/state.h"

#define PUBLISH_KEEP 9 /* trees that the publisher keeps: this one and N-1 ... N-8 */

/* ---- the repository as it is ---- */

/* May @data become the root after the newest one in the repository (@newest; 0: there is none)? */
static int check_given_root(struct ay__publication *w, const char *data, size_t len, uint32_t newest,
			    uint32_t *version, struct ay_err *err)
{
	AY_FREE uint8_t *kept = NULL;
	size_t kept_len = 0;
	struct ay_root *given = NULL, *now = NULL, *next = NULL;
	int r = ay_trust_first_root(data, len, &given, err);
	if (r < 0)
		return r;
	*version = given->version;
	ay_root_free(given);
	if (*version <= newest)
		return 0; /* the repository holds that one against it */
	if (newest == 0)
		return *version == 1
			       ? 0
			       : ay_err_set(err, AY_EUSAGE,
					    "it is version %u, and a repository's first root is version 1",
					    *version);
	r = ay_repo_get_root(w->repo, newest, NULL, &kept, &kept_len, err);
	if (r == 0)
		r = ay_trust_first_root(kept, kept_len, &now, err);
	if (r == 0)
		r = ay_trust_next_root(now, data, len, &next, err);
	ay_root_free(now);
	ay_root_free(next);
	return r;
}

static int put_given_root(struct ay__publication *w, uint32_t newest, struct ay_err *err)
{
	AY_FREE char *data = NULL;
	size_t len = 0;
	uint32_t version = 0;
	int r = ay_read_input(w->p->root, AY_ENVELOPE_MAX, &data, &len, err);
	if (r < 0)
		return r;
	r = check_given_root(w, data, len, newest, &version, err);
	if (r == 0)
		r = ay_repo_put_root(w->repo, version, data, len, err);
	return r < 0 ? ay_err_wrap(err, r, "%s", w->p->root) : 0;
}

/* The newest root's version in the repository, 0 when there is none. */
static int newest_root(struct ay__publication *w, uint32_t *version, struct ay_err *err)
{
	AY_FREE uint8_t *data = NULL;
	struct ay_err why = {0};
	size_t len = 0;
	*version = 0;
	int r = ay_repo_get_root(w->repo, 0, version, &data, &len, &why);
	if (r == -ENOENT)
		return 0;
	return r < 0 ? ay_err_set(err, r, "%s", why.msg) : 0;
}

/* The publisher's store trusts what the repository trusts, and follows its roots one by one, as every laptop does. */
static int follow_roots(struct ay__publication *w, uint32_t newest, struct ay_err *err)
{
	struct ay_err why = {0};
	int r = ay_state_root(w->store, &w->root, &why);
	if (r < 0 && r != -ENOENT)
		return ay_err_set(err, r, "%s", why.msg);
	for (uint32_t at = r == 0 ? w->root->version : 0; at < newest; at++) {
		AY_FREE uint8_t *data = NULL;
		size_t len = 0;
		r = ay_repo_get_root(w->repo, at + 1, NULL, &data, &len, err);
		if (r == 0)
			r = ay_state_add_root(w->store, data, len, err);
		if (r < 0)
			return ay_err_wrap(err, r == AY_ENOTHING ? AY_EFORMAT : r, "%s/roots/%u", w->p->repo,
					   at + 1);
	}
	r = ay_state_root(w->store, &w->root, err);
	if (r == 0 && w->root->version > newest)
		return ay_err_set(
			err, -ENOENT,
			"%s/roots/%u is missing: the publisher's store has it; bring it back from a copy",
			w->p->repo, w->root->version);
	return r;
}

static int load_root(struct ay__publication *w, struct ay_err *err)
{
	AY_FREE char *path = NULL;
	uint32_t newest = 0;
	int r = newest_root(w, &newest, err);
	if (r == 0 && w->p->root && (r = put_given_root(w, newest, err)) == 0)
		r = newest_root(w, &newest, err);
	if (r < 0)
		return r;
	if (newest == 0)
		return ay_err_set(
			err, AY_ESTATE,
			"%s holds no root yet: make one with `ayni root new` and give it with --root",
			w->p->repo);
	if (asprintf(&path, "%s/publisher", w->p->repo) < 0) {
		path = NULL;
		return ay_err_set(err, -ENOMEM, "out of memory");
	}
	int flags = AY_STORE_CREATE | (geteuid() == 0 ? 0 : AY_STORE_OWNER_ME);
	r = ay_store_open(ay_fs_real(), path, flags, &w->store, err);
	if (r < 0)
		return r;
	ay_tell_losses(w->store);
	ay_store_set_threads(w->store, w->p->threads);
	return follow_roots(w, newest, err);
}

static bool has_role(const struct ay_root *root, enum ay_role role, const struct ay_secret_key *key)
{
	const struct ay_role_keys *k = &root->roles[role];
	for (unsigned i = 0; i < k->n; i++) {
		if (memcmp(root->keys[k->keys[i]].id, key->id, sizeof(key->id)) == 0)
			return true;
	}
	return false;
}

/* Which key signs what. The laptops' rules have the last word; this says it before the long work. */
static int choose_keys(struct ay__publication *w, struct ay_err *err)
{
	char id[17];
	unsigned needed = w->root->roles[AY_ROLE_RELEASE].threshold;
	for (unsigned i = 0; i < w->p->n_keys; i++) {
		const struct ay_secret_key *key = &w->p->keys[i];
		bool releases = has_role(w->root, AY_ROLE_RELEASE, key);
		bool heads = has_role(w->root, AY_ROLE_HEAD, key);
		if (releases)
			w->release_keys[w->n_release_keys++] = key;
		if (heads && !w->head_key)
			w->head_key = key;
		if (!releases && !heads)
			return ay_err_set(
				err, AY_EROLE,
				"key %s has neither the role release nor head in root %u of fleet %s",
				ay_key_id_hex(key->id, id), w->root->version, w->root->fleet);
	}
	if (w->n_release_keys < needed)
		return ay_err_set(
			err, AY_EROLE,
			"a release needs the signatures of %u keys with the role release, and %u were given",
			needed, w->n_release_keys);
	if (!w->head_key)
		return ay_err_set(err, AY_EROLE,
				  "no key was given that has the role head: add it with another --key");
	return 0;
}

/* What was published under an older root is judged by that one: its keys may have lost their roles since. */
static int load_before(struct ay__publication *w, const struct ay_root *root,
		       const uint8_t head[AY_HEAD_SIZE], struct ay_err *err)
{
	AY_FREE uint8_t *data = NULL;
	size_t len = 0;
	int r = ay_trust_head(root, head, AY_HEAD_SIZE, &w->head_before, err);
	if (r == 0)
		r = ay_repo_get(w->repo, AY_REPO_RELEASE, &w->head_before.release, AY_ENVELOPE_MAX, &data,
				&len, err);
	if (r == 0)
		r = ay_trust_release(root, w->p->branch, data, len, &w->before, err);
	if (r == 0)
		r = ay_trust_head_names(root, &w->head_before, data, len, &w->before, err);
	return r;
}

static int find_before(struct ay__publication *w, struct ay_err *err)
{
	uint8_t head[AY_HEAD_SIZE];
	AY_FREE uint8_t *data = NULL;
	struct ay_err why = {0};
	size_t len = 0;
	struct ay_root *then = NULL;
	struct ay_head h;
	int r = ay_repo_get_head(w->repo, w->p->branch, head, &why);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return ay_err_set(err, r, "%s", why.msg);
	r = ay_head_parse(head, sizeof(head), &h, err);
	if (r == 0 && h.root_epoch < w->root->version) {
		r = ay_state_root_envelope(w->store, h.root_epoch, &data, &len, err);
		if (r == 0)
			r = ay_trust_first_root(data, len, &then, err);
	}
	if (r == 0)
		r = load_before(w, then ? then : w->root, head, err);
	ay_root_free(then);
	if (r < 0)
		return ay_err_wrap(err, r, "the newest release of %s in %s", w->p->branch, w->p->repo);
	w->has_before = true;
	/* A run that was cut off right behind its head: the store is to know what was published. */
	struct ay_err ignored = {0};
	uint32_t current = 0;
	if (ay_store_current(w->store, w->p->branch, &current, &ignored) < 0 || current < w->before.serial)
		ay_store_switch(w->store, w->p->branch, w->before.serial, false, &ignored);
	return 0;
}

static int see_release(void *ctx, const uint8_t *data, size_t len)
{
	struct ay__publication *w = ctx;
	struct ay_release rel;
	if (ay_trust_release(w->root, w->p->branch, data, len, &rel, NULL) == 0 &&
	    rel.serial > w->last_serial)
		w->last_serial = rel.serial;
	return 0;
}

/*
 * Two releases of one serial, both signed, would be two truths. So a run that was cut off between release and head
 * has used up its serial, and so has a release that only the publisher's store remembers.
 */
static int find_last_serial(struct ay__publication *w, struct ay_err *err)
{
	struct ay_branch_state state;
	w->last_serial = w->has_before ? w->before.serial : 0;
	int r = ay_repo_each_release(w->repo, see_release, w, err);
	if (r == 0)
		r = ay_state_branch(w->store, w->p->branch, &state, err);
	if (r != 0)
		return r;
	w->went_back = state.floor > (w->has_before ? w->before.serial : 0);
	if (w->went_back)
		fprintf(stderr,
			"ayni publish: %s/publisher has published release %u of %s, which the repository no longer "
			"has (put back from a copy?): going on above it, with a bundle from nothing\n",
			w->p->repo, state.floor, w->p->branch);
	if (state.floor > w->last_serial)
		w->last_serial = state.floor;
	return w->last_serial < AY_SERIAL_MAX
		       ? 0
		       : ay_err_set(err, AY_ELIMIT, "serial %u is the last one that there can be",
				    w->last_serial);
}

/* ---- the new release ---- */

static int describe_release(struct ay__publication *w, struct ay_err *err)
{
	struct ay_release *rel = &w->out->release;
	const char *name = w->p->name ? w->p->name : "", *notes = w->p->notes ? w->p->notes : "";
	*rel = (struct ay_release){
		.serial = w->last_serial + 1,
		.root_epoch = w->root->version,
		.date_s = w->p->now_s,
		.manifest = w->totals.manifest,
		.manifest_size = w->totals.manifest_size,
		.unpacked_size = w->totals.bytes,
		.entries = w->totals.entries,
		.min_serial = w->p->min_serial,
	};
	if (rel->min_serial > rel->serial)
		return ay_err_set(err, AY_EUSAGE, "--min-serial %u is above the new serial %u",
				  rel->min_serial, rel->serial);
	if (w->has_before && rel->min_serial < w->before.min_serial)
		rel->min_serial = w->before.min_serial; /* never sinks */
	memcpy(rel->branch, w->p->branch, strlen(w->p->branch) + 1);
	memcpy(rel->name, name, strlen(name) + 1);
	memcpy(rel->notes, notes, strlen(notes) + 1);
	return 0;
}

static int sign_release(struct ay__publication *w, struct ay_err *err)
{
	struct ay_buf text = {0};
	struct ay_release check;
	int r = ay_release_write(&w->out->release, &text, err);
	if (r == 0)
		r = ay_envelope_write(text.data, text.len, w->release_keys, w->n_release_keys, "ayni release",
				      &w->envelope, err);
	if (r == 0)
		r = ay_trust_release(w->root, w->p->branch, w->envelope.data, w->envelope.len, &check, err);
	ay_buf_release(&text);
	return r < 0 ? ay_err_wrap(err, r, "signing the release") : 0;
}

/* A run that was cut off before it wrote the release may have left a tree of this serial. */
static int keep_tree(struct ay__publication *w, int dirfd, struct ay_err *err)
{
	uint32_t serial = w->out->release.serial;
	int r = ay_store_remove_tree(w->store, w->p->branch, serial, err);
	if (r == 0 || r == AY_ENOTHING || r == -ENOENT)
		r = ay_store_import(w->store, w->p->branch, w->envelope.data, w->envelope.len, dirfd,
				    w->manifest.data, w->manifest.len, AY_IMPORT_SCANNED, err);
	return r < 0 ? ay_err_wrap(err, r, "keeping the tree in %s/publisher", w->p->repo) : 0;
}

static int sign_head(struct ay__publication *w, uint8_t bytes[AY_HEAD_SIZE], struct ay_err *err)
{
	const struct ay_release *rel = &w->out->release;
	struct ay_head *h = &w->out->head;
	*h = (struct ay_head){.root_epoch = rel->root_epoch,
			      .serial = rel->serial,
			      .min_serial = rel->min_serial,
			      .rollout = w->p->rollout,
			      .release_size = (uint32_t)w->envelope.len,
			      .signed_at_s = w->p->now_s};
	ay_branch_id(w->root->fleet, w->p->branch, &h->branch);
	ay_digest_mem(w->envelope.data, w->envelope.len, &h->release);
	struct ay_head check;
	int r = ay_head_sign(h, w->head_key, bytes);
	if (r == 0)
		r = ay_trust_head(w->root, bytes, AY_HEAD_SIZE, &check, err);
	if (r == 0)
		r = ay_trust_head_names(w->root, &check, w->envelope.data, w->envelope.len, rel, err);
	return r < 0 ? ay_err_wrap(err, r, "signing the head") : 0;
}

/* ---- the sequence ---- */

static int prepare(struct ay__publication *w, int dirfd, struct ay_err *err)
{
	int r = load_root(w, err);
	if (r == 0)
		r = choose_keys(w, err);
	if (r == 0)
		r = find_before(w, err);
	if (r == 0)
		r = find_last_serial(w, err);
	if (r == 0)
		r = ay__publish_scan(w, dirfd, err);
	if (r == 0)
		r = describe_release(w, err);
	return r < 0 ? r : sign_release(w, err);
}

static int publish(struct ay__publication *w, int dirfd, struct ay_err *err)
{
	struct ay_digest d;
	uint8_t head[AY_HEAD_SIZE];
	int r = prepare(w, dirfd, err);
	if (r == 0)
		r = keep_tree(w, dirfd, err);
	if (r == 0)
		r = ay_repo_put(w->repo, AY_REPO_MANIFEST, w->manifest.data, w->manifest.len, &d, err);
	if (r == 0)
		r = ay__publish_bundles(w, err);
	if (r == 0)
		r = sign_head(w, head, err);
	if (r == 0)
		r = ay_repo_put(w->repo, AY_REPO_RELEASE, w->envelope.data, w->envelope.len, &d, err);
	if (r == 0)
		r = ay_repo_put_head(w->repo, w->p->branch, head, err);
	if (r < 0)
		return r;
	/* From here on the release is out: what fails now must not make it look unpublished. */
	ay__publish_remember(w);
	struct ay_gc_result gone;
	struct ay_err ignored = {0};
	if (ay_store_switch(w->store, w->p->branch, w->out->release.serial, false, &ignored) < 0 ||
	    ay_store_gc(w->store, PUBLISH_KEEP, &gone, &ignored) < 0)
		fprintf(stderr, "ayni publish: published; tidying %s/publisher failed: %s\n", w->p->repo,
			ignored.msg);
	return 0;
}

static int check_request(const struct ay_publish *p, struct ay_err *err)
{
	if (ay_branch_check(p->branch, strlen(p->branch)) < 0)
		return ay_err_set(err, AY_EUSAGE,
				  "\"%s\" is no branch name: 1 to 64 of a-z 0-9 . _ - and /, as in xo/stable",
				  p->branch);
	if ((p->name && strlen(p->name) > AY_RELEASE_NAME_MAX) ||
	    (p->notes && strlen(p->notes) > AY_RELEASE_NOTES_MAX))
		return ay_err_set(err, AY_EUSAGE, "--name holds at most %d bytes, --notes %d",
				  AY_RELEASE_NAME_MAX, AY_RELEASE_NOTES_MAX);
	return 0;
}

int ay_publish(const struct ay_publish *p, struct ay_published *out, struct ay_err *err)
{
	int r = check_request(p, err);
	if (r < 0)
		return r;
	AY_CLOSE int dirfd = open(p->tree, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dirfd < 0)
		return ay_err_errno(err, errno, "cannot open the tree %s", p->tree);
	*out = (struct ay_published){0};
	struct ay__publication *w = calloc(1, sizeof(*w));
	if (!w)
		return ay_err_set(err, -ENOMEM, "out of memory");
	w->p = p;
	w->out = out;
	r = ay_repo_open(ay_fs_real(), p->repo, true, &w->repo, err);
	if (r == 0)
		r = publish(w, dirfd, err);
	ay_store_close(w->store);
	ay_repo_close(w->repo);
	ay_scan_cache_release(&w->seen);
	ay_buf_release(&w->manifest);
	ay_buf_release(&w->envelope);
	free(w);
	return r;
}
