/* SPDX-License-Identifier: MIT */
/* Small trees with every kind of file and of change, a key made of a constant, and what is signed with it. */
#include "tests/powercut/world.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/prng.h"
#include "manifest/root.h"
#include "tests/support/kit_repo.h"

static void must(int r, const struct ay_err *err, const char *what)
{
	if (r >= 0)
		return;
	fprintf(stderr, "world: %s: %s\n", what, err ? err->msg : strerror(-r));
	abort();
}

/* kit's own key is a new one each time; ours is the same in every process. */
static void make_key(struct kit *k)
{
	uint8_t seed[crypto_sign_SEEDBYTES];

	must(sodium_init() < 0 ? -EIO : 0, NULL, "sodium");
	memset(seed, 0x5a, sizeof(seed));
	memset(k->key.id, 0x5a, sizeof(k->key.id));
	memcpy(k->public_key.id, k->key.id, sizeof(k->key.id));
	crypto_sign_seed_keypair(k->public_key.key, k->key.key, seed);
}

static void sign(struct world *w, const struct ay_buf *text, struct ay_buf *out)
{
	const struct ay_secret_key *keys[] = {&w->k.key};
	struct ay_err err = {0};

	must(ay_envelope_write(text->data, text->len, keys, 1, "powercut", out, &err), &err, "sign");
}

static void make_root(struct world *w, uint32_t version, struct ay_buf *out)
{
	struct ay_root *root = ay_root_new();
	struct ay_buf text = {0};
	struct ay_err err = {0};

	root->version = version;
	snprintf(root->fleet, sizeof(root->fleet), "test");
	root->n_keys = 1;
	root->keys[0] = w->k.public_key;
	for (int i = 0; i < AY_ROLES; i++)
		root->roles[i] = (struct ay_role_keys){.threshold = 1, .n = 1};
	must(ay_root_write(root, &text, &err), &err, "root");
	ay_buf_reset(out);
	sign(w, &text, out);
	ay_buf_release(&text);
	ay_root_free(root);
}

/* A directory's time is the same in every process, too. */
static void settle(struct kit *k, const char *dir)
{
	const struct timespec ts[2] = {{1690000000, 1}, {1690000000, 1}};

	must(utimensat(k->fd, dir, ts, 0) < 0 ? -errno : 0, NULL, dir);
}

/* Data between holes: its size is there long before its content. */
static void put_sparse(struct kit *k, const char *path, unsigned n)
{
	const struct timespec ts[2] = {{1700000000, 5}, {1700000000 + (int64_t)n, 5}};
	char data[6000];
	AY_CLOSE int fd = openat(k->fd, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	memset(data, 'a' + (int)n, sizeof(data));
	if (fd < 0 || pwrite(fd, data, sizeof(data), 0) < 0 || pwrite(fd, data, sizeof(data), 90000) < 0 ||
	    ftruncate(fd, 200000) < 0 || futimens(fd, ts) < 0)
		must(-errno, NULL, path);
}

/* Serials of one branch share most of their files; nothing is large, so that a story is a few megabytes. */
static void make_tree(struct kit *k, const char *v, unsigned n, uint64_t family)
{
	char p[64], dir[16], target[900];

#define AT(rest) (snprintf(p, sizeof(p), "%s/" rest, v), p)
	kit_mkdir(k, v, 0755);
	kit_mkdir(k, AT("bin"), 0755);
	kit_noise(k, AT("bin/large"), 150000, family * 1000 + n, 0755);
	kit_noise(k, AT("bin/kept"), 30000, family * 1000 + 500, 04755);
	kit_noise(k, AT("bin/few"), 5000, family * 2000 + n, 0644);
	put_sparse(k, AT("bin/sparse"), n);
	put_sparse(k, AT("bin/sparse-kept"), 0); /* what a cut took from it the next serial would link */
	kit_text(k, AT("kept"), "always the same", 0644);
	kit_text(k, AT("empty"), "", 0644);
	kit_text(k, AT("mode"), "only my mode changes", n % 2 ? 0644 : 0600);
	kit_write(k, AT("mtime"), "only my mtime changes", 21, 0644, 1700000000 + (int64_t)n);
	kit_text(k, AT("twice-a"), n > 1 ? "same text, new" : "same text", 0644);
	kit_text(k, AT("twice-b"), n > 1 ? "same text, new" : "same text", 0755);
	kit_symlink(k, AT("link"), n % 2 ? "kept" : "bin");
	/* As they were in the serial before; the second is too long for its inode, and so has a block. */
	kit_symlink(k, AT("same"), "kept");
	memset(target, 'x', sizeof(target) - 1);
	target[sizeof(target) - 1] = '\0';
	kit_symlink(k, AT("bin/same"), target);
	snprintf(dir, sizeof(dir), "6.1.0-%u", n);
	snprintf(p, sizeof(p), "%s/%s", v, dir);
	kit_mkdir(k, p, 0755);
	for (unsigned i = 0; i < 6; i++) {
		snprintf(p, sizeof(p), "%s/%s/module-%u.ko", v, dir, i);
		kit_noise(k, p, 3000 + 700 * i, family * 3000 + 10 * i + (i < 2 ? n : 0), 0644);
	}
	settle(k, AT("bin"));
	snprintf(p, sizeof(p), "%s/%s", v, dir);
	settle(k, p);
	settle(k, v);
#undef AT
}

static void read_all(int fd, struct blob *b)
{
	b->size = (size_t)lseek(fd, 0, SEEK_END);
	b->data = malloc(b->size);
	if (!b->data || pread(fd, b->data, b->size, 0) != (ssize_t)b->size)
		must(-EIO, NULL, "read bundle");
}

static void make_blob(struct world *w, int i, const char *name, const struct kit_tree *from,
		      const struct kit_tree *to)
{
	struct blob *b = &w->blobs[i];

	*b = (struct blob){.name = name, .fd = -1};
	if (to) {
		struct ay_buf text = {0};
		struct ay_err err = {0};
		b->fd = kit_bundle(&w->k, from, to, &b->offer);
		read_all(b->fd, b);
		must(ay_offer_write(&b->offer, &text, &err), &err, "offer");
		sign(w, &text, &w->offers[i]);
		ay_buf_release(&text);
		ay_digest_mem(w->offers[i].data, w->offers[i].len, &w->offer[i]);
	} else {
		struct ay_prng r;
		b->size = 700001;
		b->data = malloc(b->size + 8);
		must(b->data ? 0 : -ENOMEM, NULL, name);
		ay_prng_init(&r, 4711);
		for (size_t at = 0; at < b->size; at += 8) {
			uint64_t v = ay_prng_next(&r);
			memcpy(b->data + at, &v, 8);
		}
	}
	must(ay_merkle_build_mem(b->data, b->size, &b->merkle), NULL, name);
	b->digest = *ay_merkle_digest(b->merkle);
}

void world_make(struct world *w)
{
	memset(w, 0, sizeof(*w));
	kit_init(&w->k);
	make_key(&w->k);
	make_root(w, 1, &w->k.root);
	make_root(w, 2, &w->root2);
	for (unsigned i = 0; i < WORLD_SERIALS; i++) {
		char dir[16];
		snprintf(dir, sizeof(dir), "b%u", i + 1);
		make_tree(&w->k, dir, i + 1, 7);
		kit_publish(&w->k, dir, "b", i + 1, &w->b[i]);
		ay_digest_mem(w->b[i].release.data, w->b[i].release.len, &w->release[i]);
		struct ay_head h = {.root_epoch = 1,
				    .serial = i + 1,
				    .rollout = 100,
				    .release = w->release[i],
				    .release_size = (uint32_t)w->b[i].release.len,
				    .signed_at_s = 1700000000 + i};
		ay_branch_id("test", "b", &h.branch);
		must(ay_head_sign(&h, &w->k.key, w->heads[i]), NULL, "head");
	}
	for (unsigned i = 0; i < 2; i++) {
		char dir[16];
		snprintf(dir, sizeof(dir), "c%u", i + 1);
		make_tree(&w->k, dir, i + 1, 8);
		kit_publish(&w->k, dir, "c", i + 1, &w->c[i]);
	}
	make_tree(&w->k, "d1", 1, 9);
	kit_publish(&w->k, "d1", "d", 1, &w->d);
	w->repo = kit_repo(&w->k);
	kit_repo_all(&w->k, w->repo, NULL, &w->b[2]);
	make_blob(w, BLOB_1, "b1", NULL, &w->b[0]);
	make_blob(w, BLOB_2, "b2", &w->b[0], &w->b[1]);
	make_blob(w, BLOB_3, "b3", &w->b[1], &w->b[2]);
	make_blob(w, BLOB_ALL, "all", NULL, &w->b[2]);
	make_blob(w, BLOB_LONG, "long", NULL, NULL);
}

void world_free(struct world *w)
{
	for (unsigned i = 0; i < WORLD_BLOBS; i++) {
		free(w->blobs[i].data);
		ay_merkle_free(w->blobs[i].merkle);
		if (w->blobs[i].fd >= 0)
			close(w->blobs[i].fd);
	}
	for (unsigned i = 0; i < 4; i++)
		ay_buf_release(&w->offers[i]);
	for (unsigned i = 0; i < WORLD_SERIALS; i++)
		kit_tree_release(&w->b[i]);
	for (unsigned i = 0; i < 2; i++)
		kit_tree_release(&w->c[i]);
	kit_tree_release(&w->d);
	ay_repo_close(w->repo);
	ay_buf_release(&w->root2);
	kit_release(&w->k);
}
