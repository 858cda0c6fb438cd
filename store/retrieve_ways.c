/* SPDX-License-Identifier: MIT */
/*
 * Where contents may come from: the bundles that a branch's believed offers name,
 * and the publisher's own trees.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "store/retrieve_internal.h"
#include "store/state.h"
#include "store/tree_internal.h"

#define PUBLISHER_TREES_MAX 64 /* a publisher keeps a few */

/* ---- bundles ---- */

static int add_way(void *ctx, const uint8_t *data, size_t len)
{
	struct ay__retrieval *t = ctx;
	struct ay_offer o;

	int r = ay_trust_offer(t->how->root, t->how->branch, data, len, &o, NULL);
	if (r < 0 || (t->how->memory && o.memory > t->how->memory))
		return r == -ENOMEM ? r : 0;
	for (size_t i = 0; i < t->n_ways; i++) {
		if (ay_digest_eq(&t->ways[i].bundle, &o.bundle))
			return 0;
	}
	if (t->n_ways == AY__RETRIEVE_WAYS_MAX)
		return 0;
	if (t->n_ways == t->cap_ways) {
		size_t cap = t->cap_ways ? 2 * t->cap_ways : 16;
		struct ay__way *grown = reallocarray(t->ways, cap, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		t->ways = grown;
		t->cap_ways = cap;
	}
	t->ways[t->n_ways++] = (struct ay__way){.from = o.from,
						.to = o.to,
						.bundle = o.bundle,
						.bundle_size = o.bundle_size,
						.unpacked_size = o.unpacked_size,
						.memory = o.memory};
	return 0;
}

static int add_doc(void *ctx, const struct ay_digest *d, const uint8_t *data, size_t len)
{
	(void)d;
	return add_way(ctx, data, len);
}

int ay__ways_to(struct ay__retrieval *t, const struct ay_digest *manifest, struct ay_err *err)
{
	int r = ay_digest_is_zero(manifest) || !t->how->repo
			? 0
			: ay_repo_each_offer(t->how->repo, manifest, add_way, t, err);

	return r == -ENOMEM ? ay_err_errno(err, ENOMEM, "retrieve") : r;
}

static int add_release(void *ctx, const uint8_t *data, size_t len)
{
	struct ay__retrieval *t = ctx;
	AY_FREE struct ay_release *rel = malloc(sizeof(*rel));

	if (!rel)
		return -ENOMEM;
	int r = ay_trust_release(t->how->root, t->how->branch, data, len, rel, NULL);
	if (r < 0)
		return r == -ENOMEM ? r : 0;
	return ay__ways_to(t, &rel->manifest, NULL);
}

int ay__ways_all(struct ay__retrieval *t, struct ay_err *err)
{
	int r = t->how->repo ? ay_repo_each_release(t->how->repo, add_release, t, err)
			     : ay_state_each_doc(t->how->s, AY_DOC_OFFER, add_doc, t, err);
	return r == -ENOMEM ? ay_err_errno(err, ENOMEM, "retrieve") : r;
}

void ay__ways_release(struct ay__retrieval *t)
{
	for (size_t i = 0; i < t->n_ways; i++) {
		free(t->ways[i].can);
		free(t->ways[i].lack);
	}
	free(t->ways);
	t->ways = NULL;
	t->n_ways = t->cap_ways = 0;
}

/* ---- the publisher's own trees ---- */

/* 0: it was good, or was not; negative: the disk failed. */
static int copy_one(struct ay__retrieval *t, int root, const struct ay_entry *e, size_t i, struct ay_err *err)
{
	struct ay_store *s = t->how->s;
	char hex[AY_DIGEST_HEX + 1];
	struct ay_err why = {0};
	AY_CLOSE int from = ay__open_beneath(root, e->path + 1, O_RDONLY | O_NONBLOCK);
	struct stat st;

	if (ay__own_lack(from))
		return ay_err_errno(err, -from, "cannot open %s in a tree of the publisher's", e->path);
	if (from < 0 || fstat(from, &st) < 0 || !S_ISREG(st.st_mode))
		return 0;
	ay_digest_hex(&e->digest, hex);
	AY_CLOSE int to = ay__retrieve_create(t, hex);
	if (to < 0)
		return ay_err_errno(err, -to, "cannot make a file for what is retrieved");
	int r = ay__copy_file(s, from, to, e->size, &e->digest, &why);
	if (r == 0) {
		t->out->from_publisher++;
		r = ay__retrieve_got(t, i);
		return r ? ay_err_set(err, r < 0 ? r : -ECANCELED, "stopped") : 0;
	}
	s->fs->ops->unlink(s->fs, t->how->dirfd, hex, 0);
	if (r == AY_EDIGEST || r == -EIO)
		return 0; /* a shortcut that leads nowhere */
	if (err)
		*err = why;
	return r;
}

static int copy_from_tree(struct ay__retrieval *t, int branch, uint32_t serial, struct ay_err *err)
{
	char path[AY__SERIAL_NAME_MAX + 16];
	struct ay__fd_reader in = {0};
	struct ay_entry e;
	int r = 0;

	snprintf(path, sizeof(path), "%u/root", serial);
	AY_CLOSE int root = ay__open_beneath(branch, path, O_PATH | O_DIRECTORY);
	snprintf(path, sizeof(path), "%u/manifest", serial);
	AY_CLOSE int manifest = ay__open_beneath(branch, path, O_RDONLY | O_NONBLOCK);
	if (root < 0 || manifest < 0)
		return 0;
	in.fd = manifest;
	struct ay_manifest_reader *m = ay_manifest_reader_new(ay__fd_read, &in);
	if (!m)
		return ay_err_errno(err, ENOMEM, "retrieve");
	while (r == 0 && ay_manifest_next(m, &e, NULL) > 0) {
		if (e.type != AY_ENTRY_FILE)
			continue;
		size_t i = ay__wanted_find(t->wanted, t->n, &e.digest);
		if (i < t->n && !t->wanted[i].got && t->wanted[i].size == e.size)
			r = copy_one(t, root, &e, i, err);
	}
	ay_manifest_reader_free(m);
	return r;
}

static int open_publisher(struct ay__retrieval *t)
{
	struct ay_buf path;

	ay_buf_init(&path, 4096);
	AY_CLOSE int repo = open(ay_repo_path(t->how->repo), O_PATH | O_DIRECTORY | O_CLOEXEC);
	ay_put_str(&path, "publisher/branches/");
	struct ay_buf name;
	ay_buf_init(&name, 1024);
	int r = repo < 0 ? -ENOENT : ay_percent_name(&name, t->how->branch);
	if (r == 0)
		ay_put_bytes(&path, name.data, name.len);
	const char *p = ay_buf_cstr(&path);
	int fd = r == 0 && p ? ay__open_beneath(repo, p, O_RDONLY | O_DIRECTORY) : -ENOENT;
	ay_buf_release(&name);
	ay_buf_release(&path);
	return fd;
}

int ay__retrieve_publisher(struct ay__retrieval *t, struct ay_err *err)
{
	AY_CLOSE int branch = t->how->repo ? open_publisher(t) : -ENOENT;
	int again = branch < 0 ? -1 : ay__open_beneath(branch, ".", O_RDONLY | O_DIRECTORY);
	AY_CLOSEDIR DIR *d = again < 0 ? NULL : fdopendir(again);
	struct dirent *e;
	uint32_t serial;
	int r = 0;

	if (!d && again >= 0)
		close(again);
	for (unsigned n = 0; d && r == 0 && n < PUBLISHER_TREES_MAX && (e = readdir(d));) {
		if (!ay__serial_parse(e->d_name, &serial))
			continue;
		n++;
		r = copy_from_tree(t, branch, serial, err);
	}
	return r;
}
