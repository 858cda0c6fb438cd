/* SPDX-License-Identifier: MIT */
/*
 * Publishing is a sequence in which each step only adds files that nothing points
 * to yet, and the last step moves the one pointer:
 *
 *   root → scan → release (signed) → keep the tree → bundles and offers → head
 *
 * The publisher's own store (repo/publisher) keeps the last trees, because a
 * bundle needs both: the tree that was handed in may be gone by the next release.
 * What was signed is checked by the laptops' own rules before it is written.
 */
#include "node/publish.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "diff/make.h"
#include "manifest/trust.h"
#include "node/cmd.h"
#include "node/progress.h"
#include "store/repo.h"
#include "store/scan.h"
#include "store/state.h"
#include "store/store.h"

#define PUBLISH_KEEP 9 /* trees that the publisher keeps: this one and N-1 ... N-8 */

/* One publication under way. */
struct work {
	const struct ay_publish *p;
	struct ay_repo *repo;
	struct ay_store *store;
	struct ay_root *root;
	bool has_before;
	struct ay_head head_before;
	struct ay_release before; /* the newest release, when there is one */
	struct ay_buf manifest;
	struct ay_scan_totals totals;
	struct ay_buf envelope; /* the new release */
	struct ay_published *out;
};

/* ---- the repository as it is ---- */

static int load_root(struct work *w, struct ay_err *err)
{
	AY_FREE uint8_t *data = NULL;
	size_t len = 0;
	uint32_t found = 0;
	if (w->p->root) {
		char *given = NULL;
		int r = ay_read_input(w->p->root, AY_ENVELOPE_MAX, &given, &len, err);
		if (r < 0)
			return r;
		AY_FREE char *owned = given;
		struct ay_root *root = NULL;
		r = ay_trust_first_root(owned, len, &root, err);
		if (r == 0)
			r = ay_repo_put_root(w->repo, root->version, owned, len, err);
		ay_root_free(root);
		if (r < 0)
			return ay_err_wrap(err, r, "%s", w->p->root);
	}
	int r = ay_repo_get_root(w->repo, 0, &found, &data, &len, err);
	if (r == -ENOENT)
		return ay_err_set(
			err, AY_EUSAGE,
			"%s holds no root yet: make one with `ayni root new` and give it with --root",
			w->p->repo);
	if (r < 0)
		return r;
	return ay_trust_first_root(data, len, &w->root, err);
}

static int load_before(struct work *w, struct ay_err *err)
{
	uint8_t head[AY_HEAD_SIZE];
	int r = ay_repo_get_head(w->repo, w->p->branch, head, err);
	if (r == -ENOENT)
		return 0;
	if (r == 0)
		r = ay_trust_head(w->root, head, sizeof(head), &w->head_before, err);
	AY_FREE uint8_t *data = NULL;
	size_t len = 0;
	if (r == 0)
		r = ay_repo_get(w->repo, AY_REPO_RELEASE, &w->head_before.release, AY_ENVELOPE_MAX, &data,
				&len, err);
	if (r == 0)
		r = ay_trust_release(w->root, w->p->branch, data, len, &w->before, err);
	if (r < 0)
		return ay_err_wrap(err, r, "the newest release of %s in %s", w->p->branch, w->p->repo);
	w->has_before = true;
	return 0;
}

/* The publisher's store trusts what the repository trusts. */
static int open_store(struct work *w, struct ay_err *err)
{
	AY_FREE char *path = NULL;
	if (asprintf(&path, "%s/publisher", w->p->repo) < 0) {
		path = NULL;
		return ay_err_set(err, -ENOMEM, "out of memory");
	}
	int flags = AY_STORE_CREATE | (geteuid() == 0 ? 0 : AY_STORE_OWNER_ME);
	int r = ay_store_open(ay_fs_real(), path, flags, &w->store, err);
	if (r < 0)
		return r;
	/* A fresh publisher's store starts at root 1 and follows the chain, as every laptop does. */
	const struct ay_root *trusted = NULL;
	uint32_t at = ay_state_root(w->store, &trusted, NULL) == 0 ? trusted->version : 0;
	while (at < w->root->version) {
		AY_FREE uint8_t *data = NULL;
		size_t len = 0;
		uint32_t found = 0;
		r = ay_repo_get_root(w->repo, at + 1, &found, &data, &len, err);
		if (r == 0)
			r = ay_state_add_root(w->store, data, len, err);
		if (r < 0)
			return ay_err_wrap(err, r, "root %u", at + 1);
		at++;
	}
	return 0;
}

/* ---- the new release ---- */

static int scan(struct work *w, int dirfd, struct ay_err *err)
{
	struct ay_scan_options opts = {.threads = w->p->threads, .owner_root = w->p->owner_root};
	ay_buf_init(&w->manifest, AY_MANIFEST_SIZE_MAX);
	int r = ay_scan(dirfd, w->p->tree, &opts, ay_write_to_buf, &w->manifest, &w->totals, err);
	if (r < 0)
		return r;
	if (w->has_before && ay_digest_eq(&w->before.manifest, &w->totals.manifest) && !w->p->again)
		return ay_err_set(
			err, AY_ENOTHING,
			"%s is release %u of %s already, to the last byte (--again publishes it all the same)",
			w->p->tree, w->before.serial, w->p->branch);
	return 0;
}

static int sign_release(struct work *w, struct ay_err *err)
{
	struct ay_release *rel = &w->out->release;
	if (w->has_before && w->before.serial == AY_SERIAL_MAX)
		return ay_err_set(err, AY_ELIMIT, "serial %u is the last one that there can be",
				  w->before.serial);
	*rel = (struct ay_release){
		.serial = w->has_before ? w->before.serial + 1 : 1,
		.root_epoch = w->root->version,
		.date_s = w->p->now_s,
		.manifest = w->totals.manifest,
		.manifest_size = w->totals.manifest_size,
		.unpacked_size = w->totals.bytes,
		.entries = w->totals.entries,
		.min_serial = w->p->min_serial,
	};
	const char *name = w->p->name ? w->p->name : "", *notes = w->p->notes ? w->p->notes : "";
	if (rel->min_serial > rel->serial)
		return ay_err_set(err, AY_EUSAGE, "--min-serial %u is above the new serial %u",
				  rel->min_serial, rel->serial);
	if (w->has_before && rel->min_serial < w->before.min_serial)
		rel->min_serial = w->before.min_serial; /* never sinks */
	if (strlen(name) > AY_RELEASE_NAME_MAX || strlen(notes) > AY_RELEASE_NOTES_MAX)
		return ay_err_set(err, AY_EUSAGE, "--name holds at most %d bytes, --notes %d",
				  AY_RELEASE_NAME_MAX, AY_RELEASE_NOTES_MAX);
	memcpy(rel->branch, w->p->branch, strlen(w->p->branch) + 1);
	memcpy(rel->name, name, strlen(name) + 1);
	memcpy(rel->notes, notes, strlen(notes) + 1);

	struct ay_buf text = {0};
	struct ay_release check;
	int r = ay_release_write(rel, &text, err);
	if (r == 0)
		r = ay_envelope_write(text.data, text.len, &w->p->key, 1, "ayni release", &w->envelope, err);
	if (r == 0)
		r = ay_trust_release(w->root, w->p->branch, w->envelope.data, w->envelope.len, &check, err);
	ay_buf_release(&text);
	return r < 0 ? ay_err_wrap(err, r, "signing the release") : 0;
}

/* ---- bundles ---- */

/* A tree in the publisher's store, as diff/make reads it. */
struct kept_tree {
	int fd;
	struct ay_buf manifest;
};

static void kept_tree_release(struct kept_tree *t)
{
	if (t->fd >= 0)
		close(t->fd);
	ay_buf_release(&t->manifest);
}

static int kept_tree_open_file(void *ctx, const struct ay_entry *e, int *fd, struct ay_err *err)
{
	const struct kept_tree *t = ctx;
	*fd = ay_fs_real()->ops->open(ay_fs_real(), t->fd, e->path + 1, O_RDONLY, 0);
	return *fd < 0 ? ay_err_errno(err, -*fd, "cannot open %s", e->path) : 0;
}

static int kept_tree_init(struct work *w, uint32_t serial, struct kept_tree *t, struct ay_err *err)
{
	*t = (struct kept_tree){.fd = -1};
	AY_CLOSE int fd = -1;
	int r = ay_store_open_tree(w->store, w->p->branch, serial, &t->fd, err);
	if (r == 0)
		r = ay_store_manifest(w->store, w->p->branch, serial, &fd, err);
	if (r < 0)
		return r;
	struct stat st;
	if (fstat(fd, &st) < 0)
		return ay_err_errno(err, errno, "manifest of release %u", serial);
	ay_buf_init(&t->manifest, AY_MANIFEST_SIZE_MAX);
	uint8_t *room = ay_buf_reserve(&t->manifest, (size_t)st.st_size);
	if (!room)
		return ay_err_set(err, -ENOMEM, "out of memory");
	while (t->manifest.len < (size_t)st.st_size) {
		ssize_t n = pread(fd, room + t->manifest.len, (size_t)st.st_size - t->manifest.len,
				  (off_t)t->manifest.len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return ay_err_errno(err, n < 0 ? errno : EIO, "manifest of release %u", serial);
		t->manifest.len += (size_t)n;
	}
	return 0;
}

static int show_progress(void *ctx, uint64_t done, uint64_t total)
{
	ay_progress_show(ctx, done, total);
	return 0;
}

static int put_offer(struct work *w, const struct ay_digest *from, const struct ay_make_result *res,
		     struct ay_err *err)
{
	struct ay_offer offer = {
		.from = *from,
		.to = w->totals.manifest,
		.bundle = res->bundle,
		.bundle_size = res->bundle_size,
		.unpacked_size = res->unpacked_size,
		.memory = res->apply_memory,
		.cpu = res->cpu,
	};
	memcpy(offer.branch, w->p->branch, strlen(w->p->branch) + 1);
	struct ay_buf text = {0}, envelope = {0};
	struct ay_offer check;
	int r = ay_offer_write(&offer, &text, err);
	if (r == 0)
		r = ay_envelope_write(text.data, text.len, &w->p->key, 1, "ayni offer", &envelope, err);
	if (r == 0)
		r = ay_trust_offer(w->root, w->p->branch, envelope.data, envelope.len, &check, err);
	if (r == 0)
		r = ay_repo_put_offer(w->repo, &offer.to, envelope.data, envelope.len, err);
	ay_buf_release(&text);
	ay_buf_release(&envelope);
	return r;
}

/* @old: NULL for the bundle from nothing. */
static int make_bundle(struct work *w, struct kept_tree *old, uint32_t from, struct kept_tree *new_,
		       struct ay_err *err)
{
	struct ay_progress progress;
	ay_progress_init(&progress, old ? "bundle from the release before" : "bundle from nothing");
	struct ay_make_options opts = {.threads = w->p->threads,
				       .memory = w->p->memory,
				       .progress = show_progress,
				       .progress_ctx = &progress};
	struct ay_make_tree a = {0}, b = {.manifest = new_->manifest.data,
					  .manifest_len = new_->manifest.len,
					  .manifest_digest = w->totals.manifest,
					  .open = kept_tree_open_file,
					  .ctx = new_};
	if (old)
		a = (struct ay_make_tree){.manifest = old->manifest.data,
					  .manifest_len = old->manifest.len,
					  .manifest_digest = w->before.manifest,
					  .open = kept_tree_open_file,
					  .ctx = old};
	char name[64];
	AY_CLOSE int fd = -1;
	struct ay_make_result res;
	int r = ay_repo_bundle_begin(w->repo, &fd, name, err);
	if (r < 0)
		return r;
	r = ay_bundle_make(&a, &b, &opts, fd, &res, err);
	ay_progress_end(&progress);
	if (r == 0)
		r = ay_repo_bundle_commit(w->repo, name, &res.bundle, err);
	else
		ay_repo_bundle_abort(w->repo, name);
	if (r == 0)
		r = put_offer(w, &a.manifest_digest, &res, err);
	if (r < 0)
		return ay_err_wrap(err, r, "bundle from release %u", from);
	w->out->bundles[w->out->n_bundles].from = from;
	w->out->bundles[w->out->n_bundles++].size = res.bundle_size;
	return 0;
}

static int make_bundles(struct work *w, struct ay_err *err)
{
	struct kept_tree old = {.fd = -1}, new_ = {.fd = -1};
	uint32_t serial = w->out->release.serial;
	int r = kept_tree_init(w, serial, &new_, err);
	bool from_before = r == 0 && w->has_before && !ay_digest_eq(&w->before.manifest, &w->totals.manifest);
	if (from_before) {
		r = kept_tree_init(w, w->before.serial, &old, err);
		if (r < 0) {
			fprintf(stderr,
				"ayni publish: release %u is no longer in %s/publisher: "
				"making the bundle from nothing instead\n",
				w->before.serial, w->p->repo);
			from_before = false;
			r = new_.fd < 0 ? r : 0;
		}
	}
	if (r == 0 && from_before)
		r = make_bundle(w, &old, w->before.serial, &new_, err);
	bool full = w->p->full == AY_FULL_YES ||
		    (w->p->full == AY_FULL_AUTO && (!from_before || serial % 8 == 0));
	if (r == 0 && full)
		r = make_bundle(w, NULL, 0, &new_, err);
	kept_tree_release(&old);
	kept_tree_release(&new_);
	return r;
}

/* ---- the sequence ---- */

/* A run that was cut off before its head may have left a tree of this serial. */
static int keep_tree(struct work *w, int dirfd, struct ay_err *err)
{
	const struct ay_release *rel = &w->out->release;
	int r = ay_store_import(w->store, w->p->branch, w->envelope.data, w->envelope.len, dirfd,
				w->manifest.data, w->manifest.len, err);
	if (r == AY_ENOTHING) {
		r = ay_store_remove_tree(w->store, w->p->branch, rel->serial, err);
		if (r == 0)
			r = ay_store_import(w->store, w->p->branch, w->envelope.data, w->envelope.len, dirfd,
					    w->manifest.data, w->manifest.len, err);
	}
	return r < 0 ? ay_err_wrap(err, r, "keeping the tree in %s/publisher", w->p->repo) : 0;
}

static int write_head(struct work *w, struct ay_err *err)
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
	uint8_t bytes[AY_HEAD_SIZE];
	struct ay_head check;
	int r = ay_head_sign(h, w->p->key, bytes);
	if (r == 0)
		r = ay_trust_head(w->root, bytes, sizeof(bytes), &check, err);
	if (r == 0)
		r = ay_trust_head_names(w->root, &check, w->envelope.data, w->envelope.len, rel, err);
	if (r < 0)
		return ay_err_wrap(err, r, "signing the head");
	return ay_repo_put_head(w->repo, w->p->branch, bytes, err);
}

static int publish(struct work *w, int dirfd, struct ay_err *err)
{
	struct ay_digest d;
	int r = load_root(w, err);
	if (r == 0)
		r = load_before(w, err);
	if (r == 0)
		r = open_store(w, err);
	if (r == 0)
		r = scan(w, dirfd, err);
	if (r == 0)
		r = sign_release(w, err);
	if (r == 0)
		r = keep_tree(w, dirfd, err);
	if (r == 0)
		r = ay_repo_put(w->repo, AY_REPO_MANIFEST, w->manifest.data, w->manifest.len, &d, err);
	if (r == 0)
		r = make_bundles(w, err);
	if (r == 0)
		r = ay_repo_put(w->repo, AY_REPO_RELEASE, w->envelope.data, w->envelope.len, &d, err);
	if (r == 0)
		r = write_head(w, err);
	if (r < 0)
		return r;
	/* From here on the release is out: what fails now must not make it look unpublished. */
	struct ay_gc_result gone;
	struct ay_err ignored = {0};
	if (ay_store_switch(w->store, w->p->branch, w->out->release.serial, false, &ignored) < 0 ||
	    ay_store_gc(w->store, PUBLISH_KEEP, &gone, &ignored) < 0)
		fprintf(stderr, "ayni publish: published; tidying %s/publisher failed: %s\n", w->p->repo,
			ignored.msg);
	return 0;
}

int ay_publish(const struct ay_publish *p, struct ay_published *out, struct ay_err *err)
{
	if (ay_branch_check(p->branch, strlen(p->branch)) < 0)
		return ay_err_set(err, AY_EUSAGE,
				  "\"%s\" is no branch name: 1 to 64 of a-z 0-9 . _ - and /, as in xo/stable",
				  p->branch);
	AY_CLOSE int dirfd = open(p->tree, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dirfd < 0)
		return ay_err_errno(err, errno, "cannot open the tree %s", p->tree);
	*out = (struct ay_published){0};
	struct work *w = calloc(1, sizeof(*w));
	if (!w)
		return ay_err_set(err, -ENOMEM, "out of memory");
	w->p = p;
	w->out = out;
	int r = ay_repo_open(ay_fs_real(), p->repo, true, &w->repo, err);
	if (r == 0)
		r = publish(w, dirfd, err);
	ay_store_close(w->store);
	ay_repo_close(w->repo);
	ay_root_free(w->root);
	ay_buf_release(&w->manifest);
	ay_buf_release(&w->envelope);
	free(w);
	return r;
}
