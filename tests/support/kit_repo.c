/* SPDX-License-Identifier: MIT */
/* The repository is made by the same functions as a publisher's; only its bundles come ready. */
#include "tests/support/kit_repo.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "manifest/head.h"

static void must(int r, const char *what, const struct ay_err *err)
{
	if (r >= 0)
		return;
	fprintf(stderr, "kit_repo: %s: %s\n", what, err->msg);
	abort();
}

struct ay_repo *kit_repo(struct kit *k)
{
	char path[300];
	struct ay_repo *r = NULL;
	struct ay_err err = {0};

	snprintf(path, sizeof(path), "%s/repo", k->dir);
	must(ay_repo_open(ay_fs_real(), path, true, &r, &err), "open", &err);
	must(ay_repo_put_root(r, 1, k->root.data, k->root.len, &err), "root", &err);
	return r;
}

static void put_head(struct kit *k, struct ay_repo *r, const struct ay_release *rel,
		     const struct ay_digest *release, size_t len)
{
	struct ay_head head = {.root_epoch = 1,
			       .serial = rel->serial,
			       .min_serial = rel->min_serial,
			       .rollout = 100,
			       .release = *release,
			       .release_size = (uint32_t)len,
			       .signed_at_s = 1700000000 + rel->serial};
	uint8_t bytes[AY_HEAD_SIZE];
	struct ay_err err = {0};

	ay_branch_id("test", rel->branch, &head.branch);
	must(ay_head_sign(&head, &k->key, bytes), "sign head", &err);
	int q = ay_repo_put_head(r, rel->branch, bytes, &err);
	if (q != AY_EROLLBACK)
		must(q, "head", &err);
}

void kit_repo_tree(struct kit *k, struct ay_repo *r, const struct kit_tree *t)
{
	struct ay_release *rel = malloc(sizeof(*rel));
	struct ay_envelope env;
	struct ay_digest d;
	struct ay_err err = {0};

	must(ay_repo_put(r, AY_REPO_MANIFEST, t->manifest.data, t->manifest.len, &d, &err), "manifest", &err);
	must(ay_repo_put(r, AY_REPO_RELEASE, t->release.data, t->release.len, &d, &err), "release", &err);
	must(ay_envelope_parse(t->release.data, t->release.len, &env, &err), "envelope", &err);
	must(ay_release_parse(env.text.data, env.text.len, rel, &err), "release", &err);
	put_head(k, r, rel, &d, t->release.len);
	free(rel);
}

void kit_repo_bundle(struct kit *k, struct ay_repo *r, int bundle_fd, const struct ay_offer *offer)
{
	const struct ay_secret_key *keys[1] = {&k->key};
	struct ay_buf text = {0}, envelope = {0};
	struct ay_err err = {0};
	char name[64], buf[65536];
	int fd = -1;

	must(ay_repo_bundle_begin(r, &fd, name, &err), "bundle", &err);
	lseek(bundle_fd, 0, SEEK_SET);
	for (ssize_t n; (n = read(bundle_fd, buf, sizeof(buf))) > 0;)
		must(write(fd, buf, (size_t)n) == n ? 0 : -1, "write bundle", &err);
	close(fd);
	must(ay_repo_bundle_commit(r, name, &offer->bundle, &err), "bundle", &err);
	must(ay_offer_write(offer, &text, &err), "offer", &err);
	must(ay_envelope_write(text.data, text.len, keys, 1, "test", &envelope, &err), "offer", &err);
	must(ay_repo_put_offer(r, &offer->to, envelope.data, envelope.len, &err), "offer", &err);
	ay_buf_release(&text);
	ay_buf_release(&envelope);
}

void kit_repo_all(struct kit *k, struct ay_repo *r, const struct kit_tree *from, const struct kit_tree *to)
{
	struct ay_offer offer;
	struct ay_digest d;
	struct ay_err err = {0};
	AY_CLOSE int fd = kit_bundle(k, from, to, &offer);

	/* It was a release before; bundles name their bases by their places in its manifest. */
	if (from)
		must(ay_repo_put(r, AY_REPO_MANIFEST, from->manifest.data, from->manifest.len, &d, &err),
		     "manifest", &err);
	kit_repo_tree(k, r, to);
	kit_repo_bundle(k, r, fd, &offer);
}
