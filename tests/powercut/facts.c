/* SPDX-License-Identifier: MIT */
/* One look at everything, through the functions that the product uses, and at the bytes behind them. */
#include "tests/powercut/facts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "store/bundles.h"
#include "store/state.h"
#include "store/store_internal.h"
#include "tests/powercut/promise.h"

struct look {
	const struct world *w;
	const char *path;
	struct ay_store *s;
	struct ay_buf *out;
};

__attribute__((format(printf, 2, 3))) static void bad(struct look *l, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	for (char *p = text; *p; p++) {
		if (*p == '\n')
			*p = ' ';
	}
	/* Where it happened to be mounted says nothing. */
	size_t n = strlen(l->path);
	for (char *p; (p = strstr(text, l->path)) && p[n] == '/';)
		memmove(p, p + n + 1, strlen(p + n + 1) + 1);
	ay_put_fmt(l->out, "bad %s\n", text);
}

void facts_bits(const uint8_t *bitmap, uint64_t blocks, char *out)
{
	for (uint64_t i = 0; i < blocks; i++)
		out[i] = bitmap[i / 8] >> (i % 8) & 1 ? '1' : '0';
	out[blocks] = '\0';
}

void facts_turn(const struct ay_branch_state *b, char *out)
{
	uint32_t pinned = 0, kept = 0;

	for (unsigned i = 0; i < b->pinned.n; i++)
		pinned |= 1u << b->pinned.serial[i] % 32;
	for (unsigned i = 0; i < b->kept.n; i++)
		kept |= 1u << b->kept.serial[i] % 32;
	snprintf(out, VALUE_LEN, "p%u,u%u,t%u,g%u,b%u,P%x,K%x", b->pending, b->unconfirmed, b->tries, b->good,
		 b->before, pinned, kept);
	if (strcmp(out, "p0,u0,t0,g0,b0,P0,K0") == 0)
		snprintf(out, VALUE_LEN, "-");
}

static void look_at_state(struct look *l)
{
	AY_FREE struct ay_branch_state *branches = NULL;
	const struct ay_root *root;
	struct ay_err err = {0};
	char hex[33] = "";
	uint8_t *id;
	size_t n = 0;

	int r = ay_state_root(l->s, &root, &err);
	if (r == 0)
		ay_put_fmt(l->out, "root %u\n", root->version);
	else if (r != -ENOENT)
		bad(l, "root: %s", err.msg);
	if (ay__read_file(l->s->state, "install-id", 64, &id, &n, NULL) == 0) {
		snprintf(hex, sizeof(hex), "%.32s", (char *)id);
		if (n != 33 || strspn(hex, "0123456789abcdef") != 32)
			bad(l, "install-id of %zu bytes", n);
		ay_put_fmt(l->out, "id %s\n", n ? hex : "?");
		free(id);
	}
	if (ay_state_branches(l->s, &branches, &n, &err) < 0)
		bad(l, "%s", err.msg);
	else
		for (size_t i = 0; i < n; i++) {
			const struct ay_branch_state *b = &branches[i];
			struct ay_head h;
			if (b->follow)
				ay_put_fmt(l->out, "follow:%s 1\n", b->branch);
			if (b->floor)
				ay_put_fmt(l->out, "floor:%s %u\n", b->branch, b->floor);
			if (b->bad_serial)
				ay_put_fmt(l->out, "bad:%s %u\n", b->branch, b->bad_serial);
			if (b->has_head && ay_head_parse(b->head, sizeof(b->head), &h, NULL) == 0)
				ay_put_fmt(l->out, "head:%s %u\n", b->branch, h.serial);
			char turn[VALUE_LEN];
			facts_turn(b, turn);
			ay_put_fmt(l->out, "state:%s %s\n", b->branch, turn);
			if (b->has_head && ay_head_parse(b->head, sizeof(b->head), &h, NULL) < 0)
				bad(l, "head of %s is damaged", b->branch);
		}
}

static void look_at_tree(struct look *l, const char *branch, const struct ay_tree_info *t)
{
	struct ay_err err = {0};
	uint64_t differ = 0;

	ay_put_fmt(l->out, "tree:%s:%u there\n", branch, t->serial);
	if (ay_store_verify(l->s, branch, t->serial, &differ, &err) < 0)
		bad(l, "tree %s %u: %s", branch, t->serial, err.msg);
	else if (differ > 0)
		ay_put_fmt(l->out, "# %s\ndamaged:%s:%u %.*s\n", err.msg, branch, t->serial,
			   (int)strcspn(err.msg, " "), err.msg);
	const struct kit_tree *trees = branch[0] == 'b' ? l->w->b : branch[0] == 'c' ? l->w->c : &l->w->d;
	unsigned n = trees == l->w->b ? WORLD_SERIALS : trees == l->w->c ? 2 : 1;
	if (t->serial > n || !ay_digest_eq(&t->release.manifest, &trees[t->serial - 1].totals.manifest))
		bad(l, "tree %s %u is not the one that was published", branch, t->serial);
}

static void look_at_branch(struct look *l, const char *branch)
{
	AY_FREE struct ay_tree_info *trees = NULL;
	struct ay_branch_state state;
	struct ay_err err = {0};
	uint32_t current = 0;
	bool found = false;
	size_t n = 0;

	int r = ay_store_current(l->s, branch, &current, &err);
	if (r < 0 && r != AY_ENOTHING)
		bad(l, "current of %s: %s", branch, err.msg);
	if ((r = ay_store_trees(l->s, branch, &trees, &n, &err)) < 0 && r != AY_ENOTHING)
		bad(l, "trees of %s: %s", branch, err.msg);
	for (size_t i = 0; i < n; i++) {
		look_at_tree(l, branch, &trees[i]);
		found |= trees[i].serial == current;
	}
	if (current == 0)
		return;
	ay_put_fmt(l->out, "current:%s %u\n", branch, current);
	if (!found)
		ay_put_fmt(l->out, "dangling:%s there\n", branch);
	if (ay_state_branch(l->s, branch, &state, NULL) == 0 && state.floor < current)
		bad(l, "floor of %s is %u, below the current %u", branch, state.floor, current);
}

static void look_at_branches(struct look *l)
{
	struct ay_err err = {0};
	char **names = NULL;
	size_t n = 0;

	if (ay_store_branches(l->s, &names, &n, &err) < 0)
		bad(l, "branches: %s", err.msg);
	for (size_t i = 0; i < n; i++)
		look_at_branch(l, names[i]);
	ay_store_names_free(names, n);
}

static void look_at_doc(struct look *l, enum ay_doc_kind kind, const struct ay_digest *d, const char *key)
{
	AY_FREE uint8_t *data = NULL;
	struct ay_err err = {0};
	size_t len;

	int r = ay_state_get_doc(l->s, kind, d, &data, &len, &err);
	if (r == 0)
		ay_put_fmt(l->out, "%s there\n", key);
	else if (r != -ENOENT)
		bad(l, "%s: %s", key, err.msg);
}

static void look_at_docs(struct look *l)
{
	char key[KEY_LEN];

	for (unsigned i = 0; i < WORLD_SERIALS; i++) {
		snprintf(key, sizeof(key), "release:%u", i + 1);
		look_at_doc(l, AY_DOC_RELEASE, &l->w->release[i], key);
	}
	for (unsigned i = 0; i < 4; i++) {
		snprintf(key, sizeof(key), "offer:%s", l->w->blobs[i].name);
		look_at_doc(l, AY_DOC_OFFER, &l->w->offer[i], key);
	}
}

static void look_at_bundle(struct look *l, const struct blob *b)
{
	AY_FREE uint8_t *block = malloc(AY_BLOCK_SIZE);
	struct ay_bundle_file *f = NULL;
	struct ay_err err = {0};
	char bits[VALUE_LEN];

	int r = ay_bundle_file_open(l->s, &b->digest, b->size, false, &f, &err);
	if (r == -ENOENT)
		return;
	if (r < 0) {
		bad(l, "bundle %s: %s", b->name, err.msg);
		return;
	}
	for (uint64_t i = 0; i < ay_blocks_of(b->size); i++) {
		uint32_t len = ay_block_len(b->size, i);
		if (ay_bundle_file_has(f, i) &&
		    (pread(ay_bundle_file_fd(f), block, len, (off_t)(i * AY_BLOCK_SIZE)) != (ssize_t)len ||
		     memcmp(block, b->data + i * AY_BLOCK_SIZE, len) != 0))
			bad(l, "bundle %s: block %u counts and is wrong", b->name, (unsigned)i);
	}
	facts_bits(ay_bundle_file_bitmap(f), ay_blocks_of(b->size), bits);
	ay_put_fmt(l->out, "bundle:%s %s\n", b->name, ay_bundle_file_whole(f) ? "whole" : bits);
	ay_bundle_file_close(f);
}

/* Objects that have but their own name. */
static unsigned unlinked_objects(int dirfd, int depth)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AY_CLOSEDIR DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	unsigned n = 0;

	while (d && (e = readdir(d))) {
		struct stat st;
		if (e->d_name[0] == '.' || fstatat(dirfd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (S_ISREG(st.st_mode)) {
			n += st.st_nlink == 1;
		} else if (depth == 0) {
			AY_CLOSE int sub = openat(dirfd, e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
			n += sub < 0 ? 1 : unlinked_objects(sub, depth + 1);
		}
	}
	return n;
}

static void look_for_rests(struct look *l, bool collected)
{
	int fd = openat(l->s->tmp, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AY_CLOSEDIR DIR *d = fd < 0 ? NULL : fdopendir(fd);
	unsigned n = collected ? unlinked_objects(l->s->objects, 0) : 0;
	struct dirent *e;

	while (d && (e = readdir(d))) {
		if (e->d_name[0] != '.')
			bad(l, "tmp/%s is still there", e->d_name);
	}
	if (n)
		bad(l, "%u objects that no tree links", n);
}

void facts_of(const struct world *w, const char *path, bool collected, struct ay_buf *out)
{
	struct look l = {.w = w, .path = path, .out = out};
	struct ay_err err = {0};

	ay_buf_reset(out);
	int r = ay_store_open(ay_fs_real(), path, 0, &l.s, &err);
	if (r == AY_ESTATE || r == AY_EUSAGE || r == -ENOENT)
		return; /* there is none, or it was not made to its end */
	if (r < 0) {
		bad(&l, "the store does not open: %s", err.msg);
		return;
	}
	ay_put_str(out, "store there\n");
	look_at_state(&l);
	look_at_branches(&l);
	look_at_docs(&l);
	for (unsigned i = 0; i < WORLD_BLOBS; i++)
		look_at_bundle(&l, &w->blobs[i]);
	look_for_rests(&l, collected);
	ay_store_close(l.s);
}
