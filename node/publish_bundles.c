/* SPDX-License-Identifier: MIT */
/*
 * The bundles of a new release: from the release before it, whose tree the publisher's
 * own store has kept, and now and then from nothing, for laptops that have none or fell
 * far behind. Each gets a signed offer, and nothing points to either before the head does.
 */
#include "node/publish_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "diff/encoders.h"
#include "diff/make.h"
#include "manifest/trust.h"
#include "node/progress.h"

#define SMALL_MEMORY                                                                                         \
	(128ull << 20) /* what a small laptop has for applying: who has not more gets a bundle, too */

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

static int kept_tree_init(struct ay__publication *w, uint32_t serial, struct kept_tree *t, struct ay_err *err)
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

static int put_offer(struct ay__publication *w, const struct ay_digest *from,
		     const struct ay_make_result *res, struct ay_err *err)
{
	struct ay_offer offer = {
		.from = *from,
		.to = w->totals.manifest,
		.bundle = res->bundle,
		.bundle_size = res->bundle_size,
		.unpacked_size = res->unpacked_size,
		.hole_size = res->hole_size >= res->unpacked_size / 16 ? res->hole_size : 0,
		.memory = res->apply_memory,
		.cpu = res->cpu,
	};
	for (unsigned i = 0; i < AY_ENCODERS; i++) {
		if (res->encoders >> i & 1)
			snprintf(offer.encoders[offer.n_encoders++], sizeof(offer.encoders[0]), "%s",
				 ay_encoder_name(i));
	}
	memcpy(offer.branch, w->p->branch, strlen(w->p->branch) + 1);
	struct ay_buf text = {0}, envelope = {0};
	struct ay_offer check;
	int r = ay_offer_write(&offer, &text, err);
	if (r == 0)
		r = ay_envelope_write(text.data, text.len, w->release_keys, w->n_release_keys, "ayni offer",
				      &envelope, err);
	if (r == 0)
		r = ay_trust_offer(w->root, w->p->branch, envelope.data, envelope.len, &check, err);
	if (r == 0)
		r = ay_repo_put_offer(w->repo, &offer.to, envelope.data, envelope.len, err);
	ay_buf_release(&text);
	ay_buf_release(&envelope);
	return r;
}

/*
 * @old: NULL for the bundle from nothing. @no_filters: the one for machines that cannot pack again what another packed, in
 * SMALL_MEMORY.
 * @more: should there be such a one besides?
 */
static int make_bundle(struct ay__publication *w, struct kept_tree *old, uint32_t from,
		       struct kept_tree *new_, bool no_filters, bool *more, struct ay_err *err)
{
	struct ay_progress progress;
	ay_progress_init(&progress, no_filters ? "bundle for small machines"
				    : old      ? "bundle from the release before"
					       : "bundle from nothing");
	bool small = no_filters && (!w->p->apply_memory || w->p->apply_memory > SMALL_MEMORY);
	struct ay_make_options opts = {.threads = w->p->threads,
				       .memory = w->p->memory,
				       .fast = w->p->fast,
				       .apply_memory = small ? SMALL_MEMORY : w->p->apply_memory,
				       .no_filters = no_filters,
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
	if (r < 0 && !old)
		return ay_err_wrap(err, r, "bundle from nothing");
	if (r < 0)
		return ay_err_wrap(err, r, "bundle from release %u", from);
	w->out->bundles[w->out->n_bundles].from = from;
	w->out->bundles[w->out->n_bundles].memory = res.apply_memory;
	w->out->bundles[w->out->n_bundles++].size = res.bundle_size;
	*more = !no_filters && res.apply_memory > SMALL_MEMORY;
	return 0;
}

/* Did somebody change the kept tree? Then it is no base, but the release need not wait for that. */
static bool is_spoilt(struct ay__publication *w, uint32_t serial, struct ay_err *why)
{
	uint64_t bad = 0;
	int r = ay_store_verify(w->store, w->p->branch, serial, &bad, why);
	return r < 0 || bad > 0;
}

/* The bundle from the release before; *@made false when that one's tree is not fit to start from. */
static int bundle_from_before(struct ay__publication *w, struct kept_tree *new_, bool *made,
			      struct ay_err *err)
{
	struct kept_tree old;
	struct ay_err why = {0};
	uint32_t serial = w->before.serial;
	int r = kept_tree_init(w, serial, &old, &why);
	bool unfit = r < 0;
	bool more = false;
	if (r == 0)
		r = make_bundle(w, &old, serial, new_, false, &more, err);
	if (r == 0 && more)
		r = make_bundle(w, &old, serial, new_, true, &more, err);
	kept_tree_release(&old);
	if (r == AY_EDIGEST)
		unfit = is_spoilt(w, serial, &why);
	*made = r == 0;
	if (r == 0 || !unfit)
		return r;
	fprintf(stderr,
		"ayni publish: the tree of release %u in %s/publisher cannot be started from (%s): "
		"making the bundle from nothing instead\n",
		serial, w->p->repo, why.msg);
	return 0;
}

int ay__publish_bundles(struct ay__publication *w, struct ay_err *err)
{
	struct kept_tree new_;
	bool made = false;
	uint32_t serial = w->out->release.serial;
	int r = kept_tree_init(w, serial, &new_, err);
	if (r == 0 && w->has_before && !ay_digest_eq(&w->before.manifest, &w->totals.manifest))
		r = bundle_from_before(w, &new_, &made, err);
	/* Under a new root, what older keys signed may no longer be believed: then no chain of old bundles leads here. */
	bool new_root = w->has_before && w->before.root_epoch != w->root->version;
	/* Without the other one nobody could get the release at all, whatever was asked for. */
	bool full = w->p->full == AY_FULL_YES || !made || w->went_back ||
		    (w->p->full == AY_FULL_AUTO && (serial % AY_FULL_EVERY == 0 || new_root));
	if (r == 0 && full)
		r = make_bundle(w, NULL, 0, &new_, false, &made, err);
	kept_tree_release(&new_);
	return r;
}
